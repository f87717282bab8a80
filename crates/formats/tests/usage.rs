//! E1 and E2 over all rows: more than the limit, and the same 種目 bought again, told at the row that brings it about with the
//! rows that count together.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use jiff::civil::date;
use kiban_domain::certification::CareLevel;
use kiban_domain::equipment_purchase::{AgainReason, EquipmentPurchase};
use kiban_domain::home_modification::HomeModification;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey};
use kiban_formats::Problem;
use kiban_formats::municipal::{self, Change, Entry, MunicipalPackage, Usages, Use};

fn person(number: u32) -> PersonKey {
    PersonKey {
        insurer: InsurerNumber::parse("999003").unwrap(),
        insured: InsuredNumber::parse(&format!("{number:010}")).unwrap(),
    }
}

fn row<T>(number: u32, history: u32, value: T) -> Entry<T> {
    Entry { key: person(number), history, change: Change::New, value }
}

fn work(day: Date, eligible: u32) -> HomeModification {
    HomeModification {
        cost: eligible,
        eligible,
        paid: 0,
        copayment: None,
        ..HomeModification::example(day, CareLevel::Care1)
    }
}

fn purchase(day: Date, eligible: u32) -> EquipmentPurchase {
    EquipmentPurchase { cost: eligible, eligible, paid: 0, ..EquipmentPurchase::example(day) }
}

fn told(package: MunicipalPackage, usages: &mut Usages) -> Vec<Problem> {
    let mut problems = Vec::new();
    let found = municipal::open(package.finish().unwrap()).check(&mut |row| problems.extend(usages.take(&row)));
    assert!(found.is_empty(), "{found:?}");
    assert!(problems.iter().all(|problem| !problem.is_error() && problem.column > 0));
    problems
}

fn package() -> MunicipalPackage {
    MunicipalPackage::new(person(1).insurer, "2027-06-01T00:00:00Z".parse().unwrap())
}

#[test]
fn works_beyond_200_000_yen_are_told_with_the_rows_that_count() {
    let works = [
        row(1, 1, work(date(2024, 5, 1), 150_000)),
        row(2, 1, work(date(2024, 5, 1), 150_000)),
        row(1, 2, work(date(2025, 5, 1), 50_000)),
        row(1, 3, work(date(2026, 5, 1), 10_000)),
    ];
    let problems = told(package().records(&works), &mut Usages::default());
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((problem.rule.as_ref(), problem.line, problem.item.as_str()), ("over_allowance", 5, "支給対象額"));
    let words = problem.message_ja();
    assert!(words.contains("住宅 1 の支給対象額の合計 210000 円") && words.contains("200000 円"), "{words}");
    assert!(words.contains("この行と 2行目、4行目") && !words.contains("と 3行目"), "{words}");
}

#[test]
fn what_was_recorded_before_counts_and_what_is_taken_back_does_not() {
    let mut usages = Usages::default();
    let before = Use::Work(work(date(2023, 5, 1), 120_000).counted());
    usages.note(person(1).insured, person(1).insured, 1, before);
    usages.note(person(1).insured, person(9).insured, 4, Use::Work(work(date(2022, 5, 1), 60_000).counted()));
    let over = [row(1, 2, work(date(2026, 5, 1), 30_000))];
    let problems = told(package().records(&over), &mut usages);
    let words = problems[0].message_ja();
    assert!(words.contains("210000 円") && words.contains("登録済みの履歴番号 1"), "{words}");
    assert!(words.contains("前の番号の履歴番号 4"), "{words}");
    // Corrected to less, then taken back: what it said before counts no more.
    let less = [Entry { change: Change::Corrected, ..row(1, 2, work(date(2026, 5, 1), 20_000)) }];
    assert_eq!(told(package().records(&less), &mut usages), []);
    let gone = [Entry { change: Change::Deleted, ..row(1, 1, work(date(2023, 5, 1), 120_000)) }];
    let more = [row(1, 3, work(date(2026, 6, 1), 120_000))];
    assert_eq!(told(package().records(&gone).records(&more), &mut usages), []);
}

#[test]
fn works_that_are_not_recorded_count_by_what_the_row_says_of_them() {
    let mut alone = work(date(2026, 5, 1), 60_000);
    alone.already_eligible = Some(150_000);
    let problems = told(package().records(&[row(1, 1, alone)]), &mut Usages::default());
    assert!(problems[0].message_ja().contains("210000 円") && problems[0].message_ja().contains("この行"));
}

#[test]
fn purchases_beyond_100_000_yen_of_a_year_and_those_bought_again_are_told() {
    let mut explained = purchase(date(2026, 9, 1), 1_000);
    explained.again = Some(AgainReason::Broken);
    let purchases = [
        row(1, 1, purchase(date(2026, 3, 31), 60_000)),
        row(1, 2, purchase(date(2026, 4, 1), 60_000)),
        row(1, 3, purchase(date(2027, 3, 31), 40_001)),
        row(2, 1, purchase(date(2026, 4, 1), 60_000)),
        row(2, 2, explained),
    ];
    let problems = told(package().records(&purchases), &mut Usages::default());
    let told: Vec<_> = problems.iter().map(|p| (p.rule.as_ref(), p.line, p.item.as_str())).collect();
    assert_eq!(told, [("over_allowance", 4, "支給対象額"), ("bought_again", 4, "種目")]);
    assert!(problems[0].message_ja().contains("2026年度") && problems[0].message_ja().contains("3行目"));
    assert!(problems[1].message_ja().contains("3行目"));
}
