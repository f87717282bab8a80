//! The small city under `examples/municipal`, in CSV and JSON, and faulty packages made from it. `UPDATE_EXPECTED=1` writes
//! the folders anew; otherwise they are compared.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use jiff::civil::date;
use kiban_formats::municipal::{self, MANIFEST_JSON};
use kiban_sim::files::Files;
use kiban_sim::{City, CitySpec, city_package, city_package_json};
use std::fs;
use std::path::{Path, PathBuf};

fn city(people: u32) -> City {
    City::generate(&CitySpec::sample(1, people, date(2026, 11, 22)).unwrap())
}

fn folder(sub: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/municipal").join(sub)
}

/// Compares a folder with what it should hold, or writes it.
fn assert_folder(folder: &Path, files: &Files) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let held = fs::read_dir(folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name != "expected.txt"
    });
    assert_eq!(held.count(), files.len(), "{}", folder.display());
    for (name, bytes) in files {
        assert!(fs::read(folder.join(name)).is_ok_and(|found| found == *bytes), "{} {name}", folder.display());
    }
}

#[test]
fn the_small_city_is_there_in_csv_and_in_json() {
    for (name, files) in
        [("city", city_package(&city(12)).unwrap()), ("city-json", city_package_json(&city(12)).unwrap())]
    {
        assert_folder(&folder("valid").join(name), &files);
        let mut kinds = std::collections::BTreeSet::new();
        let problems = municipal::open(files).check(&mut |row| {
            kinds.insert(row.file.split('_').nth(1).unwrap().to_owned());
        });
        assert!(problems.is_empty(), "{problems:?}");
        for kind in ["A1", "A2", "A3A", "A3B", "A4", "A5", "CONSENT", "INSURED"] {
            assert!(kinds.contains(kind), "{kind} {kinds:?}");
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The city in JSON with one file changed, its digest in the manifest right.
fn changed(kind: &str, change: impl Fn(&str) -> Vec<u8>) -> Files {
    let mut files = city_package_json(&city(5)).unwrap();
    let at = files.iter().position(|(name, _)| name.starts_with(&format!("KGKB_{kind}_"))).unwrap();
    let before = sha256(&files[at].1);
    files[at].1 = change(std::str::from_utf8(&files[at].1).unwrap());
    let after = sha256(&files[at].1);
    let manifest = files.iter_mut().find(|(name, _)| name == MANIFEST_JSON).unwrap();
    manifest.1 = String::from_utf8(manifest.1.clone()).unwrap().replace(&before, &after).into_bytes();
    files
}

/// With the value of an item of the first row replaced.
fn with(kind: &str, item: &str, value: &str) -> Files {
    changed(kind, |text| {
        let start = text.find(&format!("\"{item}\":\"")).unwrap_or_else(|| panic!("no {item}")) + item.len() + 4;
        let end = start + text[start..].find('"').unwrap();
        format!("{}{value}{}", &text[..start], &text[end..]).into_bytes()
    })
}

fn faulty() -> Vec<(&'static str, Files)> {
    vec![
        ("json-cut", changed("A4", |text| text.as_bytes()[..text.len() - 300].to_vec())),
        ("json-unknown-item", changed("A5", |text| text.replacen("\"申請区分\"", "\"申請種別\"", 1).into_bytes())),
        ("json-number", changed("A3B", |text| text.replacen("\"負担割合1\":\"1\"", "\"負担割合1\":1", 1).into_bytes())),
        (
            "json-wrong-encoding",
            changed("A2", |text| {
                let mut bytes = text.as_bytes().to_vec();
                let at = bytes.windows(6).position(|w| w == "見本".as_bytes()).unwrap();
                bytes[at] = 0xff;
                bytes
            }),
        ),
        ("survey-before-application", with("A1", "実施日", "20200101")),
        ("survey-unknown-choice", with("A1", "1-3 寝返り", "9")),
        ("opinion-examined-after-writing", with("A2", "最終診察日", "20261122")),
        ("consent-before-application", with("A4", "同意日", "20200101")),
        ("json-individual-number", with("A4", "医療保険番号", "1234-5678-9018")),
    ]
}

#[test]
fn each_fault_of_the_small_city_gives_its_list_of_problems() {
    for (name, files) in faulty() {
        let folder = folder("bad").join(name);
        assert_folder(&folder, &files);
        let mut rows = 0;
        let problems = municipal::open(files).check(&mut |_| rows += 1);
        let mut found = String::new();
        for problem in &problems {
            let severity = if problem.is_error() { "error" } else { "warning" };
            found += &format!("{severity} {} {}\n", problem.rule, problem.message_ja());
        }
        found += &format!("rows {rows}\n");
        assert!(problems.iter().any(kiban_formats::Problem::is_error) && !found.contains("5678-9018"), "{name}");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(folder.join("expected.txt"), &found).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("expected.txt")).unwrap_or_default(), found, "{name}");
    }
}
