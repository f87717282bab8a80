//! `kiban keys` as a real process: a change of the master key killed anywhere, shares that give a lost home back, a check
//! that names what does not open, and a process that leaves no core.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::database::{self, Database};
use support::server::{Place, can_trace, serve};
use support::town::Town;

const PEOPLE: u32 = 12;

fn kiban(home: &Path, database: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    command.args(arguments).arg("--home").arg(home);
    if let Some(database) = database {
        command.args(["--db", database]);
    }
    command.output().unwrap()
}

#[track_caller]
fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

async fn town(folder: &Path, database: Option<&str>) -> PathBuf {
    let home = folder.join("home");
    Town::build(&home, database, PEOPLE).await;
    home
}

/// Kills `kiban keys rotate-master` at its N-th call of some kind, N = 1, 2, 3, …; after each kill the home opens, and the next
/// run goes on.
fn kill_rotations(home: &Path, database: Option<&str>, calls: &str, first: usize, step: usize) -> usize {
    let mut kills = 0;
    let mut n = first;
    loop {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:signal=SIGKILL:when={n}")]);
        strace.arg(env!("CARGO_BIN_EXE_kiban")).args(["keys", "rotate-master", "--home"]).arg(home);
        if let Some(database) = database {
            strace.args(["--db", database]);
        }
        let output = strace.output().unwrap();
        let done = output.status.success();
        let verified = said(&kiban(home, database, &["keys", "verify"]));
        assert!(verified.contains("開けない組 0"), "killed at {calls} {n}: {verified}");
        if done && String::from_utf8_lossy(&output.stdout).contains("終えました") {
            // Only the rest of a change that was killed: the next run is a whole one.
            continue;
        }
        if done {
            return kills;
        }
        kills += 1;
        n += step;
    }
}

async fn a_change_killed_anywhere(database: Option<&str>, calls: &[(&str, usize, usize)]) {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = town(folder.path(), database).await;
    let mut kills = 0;
    for (calls, first, step) in calls {
        kills += kill_rotations(&home, database, calls, *first, *step);
    }
    assert!(kills > 10, "{kills}");
    // Whatever was begun is ended by one more run, and a server serves it.
    said(&kiban(&home, database, &["keys", "rotate-master"]));
    assert!(!home.join("master.key.new").exists());
    let place = Place { home: home.clone(), database: database.map(str::to_owned), log: folder.path().join("log") };
    assert!(serve(&place).await.stop().await.success());
    println!("a change of the master key: killed {kills} times, open each time");
}

#[test]
fn a_change_of_the_master_key_killed_anywhere_leaves_a_home_that_opens() {
    let files = "rename,renameat,renameat2,link,linkat,unlink,unlinkat";
    support::run(a_change_killed_anywhere(None, &[(files, 1, 1), ("fsync,fdatasync", 1, 1), ("pwrite64", 1, 7)]));
}

#[test]
fn a_change_of_the_master_key_killed_anywhere_leaves_a_home_that_opens_on_postgresql() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    support::run(async {
        let name = format!("kiban_keys_{}", std::process::id());
        let database = database::create(&server, &name, None).await;
        let files = "rename,renameat,renameat2,link,linkat,unlink,unlinkat";
        a_change_killed_anywhere(Some(&database), &[(files, 1, 1), ("fsync,fdatasync", 1, 1), ("sendto", 20, 9)]).await;
        database::drop_database(&server, &name).await;
    });
}

