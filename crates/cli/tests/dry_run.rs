//! `kiban import --dry-run` as an operator runs it (P-130).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use kiban_sim::city_package;
use std::path::Path;
use std::process::Command;
use support::town::Town;

/// Exit code and everything it said.
fn import(home: &Path, insurer: &str, arguments: &[&str], package: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban"))
        .args(["import", "--insurer", insurer, "--home"])
        .arg(home)
        .args(arguments)
        .arg(package)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_package_of_everything_is_tried_and_what_it_lacks_is_in_the_result_file() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let town = Town::build(&home, None, 40).await;
        let mut city = town.city.clone();
        let gone = city.people.pop().unwrap().insured.key.insured;
        let package = folder.path().join("全件");
        std::fs::create_dir(&package).unwrap();
        for (name, bytes) in city_package(&city).unwrap() {
            std::fs::write(package.join(name), bytes).unwrap();
        }
        let result = folder.path().join("結果.csv");
        let arguments = ["--dry-run", "--full", "--result", result.to_str().unwrap()];
        let insurer = town.city.insurer.to_string();
        let (good, said) = import(&home, &insurer, &arguments, &package);
        assert!(good && said.contains("何も反映していません"), "{said}");
        assert!(said.contains("INSURED: 新規 0、変更 0、削除 0、変更なし 39、不採用 0"), "{said}");
        assert!(said.contains(&format!("{gone} INSURED")), "{said}");
        let csv = std::fs::read_to_string(&result).unwrap();
        assert!(
            csv.contains(&format!(
                "不足,INSURED,,,,missing,基盤にあり、このパッケージにありません: 被保険者番号 {gone}"
            ))
        );
        // Without the package nothing says so.
        let (good, said) = import(&home, &insurer, &["--full"], &package);
        assert!(!good && said.contains("--dry-run"), "{said}");
    });
}
