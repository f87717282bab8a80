//! Dates of the care insurance: 西暦 in files, 和暦 on forms, service months, inclusive periods (docs/requirements.md §15.2,
//! P-198). The clock is never read here; Japan's offset is fixed to +09:00 in one function.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Not the digits the form asks for.
    #[error("not in the form {expected}")]
    Form {
        /// The form, such as `YYYYMMDD`.
        expected: &'static str,
    },
    /// Digits, but no day of the calendar.
    #[error("no such day in the calendar")]
    NoSuchDay,
    /// An era that is not in the table, or a day outside its era.
    #[error("no such era or a day outside its era")]
    Era,
    /// The end lies before the start.
    #[error("the period ends before it starts")]
    Order,
}

impl DateError {
    /// The same in Japanese.
    pub fn message_ja(&self) -> String {
        match self {
            Self::Form { expected } => format!("{expected} の形の半角数字で入力してください"),
            Self::NoSuchDay => "暦にない日付です".to_owned(),
            Self::Era => "元号の表にない年、またはその元号の期間外の日付です".to_owned(),
            Self::Order => "終了日が開始日より前になっています".to_owned(),
        }
    }
}

/// The only place that knows the offset.
const JAPAN: jiff::tz::Offset = jiff::tz::Offset::constant(9);

/// Day in Japan at an instant.
pub fn day_in_japan(now: jiff::Timestamp) -> Date {
    JAPAN.to_datetime(now).date()
}

/// Hour of the day in Japan at an instant, 0 to 23.
pub fn hour_in_japan(now: jiff::Timestamp) -> i8 {
    JAPAN.to_datetime(now).hour()
}

/// Instant of a wall-clock time in Japan.
pub fn instant_in_japan(at: jiff::civil::DateTime) -> Option<jiff::Timestamp> {
    JAPAN.to_timestamp(at).ok()
}

/// Reads `YYYYMMDD`.
pub fn parse_yyyymmdd(text: &str) -> Result<Date, DateError> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DateError::Form { expected: "YYYYMMDD" });
    }
    from_number(text.bytes().fold(0, |number, digit| number * 10 + i32::from(digit - b'0')))
}

/// Writes `YYYYMMDD`.
pub fn yyyymmdd(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// The day as one integer, the form in which the store keeps it.
pub fn to_number(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

/// Inverse of [`to_number`].
pub fn from_number(number: i32) -> Result<Date, DateError> {
    let part = |n: i32| i8::try_from(n).map_err(|_| DateError::NoSuchDay);
    let year = i16::try_from(number / 10_000).map_err(|_| DateError::NoSuchDay)?;
    Date::new(year, part(number / 100 % 100)?, part(number % 100)?).map_err(|_| DateError::NoSuchDay)
}

/// 元号. Their first days are data; a new era is one more line (docs/requirements.md §15.2).
const ERAS: [(&str, char, i32); 5] = [
    ("令和", 'R', 20190501),
    ("平成", 'H', 19890108),
    ("昭和", 'S', 19261225),
    ("大正", 'T', 19120730),
    ("明治", 'M', 18680125),
];

/// Writes a day as 和暦, `令和8年4月1日`; the first year is 元年. Days before 明治 are written in 西暦.
pub fn wareki(date: Date) -> String {
    let number = to_number(date);
    for (era, _, first) in ERAS {
        if number >= first {
            let year = i32::from(date.year()) - first / 10_000 + 1;
            let year = if year == 1 { "元".to_owned() } else { year.to_string() };
            return format!("{era}{year}年{}月{}日", date.month(), date.day());
        }
    }
    format!("{}年{}月{}日", date.year(), date.month(), date.day())
}

/// Reads a day in 和暦 or 西暦 the way people type it: `令和8年4月1日`, `R8.4.1`, `昭和元年12月25日`, `2026-04-01`,
/// `2026年4月1日`, `20260401`; full-width digits are taken too.
pub fn parse_typed(text: &str) -> Result<Date, DateError> {
    use unicode_normalization::UnicodeNormalization;
    let text: String = text.trim().nfkc().collect();
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return parse_yyyymmdd(&text);
    }
    const FORM: DateError = DateError::Form { expected: "令和8年4月1日 または 20260401" };
    let era = ERAS.iter().find(|(name, letter, _)| text.starts_with(name) || text.starts_with(*letter));
    let rest = match era {
        Some((name, _, _)) if text.starts_with(name) => &text[name.len()..],
        Some(_) => &text[1..],
        None => text.as_str(),
    };
    let rest = rest.replace('元', "1");
    let parts: Vec<i32> = rest
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| FORM))
        .collect::<Result<_, _>>()?;
    let [year, month, day] = parts[..] else { return Err(FORM) };
    let Some((_, _, first)) = era else {
        return if year >= 1000 { from_number(year * 10_000 + month * 100 + day) } else { Err(FORM) };
    };
    let date = from_number((first / 10_000 + year - 1) * 10_000 + month * 100 + day)?;
    let next_first = ERAS.iter().rev().map(|(_, _, f)| *f).find(|f| f > first).unwrap_or(i32::MAX);
    if year < 1 || to_number(date) < *first || to_number(date) >= next_first { Err(DateError::Era) } else { Ok(date) }
}

