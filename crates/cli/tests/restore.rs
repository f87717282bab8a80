//! The drill: a city at work, a backup, doors that are closed after it, the machine lost, the backup put back. Nothing is
//! served before two operators accept it, and what was closed stays closed (T-10, T-11, S-021…023).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use kiban_domain::office::StaffId;
use kiban_store::{Entry, Outcome, Passkey, PortalGrant, PortalRole};
use serde_json::json;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use support::canary;
use support::database;
use support::home::Home;
use support::server::{Place, serve};
use support::terminal::{Answer, Body, Terminal};
use support::town::{PASSWORD, Town, Who};

const PEOPLE: u32 = 40;

/// Runs `kiban` on a place; whether it succeeded, and everything it said.
fn kiban(place: &Place, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    command.args(arguments).arg("--home").arg(&place.home);
    if let Some(database) = &place.database {
        command.args(["--db", database]);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The same with something typed.
fn kiban_told(place: &Place, arguments: &[&str], typed: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    command.args(arguments).arg("--home").arg(&place.home).stdin(Stdio::piped());
    if let Some(database) = &place.database {
        command.args(["--db", database]);
    }
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that asks nobody does not read it.
    let _ = running.stdin.take().unwrap().write_all(typed.as_bytes());
    let output = running.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[track_caller]
fn done(place: &Place, arguments: &[&str]) -> String {
    let (good, said) = kiban(place, arguments);
    assert!(good, "{arguments:?}: {said}");
    said
}

#[track_caller]
fn refused(place: &Place, arguments: &[&str], why: &str) {
    let (good, said) = kiban(place, arguments);
    assert!(!good && said.contains(why), "{arguments:?}: {said}");
}

async fn ask(terminal: &mut Terminal, address: SocketAddr, method: &str, path: &str, body: Body) -> Answer {
    terminal.hang_up();
    terminal.connect(address).await.unwrap();
    terminal.send(method, path, body).await.unwrap()
}

async fn get(terminal: &mut Terminal, address: SocketAddr, path: &str) -> Answer {
    ask(terminal, address, "GET", path, Body::Nothing).await
}

async fn log_in(town: &Town, terminal: &mut Terminal, address: SocketAddr, who: Who) -> u16 {
    terminal.token = None;
    let body = Body::Json(json!({ "account": town.account(who), "password": PASSWORD }));
    let answer = ask(terminal, address, "POST", "/api/v1/session", body).await;
    terminal.token = answer.text("token");
    answer.status
}

/// Registers the n-th ordinary person; the handle.
async fn register(town: &Town, terminal: &mut Terminal, address: SocketAddr, n: usize, makes_plan: bool) -> String {
    let person = town.ordinary_people()[n];
    let (items, identity) = (person.four_items(), &person.insured.identity);
    let body = json!({
        "insurer_number": items.number.insurer, "insured_number": items.number.insured, "kana": identity.kana,
        "birth": identity.birth, "sex": identity.sex, "makes_plan": makes_plan,
    });
    let answer = ask(terminal, address, "POST", "/api/v1/people", Body::Json(body)).await;
    assert!(answer.status < 300, "{}", answer.json());
    answer.text("handle").unwrap()
}

async fn consent(terminal: &mut Terminal, address: SocketAddr, handle: &str, act: &str) {
    let body = json!({ "act": act, "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" });
    let answer = ask(terminal, address, "POST", &format!("/api/v1/people/{handle}/consents"), Body::Json(body)).await;
    assert!(answer.status < 300, "{act}: {}", answer.json());
}

/// Where the municipality keeps the proxies of the n-th ordinary person.
async fn proxies_of(town: &Town, address: SocketAddr, n: usize) -> String {
    let asked = json!({ "insured_number": town.ordinary_people()[n].insured.key.insured });
    let mut officer = town.terminal(Who::City);
    let found = ask(&mut officer, address, "POST", "/api/v1/people/find", Body::Json(asked)).await;
    format!("/api/v1/people/{}/proxies", found.text("handle").unwrap())
}

fn proxy_of(town: &Town, role: &str) -> serde_json::Value {
    let today = town.city.spec.today;
    json!({
        "role": role, "name": "架空　長子", "birth": "1970-01-02", "relation": "長女", "document": "登記事項証明書",
        "document_date": today, "ends_on": today.saturating_add(jiff::Span::new().days(30)),
    })
}

async fn register_proxy(town: &Town, address: SocketAddr, proxies: &str) -> String {
    let body = Body::Json(proxy_of(town, "legal"));
    let made = ask(&mut town.terminal(Who::City), address, "POST", proxies, body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    made.text("id").unwrap()
}

/// What the n-th ordinary person does at their own door, which no provider stands before here.
async fn refuse_family(town: &Town, place: &Place, n: usize) {
    let platform = Home::open(&place.home, place.database.as_deref()).unwrap().platform().await.unwrap();
    let store = platform.store().clone();
    let person = town.ordinary_people()[n].insured.key;
    let now = support::home::now();
    let mut tx = store.begin().await.unwrap();
    tx.put_portal_grant(&PortalGrant {
        person,
        id: "refusal".to_owned(),
        role: PortalRole::FamilyRefused,
        about: Vec::new(),
        code: None,
        despite_withheld: false,
        ends_on: None,
        made_by: "portal".to_owned(),
        made_at: now,
        bound: None,
        ended: None,
    })
    .await
    .unwrap();
    tx.commit(Entry::new(now, "drill", "portal", "proxy.refuse_family", Outcome::Done)).await.unwrap();
    store.close().await.unwrap();
}

/// The second factor of an operator is a passkey, which no terminal can ask for; these are the recovery codes.
async fn passkey_of(account: &str, place: &Place, codes: [&str; 2]) {
    let platform = Home::open(&place.home, place.database.as_deref()).unwrap().platform().await.unwrap();
    let (store, now) = (platform.store().clone(), support::home::now());
    let mut tx = store.begin().await.unwrap();
    let held = tx.hold_account(&StaffId(account.to_owned())).await.unwrap().unwrap();
    let passkey = Passkey {
        id: "key".to_owned(),
        name: "窓口の鍵".to_owned(),
        credential: vec![1; 16],
        key: vec![2; 77],
        counter: 0,
        made_at: now,
        used_at: None,
    };
    tx.put_passkey(&held, &passkey).await.unwrap();
    tx.set_recovery_codes(&held, &codes.map(|code| code.to_owned().into())).await.unwrap();
    tx.commit(Entry::new(now, "drill", "api", "factor.set", Outcome::Done)).await.unwrap();
    store.close().await.unwrap();
}

/// The serial of the first certificate of an organisation.
fn serial_of(place: &Place, organization: &str) -> String {
    let list = done(&Place { database: None, ..place.clone() }, &["ca", "list"]);
    let line = list.lines().find(|line| line.split('\t').nth(1).is_some_and(|of| of.starts_with(organization)));
    line.unwrap().split('\t').next().unwrap().to_owned()
}

/// The one generation of a folder.
fn generation(folder: &Path) -> PathBuf {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// No key of the home stands in any file of the backup, as text or as bytes.
fn require_no_key(home: &Path, backup: &Path) {
    let mut keys = Vec::new();
    for file in ["master.key", "anchor.key"] {
        let text = std::fs::read_to_string(home.join(file)).unwrap();
        let secret = text.split_whitespace().nth(1).unwrap().to_owned();
        let bytes = (0..secret.len()).step_by(2).map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap());
        keys.push(bytes.collect::<Vec<u8>>());
        keys.push(secret.into_bytes());
    }
    for file in std::fs::read_dir(backup).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for key in &keys {
            assert!(!bytes.windows(key.len()).any(|window| window == key.as_slice()), "a key is in the backup");
        }
    }
}

/// Opens a mode for the helper's office; its id.
async fn open_disaster(town: &Town, address: SocketAddr) -> String {
    let mut operators = [town.terminal(Who::Operator), town.terminal(Who::SecondOperator)];
    let (today, city) = (town.city.spec.today, town.city.insurer);
    let offices = [town.organization(Who::Helper)];
    let body = json!({ "event": "見本水害", "areas": [city], "offices": offices, "from": today, "to": today });
    let proposed = ask(&mut operators[0], address, "POST", "/api/v1/disasters", Body::Json(body)).await;
    let id = proposed.text("id").unwrap();
    let path = format!("/api/v1/disasters/{id}/approve");
    assert!(ask(&mut operators[1], address, "POST", &path, Body::Nothing).await.status < 300);
    id
}

async fn search(town: &Town, terminal: &mut Terminal, address: SocketAddr) -> u16 {
    let identity = town.ordinary_people()[5].insured.identity.clone();
    let body = json!({
        "reason": "安否確認", "insurer_number": town.city.insurer, "kana": identity.kana, "birth": identity.birth,
    });
    ask(terminal, address, "POST", "/api/v1/disasters/search", Body::Json(body)).await.status
}

async fn drill(folder: &Path, server: Option<(&str, &str)>) {
    let address_of = async |(server, name): (&str, &str)| database::create(server, name, None).await;
    let database = match server {
        Some(server) => Some(address_of(server).await),
        None => None,
    };
    let home = folder.join("home");
    let town = Town::build(&home, database.as_deref(), PEOPLE).await;
    let place = Place { home: home.clone(), database, log: folder.join("log") };
    let running = serve(&place).await;
    let at = running.address;

    // Doors that stand open when the backup is made.
    let mut manager = town.terminal(Who::Manager);
    let mut helper = town.terminal(Who::Helper);
    let withdrawn = register(&town, &mut manager, at, 0, true).await;
    consent(&mut manager, at, &withdrawn, "given").await;
    let opinion = format!("/api/v1/people/{withdrawn}/records/A2");
    let answer = get(&mut manager, at, &opinion).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let ended = register(&town, &mut helper, at, 1, false).await;
    let card = format!("/api/v1/people/{ended}/records/A3a");
    assert_eq!(get(&mut helper, at, &card).await.status, 200);
    let mode = open_disaster(&town, at).await;
    assert_eq!(search(&town, &mut helper, at).await, 200);
    let proxies = proxies_of(&town, at, 3).await;
    let proxy = register_proxy(&town, at, &proxies).await;
    let revoked = serial_of(&place, &town.organization(Who::Doctor).to_string());
    let operators = [Who::Operator, Who::SecondOperator].map(|who| format!("operator/{}", town.account(who)));
    passkey_of(&operators[1], &place, ["AAAABBBBCCCC", "DDDDEEEEFFFF"]).await;

    let backups = folder.join("backups");
    let said = done(&place, &["backup", backups.to_str().unwrap()]);
    assert!(said.contains("控えをとりました"), "{said}");
    let backup = generation(&backups);
    let made_at = Instant::now();
    require_no_key(&home, &backup);
    let (files, bytes) = canary::require_none(&canary::needle(PEOPLE), &backup);
    assert!(files >= 4 && bytes > 500_000, "{files} files, {bytes} bytes");
    let mode_bits = std::fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode_bits & 0o777, 0o500, "the first generation is locked");
    let told = backup.display().to_string();
    match server {
        None => assert!(done(&place, &["backup", "verify", &told]).contains("この控えは開けます")),
        Some((server, name)) => {
            let scratch = address_of((server, &format!("{name}_scratch"))).await;
            let said = done(&place, &["backup", "verify", &told, "--scratch", &scratch]);
            assert!(said.contains("この控えは開けます"), "{said}");
            database::drop_database(server, &format!("{name}_scratch")).await;
        }
    }

    // What is closed afterwards, and what is opened.
    consent(&mut manager, at, &withdrawn, "withdrawn").await;
    let end = format!("/api/v1/people/{ended}/registration");
    assert!(ask(&mut helper, at, "DELETE", &end, Body::Nothing).await.status < 300);
    let close = format!("/api/v1/disasters/{mode}/close");
    assert!(ask(&mut town.terminal(Who::Operator), at, "POST", &close, Body::Nothing).await.status < 300);
    done(&place, &["ca", "revoke", &revoked, "--reason", "key-compromise"]);
    let block = json!({ "reason": "長男の申立て", "document": "申立書の写し", "document_date": town.city.spec.today });
    let path = proxies.replace("/proxies", "/proxy-blocks");
    let made = ask(&mut town.terminal(Who::City), at, "POST", &path, Body::Json(block)).await;
    assert_eq!(made.status, 201, "{}", made.json());
    refuse_family(&town, &place, 3).await;
    let stranger = (town.organization(Who::Stranger).to_string(), town.account(Who::Stranger));
    done(&place, &["operate", "disable-account", &stranger.0, &stranger.1]);
    register(&town, &mut manager, at, 2, true).await;
    let worked = made_at.elapsed();

    // The machine is lost, and with it the database; keys, authority and outside anchors lie elsewhere.
    let mut running = running;
    running.kill().await;
    let lost_at = Instant::now();
    match server {
        None => {
            for rest in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{rest}", home.join("kiban.db").display()));
            }
        }
        Some(server) => {
            address_of(server).await;
        }
    }
    assert!(done(&place, &["restore", &told, "--dry-run"]).contains("何も書いていません"));
    done(&place, &["restore", &told]);
    let twice = if server.is_none() { "既にあります" } else { "not empty" };
    refused(&place, &["restore", &told], twice);

    // Held: whoever asks, with whatever certificate, gets a problem document and nothing else.
    let held = serve(&place).await;
    for who in Who::ALL {
        let answer = get(&mut town.terminal(who), held.address, "/api/v1/people").await;
        let said = (answer.status, answer.is_problem, answer.text("code"), answer.retry_after.is_some());
        assert_eq!(said, (503, true, Some("restored".to_owned()), true), "{who:?}");
    }
    let mut anybody = town.terminal(Who::Manager);
    assert_eq!(log_in(&town, &mut anybody, held.address, Who::Manager).await, 503);
    assert_eq!(get(&mut anybody, held.address, "/health").await.text("status").as_deref(), Some("restored"));
    assert_eq!(get(&mut anybody, held.address, "/ready").await.status, 503);
    assert!(held.stop().await.success());
    refused(&place, &["keys", "rotate-data"], "まだ受け入れられていません");

    // Accepted by two named operators, and by nobody else.
    let shown = done(&place, &["restore", "accept"]);
    assert!(shown.contains("失われた記録: 署名") && shown.contains("失われた区間"), "{shown}");
    let accept_as = |approve: &str, typed: [&str; 2], code: &str| {
        let arguments = ["restore", "accept", "--approve", approve, "--reason", "訓練"];
        kiban_told(&place, &arguments, &format!("{}\n\n{}\n{code}\n", typed[0], typed[1]))
    };
    let accept = |approve: &str| accept_as(approve, [PASSWORD; 2], "dddd-eeee-ffff");
    for approve in [
        operators[0].clone(),
        format!("{0},{0}", operators[0]),
        format!("{},operator/nobody", operators[0]),
        format!("{},{}/{}", operators[0], stranger.0, stranger.1),
    ] {
        let (good, said) = accept(&approve);
        assert!(!good && said.contains("受け入れていません"), "{approve}: {said}");
    }
    // Two names are not two people: each has to know the own password.
    // And whose second factor is a passkey has a recovery code: none, and a wrong one, are not enough.
    for (typed, code) in [
        ([PASSWORD, ""], "AAAA-BBBB-CCCC"),
        (["", PASSWORD], "AAAA-BBBB-CCCC"),
        ([PASSWORD, "chigau-aikotoba-2026"], "AAAA-BBBB-CCCC"),
        ([PASSWORD; 2], ""),
        ([PASSWORD; 2], "AAAA-BBBB-CCCD"),
    ] {
        let (good, said) = accept_as(&operators.join(","), typed, code);
        assert!(!good && said.contains("のパスワードか、認証アプリの数字・回復コードが違います"), "{said}");
    }
    let still = serve(&place).await;
    assert_eq!(get(&mut town.terminal(Who::Manager), still.address, "/ready").await.status, 503);
    assert!(still.stop().await.success());
    let (good, said) = accept(&operators.join(","));
    assert!(good && said.contains("監査記録の検証も通りました"), "{said}");
    for door in [
        "同意の撤回",
        "担当の終了",
        "電子証明書の失効",
        "アカウントの停止",
        "災害時モードの終了",
        "代理の閲覧の停止・家族のお断り",
    ] {
        assert!(said.lines().any(|line| line.contains(door) && line.contains("閉じ直しました")), "{door}: {said}");
    }
    refused(&place, &["restore", "accept"], "受け入れるものはありません");

    // The first read of somebody who may; the doors that were closed are closed.
    let running = serve(&place).await;
    let at = running.address;
    assert_eq!(get(&mut manager, at, &opinion).await.status, 401, "log-ins of before have ended");
    assert_eq!(log_in(&town, &mut manager, at, Who::Manager).await, 200);
    assert_eq!(get(&mut manager, at, &format!("/api/v1/people/{withdrawn}/records/A3a")).await.status, 200);
    let minutes = lost_at.elapsed().as_secs_f64() / 60.0;
    assert_eq!(get(&mut manager, at, &opinion).await.status, 403, "the consent was withdrawn");
    assert_eq!(log_in(&town, &mut helper, at, Who::Helper).await, 200);
    assert_eq!(get(&mut helper, at, &card).await.status, 404, "the registration has ended");
    assert_ne!(search(&town, &mut helper, at).await, 200, "the mode was closed");
    assert_eq!(log_in(&town, &mut town.terminal(Who::Stranger), at, Who::Stranger).await, 401, "stopped");
    let mut doctor = town.terminal(Who::Doctor);
    doctor.hang_up();
    let came_in = match doctor.connect(at).await {
        Ok(()) => doctor.send("GET", "/api/v1/people", Body::Nothing).await.is_ok_and(|answer| answer.status < 400),
        Err(_) => false,
    };
    assert!(!came_in, "the certificate was revoked");
    let mut officer = town.terminal(Who::City);
    assert_eq!(log_in(&town, &mut officer, at, Who::City).await, 200);
    let listed = get(&mut officer, at, &proxies).await.json();
    let registrations = listed["registrations"].as_array().unwrap();
    let is = |role: &str| registrations.iter().any(|one| one["role"] == role && one["ended_at"].is_null());
    assert!(is("blocked") && is("family_refused"), "{listed}");
    let blocked = registrations.iter().find(|one| one["id"] == proxy.as_str()).unwrap();
    assert_eq!(blocked["blocked"], true, "the proxy still sees nothing");
    let family = ask(&mut officer, at, "POST", &proxies, Body::Json(proxy_of(&town, "family"))).await;
    assert_eq!(family.status, 409, "the person wants no family to look");
    let people = get(&mut manager, at, "/api/v1/people?limit=200").await.json();
    assert_eq!(people["people"].as_array().unwrap().len(), 1, "what was opened after the backup stays shut");
    assert!(running.stop().await.success());
    assert!(done(&place, &["audit", "verify"]).contains("改ざん・欠落はありません"));
    done(&place, &["audit", "replay"]);
    println!(
        "{}: from the loss to the first authorised read {minutes:.2} minutes; lost seconds {:.0}; doors reopened 0",
        if server.is_some() { "PostgreSQL" } else { "SQLite" },
        worked.as_secs_f64()
    );
}

#[test]
fn a_restored_city_is_served_after_two_operators_accept_it_and_no_door_reopens() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        drill(folder.path(), None).await;
        unlock(folder.path());
    });
}

#[test]
fn a_restored_city_is_served_after_two_operators_accept_it_and_no_door_reopens_on_postgresql() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("kiban_drill_{}", std::process::id());
        drill(folder.path(), Some((&server, &name))).await;
        database::drop_database(&server, &name).await;
        unlock(folder.path());
    });
}

/// So that the folder can be removed.
fn unlock(folder: &Path) {
    for entry in std::fs::read_dir(folder.join("backups")).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}
