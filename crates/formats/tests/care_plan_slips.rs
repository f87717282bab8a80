//! ケアプラン標準仕様 4.1 as one table each: what real software and the official samples do differently, which is taken with a
//! warning; what the standard leaves open, which is taken without a word; and what is refused, with its place. A slip about
//! another office's user is no matter of the files: the platform refuses it (service tests `plans`, `slips`).

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use kiban_formats::care_plan::{self, PlanFileKind, PlanFileName, Received};
use kiban_formats::layout::{self, Dialect, Item, ItemKind, Required};
use kiban_formats::text::Encoding;
use kiban_formats::{Problem, Severity};
use support::{Files, care_plan as folder, cp932};

/// Rule, beginning of the file's name, line, column, 項目名, value.
type Told = (&'static str, &'static str, u64, u32, &'static str, &'static str);

fn file<'f>(files: &'f mut Files, start: &str) -> &'f mut (String, Vec<u8>) {
    files.iter_mut().find(|(name, _)| name.starts_with(start)).unwrap()
}

fn bytes<'f>(files: &'f mut Files, start: &str) -> &'f mut Vec<u8> {
    &mut file(files, start).1
}

/// The first of these bytes in a file become others.
fn put_bytes(files: &mut Files, start: &str, from: &[u8], to: &[u8]) {
    let bytes = bytes(files, start);
    let at = bytes.windows(from.len()).position(|window| window == from).expect("text to replace");
    bytes.splice(at..at + from.len(), to.to_vec());
}

fn put(files: &mut Files, start: &str, from: &str, to: &str) {
    put_bytes(files, start, &cp932(from), &cp932(to));
}

/// Every one of these texts in every file and every name.
fn put_all(files: &mut Files, from: &str, to: &str) {
    for (name, bytes) in files.iter_mut() {
        *name = name.replace(from, to);
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
            bytes.splice(at + found..at + found + from.len(), to.bytes());
            at += found + to.len();
        }
    }
}

fn rename(files: &mut Files, start: &str, from: &str, to: &str) {
    let name = &mut file(files, start).0;
    assert!(name.contains(from));
    *name = name.replace(from, to);
}

/// The line that holds these bytes stands twice.
fn twice(files: &mut Files, start: &str, part: &[u8]) {
    let mut lines: Vec<Vec<u8>> = bytes(files, start).split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let at = lines.iter().position(|line| line.windows(part.len()).any(|window| window == part)).expect("a line");
    lines.insert(at, lines[at].clone());
    *bytes(files, start) = lines.concat();
}

fn before(files: &mut Files, start: &str, first: &[u8]) {
    let bytes = bytes(files, start);
    *bytes = [first, bytes].concat();
}

/// The rest of a set of two units.
fn only(files: &mut Files, part: &str) {
    files.retain(|(name, _)| name.contains(part));
}

fn told<'p>(problems: &'p [Problem], expected: &[Told]) -> Vec<(&'p str, &'p str, u64, u32, &'p str, &'p str)> {
    let beginning = |i: usize, file: &'p str| {
        let start = expected.get(i).map_or("", |told| told.1);
        if file.starts_with(start) { &file[..start.len()] } else { file }
    };
    let told = |(i, p): (usize, &'p Problem)| {
        (p.rule.as_ref(), beginning(i, &p.file), p.line, p.column, p.item.as_str(), p.found.as_str())
    };
    problems.iter().enumerate().map(told).collect()
}

/// Everything that was taken.
fn taken(received: Received) -> String {
    fn values<T: std::fmt::Debug>(all: Vec<care_plan::Sent<T>>) -> String {
        all.iter().map(|sent| format!("{:?}\n", sent.value)).collect()
    }
    [
        values(received.plans),
        values(received.slips),
        values(received.actuals),
        values(received.basics),
        values(received.preventive_plans),
        values(received.facility_plans),
        values(received.withdrawals),
    ]
    .concat()
}

/// What a slip does to what is taken.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    /// It says the same.
    Same,
    /// It says something else, which is taken.
    Other,
}
use Content::{Other, Same};

