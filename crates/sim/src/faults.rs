//! Files with one fault each, and the rule the reader must name. The manifest of a package is made to fit the faulty file
//! unless the fault is about the manifest, so that only the one thing is wrong.

use crate::application::plus;
use crate::files::{Files, city_package, difference_package};
use crate::random::Random;
use crate::{CitySpec, Generator, care_plan_files, cast};
use kiban_domain::dates::ServiceMonth;
use kiban_formats::Problem;
use kiban_formats::municipal::MANIFEST;
use kiban_formats::text::{Encoding, encode};
use std::fmt::Write;

/// Files with one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulty {
    /// Short name, fit for a folder.
    pub name: &'static str,
    /// What is wrong, for people.
    pub what_ja: &'static str,
    /// The files.
    pub files: Files,
    /// Code of the rule that the reader must name.
    pub rule: &'static str,
    /// Part of the name of the file in which it must be found.
    pub in_file: &'static str,
}

/// How to spoil the text of one file: lines without their line ends, the header first.
type Spoil = fn(&mut Vec<String>);

struct Fault {
    name: &'static str,
    what_ja: &'static str,
    kind: &'static str,
    rule: &'static str,
    spoil: Spoil,
}

/// Columns of 被保険者 and 同意, 0-based.
mod column {
    pub const ACTED_ON: usize = 6;
    pub const TAKEN_BY: usize = 11;
    pub const INSURER: usize = 0;
    pub const INSURED: usize = 1;
    pub const CARD_INSURER: usize = 4;
    pub const NAME: usize = 5;
    pub const KANA: usize = 6;
    pub const BIRTH: usize = 7;
    pub const SEX: usize = 8;
    pub const POSTAL_CODE: usize = 9;
}

const FAULTS: [Fault; 14] = [
    fault("check-digit", "証記載保険者番号の検証番号が違う", "INSURED", "check_digit", |lines| {
        set(lines, 2, column::CARD_INSURER, "999004");
    }),
    fault("length", "被保険者番号が9桁", "INSURED", "length", |lines| {
        set(lines, 2, column::INSURED, "000100000")
    }),
    fault("characters", "被保険者番号に英小文字", "INSURED", "characters", |lines| {
        set(lines, 2, column::INSURED, "000100000a");
    }),
    fault("code", "性別のコードが3", "INSURED", "code", |lines| set(lines, 2, column::SEX, "3")),
    fault("date", "生年月日が暦にない", "INSURED", "date", |lines| set(lines, 2, column::BIRTH, "19410230")),
    fault("required", "フリガナが空", "INSURED", "required", |lines| set(lines, 2, column::KANA, "")),
    fault("user-defined-character", "氏名に外字", "INSURED", "encoding", |lines| {
        set(lines, 2, column::NAME, "\"架空 \u{e000}\"");
    }),
    fault("individual-number", "氏名の欄に個人番号", "INSURED", "individual_number", |lines| {
        set(lines, 2, column::NAME, "\"架空 123456789018\"");
    }),
    fault("columns", "列が1つ足りない", "INSURED", "columns", |lines| {
        if let Some(line) = lines.get_mut(2) {
            line.truncate(line.rfind(',').unwrap_or(line.len()));
        }
    }),
    fault(
        "duplicate-key",
        "同じ番号・同じ履歴番号で内容が違う行",
        "INSURED",
        "duplicate_key",
        |lines| {
            lines.extend(lines.get(2).cloned());
            let last = lines.len() - 1;
            set(lines, last, column::POSTAL_CODE, "000-9999");
        },
    ),
    fault("foreign-insurer", "ほかの保険者の行", "INSURED", "foreign_insurer", |lines| {
        set(lines, 2, column::INSURER, "232074");
    }),
    fault("header", "見出しの項目名が違う", "INSURED", "header", |lines| set(lines, 0, column::KANA, "カナ")),
    fault("level", "要介護状態区分のコードが11（経過的要介護）", "A3A", "code", |lines| {
        set(lines, 1, 6, "11")
    }),
    fault("rate", "負担割合が4割", "A3B", "code", |lines| set(lines, 1, 5, "4")),
];

