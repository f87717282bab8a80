//! `kiban demo --check` as somebody runs it, and `kiban audit verify` over what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
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
fn a_demo_that_cannot_go_on_says_why_ends_with_1_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = kiban(&["demo", "--check", "--people", "50", "--port", &port], temporary.path());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(err.contains(&port), "{err}");
    assert!(!out.contains("最後まで期待どおり"), "{out}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// The lines of the demo up to the last of its instructions.
fn told_until_ready(demo: &mut Child) -> String {
    let mut told = String::new();
    let mut lines = BufReader::new(demo.stdout.as_mut().unwrap());
    while !told.contains("/api/v1/openapi.json") {
        assert!(lines.read_line(&mut told).unwrap() > 0, "{told}");
    }
    told
}

#[test]
fn what_the_demo_prints_works_and_ctrl_c_or_sigterm_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let mut demo = Demo::start();
        let told = demo.told.replace("\\\n", " ");
        let mut calls = 0;
        for call in told.lines().map(str::trim).filter(|line| line.starts_with("curl ")) {
            let output = Command::new("sh").args(["-c", &format!("{call} -sS --fail")]).output().unwrap();
            assert!(output.status.success(), "{call}\n{}", text(&output.stderr));
            calls += 1;
        }
        assert_eq!(calls, 2, "{told}");
        // What a browser imports, and the page it opens with it.
        let after = |words: &str| told.split_once(words).unwrap().1.split_whitespace().next().unwrap().to_owned();
        let (file, page) = (after("ブラウザーに "), after("画面: "));
        let authority = file.replace("care-manager.p12", "ca.crt");
        let port = page.split(':').nth(2).unwrap().split('/').next().unwrap();
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--cacert", &authority, "--cert-type", "P12", "--cert"])
            .args([&format!("{file}:mihon-dake-no-aikotoba-2026"), "--resolve"])
            .args([&format!("office.localhost:{port}:127.0.0.1"), &page])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("ログイン"));
        Command::new("kill").args([&format!("-{signal}"), &demo.child.id().to_string()]).status().unwrap();
        assert!(demo.child.wait().unwrap().success(), "{signal}");
        assert_eq!(std::fs::read_dir(demo.temporary.path()).unwrap().count(), 0, "{signal}");
    }
}

