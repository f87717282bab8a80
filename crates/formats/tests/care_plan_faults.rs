//! What takes more than one line to say about slips and faults of care-plan files; the others are in the tables of
//! `care_plan_slips.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use kiban_domain::care_plan::ServiceSlip;
use kiban_domain::service_type::ServiceCodes;
use kiban_formats::care_plan::{self, Reading, Received};
use kiban_formats::{Problem, Severity};
use support::{Files, care_plan as folder, cp932};

fn file<'f>(files: &'f mut Files, start: &str) -> &'f mut (String, Vec<u8>) {
    files.iter_mut().find(|(name, _)| name.starts_with(start)).unwrap()
}

fn replace(files: &mut Files, start: &str, from: &[u8], to: &[u8]) {
    let bytes = &mut file(files, start).1;
    let at = bytes.windows(from.len()).position(|window| window == from).expect("text to replace");
    bytes.splice(at..at + from.len(), to.to_vec());
}

fn replace_all(files: &mut Files, from: &str, to: &str) {
    for (name, bytes) in files.iter_mut() {
        *name = name.replace(from, to);
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
            bytes.splice(at + found..at + found + from.len(), to.bytes());
            at += found + to.len();
        }
    }
}

/// Rule, line, column, 項目名 and value of each problem.
fn places(problems: &[Problem]) -> Vec<(&str, u64, u32, &str, &str)> {
    problems.iter().map(|p| (p.rule.as_ref(), p.line, p.column, p.item.as_str(), p.found.as_str())).collect()
}

fn documents(received: &Received) -> usize {
    received.plans.len()
        + received.slips.len()
        + received.actuals.len()
        + received.basics.len()
        + received.preventive_plans.len()
        + received.withdrawals.len()
}

/// Nothing is taken, and this is told of it.
fn refused(files: &Files) -> Vec<Problem> {
    let (received, problems) = care_plan::read_set(files);
    assert!(problems.iter().any(Problem::is_error), "taken: {problems:?}");
    assert_eq!(documents(&received), 0);
    problems
}

/// It is taken as if nothing were wrong, with these warnings.
fn taken(files: &Files, like: &Files) -> Vec<Problem> {
    let (received, problems) = care_plan::read_set(files);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
    let values = |received: Received| {
        let plans: Vec<_> = received.plans.into_iter().map(|sent| sent.value).collect();
        let slips: Vec<_> = received.slips.into_iter().map(|sent| sent.value).collect();
        let basics: Vec<_> = received.basics.into_iter().map(|sent| sent.value).collect();
        (plans, slips, basics)
    };
    assert_eq!(values(received), values(care_plan::read_set(like).0));
    problems
}

#[test]
fn a_character_cut_in_two_is_told_with_its_place() {
    let mut files = folder("plan");
    replace(&mut files, "UPHOSOKU", &cp932("架空 花子"), b"\x89\xcb\x8b\xf3 \x89\xd4\x8e");
    let problems = refused(&files);
    assert_eq!(places(&problems), [("encoding", 1, 6, "利用者氏名", "")]);
    assert!(problems[0].message_ja().contains("5文字目"), "{}", problems[0].message_ja());
}

#[test]
fn user_defined_characters_are_told_with_their_code() {
    let mut files = folder("plan");
    replace(&mut files, "UP1KYO", &cp932("見本 計子"), b"\xf0\x41");
    let problems = refused(&files);
    assert_eq!(places(&problems), [("encoding", 1, 8, "居宅サービス計画作成者氏名", "")]);
    assert!(problems[0].message_ja().contains("外字(F0 41)"));
}

#[test]
fn half_width_kana_is_text_in_a_name_and_a_fault_in_a_code() {
    let mut files = folder("plan");
    replace(&mut files, "UPHOSOKU", &cp932("カクウ ハナコ"), &cp932("ｶｸｳ ﾊﾅｺ"));
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!((problems.len(), received.plans[0].supplement.as_ref().unwrap().kana.as_str()), (0, "ｶｸｳ ﾊﾅｺ"));
    let mut files = folder("slip");
    replace(&mut files, "UPPLAN", b",111211,", &cp932(",11ｶ211,"));
    assert_eq!(places(&refused(&files)), [("characters", 1, 15, "サービスコード", "11ｶ211")]);
}

