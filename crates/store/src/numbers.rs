//! Numbers that belong together: 番号異動 of people (P-038), and the members of 広域連合.

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::record::{period, period_numbers};
use crate::standing::Standing;
use crate::{Keyring, Store, StoreError, Tx};
use kiban_domain::dates::{self, Period};
use kiban_domain::insured::{LinkReason, NumberLink};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey};

const PUT_LINK: &str = "INSERT INTO person_link (insurer_number, insured_number, history_number, revision, before_insurer, before_insured, changed_on,
       reason, deleted, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const LINKS: &str =
    "SELECT insurer_number, insured_number, history_number, revision, before_insurer, before_insured, changed_on, reason, deleted, mac
     FROM person_link WHERE insurer_number = $1 AND insured_number = $2 ORDER BY history_number, revision";
const LINKED: &str =
    "SELECT insurer_number, insured_number, history_number, revision, before_insurer, before_insured, changed_on, reason, deleted, mac
     FROM person_link WHERE before_insurer = $1 AND before_insured = $2 ORDER BY insurer_number, insured_number, history_number, revision";
const LINKS_OF_BLOCK: &str =
    "SELECT insurer_number, insured_number, history_number, revision, before_insurer, before_insured, changed_on, reason, deleted, mac
     FROM person_link WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3
     ORDER BY insured_number, history_number, revision";
const PUT_MEMBER: &str = "INSERT INTO union_member (member, valid_from, valid_to, union_number, mac) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (member, valid_from) DO UPDATE SET valid_to = excluded.valid_to, union_number = excluded.union_number, mac = excluded.mac";
const DROP_MEMBER: &str = "DELETE FROM union_member WHERE member = $1 AND valid_from = $2 AND union_number = $3";
const MEMBERS: &str = "SELECT member, valid_from, valid_to, union_number, mac FROM union_member";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT_LINK, LINKS, LINKED, LINKS_OF_BLOCK, PUT_MEMBER, DROP_MEMBER, MEMBERS];

/// A 番号異動 as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLink {
    /// The new number.
    pub person: PersonKey,
    /// 履歴番号
    pub history_number: i64,
    /// Receipt that wrote it.
    pub revision: i64,
    /// The old number, when and why.
    pub link: NumberLink,
    /// Taken back (異動区分 3).
    pub deleted: bool,
}

/// A municipality whose cards a 広域連合 pays for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMember {
    /// 証記載保険者番号 of the member.
    pub member: InsurerNumber,
    /// Days of membership.
    pub period: Period,
    /// 保険者番号 of the union.
    pub union: InsurerNumber,
}

impl Tx {
    /// Adds a 番号異動.
    pub async fn put_link(&mut self, new: &StoredLink) -> Result<(), StoreError> {
        let (person, link) = (&new.person, &new.link);
        let mac = link_door(new).mac(&self.keys);
        let values = args![
            person.insurer.as_str(),
            person.insured.as_str(),
            new.history_number,
            new.revision,
            link.before.insurer.as_str(),
            link.before.insured.as_str(),
            dates::to_number(link.changed_on),
            link.reason.code(),
            new.deleted,
            &mac
        ];
        self.raw.run(PUT_LINK, values).await?;
        Ok(())
    }

    /// Notes that a municipality belongs to a 広域連合.
    pub async fn put_union_member(&mut self, member: &StoredMember) -> Result<(), StoreError> {
        let (from, to) = period_numbers(&member.period);
        let mac = member_door(member.member.as_str(), (from, to), member.union.as_str()).mac(&self.keys);
        self.raw.run(PUT_MEMBER, args![member.member.as_str(), from, to, member.union.as_str(), &mac]).await?;
        self.note_standing(Standing::UnionMember, member.member.as_str());
        Ok(())
    }

    /// Forgets a membership that was noted by mistake; false when there is none that begins on this day.
    pub async fn drop_union_member(
        &mut self,
        union: InsurerNumber,
        member: InsurerNumber,
        from: Date,
    ) -> Result<bool, StoreError> {
        let values = args![member.as_str(), dates::to_number(from), union.as_str()];
        let dropped = self.raw.run(DROP_MEMBER, values).await? > 0;
        self.note_standing(Standing::UnionMember, member.as_str());
        Ok(dropped)
    }
}