/// What is done differently, in which example, and what is told of it; nothing where the standard leaves it open.
struct Slip(&'static str, &'static str, fn(&mut Files), Content, &'static [Told]);

const SLIPS: &[Slip] = &[
    // The form of the files.
    Slip(
        "a header row",
        "plan",
        |f| before(f, "UP3KYO", &cp932("CSVバージョン,保険者番号\r\n")),
        Same,
        &[("header", "UP3KYO_", 1, 0, "", "")],
    ),
    Slip(
        "a header row in other words",
        "slip",
        |f| before(f, "UPPLAN", &cp932("版,\"保険者\",被保険者\r\n")),
        Same,
        &[("header", "UPPLAN_", 1, 0, "", "")],
    ),
    Slip(
        "line ends of Unix",
        "plan",
        |f| bytes(f, "UP2KYO").retain(|b| *b != b'\r'),
        Same,
        &[("line_end", "UP2KYO_", 1, 0, "", "")],
    ),
    Slip(
        "no line end at the end",
        "plan",
        |f| {
            let b = bytes(f, "UP2KYO");
            b.truncate(b.len() - 2);
        },
        Same,
        &[("cut", "UP2KYO_", 5, 0, "", "")],
    ),
    Slip(
        "an empty line at the end",
        "plan",
        |f| bytes(f, "UP2KYO").extend(b"\r\n"),
        Same,
        &[("blank_line", "UP2KYO_", 6, 0, "", "")],
    ),
    Slip(
        "a byte order mark before CP932",
        "plan",
        |f| before(f, "UP2KYO", b"\xef\xbb\xbf"),
        Same,
        &[("encoding", "UP2KYO_", 0, 0, "", "")],
    ),
    Slip("digits in quotes", "plan", |f| put(f, "UP1KYO", "202407,999003,", "\"202407\",\"999003\","), Same, &[]),
    Slip("text without quotes", "plan", |f| put(f, "UP1KYO", "\"特になし\"", "特になし"), Same, &[]),
    Slip("half-width kana in a name", "plan", |f| put(f, "UPHOSOKU", "カクウ ハナコ", "ｶｸｳ ﾊﾅｺ"), Other, &[]),
    // The names of the files.
    Slip("a name in small letters at its end", "plan", |f| rename(f, "UP3KYO", ".CSV", ".csv"), Same, &[]),
    Slip(
        "000000 in a name without a month, as in an official sample",
        "preventive",
        |f| rename(f, "UPKIHON_9", "UPKIHON_9", "UPKIHON_000000_9"),
        Same,
        &[("file_name", "UPKIHON_", 0, 0, "", "")],
    ),
    Slip(
        "実績 with the two kinds of office the wrong way round, as in an official sample",
        "actuals",
        |f| rename(f, "UPJSK", "9970000023_11_9970000015_43", "9970000023_43_9970000015_11"),
        Same,
        &[("file_name", "UPJSK_", 0, 0, "", "")],
    ),
    Slip(
        "the same of 介護予防, sent to the centre",
        "actuals",
        |f| rename(f, "UPJSK", "9970000023_11_9970000015_43", "9970000023_46_9900000051_A2"),
        Same,
        &[("file_name", "UPJSK_", 0, 0, "", "")],
    ),
    Slip(
        "the same of a withdrawal of 実績",
        "withdrawals",
        |f| rename(f, "DLTJSK", "9970000023_11_9970000015_43", "9970000023_43_9970000015_11"),
        Same,
        &[("file_name", "DLTJSK_", 0, 0, "", "")],
    ),
    Slip(
        "a plan with the two kinds the wrong way round",
        "withdrawals",
        |f| rename(f, "DLT1KYO", "9970000015_43_9970000023_11", "9970000015_11_9970000023_43"),
        Same,
        &[("file_name", "DLT1KYO_", 0, 0, "", "")],
    ),
    Slip(
        "実績 handed on by the office that was entrusted",
        "actuals",
        |f| rename(f, "UPJSK", "9970000023_11_9970000015_43", "9970000015_43_9900000051_46"),
        Same,
        &[],
    ),
    Slip(
        "a care manager inside 小規模多機能",
        "withdrawals",
        |f| rename(f, "DLTPLAN", "9970000015_43_9970000023_11", "9970000015_73_9970000023_17"),
        Same,
        &[],
    ),
    // Numbers and codes.
    Slip(
        "an office number whose check digit does not fit",
        "plan",
        |f| put(f, "UP1KYO", ",9970000015,20260325,", ",9970000016,20260325,"),
        Other,
        &[("check_digit", "UP1KYO_", 1, 13, "介護支援事業者コード", "9970000016")],
    ),
    Slip(
        "a code without its leading zero",
        "preventive",
        |f| put(f, "UPKIHON_SUB2", ",01,", ",1,"),
        Same,
        &[("code", "UPKIHON_SUB2_", 1, 10, "経過", "1")],
    ),
    Slip(
        "numbers with leading zeros",
        "slip",
        |f| put(f, "UPPLAN", ",387,,20260402,,1000,1045,1,", ",0387,,20260402,,1000,1045,01,"),
        Same,
        &[],
    ),
    Slip(
        "a telephone number in full width",
        "plan",
        |f| put(f, "UPHOSOKU", ",099-000-0101,", ",０９９－０００－０１０１,"),
        Same,
        &[("characters", "UPHOSOKU_", 1, 12, "利用者電話番号", "０９９－０００－０１０１")],
    ),
    Slip(
        "a postal code in full width",
        "plan",
        |f| put(f, "UP1KYO", ",990-0001,", ",９９０－０００１,"),
        Same,
        &[("characters", "UP1KYO_", 1, 5, "利用者郵便番号", "９９０－０００１")],
    ),
    Slip(
        "a full-width hyphen in a TAISコード",
        "slip",
        |f| put(f, "UPPLAN", ",00001-000010,", ",00001－000010,"),
        Same,
        &[("characters", "UPPLAN_", 21, 16, "TAISコード", "00001－000010")],
    ),
    Slip(
        "公費単独: a letter and nine digits",
        "withdrawals",
        |f| put(f, "DLT1KYO", ",0001234567,", ",H123456789,"),
        Other,
        &[],
    ),
    Slip(
        "units that a reduction makes negative",
        "actuals",
        |f| put(f, "UPJSK", ",387,,20260402", ",-19,,20260402"),
        Other,
        &[],
    ),
    Slip(
        "前月までの利用日数 of five digits",
        "slip",
        |f| put(f, "UPSIKYU", ",9020,90,8118,,902,0,,,,0,", ",9020,90,8118,,902,0,12345,,,0,"),
        Other,
        &[],
    ),
    // What stands in the tables.
    Slip(
        "text of 第2表 repeated on every row",
        "plan",
        |f| put(f, "UP2KYO", ",1,,1,,,,,2,", ",1,\"浴室で転ばずに入浴したい\",1,\"自宅で入浴を続けられる\",,,,2,"),
        Same,
        &[],
    ),
    Slip(
        "保険対象区分 left empty for help that is not insured",
        "plan",
        |f| put(f, "UP2KYO", ",N,\"家族\"", ",,\"家族\""),
        Other,
        &[],
    ),
    Slip(
        "an activity and a service outside the week on one row of 第3表",
        "plan",
        |f| put(f, "UP3KYO", "\"就寝\",2130,2130,", "\"就寝\",2130,2130,\"訪問理美容\""),
        Other,
        &[],
    ),
    Slip(
        "another 作成年月日 on a row of 第2表",
        "plan",
        |f| put(f, "UP2KYO", "20260325,20260325,1,,1,,,,,2", "20260326,20260325,1,,1,,,,,2"),
        Same,
        &[("made_on_differs", "UP2KYO_", 2, 4, "居宅計画書作成年月日", "20260326")],
    ),
    Slip(
        "an item that is very probably required left empty",
        "plan",
        |f| put(f, "UPHOSOKU", "\"カクウ ハナコ\"", ""),
        Other,
        &[("required", "UPHOSOKU_", 1, 5, "利用者氏名フリガナ", "")],
    ),
    Slip(
        "a text that a spreadsheet would run",
        "plan",
        |f| put(f, "UP1KYO", "\"特になし\"", "\"=1+1\""),
        Other,
        &[("formula", "UP1KYO_", 1, 23, "介護認定審査会の意見及びサービスの種類の指定", "=1+1")],
    ),
    Slip(
        "a row of 実績 twice",
        "actuals",
        |f| twice(f, "UPJSK", b",20260402,,1000,"),
        Other,
        &[("identical_row", "UPJSK_", 2, 3, "被保険者番号", "0001234567")],
    ),
    Slip(
        "an activity of the week twice",
        "plan",
        |f| twice(f, "UP3KYO", b",0630,0630,"),
        Other,
        &[("identical_row", "UP3KYO_", 6, 3, "被保険者番号", "0001234567")],
    ),
    Slip(
        "a service out of scope, which should not have been sent",
        "slip",
        |f| put_all(f, ",111211,", ",331211,"),
        Other,
        &[
            ("out_of_scope", "UPPLAN_", 1, 15, "サービスコード", "331211"),
            ("out_of_scope", "UPSIKYU_", 1, 9, "サービスコード", "331211"),
        ],
    ),
    Slip(
        "第7表 without its grand total",
        "slip",
        |f| {
            let b = bytes(f, "UPSIKYU");
            let end = b.len() - 2;
            let at = b[..end].iter().rposition(|c| *c == b'\n').unwrap();
            b.truncate(at + 1);
        },
        Other,
        &[("total_row", "UPSIKYU_", 1, 9, "サービスコード", "")],
    ),
    Slip(
        "units on a row of 第7表 that sums up others",
        "slip",
        |f| put(f, "UPSIKYU", ",11AAAA,,,,0,,,", ",11AAAA,,,,3683,100,3683,"),
        Other,
        &[
            ("total_row", "UPSIKYU_", 3, 13, "単位数", "3683"),
            ("total_row", "UPSIKYU_", 3, 14, "割引後率", "100"),
            ("total_row", "UPSIKYU_", 3, 15, "割引後単位数", "3683"),
        ],
    ),
    Slip(
        "第7表 with 事業所コード and 入力者コード left empty",
        "slip",
        |f| put_all(f, ",9999999999,9999999999,9970000015,", ",,,9970000015,"),
        Other,
        &[],
    ),
    Slip(
        "第7表 with other counts than 第6表",
        "slip",
        |f| put(f, "UPSIKYU", ",387,,,9,", ",387,,,8,"),
        Other,
        &[("table7_mismatch", "UPSIKYU_", 1, 16, "回数／日数", "8")],
    ),
    Slip(
        "a picture that is named and not there",
        "preventive",
        |f| f.retain(|(name, _)| !name.ends_with(".jpg")),
        Other,
        &[("picture", "UPKIHON_9", 1, 62, "家族構成 画像ファイル名", "UPKIHON_IMAGE_9900000051_46_9970000023_A…")],
    ),
    // Versions.
    Slip("the names and files of 202208 for a month of 202208", "version-202208", |_| {}, Same, &[]),
    Slip(
        "202407 before its first month",
        "withdrawals",
        |f| {
            only(f, "DLTPLAN");
            put_all(f, "202604", "202404");
        },
        Other,
        &[("version", "DLTPLAN_", 1, 1, "CSVバージョン", "202407")],
    ),
];

#[test]
fn what_real_software_does_differently_is_taken_and_told() {
    let mut wrong = Vec::new();
    for Slip(what, sub, change, content, expected) in SLIPS {
        let mut files = folder(sub);
        let as_sent = taken(care_plan::read_set(&files).0);
        change(&mut files);
        let (received, problems) = care_plan::read_set(&files);
        let now = taken(received);
        let is_taken = !now.is_empty() && problems.iter().all(|problem| problem.severity == Severity::Warning);
        if told(&problems, expected) != *expected || !is_taken || (now == as_sent) != (*content == Same) {
            wrong.push(format!("{what} (taken: {is_taken}, same: {}): {problems:#?}", now == as_sent));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong, in which example, what is told of it, and what the first sentence says.
struct Fault(&'static str, &'static str, fn(&mut Files), &'static [Told], &'static str);

const FAULTS: &[Fault] = &[
    Fault(
        "a day outside the month",
        "actuals",
        |f| put(f, "UPJSK", ",20260402,,1000,", ",20260502,,1000,"),
        &[("day_outside_month", "UPJSK_", 1, 10, "サービス利用日", "20260502")],
        "サービス利用日が対象年月の外にあります",
    ),
    Fault(
        "a plan in the form of 202208 made when that was over",
        "version-202208",
        |f| {
            only(f, "_20240326101500");
            put_all(f, "20240325", "20250401");
        },
        &[
            ("version", "UP1KYO_", 1, 1, "CSVバージョン", "202208"),
            ("version", "UP2KYO_", 1, 1, "CSVバージョン", "202208"),
            ("version", "UPHOSOKU_", 1, 1, "CSVバージョン", "202208"),
        ],
        "計画作成（変更）日が2025年4月1日からの計画は CSVバージョン 202407",
    ),
    // Slips of the official text that cannot be read: named for what they are.
    Fault(
        "an office number of nine digits in a name, as in an official sample",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            rename(f, "DLT1KYO", "9970000015", "997000001");
        },
        &[("file_name", "DLT1KYO_", 0, 0, "", "")],
        "送信元の事業所番号「997000001」: 10桁",
    ),
    Fault(
        "a ファイル連番 of fifteen digits, as in an official sample",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            rename(f, "DLT1KYO", "20260402120000", "202604021200000");
        },
        &[("file_name", "DLT1KYO_", 0, 0, "", "")],
        "14桁の日時",
    ),
    Fault(
        "a name of Ver. 3.2 on a file of Ver. 4.1",
        "withdrawals",
        |f| {
            only(f, "DLTPLAN");
            rename(f, "DLTPLAN", "_43_9970000023_11_", "_9970000023_");
        },
        &[("file_name", "DLTPLAN_", 0, 0, "", "")],
        "旧版(Ver. 3.2以前)のファイル名です",
    ),
    Fault(
        "a name of Ver. 4.1 on a file of Ver. 3.2",
        "version-202208",
        |f| {
            only(f, "UPPLAN");
            rename(f, "UPPLAN", "_9970000015_9970000023_", "_9970000015_43_9970000023_11_");
        },
        &[("file_name", "UPPLAN_", 0, 0, "", ""), ("unit", "UPPLAN_", 0, 0, "", "")],
        "サービス種類コードがありません",
    ),
    Fault(
        "a version that an implementer invented",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            put_all(f, "202407,", "202410,");
        },
        &[("version", "DLT1KYO_", 1, 1, "CSVバージョン", "202410")],
        "受け付けられる版は 202407（Ver. 4.1）",
    ),
    Fault(
        "kinds of office in three digits, as Ver. 4.0 had them",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            rename(f, "DLT1KYO", "_43_", "_043_");
        },
        &[("file_name", "DLT1KYO_", 0, 0, "", "")],
        "送信元のサービス種類コード「043」: 2桁",
    ),
    Fault(
        "the version of Ver. 4.0",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            put_all(f, "202407,", "202504,");
        },
        &[("version", "DLT1KYO_", 1, 1, "CSVバージョン", "202504")],
        "受け付けられる版は 202407（Ver. 4.1）",
    ),
    Fault(
        "a version before 2023",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            put_all(f, "202407,", "202003,");
        },
        &[("version", "DLT1KYO_", 1, 1, "CSVバージョン", "202003")],
        "2022年12月提供分までの旧版",
    ),
    Fault(
        "202208 for a month of 202407",
        "version-202208",
        |f| {
            only(f, "_202404_");
            put_all(f, "202404", "202504");
        },
        &[
            ("version", "UPHOSOKU_", 1, 1, "CSVバージョン", "202208"),
            ("version", "UPPLAN_", 1, 1, "CSVバージョン", "202208"),
            ("version", "UPSIKYU_", 1, 1, "CSVバージョン", "202208"),
        ],
        "2025年4月提供分からは CSVバージョン 202407",
    ),
    Fault(
        "two versions in one file",
        "slip",
        |f| put(f, "UPPLAN", "\r\n202407,", "\r\n202208,"),
        &[("version", "UPPLAN_", 2, 1, "CSVバージョン", "202208")],
        "全行をこの版にして",
    ),
    // Names.
    Fault(
        "a name that begins with nothing known",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            rename(f, "DLT1KYO", "DLT1KYO", "DEL1KYO");
        },
        &[("file_name", "DEL1KYO_", 0, 0, "", "")],
        "先頭を次のいずれか",
    ),
    Fault(
        "another extension",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            rename(f, "DLT1KYO", ".CSV", ".TXT");
        },
        &[("file_name", "DLT1KYO_", 0, 0, "", "")],
        "拡張子を .CSV",
    ),
    Fault(
        "a month that does not exist in a name",
        "withdrawals",
        |f| {
            only(f, "DLTPLAN");
            rename(f, "DLTPLAN", "_202604_", "_202613_");
        },
        &[("file_name", "DLTPLAN_", 0, 0, "", "")],
        "年月「202613」",
    ),
    // The form of a file.
    Fault(
        "forty columns instead of thirty-seven",
        "slip",
        |f| put(f, "UPSIKYU", ",9970000015,\r\n", ",9970000015,,,,\r\n"),
        &[("columns", "UPSIKYU_", 1, 38, "", "40列")],
        "37列のはずです",
    ),
    Fault(
        "a quote inside a value",
        "slip",
        |f| put(f, "UPPLAN", "\"訪問介護みほん\"", "\"訪問\"介護みほん\""),
        &[("quote", "UPPLAN_", 1, 21, "サービス事業所名", "")],
        "2つ重ねて",
    ),
    Fault(
        "a quote that never ends",
        "plan",
        |f| put(f, "UP3KYO", "(月１回, 見本診療所)\"", "(月１回, 見本診療所)"),
        &[("quote", "UP3KYO_", 9, 13, "週単位以外のサービス", "")],
        "閉じられていません",
    ),
    Fault(
        "UTF-8",
        "plan",
        |f| {
            let b = bytes(f, "UPHOSOKU");
            *b = kiban_formats::text::decode(b, Encoding::Cp932).unwrap().into_owned().into_bytes();
        },
        &[("encoding", "UPHOSOKU_", 0, 0, "", "")],
        "文字コードがUTF-8です",
    ),
    Fault(
        "UTF-8 with a byte order mark",
        "plan",
        |f| {
            let b = bytes(f, "UPHOSOKU");
            *b = format!("\u{feff}{}", kiban_formats::text::decode(b, Encoding::Cp932).unwrap()).into_bytes();
        },
        &[("encoding", "UPHOSOKU_", 0, 0, "", "")],
        "文字コードがUTF-8です",
    ),
    Fault(
        "a file without rows",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            bytes(f, "DLT1KYO").clear();
        },
        &[("no_rows", "DLT1KYO_", 0, 0, "", "")],
        "データの行がありません",
    ),
    Fault(
        "a ZIP under its own name",
        "plan",
        |f| *f = vec![("plan.zip".to_owned(), [b"PK\x03\x04", &[0; 60][..]].concat())],
        &[("unsupported_file", "plan.zip", 0, 0, "", "")],
        "展開して",
    ),
    Fault(
        "a ZIP bomb under the name of a plan",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            *bytes(f, "DLT1KYO") = [b"PK\x03\x04", &[0xff; 60][..]].concat();
        },
        &[("unsupported_file", "DLT1KYO_", 0, 0, "", "")],
        "展開して",
    ),
    // Rows of one file.
    Fault(
        "the month of a name and of a row",
        "withdrawals",
        |f| {
            only(f, "DLTPLAN");
            rename(f, "DLTPLAN", "_202604_", "_202605_");
        },
        &[("month_mismatch", "DLTPLAN_", 1, 4, "削除対象年月", "202604")],
        "ファイル名の年月 202605",
    ),
    Fault(
        "two months in one file",
        "withdrawals",
        |f| {
            only(f, "DLTPLAN");
            put(f, "DLTPLAN", "H990000001,202604", "H990000001,202605");
        },
        &[("month_mismatch", "DLTPLAN_", 2, 4, "削除対象年月", "202605")],
        "1つの年月だけ",
    ),
    Fault(
        "files of two months in one set",
        "slip",
        |f| {
            rename(f, "UPSIKYU", "202604", "202605");
            let mut seven = vec![file(f, "UPSIKYU").clone()];
            put_all(&mut seven, ",202604,", ",202605,");
            *bytes(f, "UPSIKYU") = seven.remove(0).1;
        },
        &[("month_mismatch", "UPSIKYU_", 0, 0, "", ""), ("parent", "UPSIKYU_", 1, 5, "対象年月", "202605")],
        "一つの送付単位には1つの年月だけ",
    ),
    Fault(
        "the same number of 課題, 援助目標 and 援助内容 twice",
        "plan",
        |f| put(f, "UP2KYO", ",1,,1,,,,,2,", ",1,,1,,,,,1,"),
        &[("duplicate_key", "UP2KYO_", 2, 13, "援助内容ＮＯ", "1")],
        "1行目と同じキー",
    ),
    Fault(
        "the same plan twice",
        "withdrawals",
        |f| {
            only(f, "DLT1KYO");
            let b = bytes(f, "DLT1KYO");
            *b = b.repeat(2);
        },
        &[("duplicate_key", "DLT1KYO_", 2, 4, "居宅サービス計画作成（変更）日", "20260325")],
        "1行目と同じキー",
    ),
    Fault(
        "a period that ends before it begins",
        "plan",
        |f| put(f, "UP1KYO", "20260301,20280229", "20260301,20260228"),
        &[("date_order", "UP1KYO_", 1, 20, "認定有効期間終了日", "20260228")],
        "終了日が開始日より前",
    ),
    Fault(
        "利用者補足情報 that goes with the plan and with the slip",
        "plan",
        |f| {
            rename(f, "UPHOSOKU", "_000000_", "_202604_");
            put(f, "UPHOSOKU", ",000000\r\n", ",202604\r\n");
        },
        &[
            ("unit", "UP1KYO_", 0, 0, "", ""),
            ("unit", "UPHOSOKU_", 0, 0, "", ""),
            ("supplement_key", "UPHOSOKU_", 1, 4, "居宅サービス計画作成（変更）日", ""),
        ],
        "UPHOSOKU がありません",
    ),
    Fault(
        "福祉用具貸与 without either code",
        "slip",
        |f| put(f, "UPPLAN", ",00001-000010,", ",,"),
        &[("equipment_code", "UPPLAN_", 21, 16, "TAISコード", "")],
        "TAISコードか福祉用具届出コード",
    ),
    Fault(
        "a サービスコード of an unknown kind",
        "actuals",
        |f| put(f, "UPJSK", ",111211,", ",991211,"),
        &[("service_code", "UPJSK_", 1, 15, "サービスコード", "991211")],
        "サービス種類コードはありません",
    ),
    Fault(
        "a サービスコード that was abolished before that month",
        "actuals",
        |f| put(f, "UPJSK", ",111211,", ",611111,"),
        &[("service_code", "UPJSK_", 1, 15, "サービスコード", "611111")],
        "対象年月 202604 には使えない",
    ),
    Fault(
        "the mark of a total among the services that were given",
        "actuals",
        |f| put(f, "UPJSK", ",111211,", ",17ZZZZ,"),
        &[("service_code", "UPJSK_", 1, 15, "サービスコード", "17ZZZZ")],
        "第7表だけのもの",
    ),
    Fault(
        "the mark of the grand total among the services that are planned",
        "slip",
        |f| put(f, "UPPLAN", ",111211,", ",999999,"),
        &[("service_code", "UPPLAN_", 1, 15, "サービスコード", "999999")],
        "第7表だけのもの",
    ),
    Fault(
        "the mark of a total of an unknown kind",
        "slip",
        |f| put(f, "UPSIKYU", ",11AAAA,", ",99AAAA,"),
        &[("service_code", "UPSIKYU_", 3, 9, "サービスコード", "99AAAA")],
        "サービス種類コードはありません",
    ),
    Fault(
        "an unknown サービス種類 in a name",
        "actuals",
        |f| rename(f, "UPJSK", "_11_9970000015_43_", "_99_9970000015_43_"),
        &[("file_name", "UPJSK_", 0, 0, "", "")],
        "ファイル名の 99: このサービス種類コードはありません",
    ),
    Fault(
        "a サービスコード with a small letter",
        "actuals",
        |f| put(f, "UPJSK", ",111211,", ",11121a,"),
        &[("service_code", "UPJSK_", 1, 15, "サービスコード", "11121a")],
        "半角の英大文字と数字6文字",
    ),
    Fault(
        "a サービス種類 that was abolished before that month",
        "withdrawals",
        |f| {
            only(f, "DLTJSK");
            put(f, "DLTJSK", ",11\r\n", ",53\r\n");
        },
        &[("service_code", "DLTJSK_", 1, 6, "サービス種類コード", "53")],
        "対象年月 202604 には使えない",
    ),
    // Files of one unit.
    Fault(
        "a plan without its third table",
        "plan",
        |f| f.retain(|(name, _)| !name.starts_with("UP3KYO")),
        &[("unit", "UP1KYO_", 0, 0, "", "")],
        "同じファイル連番の UP3KYO がありません",
    ),
    Fault(
        "a slip without 利用者補足情報",
        "slip",
        |f| f.retain(|(name, _)| !name.starts_with("UPHOSOKU")),
        &[("unit", "UPPLAN_", 0, 0, "", "")],
        "UPHOSOKU がありません",
    ),
    Fault(
        "two ファイル連番 in what should be one unit",
        "slip",
        |f| rename(f, "UPSIKYU", "20260328153000", "20260328153001"),
        &[("unit", "UPHOSOKU_", 0, 0, "", ""), ("unit", "UPSIKYU_", 0, 0, "", "")],
        "UPSIKYU がありません",
    ),
    Fault(
        "別表 without their document",
        "preventive",
        |f| f.retain(|(name, _)| !name.starts_with("UPYOBO_9")),
        &[("unit", "UPKIHON_9", 0, 0, "", "")],
        "UPYOBO がありません",
    ),
    Fault(
        "a row without its plan",
        "plan",
        |f| put(f, "UP3KYO", "20260325,\"訪問介護\",4", "20260326,\"訪問介護\",4"),
        &[("parent", "UP3KYO_", 2, 5, "居宅サービス計画作成（変更）日", "20260326")],
        "UP1KYOにありません",
    ),
    Fault(
        "a day of 別表 without its 利用者基本情報",
        "preventive",
        |f| put(f, "UPKIHON_SUB2", ",20260401,", ",20260402,"),
        &[("parent", "UPKIHON_SUB2_", 1, 4, "相談日", "20260402")],
        "UPKIHONにありません",
    ),
    // Pictures.
    Fault(
        "a PNG under the name of a JPEG",
        "preventive",
        |f| *bytes(f, "UPKIHON_IMAGE") = b"\x89PNG\r\n\x1a\n".to_vec(),
        &[("picture", "UPKIHON_IMAGE_", 0, 0, "", "")],
        "JPEG の画像として読めません",
    ),
    Fault(
        "a JPEG that was cut",
        "preventive",
        |f| {
            let b = bytes(f, "UPKIHON_IMAGE");
            b.truncate(b.len() - 2);
        },
        &[("picture", "UPKIHON_IMAGE_", 0, 0, "", "")],
        "JPEG の画像として読めません",
    ),
    Fault(
        "a JPEG with something behind it",
        "preventive",
        |f| bytes(f, "UPKIHON_IMAGE").extend(b"<script>"),
        &[("picture", "UPKIHON_IMAGE_", 0, 0, "", "")],
        "JPEG の画像として読めません",
    ),
];

