//! The municipality of somebody who fits nobody: where it has not started, that and its day are said (P-150). It is read from the
//! address the provider names and from nothing that is stored about anybody.

use super::attempt::PersonClaims;
use crate::start::not_started;
use crate::{Context, Error, Platform};
use kiban_domain::InsurerNumber;
use kiban_domain::insured::normalize_kanji;
use kiban_domain::municipality::{Municipality, find, municipalities};

impl Platform {
    /// 証記載保険者番号 of the municipality in which the address lies, while it has not started.
    pub(crate) async fn city_not_started(
        &self,
        claims: &PersonClaims,
        context: &Context,
    ) -> Result<Option<InsurerNumber>, Error> {
        let city = claims.address.as_deref().and_then(municipality_of).map(|city| city.card_number);
        let Some(city) = city else { return Ok(None) };
        Ok(self.start_in_words(city, context).await?.map(|_| city))
    }

    /// A municipality of the master that has not started, with its day: 「見本県見本市は 未開始（…）」. It is public; nobody is recorded.
    pub async fn start_in_words(&self, card: InsurerNumber, context: &Context) -> Result<Option<String>, Error> {
        let Some(city) = find(card) else { return Ok(None) };
        // Of a 広域連合 it is the union that starts.
        let insurer = self.standing().paying_insurer(card, context.today());
        let start = self.store().start_of(insurer).await?;
        let words = not_started(start, context.today());
        Ok(words.map(|words| format!("{}{}は {words}", city.prefecture_name, city.name)))
    }
}

/// The municipality of an address of the 住民票: 都道府県, perhaps a 郡, its name. Without the 都道府県 only where one fits.
fn municipality_of(address: &str) -> Option<&'static Municipality> {
    let address = normalize_kanji(address);
    let all = || municipalities().iter().filter(|municipality| municipality.is_municipality());
    let begins = |rest: &str, city: &Municipality| rest.starts_with(&normalize_kanji(city.name));
    let fits = |rest: &str, city: &Municipality| {
        // 町 and 村 stand behind their 郡; names of 市 may hold the letter themselves.
        begins(rest, city) || rest.split_once('郡').is_some_and(|(_, rest)| begins(rest, city))
    };
    let (mut found, mut alone) = (None::<&Municipality>, Vec::new());
    for city in all() {
        if let Some(rest) = address.strip_prefix(&normalize_kanji(city.prefecture_name)) {
            // The longest name: one may begin as another does.
            if fits(rest, city) && found.is_none_or(|found| found.name.len() < city.name.len()) {
                found = Some(city);
            }
        } else if begins(&address, city) {
            alone.push(city);
        }
    }
    found.or(match alone[..] {
        [only] => Some(only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_municipality_of_an_address_is_found_however_it_is_written() {
        let of = |address| municipality_of(address).map(|city| (city.prefecture_name, city.name));
        assert_eq!(of("兵庫県三木市架空町１番地"), Some(("兵庫県", "三木市")));
        assert_eq!(of("兵庫県　三木市 架空町1-1"), Some(("兵庫県", "三木市")));
        assert_eq!(of("熊本県球磨郡水上村大字架空1"), Some(("熊本県", "水上村")));
        assert_eq!(of("千葉県千葉市中央区架空1-1"), Some(("千葉県", "千葉市")));
        assert_eq!(of("千葉市中央区架空1-1"), Some(("千葉県", "千葉市")));
        assert_eq!(of("奈良県大和郡山市架空町1"), Some(("奈良県", "大和郡山市")));
        assert_eq!(of("福岡県小郡市架空1"), Some(("福岡県", "小郡市")));
        // 府中市 is in 東京都 and in 広島県.
        assert_eq!(of("府中市架空町1"), None);
        assert_eq!(of("広島県府中市架空町1"), Some(("広島県", "府中市")));
        assert_eq!(of("見本県見本市架空町1-1"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn every_municipality_is_found_by_its_own_name() {
        for city in municipalities().iter().filter(|city| city.is_municipality()) {
            let address = format!("{}{}架空町1-1", city.prefecture_name, city.name);
            assert_eq!(municipality_of(&address).map(|found| found.card_number), Some(city.card_number), "{address}");
        }
    }
}
