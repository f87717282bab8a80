//! 区分支給限度基準額 and 負担限度額 by date (docs/requirements.md §15.4). The figures are data (`data/limits.tsv`,
//! `data/cost_ceilings.tsv`), a new one is a new line.
//!
//! What a person's card says always goes before these tables: they are for suggestions, checks and sample data.

use crate::certification::CareLevel;
use crate::dates::{Period, parse_yyyymmdd};
use crate::insurance_card::IncomeStage;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// 区分支給限度基準額 of a level, units a month; `None` for 非該当 and for days before the table.
#[doc(alias = "区分支給限度基準額")]
pub fn limit_units(level: CareLevel, on: Date) -> Option<u32> {
    limits().iter().find(|row| row.level == level && row.period.contains(on)).map(|row| row.units)
}

/// 負担限度額 of a 利用者負担段階, yen a day; `None` outside the table.
#[doc(alias = "負担限度額")]
pub fn ceiling(stage: IncomeStage, item: CostItem, on: Date) -> Option<u32> {
    let row = row(item, on)?;
    Some(match stage {
        IncomeStage::First => row.yen[0],
        IncomeStage::Second => row.yen[1],
        IncomeStage::ThirdLower => row.yen[2],
        IncomeStage::ThirdUpper => row.yen[3],
    })
}

/// 基準費用額, yen a day: what somebody without a 負担限度額認定証 pays as a guide.
#[doc(alias = "基準費用額")]
pub fn standard_cost(item: CostItem, on: Date) -> Option<u32> {
    row(item, on).map(|row| row.yen[4])
}

/// Whether the figures of this day were compared with a public document or are generally known. Those of the newest
/// revision were not yet: say so wherever they are shown.
pub fn is_verified(item: CostItem, on: Date) -> bool {
    row(item, on).is_some_and(|row| row.is_verified)
}

/// What a 負担限度額 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostItem {
    /// ユニット型個室
    UnitPrivate,
    /// ユニット型個室的多床室
    UnitSemiPrivate,
    /// 従来型個室（特養等）
    PrivateWelfare,
    /// 従来型個室（老健・医療院等）
    PrivateHealth,
    /// 多床室（特養等）
    SharedWelfare,
    /// 多床室（老健・医療院等、室料を徴収しない）
    SharedHealth,
    /// 多床室（老健・医療院等、室料を徴収する）, since 2025-08.
    SharedHealthCharged,
    /// 食費（施設サービス）
    MealsFacility,
    /// 食費（短期入所サービス）
    MealsShortStay,
}

impl CostItem {
    /// All items in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::UnitPrivate,
        Self::UnitSemiPrivate,
        Self::PrivateWelfare,
        Self::PrivateHealth,
        Self::SharedWelfare,
        Self::SharedHealth,
        Self::SharedHealthCharged,
        Self::MealsFacility,
        Self::MealsShortStay,
    ];

    /// Name in the table.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnitPrivate => "unit_private",
            Self::UnitSemiPrivate => "unit_semi_private",
            Self::PrivateWelfare => "private_welfare",
            Self::PrivateHealth => "private_health",
            Self::SharedWelfare => "shared_welfare",
            Self::SharedHealth => "shared_health",
            Self::SharedHealthCharged => "shared_health_charged",
            Self::MealsFacility => "meals_facility",
            Self::MealsShortStay => "meals_short_stay",
        }
    }

    /// Words of the card.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::UnitPrivate => "ユニット型個室",
            Self::UnitSemiPrivate => "ユニット型個室的多床室",
            Self::PrivateWelfare => "従来型個室（特養等）",
            Self::PrivateHealth => "従来型個室（老健・医療院等）",
            Self::SharedWelfare => "多床室（特養等）",
            Self::SharedHealth => "多床室（老健・医療院等、室料を徴収しない）",
            Self::SharedHealthCharged => "多床室（老健・医療院等、室料を徴収する）",
            Self::MealsFacility => "食費（施設サービス）",
            Self::MealsShortStay => "食費（短期入所サービス）",
        }
    }
}

const LIMITS: &str = include_str!("../data/limits.tsv");
const COST_CEILINGS: &str = include_str!("../data/cost_ceilings.tsv");

struct Limit {
    level: CareLevel,
    period: Period,
    units: u32,
}

impl Limit {
    fn from_row(row: &str) -> Option<Self> {
        let fields: Vec<&str> = row.split('\t').collect();
        let [level, from, to, units, _source] = fields[..] else { return None };
        Some(Self { level: CareLevel::from_code(level)?, period: period(from, to)?, units: units.parse().ok()? })
    }
}

struct CeilingRow {
    period: Period,
    item: CostItem,
    /// 第1段階, 第2段階, 第3段階①, 第3段階②, 基準費用額.
    yen: [u32; 5],
    is_verified: bool,
}

impl CeilingRow {
    fn from_row(row: &str) -> Option<Self> {
        let fields: Vec<&str> = row.split('\t').collect();
        let [from, to, item, first, second, third_lower, third_upper, standard, check] = fields[..] else {
            return None;
        };
        let yen = |text: &str| text.parse().ok();
        Some(Self {
            period: period(from, to)?,
            item: CostItem::ALL.into_iter().find(|known| known.code() == item)?,
            yen: [yen(first)?, yen(second)?, yen(third_lower)?, yen(third_upper)?, yen(standard)?],
            is_verified: check != "verify",
        })
    }
}

