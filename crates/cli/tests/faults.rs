//! Disks that fail, databases that crash or freeze, answers for those who are not entitled: nothing acknowledged is lost,
//! nothing is served unaudited, no word of a person leaves (F-3, F-5, F-9, canaries).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use support::check::{Tally, check, require_intact};
use support::database::Database;
use support::ledger::{self, Lines};
use support::parties::{self, Party};
use support::postgres::Postgres;
use support::relay::Relay;
use support::server::{self, Injection, Place, Start, can_trace, serve};
use support::terminal::{Answer, Body, Lost, Terminal};
use support::town::{Town, Who};
use support::{canary, postgres, setting};

const PEOPLE: u32 = 40;

/// A town, its home, its clients.
struct Site {
    town: Arc<Town>,
    place: Place,
    ledgers: PathBuf,
    lines: Lines,
    parties: Vec<Party>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new(database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let town = Arc::new(Town::build(&home, database, PEOPLE).await);
        let ledgers = folder.path().join("ledgers");
        std::fs::create_dir_all(&ledgers).unwrap();
        let place = Place { home, database: database.map(str::to_owned), log: folder.path().join("server.log") };
        let lines = Lines::default();
        let parties = parties::everybody(&town, &ledgers, &lines);
        Self { town, place, ledgers, lines, parties, folder }
    }

    async fn work(&mut self, address: std::net::SocketAddr, most: usize) {
        self.parties = parties::work(std::mem::take(&mut self.parties), address, most).await;
    }

    /// Whether a client was given a problem of this code.
    fn has_answer(&self, code: &str) -> bool {
        let answers = ledger::read_all(&self.ledgers).into_iter().filter_map(|exchange| exchange.answered);
        answers.into_iter().any(|answer| answer.code.as_deref() == Some(code))
    }

    async fn compare(&self) -> Tally {
        let mut database = Database::open(&self.place.address()).await;
        let office = |caller: &str| {
            let who = Who::ALL.into_iter().find(|who| format!("{who:?}").to_lowercase() == caller).unwrap();
            self.town.organization(who).to_string()
        };
        let tally = check(&mut database, &ledger::read_all(&self.ledgers), office).await;
        database.close().await;
        tally
    }

    /// A backup as an operator takes one, of the running database.
    async fn backup(&self) -> PathBuf {
        let path = self.folder.path().join("backup");
        match &self.place.database {
            None => {
                let mut database = Database::open(&self.place.address()).await;
                database.run(&format!("VACUUM INTO '{}'", path.display())).await;
                database.close().await;
            }
            Some(address) => {
                let mut dump = Command::new(postgres::program("pg_dump"));
                let made = dump.arg("--dbname").arg(address).arg("--file").arg(&path).output().unwrap();
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            }
        }
        path
    }

    /// Everything as it must be, the log proved, no word of anybody in the home, the server's log, a backup or `more`.
    async fn require_sound(&self, more: &[PathBuf]) -> Tally {
        let tally = self.compare().await;
        tally.require_sound();
        require_intact(&self.place.home, &self.place.address()).await;
        let needle = canary::needle(PEOPLE);
        let backup = self.backup().await;
        for path in [&self.place.home, &self.place.log, &backup].into_iter().chain(more) {
            let (files, bytes) = canary::require_none(&needle, path);
            assert!(files > 0 && (bytes > 0 || path == &self.place.log), "{} was not searched", path.display());
        }
        tally
    }
}