/// サービス提供年月: a calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceMonth(i32);

impl ServiceMonth {
    /// Reads `YYYYMM`.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DateError::Form { expected: "YYYYMM" });
        }
        let number: i32 = text.parse().map_err(|_| DateError::Form { expected: "YYYYMM" })?;
        from_number(number * 100 + 1).map(|_| Self(number))
    }

    /// Month of a day.
    pub fn of(date: Date) -> Self {
        Self(to_number(date) / 100)
    }

    /// Its first day.
    pub fn first_day(self) -> Date {
        from_number(self.0 * 100 + 1).unwrap_or(Date::MIN)
    }

    /// Its last day.
    pub fn last_day(self) -> Date {
        self.first_day().last_of_month()
    }

    /// The month as the integer `YYYYMM`.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The month `months` later (or earlier, when negative).
    pub fn plus(self, months: i32) -> Self {
        let count = self.0 / 100 * 12 + self.0 % 100 - 1 + months;
        Self(count.div_euclid(12) * 100 + count.rem_euclid(12) + 1)
    }
}

impl fmt::Display for ServiceMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl Serialize for ServiceMonth {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceMonth {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// An inclusive period of days; without an end it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawPeriod", into = "RawPeriod")]
pub struct Period {
    from: Date,
    to: Option<Date>,
}

#[derive(Serialize, Deserialize)]
struct RawPeriod {
    from: Date,
    to: Option<Date>,
}

impl TryFrom<RawPeriod> for Period {
    type Error = DateError;
    fn try_from(raw: RawPeriod) -> Result<Self, DateError> {
        Self::new(raw.from, raw.to)
    }
}

impl From<Period> for RawPeriod {
    fn from(period: Period) -> Self {
        Self { from: period.from, to: period.to }
    }
}

impl Period {
    /// A period; refused when it ends before it starts.
    pub fn new(from: Date, to: Option<Date>) -> Result<Self, DateError> {
        if to.is_some_and(|to| to < from) { Err(DateError::Order) } else { Ok(Self { from, to }) }
    }

    /// First day.
    pub fn from(&self) -> Date {
        self.from
    }

    /// Last day, if there is one.
    pub fn to(&self) -> Option<Date> {
        self.to
    }

    /// Whether a day lies inside, ends included.
    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && self.to.is_none_or(|to| day <= to)
    }
}

/// A day of which only the year or the month may be known (発症年月日: 年だけ, 年月だけ, 不詳), kept as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialDate {
    /// As it stood on the form.
    pub text: String,
    /// What is known of it: year, month, day; `None` for the parts that are not.
    pub known: (Option<i16>, Option<i8>, Option<i8>),
}

impl PartialDate {
    /// As it stands, with what can be known of it: a whole day, year and month, or the year.
    pub fn of_text(text: String) -> Self {
        let whole = parse_typed(&text).ok();
        let month = || parse_typed(&format!("{}1日", text.trim_end_matches(['頃', 'ご', 'ろ']))).ok();
        let year = || parse_typed(&format!("{}12月31日", text.trim_end_matches(['頃', 'ご', 'ろ']))).ok();
        let known = match whole {
            Some(date) => (Some(date.year()), Some(date.month()), Some(date.day())),
            None => match (text.contains('月').then(month).flatten(), text.contains('年').then(year).flatten()) {
                (Some(date), _) => (Some(date.year()), Some(date.month()), None),
                (None, Some(date)) => (Some(date.year()), None, None),
                (None, None) => (None, None, None),
            },
        };
        Self { text, known }
    }
}

