//! Whatever the bytes are, the readers answer; and a valid file that was changed is either equivalent or told where.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use jiff::civil::date;
use kiban_domain::care_plan::{CarePlan, Need};
use kiban_formats::care_plan::{self, PlanFileKind, PlanFileName};
use kiban_formats::layout::{self, Dialect};
use kiban_formats::{Problem, municipal, text};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use support::{Files, examples, folder};

/// One byte replaced, put in or taken out.
fn mutate(bytes: &mut Vec<u8>, place: usize, byte: u8, how: u8) {
    let place = place % bytes.len().max(1);
    match how % 3 {
        0 => bytes[place] = byte,
        1 => bytes.insert(place, byte),
        _ => drop(bytes.remove(place)),
    }
}

/// One character of a name replaced by another that a name may have.
fn mutate_name(name: &mut String, place: usize, byte: u8) {
    let others = b"0123456789ACJPU_.";
    let place = place % name.len();
    let other = char::from(others[usize::from(byte) % others.len()]);
    name.replace_range(place..=place, &other.to_string());
}

/// Every example: its folder, and which of the files there it is.
fn every_file() -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = fs::read_dir(examples("care-plan/valid"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .flat_map(|sub| {
            let files = folder(&format!("care-plan/valid/{sub}")).len();
            (0..files).map(move |at| (sub.clone(), at))
        })
        .collect();
    all.sort();
    all
}

/// Among the files that are changed are all that there are: 17 kinds, the picture, and those of a facility.
#[test]
fn every_kind_of_file_is_among_those_that_are_changed() {
    let kinds: HashSet<PlanFileKind> = every_file()
        .into_iter()
        .map(|(sub, at)| PlanFileName::parse(&folder(&format!("care-plan/valid/{sub}"))[at].0).unwrap().kind)
        .collect();
    assert_eq!(kinds.len(), PlanFileKind::ALL.len(), "{kinds:?}");
}

/// Bytes that matter to a reader more often than others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(b"\",\r\n0129AH\0\x1b\\".to_vec())]
}

/// One line or one column of one line taken out, doubled, or put where another is; one value replaced by its neighbour's.
fn mutate_rows(bytes: &mut Vec<u8>, place: usize, other: usize, how: u8) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let (a, b) = (place % lines.len(), other % lines.len());
    let mut columns: Vec<Vec<u8>> = lines[a].split(|b| *b == b',').map(<[u8]>::to_vec).collect();
    let (c, d) = (other % columns.len(), place % columns.len());
    match how % 7 {
        0 => drop(lines.remove(a)),
        1 => lines.insert(b, lines[a].clone()),
        2 => lines.swap(a, b),
        how => {
            match how {
                3 => drop(columns.remove(c)),
                4 => columns.insert(c, columns[d].clone()),
                5 => columns[c].clear(),
                _ => columns.swap(c, d),
            }
            lines[a] = columns.join(&b","[..]);
        }
    }
    *bytes = lines.concat();
}

/// Rules about a file as a whole, or about files that are missing.
const OF_FILES: &[&str] = &[
    "encoding",
    "file_name",
    "individual_number",
    "month_mismatch",
    "more",
    "no_rows",
    "picture",
    "unit",
    "unsupported_file",
];

/// Rules between files: a fault in one may be told of another.
const BETWEEN_FILES: &[&str] =
    &["month_mismatch", "no_table7", "parent", "picture", "supplement_missing", "table7_mismatch", "unit"];

/// Every problem names its place in a file of the set: in one of the changed files, unless it is about several.
fn assert_located(problems: &[Problem], files: &Files, changed: &[usize]) {
    for problem in problems {
        let is_of = |name: &str| text::show(name, 120) == problem.file;
        let is_changed = changed.iter().any(|at| is_of(&files[*at].0));
        assert!(is_changed || BETWEEN_FILES.contains(&problem.rule.as_ref()), "not in the changed file: {problem:?}");
        let (_, bytes) = files.iter().find(|(name, _)| is_of(name)).expect("a file of the set");
        let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        assert!(problem.line <= lines, "line {} of {lines}", problem.line);
        assert!(problem.line > 0 || OF_FILES.contains(&problem.rule.as_ref()), "without a line: {problem:?}");
        assert!(!problem.rule.is_empty() && !problem.expected.is_empty());
        assert!(!problem.message_ja().chars().any(char::is_control));
    }
}

/// What is not written of a set was read with a warning by the same rules, which are those of what is never written.
fn assert_read_only(found: &[Problem], told: &[Problem]) {
    const NEVER: [&str; 5] = ["no_table7", "out_of_scope", "picture", "required", "total_row"];
    let is_told = |rule: &str| told.iter().any(|problem| problem.rule == rule && !problem.is_error());
    let is_known = |problem: &Problem| NEVER.contains(&problem.rule.as_ref()) && is_told(&problem.rule);
    assert!(!found.is_empty() && found.iter().all(is_known), "{found:?} of {told:?}");
}