/// A running demo, as a city's officer with curl uses it.
struct Demo {
    child: Child,
    told: String,
    temporary: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_kiban"))
            .args(["demo", "--people", "200"])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = told_until_ready(&mut child);
        Self { child, told, temporary }
    }

    /// A word of the instructions that begins so.
    fn word(&self, beginning: &str) -> &str {
        self.told.split_whitespace().find(|word| word.starts_with(beginning)).unwrap()
    }

    fn curl(&self, who: &str, arguments: &[&str]) -> (String, Value) {
        let folder = Path::new(self.word("/tmp/").trim_end_matches("にあり、パスワードは同じです）:")).to_owned();
        let folder = if folder.is_dir() { folder } else { folder.parent().unwrap().to_owned() };
        let at = |file: String| folder.join(file).to_str().unwrap().to_owned();
        let output = Command::new("curl")
            .args(["-sS", "--cacert", &at("ca.crt".to_owned())])
            .args(["--cert", &at(format!("{who}.crt")), "--key", &at(format!("{who}.key"))])
            .args(["--resolve", self.word("office.localhost:"), "-w", "\n%{http_code}"])
            .args(arguments)
            .output()
            .unwrap();
        let answer = text(&output.stdout);
        let (body, status) = answer.rsplit_once('\n').unwrap_or_else(|| panic!("{}", text(&output.stderr)));
        (status.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{status} {body}")))
    }

    fn url(&self, path: &str) -> String {
        let page = self.word("https://office.localhost");
        format!("{}{path}", page.strip_suffix("/login").unwrap())
    }

    fn token(&self, who: &str, account: &str) -> String {
        let (_, password) = self.told.split_once("\"password\":\"").unwrap();
        let password = password.split('"').next().unwrap();
        let body = format!("{{\"account\":\"{account}\",\"password\":\"{password}\"}}");
        let url = self.url("/api/v1/session");
        let (_, answer) = self.curl(who, &["-H", "Content-Type: application/json", "-d", &body, &url]);
        format!("Authorization: Bearer {}", answer["token"].as_str().unwrap())
    }

    /// Most memory it ever held, in KiB.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn end(mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    /// A test that failed leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_hundred_megabytes_of_noise_get_a_message_and_cost_neither_memory_nor_anything_known() {
    const MEGABYTES: usize = 100;
    let demo = Demo::start();
    let token = demo.token("city", "municipal_officer1");
    let planner = demo.token("care-manager", "care_manager1");
    let file = demo.temporary.path().join("noise");
    let mut state = 88_172_645_463_325_252u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(MEGABYTES << 17)
    .flatten()
    .collect();
    std::fs::write(&file, &noise).unwrap();
    let form = |name: &str| format!("file=@{};filename={name}", file.display());
    let before = demo.peak_memory();
    // A package that is right but for one file, which its manifest names with its true digest.
    let noisy = "KGKB_A3C_999003_20260401090000_002.csv";
    let digest = ring::digest::digest(&ring::digest::SHA256, &noise);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let valid = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/municipal/valid/small");
    let named = std::fs::read_to_string(valid.join("MANIFEST.csv")).unwrap();
    let head = named.lines().nth(1).unwrap().split(',').take(5).collect::<Vec<_>>().join(",");
    let manifest = demo.temporary.path().join("MANIFEST.csv");
    std::fs::write(&manifest, format!("{named}{head},{noisy},A3C,UTF-8,400000,{digest}\r\n")).unwrap();
    let whole = std::fs::read_dir(&valid).unwrap().map(|entry| entry.unwrap().path());
    let whole = whole.filter(|path| path.file_name().is_some_and(|name| name != "MANIFEST.csv")).chain([manifest]);
    let mut sent: Vec<String> = whole.map(|path| format!("file=@{}", path.display())).collect();
    sent.push(form(noisy));
    let package = demo.url("/api/v1/packages");
    let files = sent.iter().flat_map(|file| ["-F", file.as_str()]);
    let arguments: Vec<&str> = ["-H", &token].into_iter().chain(files).chain([package.as_str()]).collect();
    let (status, mut answer) = demo.curl("city", &arguments);
    assert_eq!(status, "202", "{answer}");
    let receipt = demo.url(&format!("/api/v1/receipts/{}", answer["receipt"].as_str().unwrap()));
    while matches!(answer["state"].as_str(), Some("received" | "running")) {
        answer = demo.curl("city", &["-H", &token, &receipt]).1;
    }
    assert_eq!(answer["state"], "refused", "{answer}");
    let problems = answer["report"]["problems"].as_array().unwrap();
    let located = |problem: &&Value| problem["file"] == noisy && problem["line"].as_u64() > Some(0);
    assert!(problems.iter().any(|problem| located(&problem)), "{answer}");
    assert!(problems.len() < 10_000, "the messages are capped");
    assert!(demo.peak_memory() - before < (MEGABYTES as u64) << 9, "{} KiB more", demo.peak_memory() - before);

    // Care plans of an office are small: a tenth of it.
    std::fs::write(&file, &noise[..noise.len() / 10]).unwrap();
    let (name, plans) = ("UP1KYO_9970000011_43_9970000029_11_20261101000002.CSV", demo.url("/api/v1/plans"));
    let (status, answer) = demo.curl("care-manager", &["-H", &planner, "-F", &form(name), &plans]);
    assert_eq!(status, "422", "{answer}");
    let problems = answer["result"]["report"]["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["file"] == name && problem["line"].as_u64() > Some(0)), "{answer}");
    let (status, answer) = demo.curl("city", &["-H", &token, &demo.url("/api/v1/inbox")]);
    assert_eq!(status, "200", "{answer}");
    demo.end();
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
fn the_demos_city_moves_to_postgresql_and_its_log_goes_on_there() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("kept");
    let home = home.to_str().unwrap();
    require_good(&kiban(&["demo", "--check", "--people", "200", "--keep", home], temporary.path()));
    let name = format!("kiban_moved_{}", std::process::id());
    let new = support::run(database::create(&server, &name, None));
    let move_there = || kiban(&["move", "--home", home, "--to", &new], temporary.path());
    let (moved, again) = (move_there(), move_there());
    let verify = |more: &[&str]| kiban(&[&["audit", "--home", home, "verify"], more].concat(), temporary.path());
    let (there, here) = (verify(&["--db", &new]), verify(&[]));
    let first = support::run(async {
        let mut database = Database::open(&new).await;
        let sql =
            "SELECT action FROM audit WHERE writer = (SELECT writer FROM audit_writer ORDER BY opened_at DESC LIMIT 1)
                   ORDER BY segment, n LIMIT 1";
        let first = database.rows(sql).await;
        database.close().await;
        first
    });
    support::run(database::drop_database(&server, &name));
    assert!(require_good(&moved).contains("移しました"), "{}", text(&moved.stdout));
    assert_eq!(first, [["moved"]]);
    assert!(require_good(&there).contains("改ざん・欠落はありません"));
    assert!(!again.status.success() && text(&again.stderr).contains("not empty"), "{}", text(&again.stderr));
    assert_eq!(here.status.code(), Some(1), "the old database is behind its outside anchors");
}

/// Decisions taken again over what a demo left behind agree; after an outcome was altered by SQL, that entry alone is named.
fn the_decisions_are_taken_again(replay: impl Fn(&[&str]) -> Output, address: &str) {
    let out = require_good(&replay(&[]));
    assert!(out.contains("再判断の結果: すべて記録のとおりです"), "{out}");
    let counts: Vec<u64> = out
        .lines()
        .find(|line| line.starts_with("共有表 2025-07 版"))
        .unwrap()
        .split_whitespace()
        .filter_map(|word| word.split_once('件')?.0.parse().ok())
        .collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 0), "{out}");
    let before = require_good(&replay(&["--to", "2020-01-01"]));
    assert!(before.contains("判断の事実を残した記録はありません"), "{before}");
    assert!(!replay(&["--from", "22.11.2026"]).status.success());

    let (place, rule) = support::run(async {
        let mut database = Database::open(address).await;
        let sql = "SELECT CAST(writer AS TEXT), CAST(segment AS TEXT), CAST(n AS TEXT), rule FROM audit \
                   WHERE outcome = 'refused' AND facts <> 0 ORDER BY at, writer, segment, n LIMIT 1";
        let entry = database.rows(sql).await.remove(0);
        let there = format!("WHERE writer = {} AND segment = {} AND n = {}", entry[0], entry[1], entry[2]);
        assert_eq!(database.run(&format!("UPDATE audit SET outcome = 'allowed' {there}")).await, 1);
        database.close().await;
        (format!("{:016x}/{}/{}", entry[0].parse::<i64>().unwrap(), entry[1], entry[2]), entry[3].clone())
    });
    let output = replay(&[]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let named: Vec<_> = out.lines().filter(|line| line.starts_with("相違: ")).collect();
    assert_eq!(named, [format!("相違: {place} 記録 許可 {rule} 再判断 拒否 {rule}")], "{out}");
}

