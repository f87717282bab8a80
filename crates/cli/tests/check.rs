//! `kiban check` as an office and its software run it: every file of the care side, with exit codes and `--json`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

/// Exit code and what was said.
fn run(command: &str, arguments: &[&str], paths: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban")).arg(command).args(paths).args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

fn check(path: &Path) -> (i32, String) {
    run("check", &[], &[path])
}

/// Exit code and the report for programs.
fn judge(path: &Path) -> (i32, Value) {
    let (code, said) = run("check", &["--json"], &[path]);
    (code, serde_json::from_str(&said).unwrap())
}

/// The problems as `expected.txt` writes them, one a line.
fn listing(report: &Value) -> String {
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap().iter();
    problems.map(|p| format!("{} {} {}\n", text(p, "severity"), text(p, "rule"), text(p, "message"))).collect()
}

fn rules(report: &Value) -> Vec<&str> {
    report["problems"].as_array().unwrap().iter().map(|problem| problem["rule"].as_str().unwrap()).collect()
}

fn folders(path: &str) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(example(path)).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

/// A folder too high or too low must not look like a sound one.
#[test]
fn where_nothing_could_be_checked_the_exit_code_is_two() {
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path(), &example("care-plan/bad"), &example("municipal/valid")] {
        let (code, said) = check(path);
        assert_eq!(code, 2, "{}: {said}", path.display());
        assert!(said.contains("調べられるファイルがありません"), "{said}");
    }
}

/// What is right: format, records, exit code 0.
#[test]
fn sound_files_of_every_kind_are_read_to_the_last_record() {
    const PLANS: &str = "ケアプラン標準仕様 4.1";
    for (path, format, records) in [
        ("care-plan/valid/plan", PLANS, 1),
        ("care-plan/valid/slip", PLANS, 1),
        ("care-plan/valid/actuals", PLANS, 1),
        ("care-plan/valid/withdrawals", PLANS, 4),
        ("care-plan/valid/preventive", PLANS, 2),
        ("care-plan/valid/preventive-withdrawals", PLANS, 2),
        ("care-plan/valid/version-202208", PLANS, 2),
        ("care-plan/valid/facility", PLANS, 1),
        ("care-plan/valid/facility-json", PLANS, 1),
        ("care-plan/valid/facility-withdrawal", PLANS, 1),
        ("life/FORM_0500_2021_1_20261110.csv", "LIFE", 1),
        ("life/SERVICE_USER_INFO_1_20261110.csv", "LIFE", 3),
        ("claims/valid", "給付実績・請求", 4),
        ("claims/valid/82126110.CSV", "給付実績・請求", 1),
        ("municipal/valid/city", "市区町村パッケージ", 1),
        ("municipal/valid/city-json", "市区町村パッケージ", 1),
    ] {
        let (code, report) = judge(&example(path));
        assert_eq!((code, report["verdict"].as_str()), (0, Some("sound")), "{path} {report}");
        assert_eq!((report["format"].as_str(), listing(&report)), (Some(format), String::new()), "{path}");
        let found = report["records"].as_i64().unwrap();
        assert!(if path.starts_with("municipal") { found > 10 } else { found == records }, "{path}: {found}");
        let (code, said) = check(&example(path));
        assert!(
            code == 0 && said.contains(&format!("{format}: 読み取れた記録 {found}件、エラー 0件、注意 0件")),
            "{said}"
        );
    }
}

/// What is wrong: exit code 1, and for people and programs the same list as the examples have.
#[test]
fn faulty_files_of_every_kind_end_with_one_and_the_expected_list() {
    let mut folders = folders("care-plan/bad");
    folders.extend([example("life/bad"), example("claims/bad")]);
    for folder in folders {
        let expected = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
        let expected: String =
            expected.lines().filter(|line| !line.starts_with("rows ")).map(|l| format!("{l}\n")).collect();
        let (code, report) = judge(&folder);
        assert_eq!((code, report["verdict"].as_str()), (1, Some("refused")), "{}", folder.display());
        assert_eq!(listing(&report), expected, "{}", folder.display());
        let (code, said) = check(&folder);
        let lines = said.lines().filter(|line| line.starts_with("エラー ") || line.starts_with("注意 "));
        assert_eq!((code, lines.count()), (1, expected.lines().count()), "{said}");
    }
    let (code, report) = judge(&example("municipal/bad/json-cut"));
    assert_eq!((code, report["verdict"].as_str()), (1, Some("refused")), "{report}");
}

#[test]
fn a_zip_is_refused_unopened_and_what_is_not_there_ends_with_two() {
    let place = tempfile::tempdir().unwrap();
    let zip = place.path().join("plans.zip");
    std::fs::write(&zip, [b"PK\x03\x04", &[0; 4_000_000][..]].concat()).unwrap();
    let (code, report) = judge(&zip);
    assert_eq!((code, rules(&report)), (1, vec!["unsupported_file"]));
    assert!(listing(&report).contains("plans.zip: 圧縮したファイル(ZIP)は受け付けません"), "{report}");
    let (code, said) = check(&place.path().join("plans"));
    assert!(code == 2 && said.contains("plans"), "{said}");
}

