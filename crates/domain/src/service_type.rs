//! サービス種類コード as data (`data/service_types.tsv`): which there are, in which months, and which of them the care-plan
//! exchange carries. The four letters of the item behind the type are not listed: the whole table of codes is not part of
//! this project.

use crate::dates::ServiceMonth;
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
}