#[test]
fn after_a_failed_sync_the_embedded_database_answers_nothing_more_and_loses_nothing() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let mut site = Site::new(None).await;
        let (mut ended, mut at_start) = (0, 0);
        for n in 1..=setting("KIBAN_SYNC_FAULTS", 24) {
            let fault = Injection { calls: "fsync,fdatasync", what: "error=EIO", n };
            let status = match server::start(&site.place, Some(&fault)).await {
                Start::Ended(status) => {
                    at_start += 1;
                    status
                }
                Start::Serving(mut server) => {
                    let parties = std::mem::take(&mut site.parties);
                    let (parties, lost) = parties::work_until_lost(parties, server.address, 40).await;
                    site.parties = parties;
                    if !lost {
                        // Too few syncs in a thread to come to the n-th.
                        server.kill().await;
                        continue;
                    }
                    let status = server.ended().await;
                    assert_eq!(status.code(), Some(74), "sync {n}\n{}", server::last_words(&site.place.log));
                    status
                }
            };
            assert!(!status.success(), "sync {n}\n{}", server::last_words(&site.place.log));
            ended += 1;
            let mut server = serve(&site.place).await;
            site.compare().await.require_sound();
            server.kill().await;
        }
        assert!(ended > at_start, "no sync failed under load");
        assert!(serve(&site.place).await.stop().await.success());
        let tally = site.require_sound(&[]).await;
        println!("SQLite, EIO at sync: ended {ended} (during start {at_start}) · {tally}");
    });
}

#[test]
fn a_write_that_the_disk_refuses_leaves_nothing_half_done_on_the_embedded_database() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let mut site = Site::new(None).await;
        let (mut ended, mut at_start, mut went_on) = (0, 0, 0);
        for k in 0..setting("KIBAN_WRITE_FAULTS", 24) {
            let what = if k % 2 == 0 { "error=EIO" } else { "error=ENOSPC" };
            let fault = Injection { calls: "pwrite64", what, n: 1 + setting("KIBAN_WRITE_STEP", 13) * k };
            match server::start(&site.place, Some(&fault)).await {
                Start::Ended(status) => {
                    assert!(!status.success(), "write {}\n{}", fault.n, server::last_words(&site.place.log));
                    at_start += 1;
                }
                Start::Serving(mut server) => {
                    let parties = std::mem::take(&mut site.parties);
                    let (parties, lost) = parties::work_until_lost(parties, server.address, 40).await;
                    site.parties = parties;
                    if lost {
                        // A commit that failed; nothing is answered after it.
                        let status = server.ended().await;
                        assert_eq!(
                            status.code(),
                            Some(74),
                            "write {}\n{}",
                            fault.n,
                            server::last_words(&site.place.log)
                        );
                        ended += 1;
                    } else {
                        // Rolled back and answered so, or never reached.
                        server.kill().await;
                        went_on += 1;
                    }
                }
            }
            let mut server = serve(&site.place).await;
            site.compare().await.require_sound();
            server.kill().await;
        }
        assert!(ended + went_on > at_start, "no write failed under load");
        let status = serve(&site.place).await.stop().await;
        assert!(status.success(), "{status}\n{}", server::last_words(&site.place.log));
        let tally = site.require_sound(&[]).await;
        assert!(ended > 0 || tally.unavailable > 0, "no client met a failed write: {tally}");
        println!("SQLite, EIO and ENOSPC at write: ended {ended}, went on {went_on}, at start {at_start} · {tally}");
    });
}

#[test]
fn a_disk_of_the_database_server_that_fails_to_sync_loses_nothing_that_was_acknowledged() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let mut server = serve(&site.place).await;
        let rounds = setting("KIBAN_DATABASE_SYNC_FAULTS", 4);
        let mut met = 0;
        for round in 0..rounds {
            let before = postgres.log().len();
            site.work(server.address, 4).await;
            let Some(failing) = postgres.fail_syncs(1 + round * setting("KIBAN_DATABASE_SYNC_STEP", 2)) else {
                return println!("skipped: strace may not follow processes here");
            };
            site.work(server.address, setting("KIBAN_DATABASE_WORK", 8) as usize).await;
            drop(failing);
            met += u32::from(postgres.log()[before..].contains("Input/output error"));
            postgres.recover();
            require_served_again(&site, server.address).await;
            site.compare().await.require_sound();
        }
        assert!(postgres.log().contains("PANIC"), "no sync failed");
        assert!(server.is_running(), "{}", server::last_words(&site.place.log));
        assert!(server.stop().await.success(), "{}", server::last_words(&site.place.log));
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        server.kill().await;
        println!("PostgreSQL, EIO at its own syncs {rounds} (met {met}) · {tally}");
    });
}