/// The values of CSV files by kind of file and column, without leading zeros; those of which something was told are left out.
fn values(files: &Files, told: &[Problem]) -> BTreeSet<(&'static str, usize, String)> {
    let mut all = BTreeSet::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with(".csv")) {
        let name = PlanFileName::parse(name).unwrap();
        let Some(layout) = name.sending.version().layout(name.kind) else { continue };
        let dialect = if name.kind.is_facility() { Dialect::MUNICIPAL } else { Dialect::CARE_PLAN };
        let file = name.to_string();
        for row in layout::read(layout, "x", bytes, dialect).0 {
            let is_told = |column: usize| {
                told.iter().any(|p| p.file == file && p.line == row.line() && p.column as usize == column + 1)
            };
            for column in (0..layout.items.len()).filter(|column| !is_told(*column)) {
                let value = row.get(column);
                let value =
                    if value.bytes().all(|b| b.is_ascii_digit()) { value.trim_start_matches('0') } else { value };
                // A picture is named after the set it is written with.
                if !value.is_empty() && !value.to_ascii_lowercase().ends_with(".jpg") {
                    all.insert((layout.file, column + 1, value.to_owned()));
                }
            }
        }
    }
    all
}

/// A plan that says the same as another, whatever the order of writing.
fn rewritten(plans: &[CarePlan]) -> Result<Vec<CarePlan>, Vec<Problem>> {
    let name = "UP1KYO_9970000015_43_9970000023_11_20260326101500.CSV";
    let files = care_plan::write_plan_set(plans, &PlanFileName::parse(name).unwrap().sending)?;
    let (plans, problems) = care_plan::read_plan_set(&files);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    Ok(plans)
}