#[test]
fn a_service_that_is_unknown_or_not_given_in_that_month_is_told_once_for_its_code() {
    for (code, rule) in [("991211", "service_code"), ("611111", "service_code"), ("11121a", "service_code")] {
        let mut files = folder("slip");
        replace_all(&mut files, ",111211,", &format!(",{code},"));
        let problems = refused(&files);
        let found: Vec<_> =
            problems.iter().map(|p| (p.rule.as_ref(), p.line, p.item.as_str(), p.found.as_str())).collect();
        let item = "サービスコード";
        assert_eq!(found, [(rule, 1, item, code), (rule, 1, item, code)], "in 第6表 and in 第7表");
    }
    let mut files = folder("withdrawals");
    replace(&mut files, "DLTJSK", b",11\r\n", b",53\r\n");
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!(received.withdrawals.len(), 3);
    assert_eq!(places(&problems), [("service_code", 1, 6, "サービス種類コード", "53")]);
    assert!(problems[0].message_ja().contains("対象年月 202604 には使えない"));
}

#[test]
fn a_picture_that_is_no_jpeg_keeps_its_unit_out() {
    let good = folder("preventive");
    let picture = good.iter().find(|(name, _)| name.ends_with(".jpg")).unwrap().1.clone();
    let broken: [Vec<u8>; 4] = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        picture[..picture.len() - 2].to_vec(),
        [&picture[..], b"<script>"].concat(),
        Vec::new(),
    ];
    for bytes in broken {
        let mut files = good.clone();
        file(&mut files, "UPKIHON_IMAGE").1 = bytes;
        assert_eq!(places(&refused(&files)), [("picture", 0, 0, "", "")]);
    }
}

#[test]
fn a_picture_and_its_name_belong_together() {
    let mut files = folder("preventive");
    files.retain(|(name, _)| !name.ends_with(".jpg"));
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!(
        (received.basics[0].picture.is_none(), problems[0].rule.as_ref(), problems[0].column),
        (true, "picture", 62)
    );
    let mut files = folder("preventive");
    file(&mut files, "UPKIHON_IMAGE").0 =
        "UPKIHON_IMAGE_9900000051_46_9970000023_A2_20260401133000_0002.jpg".to_owned();
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!((received.basics[0].picture.is_none(), problems.len()), (true, 2));
    assert!(problems.iter().all(|problem| !problem.is_error()));
}

#[test]
fn a_part_without_its_document_is_no_unit() {
    for (missing, named) in [("UPKIHON_9", "UPKIHON がありません"), ("UPYOBO_9", "UPYOBO がありません")] {
        let mut files = folder("preventive");
        files.retain(|(name, _)| !name.starts_with(missing));
        assert!(refused(&files).iter().any(|problem| problem.message_ja().contains(named)));
    }
    let mut files = folder("preventive");
    replace(&mut files, "UPKIHON_SUB2", b",20260401,", b",20260402,");
    assert_eq!(places(&refused(&files)), [("parent", 1, 4, "相談日", "20260402")]);
}