const fn fault(
    name: &'static str,
    what_ja: &'static str,
    kind: &'static str,
    rule: &'static str,
    spoil: Spoil,
) -> Fault {
    Fault { name, what_ja, kind, rule, spoil }
}

/// Sets a column of a line. No value of the files that are spoiled holds a comma.
fn set(lines: &mut [String], line: usize, column: usize, value: &str) {
    let Some(line) = lines.get_mut(line) else { return };
    let mut values: Vec<&str> = line.split(',').collect();
    if let Some(old) = values.get_mut(column) {
        *old = value;
    }
    *line = values.join(",");
}

/// Municipal packages, each with one fault; made from the cast and a few more people.
pub fn faulty_packages(spec: &CitySpec) -> Result<Vec<Faulty>, Vec<Problem>> {
    let good = city_package(&crate::City::generate(&CitySpec { people: 40, ..spec.clone() }))?;
    let mut all: Vec<Faulty> = FAULTS.iter().map(|fault| spoiled(&good, fault)).collect();
    all.extend(broken_bytes(&good));
    all.extend(broken_package(&good));
    Ok(all)
}

fn spoiled(good: &Files, fault: &Fault) -> Faulty {
    let files = change(good, fault.kind, |bytes| edit(bytes, fault.spoil));
    Faulty { name: fault.name, what_ja: fault.what_ja, files, rule: fault.rule, in_file: fault.kind }
}

fn edit(bytes: &[u8], spoil: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.trim_end_matches("\r\n").split("\r\n").map(str::to_owned).collect();
    spoil(&mut lines);
    lines.push(String::new());
    lines.join("\r\n").into_bytes()
}

