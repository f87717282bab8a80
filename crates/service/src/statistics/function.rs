//! Change of ADL, nutrition and mouth by area and service type (P-239): of each person, what the two latest evaluations by one
//! office of one service say. Counts only; each figure is defined in docs/statistics.md.

use super::table::Table;
use kiban_domain::life::LifeSheet;
use kiban_domain::{Date, Organization, ServiceType};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Improved, same, worse.
type Change = [u64; 3];
const CHANGES: [&str; 3] = ["よくなった", "同じ", "悪くなった"];
/// Latest evaluations of so many days are counted.
const WINDOW: i32 = 365;
/// Different areas told apart; the rest is one.
const MOST_AREAS: usize = 500;

/// A state of a person: id, name, its value, and whether more is better.
struct State {
    by_area: (&'static str, &'static str),
    by_service: (&'static str, &'static str),
    value: fn(&LifeSheet) -> Option<u32>,
    more_is_better: bool,
}

const STATES: [State; 3] = [
    State {
        by_area: ("adl_by_area", "ADLの変化と地域（過去1年の評価）"),
        by_service: ("adl_by_service", "ADLの変化とサービス種類（過去1年の評価）"),
        value: LifeSheet::barthel,
        more_is_better: true,
    },
    State {
        by_area: ("nutrition_by_area", "低栄養のリスクの変化と地域（過去1年の評価）"),
        by_service: ("nutrition_by_service", "低栄養のリスクの変化とサービス種類（過去1年の評価）"),
        value: |sheet| sheet.nutrition.risk.and_then(|risk| risk.code().parse().ok()),
        more_is_better: false,
    },
    State {
        by_area: ("oral_by_area", "口腔の問題の数の変化と地域（過去1年の評価）"),
        by_service: ("oral_by_service", "口腔の問題の数の変化とサービス種類（過去1年の評価）"),
        value: LifeSheet::oral_troubles,
        more_is_better: false,
    },
];

/// Everything counted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Functions {
    by_area: [BTreeMap<String, Change>; STATES.len()],
    by_service: [BTreeMap<ServiceType, Change>; STATES.len()],
}

impl Functions {
    /// Counts the sheets of a person, each with who made it.
    pub(super) fn person(&mut self, area: &str, sheets: Vec<(Organization, LifeSheet)>, today: Date) {
        let mut series: BTreeMap<(ServiceType, String), Vec<LifeSheet>> = BTreeMap::new();
        for (creator, sheet) in sheets {
            series.entry((sheet.service, creator.to_string())).or_default().push(sheet);
        }
        for ((service, _), mut sheets) in series {
            sheets.sort_by_key(|sheet| sheet.evaluated_on);
            for (at, state) in STATES.iter().enumerate() {
                if let Some(change) = change_of(&sheets, state, today) {
                    let areas = &mut self.by_area[at];
                    let known = areas.len() < MOST_AREAS || areas.contains_key(area);
                    let area = if known { area } else { "（その他の地域）" };
                    areas.entry(area.to_owned()).or_default()[change] += 1;
                    self.by_service[at].entry(service).or_default()[change] += 1;
                }
            }
        }
    }

    /// The tables; `name` is that of a service type.
    pub(super) fn tables(&self, name: impl Fn(&ServiceType) -> String) -> Vec<Table> {
        let mut tables = Vec::new();
        for (at, state) in STATES.iter().enumerate() {
            let (id, title) = state.by_area;
            let rows = self.by_area[at].iter().map(|(area, cells)| (area.clone(), cells.to_vec())).collect();
            tables.push(Table::of_counts((id, title, "地域"), &CHANGES, rows));
            let (id, title) = state.by_service;
            let rows = self.by_service[at].iter().map(|(service, cells)| (name(service), cells.to_vec())).collect();
            tables.push(Table::of_counts((id, title, "サービス種類"), &CHANGES, rows));
        }
        tables
    }
}

