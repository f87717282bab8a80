//! The master of municipalities: every number a 被保険者証 may carry, who pays for it, and whether sharing has started there
//! (docs/requirements.md §15.1, P-038, P-131, P-150).
//!
//! Names, numbers and 広域連合 are data (`data/municipalities.tsv`, `data/unions.tsv`). When a municipality starts is known to
//! its operator only; every municipality begins as 未定.

use crate::dates::{Period, parse_yyyymmdd};
use crate::ids::{InsurerNumber, PrefectureCode};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// What a number of the master stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MunicipalityKind {
    /// 政令指定都市
    DesignatedCity,
    /// 市
    City,
    /// 特別区 of Tokyo
    SpecialWard,
    /// 町
    Town,
    /// 村
    Village,
    /// 行政区 of a 政令指定都市: no municipality, but a card may carry its number.
    Ward,
}

impl MunicipalityKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::DesignatedCity, Self::City, Self::SpecialWard, Self::Town, Self::Village, Self::Ward];

    /// Name in the master.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::DesignatedCity => "政令指定都市",
            Self::City => "市",
            Self::SpecialWard => "特別区",
            Self::Town => "町",
            Self::Village => "村",
            Self::Ward => "行政区",
        }
    }
}

/// One 市区町村, or one ward whose number a card may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "市区町村")]
pub struct Municipality {
    /// 証記載保険者番号
    pub card_number: InsurerNumber,
    /// 全国地方公共団体コード, its first five digits.
    pub code5: &'static str,
    /// 都道府県コード
    pub prefecture: PrefectureCode,
    /// 都道府県名
    pub prefecture_name: &'static str,
    /// 名称; of a ward with the name of its city.
    pub name: &'static str,
    /// 名称 in hiragana.
    pub kana: &'static str,
    /// 市, 町, 村 …
    pub kind: MunicipalityKind,
    /// The city of a ward.
    pub parent: Option<InsurerNumber>,
    /// This very number was read in a public document; the others are computed from the code.
    pub is_confirmed: bool,
}

impl Municipality {
    /// Whether it is one of the 1,741 市区町村 rather than a ward of a city.
    pub fn is_municipality(&self) -> bool {
        self.kind != MunicipalityKind::Ward
    }

    fn from_row(row: &'static str) -> Option<Self> {
        let fields: Vec<&'static str> = row.split('\t').collect();
        let [card_number, code5, prefecture, prefecture_name, name, kana, kind, parent, check] = fields[..] else {
            return None;
        };
        Some(Self {
            card_number: InsurerNumber::parse(card_number).ok()?,
            code5,
            prefecture: PrefectureCode::parse(prefecture).ok()?,
            prefecture_name,
            name,
            kana,
            kind: MunicipalityKind::ALL.into_iter().find(|k| k.name_ja() == kind)?,
            parent: InsurerNumber::parse(parent).ok(),
            is_confirmed: check == "confirmed",
        })
    }
}

/// Rows of a table: no comments, no header.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1)
}

/// All municipalities and wards, in order of their numbers.
pub fn municipalities() -> &'static [Municipality] {
    static MASTER: OnceLock<Vec<Municipality>> = OnceLock::new();
    MASTER.get_or_init(|| {
        let mut master: Vec<_> =
            rows(include_str!("../data/municipalities.tsv")).filter_map(Municipality::from_row).collect();
        master.sort_by_key(|municipality| municipality.card_number);
        master
    })
}

/// The municipality or ward of a number on a card.
pub fn find(card: InsurerNumber) -> Option<&'static Municipality> {
    let master = municipalities();
    master.binary_search_by_key(&card, |municipality| municipality.card_number).ok().map(|i| &master[i])
}

/// A municipality that belongs to a 広域連合 or 一部事務組合 for care insurance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "広域連合")]
pub struct UnionMember {
    /// Name of the union.
    pub union: String,
    /// 証記載保険者番号 of the member.
    pub member: InsurerNumber,
    /// Days of membership; a start that is not established is [`Date::MIN`].
    pub period: Period,
    /// The union's own 保険者番号. `None`: not publicly established, the member's own number stays the payer's.
    pub paying_insurer: Option<InsurerNumber>,
}

/// Table of unions, replaceable by the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unions(Vec<UnionMember>);