/// Faults of a whole file: encoding, cut, noise.
fn broken_bytes(good: &Files) -> Vec<Faulty> {
    let faulty = |name, what_ja, rule, files| Faulty { name, what_ja, files, rule, in_file: "INSURED" };
    let cut = |bytes: &[u8]| {
        // In the middle of a row, behind a bare value.
        let middle = bytes.len() / 2;
        let line = bytes[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        bytes[..(line + 20).min(bytes.len())].to_vec()
    };
    vec![
        faulty("encoding", "UTF-8と書いてあるがShift_JIS", "encoding", change(good, "INSURED", by_line)),
        faulty(
            "malformed",
            "氏名の途中で文字が壊れている",
            "encoding",
            change(good, "INSURED", |bytes| {
                let mut bytes = bytes.to_vec();
                let at = bytes.iter().rposition(|b| *b == 0xe3).unwrap_or(0);
                bytes[at] = 0xff;
                bytes
            }),
        ),
        faulty("cut", "ファイルが行の途中で切れている", "cut", change(good, "INSURED", cut)),
        faulty("noise", "でたらめなバイト列", "header", change(good, "INSURED", |_| noise(100_000))),
        faulty("empty", "中身が空", "count", change_without_count(good, "INSURED", |_| Vec::new())),
    ]
}

/// The text in CP932; line by line, because a line end inside one value would be a control.
fn by_line(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in String::from_utf8_lossy(bytes).split_inclusive("\r\n") {
        let _ = encode(line.trim_end_matches("\r\n"), Encoding::Cp932, &mut out);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Bytes without any sense, always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut random = Random::new(0, 0, "noise");
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&random.bits().to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Faults between the files and their manifest.
fn broken_package(good: &Files) -> Vec<Faulty> {
    let faulty = |name, what_ja, rule, in_file, files| Faulty { name, what_ja, files, rule, in_file };
    let without = |part: &str| good.iter().filter(|(name, _)| !name.contains(part)).cloned().collect::<Files>();
    let mut changed = good.clone();
    for (name, bytes) in &mut changed {
        if name.contains("_A3A_") {
            bytes.extend_from_slice(b"\r\n");
        }
    }
    let mut extra = good.clone();
    extra.push(("KGKB_A5_extra.csv".to_owned(), Vec::new()));
    vec![
        faulty("digest", "送付の途中で中身が変わった", "digest", "A3A", changed),
        faulty("missing-file", "MANIFEST.csvにあるファイルがない", "file_missing", "A3C", without("_A3C_")),
        faulty("extra-file", "MANIFEST.csvにないファイルがある", "not_in_manifest", "KGKB_A5_extra", extra),
        faulty("no-manifest", "MANIFEST.csvがない", "file_missing", MANIFEST, without(MANIFEST)),
    ]
}

/// The package with one file changed and the manifest made to fit: digest and number of rows.
fn change(good: &Files, kind: &str, spoil: impl Fn(&[u8]) -> Vec<u8>) -> Files {
    with(good, kind, spoil, true)
}

/// The same with the old number of rows.
fn change_without_count(good: &Files, kind: &str, spoil: impl Fn(&[u8]) -> Vec<u8>) -> Files {
    with(good, kind, spoil, false)
}

fn with(good: &Files, kind: &str, spoil: impl Fn(&[u8]) -> Vec<u8>, count: bool) -> Files {
    let marker = format!("_{kind}_");
    let mut line = String::new();
    let mut files: Files = Vec::new();
    for (name, bytes) in good {
        if !name.contains(&marker) {
            files.push((name.clone(), bytes.clone()));
            continue;
        }
        let bytes = spoil(bytes);
        let rows = count.then(|| bytes.split(|b| *b == b'\n').skip(1).filter(|line| !line.is_empty()).count());
        line = format!("{},{}", rows.map(|rows| rows.to_string()).unwrap_or_default(), sha256(&bytes));
        files.push((name.clone(), bytes));
    }
    for (_, bytes) in files.iter_mut().filter(|(name, _)| name == MANIFEST) {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<String> = text.split("\r\n").map(|old| refit(old, &marker, &line)).collect();
        *bytes = lines.join("\r\n").into_bytes();
    }
    files
}

/// A line of the manifest with new number of rows (kept when none is given) and digest.
fn refit(old: &str, marker: &str, new: &str) -> String {
    let mut values: Vec<&str> = old.split(',').collect();
    // 件数, SHA-256 and 全件 stand last.
    let [.., old_rows, old_digest, _] = &mut values[..] else { return old.to_owned() };
    if !old.contains(marker) {
        return old.to_owned();
    }
    let (rows, digest) = new.split_once(',').unwrap_or_default();
    *old_digest = digest;
    if !rows.is_empty() {
        *old_rows = rows;
    }
    values.join(",")
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Packages in the order in which somebody might hand them over. Each is sound by itself; what is wrong shows only where
/// the clock, the register of offices and what was taken before are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Short name, fit for a folder.
    pub name: &'static str,
    /// What is wrong, for people.
    pub what_ja: &'static str,
    /// One package after another; the last one is not to be taken, or not to change anything.
    pub packages: Vec<Files>,
}

/// Wrong only for whoever takes packages in.
pub fn wrong_sequences(spec: &CitySpec) -> Result<Vec<Sequence>, Vec<Problem>> {
    let city = crate::City::generate(&CitySpec { people: 40, ..spec.clone() });
    let good = city_package(&city)?;
    let later = difference_package(&city, plus(spec.today, 10))?;
    let future = change(&good, "CONSENT", |bytes| edit(bytes, |lines| set(lines, 1, column::ACTED_ON, "20990101")));
    let unknown =
        change(&good, "CONSENT", |bytes| edit(bytes, |lines| set(lines, 1, column::TAKEN_BY, UNKNOWN_OFFICE)));
    let sequence = |name, what_ja, packages| Sequence { name, what_ja, packages };
    Ok(vec![
        sequence("same-twice", "同じパッケージが2回", vec![good.clone(), good.clone()]),
        sequence("older-history", "新しい履歴番号の後に古い履歴番号", vec![good.clone(), later, good.clone()]),
        sequence("future-consent", "同意の日付が2099年", vec![future]),
        sequence("unknown-office", "登録のない事業所が受け付けた同意", vec![unknown]),
    ])
}

/// An office nobody has registered, with a right check digit.
pub const UNKNOWN_OFFICE: &str = "9979999993";

/// Units of care-plan files, each with one fault; made from the plan of the first of the cast.
pub fn faulty_plans(spec: &CitySpec, month: ServiceMonth) -> Result<Vec<Faulty>, Vec<Problem>> {
    let generator = Generator::new(spec);
    let Some(cast) = cast(spec) else { return Ok(Vec::new()) };
    let good = care_plan_files(&generator, &cast.consenting, month)?;
    let faulty = |name, what_ja, in_file: &'static str, rule, spoil: fn(&[u8]) -> Vec<u8>| Faulty {
        name,
        what_ja,
        files: good
            .iter()
            .map(|(name, bytes)| (name.clone(), if name.starts_with(in_file) { spoil(bytes) } else { bytes.clone() }))
            .collect(),
        rule,
        in_file,
    };
    let mut all = vec![
        faulty("plan-encoding", "Shift_JISではなくUTF-8", "UP1KYO", "encoding", |bytes| decode(bytes).into_bytes()),
        faulty("plan-version", "CSVバージョンが知らない版", "UP1KYO", "version", |bytes| {
            [b"209901", &bytes[6..]].concat()
        }),
        faulty("plan-check-digit", "保険者番号の検証番号が違う", "UP1KYO", "check_digit", |bytes| {
            replace(bytes, b"999003", b"999004")
        }),
        faulty("plan-required", "計画作成（変更）日が空", "UP3KYO", "required", |bytes| bare(bytes, 4, b"")),
        faulty("plan-time", "開始時刻が25時", "UPPLAN", "time", |bytes| {
            replace(bytes, b",1000,1045,", b",2500,1045,")
        }),
        faulty(
            "plan-duplicate",
            "同じ課題・目標・援助内容の番号が2行",
            "UP2KYO",
            "duplicate_key",
            |bytes| [bytes, bytes].concat(),
        ),
        faulty(
            "plan-equipment",
            "福祉用具貸与にTAISコードも届出コードもない",
            "UPPLAN",
            "equipment_code",
            |bytes| replace(bytes, b"00001-000010", b""),
        ),
        faulty("plan-columns", "列が1つ多い", "UP3KYO", "columns", |bytes| replace(bytes, b"\r\n", b",\r\n")),
        faulty("plan-quote", "引用符が閉じていない（途中で切れた）", "UP1KYO", "quote", |bytes| {
            let quote = bytes.iter().position(|b| *b == b'"').unwrap_or(0);
            bytes[..quote + 9].to_vec()
        }),
    ];
    let without = good.iter().filter(|(name, _)| !name.starts_with("UPSIKYU")).cloned().collect();
    all.push(Faulty {
        name: "plan-unit",
        what_ja: "第7表のファイルがない",
        files: without,
        rule: "unit",
        in_file: "UP",
    });
    Ok(all)
}

/// CP932 as text; the files made here hold nothing else.
fn decode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        out.push_str(&kiban_formats::text::decode(text, Encoding::Cp932).unwrap_or_default());
        out.push_str("\r\n");
    }
    out
}

/// Sets a bare column (0-based, no quoted one before it) of the first row.
fn bare(bytes: &[u8], column: usize, value: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
    let mut values: Vec<&[u8]> = bytes[..end].split(|b| *b == b',').collect();
    if let Some(old) = values.get_mut(column) {
        *old = value;
    }
    [&values.join(&b','), &bytes[end..]].concat()
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}