#[test]
fn two_of_three_shares_give_a_lost_home_its_keys_back() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = town(folder.path(), None).await;
        let shares = folder.path().join("shares");
        let to = shares.display().to_string();
        let told = said(&kiban(&home, None, &["keys", "split", "--shares", "3", "--needed", "2", "--to", &to]));
        assert!(told.contains("2 枚で元に戻せます"), "{told}");
        let mut files: Vec<_> = std::fs::read_dir(&shares).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3);
        let secret = std::fs::read_to_string(home.join("master.key")).unwrap();
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(!text.contains(secret.split_whitespace().nth(1).unwrap()), "a share is not the key");
        }
        // The machine is lost; there are a backup of the database, the anchors and the register, and two people.
        let restored = folder.path().join("restored");
        let texts: Vec<_> = files.iter().map(|file| file.to_str().unwrap().to_owned()).collect();
        let combine = |some: &[&String]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
            command.args(["keys", "combine"]).args(some).arg("--to").arg(&restored).output().unwrap()
        };
        let one = combine(&[&texts[0]]);
        assert!(!one.status.success() && String::from_utf8_lossy(&one.stderr).contains("必要 2枚、あるのは 1枚"));
        said(&combine(&[&texts[2], &texts[0]]));
        let again = combine(&[&texts[2], &texts[0]]);
        assert!(!again.status.success(), "nothing is replaced");
        Town::copy_folder(&home.join("anchors"), &restored.join("anchors"));
        for file in ["kiban.db", "ca/ca.pem", "ca/register.tsv"] {
            std::fs::copy(home.join(file), restored.join(file)).unwrap();
        }
        assert!(said(&kiban(&restored, None, &["keys", "verify"])).contains("開けない組 0"));
        assert!(said(&kiban(&restored, None, &["audit", "verify"])).contains("改ざん・欠落はありません"));
        said(&kiban(&restored, None, &["ca", "list"]));
        let place = Place { home: restored, database: None, log: folder.path().join("log") };
        assert!(serve(&place).await.stop().await.success());
    });
}

#[test]
fn data_keys_are_changed_sealed_anew_and_checked_from_the_command_line() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = town(folder.path(), None).await;
        let owners = said(&kiban(&home, None, &["keys", "rotate-data"]));
        assert!(owners.contains("基盤") && owners.contains("保険者"), "{owners}");
        let resealed = said(&kiban(&home, None, &["keys", "reseal"]));
        assert!(resealed.contains("残っています"), "others may not know yet: {resealed}");
        said(&kiban(&home, None, &["keys", "rotate-index"]));
        said(&kiban(&home, None, &["keys", "reindex"]));
        let verified = said(&kiban(&home, None, &["keys", "verify"]));
        assert!(verified.contains("開けない組 0"), "{verified}");
        assert!(
            verified.contains("開きました: 保険者") && verified.contains("person 世代2、record 世代2"),
            "{verified}"
        );
        assert!(said(&kiban(&home, None, &["audit", "verify"])).contains("改ざん・欠落はありません"));
        let address = format!("sqlite:{}", home.join("kiban.db").display());
        let mut database = Database::open(&address).await;
        let old = "SELECT count(*) || '' FROM record WHERE substr(payload, 2, 4) = x'00000001'";
        assert_eq!(database.rows(old).await, [["0"]]);
        database.run("UPDATE record SET creator = 'operator'").await;
        database.close().await;
        let broken = kiban(&home, None, &["keys", "verify"]);
        let told = String::from_utf8_lossy(&broken.stdout).into_owned();
        assert!(
            !broken.status.success() && told.contains("開けません: 保険者") && told.contains("record 世代2"),
            "{told}"
        );
        let wrong = folder.path().join("wrong");
        Town::copy_folder(&home, &wrong);
        std::fs::remove_file(wrong.join("master.key")).unwrap();
        kiban_store::MasterKey::load_or_create(&wrong.join("master.key")).unwrap();
        let told = kiban(&wrong, None, &["keys", "verify"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(!told.status.success() && text.contains("開けません: 基盤（data_key (seal) 世代1"), "{text}");
    });
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt as _;
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = town(folder.path(), None).await;
        for (key, arguments) in
            [("master.key", ["keys", "verify"]), ("anchor.key", ["audit", "verify"]), ("ca/ca.key", ["ca", "list"])]
        {
            let path = home.join(key);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            let refused = kiban(&home, None, &arguments);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && told.contains(&format!("chmod 600 {}", path.display())), "{told}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            said(&kiban(&home, None, &arguments));
        }
    });
}

#[test]
fn a_server_leaves_no_core() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = town(folder.path(), None).await;
        let place = Place { home, database: None, log: folder.path().join("log") };
        let server = serve(&place).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
        assert!(server.stop().await.success());
    });
}
