//! The members of 広域連合 (P-038): whose cards a union pays for, as the operator knows it. Registered one by one or many at
//! once, all or none; what would make a number on a card ambiguous is refused.

use crate::{Context, Error, Platform};
use kiban_domain::dates::{Period, wareki};
use kiban_domain::{Date, InsurerNumber, municipality};
use kiban_store::{Entry, Outcome, StoredMember};

/// What is wrong with a membership, or to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFault {
    /// Place in the list, from 0.
    pub place: usize,
    /// The item: `union`, `member`, `from` or `to`.
    pub item: &'static str,
    /// Stable code of the rule.
    pub rule: &'static str,
    /// What to do, in Japanese.
    pub message: String,
}

/// What was found in looking memberships through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberFinding {
    /// Nothing is registered while there is one.
    pub faults: Vec<MemberFault>,
    /// To be looked at; registered all the same.
    pub notes: Vec<MemberFault>,
}

impl Platform {
    /// Looks memberships through against each other and what is registered. One that begins on the same day as a registered
    /// one takes its place.
    pub async fn check_union_members(&self, members: &[StoredMember]) -> Result<MemberFinding, Error> {
        let registered = self.store().union_members().await?;
        let mut found = MemberFinding::default();
        for (place, new) in members.iter().enumerate() {
            let mut tell = |item, rule, message: String| found.faults.push(MemberFault { place, item, rule, message });
            if new.union == new.member {
                tell(
                    "member",
                    "own",
                    "広域連合と構成市町村の番号が同じです。構成市町村の番号を入れてください".to_owned(),
                );
            }
            if let Some(city) = municipality::find(new.member).and_then(|found| found.parent) {
                tell("member", "ward", format!("行政区の番号です。市の番号 {city} を入れてください"));
            }
            let same = |other: &StoredMember| other.member == new.member && other.period.from() == new.period.from();
            let before = members.iter().take(place);
            if before.clone().any(same) {
                let text = "同じ構成市町村・同じ加入日の行がもう1つあります。1行にしてください";
                tell("from", "duplicate", text.to_owned());
                continue;
            }
            let stays = |old: &&StoredMember| !members.iter().any(|n| is_same(n, old));
            let other = registered.iter().filter(stays).chain(before).find(|old| overlaps(old, new));
            if let Some(other) = other {
                let text = format!(
                    "この市町村は、{} は広域連合 {} の構成市町村です。期間が重ならないように直してください",
                    period_ja(&other.period),
                    other.union
                );
                tell("from", "overlap", text);
            }
            found.notes.extend(self.note_of(place, new).await?);
        }
        Ok(found)
    }

    async fn note_of(&self, place: usize, new: &StoredMember) -> Result<Vec<MemberFault>, Error> {
        let mut notes = Vec::new();
        let mut note = |rule, message| notes.push(MemberFault { place, item: "member", rule, message });
        if municipality::find(new.member).is_none() {
            note("unknown", "全国の市区町村の一覧にない番号です。番号を確かめてください".to_owned());
        }
        let people = self.store().count_people(new.member).await?;
        if people > 0 {
            let text = format!(
                "この番号の保険者として取り込まれた被保険者が {people} 人います。登録すると証の番号からは見つからなくなるため、広域連合の番号のパッケージで送り直してください"
            );
            note("own_people", text);
        }
        Ok(notes)
    }

    /// Registers memberships, all or none.
    pub async fn put_union_members(&self, members: &[StoredMember], way: &str, context: &Context) -> Result<(), Error> {
        if let Some(fault) = self.check_union_members(members).await?.faults.into_iter().next() {
            return Err(Error::item(fault.item, fault.message));
        }
        let mut tx = self.store().begin().await?;
        for member in members {
            tx.put_union_member(member).await?;
        }
        let listed: Vec<_> = members.iter().map(in_log).collect();
        tx.commit(entry(way, "union_member", Outcome::Done, serde_json::json!({ "members": listed }), context)).await?;
        self.refresh_standing(context.now).await
    }

    /// Every membership, by union, member and first day.
    pub async fn union_members(&self, way: &str, context: &Context) -> Result<Vec<StoredMember>, Error> {
        let mut members = self.store().union_members().await?;
        members.sort_by_key(|row| (row.union, row.member, row.period.from()));
        let detail = serde_json::json!({ "rows": members.len() });
        self.store().audit().append(entry(way, "union_member.list", Outcome::Allowed, detail, context)).await?;
        Ok(members)
    }

    /// Forgets a membership that was registered by mistake. One that ended gets its last day instead.
    pub async fn remove_union_member(
        &self,
        union: InsurerNumber,
        member: InsurerNumber,
        from: Date,
        way: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        if !tx.drop_union_member(union, member, from).await? {
            let text = format!(
                "広域連合 {union} に {} から加入した構成市町村 {member} は登録されていません。kiban operate union list で確かめてください",
                wareki(from)
            );
            return Err(Error::item("member", text));
        }
        let detail = serde_json::json!({ "union": union, "member": member, "from": from });
        tx.commit(entry(way, "union_member.removed", Outcome::Done, detail, context)).await?;
        self.refresh_standing(context.now).await
    }
}

/// 期間 in words.
fn period_ja(period: &Period) -> String {
    let last = period.to().map(|to| format!("{}まで", wareki(to))).unwrap_or_default();
    format!("{}から{last}", wareki(period.from()))
}

fn is_same(one: &StoredMember, other: &StoredMember) -> bool {
    one.member == other.member && one.period.from() == other.period.from()
}

fn overlaps(one: &StoredMember, other: &StoredMember) -> bool {
    let begins_before_end = |a: &Period, b: &Period| b.to().is_none_or(|to| a.from() <= to);
    one.member == other.member
        && begins_before_end(&one.period, &other.period)
        && begins_before_end(&other.period, &one.period)
}

fn in_log(row: &StoredMember) -> serde_json::Value {
    serde_json::json!({ "union": row.union, "member": row.member, "from": row.period.from(), "to": row.period.to() })
}

fn entry(way: &str, action: &str, outcome: Outcome, detail: serde_json::Value, context: &Context) -> Entry {
    let entry = Entry::new(context.now, &context.request_id, way, action, outcome);
    Entry { organization: Some("operator".to_owned()), detail: Some(detail.to_string()), ..entry }
}