#[test]
fn what_cannot_be_read_is_refused_with_file_line_column_item_and_value() {
    let mut wrong = Vec::new();
    for Fault(what, sub, change, expected, says) in FAULTS {
        let mut files = folder(sub);
        change(&mut files);
        let (received, problems) = care_plan::read_set(&files);
        let is_refused = taken(received).is_empty() && problems.iter().any(Problem::is_error);
        let says_so = problems.first().is_some_and(|problem| problem.message_ja().contains(says));
        if told(&problems, expected) != *expected || !is_refused || !says_so {
            wrong.push(format!("{what} (refused: {is_refused}, says so: {says_so}): {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The CSV kinds of the standard, each with the example that holds it.
const KINDS: [(&str, &str); 17] = [
    ("plan", "UP1KYO"),
    ("plan", "UP2KYO"),
    ("plan", "UP3KYO"),
    ("plan", "UPHOSOKU"),
    ("slip", "UPPLAN"),
    ("slip", "UPSIKYU"),
    ("actuals", "UPJSK"),
    ("withdrawals", "DLT1KYO"),
    ("withdrawals", "DLTPLAN"),
    ("withdrawals", "DLTJSK"),
    ("preventive", "UPKIHON"),
    ("preventive", "UPKIHON_SUB1"),
    ("preventive", "UPKIHON_SUB2"),
    ("preventive", "UPYOBO"),
    ("preventive", "UPYOBO_SUB"),
    ("preventive-withdrawals", "DLTKIHON"),
    ("preventive-withdrawals", "DLTYOBO"),
];

/// Values that an item may not have, each with the rule that says so. Bytes, for those that are no characters.
fn wrong_values(item: &Item) -> Vec<(Vec<u8>, &'static str)> {
    let mut wrong: Vec<(Vec<u8>, &str)> = Vec::new();
    let mut add = |rule, values: &[&str]| wrong.extend(values.iter().map(|value| (cp932(value), rule)));
    match item.kind {
        ItemKind::Text => {}
        ItemKind::Ascii | ItemKind::Folded => add("characters", &["あ", "ｱ"]),
        ItemKind::Digits => add("digits", &["1A", "１", "-1", "ｱ"]),
        ItemKind::Integer => add("digits", &["1.5", "１", "1,000", "ｱ"]),
        ItemKind::Decimal => add("format", &["1,50", "10.", "１０", ".5"]),
        ItemKind::Date | ItemKind::PastDate | ItemKind::DateOrZero => {
            add("date", &["20250230", "20260431", "2026041", "2026-04-01", "20261301", "R8.4.1", "20260400"]);
        }
        ItemKind::Month | ItemKind::MonthOrZero => add("month", &["202613", "2026-04", "202600", "R8.4"]),
        ItemKind::Time | ItemKind::TimeOr9999 => add("time", &["2430", "1060", "10:00", "1", "ｱ"]),
        ItemKind::Days31 => add("format", &["11111", "1111100000000000000000000000002"]),
        ItemKind::Insurer => {
            add("length", &["99900", "9990030"]);
            add("check_digit", &["999004"]);
            add("characters", &["99900a"]);
        }
        ItemKind::Insured => {
            add("length", &["123", "00012345678"]);
            add("characters", &["h123456789", "000123456ｱ"]);
        }
        ItemKind::Office => {
            add("length", &["997000001", "99700000150"]);
            add("characters", &["99700000１5"]);
        }
        ItemKind::Service => {
            add("length", &["1", "111"]);
            add("characters", &["a2"]);
        }
        ItemKind::Code | ItemKind::PaddedCode => add("code", &["X", "99", "１"]),
        ItemKind::Version => add("version", &["202410", "202003", "4.1"]),
        other => panic!("{other:?} has no wrong value"),
    }
    if let Some(max) = item.max_len {
        let too_long = "1".repeat(usize::from(max) + 1);
        if matches!(item.kind, ItemKind::Ascii | ItemKind::Folded | ItemKind::Digits | ItemKind::Integer) {
            wrong.push((too_long.into_bytes(), "length"));
        }
    }
    // 外字, a character cut in two, a control character; a number that may be a 個人番号.
    wrong.extend([(b"\xf0\x40".to_vec(), "encoding"), (b"\x89".to_vec(), "encoding"), (b"1\x07".to_vec(), "control")]);
    wrong.push((b"123456789018".to_vec(), "individual_number"));
    if item.kind != ItemKind::Text {
        wrong.push((b"1\n2".to_vec(), "control"));
    }
    wrong
}

/// The rows of a file as values, and the same file again with one of them in other bytes.
struct Table {
    rows: Vec<Vec<Vec<u8>>>,
}

impl Table {
    fn of(layout: &layout::FileLayout, bytes: &[u8]) -> Self {
        let (rows, _) = layout::read(layout, "x", bytes, Dialect::CARE_PLAN);
        let values = |row: &layout::Row| (0..layout.items.len()).map(|at| cp932(row.get(at))).collect();
        Self { rows: rows.iter().map(values).collect() }
    }

    fn with(&self, column: usize, value: &[u8]) -> Vec<u8> {
        let mut rows = self.rows.clone();
        rows[0][column] = value.to_vec();
        let cell = |value: &Vec<u8>| match value.is_empty() {
            true => Vec::new(),
            false => [
                b"\"",
                &value.iter().flat_map(|b| if *b == b'"' { vec![b'"'; 2] } else { vec![*b] }).collect::<Vec<_>>()[..],
                b"\"",
            ]
            .concat(),
        };
        let line =
            |row: &Vec<Vec<u8>>| [row.iter().map(cell).collect::<Vec<_>>().join(&b","[..]), b"\r\n".to_vec()].concat();
        rows.iter().flat_map(line).collect()
    }
}

/// Every item of every kind of file: left out, of the wrong kind, too long, no code of its list, a day that does not exist, no
/// character of the encoding.
#[test]
fn every_item_of_every_file_is_held_to_its_rules() {
    let mut tried = 0;
    for (sub, prefix) in KINDS {
        let good = folder(sub);
        let of_kind = |name: &str| PlanFileName::parse(name).unwrap().kind.prefix() == prefix;
        let at = good.iter().position(|(name, _)| of_kind(name)).unwrap();
        let layout = layout::care_plan().file(prefix).unwrap();
        let table = Table::of(layout, &good[at].1);
        for (column, item) in layout.items.iter().enumerate() {
            let mut wrong = wrong_values(item);
            if item.required == Required::Always {
                wrong.push((Vec::new(), "required"));
            }
            for (value, rule) in wrong {
                let mut files = good.clone();
                files[at].1 = table.with(column, &value);
                let (received, problems) = care_plan::read_set(&files);
                let here = |p: &&Problem| {
                    (p.file.as_str(), p.line, p.column, p.item.as_str()) == (&files[at].0, 1, item.no, item.name)
                };
                let what = format!("{prefix} {} {} {value:?}: {problems:?}", item.no, item.name);
                let found: Vec<_> = problems.iter().filter(here).collect();
                assert!(found.iter().any(|p| p.rule == rule && p.is_error()), "{rule} {what}");
                let shown = kiban_formats::text::decode(&value, Encoding::Cp932);
                let quoted = !matches!(rule, "required" | "encoding" | "individual_number") && shown.is_ok();
                assert!(!quoted || found.iter().any(|p| p.rule == rule && !p.found.is_empty()), "{what}");
                assert!(problems.iter().all(|p| !p.message_ja().contains("5678901")), "{what}");
                // Other units of the message may be taken; this one is not.
                let mut others = good.clone();
                let unit = PlanFileName::parse(&good[at].0).unwrap().sending;
                others.retain(|(name, _)| PlanFileName::parse(name).unwrap().sending != unit);
                assert_eq!(taken(received), taken(care_plan::read_set(&others).0), "{what}");
                tried += 1;
            }
        }
        for columns in [-1isize, 3] {
            let mut files = good.clone();
            let mut short = Table { rows: table.rows.clone() };
            let width = layout.items.len().saturating_add_signed(columns);
            short.rows.iter_mut().for_each(|row| row.resize(width, Vec::new()));
            let first = short.rows[0][0].clone();
            files[at].1 = short.with(0, &first);
            let problems = care_plan::check_set(&files);
            let (found, expected) = (format!("{width}列"), format!("{}列のはずです", layout.items.len()));
            let says_so =
                |p: &Problem| p.line == 1 && p.column > 0 && p.found == found && p.expected.contains(&expected);
            assert!(problems.iter().any(|p| p.rule == "columns" && says_so(p)), "{problems:?}");
        }
    }
    assert!(tried > 3_000, "{tried}");
    let csv = PlanFileKind::ALL.iter().filter(|kind| kind.has_rows() && !kind.is_facility()).count();
    assert_eq!(csv, KINDS.len());
}