/// The column of the change between the two latest values, of which the later is of the last year.
fn change_of(sheets: &[LifeSheet], state: &State, today: Date) -> Option<usize> {
    let mut values = sheets.iter().rev().filter_map(|sheet| Some((sheet.evaluated_on, (state.value)(sheet)?)));
    let ((day, after), (_, before)) = (values.next()?, values.next()?);
    if !(0..WINDOW).contains(&(today - day).get_days()) {
        return None;
    }
    Some(match after.cmp(&before) {
        Ordering::Equal => 1,
        order => 2 * usize::from((order == Ordering::Greater) != state.more_is_better),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use kiban_domain::life::{MalnutritionRisk, OralSign};
    use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey};

    fn sheet(office: &str, day: Date, points: u8, risk: Option<MalnutritionRisk>) -> (Organization, LifeSheet) {
        let person = PersonKey {
            insurer: InsurerNumber::from_code5("99001").unwrap(),
            insured: InsuredNumber::parse("0000000001").unwrap(),
        };
        let mut sheet = LifeSheet::new(person, ServiceType::parse("51").unwrap(), day);
        sheet.adl.barthel = (1..=10).map(|item| (item, points)).collect();
        sheet.nutrition.risk = risk;
        sheet.oral.signs = [(OralSign::Choking, points < 5), (OralSign::WearsDenture, true)].into();
        (Organization::Office(OfficeNumber::parse(office).unwrap()), sheet)
    }

    /// Rows with their cells, by table.
    fn cells(functions: &Functions, id: &str) -> Vec<(String, Vec<u64>)> {
        let tables = functions.tables(|service| format!("{service} 見本"));
        let table = tables.into_iter().find(|table| table.id == id).unwrap();
        table.rows.into_iter().map(|row| (row.name, row.cells.into_iter().flatten().collect())).collect()
    }

    #[test]
    fn the_two_latest_evaluations_by_one_office_are_compared() {
        use MalnutritionRisk::{High, Low};
        let (a, b) = ("9970000011", "9970000029");
        let mut functions = Functions::default();
        let today = date(2026, 11, 20);
        // Better in ADL and mouth, worse in nutrition; the first evaluation does not count any more.
        let one = vec![
            sheet(a, date(2026, 11, 1), 10, Some(High)),
            sheet(a, date(2026, 8, 1), 0, Some(Low)),
            sheet(a, date(2026, 5, 1), 10, Some(Low)),
        ];
        functions.person("北町", one, today);
        // Two offices: nothing to compare. An evaluation of more than a year ago: not counted.
        let two = vec![sheet(a, date(2026, 11, 1), 5, None), sheet(b, date(2026, 8, 1), 0, None)];
        functions.person("南町", two, today);
        functions.person(
            "南町",
            vec![sheet(a, date(2025, 11, 20), 5, None), sheet(a, date(2025, 8, 1), 0, None)],
            today,
        );
        // The same, and no risk recorded at one of them.
        let four = vec![sheet(a, date(2026, 11, 1), 5, Some(Low)), sheet(a, date(2026, 8, 1), 5, None)];
        functions.person("南町", four, today);
        let row = |name: &str, cells: [u64; 4]| (name.to_owned(), cells.to_vec());
        let adl = [row("北町", [1, 0, 0, 1]), row("南町", [0, 1, 0, 1]), row("合計", [1, 1, 0, 2])];
        assert_eq!(cells(&functions, "adl_by_area"), adl);
        assert_eq!(cells(&functions, "adl_by_service"), [row("51 見本", [1, 1, 0, 2]), row("合計", [1, 1, 0, 2])]);
        assert_eq!(cells(&functions, "nutrition_by_area"), [row("北町", [0, 0, 1, 1]), row("合計", [0, 0, 1, 1])]);
        assert_eq!(cells(&functions, "oral_by_area")[0], row("北町", [1, 0, 0, 1]));
    }
}
