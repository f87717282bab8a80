//! All numbers of one person (P-038): what joins them, and what the municipality may see of it.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::insured::{Insured, LinkReason, normalize_kana};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey};
use kiban_policy::UseCase;
use kiban_store::{Entry, Outcome, StoredLink};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Numbers one person may have had at most; more is a mistake in the data.
const MOST: usize = 20;

/// The old and new numbers of a person, as the municipality sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonNumbers {
    /// The number asked for first.
    pub numbers: Vec<PersonNumber>,
    /// What joins them, by day.
    pub changes: Vec<NumberChange>,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonNumber {
    /// Insurer of the number.
    pub insurer_number: InsurerNumber,
    /// The number.
    pub insured_number: InsuredNumber,
    /// Of the municipality's own numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
}

/// A 番号異動 between two of the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumberChange {
    /// The number before.
    pub before: PersonKey,
    /// The number since.
    pub after: PersonKey,
    /// 異動日
    pub changed_on: Date,
    /// 異動事由: code of the package.
    pub reason: &'static str,
    /// The same in Japanese.
    pub reason_name: &'static str,
}

/// A number and what is known with it.
struct Known {
    person: PersonKey,
    withheld: bool,
}

impl Platform {
    /// Every number of a person, this one first: what it was before and what it became. A link counts only when its receipt is
    /// applied and name, birth and sex are the same under both numbers, so that no insurer can tie a stranger to somebody.
    pub async fn numbers_of(&self, person: PersonKey) -> Result<Vec<PersonKey>, Error> {
        Ok(self.joined_numbers(person).await?.0.into_iter().map(|known| known.person).collect())
    }

    /// The same with the links that join them.
    async fn joined_numbers(&self, person: PersonKey) -> Result<(Vec<Known>, Vec<StoredLink>), Error> {
        let Some((header, own)) = self.store().person(person).await? else { return Ok((Vec::new(), Vec::new())) };
        let withheld = header.withheld || own.withheld;
        let (mut numbers, mut seen) = (vec![Known { person, withheld }], BTreeSet::from([person]));
        let mut links = Vec::new();
        let mut next = 0;
        while let Some(number) = numbers.get(next).map(|known| known.person).filter(|_| numbers.len() < MOST) {
            next += 1;
            let before = self.standing_links(self.store().links_of(number).await?).await?;
            let after = self.standing_links(self.store().links_to(number).await?).await?;
            for link in before.into_iter().chain(after) {
                let other = if link.person == number { link.link.before } else { link.person };
                if seen.insert(other)
                    && let Some((header, found)) = self.store().person(other).await?
                    && is_same_person(&own, &found)
                {
                    numbers.push(Known { person: other, withheld: header.withheld || found.withheld });
                }
                if !links.contains(&link) {
                    links.push(link);
                }
            }
        }
        Ok((numbers, links))
    }

    /// Of every 履歴番号 the latest version of an applied receipt, unless it was taken back.
    pub(crate) async fn standing_links(&self, links: Vec<StoredLink>) -> Result<Vec<StoredLink>, Error> {
        let mut latest: BTreeMap<(PersonKey, i64), StoredLink> = BTreeMap::new();
        for link in links {
            if self.store().is_applied(link.person.insurer, link.revision).await? {
                latest.insert((link.person, link.history_number), link);
            }
        }
        Ok(latest.into_values().filter(|link| !link.deleted).collect())
    }

    /// The numbers of an own insured of the caller's municipality (P-038). Records lie with each insurer and stay there: of
    /// another insurer only the number is told. Where a 不開示 person went, only what the municipality itself said is told.
    pub async fn person_numbers(
        &self,
        caller: &Caller,
        handle: &str,
        context: &Context,
    ) -> Result<PersonNumbers, Error> {
        let person = self.person_of(caller, handle).await?;
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let case = self.case(caller, person, context).await?;
        if !case.is_own_municipality() {
            self.store().audit().append(caller.entry_about(context, person, "numbers", Outcome::Refused)).await?;
            return Err(Error::Unknown);
        }
        let (numbers, links) = self.joined_numbers(person).await?;
        let is_withheld = numbers.iter().any(|known| known.withheld);
        let told: BTreeSet<PersonKey> =
            links.iter().filter(|link| link.person.insurer == person.insurer).map(|link| link.link.before).collect();
        let mut shown = Vec::new();
        for known in &numbers {
            let number = known.person;
            let is_own = number.insurer == person.insurer;
            if !is_own && is_withheld && !told.contains(&number) {
                continue;
            }
            let handle = if is_own { Some(self.handle_of(caller, number).await?) } else { None };
            let (insurer_number, insured_number) = (number.insurer, number.insured);
            shown.push((number, PersonNumber { insurer_number, insured_number, handle }));
        }
        let is_shown = |number: PersonKey| shown.iter().any(|(shown, _)| *shown == number);
        let joins = links.iter().filter(|link| is_shown(link.person) && is_shown(link.link.before));
        let mut changes: Vec<NumberChange> = joins.map(NumberChange::of).collect();
        changes.sort_by_key(|change| (change.changed_on, change.after));
        // Each own number finds the look in its own record.
        let detail = serde_json::json!({ "numbers": shown.len() }).to_string();
        for (number, _) in shown.iter().filter(|(number, _)| number.insurer == person.insurer) {
            let entry = caller.entry_about(context, *number, "numbers", Outcome::Allowed);
            self.store().audit().append(Entry { detail: Some(detail.clone()), ..entry }).await?;
        }
        Ok(PersonNumbers { numbers: shown.into_iter().map(|(_, number)| number).collect(), changes })
    }
}

impl NumberChange {
    fn of(stored: &StoredLink) -> Self {
        let link = &stored.link;
        Self {
            before: link.before,
            after: stored.person,
            changed_on: link.changed_on,
            reason: link.reason.code(),
            reason_name: reason_ja(link.reason),
        }
    }
}

fn reason_ja(reason: LinkReason) -> &'static str {
    match reason {
        LinkReason::Renumbered => "番号変更",
        LinkReason::Merged => "統合",
        LinkReason::MovedIn => "転入",
        LinkReason::Union => "広域連合への加入・脱退",
    }
}

fn is_same_person(one: &Insured, other: &Insured) -> bool {
    let of = |insured: &Insured| (normalize_kana(&insured.identity.kana), insured.identity.birth, insured.identity.sex);
    of(one) == of(other)
}