impl Unions {
    /// The table that comes with the program.
    pub fn built_in() -> &'static Self {
        static UNIONS: OnceLock<Unions> = OnceLock::new();
        UNIONS.get_or_init(|| Self::parse(include_str!("../data/unions.tsv")).unwrap_or_default())
    }

    /// Reads a table in the form of `data/unions.tsv`; an error names the line (1-based).
    pub fn parse(table: &str) -> Result<Self, UnionsError> {
        let mut members = Vec::new();
        let mut is_header = true;
        for (i, line) in table.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
            if !std::mem::take(&mut is_header) {
                members.push(Self::member(line).ok_or(UnionsError { line: i + 1 })?);
            }
        }
        Ok(Self(members))
    }

    fn member(line: &str) -> Option<UnionMember> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [union, code5, _name, from, to, paying, _source] = fields[..] else { return None };
        let day = |text: &str| parse_yyyymmdd(&text.replace('-', "")).ok();
        let from = if from.is_empty() { Date::MIN } else { day(from)? };
        let to = if to.is_empty() { None } else { Some(day(to)?) };
        Some(UnionMember {
            union: union.to_owned(),
            member: InsurerNumber::from_code5(code5).ok()?,
            period: Period::new(from, to).ok()?,
            paying_insurer: if paying.is_empty() { None } else { Some(InsurerNumber::parse(paying).ok()?) },
        })
    }

    /// All rows.
    pub fn members(&self) -> &[UnionMember] {
        &self.0
    }

    /// The union a municipality belongs to on a day.
    pub fn membership(&self, member: InsurerNumber, on: Date) -> Option<&UnionMember> {
        self.0.iter().find(|row| row.member == member && row.period.contains(on))
    }

    /// 保険者番号 of the paying insurer for a number on a card, on a day: a ward's city, then its union if it has one.
    pub fn paying_insurer(&self, card: InsurerNumber, on: Date) -> InsurerNumber {
        let own = find(card).and_then(|municipality| municipality.parent).unwrap_or(card);
        self.membership(own, on).and_then(|row| row.paying_insurer).unwrap_or(own)
    }
}

/// A line of a union table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the union table cannot be read")]
pub struct UnionsError {
    /// 1-based line.
    pub line: usize,
}

/// [`Unions::paying_insurer`] of the built-in table. A number unknown to the master pays for itself: the master is a
/// dated copy, and a merged or new insurer must not be lost.
pub fn paying_insurer(card: InsurerNumber, on: Date) -> InsurerNumber {
    Unions::built_in().paying_insurer(card, on)
}

/// 利用開始: when a municipality begins to share (P-131, P-150).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "date")]
#[doc(alias = "利用開始日")]
pub enum StartState {
    /// 未定
    #[default]
    Undecided,
    /// 日程調整中
    Coordinating,
    /// 予定, with the day announced.
    Planned(Date),
    /// 開始, with 利用開始日.
    Started(Date),
}

