//! What a care manager or a service office would notice about reading care plans.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use kiban_domain::care_plan::{ClockTime, Coverage, Weekday};
use kiban_formats::care_plan;
use support::{Files, care_plan as folder, cp932};

fn replace(files: &mut Files, start: &str, from: &str, to: &str) {
    let bytes = &mut files.iter_mut().find(|(name, _)| name.starts_with(start)).unwrap().1;
    let (from, to) = (cp932(from), cp932(to));
    let at = bytes.windows(from.len()).position(|window| window == from).expect("text to replace");
    bytes.splice(at..at + from.len(), to);
}

fn rules(files: &Files) -> Vec<(String, u64, String)> {
    let (_, problems) = care_plan::read_set(files);
    problems.into_iter().map(|p| (p.rule.into_owned(), p.line, p.item)).collect()
}

#[test]
fn the_second_table_is_a_tree_of_needs_goals_and_services() {
    let (plans, problems) = care_plan::read_plan_set(&folder("plan"));
    assert!(problems.is_empty());
    let plan = &plans[0];
    let needs = &plan.table2.needs;
    assert_eq!(needs.len(), 2);
    assert_eq!(needs[0].text, "浴室で転ばずに入浴したい");
    assert_eq!(needs[0].long_goals.len(), 2);
    let short = &needs[0].long_goals[0].short_goals;
    assert_eq!((short.len(), short[0].services.len()), (2, 2), "a new 短期目標 opens inside the same 長期目標");
    assert_eq!(short[1].text, "一人で着替えができる");
    assert_eq!(short[1].services[0].coverage, Some(Coverage::NotCovered));
    assert_eq!(short[1].services[0].office, None);
    assert!(plan.table1.policy.contains("合言葉は\"転ばない暮らし\""));
    assert_eq!(plan.table1.analysis.lines().count(), 3);
    assert_eq!(plan.table3.services().filter(|service| service.weekday == Some(Weekday::Tuesday)).count(), 1);
    assert_eq!(plan.table3.activities().count(), 3);
    assert_eq!(plan.table3.others().count(), 2);
    assert_eq!(plan.supplement.as_ref().unwrap().name, "架空 花子");
}

#[test]
fn text_repeated_on_every_row_means_the_same_plan() {
    let (expected, _) = care_plan::read_plan_set(&folder("plan"));
    let mut files = folder("plan");
    replace(&mut files, "UP2KYO", ",1,,1,,,,,2,", ",1,\"浴室で転ばずに入浴したい\",1,\"自宅で入浴を続けられる\",,,,2,");
    let (plans, problems) = care_plan::read_plan_set(&files);
    assert!(problems.is_empty());
    assert_eq!(plans, expected);
}

#[test]
fn services_without_a_time_have_none() {
    let (slips, problems) = care_plan::read_slip_set(&folder("slip"));
    assert!(problems.is_empty());
    assert_eq!((slips[0].lines.len(), slips[0].table7.len()), (22, 10));
    assert_eq!(slips[0].lines[0].from, ClockTime::parse("1000"));
    assert_eq!(slips[0].lines[10].from, None);
    assert_eq!(slips[0].table7[9].total_cost, Some(119_730));
    assert_eq!(slips[0].supplement.as_ref().unwrap().month, Some(slips[0].month));
}

#[test]
fn a_unit_that_is_not_complete_is_not_taken() {
    let mut files = folder("plan");
    files.retain(|(name, _)| !name.starts_with("UP3KYO"));
    let (received, problems) = care_plan::read_set(&files);
    assert!(received.plans.is_empty());
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].message_ja().contains("同じファイル連番の UP3KYO がありません"),
        "{}",
        problems[0].message_ja()
    );
}

#[test]
fn a_row_without_its_plan_is_told() {
    let mut files = folder("plan");
    replace(
        &mut files,
        "UP3KYO",
        "0001234567,20260325,20260325,\"訪問介護\",4",
        "0001234567,20260325,20260326,\"訪問介護\",4",
    );
    assert_eq!(rules(&files), [("parent".into(), 2, "居宅サービス計画作成（変更）日".into())]);
}

