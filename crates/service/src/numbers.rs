//! All numbers of one person (P-038).

use crate::{Error, Platform};
use kiban_domain::PersonKey;
use kiban_domain::insured::{Insured, normalize_kana};
use kiban_store::StoredLink;
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
}

fn is_same_person(one: &Insured, other: &Insured) -> bool {
    let of = |insured: &Insured| (normalize_kana(&insured.identity.kana), insured.identity.birth, insured.identity.sex);
    of(one) == of(other)
}
