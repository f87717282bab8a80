//! `kiban demo --check` as somebody runs it, and `kiban audit verify` over what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use std::path::Path;
use std::process::{Command, Output};
use support::database::{self, Database};

fn kiban(arguments: &[&str], temporary: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiban")).args(arguments).env("TMPDIR", temporary).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 0, nothing on the standard error.
fn require_good(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    out
}

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let out = require_good(&kiban(&["demo", "--check", "--people", "200"], temporary.path()));
    assert!(out.contains("実演は最後まで期待どおりに進みました"), "{out}");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demo_ends_well_on_postgresql() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let name = format!("kiban_demo_{}", std::process::id());
    let database = support::run(database::create(&server, &name, None));
    let output = kiban(&["demo", "--check", "--people", "200", "--db", &database], temporary.path());
    support::run(database::drop_database(&server, &name));
    assert!(require_good(&output).contains("実演は最後まで期待どおりに進みました"));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_ends_well_as_the_role_that_can_change_nothing_recorded() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let name = format!("kiban_roles_{}", std::process::id());
    let owner = support::run(database::create(&server, &name, None));
    let app = owner.replacen("kiban@", "kiban_app@", 1);
    let demo = || kiban(&["demo", "--check", "--people", "200", "--db", &app], temporary.path());
    let too_early = demo();
    let migrated = kiban(&["migrate", "--roles", "--db", &owner], temporary.path());
    let again = kiban(&["migrate", "--db", &owner], temporary.path());
    let output = demo();
    support::run(database::drop_database(&server, &name));
    assert!(!too_early.status.success());
    assert!(require_good(&migrated).contains("権限を付けたロール: kiban_app、kiban_purge"));
    assert!(require_good(&again).contains("データベースは最新です"));
    assert!(require_good(&output).contains("実演は最後まで期待どおりに進みました"));
}

#[test]
fn the_log_of_the_demo_is_proved_offline_and_an_altered_entry_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("kept");
    let home_text = home.to_str().unwrap();
    require_good(&kiban(&["demo", "--check", "--people", "200", "--keep", home_text], temporary.path()));
    let verify = || kiban(&["audit", "--home", home_text, "verify"], temporary.path());
    let out = require_good(&verify());
    assert!(out.contains("改ざん・欠落はありません"), "{out}");
    let key = require_good(&kiban(&["audit", "--home", home_text, "key"], temporary.path()));
    assert!(key.trim_end().len() == 64 && key.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let purge = |before: &str| {
        let staff = ["--approve", "operator/chief"];
        kiban(&[&["audit", "--home", home_text, "purge", "--before", before], &staff[..]].concat(), temporary.path())
    };
    assert!(require_good(&purge("2018-01")).contains("対象になる記録はありません"));
    let refused = purge("2999-12");
    assert!(!refused.status.success() && text(&refused.stderr).contains("保存期間の中"), "{}", text(&refused.stderr));

    let address = format!("sqlite:{}", home.join("kiban.db").display());
    let (place, refused) = support::run(async {
        let mut database = Database::open(&address).await;
        let sql = "SELECT CAST(writer AS TEXT), CAST(segment AS TEXT), CAST(n AS TEXT) FROM audit \
                   WHERE outcome = 'refused' AND insured_number IS NOT NULL ORDER BY at LIMIT 1";
        let entry = database.rows(sql).await.remove(0);
        let alter = format!(
            "UPDATE audit SET outcome = 'allowed' WHERE writer = {} AND segment = {} AND n = {}",
            entry[0], entry[1], entry[2]
        );
        let changed = database.run(&alter).await;
        database.close().await;
        (format!("{:016x}/{}/{}", entry[0].parse::<i64>().unwrap(), entry[1], entry[2]), changed)
    });
    assert_eq!(refused, 1);
    let output = verify();
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let named: Vec<_> = out.lines().filter(|line| line.starts_with("相違: ")).collect();
    assert_eq!(named, [format!("相違: {place} altered")], "{out}");
}
