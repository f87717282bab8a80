//! 第6表 against 第7表 (docs/requirements.md §16): what the office will claim is what was planned. Warnings only: the
//! receiver looks at both.

use super::name::PlanFileKind;
use super::rules::{GRAND_TOTAL, ReadFile};
use crate::Problem;
use crate::layout::RowRef;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A service of a person with an office: 保険者番号, 被保険者番号, 事業所, サテライト, サービスコード, 福祉用具, 単位数.
type Service<'a> = [&'a str; 8];

/// One line of 第7表, or the lines of 第6表 that are of the same service.
struct Line<'a> {
    row: RowRef<'a>,
    count: i64,
    /// Of 第6表: 日割 counts days, which 第7表 does not repeat.
    prorated: bool,
}

/// Warns of services that stand in one of the tables only, and of counts and units that differ.
pub fn check(files: &mut [ReadFile<'_>]) {
    let at = |kind| files.iter().position(|file| file.kind == kind);
    let (Some(slip), Some(table7)) = (at(PlanFileKind::Slip), at(PlanFileKind::Table7)) else { return };
    let (planned, in_table7) = (lines(&files[slip], "units"), lines(&files[table7], "discounted_units"));
    let mut of_slip = Vec::new();
    let mut of_table7 = Vec::new();
    for (service, line) in &planned {
        if !in_table7.contains_key(service) {
            let text = "第6表のこのサービスと同じ事業所・サービスコード・単位数の行が第7表にありません。どちらが正しいか確認してください";
            of_slip.push(told(&files[slip], line, "service_code", text.to_owned()));
        }
    }
    for (service, line) in &in_table7 {
        let Some(plan) = planned.get(service) else {
            let text = "第7表のこの行と同じ事業所・サービスコード・単位数のサービスが第6表にありません。どちらが正しいか確認してください";
            of_table7.push(told(&files[table7], line, "service_code", text.to_owned()));
            continue;
        };
        if plan.count != line.count && !plan.prorated {
            let text = format!("第6表の回数の合計 {} と異なります。どちらが正しいか確認してください", plan.count);
            of_table7.push(told(&files[table7], line, "count", text));
        }
    }
    of_table7.extend(totals(&files[table7]));
    for (file, problems) in [(slip, of_slip), (table7, of_table7)] {
        problems.into_iter().for_each(|problem| files[file].problems.push(problem));
    }
}

fn told(file: &ReadFile<'_>, line: &Line<'_>, key: &str, text: String) -> Problem {
    let found = line.row.get(file.index(key));
    file.problem(line.row, key, "table7_mismatch", text).found(found).warning()
}

/// The services of a table with the sum of their counts. Units are those after discount; 第7表 leaves them out where there
/// is none.
fn lines<'a>(file: &'a ReadFile<'_>, units: &str) -> BTreeMap<Service<'a>, Line<'a>> {
    let keys = ["insurer", "insured", "office", "satellite", "service_code", "tais_code", "equipment_code"];
    let columns = keys.map(|key| file.layout.column(key).0 as usize);
    let (count, units, plain) = (file.index("count"), file.index(units), file.index("units"));
    let prorated = file.layout.column("prorated_days").0 as usize;
    let value = |row: RowRef<'a>, column: usize| if column == 0 { "" } else { row.get(column - 1) };
    let mut lines = BTreeMap::new();
    // Rows of one service follow one another: they are added up before they are put among the others.
    let mut run: Option<(Service<'a>, Line<'a>)> = None;
    for row in file.rows.iter().filter(|row| row.is_sound()) {
        let [insurer, insured, office, satellite, code, tais, equipment] = columns.map(|column| value(row, column));
        if is_total(code) {
            continue;
        }
        let units = if row.get(units).is_empty() { row.get(plain) } else { row.get(units) };
        let service = [insurer, insured, office, satellite, code, tais, equipment, units];
        let count = row.get(count).parse::<i64>().unwrap_or_default();
        let prorated = !value(row, prorated).is_empty();
        match run.as_mut().filter(|(same, _)| *same == service) {
            Some((_, line)) => {
                line.count += count;
                line.prorated |= prorated;
            }
            None => add_run(&mut lines, run.replace((service, Line { row, count, prorated }))),
        }
    }
    add_run(&mut lines, run);
    lines
}

fn add_run<'a>(lines: &mut BTreeMap<Service<'a>, Line<'a>>, run: Option<(Service<'a>, Line<'a>)>) {
    let Some((service, more)) = run else { return };
    match lines.entry(service) {
        Entry::Vacant(place) => {
            place.insert(more);
        }
        Entry::Occupied(mut place) => {
            let line = place.get_mut();
            line.count += more.count;
            line.prorated |= more.prorated;
        }
    }
}

/// Whether a code of 第7表 is the mark of a total.
fn is_total(code: &str) -> bool {
    code == GRAND_TOTAL || ["AAAA", "EEEE", "ZZZZ"].iter().any(|mark| code.ends_with(mark))
}

/// 給付管理単位数 of the grand total is the sum over offices and types: of the subtotal, or of the lines where there is none.
fn totals(file: &ReadFile<'_>) -> Vec<Problem> {
    let keys = ["insurer", "insured", "office", "satellite"].map(|key| file.index(key));
    let (code, managed) = (file.index("service_code"), file.index("managed_units"));
    let number = |row: RowRef<'_>| row.get(managed).parse::<i64>().ok();
    let mut groups: BTreeMap<[&str; 5], (Option<i64>, i64)> = BTreeMap::new();
    for row in file.rows.iter().filter(|row| row.is_sound() && row.get(code) != GRAND_TOTAL) {
        let [insurer, insured, office, satellite] = keys.map(|at| row.get(at));
        let service = row.get(code).get(..2).unwrap_or_default();
        let group = groups.entry([insurer, insured, office, satellite, service]).or_default();
        if row.get(code).ends_with("AAAA") {
            group.0 = number(row);
        } else if !is_total(row.get(code)) {
            group.1 += number(row).unwrap_or_default();
        }
    }
    let mut sums: BTreeMap<[&str; 2], i64> = BTreeMap::new();
    for ([insurer, insured, ..], (subtotal, lines)) in groups {
        *sums.entry([insurer, insured]).or_default() += subtotal.unwrap_or(lines);
    }
    let mut problems = Vec::new();
    for row in file.rows.iter().filter(|row| row.is_sound() && row.get(code) == GRAND_TOTAL) {
        let sum = sums.get(&[row.get(keys[0]), row.get(keys[1])]).copied().unwrap_or_default();
        if number(row).is_some_and(|total| total != sum) {
            let text = format!("給付管理単位数を合わせると {sum} になります。合計を確認してください");
            let problem = file.problem(row, "managed_units", "table7_mismatch", text);
            problems.push(problem.found(row.get(managed)).warning());
        }
    }
    problems
}
