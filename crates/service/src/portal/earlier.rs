//! Earlier numbers at the person's own door (P-038): whoever was renumbered, or moved, sees the records under the numbers before, too.
//! Each number's records stay with its insurer; only the person, and who looks for the person, sees them together.

use super::Looking;
use super::blocks::is_kept_out;
use crate::{Context, Error, Platform};
use kiban_domain::insured::normalize_kanji;
use kiban_domain::{Date, PersonKey};
use kiban_store::{Outcome, PortalGrant};

/// A number the person had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierNumber {
    /// The number.
    pub person: PersonKey,
    /// 市区町村名 of its insurer.
    pub city: String,
    /// Last day on which it was the person's, as far as that is known.
    pub until: Option<Date>,
}

impl Platform {
    /// The numbers before the present one, in an order that stays. None of a 不開示 person, whichever number says so: where somebody lived
    /// is told by them. Beside kana, birth and sex the name must be the same: nobody is shown a namesake's records.
    pub async fn my_earlier_numbers(&self, looking: &Looking, context: &Context) -> Result<Vec<EarlierNumber>, Error> {
        let earlier = self.earlier_numbers(&looking.grant).await?;
        if !earlier.is_empty() {
            self.store().audit().append(looking.entry(context, "numbers", Outcome::Allowed)).await?;
        }
        Ok(earlier)
    }

    async fn earlier_numbers(&self, grant: &PortalGrant) -> Result<Vec<EarlierNumber>, Error> {
        let person = grant.person;
        let Some((header, own)) = self.store().person(person).await? else { return Ok(Vec::new()) };
        if header.withheld || own.withheld {
            return Ok(Vec::new());
        }
        let name = normalize_kanji(&own.identity.name);
        let mut earlier = Vec::new();
        for number in self.numbers_of(person).await?.into_iter().filter(|number| *number != person) {
            let Some((header, known)) = self.store().person(number).await? else { continue };
            if header.withheld || known.withheld {
                return Ok(Vec::new());
            }
            // What the person refused, and what a municipality blocked, holds for the records under the number it was said of (T-2).
            if grant.role.is_proxy() && is_kept_out(grant, &self.store().portal_grants(number).await?) {
                continue;
            }
            let changes = self.standing_links(self.store().links_to(number).await?).await?;
            // A number that nothing followed is none of before.
            if normalize_kanji(&known.identity.name) == name && !changes.is_empty() {
                earlier.push(EarlierNumber {
                    person: number,
                    city: kiban_domain::municipality::find(known.card_insurer)
                        .map_or_else(|| format!("保険者番号 {}", number.insurer), |city| city.name.to_string()),
                    until: changes.iter().map(|link| link.link.changed_on).max(),
                });
            }
        }
        earlier.sort_by_key(|one| (std::cmp::Reverse(one.until), one.person));
        Ok(earlier)
    }

    /// The person under one of them, by its place in the list, for the questions that are asked about the present number; unknown
    /// where there is none or nothing may be seen. The looks are recorded under the number they are at.
    pub async fn at_earlier_number(
        &self,
        looking: &Looking,
        place: usize,
        context: &Context,
    ) -> Result<(EarlierNumber, Looking), Error> {
        let earlier = self.earlier_numbers(&looking.grant).await?.into_iter().nth(place);
        let Some(earlier) = earlier else {
            self.store().audit().append(looking.entry(context, "numbers", Outcome::Refused)).await?;
            return Err(Error::Unknown);
        };
        let grant = PortalGrant { person: earlier.person, ..looking.grant.clone() };
        Ok((earlier, Looking { grant, ..looking.clone() }))
    }
}
