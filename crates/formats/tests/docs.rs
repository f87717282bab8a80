//! `docs/files.md` shows the item tables as the program knows them (`UPDATE_EXPECTED=1` writes them anew), `docs/changes.md`
//! the versions.

use kiban_formats::care_plan::{self, CsvVersion};
use kiban_formats::layout::{self, FileLayout, Required};
use kiban_formats::municipal;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn table(layout: &FileLayout) -> String {
    let mut out = String::from("| No. | 項目 | 種別 | 桁 | 必須 | コード・備考 |\n|---|---|---|---|---|---|\n");
    for item in &layout.items {
        let required = match item.required {
            Required::Always => "必須",
            Required::Probably => "空なら警告",
            Required::Conditional => "条件",
            Required::No => "",
            Required::Added => "省略可",
        };
        let codes: Vec<String> = item.codes.iter().map(|(code, name)| format!("{code} {name}")).collect();
        let remark = [codes.join("、"), item.note.to_owned()];
        let remark: Vec<&str> = remark.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let len = item.max_len.map(|len| len.to_string()).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {len} | {required} | {} |",
            item.no,
            item.name,
            item.kind.name_ja(),
            remark.join("。")
        );
    }
    out
}

#[test]
fn the_item_tables_of_the_document_are_those_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/files.md");
    let mut text = fs::read_to_string(&path).unwrap();
    for set in layout::all() {
        for file in &set.files {
            let begin = format!("<!-- items {} {} -->\n", set.name, file.file);
            let start = text.find(&begin).unwrap_or_else(|| panic!("{begin} is missing")) + begin.len();
            let end = start + text[start..].find("<!-- end -->").unwrap();
            if std::env::var_os("UPDATE_EXPECTED").is_some() {
                text.replace_range(start..end, &table(file));
            } else {
                assert_eq!(&text[start..end], table(file), "{}", file.file);
            }
        }
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, text).unwrap();
    }
}

/// The change log: blocks by day, the newest first, and every version that is read or written today is named in one.
#[test]
fn the_change_log_has_dated_blocks_and_names_every_version() {
    let changes = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/changes.md")).unwrap();
    let blocks = changes.split("\n## ").skip(1).filter(|block| !block.starts_with("約束"));
    let days: Vec<jiff::civil::Date> = blocks.map(|block| block.get(..10).unwrap().parse().unwrap()).collect();
    assert!(days.len() >= 2 && days.is_sorted_by(|newer, older| newer >= older), "{days:?}");
    let mut versions: Vec<String> = CsvVersion::ALL.iter().map(|version| version.code().to_owned()).collect();
    versions.extend([municipal::PROFILE.to_owned(), care_plan::JSON_FORMAT.to_owned(), "KGSP-1".to_owned()]);
    for version in versions {
        assert!(changes.contains(&version), "{version}");
    }
}
