//! What must be known of a person to find them in a disaster without a card (P-123).

use crate::{Error, ItemFault};
use kiban_domain::dates;
use kiban_domain::insured::{Insured, Sex, normalize_kana, normalize_kanji};
use kiban_domain::{Date, InsurerNumber};
use kiban_store::{InsurerKeys, SearchToken, SearchTokens};

/// What a helper knows of a person without a card. One item of each line must be there, and whatever is typed must fit
/// (P-123):
///
/// | 何を | どれか1つ以上 |
/// |---|---|
/// | だれか | 氏名（漢字）・フリガナ |
/// | どこの人か | 市区町村・住所（町名まで） |
/// | 同じ名前のうちどの人か | 生年月日・性別 |
#[derive(Debug, Clone)]
pub struct DisasterQuery {
    /// Why the person is searched for, 1 to 200 characters; recorded.
    pub reason: String,
    /// Municipality of the person; without it every municipality is searched whose mode covers the caller.
    pub insurer: Option<InsurerNumber>,
    /// 氏名 in kanji.
    pub name: Option<String>,
    /// 氏名 in kana.
    pub kana: Option<String>,
    /// 生年月日
    pub birth: Option<Date>,
    /// 性別
    pub sex: Option<Sex>,
    /// 住所, compared up to the 町丁目.
    pub address: Option<String>,
}

/// A line of the table above: whether one of its items is there, the item a fault points to, and what to do.
type Needed = (fn(&DisasterQuery) -> bool, &'static str, &'static str);

/// The table above. It is the whole rule: with each line met a search is accepted, else it is refused.
const NEEDED: [Needed; 3] = [
    (|known| known.name.is_some() || known.kana.is_some(), "name", "氏名を漢字またはカナで入力してください"),
    (
        |known| known.insurer.is_some() || known.address.is_some(),
        "insurer_number",
        "市区町村（保険者番号）、または住所（町名まで）を入力してください",
    ),
    (|known| known.birth.is_some() || known.sex.is_some(), "birth", "生年月日、または性別を入力してください"),
];

impl DisasterQuery {
    /// Refuses a search that is not in the table, or has no reason.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        if self.reason.trim().is_empty() {
            faults.push(ItemFault::new("reason", "検索の理由を入力してください（本人と市区町村に後で示されます）"));
        }
        if self.reason.chars().count() > 200 {
            faults.push(ItemFault::new("reason", "検索の理由は200文字以内にしてください"));
        }
        for (item, typed) in [("name", &self.name), ("kana", &self.kana)] {
            if typed.as_deref().is_some_and(|typed| typed.trim().is_empty()) {
                faults.push(ItemFault::new(item, "氏名が空です。分からないときは項目ごと省いてください"));
            }
        }
        if self.address.as_deref().is_some_and(|address| district(address).trim().is_empty()) {
            faults
                .push(ItemFault::new("address", "住所は市区町村名と町名を入力してください（番地だけでは探せません）"));
        }
        let missing = NEEDED.iter().filter(|(is_known, _, _)| !is_known(self));
        faults.extend(missing.map(|(_, item, text)| ItemFault::new(*item, *text)));
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }

    /// Tokens under which the person lies: each name with the birth date, or with the sex where that is unknown.
    pub(crate) fn tokens(&self, keys: &InsurerKeys) -> Vec<SearchToken> {
        let (name, kana) = (self.name.as_deref(), self.kana.as_deref());
        let mut tokens = Vec::new();
        if let Some(birth) = self.birth.map(dates::yyyymmdd) {
            tokens.extend(name.map(|name| SearchTokens::kanji_birth(keys, name, &birth)));
            tokens.extend(kana.map(|kana| SearchTokens::kana_birth(keys, kana, &birth)));
        } else if let Some(sex) = self.sex {
            tokens.extend(name.map(|name| SearchTokens::kanji_sex(keys, name, sex)));
            tokens.extend(kana.map(|kana| SearchTokens::kana_sex(keys, kana, sex)));
        }
        tokens
    }

    /// Everything that was typed must fit; of the municipality, see the caller.
    pub(crate) fn fits(&self, insured: &Insured) -> bool {
        let identity = &insured.identity;
        self.name.as_ref().is_none_or(|name| normalize_kanji(name) == normalize_kanji(&identity.name))
            && self.kana.as_ref().is_none_or(|kana| normalize_kana(kana) == normalize_kana(&identity.kana))
            && self.birth.is_none_or(|birth| birth == identity.birth)
            && self.sex.is_none_or(|sex| sex == identity.sex)
            && self.address.as_ref().is_none_or(|typed| {
                let known = identity.address.as_deref().map(district).unwrap_or_default();
                !known.is_empty() && normalize_kanji(&district(typed)) == normalize_kanji(&known)
            })
    }
}

