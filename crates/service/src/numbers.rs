//! Numbers that belong together (P-038): all numbers of one person, and the members of a 広域連合.

use crate::{Context, Error, Platform};
use kiban_domain::dates::Period;
use kiban_domain::insured::{Insured, normalize_kana};
use kiban_domain::{InsurerNumber, PersonKey};
use kiban_store::{Entry, Outcome, StoredLink, StoredMember};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers one person may have had at most; more is a mistake in the data.
const MOST: usize = 20;

impl Platform {
    /// Every number of a person, this one first: what it was before and what it became. A link counts only when its receipt is
    /// applied and name, birth and sex are the same under both numbers, so that no insurer can tie a stranger to somebody.
    pub async fn numbers_of(&self, person: PersonKey) -> Result<Vec<PersonKey>, Error> {
        let Some((_, own)) = self.store().person(person).await? else { return Ok(Vec::new()) };
        let (mut numbers, mut seen) = (vec![person], BTreeSet::from([person]));
        let mut next = 0;
        while let Some(number) = numbers.get(next).copied().filter(|_| numbers.len() < MOST) {
            next += 1;
            let before = self.standing_links(self.store().links_of(number).await?).await?;
            let after = self.standing_links(self.store().links_to(number).await?).await?;
            let others = before.into_iter().map(|link| link.link.before).chain(after.into_iter().map(|l| l.person));
            for other in others {
                if seen.insert(other)
                    && let Some((_, found)) = self.store().person(other).await?
                    && is_same_person(&own, &found)
                {
                    numbers.push(other);
                }
            }
        }
        Ok(numbers)
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

    /// Notes that the cards of a municipality are those of a 広域連合, on these days.
    pub async fn put_union_member(
        &self,
        union: InsurerNumber,
        member: InsurerNumber,
        period: Period,
        way: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.put_union_member(&StoredMember { member, period, union }).await?;
        let detail = serde_json::json!({ "union": union, "member": member, "from": period.from(), "to": period.to() });
        let entry = Entry::new(context.now, &context.request_id, way, "union_member", Outcome::Done);
        tx.commit(Entry { detail: Some(detail.to_string()), ..entry }).await?;
        self.refresh_standing(context.now).await
    }
}

fn is_same_person(one: &Insured, other: &Insured) -> bool {
    let of = |insured: &Insured| (normalize_kana(&insured.identity.kana), insured.identity.birth, insured.identity.sex);
    of(one) == of(other)
}