#[test]
fn every_recorded_decision_of_the_demo_is_taken_again_and_an_altered_outcome_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("kept");
    let home_text = home.to_str().unwrap();
    require_good(&kiban(&["demo", "--check", "--people", "200", "--keep", home_text], temporary.path()));
    let replay = |more: &[&str]| kiban(&[&["audit", "--home", home_text, "replay"], more].concat(), temporary.path());
    the_decisions_are_taken_again(replay, &format!("sqlite:{}", home.join("kiban.db").display()));
}

#[test]
fn every_recorded_decision_of_the_demo_is_taken_again_on_postgresql() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("kept");
    let home_text = home.to_str().unwrap();
    let name = format!("kiban_replay_{}", std::process::id());
    let address = support::run(database::create(&server, &name, None));
    let demo = ["demo", "--check", "--people", "200", "--keep", home_text, "--db", &address];
    require_good(&kiban(&demo, temporary.path()));
    let replay = |more: &[&str]| {
        kiban(&[&["audit", "--home", home_text, "--db", &address, "replay"], more].concat(), temporary.path())
    };
    the_decisions_are_taken_again(replay, &address);
    support::run(database::drop_database(&server, &name));
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
    an_auditor_verifies_with_the_public_key_alone(&home, key.trim_end(), temporary.path());
    let purge = |before: &str, approvers: &str| {
        let staff = ["--approve", approvers];
        kiban(&[&["audit", "--home", home_text, "purge", "--before", before], &staff[..]].concat(), temporary.path())
    };
    let refused = purge("2018-01", "operator/chief,operator/deputy");
    assert!(!refused.status.success() && text(&refused.stderr).contains("operator/chief は登録された有効な運用者の"));
    let refused = purge("2999-12", "operator/chief,operator/deputy");
    assert!(!refused.status.success() && text(&refused.stderr).contains("保存期間の中"), "{}", text(&refused.stderr));

    let address = format!("sqlite:{}", home.join("kiban.db").display());
    let (place, entry_there, refused) = support::run(async {
        let mut database = Database::open(&address).await;
        let sql = "SELECT CAST(writer AS TEXT), CAST(segment AS TEXT), CAST(n AS TEXT) FROM audit \
                   WHERE outcome = 'refused' AND insured_number IS NOT NULL ORDER BY at LIMIT 1";
        let entry = database.rows(sql).await.remove(0);
        let entry_there = format!("WHERE writer = {} AND segment = {} AND n = {}", entry[0], entry[1], entry[2]);
        let changed = database.run(&format!("UPDATE audit SET outcome = 'allowed' {entry_there}")).await;
        database.close().await;
        (format!("{:016x}/{}/{}", entry[0].parse::<i64>().unwrap(), entry[1], entry[2]), entry_there, changed)
    });
    assert_eq!(refused, 1);
    let output = verify();
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let named: Vec<_> = out.lines().filter(|line| line.starts_with("相違: ")).collect();
    assert_eq!(named, [format!("相違: {place} altered")], "{out}");

    support::run(async {
        let mut database = Database::open(&address).await;
        assert_eq!(database.run(&format!("UPDATE audit SET outcome = 'refused' {entry_there}")).await, 1);
        database.close().await;
    });
    the_person_checks_the_own_list(&home, &address, key.trim_end(), temporary.path());
}

