//! LIFE情報 (C1): the part of LIFE that is shared, one 利用者フィードバック票 of 科学的介護推進体制加算 per person, service and
//! 評価日 (P-141). Of assessment scales only item numbers and points are kept, never their wording.

use crate::certification::CareLevel;
use crate::ids::{PersonKey, ServiceType};
use crate::physician_opinion::{DementiaIndependence, Measure, PhysicalIndependence};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

choices! {
    /// 低栄養状態のリスクレベル.
    MalnutritionRisk {
        Low "1" "低",
        Middle "2" "中",
        High "3" "高",
    }

    /// 口腔の状態: what was looked at. The code is the number here, not one of LIFE.
    OralSign {
        Unclean "1" "歯・入れ歯の汚れ",
        NoDenture "2" "歯が少ないが入れ歯がない",
        SoftFood "3" "硬いものを避ける",
        WearsDenture "4" "入れ歯の使用",
        Choking "5" "むせやすい",
    }
}

/// Points by the number of the item of a scale.
pub type Points = BTreeMap<u8, u8>;

/// Items of Barthel Index.
pub const BARTHEL_ITEMS: u8 = 10;
/// Items of DBD13.
pub const DBD_ITEMS: u8 = 13;
/// Those of DBD13 that LIFE requires.
pub const DBD_REQUIRED: [u8; 5] = [3, 4, 5, 7, 8];
/// Items of 意欲の指標 (Vitality Index).
pub const VITALITY_ITEMS: u8 = 5;

/// One evaluation of a person. What was not recorded is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeSheet {
    /// About whom.
    pub person: PersonKey,
    /// サービス種類
    pub service: ServiceType,
    /// 評価日
    pub evaluated_on: Date,
    /// 要介護状態区分, as 利用者情報 of the same upload says.
    pub care_level: Option<CareLevel>,
    /// 障害高齢者の日常生活自立度
    pub physical: Option<PhysicalIndependence>,
    /// 認知症高齢者の日常生活自立度
    pub dementia: Option<DementiaIndependence>,
    /// ADL
    pub adl: Adl,
    /// 栄養
    pub nutrition: NutritionState,
    /// 口腔
    pub oral: OralState,
    /// 認知症
    pub cognition: Cognition,
}

/// ADL: Barthel Index, 0–100 points in all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Adl {
    /// ADL評価日
    pub evaluated_on: Option<Date>,
    /// Points of the ten items.
    pub barthel: Points,
}

/// 栄養
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NutritionState {
    /// 栄養評価日
    pub evaluated_on: Option<Date>,
    /// 身長, cm
    pub height: Option<Measure>,
    /// 体重, kg
    pub weight: Option<Measure>,
    /// 低栄養状態のリスクレベル (facilities)
    pub risk: Option<MalnutritionRisk>,
    /// 食事摂取量（全体）, percent (facilities)
    pub intake: Option<u8>,
    /// 褥瘡
    pub bedsore: Option<bool>,
}

/// 口腔
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OralState {
    /// What was looked at, and whether it applies.
    pub signs: BTreeMap<OralSign, bool>,
    /// 誤嚥性肺炎の発症・既往
    pub aspiration_pneumonia: Option<bool>,
}

/// 認知症
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cognition {
    /// 認知症の診断
    pub diagnosed: Option<bool>,
    /// DBD13, 0–4 points an item.
    pub dbd13: Points,
    /// 意欲の指標, 0–2 points an item.
    pub vitality: Points,
}

impl LifeSheet {
    /// A sheet on which nothing is recorded yet.
    pub fn new(person: PersonKey, service: ServiceType, evaluated_on: Date) -> Self {
        Self {
            person,
            service,
            evaluated_on,
            care_level: None,
            physical: None,
            dementia: None,
            adl: Adl::default(),
            nutrition: NutritionState::default(),
            oral: OralState::default(),
            cognition: Cognition::default(),
        }
    }

    /// Barthel Index, 0–100, when all ten items are recorded.
    pub fn barthel(&self) -> Option<u32> {
        total(&self.adl.barthel, 1..=BARTHEL_ITEMS)
    }

