//! Whether one value fits its item: length, characters, codes, dates, numbers with their check digits.

use crate::Problem;
use crate::layout::{Item, ItemKind, Required};
use crate::problem::INDIVIDUAL_NUMBER;
use crate::text;
use kiban_domain::care_plan::ClockTime;
use kiban_domain::dates::{ServiceMonth, parse_yyyymmdd};
use kiban_domain::ids::IdError;
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, Organization, ServiceType};

/// Why a value does not fit: code of the rule and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub rule: &'static str,
    pub expected: String,
    /// Taken all the same.
    pub warning: bool,
    /// Not to be shown.
    pub secret: bool,
    /// The value that is meant and taken instead, with a warning.
    pub repaired: Option<String>,
}

impl Misfit {
    fn error(rule: &'static str, expected: impl Into<String>) -> Self {
        Self { rule, expected: expected.into(), warning: false, secret: false, repaired: None }
    }

    fn repaired(rule: &'static str, expected: impl Into<String>, value: String) -> Self {
        Self { repaired: Some(value), ..Self::warning(rule, expected) }
    }

    fn warning(rule: &'static str, expected: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(rule, expected) }
    }
}

const INDIVIDUAL_NUMBER_TEXT: &str =
    "個人番号（マイナンバー）の可能性がある番号が入っています。取り除いて作り直してください";

/// The same told of a row or file that is not judged value by value.
pub fn individual_number(file: &str) -> Problem {
    Problem::of_file(file, INDIVIDUAL_NUMBER, INDIVIDUAL_NUMBER_TEXT)
}

/// Checks a value that is not empty.
pub fn check(item: &Item, value: &str) -> Result<(), Misfit> {
    // A digest is nobody's number, though one in some hundreds has twelve digits in a row that look like one.
    if item.kind == ItemKind::Sha256 && is_sha256(value) {
        return Ok(());
    }
    if text::holds_individual_number(value) {
        return Err(Misfit { secret: true, ..Misfit::error(INDIVIDUAL_NUMBER, INDIVIDUAL_NUMBER_TEXT) });
    }
    if item.kind != ItemKind::Text && value.bytes().any(|b| matches!(b, b'\n' | b'\r' | b'\t')) {
        return Err(Misfit::error("control", "改行やタブは入れられません"));
    }
    match item.kind {
        ItemKind::Text => max_len(item, value).and_then(|()| formula(value)),
        ItemKind::Ascii => ascii(item, value),
        ItemKind::Folded => {
            let folded: String = value.chars().map(half_width).collect();
            ascii(item, &folded)?;
            if folded == value {
                return Ok(());
            }
            let text = format!("半角で入れてください。「{folded}」として読みました");
            Err(Misfit::repaired("characters", text, folded))
        }
        ItemKind::Digits => digits(value).and_then(|()| max_len(item, value)),
        ItemKind::Integer => {
            digits(value.strip_prefix('-').unwrap_or(value))?;
            let expected = "数が大きすぎます。けたを確認してください";
            value.parse::<i32>().map_err(|_| Misfit::error("length", expected))?;
            max_len(item, value.strip_prefix('-').unwrap_or(value))
        }
        ItemKind::Decimal => {
            let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
            digits(whole).and_then(|()| digits(fraction)).map_err(|_| number("99.99"))?;
            max_len(item, value)
        }
        ItemKind::Date | ItemKind::PastDate => date(value),
        ItemKind::DateOrZero => {
            if value == "00000000" {
                Ok(())
            } else {
                date(value)
            }
        }
        ItemKind::Month => month(value),
        ItemKind::MonthOrZero => {
            if value == "000000" {
                Ok(())
            } else {
                month(value)
            }
        }
        ItemKind::DateTime => date_time(value),
        ItemKind::Time => time(value),
        ItemKind::TimeOr9999 => {
            if value == "9999" {
                Ok(())
            } else {
                time(value)
            }
        }
        ItemKind::Clock => clock(value),
        ItemKind::Days31 => {
            if value.len() == 31 && value.bytes().all(|b| matches!(b, b'0' | b'1')) {
                return Ok(());
            }
            Err(Misfit::error("format", "31文字の 0 と 1（1日から31日まで、日割の期間の日は 1）で入れてください"))
        }
        ItemKind::Flags => {
            let len = usize::from(item.max_len.unwrap_or_default());
            if value.len() == len && value.bytes().all(|b| matches!(b, b'o' | b'x')) {
                return Ok(());
            }
            Err(Misfit::error("format", format!("{len}文字の o（あり）と x（なし）で入れてください")))
        }
        ItemKind::Postal => {
            let form = value.len() == 8
                && value.bytes().enumerate().all(|(i, b)| if i == 3 { b == b'-' } else { b.is_ascii_digit() });
            if form { Ok(()) } else { Err(number("NNN-NNNN")) }
        }
        ItemKind::Sha256 => Err(Misfit::error("format", "SHA-256 を16進小文字64文字で入れてください")),
        ItemKind::Insurer => InsurerNumber::parse(value).map(drop).map_err(id),
        ItemKind::Insured => InsuredNumber::parse(value).map(drop).map_err(id),
        ItemKind::Service => ServiceType::parse(value).map(drop).map_err(id),
        ItemKind::Organization => organization(value),
        ItemKind::Office => office(value),
        ItemKind::Code => code(item, value),
        ItemKind::PaddedCode => {
            let padded = item.codes.iter().find(|(code, _)| code.strip_prefix('0') == Some(value));
            match padded {
                Some((code, _)) => {
                    let text = format!("先頭の 0 がありません。「{code}」として読みました");
                    Err(Misfit::repaired("code", text, (*code).to_owned()))
                }
                None => code(item, value),
            }
        }
        ItemKind::Version => version(item, value),
    }
}

