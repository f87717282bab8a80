//! What of a form is shared (C1): the items of 利用者フィードバック票, found by the names of their columns, so that a newer
//! form needs no program.

use super::table::scale;
use super::{Change, LifeRow};
use kiban_domain::Date;
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::parse_yyyymmdd;
use kiban_domain::life::{LifeSheet, MalnutritionRisk, OralSign, Points};
use kiban_domain::physician_opinion::{DementiaIndependence, Measure, PhysicalIndependence};

/// Items of 口腔: those of facilities, then those of services at home.
const ORAL: [(&str, OralSign); 6] = [
    ("nursing_facility_services_01", OralSign::Unclean),
    ("nursing_facility_services_02", OralSign::NoDenture),
    ("nursing_facility_services_03", OralSign::Choking),
    ("visit_services_01", OralSign::SoftFood),
    ("visit_services_02", OralSign::WearsDenture),
    ("visit_services_03", OralSign::Choking),
];

/// 評価日 of a row.
pub fn evaluated_on(row: &LifeRow) -> Option<Date> {
    match row.changes.get("evaluate_date")? {
        Change::Set(value) => parse_yyyymmdd(value).ok(),
        Change::Clear => None,
    }
}

/// 要介護状態区分 of a row of 利用者情報.
pub fn care_level(row: &LifeRow) -> Option<CareLevel> {
    match row.changes.get("care_level")? {
        // 経過的要介護 ended in 2008.
        Change::Set(code) => CareLevel::from_code(code),
        Change::Clear => None,
    }
}

/// Lays a row over a sheet: what it leaves empty stays, what it clears goes.
pub fn apply(sheet: &mut LifeSheet, row: &LifeRow) {
    let changes = Changes(row);
    if let Some(day) = evaluated_on(row) {
        sheet.evaluated_on = day;
    }
    changes.to("impaired_elderly_independence_degree", &mut sheet.physical, PhysicalIndependence::from_code);
    changes.to("dementia_elderly_independence_degree", &mut sheet.dementia, DementiaIndependence::from_code);
    changes.to("adl_evaluate", &mut sheet.adl.evaluated_on, day);
    changes.points("barthel", &mut sheet.adl.barthel);
    let nutrition = &mut sheet.nutrition;
    changes.to("nutrition_evalaute_date", &mut nutrition.evaluated_on, day);
    changes.to("height", &mut nutrition.height, Measure::parse);
    changes.to("weight", &mut nutrition.weight, Measure::parse);
    changes.to("low_operating_risk_level", &mut nutrition.risk, MalnutritionRisk::from_code);
    changes.to("dietary_intake", &mut nutrition.intake, |text| text.parse().ok());
    changes.to("bedsore", &mut nutrition.bedsore, yes);
    for (item, sign) in ORAL {
        let mut applies = sheet.oral.signs.get(&sign).copied();
        changes.to(item, &mut applies, yes);
        match applies {
            Some(applies) => sheet.oral.signs.insert(sign, applies),
            None => sheet.oral.signs.remove(&sign),
        };
    }
    changes.to("aspiration_pneumonitis_flag", &mut sheet.oral.aspiration_pneumonia, yes);
    changes.to("diagnosis_of_dementia_flag", &mut sheet.cognition.diagnosed, yes);
    changes.points("dbd13", &mut sheet.cognition.dbd13);
    changes.points("vitality", &mut sheet.cognition.vitality);
}

fn yes(code: &str) -> Option<bool> {
    match code {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn day(text: &str) -> Option<Date> {
    parse_yyyymmdd(text).ok()
}

struct Changes<'r>(&'r LifeRow);

impl Changes<'_> {
    fn to<T>(&self, item: &str, value: &mut Option<T>, read: impl Fn(&str) -> Option<T>) {
        match self.0.changes.get(item) {
            Some(Change::Set(text)) => *value = read(text),
            Some(Change::Clear) => *value = None,
            None => {}
        }
    }

    /// Items of a scale, by their number.
    fn points(&self, id: &str, points: &mut Points) {
        let Some(scale) = scale(id) else { return };
        for (number, (item, of_code)) in (1u8..).zip(&scale.items) {
            let mut value = points.get(&number).copied();
            self.to(item, &mut value, |code| of_code.get(code).and_then(|points| u8::try_from(*points).ok()));
            match value {
                Some(value) => points.insert(number, value),
                None => points.remove(&number),
            };
        }
    }
}