/// The two codes of 第7表 that the standard fixes to 9999999999 are written so, also where they were blank.
fn with_fixed(mut all: serde_json::Value) -> serde_json::Value {
    match &mut all {
        serde_json::Value::Object(items) => {
            for (name, value) in items {
                match (name.as_str(), value.is_null()) {
                    ("office_fixed" | "entered_by", true) => *value = "9999999999".into(),
                    _ => *value = with_fixed(value.take()),
                }
            }
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|value| *value = with_fixed(value.take())),
        _ => {}
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        name in prop::sample::select(folder("care-plan/valid/plan").into_iter().chain(folder("care-plan/valid/slip"))
            .map(|(name, _)| name).collect::<Vec<_>>()),
        bytes in prop::collection::vec(byte(), 0..600),
    ) {
        let files = vec![(name, bytes.clone())];
        let (received, problems) = care_plan::read_set(&files);
        assert_located(&problems, &files, &[0]);
        prop_assert!(received.plans.is_empty() && !problems.is_empty());
        let _ = municipal::read_manifest(municipal::MANIFEST, &bytes);
        let mut package = folder("municipal/valid/small");
        package.push(("KGKB_A3A_999003_20260401090000_002.csv".into(), bytes.clone()));
        package.push(("KGKB_A1_999003_20260401090000_001.json".into(), bytes));
        package.retain(|(name, _)| name != "MANIFEST.csv");
        let problems = municipal::open(package).check(&mut |_| panic!("a row without manifest"));
        prop_assert!(problems.iter().any(Problem::is_error));
    }

    #[test]
    fn a_changed_plan_is_equivalent_or_told(file in 0usize..4, place in any::<usize>(), byte in byte(), how in any::<u8>()) {
        let mut files = folder("care-plan/valid/plan");
        mutate(&mut files[file].1, place, byte, how);
        let (received, problems) = care_plan::read_set(&files);
        assert_located(&problems, &files, &[file]);
        if problems.iter().any(Problem::is_error) {
            prop_assert!(received.plans.is_empty(), "half a unit was taken");
        } else {
            prop_assert_eq!(received.plans.len(), 1);
            let plans: Vec<CarePlan> = received.plans.into_iter().map(|plan| plan.value).collect();
            match rewritten(&plans) {
                Ok(again) => prop_assert_eq!(&again, &plans),
                Err(found) => assert_read_only(&found, &problems),
            }
        }
    }

    #[test]
    fn a_changed_slip_is_equivalent_or_told(file in 0usize..3, place in any::<usize>(), byte in byte(), how in any::<u8>()) {
        let mut files = folder("care-plan/valid/slip");
        mutate(&mut files[file].1, place, byte, how);
        let (received, problems) = care_plan::read_set(&files);
        assert_located(&problems, &files, &[file]);
        prop_assert_eq!(received.slips.is_empty(), problems.iter().any(Problem::is_error));
    }

    #[test]
    fn whatever_is_changed_in_a_set_is_told_or_reads_as_what_would_be_written(
        (folder_of, first) in prop::sample::select(every_file()),
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>(), byte(), 0u8..8), 1..3),
    ) {
        let mut files = folder(&format!("care-plan/valid/{folder_of}"));
        let count = files.len();
        let mut changed = Vec::new();
        for (i, (place, other, how, byte, part)) in changes.into_iter().enumerate() {
            // One file of each kind is changed as often as any other; what is changed besides may be another of its set.
            changed.push(if i == 0 { first } else { place % count });
            let (name, bytes) = &mut files[changed[i]];
            match part {
                0 => mutate_name(name, place, byte),
                1..4 => mutate_rows(bytes, place / count, other, how),
                _ if bytes.is_empty() => {}
                _ => mutate(bytes, place / count, byte, how),
            }
        }
        let (received, told) = care_plan::read_set(&files);
        assert_located(&told, &files, &changed);
        match care_plan::to_json(&files) {
            Err(told) => prop_assert!(told.iter().any(Problem::is_error)),
            Ok((json, _)) => {
                let written = match care_plan::from_json("x.json", json.as_bytes()) {
                    Ok(written) => written,
                    // What is read and told, and never written.
                    Err(found) => {
                        assert_read_only(&found, &told);
                        return Ok(());
                    }
                };
                let (again, problems) = care_plan::read_set(&written);
                prop_assert!(problems.iter().all(|problem| !problem.is_error()), "{:?}", problems);
                let plain = |all: care_plan::Received| with_fixed(serde_json::to_value((
                    all.plans.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.slips.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.actuals.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.basics.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.preventive_plans.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.facility_plans.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                    all.withdrawals.into_iter().map(|sent| sent.value).collect::<Vec<_>>(),
                )).unwrap());
                prop_assert_eq!(plain(again), plain(received));
                // And nothing that stood in the files was left out without a word.
                let (found, kept) = (values(&files, &told), values(&written, &[]));
                let lost: Vec<_> = found.difference(&kept).collect();
                prop_assert!(lost.is_empty(), "{:?}", lost);
            }
        }
    }

    #[test]
    fn a_changed_package_is_noticed(file in 0usize..7, place in any::<usize>(), byte in byte(), how in any::<u8>()) {
        let before = folder("municipal/valid/small");
        let mut files = before.clone();
        mutate(&mut files[file].1, place, byte, how);
        if files != before {
            let mut rows = 0;
            let problems = municipal::open(files.clone()).check(&mut |_| rows += 1);
            let manifest = files[file].0 == "MANIFEST.csv";
            prop_assert!(manifest || problems.iter().any(municipal::refuses_package));
            prop_assert!(rows <= 14);
        }
    }

    #[test]
    fn any_text_that_the_encoding_holds_is_written_and_read_exactly(
        texts in prop::collection::vec("[ -~ぁ-んァ-ヶ①～表ソ髙亜腕㈱\"\n\r\t,]{1,30}", 6),
        goals in 1usize..4,
    ) {
        let plans = plan_with(&texts, goals);
        match rewritten(&plans) {
            Ok(again) => prop_assert_eq!(again, plans),
            Err(problems) => prop_assert!(problems.iter().all(|p| p.rule == "individual_number"), "{:?}", problems),
        }
    }

    #[test]
    fn a_character_that_the_encoding_does_not_hold_is_told_with_its_item(bad in "[¥‾−〜𠮷😀\u{202e}\u{0}\u{e000}]") {
        let mut texts = vec!["よい".to_owned(); 6];
        texts[1] = format!("総合的な{bad}方針");
        let problems = rewritten(&plan_with(&texts, 1)).unwrap_err();
        prop_assert_eq!((problems.len(), problems[0].column, problems[0].rule.as_ref()), (1, 24, "encoding"));
    }
}

/// The example plan with these texts and this many needs.
fn plan_with(texts: &[String], needs: usize) -> Vec<CarePlan> {
    let (mut plans, _) = care_plan::read_plan_set(&folder("care-plan/valid/plan"));
    let plan = &mut plans[0];
    plan.changed_on = date(2026, 4, 1);
    plan.supplement.as_mut().unwrap().changed_on = Some(plan.changed_on);
    plan.table1.analysis = texts[0].clone();
    plan.table1.policy = texts[1].clone();
    plan.table3.rows[0].other = texts[2].clone();
    plan.supplement.as_mut().unwrap().name = texts[3].clone();
    let need: Need = plan.table2.needs[0].clone();
    plan.table2.needs =
        (1..=needs as u8).map(|number| Need { number: Some(number), text: texts[4].clone(), ..need.clone() }).collect();
    plan.table2.needs[0].long_goals[0].short_goals[0].services[0].content = texts[5].clone();
    plans
}