impl Store {
    /// What a number was before, every version, oldest first; rows whose MAC fails are left out.
    pub async fn links_of(&self, person: PersonKey) -> Result<Vec<StoredLink>, StoreError> {
        self.link_rows(LINKS, person).await
    }

    /// What a number became.
    pub async fn links_to(&self, before: PersonKey) -> Result<Vec<StoredLink>, StoreError> {
        self.link_rows(LINKED, before).await
    }

    /// The same for the people of an insurer after one number up to another, in their order.
    pub async fn links_between(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        last: InsuredNumber,
    ) -> Result<Vec<StoredLink>, StoreError> {
        let after = after.map(|number| number.to_string()).unwrap_or_default();
        let rows = self.engine.rows(LINKS_OF_BLOCK, args![insurer.as_str(), &after, last.as_str()]).await?;
        rows.iter().filter_map(|row| readable("person_link", link_row(&self.keys, row)).transpose()).collect()
    }

    async fn link_rows(&self, sql: &'static str, key: PersonKey) -> Result<Vec<StoredLink>, StoreError> {
        let rows = self.engine.rows(sql, args![key.insurer.as_str(), key.insured.as_str()]).await?;
        rows.iter().filter_map(|row| readable("person_link", link_row(&self.keys, row)).transpose()).collect()
    }

    /// Members of every 広域連合 the operator registered; rows whose MAC fails are left out.
    pub async fn union_members(&self) -> Result<Vec<StoredMember>, StoreError> {
        let rows = self.engine.rows(MEMBERS, args![]).await?;
        rows.iter().filter_map(|row| readable("union_member", member_row(&self.keys, row)).transpose()).collect()
    }
}

fn link_row(keys: &Keyring, row: &Row) -> Result<Option<StoredLink>, StoreError> {
    let key = |insurer: usize, insured: usize| {
        let unreadable = |_| StoreError::Unreadable("person_link");
        Ok::<_, StoreError>(PersonKey {
            insurer: InsurerNumber::parse(&row.text(insurer)?).map_err(unreadable)?,
            insured: InsuredNumber::parse(&row.text(insured)?).map_err(unreadable)?,
        })
    };
    let unreadable = || StoreError::Unreadable("person_link");
    let stored = StoredLink {
        person: key(0, 1)?,
        history_number: row.big(2)?,
        revision: row.big(3)?,
        link: NumberLink {
            before: key(4, 5)?,
            changed_on: dates::from_number(row.int(6)?).map_err(|_| unreadable())?,
            reason: LinkReason::from_code(&row.text(7)?).ok_or_else(unreadable)?,
        },
        deleted: row.boolean(8)?,
    };
    Ok(link_door(&stored).fits(keys, &row.blob(9)?).then_some(stored))
}

fn member_row(keys: &Keyring, row: &Row) -> Result<Option<StoredMember>, StoreError> {
    let (member, days, union) = (row.text(0)?, (row.int(1)?, row.int(2)?), row.text(3)?);
    if !member_door(&member, days, &union).fits(keys, &row.blob(4)?) {
        return Ok(None);
    }
    let number = |text: &str| InsurerNumber::parse(text).map_err(|_| StoreError::Unreadable("union_member"));
    Ok(Some(StoredMember { member: number(&member)?, period: period(days.0, days.1)?, union: number(&union)? }))
}

fn link_door(stored: &StoredLink) -> Door {
    let (person, link) = (&stored.person, &stored.link);
    Door::new("person_link")
        .text(person.insurer.as_str())
        .text(person.insured.as_str())
        .number(stored.history_number)
        .number(stored.revision)
        .text(link.before.insurer.as_str())
        .text(link.before.insured.as_str())
        .number(dates::to_number(link.changed_on))
        .text(link.reason.code())
        .flag(stored.deleted)
}

fn member_door(member: &str, days: (i32, i32), union: &str) -> Door {
    Door::new("union_member").text(member).number(days.0).number(days.1).text(union)
}
