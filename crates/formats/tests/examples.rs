//! Every file under `examples/`: the valid ones are read without a problem and written back byte for byte, the faulty
//! ones give exactly the list in their `expected.txt`. `UPDATE_EXPECTED=1` writes the lists anew for review.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use kiban_domain::care_plan::PlanWithdrawal;
use kiban_formats::Problem;
use kiban_formats::care_plan::{self, PlanFileName, Sending};
use std::fs;
use std::path::{Path, PathBuf};
use support::{Files, examples, files_in as files};

fn folders(sub: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(examples(sub)).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no examples in {sub}");
    folders
}

/// One line a problem: severity, rule, message.
fn listing(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |out, problem| {
        let severity = if problem.is_error() { "error" } else { "warning" };
        out + &format!("{severity} {} {}\n", problem.rule, problem.message_ja())
    })
}

fn assert_expected(folder: &Path, problems: &[Problem]) {
    let found = listing(problems);
    let path = folder.join("expected.txt");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}", folder.display());
    assert!(problems.iter().any(Problem::is_error), "{} has no error", folder.display());
}

fn sending(files: &Files, start: &str) -> Option<Sending> {
    let (name, _) = files.iter().find(|(name, _)| name.starts_with(start))?;
    Some(PlanFileName::parse(name).unwrap().sending)
}

fn values<T: Clone>(sent: &[care_plan::Sent<T>]) -> Vec<T> {
    sent.iter().map(|sent| sent.value.clone()).collect()
}

#[test]
fn valid_care_plan_files_come_back_byte_for_byte() {
    for folder in folders("care-plan/valid") {
        let files = files(&folder);
        let (received, problems) = care_plan::read_set(&files);
        assert_eq!(listing(&problems), "", "{}", folder.display());
        let mut written: Files = Vec::new();
        if let Some(sending) = sending(&files, "UP1KYO") {
            written.extend(care_plan::write_plan_set(&values(&received.plans), &sending).unwrap());
        }
        if let Some(sending) = sending(&files, "UPPLAN") {
            written.extend(care_plan::write_slip_set(&values(&received.slips), &sending).unwrap());
        }
        if let Some(sending) = sending(&files, "UPJSK") {
            written.extend(care_plan::write_actuals(&values(&received.actuals), &sending).unwrap());
        }
        if let Some(sending) = sending(&files, "UPKIHON") {
            let (basics, plans) = (values(&received.basics), values(&received.preventive_plans));
            written.extend(care_plan::write_preventive_set(&basics, &plans, &sending).unwrap());
        }
        if let Some(sending) = sending(&files, "KGSP1") {
            let plans = values(&received.facility_plans);
            written.extend(match folder.ends_with("facility-json") {
                true => care_plan::write_facility_json_set(&plans, &sending).unwrap(),
                false => care_plan::write_facility_set(&plans, &sending).unwrap(),
            });
        }
        for start in ["DLT1KYO", "DLTPLAN", "DLTJSK", "DLTKIHON", "DLTYOBO", "KGSPD"] {
            let of_kind = |withdrawal: &&PlanWithdrawal| match withdrawal {
                PlanWithdrawal::Plan { .. } => start == "DLT1KYO",
                PlanWithdrawal::Slip { .. } => start == "DLTPLAN",
                PlanWithdrawal::Actuals { .. } => start == "DLTJSK",
                PlanWithdrawal::BasicInformation { .. } => start == "DLTKIHON",
                PlanWithdrawal::PreventivePlan { .. } => start == "DLTYOBO",
                PlanWithdrawal::FacilityPlan { .. } => start == "KGSPD",
            };
            if let Some(sending) = sending(&files, start) {
                let all = values(&received.withdrawals);
                let withdrawals: Vec<_> = all.iter().filter(of_kind).cloned().collect();
                written.extend(care_plan::write_withdrawals(&withdrawals, &sending).unwrap());
            }
        }
        written.sort();
        let names = |files: &Files| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&written), names(&files));
        for (ours, theirs) in written.iter().zip(&files) {
            assert!(ours.1 == theirs.1, "{} differs:\n{}", ours.0, String::from_utf8_lossy(&ours.1));
        }
    }
}

#[test]
fn facility_plans_come_as_csv_or_json() {
    let read = |sub: &str| {
        let (received, problems) = care_plan::read_set(&files(&examples("care-plan/valid").join(sub)));
        assert_eq!(listing(&problems), "", "{sub}");
        values(&received.facility_plans)
    };
    let plans = read("facility");
    assert_eq!(plans, read("facility-json"));
    let needs = &plans[0].table2.needs;
    assert_eq!((plans.len(), needs.len(), needs[0].long_goals[0].short_goals[0].services.len()), (1, 2, 2));
    assert_eq!(needs[0].long_goals[0].short_goals[0].services[1].staff, "機能訓練指導員");
    assert_eq!((plans[0].table3.services().count(), plans[0].table3.others().count()), (2, 1));
    let mut files = files(&examples("care-plan/valid/facility"));
    for (name, _) in &mut files {
        *name = name.replace("KGSP1_9970000", "KGSP1_9980000").replace("KGSP2_9970000", "KGSP2_9980000");
    }
    let (received, problems) = care_plan::read_set(&files);
    assert!(received.facility_plans.is_empty() && problems.iter().any(|problem| problem.rule == "sender"));
}

#[test]
fn faulty_care_plan_files_give_the_expected_problems_and_nothing_else() {
    for folder in folders("care-plan/bad") {
        let (received, problems) = care_plan::read_set(&files(&folder));
        assert_expected(&folder, &problems);
        assert!(received.plans.is_empty() && received.slips.is_empty(), "{} was taken", folder.display());
    }
}