    /// DBD13, 0–52, when all items are recorded.
    pub fn dbd13(&self) -> Option<u32> {
        total(&self.cognition.dbd13, 1..=DBD_ITEMS)
    }

    /// The five required items of DBD13, 0–20.
    pub fn dbd_required(&self) -> Option<u32> {
        total(&self.cognition.dbd13, DBD_REQUIRED)
    }

    /// 意欲の指標, 0–10, when all five items are recorded.
    pub fn vitality(&self) -> Option<u32> {
        total(&self.cognition.vitality, 1..=VITALITY_ITEMS)
    }

    /// BMI in tenths, rounded half up.
    pub fn bmi_tenths(&self) -> Option<u32> {
        let (height, weight) = (self.nutrition.height.as_ref()?.tenths(), self.nutrition.weight.as_ref()?.tenths());
        // kg ÷ m²: tenths of kg × 10⁶ ÷ (mm)².
        let (height, weight) = (u64::from(height), u64::from(weight) * 1_000_000);
        let square = height * height;
        u32::try_from((weight + square / 2).checked_div(square)?).ok()
    }

    /// How many signs of trouble in the mouth apply, of those that were looked at. To wear dentures is none.
    pub fn oral_troubles(&self) -> Option<u32> {
        let troubles = self.oral.signs.iter().filter(|(sign, _)| **sign != OralSign::WearsDenture);
        let applies: Vec<bool> = troubles.map(|(_, applies)| *applies).collect();
        (!applies.is_empty()).then(|| applies.iter().map(|applies| u32::from(*applies)).sum())
    }
}

/// The sum of these items; none when one of them is missing.
fn total(points: &Points, items: impl IntoIterator<Item = u8>) -> Option<u32> {
    items.into_iter().map(|item| points.get(&item).map(|points| u32::from(*points))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InsuredNumber, InsurerNumber};
    use jiff::civil::date;

    fn sheet() -> LifeSheet {
        let person = PersonKey {
            insurer: InsurerNumber::from_code5("99001").unwrap(),
            insured: InsuredNumber::parse("0000000001").unwrap(),
        };
        LifeSheet::new(person, ServiceType::parse("51").unwrap(), date(2026, 11, 1))
    }

    #[test]
    fn a_total_stands_only_when_every_item_of_it_is_recorded() {
        let mut sheet = sheet();
        sheet.adl.barthel = (1..=9).map(|item| (item, 5)).collect();
        assert_eq!(sheet.barthel(), None);
        sheet.adl.barthel.insert(10, 10);
        assert_eq!(sheet.barthel(), Some(55));
        sheet.cognition.dbd13 = DBD_REQUIRED.into_iter().map(|item| (item, 2)).collect();
        assert_eq!((sheet.dbd_required(), sheet.dbd13(), sheet.vitality()), (Some(10), None, None));
    }

    #[test]
    fn bmi_is_rounded_to_tenths_and_needs_both_measures() {
        let mut sheet = sheet();
        sheet.nutrition.weight = Measure::parse("45.6");
        assert_eq!(sheet.bmi_tenths(), None);
        sheet.nutrition.height = Measure::parse("150");
        assert_eq!(sheet.bmi_tenths(), Some(203)); // 45.6 ÷ 2.25 = 20.27
    }

    #[test]
    fn dentures_are_no_trouble_and_nothing_looked_at_is_no_number() {
        let mut sheet = sheet();
        assert_eq!(sheet.oral_troubles(), None);
        sheet.oral.signs = [(OralSign::WearsDenture, true), (OralSign::Choking, false)].into();
        assert_eq!(sheet.oral_troubles(), Some(0));
        sheet.oral.signs.insert(OralSign::SoftFood, true);
        assert_eq!(sheet.oral_troubles(), Some(1));
    }

    #[test]
    fn a_sheet_comes_back_from_json_as_it_was() {
        let mut sheet = sheet();
        sheet.adl.barthel.insert(1, 10);
        sheet.oral.signs.insert(OralSign::Unclean, true);
        let json = serde_json::to_string(&sheet).unwrap();
        assert!(json.contains(r#""barthel":{"1":10}"#) && json.contains(r#""unclean":true"#), "{json}");
        assert_eq!(serde_json::from_str::<LifeSheet>(&json).unwrap(), sheet);
    }
}
