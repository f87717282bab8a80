//! The exchange as JSON of this project and back: nothing is lost either way, and what is not known is not dropped.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use kiban_formats::care_plan::{JSON_FORMAT, from_json, to_json};
use std::fs;
use std::path::Path;

type Files = Vec<(String, Vec<u8>)>;

fn folder(sub: &str) -> Files {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/care-plan/valid").join(sub);
    let mut files: Files = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn every_file() -> Files {
    [
        "plan",
        "slip",
        "actuals",
        "withdrawals",
        "preventive",
        "preventive-withdrawals",
        "version-202208",
        "facility",
        "facility-withdrawal",
    ]
    .iter()
    .flat_map(|sub| folder(sub))
    .collect()
}

#[test]
fn every_file_becomes_json_and_the_same_bytes_again() {
    let mut files = every_file();
    files.sort();
    let (json, problems) = to_json(&files).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(json.contains(JSON_FORMAT) && json.contains("not 5.0"));
    let mut back = from_json("x.json", json.as_bytes()).unwrap();
    back.sort();
    let names = |files: &Files| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&back), names(&files));
    assert!(back == files);
    assert_eq!(to_json(&back).unwrap().0, json, "and the JSON is the same again");
    let kinds: std::collections::BTreeSet<_> =
        names(&files).iter().map(|name| name.split("_99").next().unwrap().replace(char::is_numeric, "")).collect();
    assert!(kinds.len() >= 15, "{kinds:?}");
}

#[test]
fn what_is_written_in_another_way_is_told_and_says_the_same() {
    let mut files = folder("plan");
    let bytes = &mut files.iter_mut().find(|(name, _)| name.starts_with("UP3KYO")).unwrap().1;
    bytes.retain(|byte| *byte != b'\r');
    let (json, problems) = to_json(&files).unwrap();
    let rules: Vec<_> = problems.iter().map(|problem| problem.rule.as_ref()).collect();
    assert_eq!(rules, ["line_end", "rewritten"]);
    assert_eq!(json, to_json(&folder("plan")).unwrap().0);
}

#[test]
fn json_that_is_not_ours_or_holds_more_than_ours_is_refused_with_its_place() {
    let (json, _) = to_json(&folder("plan")).unwrap();
    let said = |json: &str| from_json("x.json", json.as_bytes()).unwrap_err()[0].message_ja();
    assert!(said(&json.replace("not 5.0", "5.0")).contains("変換できます"));
    assert!(said(&json.replace("\"analysis\"", "\"analyses\"")).contains("analysis"));
    assert!(said(&json.replace("\"marker\": \"\"", "\"marker\": \"\", \"note\": \"x\"")).contains("/units/0/plans/0/"));
    assert!(said(&json[..json.len() / 2]).contains("x.json"));
    assert!(said("[]").contains("変換できます") && said("{").contains("読めません"));
    let wrong = json.replace("\"9970000015\"", "\"997000001\"");
    assert!(said(&wrong).contains("行目"), "{}", said(&wrong));
}

#[test]
fn a_file_with_an_error_does_not_become_json() {
    let mut files = folder("plan");
    files.pop();
    assert!(to_json(&files).unwrap_err().iter().any(kiban_formats::Problem::is_error));
}

/// What stands in no row of the files would be gone: it is refused with its place instead.
#[test]
fn what_has_no_row_in_the_files_is_not_dropped() {
    let (json, _) = to_json(&folder("plan")).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        change(&mut value["units"][0]["plans"][0]["table2"]["needs"]);
        from_json("x.json", value.to_string().as_bytes()).unwrap_err()[0].message_ja()
    };
    let need = |needs: &mut serde_json::Value| {
        let mut need = needs[0].clone();
        need["long_goals"] = serde_json::json!([]);
        needs.as_array_mut().unwrap().push(need);
    };
    assert!(refused(&need).contains("/units/0/plans/0/table2/needs"), "{}", refused(&need));
    let goal = |needs: &mut serde_json::Value| {
        let goals = needs[0]["long_goals"].as_array_mut().unwrap();
        let mut goal = goals[0].clone();
        goal["text"] = "明細のない目標".into();
        goal["short_goals"] = serde_json::json!([]);
        goals.push(goal);
    };
    assert!(refused(&goal).contains("/table2/needs/0/long_goals"), "{}", refused(&goal));
}

/// The standard has no rows of such services: what was received with one is kept, told, and never written.
#[test]
fn a_service_out_of_scope_is_read_and_never_written() {
    let mut files = folder("slip");
    for (_, bytes) in &mut files {
        while let Some(at) = bytes.windows(8).position(|window| window == b",111211,") {
            bytes.splice(at..at + 8, *b",331211,");
        }
    }
    let (json, problems) = to_json(&files).unwrap();
    assert!(json.contains("331211") && problems.iter().all(|p| p.rule == "out_of_scope" && !p.is_error()));
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.expected.contains("JSON から CSV に戻せません"))).collect();
    assert_eq!(told, [(1, false), (1, false), (0, true), (0, true), (0, true)], "two rows, three files");
    let refused = from_json("x.json", json.as_bytes()).unwrap_err();
    let places: Vec<_> = refused.iter().map(|p| (p.is_error(), p.line, p.column, p.found.as_str())).collect();
    assert_eq!(places, [(true, 1, 15, "331211"), (true, 1, 9, "331211")]);
}