/// Whether a value passes at a glance, as nearly all do. About any other [`check`] says what is wrong with it, if anything.
pub fn surely_fits(item: &Item, value: &[u8]) -> bool {
    if value.is_empty() {
        return !matches!(item.required, Required::Always | Required::Probably);
    }
    let is_short = item.max_len.is_none_or(|max| value.len() <= usize::from(max));
    let are_digits = || value.iter().all(u8::is_ascii_digit);
    let number = |digits: &[u8]| digits.iter().fold(0, |all, b| all * 10 + u32::from(b - b'0'));
    if item.kind == ItemKind::Text {
        return is_short
            && !matches!(value.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n' | 0xef))
            && !text::has_many_digits(value);
    }
    if value.len() >= 12 {
        return false;
    }
    match item.kind {
        ItemKind::Ascii | ItemKind::Folded => is_short && value.iter().all(|b| matches!(b, b' '..=b'~')),
        ItemKind::Digits => is_short && are_digits(),
        // Nine digits are never too many for the number.
        ItemKind::Integer => is_short && value.len() < 10 && are_digits(),
        // Days that every month has.
        ItemKind::Date | ItemKind::PastDate | ItemKind::DateOrZero => {
            value.len() == 8
                && are_digits()
                && (1..=12).contains(&number(&value[4..6]))
                && (1..=28).contains(&number(&value[6..]))
        }
        ItemKind::Month | ItemKind::MonthOrZero => {
            value.len() == 6 && are_digits() && (1..=12).contains(&number(&value[4..]))
        }
        ItemKind::Time | ItemKind::TimeOr9999 => {
            value.len() == 4 && are_digits() && number(&value[..2]) < 24 && number(&value[2..]) < 60
        }
        ItemKind::Insured => value.len() == 10 && are_digits(),
        ItemKind::Code | ItemKind::Version => item.codes.iter().any(|(code, _)| code.as_bytes() == value),
        _ => false,
    }
}

/// What to put where nothing stands.
pub fn hint(item: &Item) -> String {
    match item.kind {
        ItemKind::Date | ItemKind::PastDate => "8桁の日付(YYYYMMDD)を入れてください".to_owned(),
        ItemKind::DateOrZero => "8桁の日付(YYYYMMDD)または 00000000 を入れてください".to_owned(),
        ItemKind::Month => "6桁の年月(YYYYMM)を入れてください".to_owned(),
        ItemKind::MonthOrZero => "6桁の年月(YYYYMM)または 000000 を入れてください".to_owned(),
        ItemKind::Time => "4桁の時刻(HHMM)を入れてください".to_owned(),
        ItemKind::TimeOr9999 => "4桁の時刻(HHMM)、時刻のないサービスは 9999 を入れてください".to_owned(),
        ItemKind::Code | ItemKind::PaddedCode | ItemKind::Version => choices(item),
        ItemKind::Text => "必ず記入してください".to_owned(),
        ItemKind::Insurer => "6桁の保険者番号を入れてください".to_owned(),
        ItemKind::Insured => "10桁の被保険者番号を入れてください".to_owned(),
        ItemKind::Office => "10桁の事業所番号を入れてください".to_owned(),
        _ => match item.max_len {
            Some(len) => format!("{len}桁以内で入れてください"),
            None => "必ず入れてください".to_owned(),
        },
    }
}

fn ascii(item: &Item, value: &str) -> Result<(), Misfit> {
    if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err(Misfit::error("characters", "半角の英数字・記号で入れてください"));
    }
    max_len(item, value)
}