/// `YYYY-MM-DD` to `YYYY-MM-DD` or open.
fn period(from: &str, to: &str) -> Option<Period> {
    let day = |text: &str| parse_yyyymmdd(&text.replace('-', "")).ok();
    let to = if to.is_empty() { None } else { Some(day(to)?) };
    Period::new(day(from)?, to).ok()
}

/// Rows of a table: no comments, no header.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1)
}

fn limits() -> &'static [Limit] {
    static TABLE: OnceLock<Vec<Limit>> = OnceLock::new();
    TABLE.get_or_init(|| rows(LIMITS).filter_map(Limit::from_row).collect())
}

fn ceilings() -> &'static [CeilingRow] {
    static TABLE: OnceLock<Vec<CeilingRow>> = OnceLock::new();
    TABLE.get_or_init(|| rows(COST_CEILINGS).filter_map(CeilingRow::from_row).collect())
}

fn row(item: CostItem, on: Date) -> Option<&'static CeilingRow> {
    ceilings().iter().find(|row| row.item == item && row.period.contains(on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use CostItem::*;
    use jiff::civil::date;

    #[test]
    fn the_limits_since_october_2019_are_as_published() {
        let limits = CareLevel::ALL.map(|level| limit_units(level, date(2026, 11, 22)));
        let expected = [
            None,
            Some(5_032),
            Some(5_032),
            Some(10_531),
            Some(16_765),
            Some(19_705),
            Some(27_048),
            Some(30_938),
            Some(36_217),
        ];
        assert_eq!(limits, expected);
    }

    #[test]
    fn a_limit_changes_on_the_first_day_of_the_new_one() {
        assert_eq!(limit_units(CareLevel::Care5, date(2019, 9, 30)), Some(36_065));
        assert_eq!(limit_units(CareLevel::Care5, date(2019, 10, 1)), Some(36_217));
        assert_eq!(limit_units(CareLevel::Care1, date(2014, 3, 31)), Some(16_580));
        assert_eq!(limit_units(CareLevel::ProjectTarget, date(2015, 3, 31)), None);
        assert_eq!(limit_units(CareLevel::Care1, date(2000, 4, 1)), None, "before the table");
    }

    #[test]
    fn a_higher_level_never_has_a_lower_limit() {
        for day in [date(2010, 4, 1), date(2016, 4, 1), date(2026, 4, 1)] {
            let limits: Vec<_> = CareLevel::ALL.into_iter().filter_map(|level| limit_units(level, day)).collect();
            assert!(limits.is_sorted(), "{day}");
        }
    }

    #[test]
    fn the_ceilings_of_august_2024_are_as_published() {
        let day = date(2024, 8, 1);
        for (item, yen) in [
            (MealsFacility, [300, 390, 650, 1_360, 1_445]),
            (MealsShortStay, [300, 600, 1_000, 1_300, 1_445]),
            (UnitPrivate, [880, 880, 1_370, 1_370, 2_066]),
            (UnitSemiPrivate, [550, 550, 1_370, 1_370, 1_728]),
            (PrivateWelfare, [380, 480, 880, 880, 1_231]),
            (PrivateHealth, [550, 550, 1_370, 1_370, 1_728]),
            (SharedWelfare, [0, 430, 430, 430, 915]),
            (SharedHealth, [0, 430, 430, 430, 437]),
        ] {
            assert_eq!(IncomeStage::ALL.map(|stage| ceiling(stage, item, day)), [0, 1, 2, 3].map(|i| Some(yen[i])));
            assert_eq!(standard_cost(item, day), Some(yen[4]), "{}", item.name_ja());
        }
    }

    #[test]
    fn a_charged_shared_room_exists_since_august_2025() {
        assert_eq!(standard_cost(SharedHealthCharged, date(2025, 7, 31)), None);
        assert_eq!(standard_cost(SharedHealthCharged, date(2025, 8, 1)), Some(697));
    }

    #[test]
    fn the_figures_of_august_2026_are_marked_as_not_yet_verified() {
        assert!(is_verified(UnitPrivate, date(2026, 7, 31)) && !is_verified(UnitPrivate, date(2026, 8, 1)));
        assert_eq!(ceiling(IncomeStage::ThirdUpper, MealsFacility, date(2026, 7, 31)), Some(1_360));
        assert_eq!(ceiling(IncomeStage::ThirdUpper, MealsFacility, date(2026, 8, 1)), Some(1_420));
    }

    #[test]
    fn no_row_is_lost_and_no_verified_ceiling_exceeds_its_standard_cost() {
        assert_eq!((limits().len(), rows(LIMITS).count()), (23, 23));
        assert_eq!((ceilings().len(), rows(COST_CEILINGS).count()), (34, 34));
        for row in ceilings().iter().filter(|row| row.is_verified) {
            assert!(row.yen[..4].is_sorted() && row.yen[3] <= row.yen[4], "{:?} {:?}", row.item, row.period);
        }
    }

    #[test]
    fn no_day_has_two_figures() {
        for (i, a) in ceilings().iter().enumerate() {
            for b in &ceilings()[i + 1..] {
                assert!(
                    a.item != b.item || !(a.period.contains(b.period.from()) || b.period.contains(a.period.from()))
                );
            }
        }
        for (i, a) in limits().iter().enumerate() {
            for b in &limits()[i + 1..] {
                assert!(
                    a.level != b.level || !(a.period.contains(b.period.from()) || b.period.contains(a.period.from()))
                );
            }
        }
    }
}