/// Address up to the 町丁目: everything before the first digit. Kanji numerals stay: they are part of names (三重県, 八幡町).
pub(crate) fn district(address: &str) -> String {
    address.chars().take_while(|c| !c.is_numeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::insured::Identity;
    use kiban_domain::{InsuredNumber, PersonKey};

    const ITEMS: [&str; 6] = ["name", "kana", "insurer", "address", "birth", "sex"];

    /// The smallest searches of P-123, written out.
    const ACCEPTED: [[&str; 3]; 8] = [
        ["name", "insurer", "birth"],
        ["name", "insurer", "sex"],
        ["name", "address", "birth"],
        ["name", "address", "sex"],
        ["kana", "insurer", "birth"],
        ["kana", "insurer", "sex"],
        ["kana", "address", "birth"],
        ["kana", "address", "sex"],
    ];

    fn hanako() -> Insured {
        let insurer = InsurerNumber::parse("131219").unwrap();
        Insured {
            key: PersonKey { insurer, insured: InsuredNumber::parse("0000000001").unwrap() },
            card_insurer: insurer,
            identity: Identity {
                name: "架空 花子".to_owned(),
                kana: "カクウ ハナコ".to_owned(),
                birth: jiff::civil::date(1941, 5, 3),
                sex: Sex::Female,
                postal_code: None,
                address: Some("三重県見本市八幡町1-1".to_owned()),
                telephone: None,
            },
            withheld: false,
            acquired_on: jiff::civil::date(2006, 5, 2),
            lost: None,
            domicile_exception: false,
            acquired_because: None,
            domicile_facility: None,
        }
    }

    fn query(known: &[&str]) -> DisasterQuery {
        let (is_known, of) = (|item| known.contains(&item), hanako());
        DisasterQuery {
            reason: "安否確認".to_owned(),
            insurer: is_known("insurer").then_some(of.card_insurer),
            name: is_known("name").then_some(of.identity.name),
            kana: is_known("kana").then_some(of.identity.kana),
            birth: is_known("birth").then_some(of.identity.birth),
            sex: is_known("sex").then_some(of.identity.sex),
            address: is_known("address").then_some("三重県見本市八幡町9".to_owned()),
        }
    }

    #[test]
    fn of_all_combinations_exactly_those_of_the_rule_are_accepted() {
        for bits in 0..1_u32 << ITEMS.len() {
            let known: Vec<&str> = (0..ITEMS.len()).filter(|i| bits >> i & 1 == 1).map(|i| ITEMS[i]).collect();
            let expected = ACCEPTED.iter().any(|least| least.iter().all(|item| known.contains(item)));
            assert_eq!(query(&known).check().is_ok(), expected, "{known:?}");
        }
    }

    #[test]
    fn whatever_is_typed_must_fit() {
        assert!(query(&ITEMS).fits(&hanako()));
        let with = |change: fn(&mut DisasterQuery)| {
            let mut query = query(&ITEMS);
            change(&mut query);
            query.fits(&hanako())
        };
        assert!(with(|query| query.kana = Some("ｶｸｳ　はなこ".to_owned())));
        assert!(!with(|query| query.name = Some("架空 華子".to_owned())));
        assert!(!with(|query| query.kana = Some("カクウ ハナヨ".to_owned())));
        assert!(!with(|query| query.birth = Some(jiff::civil::date(1941, 5, 4))));
        assert!(!with(|query| query.sex = Some(Sex::Male)));
        assert!(!with(|query| query.address = Some("三重県見本市二の町1-1".to_owned())));
        assert!(!with(|query| query.address = Some("七重県見本市八幡町1-1".to_owned())));
        let mut nowhere = hanako();
        nowhere.identity.address = Some("１２－３".to_owned());
        assert!(!query(&ITEMS).fits(&nowhere), "an address without a place fits nothing");
    }

    #[test]
    fn an_empty_name_or_an_address_without_a_place_is_no_search() {
        let mut empty = query(&["name", "insurer", "birth"]);
        empty.name = Some("　".to_owned());
        assert!(empty.check().is_err());
        let mut number = query(&["name", "address", "birth"]);
        number.address = Some("１２－３".to_owned());
        assert!(number.check().is_err());
    }
}