/// On another machine: copies of the database and of the anchors, no key but the public one.
fn an_auditor_verifies_with_the_public_key_alone(home: &Path, key: &str, temporary: &Path) {
    let elsewhere = temporary.join("auditor");
    std::fs::create_dir_all(elsewhere.join("copies")).unwrap();
    // All of the database: what was written last may still stand in the write-ahead log beside it.
    for file in ["kiban.db", "kiban.db-wal"].into_iter().filter(|file| home.join(file).exists()) {
        std::fs::copy(home.join(file), elsewhere.join(file)).unwrap();
    }
    std::fs::copy(home.join("anchors/anchors.jsonl"), elsewhere.join("copies/anchors.jsonl")).unwrap();
    let (there, copies) = (elsewhere.to_str().unwrap(), elsewhere.join("copies"));
    let verify = |folder: &str, key: &str, anchors: &Path| {
        kiban(&["audit", "--home", folder, "verify", "--key", key, "--anchors", anchors.to_str().unwrap()], temporary)
    };
    assert!(require_good(&verify(there, key, &copies)).contains("改ざん・欠落はありません"));
    assert!(!elsewhere.join("anchor.key").exists(), "no key is made on the way");
    let another = "5".repeat(64);
    let output = verify(there, &another, &copies);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let empty = temporary.join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (folder, anchors) in [(empty.to_str().unwrap(), &copies), (there, &empty.join("none"))] {
        let output = verify(folder, key, anchors);
        assert!(!output.status.success() && text(&output.stderr).contains("がありません"), "{}", text(&output.stderr));
    }
    assert!(!empty.join("kiban.db").exists());

    // One entry, with its proof, without who looked.
    let place = support::run(async {
        let mut database = Database::open(&format!("sqlite:{}", home.join("kiban.db").display())).await;
        let sql = "SELECT CAST(writer AS TEXT), CAST(segment AS TEXT), CAST(n AS TEXT) FROM audit \
                   WHERE action = 'view' ORDER BY at LIMIT 1";
        let entry = database.rows(sql).await.remove(0);
        database.close().await;
        format!("{:016x}/{}/{}", entry[0].parse::<i64>().unwrap(), entry[1], entry[2])
    });
    let (home, file) = (home.to_str().unwrap(), temporary.join("proof.json"));
    let file_text = file.to_str().unwrap();
    let write = |place: &str| {
        kiban(&["audit", "--home", home, "proof", place, "--out", file_text, "--without-offices"], temporary)
    };
    assert!(!write("here").status.success() && !write("0000000000000001/0/0").status.success());
    require_good(&write(&place));
    let check = |key: &str| kiban(&["audit", "verify-proof", file_text, "--key", key], temporary);
    let out = require_good(&check(key));
    assert!(out.contains("action: view") && out.contains("あるとおりです") && !out.contains("organization"), "{out}");
    assert_eq!(check(&another).status.code(), Some(1));
    let changed = std::fs::read_to_string(&file).unwrap().replace("\"view\"", "\"list_people\"");
    std::fs::write(&file, changed).unwrap();
    let output = check(key);
    assert!(
        output.status.code() == Some(1) && text(&output.stdout).contains("一致しません"),
        "{}",
        text(&output.stdout)
    );
}