impl StartState {
    /// Whether information is shared on this day. A planned day that has come does not start anything by itself: the
    /// operator confirms the start.
    pub fn is_started(self, today: Date) -> bool {
        matches!(self, Self::Started(day) if day <= today)
    }

    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Coordinating => "coordinating",
            Self::Planned(_) => "planned",
            Self::Started(_) => "started",
        }
    }

    /// The state of a stored code and day; `None` when they do not fit each other.
    pub fn from_code(code: &str, day: Option<Date>) -> Option<Self> {
        match (code, day) {
            ("undecided", None) => Some(Self::Undecided),
            ("coordinating", None) => Some(Self::Coordinating),
            ("planned", Some(day)) => Some(Self::Planned(day)),
            ("started", Some(day)) => Some(Self::Started(day)),
            _ => None,
        }
    }

    /// The day that belongs to it.
    pub fn date(self) -> Option<Date> {
        match self {
            Self::Planned(day) | Self::Started(day) => Some(day),
            Self::Undecided | Self::Coordinating => None,
        }
    }

    /// What the portal shows.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Undecided => "未定",
            Self::Coordinating => "調整中",
            Self::Planned(_) => "予定",
            Self::Started(_) => "開始",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::collections::{HashMap, HashSet};

    fn number(text: &str) -> InsurerNumber {
        text.parse().unwrap()
    }

    #[test]
    fn the_master_holds_every_municipality_and_every_ward_of_japan() {
        let count = |kind| municipalities().iter().filter(|m| m.kind == kind).count();
        assert_eq!(municipalities().iter().filter(|m| m.is_municipality()).count(), 1741);
        assert_eq!(MunicipalityKind::ALL.map(count), [20, 772, 23, 743, 183, 171]);
        let prefectures: HashSet<_> = municipalities().iter().map(|m| m.prefecture).collect();
        assert_eq!(prefectures.len(), 47);
    }

    #[test]
    fn every_number_follows_from_its_code_and_lies_in_its_prefecture() {
        for m in municipalities() {
            assert_eq!(InsurerNumber::from_code5(m.code5), Ok(m.card_number), "{}", m.name);
            assert_eq!(m.card_number.prefecture(), m.prefecture.as_str(), "{}", m.name);
        }
    }

    #[test]
    fn no_name_occurs_twice_in_a_prefecture() {
        let names: HashSet<_> = municipalities().iter().map(|m| (m.prefecture, m.name)).collect();
        assert_eq!(names.len(), municipalities().len());
    }

    #[test]
    fn a_number_read_on_a_real_form_finds_its_municipality() {
        for (card, name) in [
            ("435073", "水上村"),
            ("143826", "箱根町"),
            ("232074", "豊川市"),
            ("131219", "足立区"),
            ("221309", "浜松市"),
        ] {
            let found = find(number(card)).unwrap();
            assert_eq!((found.name, found.is_confirmed), (name, true));
        }
        assert_eq!(find(InsurerNumber::from_code5("99999").unwrap()), None);
    }

    #[test]
    fn the_city_pays_for_a_card_that_carries_the_number_of_a_ward() {
        let ward = find(number("121012")).unwrap();
        assert_eq!((ward.name, ward.parent), ("千葉市中央区", Some(number("121004"))));
        assert_eq!(paying_insurer(ward.card_number, date(2026, 10, 1)), number("121004"));
        for ward in municipalities().iter().filter(|m| !m.is_municipality()) {
            let city = find(ward.parent.unwrap()).unwrap();
            assert_eq!(city.kind, MunicipalityKind::DesignatedCity);
            assert!(ward.name.starts_with(city.name));
        }
    }

    #[test]
    fn a_union_with_its_own_number_pays_for_its_members_while_they_are_members() {
        let payer = InsurerNumber::from_code5("23999").unwrap();
        let table = format!("union\t…\n架空広域連合\t23207\t豊川市\t2018-04-01\t2024-03-31\t{payer}\tinvented\n");
        let unions = Unions::parse(&table).unwrap();
        let card = number("232074");
        assert_eq!(unions.paying_insurer(card, date(2018, 3, 31)), card);
        assert_eq!(unions.paying_insurer(card, date(2018, 4, 1)), payer);
        assert_eq!(unions.paying_insurer(card, date(2024, 3, 31)), payer);
        assert_eq!(unions.paying_insurer(card, date(2024, 4, 1)), card);
    }

    #[test]
    fn a_union_whose_number_is_not_known_leaves_its_members_paying_for_themselves() {
        let toyokawa = number("232074");
        let membership = Unions::built_in().membership(toyokawa, date(2026, 10, 1)).unwrap();
        assert_eq!((membership.union.as_str(), membership.paying_insurer), ("東三河広域連合", None));
        assert_eq!(paying_insurer(toyokawa, date(2026, 10, 1)), toyokawa);
        let moriguchi = InsurerNumber::from_code5("27209").unwrap();
        assert!(Unions::built_in().membership(moriguchi, date(2024, 3, 31)).is_some());
        assert!(Unions::built_in().membership(moriguchi, date(2024, 4, 1)).is_none(), "dissolved");
    }

    #[test]
    fn the_built_in_unions_name_only_municipalities_of_the_master_by_their_names() {
        assert_eq!(Unions::built_in().members().len(), 127);
        let mut prefecture_of = HashMap::new();
        for row in rows(include_str!("../data/unions.tsv")) {
            let fields: Vec<_> = row.split('\t').collect();
            let member = find(InsurerNumber::from_code5(fields[1]).unwrap()).unwrap();
            assert_eq!(member.name, fields[2]);
            assert!(member.is_municipality(), "{row}");
            assert!(fields[6].starts_with("[source] ") || fields[6].starts_with("[knowledge] "), "{row}");
            assert_eq!(*prefecture_of.entry(fields[0]).or_insert(member.prefecture), member.prefecture, "{row}");
        }
    }

    #[test]
    fn nobody_is_a_member_of_two_built_in_unions_at_once_and_each_union_has_two_members() {
        let members = Unions::built_in().members();
        let mut sizes: HashMap<&str, usize> = HashMap::new();
        for (i, one) in members.iter().enumerate() {
            *sizes.entry(&one.union).or_default() += 1;
            for other in members[i + 1..].iter().filter(|other| other.member == one.member) {
                let apart = |a: &Period, b: &Period| a.to().is_some_and(|last| last < b.from());
                assert!(apart(&one.period, &other.period) || apart(&other.period, &one.period), "{one:?} {other:?}");
            }
        }
        assert!(sizes.values().all(|members| *members >= 2), "{sizes:?}");
        assert_eq!(sizes.len(), 35);
    }

    #[test]
    fn a_broken_line_of_a_union_table_is_named() {
        let table = "# comment\nheader\n架空広域連合\t23207\t豊川市\t2018-04-01\t2017-04-01\t\tinvented\n";
        assert_eq!(Unions::parse(table), Err(UnionsError { line: 3 }));
        assert_eq!(Unions::parse("header\nx\n"), Err(UnionsError { line: 2 }));
    }

    #[test]
    fn a_municipality_shares_from_its_confirmed_start_and_not_before() {
        let today = date(2026, 10, 1);
        assert!(StartState::Started(today).is_started(today));
        assert!(!StartState::Started(date(2026, 10, 2)).is_started(today));
        assert!(!StartState::Planned(today).is_started(today));
        assert!(!StartState::Coordinating.is_started(today) && !StartState::default().is_started(today));
    }

    #[test]
    fn a_start_state_survives_its_code_and_its_text() {
        let day = date(2027, 4, 1);
        for state in
            [StartState::Undecided, StartState::Coordinating, StartState::Planned(day), StartState::Started(day)]
        {
            assert_eq!(StartState::from_code(state.code(), state.date()), Some(state));
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<StartState>(&text).unwrap(), state);
        }
        assert_eq!(StartState::from_code("started", None), None);
    }
}