/// Age in completed years on a day. By the law of ages a year is completed at the end of the day *before* the birthday,
/// so somebody born on 1 April is a year older on 31 March (年齢計算ニ関スル法律).
pub fn age_on(birth: Date, day: Date) -> i16 {
    let day = day.tomorrow().unwrap_or(day);
    let years = day.year() - birth.year();
    if (day.month(), day.day()) < (birth.month(), birth.day()) { years - 1 } else { years }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn wareki_changes_on_the_first_day_of_an_era() {
        assert_eq!(wareki(date(2019, 4, 30)), "平成31年4月30日");
        assert_eq!(wareki(date(2019, 5, 1)), "令和元年5月1日");
        assert_eq!(wareki(date(1989, 1, 7)), "昭和64年1月7日");
        assert_eq!(wareki(date(1926, 12, 25)), "昭和元年12月25日");
        assert_eq!(wareki(date(1912, 7, 30)), "大正元年7月30日");
    }

    #[test]
    fn people_may_type_dates_as_they_are_used_to() {
        for text in
            ["令和8年4月1日", "R8.4.1", "Ｒ８．４．１", "2026-04-01", "2026年4月1日", "20260401", "２０２６０４０１"]
        {
            assert_eq!(parse_typed(text), Ok(date(2026, 4, 1)), "{text}");
        }
        assert_eq!(parse_typed("昭和16年5月3日"), Ok(date(1941, 5, 3)));
    }

    #[test]
    fn a_day_outside_its_era_is_refused() {
        assert_eq!(parse_typed("平成31年5月1日"), Err(DateError::Era));
        assert_eq!(parse_typed("昭和64年1月8日"), Err(DateError::Era));
        assert_eq!(parse_typed("令和元年4月30日"), Err(DateError::Era));
        assert!(parse_typed("8.4.1").is_err());
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert_eq!(parse_yyyymmdd("20250230"), Err(DateError::NoSuchDay));
        assert_eq!(parse_yyyymmdd("20250229"), Err(DateError::NoSuchDay));
        assert!(parse_yyyymmdd("20280229").is_ok());
        assert_eq!(parse_yyyymmdd("2025021"), Err(DateError::Form { expected: "YYYYMMDD" }));
    }

    #[test]
    fn a_period_includes_both_its_ends() {
        let period = Period::new(date(2026, 3, 1), Some(date(2028, 2, 29))).unwrap();
        assert!(period.contains(date(2026, 3, 1)) && period.contains(date(2028, 2, 29)));
        assert!(!period.contains(date(2028, 3, 1)) && !period.contains(date(2026, 2, 28)));
        assert_eq!(Period::new(date(2026, 3, 1), Some(date(2026, 2, 28))), Err(DateError::Order));
        assert!(serde_json::from_str::<Period>(r#"{"from":"2026-03-01","to":"2026-02-01"}"#).is_err());
    }

    #[test]
    fn a_year_of_age_is_completed_the_day_before_the_birthday() {
        assert_eq!(age_on(date(1961, 4, 1), date(2026, 3, 30)), 64);
        assert_eq!(age_on(date(1961, 4, 1), date(2026, 3, 31)), 65);
        assert_eq!(age_on(date(1960, 2, 29), date(2025, 2, 28)), 65);
    }

    #[test]
    fn japan_is_nine_hours_ahead() {
        assert_eq!(day_in_japan("2026-03-31T14:59:59Z".parse().unwrap()), date(2026, 3, 31));
        assert_eq!(day_in_japan("2026-03-31T15:00:00Z".parse().unwrap()), date(2026, 4, 1));
    }

    proptest! {
        #[test]
        fn every_day_survives_wareki_and_number(year in 1873i16..2100, month in 1i8..=12, day in 1i8..=31) {
            if let Ok(date) = Date::new(year, month, day) {
                prop_assert_eq!(parse_typed(&wareki(date)), Ok(date));
                prop_assert_eq!(from_number(to_number(date)), Ok(date));
                prop_assert_eq!(parse_yyyymmdd(&yyyymmdd(date)), Ok(date));
            }
        }

        #[test]
        fn months_added_and_taken_away_come_back(start in 190001i32..209912, months in -600i32..600) {
            if let Ok(month) = ServiceMonth::parse(&format!("{start}")) {
                prop_assert_eq!(month.plus(months).plus(-months), month);
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,20}") {
            let _ = parse_typed(&text);
            let _ = parse_yyyymmdd(&text);
            let _ = ServiceMonth::parse(&text);
        }
    }
}