/// A month later: the list is written for a person, holds with the public key alone, and not with one look less.
fn the_person_checks_the_own_list(home: &Path, address: &str, key: &str, temporary: &Path) {
    let home_text = home.to_str().unwrap();
    let (insurer, insured) = support::run(async {
        let settings = kiban_store::AuditSettings {
            signing_key: kiban_store::SigningKey::load_or_create(&home.join("anchor.key")).unwrap(),
            anchor_dir: home.join("anchors"),
            clock: std::sync::Arc::new(jiff::Timestamp::now),
        };
        let master = kiban_store::MasterKey::load_or_create(&home.join("master.key")).unwrap();
        let store = kiban_store::Store::open(address, master, settings).await.unwrap();
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(40 * 24);
        assert!(store.audit().sign_months(later).await.unwrap() > 0);
        store.close().await.unwrap();
        let mut database = Database::open(address).await;
        let looked_at = "SELECT insurer_number, insured_number FROM audit WHERE insured_number IS NOT NULL \
                         GROUP BY insurer_number, insured_number HAVING count(*) > 2 LIMIT 1";
        let mut row = database.rows(looked_at).await.remove(0);
        database.close().await;
        (row.remove(0), row.remove(0))
    });
    let file = temporary.join("list.json");
    let file_text = file.to_str().unwrap();
    let person = ["audit", "--home", home_text, "person", &insurer, &insured, "--out", file_text];
    require_good(&kiban(&person, temporary));
    let verify = || kiban(&["audit", "verify-person", file_text, "--key", key], temporary);
    assert!(require_good(&verify()).contains("これですべてです"));
    let mut list: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    list["months"][0]["entries"].as_array_mut().unwrap().remove(1);
    std::fs::write(&file, list.to_string()).unwrap();
    let output = verify();
    let out = text(&output.stdout);
    assert!(output.status.code() == Some(1) && out.contains("署名された全件と一致しません"), "{out}");
}