#[test]
fn a_disk_of_the_database_server_that_is_full_or_refuses_writes_loses_nothing_that_was_acknowledged() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let mut server = serve(&site.place).await;
        let rounds = setting("KIBAN_DATABASE_WRITE_FAULTS", 6);
        let mut met = 0;
        for round in 0..rounds {
            let before = postgres.log().len();
            site.work(server.address, 4).await;
            let error = if round % 2 == 0 { "ENOSPC" } else { "EIO" };
            let Some(failing) = postgres.fail_writes(error, 1 + round * setting("KIBAN_DATABASE_WRITE_STEP", 3)) else {
                return println!("skipped: strace may not follow processes here");
            };
            site.work(server.address, setting("KIBAN_DATABASE_WORK", 8) as usize).await;
            drop(failing);
            let said = postgres.log()[before..].to_owned();
            met += u32::from(said.contains("No space left on device") || said.contains("Input/output error"));
            postgres.recover();
            require_served_again(&site, server.address).await;
            site.compare().await.require_sound();
        }
        let log = postgres.log();
        assert!(log.contains("No space left on device"), "no write found the disk full");
        assert!(log.contains("Input/output error"), "no write failed");
        assert!(server.is_running(), "{}", server::last_words(&site.place.log));
        assert!(server.stop().await.success(), "{}", server::last_words(&site.place.log));
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        server.kill().await;
        println!("PostgreSQL, ENOSPC and EIO at its own writes {rounds} (met {met}) · {tally}");
    });
}

/// What a server may not be set to, because it may lose a commit (decision 0006.7, docs/operations.md).
const MAY_LOSE: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "data_sync_retry=on",
    "synchronous_commit=off",
    "synchronous_commit=local",
    "synchronous_commit=remote_write",
];

#[test]
fn a_database_server_that_may_lose_a_commit_is_not_served_and_the_setting_is_named() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        kiban_pki::Ca::init(&home.join("ca"), "kaigo-kiban test CA", support::home::now()).unwrap();
        let place = Place { home, database: Some(postgres.address.clone()), log: folder.path().join("server.log") };
        for refused in MAY_LOSE {
            let (setting, value) = refused.split_once('=').unwrap();
            alter(&postgres, &format!("SET {setting} = {value}")).await;
            match server::start(&place, None).await {
                Start::Ended(status) => assert!(!status.success(), "{refused}"),
                Start::Serving(_) => panic!("served with {refused}"),
            }
            let words = std::fs::read_to_string(&place.log).unwrap();
            assert!(words.contains(refused), "{refused} is not named: {words}");
            alter(&postgres, &format!("RESET {setting}")).await;
        }
        serve(&place).await.kill().await;
    });
}

/// Changes a setting of the whole server; some hold only from its start.
async fn alter(postgres: &Postgres, what: &str) {
    let mut database = Database::open(&postgres.address).await;
    database.run(&format!("ALTER SYSTEM {what}")).await;
    database.close().await;
    postgres.recover();
}

#[test]
fn a_certificate_the_operator_revokes_is_refused_on_the_connection_it_has_open() {
    support::run(async {
        let postgres = Postgres::start();
        for database in [None, postgres.as_ref().map(|postgres| postgres.address.as_str())] {
            require_refused_when_revoked(Site::new(database).await).await;
            if postgres.is_none() {
                return println!("PostgreSQL leg skipped: none is installed");
            }
        }
    });
}

