//! `kiban operate union` as an operator types it (P-038).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use kiban_domain::{InsurerNumber, dates};
use kiban_pki::Ca;
use std::path::Path;
use std::process::Command;
use support::home::{Home, now};

const HEAD: &str = "広域連合の保険者番号,構成市町村の保険者番号,加入日,最後の日\r\n";

/// Whether it went well, and everything it said.
fn union(home: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban"))
        .args(["operate", "union"])
        .args(arguments)
        .arg("--home")
        .arg(home)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Who pays for a card today, and what the log holds of memberships.
async fn seen(home: &Path, card: &str) -> (String, Vec<String>) {
    let platform = Home::open(home, None).unwrap().platform().await.unwrap();
    let today = dates::day_in_japan(now());
    let payer = platform.standing().paying_insurer(InsurerNumber::parse(card).unwrap(), today).to_string();
    let entries = platform.store().audit().of_organization("operator", 50, None).await.unwrap();
    let mut actions: Vec<String> = entries.into_iter().map(|entry| entry.action).collect();
    actions.retain(|action| action.starts_with("union_member"));
    platform.store().clone().close().await.unwrap();
    (payer, actions)
}

#[test]
fn an_operator_registers_lists_and_removes_the_members_of_a_union() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        Ca::init(&Home::create(&home, None).unwrap().ca_dir(), "test", now()).unwrap();
        let (good, said) = union(&home, &["add", "990010", "232074", "--from", "平成30年4月1日"]);
        assert!(good && said.contains("豊川市") && said.contains("平成30年4月1日から"), "{said}");
        assert_eq!(union(&home, &["list"]), (true, format!("{HEAD}990010,232074,20180401,\r\n")));
        assert_eq!(seen(&home, "232074").await.0, "990010");

        for (arguments, words) in [
            (["add", "990010", "232075", "--from", "2018-04-01"], "構成市町村の保険者番号"),
            (["add", "990010", "990010", "--from", "2018-04-01"], "番号が同じです"),
            (["add", "990028", "232074", "--from", "2020-04-01"], "広域連合 990010 の構成市町村です"),
            (["remove", "990028", "232074", "--from", "2018-04-01"], "登録されていません"),
        ] {
            let (good, said) = union(&home, &arguments);
            assert!(!good && said.contains(words), "{said}");
        }
        // Its end makes way for another union.
        assert!(union(&home, &["add", "990010", "232074", "--from", "2018-04-01", "--to", "2020-03-31"]).0);
        let (good, said) = union(&home, &["add", "990028", "232074", "--from", "2020-04-01"]);
        assert!(good, "{said}");
        assert_eq!(seen(&home, "232074").await.0, "990028");
        assert!(union(&home, &["remove", "990028", "232074", "--from", "2020-04-01"]).0);
        let (payer, actions) = seen(&home, "232074").await;
        assert_eq!(payer, "232074");
        let count = |action: &str| actions.iter().filter(|a| *a == action).count();
        assert_eq!((count("union_member"), count("union_member.removed"), count("union_member.list")), (3, 1, 1));
    });
}

#[test]
fn a_file_of_members_is_registered_whole_or_told_line_by_line() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        Ca::init(&Home::create(&home, None).unwrap().ca_dir(), "test", now()).unwrap();
        let file = folder.path().join("連合.csv");
        let path = file.to_str().unwrap();
        let good = format!("{HEAD}990010,232074,20180401,\r\n990010,232116,20180401,20240331\r\n");
        let rows = ["990010,232074,20200101,", "990010,232025,20181301,"].map(|row| format!("{row}\r\n"));
        std::fs::write(&file, format!("{good}{}", rows.concat())).unwrap();
        let (done, said) = union(&home, &["import", path]);
        assert!(!done && said.contains("5行目 3列「加入日」"), "the form first: {said}");
        std::fs::write(&file, format!("{good}{}", rows[0])).unwrap();
        let (done, said) = union(&home, &["import", path]);
        assert!(!done && said.contains("連合.csv 4行目 3列「加入日」") && said.contains("重ならない"), "{said}");
        assert_eq!(union(&home, &["list"]), (true, HEAD.to_owned()), "nothing of it");
        let tabbed = folder.path().join("連合.tsv");
        std::fs::write(&tabbed, good.replace(',', "\t")).unwrap();
        let (done, said) = union(&home, &["import", tabbed.to_str().unwrap()]);
        assert!(done && said.contains("2件を登録しました"), "{said}");
        assert_eq!(union(&home, &["list"]), (true, good));
        // Again, with what it listed.
        std::fs::write(&file, union(&home, &["list"]).1).unwrap();
        assert!(union(&home, &["import", path]).0);
    });
}