/// The JSON of this project, as `kiban convert` makes it.
#[test]
fn care_plans_in_json_are_judged_like_the_files_they_stand_for() {
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("plans.json");
    for (sub, records) in [("plan", 1), ("slip", 1), ("preventive", 2), ("withdrawals", 4), ("facility", 1)] {
        let _ = std::fs::remove_file(&json);
        let out = ["--out", json.to_str().unwrap()];
        assert_eq!(run("convert", &out, &[&example(&format!("care-plan/valid/{sub}"))]).0, 0);
        let (code, report) = judge(&json);
        assert_eq!((code, report["records"].as_i64(), listing(&report).as_str()), (0, Some(records), ""), "{sub}");
        assert_eq!(report["format"], "ケアプランの JSON（本プロジェクト独自）");
    }
    let good = std::fs::read_to_string(&json).unwrap();
    for (change, rule, says) in [
        (good.replace("not 5.0", "5.0"), "json", "5.0 の項目一覧は公開されていません"),
        (good.replace("\"policy\"", "\"polices\""), "json", "として読めません"),
        (good[..good.len() / 2].to_owned(), "json", "として読めません"),
        (good.replace("特別養護老人ホームみほん", "見本\u{202e}"), "encoding", "文字コードで書けません"),
    ] {
        assert_ne!(change, good);
        std::fs::write(&json, change).unwrap();
        let (code, report) = judge(&json);
        assert_eq!((code, rules(&report), report["verdict"].as_str()), (1, vec![rule], Some("refused")), "{report}");
        assert!(listing(&report).contains(says), "{report}");
    }
}

/// Files of several kinds at once, as somebody drops a whole folder on it.
#[test]
fn a_folder_of_several_kinds_is_judged_file_by_file() {
    let place = tempfile::tempdir().unwrap();
    let mut all = vec![example("life/FORM_0500_2021_1_20261110.csv"), example("claims/valid/82126110.CSV")];
    all.extend(std::fs::read_dir(example("care-plan/valid/slip")).unwrap().map(|entry| entry.unwrap().path()));
    for path in &all {
        std::fs::copy(path, place.path().join(path.file_name().unwrap())).unwrap();
    }
    let (code, report) = judge(place.path());
    assert_eq!((code, report["records"].as_i64(), listing(&report).as_str()), (0, Some(3), ""), "{report}");
    let format = report["format"].as_str().unwrap();
    assert!(["ケアプラン標準仕様 4.1", "LIFE", "給付実績・請求"].iter().all(|part| format.contains(part)), "{format}");
}

/// A newer LIFE form among those that can be read keeps only its own file out, as on the platform.
#[test]
fn a_life_form_that_is_not_known_yet_is_passed_over_among_others() {
    let place = tempfile::tempdir().unwrap();
    let known = std::fs::read(example("life/FORM_0500_2021_1_20261110.csv")).unwrap();
    let (old, new) = (b"FORM_0500_2021", b"FORM_0500_2024");
    let at = known.windows(old.len()).position(|part| part == old).unwrap();
    let newer = [&known[..at], new, &known[at + old.len()..]].concat();
    std::fs::write(place.path().join("FORM_0500_2024.csv"), newer).unwrap();
    let (code, report) = judge(place.path());
    assert_eq!((code, rules(&report)), (1, vec!["unknown_form"]), "{report}");
    std::fs::write(place.path().join("FORM_0500_2021.csv"), known).unwrap();
    let (code, report) = judge(place.path());
    assert_eq!((code, rules(&report), report["records"].as_i64()), (0, vec!["unknown_form"], Some(1)), "{report}");
    assert_eq!(report["problems"][0]["severity"], "warning");
}

/// The table of service codes of an installation, given to the check.
#[test]
fn service_codes_are_held_against_a_table_that_is_given() {
    let place = tempfile::tempdir().unwrap();
    let table = place.path().join("service_codes.tsv");
    let rows = ["111211", "114001", "116275"].map(|code| format!("{code}\t見本\t202404\t\n"));
    let text =
        |rows: &[String]| format!("# title: 見本\n# months: 202404-202703\ncode\tname\tfrom\tto\n{}", rows.concat());
    let actuals = example("care-plan/valid/actuals");
    let judge = || {
        let (code, said) = run("check", &["--json", "--service-codes", table.to_str().unwrap()], &[&actuals]);
        (code, said)
    };
    std::fs::write(&table, text(&rows)).unwrap();
    let (code, said) = judge();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, rules(&report)), (0, vec![]), "{said}");
    std::fs::write(&table, text(&rows[1..])).unwrap();
    let (code, said) = judge();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, rules(&report)), (1, vec!["service_code"]), "{said}");
    std::fs::write(&table, "# title: 見本\n").unwrap();
    let (code, said) = judge();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("service_codes.tsv の") && said.contains("# months:"), "{said}");
}
