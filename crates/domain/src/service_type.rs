//! サービス種類コード as data (`data/service_types.tsv`): which there are, in which months, and which of them the care-plan
//! exchange carries. The four letters of the item behind the type are not listed: the whole table of codes is not part of
//! this project. Who has it lays it beside ([`ServiceCodes`]).

use crate::dates::ServiceMonth;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// One サービス種類.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "サービス種類")]
pub struct ServiceTypeEntry {
    /// Two characters.
    pub code: &'static str,
    /// サービス種類名
    pub name_ja: &'static str,
    /// First month of service.
    pub from: ServiceMonth,
    /// Last month of service; none while it goes on.
    pub to: Option<ServiceMonth>,
    /// Whether ケアプラン標準仕様 exchanges its records.
    pub exchanged: bool,
}

impl ServiceTypeEntry {
    /// Whether services of this type are given in a month.
    pub fn is_in_force(&self, month: ServiceMonth) -> bool {
        self.from <= month && self.to.is_none_or(|to| month <= to)
    }
}

/// The type of a code of two characters.
pub fn service_type(code: &str) -> Option<&'static ServiceTypeEntry> {
    static ALL: LazyLock<Vec<ServiceTypeEntry>> = LazyLock::new(|| parse(include_str!("../data/service_types.tsv")));
    ALL.iter().find(|entry| entry.code == code)
}

fn parse(table: &'static str) -> Vec<ServiceTypeEntry> {
    let entry = |line: &'static str| {
        let columns: Vec<&'static str> = line.split('\t').collect();
        let [code, name_ja, from, to, exchange] = columns[..] else { return None };
        let (from, to) = (ServiceMonth::parse(from).ok()?, ServiceMonth::parse(to).ok());
        Some(ServiceTypeEntry { code, name_ja, from, to, exchanged: exchange == "o" })
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

/// サービスコード of six characters by month, from a table that an operator or a vendor has: 介護給付費単位数等サービスコード表 is
/// made anew at every revision, and each municipality has codes of its own for 総合事業. It judges only what it covers: the
/// months it names, and the サービス種類 of which it has a code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "サービスコード表")]
pub struct ServiceCodes {
    title: String,
    first: ServiceMonth,
    last: ServiceMonth,
    /// From when to when each is given; of one code several times where it was given up and taken up again.
    codes: HashMap<String, Vec<(ServiceMonth, Option<ServiceMonth>)>>,
    types: HashSet<String>,
}

impl ServiceCodes {
    /// Reads a table: `# title:`, `# months: YYYYMM-YYYYMM`, then `code name from to` separated by tabs under a line with these
    /// names; the last one empty while the code goes on. The error names the line, in Japanese.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let said = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {name}:")));
            line.map(|value| value.trim().to_owned())
        };
        let title = said("title").ok_or("はじめに # title: で表の名前を書いてください")?;
        let months = said("months").unwrap_or_default();
        let months = months.split_once('-').map(|(first, last)| [first, last].map(ServiceMonth::parse));
        let Some([Ok(first), Ok(last)]) = months else {
            return Err("この表で確かめる年月を # months: 202404-202703 のように書いてください".to_owned());
        };
        let mut codes: HashMap<String, Vec<_>> = HashMap::new();
        let rows = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
        for (at, line) in rows.skip(1) {
            let fault =
                "行目: コード（6文字）・名称・開始年月・終了年月（続いていれば空）の4列（タブ区切り）にしてください";
            let (code, period) = code_of(line).ok_or_else(|| format!("{}{fault}", at + 1))?;
            codes.entry(code).or_default().push(period);
        }
        let types = codes.keys().map(|code| code[..2].to_owned()).collect();
        Ok(Self { title, first, last, codes, types })
    }

    /// Why a code of six characters is none of a month, in Japanese; nothing where it is one or the table does not say.
    pub fn misfit(&self, code: &str, month: ServiceMonth) -> Option<String> {
        let is_covered = self.first <= month && month <= self.last && self.types.contains(code.get(..2)?);
        if !is_covered {
            return None;
        }
        let title = &self.title;
        let Some(periods) = self.codes.get(code) else {
            return Some(format!(
                "このサービスコードは、サービスコード表（{title}）にありません。コードを確認してください"
            ));
        };
        let is_given =
            |(from, to): &(ServiceMonth, Option<ServiceMonth>)| *from <= month && to.is_none_or(|to| month <= to);
        if periods.iter().any(is_given) {
            return None;
        }
        let period = |(from, to): &(ServiceMonth, Option<ServiceMonth>)| {
            format!("{from}〜{}", to.map_or_else(String::new, |to| to.to_string()))
        };
        let periods = periods.iter().map(period).collect::<Vec<_>>().join("、");
        Some(format!(
            "このサービスコードは、対象年月 {month} には使えません（サービスコード表（{title}）では {periods}）。その月のコードに直してください"
        ))
    }

    /// How many codes there are.
    pub fn count(&self) -> usize {
        self.codes.len()
    }
}