async fn require_refused_when_revoked(site: Site) {
    let mut server = serve(&site.place).await;
    let mut helper = site.town.terminal(Who::Helper);
    helper.connect(server.address).await.unwrap();
    let list = "/api/v1/people?limit=1";
    assert_eq!(helper.send("GET", list, Body::Nothing).await.unwrap().status, 200);

    let whose = site.town.organization(Who::Helper).to_string();
    let line_of = || {
        let lines = authority(&site.place, &["list"]);
        lines.lines().find(|line| line.split('\t').nth(1).is_some_and(|of| of.starts_with(&whose))).unwrap().to_owned()
    };
    assert!(line_of().ends_with("有効"), "{}", line_of());
    let serial = line_of().split('\t').next().unwrap().to_owned();
    authority(&site.place, &["revoke", &serial, "--reason", "key-compromise"]);
    assert!(line_of().contains("失効"), "{}", line_of());

    // Over the connection that is open: a request is refused, or finds it closed.
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while helper.send("GET", list, Body::Nothing).await.is_ok_and(|answer| answer.status == 200) {
        assert!(tokio::time::Instant::now() < until, "still served with a revoked certificate");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And over no other one, while everybody else goes on.
    helper.hang_up();
    let again = match helper.connect(server.address).await {
        Ok(()) => helper.send("GET", list, Body::Nothing).await.map_or(0, |answer| answer.status),
        Err(_) => 0,
    };
    assert_ne!(again, 200);
    assert_eq!(ask(&site, Who::City, server.address, "/api/v1/inbox").await.status, 200);
    server.kill().await;
}

/// `kiban ca …` beside the running server; what it says.
fn authority(place: &Place, arguments: &[&str]) -> String {
    let mut kiban = Command::new(env!("CARGO_BIN_EXE_kiban"));
    kiban.arg("ca").args(arguments).arg("--home").arg(&place.home);
    if let Some(database) = &place.database {
        kiban.args(["--db", database]);
    }
    let output = kiban.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn anchors_that_cannot_be_written_stop_no_answer_and_break_no_chain() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let (mut at_start, mut at_end) = (0, 0);
        // Not "write": threads wake each other by it, which no disk can fail.
        for (calls, n) in [("fsync,fdatasync", 6u64), ("rename,renameat,renameat2,linkat", 3)]
            .into_iter()
            .flat_map(|(calls, last)| (1..=last).map(move |n| (calls, n)))
        {
            let fault = Injection { calls, what: "error=EIO", n };
            match server::start(&site.place, Some(&fault)).await {
                Start::Ended(status) => {
                    assert!(!status.success(), "{calls} {n}\n{}", server::last_words(&site.place.log));
                    at_start += 1;
                }
                Start::Serving(server) => {
                    site.work(server.address, 3).await;
                    at_end += u32::from(!server.stop().await.success());
                }
            }
        }
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        server.kill().await;
        assert!(at_start + at_end > 0, "no call failed");
        println!("PostgreSQL, EIO at files beside it: no start {at_start}, no clean end {at_end} · {tally}");
    });
}

#[test]
fn a_database_that_crashes_under_load_loses_nothing_and_is_found_again() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let mut server = serve(&site.place).await;
        let rounds = setting("KIBAN_CRASHES", 5);
        for round in 0..rounds {
            let lines = site.lines.clone();
            let parties = std::mem::take(&mut site.parties);
            let work = parties::work(parties, server.address, 40);
            let crash = async {
                let _ = tokio::time::timeout(Duration::from_secs(20), lines.wait_for(20 + 13 * round)).await;
                tokio::task::block_in_place(|| postgres.crash());
            };
            let (parties, ()) = tokio::join!(work, crash);
            site.parties = parties;
            // Nobody gets a value while the database is away.
            let answer = ask(&site, Who::City, server.address, "/api/v1/inbox").await;
            require_unavailable(&answer);
            postgres.start_again();
            require_served_again(&site, server.address).await;
            site.compare().await.require_sound();
        }
        assert!(server.is_running(), "{}", server::last_words(&site.place.log));
        assert!(server.stop().await.success(), "{}", server::last_words(&site.place.log));
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        assert!(tally.unavailable > 0, "{tally}");
        server.kill().await;
        println!("PostgreSQL, crashes {rounds} · {tally}");
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_called_unknown_and_done_once() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let relay = Relay::start(postgres.socket()).await;
        site.place.database = Some(relay.address.clone());
        let mut server = serve(&site.place).await;
        site.work(server.address, 6).await;
        // Reads and writes take turns at the next COMMIT: on until a write was hit too, within bounds.
        let rounds = setting("KIBAN_LOST_COMMITS", 20);
        for round in 0..rounds + 100 {
            relay.arm();
            site.work(server.address, 2).await;
            if round >= rounds && site.has_answer("outcome_unknown") {
                break;
            }
        }
        let swallowed = relay.swallowed();
        require_served_again(&site, server.address).await;
        site.work(server.address, 6).await;
        assert!(server.is_running(), "{}", server::last_words(&site.place.log));
        assert!(server.stop().await.success(), "{}", server::last_words(&site.place.log));
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        server.kill().await;
        println!("PostgreSQL, answers to COMMIT swallowed {swallowed} · {tally}");
        assert!(swallowed > 10 && tally.unknown > 0 && tally.unavailable > tally.unknown, "{tally}");
        assert!(tally.resolved > 0, "no write was asked for again: {tally}");
    });
}

