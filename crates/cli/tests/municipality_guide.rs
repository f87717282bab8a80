//! `docs/municipality.md` says nothing that is not so: its columns, its example rows, its commands, its rules, its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

use kiban_formats::layout::{self, FileLayout};
use kiban_formats::municipal::{MOST_ROWS, MunicipalKind, check_files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn guide() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/municipality.md");
    std::fs::read_to_string(path).unwrap()
}

fn layout_of(code: &str) -> &'static FileLayout {
    layout::municipal().file(code).unwrap_or_else(|| panic!("no file {code}"))
}

/// The lines of the blocks of code.
fn code(guide: &str) -> Vec<&str> {
    guide.split("```").skip(1).step_by(2).flat_map(str::lines).collect()
}

/// Names of the first columns of a file.
fn columns(layout: &FileLayout, count: usize) -> Vec<&str> {
    layout.items.iter().take(count).map(|item| item.name).collect()
}

#[test]
fn every_heading_it_shows_is_the_one_of_the_program() {
    let guide = guide();
    let code = code(&guide);
    let mut shown = 0;
    for line in
        code.iter().filter(|line| line.starts_with("保険者番号,被保険者番号,") || line.starts_with("プロファイル版,"))
    {
        let names: Vec<&str> = line.split(',').collect();
        let is_it = |layout: &FileLayout| columns(layout, names.len()) == names;
        let file = layout::municipal().files.iter().find(|layout| is_it(layout));
        assert!(file.is_some(), "no file begins with the columns {line}");
        let left = &file.unwrap().items[names.len()..];
        assert!(left.iter().all(|item| item.required == layout::Required::Added), "{line} leaves out what is needed");
        shown += 1;
    }
    assert!(shown >= 2, "{shown}");
    // Items of a row in JSON.
    for line in code.iter().filter(|line| line.starts_with("{\"保険者番号\":\"990010\"")) {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let rates = layout_of("A3B");
        for name in row.keys() {
            assert!(rates.items.iter().any(|item| item.name == *name), "{name} is no item of A3B");
        }
        shown += 1;
    }
    assert!(shown >= 3, "the row in JSON is gone");
}

/// Kind and text of a row that stands in a block: behind the kind, which may have a word before it.
fn example_row(line: &str) -> Option<(MunicipalKind, &str)> {
    let at = line.find("990010,")?;
    let kind = MunicipalKind::from_code(line[..at].split_whitespace().last()?)?;
    Some((kind, line[at..].trim_end()))
}

#[test]
fn every_example_row_is_read_without_an_error_and_has_the_columns_that_are_told() {
    let guide = guide();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in code(&guide) {
        let Some((kind, row)) = example_row(line) else { continue };
        if row.contains("（直した全項目）") {
            continue;
        }
        let layout = layout_of(kind.code());
        // The card of somebody without one is shown as far as anything stands in it; the rest of its 61 columns is empty.
        let row = match row.split_once("（以下すべて空。") {
            Some((begin, rest)) => {
                let count: usize = rest.split_once("を省いた").unwrap().1.split_once('列').unwrap().0.parse().unwrap();
                format!("{begin}{}", ",".repeat(count - 1 - begin.matches(',').count()))
            }
            None => row.to_owned(),
        };
        let count = row.matches(',').count() + 1;
        let left = &layout.items[count..];
        assert!(left.iter().all(|item| item.required == layout::Required::Added), "{line}: {count} columns");
        let text = format!("{}\r\n{row}\r\n", columns(layout, count).join(","));
        let files = vec![(format!("KGKB_{}_990010_20280401090000_001.csv", kind.code()), text.into_bytes())];
        let mut rows = 0;
        let problems = check_files(&files, &mut |_| rows += 1).unwrap();
        // One row stands for a refusal that the text tells.
        assert!(problems.iter().all(|problem| !problem.is_error()), "{line}: {problems:?}");
        assert_eq!(rows, 1, "{line}");
        *seen.entry(kind.code()).or_default() += 1;
    }
    let kinds: Vec<&str> = seen.keys().copied().collect();
    assert_eq!(kinds, ["A3A", "A3B", "A5", "CONSENT", "INSURED", "LINK"], "{seen:?}");
    // The words between them that count columns.
    for (words, kind) in [("までの27列", "A5"), ("までの15列", "CONSENT")] {
        let before = guide.split_once(words).unwrap_or_else(|| panic!("{words} is gone")).0;
        let name = before.rsplit_once('「').unwrap().1.trim_end_matches('」');
        let count: usize = words.trim_start_matches("までの").trim_end_matches('列').parse().unwrap();
        assert_eq!(layout_of(kind).items[count - 1].name, name, "{kind}");
    }
}

#[test]
fn kinds_and_limits_are_those_of_the_program() {
    let guide = guide();
    let kinds: Vec<&str> = MunicipalKind::ALL.iter().map(|kind| kind.code()).collect();
    assert!(guide.contains(&format!("（{}）に読む", kinds.join("、"))), "{kinds:?}");
    let ten_thousands = |rows: u64| format!("{}万行", rows / 10_000);
    let (most, of_kind) = (MOST_ROWS, MunicipalKind::Insured.most_rows());
    let of_uses = MunicipalKind::HomeModification.most_rows();
    let told = format!(
        "合わせて {}、1つの種別で {}（E1・E2 は {}）まで",
        ten_thousands(most),
        ten_thousands(of_kind),
        ten_thousands(of_uses)
    );
    assert!(guide.contains(&told), "{told}");
    assert_eq!(MunicipalKind::EquipmentPurchase.most_rows(), of_uses);
}

/// The sources of two crates in one text.
fn sources() -> String {
    let mut text = String::new();
    for name in ["formats", "service"] {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    text += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn every_rule_it_explains_is_one_of_the_program() {
    let guide = guide();
    let table = guide.split_once("### 11.2").unwrap().1.split_once("\n## ").unwrap().0;
    let sources = sources();
    let mut rules = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let first = line.split('|').nth(1).unwrap();
        rules.extend(first.split('`').skip(1).step_by(2));
    }
    assert!(rules.len() > 35, "{rules:?}");
    for rule in rules {
        assert!(sources.contains(&format!("\"{rule}\"")), "no rule {rule}");
    }
}

/// What a command says of itself; nothing when there is none of this name.
fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban")).args(words).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_it_names_exists_with_its_options() {
    let guide = guide();
    let in_text = guide.split('`').filter(|text| text.starts_with("kiban ") && !text.contains('\n'));
    let in_code = code(&guide).into_iter().filter_map(|line| line.find("kiban ").map(|at| &line[at..]));
    let in_code = in_code.filter(|line| !line.contains("install") && !line.starts_with("kiban /"));
    let mut seen = BTreeSet::new();
    for line in in_text.chain(in_code) {
        let line = line.split('#').next().unwrap().split('（').next().unwrap();
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        let mut path: Vec<&str> = words.iter().take_while(is_name).copied().collect();
        // What follows a command may be a value: the longest beginning that is a command.
        while !path.is_empty() && help(&path).is_none() {
            path.pop();
        }
        assert!(!path.is_empty(), "no command: {line}");
        let said = help(&path).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(said.contains(&format!("{option} ")) || said.contains(&format!("{option}\n")), "{option}: {line}");
        }
        seen.insert(path.join(" "));
    }
    for name in ["check", "import", "connect", "sim", "ca issue", "operate start", "operate retry"] {
        assert!(seen.contains(name), "{name} is not named any more: {seen:?}");
    }
}