/// A code with the months in which it is given.
fn code_of(line: &str) -> Option<(String, (ServiceMonth, Option<ServiceMonth>))> {
    let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [code, _, from, to] = columns[..] else { return None };
    let is_code = code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    let to = if to.is_empty() { None } else { Some(ServiceMonth::parse(to).ok()?) };
    is_code.then_some((code.to_owned(), (ServiceMonth::parse(from).ok()?, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> ServiceMonth {
        ServiceMonth::parse(text).unwrap()
    }

    #[test]
    fn every_line_of_the_table_is_understood_and_no_code_stands_twice() {
        let table = include_str!("../data/service_types.tsv");
        let all = parse(table);
        assert_eq!(all.len(), table.lines().count() - 3);
        for entry in &all {
            assert_eq!(service_type(entry.code), Some(entry), "{} stands twice", entry.code);
        }
    }

    #[test]
    fn a_type_is_known_in_the_months_in_which_it_is_given() {
        let known = |code: &str, at: &str| service_type(code).is_some_and(|entry| entry.is_in_force(month(at)));
        assert!(known("11", "202604") && known("53", "202403") && known("2A", "201804"));
        assert!(!known("53", "202404") && !known("2A", "201803") && !known("61", "202604") && !known("99", "202604"));
        assert_eq!(service_type("54").map(|entry| entry.exchanged), Some(false));
        assert_eq!(service_type("A2").map(|entry| entry.exchanged), Some(true));
    }

    const CODES: &str = "\u{feff}# title: 見本の表\n# months: 202404-202703\n#\ncode\tname\tfrom\tto\n\
        111211\t身体介護\t202404\t\n114000\t初回加算\t202404\t202503\n114000\t初回加算\t202604\t\n";

    #[test]
    fn a_table_of_codes_judges_the_months_and_types_it_covers() {
        let codes = ServiceCodes::parse(CODES).unwrap();
        let says = |code: &str, at: &str| codes.misfit(code, month(at)).unwrap_or_default();
        assert_eq!((codes.count(), says("111211", "202404")), (2, String::new()));
        for (code, at) in [("114000", "202503"), ("114000", "202604"), ("119999", "202403"), ("119999", "202704")] {
            assert_eq!(says(code, at), "", "{code} in {at}");
        }
        assert_eq!(says("159999", "202604"), "", "of this type the table has nothing");
        assert!(says("119999", "202604").contains("見本の表"), "{}", says("119999", "202604"));
        let then = says("114000", "202504");
        assert!(then.contains("202404〜202503、202604〜") && then.contains("対象年月 202504"), "{then}");
    }

    #[test]
    fn a_table_of_codes_that_cannot_be_read_says_where() {
        let fault = |text: &str| ServiceCodes::parse(text).unwrap_err();
        assert!(fault("code\tname\tfrom\tto\n").contains("# title:"));
        assert!(fault(&CODES.replace("202404-202703", "2024")).contains("# months:"));
        for (from, to) in
            [("111211", "11121"), ("身体介護\t", ""), ("202503", "202513"), ("111211\t", "１１１２１１\t")]
        {
            let at = fault(&CODES.replace(from, to));
            assert!(at.starts_with(if from == "202503" { "6行目" } else { "5行目" }), "{at}");
        }
    }
}
