//! The certificate register after crashes, damage and several writers at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use kiban_domain::Organization;
use kiban_pki::{Ca, Error, Reason};
use tempfile::TempDir;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn new_ca(dir: &Path) -> Ca {
    Ca::init(dir, "試験認証局", now()).unwrap()
}

fn add(dir: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(dir.join("register.tsv")).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_cut_off_last_line_is_reported_ignored_and_gone_after_the_next_issue() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    let first = new_ca(&dir).issue_client(Organization::Operator, "t1", 1, now()).unwrap();
    add(&dir, b"issued\t2026-06-01T00:00:00Z\t4f00");

    let ca = Ca::open(&dir).unwrap();
    assert_eq!(ca.torn_line(), Some("issued\t2026-06-01T00:00:00Z\t4f00"));
    assert_eq!(ca.list().unwrap().len(), 1);

    let second = ca.issue_client(Organization::Operator, "t2", 1, now()).unwrap();
    let reopened = Ca::open(&dir).unwrap();
    assert_eq!(reopened.torn_line(), None);
    let serials: Vec<_> = reopened.list().unwrap().into_iter().map(|e| e.serial).collect();
    assert_eq!(serials, [first.serial, second.serial]);
}

#[test]
fn a_whole_register_cut_at_every_byte_never_loses_an_earlier_line() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    let ca = new_ca(&dir);
    let first = ca.issue_client(Organization::Operator, "t1", 1, now()).unwrap();
    let kept = fs::metadata(dir.join("register.tsv")).unwrap().len() as usize;
    ca.revoke(&first.serial, Reason::Superseded, now()).unwrap();
    let all = fs::read(dir.join("register.tsv")).unwrap();
    for cut in kept..all.len() {
        fs::write(dir.join("register.tsv"), &all[..cut]).unwrap();
        let list = ca.list().unwrap();
        assert_eq!(list.len(), 1, "cut at {cut}");
        assert!(list[0].revoked.is_none());
    }
}

#[test]
fn damage_before_the_last_line_is_refused_and_located() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    let ca = new_ca(&dir);
    let issued = ca.issue_client(Organization::Operator, "t", 1, now()).unwrap();
    let good = fs::read_to_string(dir.join("register.tsv")).unwrap();
    let revoked_before_issue = format!("revoked\t2026-06-01T00:00:00Z\t{}\tsuperseded\n{good}", issued.serial);
    for (text, line) in [
        (format!("{good}\n"), 2),
        (format!("{good}issued\tx\n{good}"), 2),
        (format!("{good}{good}"), 2),
        (revoked_before_issue, 1),
        (good.replace("operator\t", "operater\t"), 1),
    ] {
        fs::write(dir.join("register.tsv"), &text).unwrap();
        match Ca::open(&dir) {
            Err(Error::RegisterDamaged { line: found }) => assert_eq!(found, line, "{text:?}"),
            other => panic!("{text:?} gave {other:?}"),
        }
    }
}

#[test]
fn no_certificate_without_its_line() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    let ca = new_ca(&dir);
    fs::remove_file(dir.join("register.tsv")).unwrap();
    fs::create_dir(dir.join("register.tsv")).unwrap();
    assert!(matches!(ca.issue_client(Organization::Operator, "t", 1, now()), Err(Error::File { .. })));
}

#[test]
fn several_writers_at_once_lose_nothing() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    new_ca(&dir);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let ca = Ca::open(&dir).unwrap();
                for _ in 0..10 {
                    let serial = ca.issue_client(Organization::Operator, "t", 1, now()).unwrap().serial;
                    ca.revoke(&serial, Reason::Superseded, now()).unwrap();
                }
            });
        }
    });
    let list = Ca::open(&dir).unwrap().list().unwrap();
    assert_eq!(list.len(), 40);
    assert!(list.iter().all(|e| e.revoked.is_some()));
}

/// Runs only as a child of the next test: issues for ever and prints each serial number once it has the certificate.
#[test]
fn child_issues_until_killed() {
    let Ok(dir) = std::env::var("KIBAN_PKI_TEST_CA") else { return };
    let ca = Ca::open(Path::new(&dir)).unwrap();
    loop {
        let issued = ca.issue_client(Organization::Operator, "t", 1, now()).unwrap();
        println!("serial {}", issued.serial);
    }
}

#[test]
fn every_certificate_handed_out_before_a_kill_is_in_the_register() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("ca");
    new_ca(&dir);
    let mut handed_out = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_issues_until_killed", "--nocapture"])
            .env("KIBAN_PKI_TEST_CA", &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut of_this_round = 0;
        for line in lines {
            // The first line may be printed behind the name of the test.
            if let Some(at) = line.find("serial ").filter(|at| line.len() == at + 39) {
                handed_out.push(line[at + 7..].to_owned());
                of_this_round += 1;
                if of_this_round == 3 * round {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(of_this_round >= 3 * round);
        let known: Vec<_> = Ca::open(&dir).unwrap().list().unwrap().into_iter().map(|e| e.serial).collect();
        assert!(handed_out.iter().all(|serial| known.contains(serial)), "round {round}");
    }
}