/// A full-width letter, digit or sign as half-width; others as they are.
fn half_width(c: char) -> char {
    match c {
        '！'..='～' => char::from_u32(c as u32 - '！' as u32 + u32::from(b'!')).unwrap_or(c),
        '−' | '‐' | '―' => '-',
        '　' => ' ',
        c => c,
    }
}

fn choices(item: &Item) -> String {
    let list: Vec<String> = item.codes.iter().map(|(code, name)| format!("{code} {name}")).collect();
    format!("次のいずれかを入れてください: {}", list.join("、"))
}

fn number(form: &str) -> Misfit {
    Misfit::error("format", format!("{form} の形の半角数字で入れてください"))
}

fn max_len(item: &Item, value: &str) -> Result<(), Misfit> {
    match item.max_len {
        Some(max) if value.chars().count() > usize::from(max) => {
            let found = value.chars().count();
            Err(Misfit::error("length", format!("{max}桁以内で入れてください（{found}桁でした）")))
        }
        _ => Ok(()),
    }
}

/// A text that a spreadsheet would run. It is kept as it is (files must come back byte for byte); somebody should look.
/// A sign that stands alone, as for "none", is no formula.
fn formula(value: &str) -> Result<(), Misfit> {
    if value.starts_with(text::FORMULA_STARTS) && value.chars().nth(1).is_some() {
        let text = "表計算ソフトで開くと数式として動くおそれがある値です。意図した内容か確認してください";
        return Err(Misfit::warning("formula", text));
    }
    Ok(())
}

fn digits(value: &str) -> Result<(), Misfit> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    Err(Misfit::error("digits", "半角の数字だけで入れてください"))
}

fn date(value: &str) -> Result<(), Misfit> {
    parse_yyyymmdd(value).map(drop).map_err(|error| {
        let what = "8桁の日付(YYYYMMDD)を入れてください";
        Misfit::error("date", format!("{}。{what}", error.message_ja()))
    })
}

fn month(value: &str) -> Result<(), Misfit> {
    let what = "6桁の年月(YYYYMM)を入れてください";
    ServiceMonth::parse(value)
        .map(drop)
        .map_err(|error| Misfit::error("month", format!("{}。{what}", error.message_ja())))
}

fn time(value: &str) -> Result<(), Misfit> {
    ClockTime::parse(value)
        .map(drop)
        .ok_or_else(|| Misfit::error("time", "4桁の時刻(HHMM、0000〜2400)を入れてください"))
}

fn clock(value: &str) -> Result<(), Misfit> {
    let two = |at: usize| value.get(at..at + 2).and_then(|part| part.parse::<u8>().ok());
    let good = value.len() == 6
        && value.bytes().all(|b| b.is_ascii_digit())
        && matches!((two(0), two(2), two(4)), (Some(0..=23), Some(0..=59), Some(0..=59)));
    if good { Ok(()) } else { Err(Misfit::error("time", "6桁の時刻(HHMMSS)を入れてください")) }
}

fn date_time(value: &str) -> Result<(), Misfit> {
    let good = value.len() == 14 && value.is_ascii() && date(&value[..8]).is_ok() && clock(&value[8..]).is_ok();
    if good { Ok(()) } else { Err(Misfit::error("date", "14桁の日時(YYYYMMDDHHMMSS)を入れてください")) }
}

