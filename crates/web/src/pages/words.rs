//! Dates, periods and names the way the pages write them.

use kiban_domain::dates::wareki;
use kiban_domain::{Date, Timestamp, dates};

/// 令和8年11月20日
pub(super) fn day(date: Date) -> String {
    wareki(date)
}

/// The Japanese day of an instant.
pub(super) fn day_of(instant: Timestamp) -> String {
    wareki(dates::day_in_japan(instant))
}

/// 令和8年11月
pub(super) fn month(date: Date) -> String {
    wareki(date.first_of_month()).trim_end_matches("1日").to_owned()
}

/// 令和8年4月1日から令和9年3月31日まで
pub(super) fn period(from: Date, to: Option<Date>) -> String {
    match to {
        Some(to) => format!("{}から{}まで", wareki(from), wareki(to)),
        None => format!("{}から", wareki(from)),
    }
}

/// 令和8年11月20日 14時32分
pub(super) fn moment(instant: Timestamp) -> String {
    let of_day = (instant.as_second() + 9 * 3_600).rem_euclid(86_400);
    format!("{} {}時{:02}分", day_of(instant), of_day / 3_600, of_day % 3_600 / 60)
}

/// 市区町村名, by 保険者番号; none for an insurer that is no municipality.
pub(super) fn city(insurer: &str) -> Option<String> {
    let number = kiban_domain::InsurerNumber::parse(insurer).ok()?;
    kiban_domain::municipality::find(number).map(|city| city.name.to_string())
}

/// 12,345
pub(super) fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_the_time_of_japan() {
        let at = |text: &str| moment(text.parse().unwrap());
        assert_eq!(at("2026-11-20T05:32:10Z"), "令和8年11月20日 14時32分");
        assert_eq!(at("2026-11-20T15:05:00Z"), "令和8年11月21日 0時05分");
    }

    #[test]
    fn yen_are_written_in_thousands() {
        assert_eq!([0, 999, 1_000, 200_000, 1_234_567].map(thousands), ["0", "999", "1,000", "200,000", "1,234,567"]);
    }
}
