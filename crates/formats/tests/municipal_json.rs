//! The JSON dialect of the municipal package: the same rows, the same messages, no loss in either direction.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use kiban_formats::municipal::{self, Entry, MunicipalPackage, MunicipalRow, MunicipalValue, Writable};
use kiban_formats::{Problem, text::Encoding};
use support::{Files, folder};

/// The small package under `examples/`, in CSV.
fn example() -> Files {
    example_of("small")
}

fn example_of(name: &str) -> Files {
    let mut files = folder(&format!("municipal/valid/{name}"));
    files.rotate_right(1);
    files
}

fn read(files: &Files) -> (Vec<MunicipalRow>, Vec<Problem>) {
    let mut rows = Vec::new();
    let problems = municipal::open(files.clone()).check(&mut |row| rows.push(row));
    (rows, problems)
}

/// Rows written again, in CSV or JSON, as made at the first of April.
fn rewrite(rows: &[MunicipalRow], json: bool) -> Files {
    rewrite_as_of(rows, json, "2026-04-01T00:00:00Z")
}

fn rewrite_as_of(rows: &[MunicipalRow], json: bool, made_at: &str) -> Files {
    fn add<T: Writable>(
        package: MunicipalPackage,
        rows: &[MunicipalRow],
        value: impl Fn(&MunicipalValue) -> Option<T>,
    ) -> MunicipalPackage {
        let entry = |row: &MunicipalRow| {
            value(&row.value).map(|value| Entry { key: row.key, history: row.history, change: row.change, value })
        };
        let entries: Vec<_> = rows.iter().filter_map(entry).collect();
        if entries.is_empty() { package } else { package.records(&entries) }
    }
    let mut package = MunicipalPackage::new(rows[0].key.insurer, made_at.parse().unwrap());
    if json {
        package = package.json();
    }
    package = add(package, rows, |v| if let MunicipalValue::Insured(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::InsuranceCard(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::CopaymentRate(v) = v { Some(v.clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::CostCeiling(v) = v { Some(v.clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Progress(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Application(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Survey(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Opinion(v) = v { Some((**v).clone()) } else { None });
    package =
        add(package, rows, |v| if let MunicipalValue::HomeModification(v) = v { Some((**v).clone()) } else { None });
    package =
        add(package, rows, |v| if let MunicipalValue::EquipmentPurchase(v) = v { Some((**v).clone()) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Link(v) = v { Some(*v) } else { None });
    package = add(package, rows, |v| if let MunicipalValue::Consent(v) = v { Some((**v).clone()) } else { None });
    package.finish().unwrap()
}

fn json() -> Files {
    rewrite(&read(&example()).0, true)
}

#[test]
fn csv_becomes_json_and_comes_back_byte_for_byte() {
    let csv = example();
    let (rows, _) = read(&csv);
    let json = rewrite(&rows, true);
    assert_eq!(json[0].0, "MANIFEST.json");
    for (name, bytes) in &json {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert!(value.is_array() && name.ends_with(".json"), "{name}");
    }
    let (again, problems) = read(&json);
    assert!(problems.is_empty(), "{problems:?}");
    let content = |rows: &[MunicipalRow]| -> Vec<_> {
        rows.iter().map(|row| (row.line, row.key, row.history, row.change, row.value.clone())).collect()
    };
    // A row keeps its line only where no value holds a line break; the small package has none.
    assert_eq!(content(&again), content(&rows));
    let mut back = rewrite(&again, false);
    back.sort();
    back.rotate_right(1);
    assert_eq!(back, csv);
}

#[test]
fn every_kind_comes_back_from_json_byte_for_byte() {
    let mut kinds = std::collections::BTreeSet::new();
    for (name, made_at) in
        [("small", "2026-04-01T00:00:00Z"), ("city", "2026-11-21T15:00:00Z"), ("renumbering", "2026-11-21T15:00:00Z")]
    {
        let csv = example_of(name);
        let (rows, problems) = read(&csv);
        assert!(problems.is_empty(), "{problems:?}");
        kinds.extend(rows.iter().map(|row| row.value.kind()));
        let (again, problems) = read(&rewrite_as_of(&rows, true, made_at));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(again.len(), rows.len());
        for (file, bytes) in rewrite_as_of(&again, false, made_at).into_iter().skip(1) {
            let (_, expected) = csv.iter().find(|(name, _)| *name == file).unwrap_or_else(|| panic!("{file}"));
            assert!(bytes == *expected, "{file} differs");
        }
    }
    let all: std::collections::BTreeSet<_> = municipal::MunicipalKind::ALL.into_iter().collect();
    assert_eq!(kinds, all, "a kind without an example");
}

/// Changes one file and its manifest, and tells file, line, item and rule of every problem.
fn told(kind: &str, change: impl Fn(&str) -> String) -> Vec<(u64, String, String)> {
    let mut files = json();
    let at = files.iter().position(|(name, _)| name.starts_with(&format!("KGKB_{kind}_"))).unwrap();
    let before = sha256(&files[at].1);
    let text = change(std::str::from_utf8(&files[at].1).unwrap());
    files[at].1 = text.into_bytes();
    let manifest = String::from_utf8(files[0].1.clone()).unwrap().replace(&before, &sha256(&files[at].1));
    files[0].1 = manifest.into_bytes();
    let (_, problems) = read(&files);
    assert!(problems.iter().all(|problem| problem.file == files[at].0), "{problems:?}");
    problems.into_iter().map(|p| (p.line, p.item, p.rule.into_owned())).collect()
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn one(line: u64, item: &str, rule: &str) -> Vec<(u64, String, String)> {
    vec![(line, item.to_owned(), rule.to_owned())]
}

#[test]
fn faults_of_a_value_are_told_like_in_csv() {
    let changed = |from: &'static str, to: &'static str| {
        move |text: &str| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        }
    };
    let date = changed("\"生年月日\":\"19410503\"", "\"生年月日\":\"19410532\"");
    assert_eq!(told("INSURED", date), one(2, "生年月日", "date"));
    assert_eq!(told("INSURED", changed("\"性別\":\"2\",", "")), one(2, "性別", "required"));
    assert_eq!(
        told("INSURED", changed("\"性別\":\"2\"", "\"性別\":2")),
        one(2, "性別", "json").into_iter().chain(one(2, "性別", "required")).collect::<Vec<_>>()
    );
    let unknown = changed("\"フリガナ\"", "\"ふりがな\"");
    let rules: Vec<String> = told("INSURED", unknown).into_iter().map(|(_, _, rule)| rule).collect();
    assert_eq!(rules, ["columns", "required"]);
    let twice = changed("\"性別\":\"2\"", "\"性別\":\"2\",\"性別\":\"1\"");
    assert_eq!(told("INSURED", twice), one(2, "性別", "json"));
    let number = changed("099-000-0101", "1234-5678-9018");
    assert_eq!(told("INSURED", number), one(2, "電話番号", "individual_number"));
    let hidden = changed("架空 花子", "架空\\u202e 花子");
    assert_eq!(told("INSURED", hidden), one(2, "氏名", "control"));
}

#[test]
fn faults_of_the_form_cost_their_own_row_only() {
    let rules = |change: &dyn Fn(&str) -> String| -> Vec<(u64, String)> {
        told("A3A", change).into_iter().map(|(line, _, rule)| (line, rule)).collect()
    };
    let only = |line: u64, rule: &str| vec![(line, rule.to_owned())];
    assert_eq!(rules(&|text| text.replacen("},\n", "}\n", 1)), only(3, "json"));
    assert_eq!(rules(&|text| text.replacen("}\n]", "},\n]", 1)), only(4, "json"));
    assert_eq!(rules(&|text| text.replacen("{\"保", "{{\"保", 1)), only(2, "json"));
    assert_eq!(rules(&|text| text.replacen("[\n", "[\n\n", 1)), only(2, "blank_line"));
    assert_eq!(rules(&|text| format!("{text}[]\n")), only(6, "json"));
    // Cut in the middle of a row: the row, the missing bracket, and one row less than announced.
    let cut = rules(&|text| text[..text.char_indices().nth(text.chars().count() - 40).unwrap().0].to_owned());
    assert_eq!(cut.iter().map(|(_, rule)| rule.as_str()).collect::<Vec<_>>(), ["json", "cut"]);
    // Not one object a line: told once, the package is refused.
    let flat = rules(&|text| text.replace('\n', ""));
    assert!(flat.iter().any(|(line, rule)| *line == 1 && rule == "header"), "{flat:?}");
}

#[test]
fn of_a_row_that_may_be_another_insurers_nothing_is_quoted() {
    let name = "KGKB_INSURED_990010_20261123090000_001.json".to_owned();
    let row = br#"{"\u4fdd\u967a":"990028","x":"0000000101"}"#;
    let (_, problems) = read(&vec![(name, row.to_vec())]);
    let header = problems.iter().find(|problem| problem.rule == "header").unwrap();
    assert_eq!(header.found, "{");
    assert!(problems.iter().all(|problem| !format!("{problem:?}").contains("0000000101")), "{problems:?}");
}

#[test]
fn json_is_utf_8_and_a_package_has_one_manifest() {
    let mut files = json();
    files[0].1 = String::from_utf8(files[0].1.clone()).unwrap().replacen("UTF-8", "CP932", 1).into_bytes();
    let (_, problems) = read(&files);
    assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["encoding"]);
    assert!(problems.iter().all(municipal::refuses_package));
    let mut both = json();
    both.push(example().remove(0));
    let (_, problems) = read(&both);
    assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["duplicate_file"]);
}

#[test]
fn a_mixed_package_may_hold_csv_and_json() {
    let made = "2026-04-01T00:00:00Z".parse().unwrap();
    let (rows, _) = read(&example());
    let people: Vec<Entry<_>> = rows
        .iter()
        .filter_map(|row| match &row.value {
            MunicipalValue::Insured(value) => {
                Some(Entry { key: row.key, history: row.history, change: row.change, value: (**value).clone() })
            }
            _ => None,
        })
        .collect();
    let (first, rest) = people.split_at(1);
    let package = MunicipalPackage::new(rows[0].key.insurer, made).encoding(Encoding::Cp932).insured(first);
    let files = package.json().insured(rest).finish().unwrap();
    let (again, problems) = read(&files);
    assert_eq!((again.len(), problems.len()), (people.len(), 0), "{problems:?}");
}