#[test]
fn a_frozen_database_is_answered_with_503_and_nothing_is_served_unaudited() {
    support::run(async {
        let Some(postgres) = Postgres::start() else { return println!("skipped: no PostgreSQL") };
        let mut site = Site::new(Some(&postgres.address)).await;
        let mut server = serve(&site.place).await;
        site.work(server.address, 10).await;
        postgres.freeze();
        site.work(server.address, 2).await;
        let answer = ask(&site, Who::City, server.address, "/api/v1/inbox").await;
        postgres.thaw();
        require_unavailable(&answer);
        require_served_again(&site, server.address).await;
        site.work(server.address, 10).await;
        assert!(server.is_running(), "{}", server::last_words(&site.place.log));
        assert!(server.stop().await.success(), "{}", server::last_words(&site.place.log));
        serve(&site.place).await.kill().await;
        let mut server = serve(&site.place).await;
        let tally = site.require_sound(&[postgres.folder().to_owned()]).await;
        assert!(tally.unavailable > 0, "{tally}");
        server.kill().await;
        println!("PostgreSQL, frozen · {tally}");
    });
}

/// Of its own mistyped cards, certificates and staff and of one's own account the office is told; the table of who sees what is
/// everybody's.
const OF_ITS_OWN: [&str; 9] = [
    "notices",
    "certificates",
    "factor_state",
    "offer_factor",
    "passkeys",
    "offer_passkey",
    "staff_looks",
    "switches",
    "rules",
];

#[test]
fn an_office_that_is_not_entitled_gets_no_word_of_anybody_by_any_route() {
    support::run(async {
        let site = Site::new(None).await;
        let mut server = serve(&site.place).await;
        let handles = handles_of_the_manager(&site, server.address).await;
        let needle = canary::needle(PEOPLE);
        let mut stranger = site.town.terminal(Who::Stranger);
        let mut asked = 0;
        for route in kiban_web::ROUTES.iter().filter(|route| route.path.starts_with("/api/")) {
            // Logging out ends the sweep, the description of the API is nobody's.
            if matches!(route.name, "log_out" | "description") || route.listener == kiban_web::Listener::Public {
                continue;
            }
            for handle in &handles {
                for (path, body) in attempts(&site.town, route.path, handle) {
                    stranger.connect(server.address).await.unwrap();
                    let answer = stranger.send(route.method.as_str(), &path, body).await.unwrap();
                    let hit = needle.find(&answer.bytes);
                    assert_eq!(hit, None, "{} {path} → {}", route.method, answer.status);
                    assert_ne!(answer.status, 500, "{} {path}", route.method);
                    assert!(
                        answer.status >= 400 || is_harmless(&answer) || OF_ITS_OWN.contains(&route.name),
                        "{} {path} → {}",
                        route.method,
                        answer.status
                    );
                    asked += 1;
                }
            }
        }
        assert!(asked > 100);
        server.kill().await;
        println!("answers to an office that is not entitled: {asked}, words found 0");
    });
}

/// An answer that may be given to anybody who is logged in: an empty list.
fn is_harmless(answer: &Answer) -> bool {
    let body = answer.json();
    ["people", "items", "submissions", "look_ups", "slips", "announcements"]
        .iter()
        .any(|key| body[key].as_array().is_some_and(Vec::is_empty))
}

