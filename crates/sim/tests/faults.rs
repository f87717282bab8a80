//! Files with a fault: the real reader names the rule, in the right file.

use jiff::civil::date;
use kiban_domain::OfficeNumber;
use kiban_domain::dates::ServiceMonth;
use kiban_formats::{Problem, care_plan, municipal};
use kiban_sim::CitySpec;
use kiban_sim::faults::{Faulty, UNKNOWN_OFFICE, faulty_packages, faulty_plans, wrong_sequences};

fn spec() -> CitySpec {
    CitySpec::sample(1, 40, date(2026, 11, 22)).expect("a right number")
}

fn assert_named(faulty: &Faulty, problems: &[Problem]) {
    let shown: Vec<String> =
        problems.iter().take(4).map(|problem| format!("{} {}", problem.rule, problem.message_ja())).collect();
    let named = problems.iter().any(|p| p.is_error() && p.rule == faulty.rule && p.file.contains(faulty.in_file));
    assert!(named, "{}: {} expected, found {shown:#?}", faulty.name, faulty.rule);
}

#[test]
fn every_faulty_package_is_told_by_its_rule() {
    let all = faulty_packages(&spec()).unwrap();
    assert!(all.len() >= 20);
    for faulty in &all {
        let problems = municipal::open(faulty.files.clone()).check(&mut drop);
        assert_named(faulty, &problems);
    }
}

#[test]
fn a_fault_in_one_row_is_the_only_remark_and_the_other_rows_are_read() {
    for faulty in faulty_packages(&spec()).unwrap() {
        if !["check-digit", "length", "code", "date", "required", "columns", "rate"].contains(&faulty.name) {
            continue;
        }
        let mut rows = 0;
        let problems = municipal::open(faulty.files.clone()).check(&mut |_| rows += 1);
        assert_eq!(problems.len(), 1, "{}: {problems:#?}", faulty.name);
        assert!(problems[0].line > 1 && rows > 60, "{}", faulty.name);
    }
}

#[test]
fn every_faulty_plan_unit_is_told_by_its_rule_and_not_taken() {
    for faulty in faulty_plans(&spec(), ServiceMonth::parse("202612").unwrap()).unwrap() {
        let (received, problems) = care_plan::read_set(&faulty.files);
        assert_named(&faulty, &problems);
        assert!(received.plans.len() + received.slips.len() < 2, "{}: the other unit at most", faulty.name);
    }
}

#[test]
fn what_only_the_receiver_can_know_is_sound_for_the_reader() {
    let sequences = wrong_sequences(&spec()).unwrap();
    for sequence in &sequences {
        for package in &sequence.packages {
            let problems = municipal::open(package.clone()).check(&mut drop);
            assert!(problems.is_empty(), "{}: {problems:#?}", sequence.name);
        }
    }
    assert_eq!(OfficeNumber::parse(UNKNOWN_OFFICE).unwrap().check_digit_warning(), None);
    let text = |name| {
        let sequence = sequences.iter().find(|sequence| sequence.name == name).unwrap();
        sequence.packages[0].iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect::<String>()
    };
    assert!(text("future-consent").contains(",20990101,"));
    assert!(text("unknown-office").contains(UNKNOWN_OFFICE));
}