#[test]
fn a_preventive_plan_is_a_tree_of_issues_supports_and_services() {
    let (received, _) = care_plan::read_set(&folder("preventive"));
    let plan = &received.preventive_plans[0];
    assert_eq!(plan.issues.len(), 1);
    let supports = &plan.issues[0].supports;
    assert_eq!(supports.iter().map(|support| support.services.len()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((plan.items.checklist.exercise, plan.items.health.now.as_str()), (Some(3), "血圧は内服で安定"));
    let basic = &received.basics[0];
    assert_eq!((basic.day.len(), basic.illnesses.len(), basic.items.contacts.len()), (3, 2, 1));
    assert_eq!(basic.picture.as_ref().map(|picture| (picture.width, picture.height)), Some((240, 160)));
}

#[test]
fn the_version_is_that_of_the_service_month() {
    let mut files = folder("version-202208");
    files.retain(|(name, _)| name.contains("_202404_"));
    replace_all(&mut files, "202404", "202504");
    let problems = refused(&files);
    let versions: Vec<_> = problems.iter().filter(|p| p.rule == "version").collect();
    assert_eq!(versions.len(), 3, "once in each file: {problems:?}");
    assert!(versions[0].message_ja().contains("2025年4月提供分からは CSVバージョン 202407"));

    let mut files = folder("slip");
    replace_all(&mut files, "202604", "202404");
    let (received, problems) = care_plan::read_set(&files);
    assert_eq!((received.slips.len(), problems.len()), (1, 3));
    assert!(problems.iter().all(|p| p.rule == "version" && !p.is_error()), "{problems:?}");
}

#[test]
fn names_and_versions_go_together() {
    let mut files = folder("version-202208");
    files.retain(|(name, _)| name.contains("_202404_"));
    for (name, _) in &mut files {
        *name = name.replace("_9970000015_9970000023_", "_9970000015_43_9970000023_11_");
    }
    let problems = refused(&files);
    assert!(problems.iter().all(|problem| problem.rule == "file_name"), "{problems:?}");
    assert!(problems[0].message_ja().contains("サービス種類コードがありません"));
}

#[test]
fn the_slip_and_its_second_sheet_are_held_against_each_other() {
    let mismatches = |files: &Files| -> Vec<(String, String, String)> {
        let (received, problems) = care_plan::read_set(files);
        assert_eq!(received.slips.len(), 1, "{problems:?}");
        assert!(
            problems.iter().all(|problem| problem.rule == "table7_mismatch" && !problem.is_error()),
            "{problems:?}"
        );
        problems.into_iter().map(|p| (p.file[..7].to_owned(), p.item, p.found)).collect()
    };
    let told = |file: &str, item: &str, found: &str| (file.to_owned(), item.to_owned(), found.to_owned());
    assert_eq!(mismatches(&folder("slip")), []);
    let mut files = folder("slip");
    replace(&mut files, "UPSIKYU", b",387,,,9,", b",387,,,8,");
    assert_eq!(mismatches(&files), [told("UPSIKYU", "回数／日数", "8")]);
    let mut files = folder("slip");
    replace(&mut files, "UPSIKYU", b",387,,,9,", b",388,,,9,");
    let code = "サービスコード";
    assert_eq!(mismatches(&files), [told("UPPLAN_", code, "111211"), told("UPSIKYU", code, "111211")]);
    let mut files = folder("slip");
    replace(&mut files, "UPSIKYU", b",10499,10499,0,", b",10499,10498,0,");
    assert_eq!(mismatches(&files), [told("UPSIKYU", "給付管理単位数", "10498")]);
}

/// 作成年月日 is one for a plan; a row that says another is told, because only one is kept.
#[test]
fn a_row_with_another_day_of_making_is_told() {
    for (start, item) in [("UP2KYO", "居宅計画書作成年月日"), ("UP3KYO", "週間サービス計画表作成年月日")]
    {
        let mut files = folder("plan");
        let bytes = &mut file(&mut files, start).1;
        let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        let at = second + bytes[second..].windows(9).position(|window| window == b",20260325").unwrap();
        bytes[at + 8] = b'6';
        let problems = taken(&files, &folder("plan"));
        assert_eq!(places(&problems), [("made_on_differs", 2, 4, item, "20260326")]);
        assert!(problems[0].expected.contains("20260325 として読みました"));
    }
}

/// The rows of a file again, about somebody else.
fn also_about_another(files: &mut Files, start: &str) {
    let bytes = &mut file(files, start).1;
    let mut again = vec![(String::new(), bytes.clone())];
    replace_all(&mut again, "0001234567", "0001234568");
    bytes.extend(again.remove(0).1);
}

#[test]
fn everybody_in_a_set_has_a_row_of_their_own_in_each_file_of_it() {
    for (sub, document, others) in
        [("slip", "UPPLAN", ["UPSIKYU", "UPHOSOKU"]), ("plan", "UP1KYO", ["UP2KYO", "UPHOSOKU"])]
    {
        let mut files = folder(sub);
        also_about_another(&mut files, document);
        others.iter().for_each(|start| also_about_another(&mut files, start));
        assert!(care_plan::read_set(&files).1.is_empty(), "{sub}: {:?}", care_plan::read_set(&files).1);
        let mut files = folder(sub);
        also_about_another(&mut files, document);
        also_about_another(&mut files, others[0]);
        let problems = refused(&files);
        let told: Vec<_> = problems.iter().map(|p| (p.rule.as_ref(), p.item.as_str(), p.found.as_str())).collect();
        assert_eq!(told, [("supplement_missing", "被保険者番号", "0001234568")]);
        let rows = folder(sub).iter().find(|(name, _)| name.starts_with(document)).unwrap().1.clone();
        let lines = rows.iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(problems[0].line, lines + 1, "the first row of the other one");
    }
    // Of somebody without a row in 第7表 only that is told once more than what differs, and no such set is written.
    let mut files = folder("slip");
    also_about_another(&mut files, "UPPLAN");
    also_about_another(&mut files, "UPHOSOKU");
    let (received, problems) = care_plan::read_set(&files);
    let told: Vec<_> =
        problems.iter().filter(|p| p.rule == "no_table7").map(|p| (p.found.as_str(), p.is_error())).collect();
    assert_eq!((received.slips.len(), told), (2, vec![("0001234568", false)]));
    let slips: Vec<_> = received.slips.into_iter().map(|sent| sent.value).collect();
    let sending = care_plan::PlanFileName::parse(&files[0].0).unwrap().sending;
    let refused = care_plan::write_slip_set(&slips, &sending).unwrap_err();
    assert_eq!(refused.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["no_table7"]);
    let without: Vec<_> = slips.into_iter().map(|slip| ServiceSlip { supplement: None, ..slip }).collect();
    assert!(care_plan::write_slip_set(&without, &sending).is_err());
}

#[test]
fn a_limit_by_a_type_that_is_unknown_or_not_given_in_that_month_is_told() {
    let (mut files, layout) = (folder("slip"), 19);
    let bytes = &mut file(&mut files, "UPHOSOKU").1;
    let mut columns: Vec<Vec<u8>> = bytes.split(|b| *b == b',').map(<[u8]>::to_vec).collect();
    let blank = columns[layout].clone();
    for (code, words) in [("99", "サービス種類コードはありません"), ("53", "対象年月 202604 には使えない"), ("32", "")]
    {
        columns[layout] = code.as_bytes().to_vec();
        *bytes = columns.join(&b","[..]);
        let with = [("UPHOSOKU".to_owned(), bytes.clone())];
        let mut all = folder("slip");
        file(&mut all, "UPHOSOKU").1 = with[0].1.clone();
        let problems = care_plan::read_set(&all).1;
        let told: Vec<_> = problems.iter().map(|p| (p.rule.as_ref(), p.line, p.column, p.found.as_str())).collect();
        match words {
            "" => assert_eq!(told, [], "{code} has a limit of its own or not; whether it is exchanged is not asked"),
            words => {
                assert_eq!(told, [("service_code", 1, 20, code)]);
                assert!(problems[0].message_ja().contains(words), "{}", problems[0].message_ja());
            }
        }
    }
    assert_eq!(blank, b"");
}

#[test]
fn where_there_is_a_table_of_codes_each_code_is_one_of_its_month() {
    let table = "# title: 見本の表\n# months: 202604-202703\ncode\tname\tfrom\tto\n114001\t初回\t202604\t\n116275\t処遇\t202604\t\n";
    let reading = |codes| Reading { codes: Some(codes), ..Reading::default() };
    let without = ServiceCodes::parse(table).unwrap();
    let with = ServiceCodes::parse(&format!("{table}111211\t身体2\t202604\t\n")).unwrap();
    let late = ServiceCodes::parse(&format!("{table}111211\t身体2\t202605\t\n")).unwrap();
    let files = folder("actuals");
    assert!(care_plan::read_set_by(&files, reading(&with)).1.is_empty());
    for (codes, words) in [(&without, "サービスコード表（見本の表）にありません"), (&late, "202605〜")]
    {
        let (received, problems) = care_plan::read_set_by(&files, reading(codes));
        assert_eq!(documents(&received), 0);
        assert_eq!(places(&problems), [("service_code", 1, 15, "サービスコード", "111211")]);
        assert!(problems[0].message_ja().contains(words), "{}", problems[0].message_ja());
    }
    // The totals of 第7表 are no codes, and of types that are not in the table nothing is said.
    let (slip, told) = care_plan::read_set_by(&folder("slip"), reading(&with));
    assert_eq!((documents(&slip), told), (1, vec![]));
}

#[test]
fn of_too_many_people_or_rows_nothing_is_made() {
    let mut files = folder("plan");
    ["UP1KYO", "UP2KYO", "UP3KYO", "UPHOSOKU"].iter().for_each(|start| also_about_another(&mut files, start));
    let rows: usize = files.iter().map(|(_, bytes)| bytes.iter().filter(|b| **b == b'\n').count()).sum();
    let read = |people, rows| {
        let (received, problems) = care_plan::read_set_by(&files, Reading { people, rows, codes: None });
        let told: Vec<_> = problems.iter().map(|p| (p.rule.to_string(), p.is_error())).collect();
        (received.plans.len(), told)
    };
    assert_eq!(read(2, rows), (2, vec![]));
    assert_eq!(read(1, rows), (0, vec![("too_many_people".to_owned(), true)]));
    assert_eq!(read(2, rows - 1), (0, vec![("too_many_rows".to_owned(), true)]));
}
