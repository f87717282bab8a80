//! The exchange as JSON of this project and back: nothing is lost either way, and what is not known is not dropped.

mod support;

use kiban_formats::care_plan::{JSON_FORMAT, from_json, to_json};
use support::{Files, care_plan as folder};

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

/// What real software leaves out is read, kept and told; a file without it is never written (docs/files.md).
#[test]
fn what_a_receiver_need_not_take_is_read_and_never_written() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change, &str, &str); 5] = [
        ("slip", |v| v["slips"][0]["supplement"]["name"] = "".into(), "required", "利用者氏名"),
        ("slip", |v| v["slips"][0]["supplement"]["kana"] = "".into(), "required", "利用者氏名フリガナ"),
        ("slip", |v| v["slips"][0]["lines"][0]["units"] = serde_json::Value::Null, "required", "単位数"),
        (
            "slip",
            |v| v["slips"][0]["table7"].as_array_mut().unwrap().retain(|line| line["service_code"] != "999999"),
            "total_row",
            "サービスコード",
        ),
        (
            "preventive",
            |v| {
                let basic = v["basics"][0].as_object_mut().unwrap();
                basic.insert("picture".to_owned(), serde_json::Value::Null);
                basic["items"]["picture_name"] =
                    "UPKIHON_IMAGE_9900000051_46_9970000023_A2_20260401133000_0001.jpg".into();
            },
            "picture",
            "家族構成 画像ファイル名",
        ),
    ];
    for (sub, change, rule, item) in cases {
        let (json, problems) = to_json(&folder(sub)).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        change(&mut value["units"][0]);
        let refused = from_json("x.json", value.to_string().as_bytes()).unwrap_err();
        assert!(
            refused.iter().all(|p| p.is_error() && p.line > 0) && refused[0].rule == rule && refused[0].item == item,
            "{item}: {refused:?}"
        );
    }
    // The same in a file that was received: it becomes JSON, and that it cannot be written again is told.
    let mut files = folder("slip");
    let (_, bytes) = files.iter_mut().find(|(name, _)| name.starts_with("UPSIKYU")).unwrap();
    let end = bytes.len() - 2;
    let last = bytes[..end].iter().rposition(|b| *b == b'\n').unwrap();
    bytes.truncate(last + 1);
    let (_, problems) = to_json(&files).unwrap();
    assert!(problems.iter().all(|p| p.rule == "total_row" && !p.is_error()), "{problems:?}");
    let told = problems.iter().filter(|p| p.line == 0 && p.expected.contains("JSON から CSV に戻せません"));
    assert_eq!(told.count(), 3, "each file of the unit: {problems:?}");
    // 事業所コード and 入力者コード are written where they were left empty.
    let mut files = folder("slip");
    let (name, bytes) = files.iter_mut().find(|(name, _)| name.starts_with("UPSIKYU")).unwrap();
    let (name, whole) = (name.clone(), bytes.clone());
    let text = String::from_utf8_lossy(&whole);
    assert!(text.contains(",9999999999,9999999999,"));
    while let Some(at) = bytes.windows(23).position(|window| window == b",9999999999,9999999999,") {
        bytes.splice(at..at + 23, *b",,,");
    }
    let (json, _) = to_json(&files).unwrap();
    let back = from_json("x.json", json.as_bytes()).unwrap();
    assert!(back.iter().any(|(other, bytes)| *other == name && *bytes == whole));
}
