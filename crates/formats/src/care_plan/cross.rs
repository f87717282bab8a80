//! 第6表 against 第7表 (docs/requirements.md §16): what the office will claim is what was planned. Warnings only: the
//! receiver looks at both.

use super::name::PlanFileKind;
use super::rules::ReadFile;
use crate::Problem;
use crate::layout::RowRef;
use kiban_domain::care_plan::{GRAND_TOTAL, is_total};
use std::cmp::Ordering;

/// A person by the characters of both numbers, so that two of them compare as one number does.
pub type Person = u128;

/// A service of a person: 事業所, サテライト, サービスコード, 福祉用具 twice, 単位数.
type Service<'a> = [&'a str; 6];

/// One line of 第7表, or the lines of 第6表 that are of the same service.
struct Line<'a> {
    of: (Person, Service<'a>),
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
    // Both are in the same order.
    let (mut planned, mut counted) = (planned.iter().peekable(), in_table7.iter().peekable());
    loop {
        let order = match (planned.peek(), counted.peek()) {
            (Some(plan), Some(line)) => plan.of.cmp(&line.of),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let plan = planned.next_if(|_| order.is_le());
        let line = counted.next_if(|_| order.is_ge());
        match (plan, line) {
            (Some(plan), None) => {
                let text = "第6表のこのサービスと同じ事業所・サービスコード・単位数の行が第7表にありません。どちらが正しいか確認してください";
                of_slip.push(told(&files[slip], plan, "service_code", text.to_owned()));
            }
            (None, Some(line)) => {
                let text = "第7表のこの行と同じ事業所・サービスコード・単位数のサービスが第6表にありません。どちらが正しいか確認してください";
                of_table7.push(told(&files[table7], line, "service_code", text.to_owned()));
            }
            (Some(plan), Some(line)) if plan.count != line.count && !plan.prorated => {
                let text = format!("第6表の回数の合計 {} と異なります。どちらが正しいか確認してください", plan.count);
                of_table7.push(told(&files[table7], line, "count", text));
            }
            _ => {}
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

/// 保険者番号 and 被保険者番号 of a sound row, six characters and ten.
pub fn person(insurer: &str, insured: &str) -> Person {
    insurer.bytes().chain(insured.bytes()).fold(0, |all, byte| all << 8 | u128::from(byte))
}

/// The services of a table with the sum of their counts, in order. Units are those after discount; 第7表 leaves them out where
/// there is none.
fn lines<'a>(file: &'a ReadFile<'_>, units: &str) -> Vec<Line<'a>> {
    let [insurer, insured] = ["insurer", "insured"].map(|key| file.index(key));
    let of_service = ["office", "satellite", "service_code", "tais_code", "equipment_code", units, "units"]
        .map(|key| file.layout.column(key).0 as usize);
    let prorated = file.layout.column("prorated_days").0 as usize;
    let count = file.index("count");
    let value = |row: RowRef<'a>, column: usize| if column == 0 { "" } else { row.get(column - 1) };
    let mut lines: Vec<Line<'a>> = Vec::new();
    // Rows of one service mostly follow one another.
    let mut last: Option<(RowRef<'a>, bool)> = None;
    for row in file.rows.iter().filter(|row| row.is_sound()) {
        let repeats = |last: RowRef<'a>, column: usize| column == 0 || row.repeats(last, column - 1);
        let before = last.filter(|(last, _)| {
            row.repeats(*last, insured)
                && row.repeats(*last, insurer)
                && of_service.iter().all(|column| repeats(*last, *column))
        });
        let counts = before.map_or_else(|| !is_total(value(row, of_service[2])), |(_, counts)| counts);
        last = Some((row, counts));
        if !counts {
            continue;
        }
        let count = row.get(count).parse::<i64>().unwrap_or_default();
        let prorated = !value(row, prorated).is_empty();
        match lines.last_mut().filter(|_| before.is_some()) {
            Some(line) => {
                line.count += count;
                line.prorated |= prorated;
            }
            None => {
                let [office, satellite, code, tais, equipment, units, plain] =
                    of_service.map(|column| value(row, column));
                let units = if units.is_empty() { plain } else { units }.trim_start_matches('0');
                let service = [office, satellite, code, tais, equipment, units];
                let of = (person(row.get(insurer), row.get(insured)), service);
                lines.push(Line { of, row, count, prorated });
            }
        }
    }
    // Those of one service stay in the order of the file, the first of them first.
    lines.sort_by(|a, b| a.of.cmp(&b.of));
    lines.dedup_by(|more, line| {
        let is_same = more.of == line.of;
        if is_same {
            line.count += more.count;
            line.prorated |= more.prorated;
        }
        is_same
    });
    lines
}

/// 給付管理単位数 of the grand total is the sum over offices and types: of the subtotal, or of the lines where there is none.
fn totals<'a>(file: &'a ReadFile<'_>) -> Vec<Problem> {
    let [insurer, insured, office, satellite] =
        ["insurer", "insured", "office", "satellite"].map(|key| file.index(key));
    let (code, managed) = (file.index("service_code"), file.index("managed_units"));
    let number = |row: RowRef<'_>| row.get(managed).parse::<i64>().ok();
    let person = |row: RowRef<'_>| person(row.get(insurer), row.get(insured));
    let of_group = |row: RowRef<'a>| {
        let service = row.get(code).get(..2).unwrap_or_default();
        (person(row), [row.get(office), row.get(satellite), service])
    };
    let (grand, mut rows): (Vec<_>, Vec<_>) =
        file.rows.iter().filter(|row| row.is_sound()).partition(|row| row.get(code) == GRAND_TOTAL);
    rows.sort_by_cached_key(|row| of_group(*row));
    let mut sums: Vec<(Person, i64)> = Vec::new();
    for group in rows.chunk_by(|a, b| of_group(*a) == of_group(*b)) {
        let Some(first) = group.first() else { continue };
        let subtotal = group.iter().rfind(|row| row.get(code).ends_with("AAAA")).and_then(|row| number(*row));
        let lines = group.iter().filter(|row| !is_total(row.get(code)));
        let sum = subtotal.unwrap_or_else(|| lines.map(|row| number(*row).unwrap_or_default()).sum());
        match sums.last_mut().filter(|(of, _)| *of == person(*first)) {
            Some((_, all)) => *all += sum,
            None => sums.push((person(*first), sum)),
        }
    }
    let mut problems = Vec::new();
    for row in grand {
        let at = sums.binary_search_by_key(&person(row), |(of, _)| *of);
        let sum = at.map_or(0, |at| sums[at].1);
        if number(row).is_some_and(|total| total != sum) {
            let text = format!("給付管理単位数を合わせると {sum} になります。合計を確認してください");
            let problem = file.problem(row, "managed_units", "table7_mismatch", text);
            problems.push(problem.found(row.get(managed)).warning());
        }
    }
    problems
}
