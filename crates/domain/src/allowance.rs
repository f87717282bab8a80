//! 支給限度基準額 of 住宅改修 (E1) and 福祉用具購入 (E2) and what is left of it. The figures are data (`data/allowances.tsv`).

use crate::certification::CareLevel;
use crate::dates::{Period, parse_yyyymmdd};
use jiff::civil::Date;
use serde::Serialize;
use std::sync::OnceLock;

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// 住宅改修: per person and dwelling.
    HomeModification,
    /// 福祉用具購入: per person and 年度.
    EquipmentPurchase,
}

impl Allowed {
    fn name(self) -> &'static str {
        match self {
            Self::HomeModification => "home_modification",
            Self::EquipmentPurchase => "equipment_purchase",
        }
    }
}

/// 支給限度基準額 on a day, yen of cost; `None` before the table.
#[doc(alias = "支給限度基準額")]
pub fn limit_yen(allowed: Allowed, on: Date) -> Option<u32> {
    let row = rows().iter().find(|row| row.name == allowed.name() && row.period.contains(on))?;
    Some(row.yen)
}

/// Why a new limit has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fresh {
    /// Nothing used before.
    First,
    /// 転居: another dwelling than before.
    Moved,
    /// 3段階リセット
    ThreeStages,
    /// A new 年度, 4/1.
    NewYear,
}

/// What is left of a limit (残額).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// 限度額, yen of cost.
    pub limit: u32,
    /// Used of it: Σ 支給対象額.
    pub used: u32,
    /// 残額
    pub remaining: u32,
    /// What it is counted in: `住宅 2` or `2026年度`.
    pub counted_in: String,
    /// First day on which something of this limit was used; none while nothing is.
    pub since: Option<Date>,
    /// How this limit began.
    pub fresh: Fresh,
    /// 住宅改修: level from which a new limit begins (3段階リセット); none when it cannot happen any more.
    pub resets_from: Option<CareLevel>,
}

/// More was used of a limit than it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverLimit {
    /// What it is counted in: `住宅 2` or `2026年度`.
    pub counted_in: String,
    /// 限度額, yen of cost.
    pub limit: u32,
    /// Σ 支給対象額, yen.
    pub used: u32,
    /// Places of the works or purchases that count, in the order given.
    pub of: Vec<usize>,
}

struct Row {
    name: &'static str,
    period: Period,
    yen: u32,
}

fn rows() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    let lines = include_str!("../data/allowances.tsv").lines().filter(|line| !line.starts_with('#')).skip(1);
    TABLE.get_or_init(|| lines.filter_map(row).collect())
}

fn row(line: &'static str) -> Option<Row> {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let [name, from, to, value, _source] = columns[..] else { return None };
    let day = |text: &str| parse_yyyymmdd(&text.replace('-', "")).ok();
    let to = if to.is_empty() { None } else { Some(day(to)?) };
    Some(Row { name, period: Period::new(day(from)?, to).ok()?, yen: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_limits_are_those_of_the_law() {
        assert_eq!(limit_yen(Allowed::HomeModification, date(2026, 11, 22)), Some(200_000));
        assert_eq!(limit_yen(Allowed::EquipmentPurchase, date(2026, 11, 22)), Some(100_000));
        assert_eq!(limit_yen(Allowed::EquipmentPurchase, date(2000, 3, 31)), None);
        assert_eq!(rows().len(), 2, "a line was not understood");
    }
}