#[test]
fn two_messages_are_two_units_in_the_order_of_their_serials() {
    let mut files = folder("slip");
    files.extend(folder("plan"));
    files.extend(folder("actuals"));
    files.extend(folder("withdrawals"));
    let (received, problems) = care_plan::read_set(&files);
    assert!(problems.is_empty());
    assert_eq!((received.plans.len(), received.slips.len(), received.actuals.len()), (1, 1, 1));
    assert_eq!(received.withdrawals.len(), 4);
}

#[test]
fn every_document_knows_the_row_that_names_it_and_its_serial() {
    let mut files = folder("slip");
    files.extend(folder("plan"));
    files.extend(folder("actuals"));
    files.extend(folder("withdrawals"));
    let (received, _) = care_plan::read_set(&files);
    let place = |origin: &care_plan::Origin| (origin.kind.prefix(), origin.line, origin.serial.clone());
    assert_eq!(place(&received.plans[0].origin), ("UP1KYO", 1, "20260326101500".into()));
    assert_eq!(place(&received.slips[0].origin), ("UPPLAN", 1, "20260328153000".into()));
    assert_eq!(place(&received.actuals[0].origin), ("UPJSK", 1, "20260501090500".into()));
    assert_eq!(place(&received.withdrawals[2].origin), ("DLTPLAN", 2, "20260402120100".into()));
    let problem = received.slips[0].origin.problem("insured", "0001234567", "not_assigned", "登録してください");
    assert_eq!(
        problem.message_ja(),
        "UPPLAN_202604_9970000015_43_9970000023_11_20260328153000.CSV 1行目 3列「被保険者番号」: 「0001234567」となっています。登録してください"
    );
}

#[test]
fn offices_that_provide_services_are_named_once_for_each_unit_and_the_grand_total_is_none() {
    let (received, _) = care_plan::read_set(&folder("slip"));
    let named: Vec<_> =
        received.offices.iter().map(|o| (o.value.to_string(), o.origin.kind.prefix(), o.origin.line)).collect();
    assert_eq!(named[0], ("9970000023".into(), "UPPLAN", 1));
    assert!(named.iter().all(|(number, ..)| number != "9999999999"), "{named:?}");
    let mut numbers: Vec<_> = named.iter().map(|(number, ..)| number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), named.len());
}

#[test]
fn actuals_of_two_units_stay_two() {
    let mut files = folder("actuals");
    let later = files[0].0.replace("20260501090500", "20260502090500");
    files.push((later, files[0].1.clone()));
    let (received, problems) = care_plan::read_set(&files);
    assert!(problems.is_empty());
    assert_eq!(received.actuals.len(), 2);
    assert_eq!(received.actuals[0].lines, received.actuals[1].lines);
}

#[test]
fn a_fault_in_one_unit_does_not_keep_the_other_out() {
    let mut files = folder("slip");
    files.extend(folder("plan"));
    replace(&mut files, "UP1KYO", ",22,\"本人", ",99,\"本人");
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!((received.plans.len(), received.slips.len()), (0, 1));
    assert_eq!((problems.len(), problems[0].rule.as_ref(), problems[0].column), (1, "code", 21));
}

#[test]
fn what_real_software_does_differently_only_warns() {
    let mut files = folder("plan");
    // Office check digit, header row, line ends.
    replace(&mut files, "UP1KYO", ",9970000015,20260325,", ",9970000016,20260325,");
    let three = &mut files.iter_mut().find(|(name, _)| name.starts_with("UP3KYO")).unwrap().1;
    let mut with_header = cp932("CSVバージョン,保険者番号\r\n");
    with_header.append(three);
    *three = with_header;
    let two = &mut files.iter_mut().find(|(name, _)| name.starts_with("UP2KYO")).unwrap().1;
    two.retain(|b| *b != b'\r');
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!(received.plans.len(), 1);
    assert!(problems.iter().all(|problem| !problem.is_error()));
    let mut rules: Vec<&str> = problems.iter().map(|problem| problem.rule.as_ref()).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["check_digit", "header", "line_end"]);
}

#[test]
fn dates_that_do_not_exist_or_run_backwards_are_told() {
    let mut files = folder("plan");
    replace(&mut files, "UP1KYO", "20250310", "20250230");
    assert_eq!(rules(&files), [("date".into(), 1, "初回居宅サービス計画作成日".into())]);
    let mut files = folder("plan");
    replace(&mut files, "UP1KYO", "20260301,20280229", "20260301,20260228");
    assert_eq!(rules(&files), [("date_order".into(), 1, "認定有効期間終了日".into())]);
}