fn id(error: IdError) -> Misfit {
    let rule = match error {
        IdError::Length { .. } => "length",
        IdError::Character { .. } => "characters",
        IdError::CheckDigit { .. } => "check_digit",
    };
    Misfit::error(rule, error.message_ja())
}

/// A check digit that does not fit only warns: real registers break their own rule (docs/requirements.md §15.1).
fn office(value: &str) -> Result<(), Misfit> {
    let number = OfficeNumber::parse(value).map_err(id)?;
    match number.check_digit_warning() {
        Some(digit) if value != "9999999999" => {
            let text = format!(
                "検証番号（末尾の数字）が計算値 {digit} と異なります。番号の写し間違いがないか確認してください"
            );
            Err(Misfit::warning("check_digit", text))
        }
        _ => Ok(()),
    }
}

fn organization(value: &str) -> Result<(), Misfit> {
    match value.len() {
        6 | 10 => Organization::parse(value).map(drop).map_err(id),
        _ => Err(Misfit::error("length", "6桁の保険者番号または10桁の事業所番号を入れてください")),
    }
}

fn code(item: &Item, value: &str) -> Result<(), Misfit> {
    if item.codes.iter().any(|(code, _)| *code == value) {
        return Ok(());
    }
    let expected = match item.codes.iter().find(|(code, _)| code.eq_ignore_ascii_case(value)) {
        Some((code, _)) => format!("大文字と小文字を区別します。「{code}」と入れてください"),
        None => choices(item),
    };
    Err(Misfit::error("code", expected))
}

/// An unknown version is its own error, not a broken file (docs/requirements.md §16).
fn version(item: &Item, value: &str) -> Result<(), Misfit> {
    if item.codes.iter().any(|(code, _)| *code == value) {
        return Ok(());
    }
    let known: Vec<String> = item.codes.iter().map(|(code, name)| format!("{code}（{name}）")).collect();
    let old = match value {
        "201910" | "202003" => "2022年12月提供分までの旧版で、受け付けていません。",
        _ => "",
    };
    let text = format!(
        "{old}受け付けられる版は {} です。1つのファイルの全行をこの版にして作り直してください",
        known.join("、")
    );
    Err(Misfit::error("version", text))
}

fn is_sha256(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_passes_at_a_glance_passes_the_check(
            text in "[0-9A-Z=@ .\\-あ（０]{1,14}|[0-9]{1,13}|(19|20)[0-9]{6}|20260[0-9]{3}|(00|20)[0-9]{4}|[012][0-9]{3}|9999|A3[ABC]",
        ) {
            for item in layout::all().iter().flat_map(|set| &set.files).flat_map(|file| &file.items) {
                if surely_fits(item, text.as_bytes()) {
                    prop_assert_eq!(check(item, &text), Ok(()), "{:?}", item);
                }
            }
        }
    }

    #[test]
    fn a_code_in_the_wrong_case_is_told_how_it_is_written() {
        let manifest = layout::municipal().file("MANIFEST").unwrap();
        let item = manifest.items.iter().find(|item| item.key == "kind").unwrap();
        for (written, meant) in [("a3a", "「A3A」"), ("Insured", "「INSURED」")] {
            assert!(check(item, written).unwrap_err().expected.contains(meant), "{written}");
        }
        assert!(check(item, "A9").unwrap_err().expected.contains("INSURED 被保険者"));
    }

    #[test]
    fn a_digest_is_not_taken_for_an_individual_number() {
        let manifest = layout::municipal().file("MANIFEST").unwrap();
        let item = manifest.items.iter().find(|item| item.kind == ItemKind::Sha256).unwrap();
        let digest = "3068430da9e4b7a674184035643d9e19af3dc7483e31cc03b35f75268401df77";
        assert!(text::holds_individual_number(digest));
        assert_eq!(check(item, digest).map_err(|misfit| misfit.rule), Ok(()));
        assert_eq!(check(item, "674184035643").map_err(|misfit| misfit.rule), Err(INDIVIDUAL_NUMBER));
    }
}