/// What somebody tries on a route: with the handle and kinds filled in, without a body, and with bodies that fit others.
fn attempts(town: &Town, path: &str, handle: &str) -> Vec<(String, Body)> {
    let path = path.replace("{handle}", handle).replace("{receipt}", &handle[..32]).replace("{id}", &handle[..32]);
    let path = path.replace("{office}", "9970000015").replace("{account}", "nurse1");
    let kinds = if path.contains("{kind}") { &["A2", "A3a", "A3b", "A5", "CP1", "E1", "G1"][..] } else { &[""][..] };
    let person = &town.cast.consenting;
    let identity = &person.insured.identity;
    // Three of the four items are right.
    let bodies = [
        serde_json::json!({
            "insurer_number": person.insured.card_insurer, "insured_number": person.insured.key.insured,
            "kana": identity.kana, "birth": identity.birth.tomorrow().unwrap(), "sex": identity.sex, "makes_plan": false,
        }),
        serde_json::json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" }),
        serde_json::json!({ "insured_number": person.insured.key.insured }),
        serde_json::json!({
            "reason": "安否確認", "insurer_number": person.insured.card_insurer, "kana": identity.kana, "birth": identity.birth,
        }),
        serde_json::json!({ "reason": "確認" }),
        serde_json::json!({ "hidden": true }),
        serde_json::json!({ "decision": "confirm" }),
    ];
    let mut tries = Vec::new();
    for kind in kinds {
        let path = path.replace("{kind}", kind);
        tries.push((path.clone(), Body::Nothing));
        tries.extend(bodies.iter().map(|body| (path.clone(), Body::Json(body.clone()))));
    }
    tries
}

/// Handles that were given to the care manager.
async fn handles_of_the_manager(site: &Site, address: std::net::SocketAddr) -> Vec<String> {
    let mut manager = site.town.terminal(Who::Manager);
    let mut handles = Vec::new();
    for person in [&site.town.cast.consenting, &site.town.cast.without_consent] {
        let (items, identity) = (person.four_items(), &person.insured.identity);
        let body = serde_json::json!({
            "insurer_number": items.number.insurer, "insured_number": items.number.insured, "kana": identity.kana,
            "birth": identity.birth, "sex": identity.sex, "makes_plan": true,
        });
        manager.connect(address).await.unwrap();
        let answer = manager.send("POST", "/api/v1/people", Body::Json(body)).await.unwrap();
        handles.push(answer.text("handle").unwrap());
    }
    // The manager sees what the stranger must not: the words are there to be found.
    let page = manager.send("GET", &format!("/api/v1/people/{}", handles[0]), Body::Nothing).await.unwrap();
    assert!(canary::needle(PEOPLE).find(&page.bytes).is_some());
    handles
}

async fn ask(site: &Site, who: Who, address: std::net::SocketAddr, path: &str) -> Answer {
    let answer = try_ask(site, who, address, path).await;
    answer.unwrap_or_else(|lost| panic!("{lost:?}\n{}", server::last_words(&site.place.log)))
}

async fn try_ask(site: &Site, who: Who, address: std::net::SocketAddr, path: &str) -> Result<Answer, Lost> {
    let mut terminal: Terminal = site.town.terminal(who);
    terminal.connect(address).await?;
    terminal.send("GET", path, Body::Nothing).await
}

fn require_unavailable(answer: &Answer) {
    let told = (answer.status, answer.is_problem, answer.retry_after.is_some());
    assert_eq!(told, (503, true, true), "{}", String::from_utf8_lossy(&answer.bytes));
}

/// Served again without a hand, within a bounded number of attempts.
async fn require_served_again(site: &Site, address: std::net::SocketAddr) {
    let mut statuses = Vec::new();
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while tokio::time::Instant::now() < until {
        // While nobody's standing can be known, connections are refused.
        let status = try_ask(site, Who::City, address, "/api/v1/inbox").await.map_or(0, |answer| answer.status);
        if status == 200 {
            return;
        }
        statuses.push(status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not served again: {statuses:?}\n{}", server::last_words(&site.place.log));
}
