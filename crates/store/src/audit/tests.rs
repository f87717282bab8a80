//! The log's promises, on SQLite always and on PostgreSQL when `KIBAN_TEST_POSTGRES` names one.

use super::anchor::Outside;
use super::log::Pace;
use super::*;
use crate::engine::{Arg, Committed, Engine, RawTx, parameters};
use crate::seal::{hex, random_bytes};
use crate::{KeyLimits, Keyring, MasterKey};
use crate::{NO_INSURER, StoreError};
use kiban_domain::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const INSURER: &str = "011002";
const HANAKO: &str = "0000000001";
const TARO: &str = "0000000002";
const OFFICE: &str = "0170000001";
const START: i64 = 1_795_000_000_000_000;

/// A database of its own, a folder, and a clock that stands.
struct World {
    engine: Engine,
    folder: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    /// Address of the server and name of the database to drop.
    postgres: Option<(String, String)>,
}

/// Runs a test on every engine there is.
async fn on_each_engine(test: impl AsyncFn(&World)) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("kiban.db").display());
    run(&test, &address, folder, None).await;
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped");
        return;
    };
    let name = format!("kiban_audit_{}", hex(&random_bytes::<6>().unwrap()));
    // Without the time limit of a statement: making and dropping wait for a checkpoint.
    let mut admin = PgConnection::connect(&server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let (before, after) = server.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap();
    let query = after.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let address = format!("postgres://{before}/{name}?{query}");
    run(&test, &address, tempfile::tempdir().unwrap(), Some((server, name))).await;
}

async fn run(
    test: &impl AsyncFn(&World),
    address: &str,
    folder: tempfile::TempDir,
    postgres: Option<(String, String)>,
) {
    let engine = Engine::open(address).await.unwrap();
    crate::migrations::migrate(&engine, None).await.unwrap();
    let world = World { engine, folder, clock: Arc::new(AtomicI64::new(START)), postgres };
    test(&world).await;
    world.engine.close().await;
    if let Some((server, name)) = &world.postgres {
        let mut admin = PgConnection::connect(server).await.unwrap();
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    }
}

fn leak(sql: &str) -> &'static str {
    sql.to_owned().leak()
}

impl World {
    fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || Timestamp::from_microsecond(clock.load(Ordering::SeqCst)).unwrap_or_default())
    }

    fn anchors(&self) -> PathBuf {
        self.folder.path().join("anchors")
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::load_or_create(&self.folder.path().join("keys/anchor.key")).unwrap()
    }

    async fn keyring(&self) -> Keyring {
        let master = MasterKey::load_or_create(&self.folder.path().join("keys/master.key")).unwrap();
        Keyring::open(&self.engine, master, self.clock(), KeyLimits::default()).await.unwrap()
    }

    /// Starts a log whose keeper does nothing by itself, so that a test decides when segments are closed.
    async fn try_start(&self) -> Result<AuditLog, StoreError> {
        self.start_paced(Pace { tick: Duration::from_secs(3600), ..Pace::of(&self.engine) }).await
    }

    async fn start_paced(&self, pace: Pace) -> Result<AuditLog, StoreError> {
        let settings =
            AuditSettings { signing_key: self.signing_key(), anchor_dir: self.anchors(), clock: self.clock() };
        AuditLog::start_paced(self.engine.clone(), self.keyring().await, settings, pace).await
    }

    async fn start(&self) -> AuditLog {
        self.try_start().await.unwrap()
    }

    async fn verify(&self) -> VerifyReport {
        verify(&self.engine, Some(&self.keyring().await), &self.signing_key().public_key(), &self.anchors())
            .await
            .unwrap()
    }

    async fn sql(&self, sql: &str) -> u64 {
        let mut tx = self.engine.begin().await.unwrap();
        let changed = tx.run(leak(sql), &[]).await.unwrap();
        assert_eq!(tx.commit().await, Committed::Done);
        changed
    }

    async fn refusal_to_start(&self) -> String {
        match self.try_start().await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("a log that was cut must not be served"),
        }
    }

    fn tick(&self, micros: i64) {
        self.clock.fetch_add(micros, Ordering::SeqCst);
    }
}

fn look(request: &str) -> Entry {
    Entry {
        insurer: Some(INSURER.to_owned()),
        insured: Some(HANAKO.to_owned()),
        organization: Some(OFFICE.to_owned()),
        staff: Some("s1".to_owned()),
        certificate: Some([7; 32]),
        kind: Some("A3a".to_owned()),
        natural_key: Some("3".to_owned()),
        rule: Some("R-12".to_owned()),
        policy_version: Some("2025-07".to_owned()),
        facts: u64::MAX,
        software: Some("架空ソフト".to_owned()),
        source: Some("192.0.2.1".to_owned()),
        detail: Some("{\"why\":\"架空\"}".to_owned()),
        ..Entry::new(Timestamp::from_microsecond(START).unwrap(), request, "page", "view", Outcome::Allowed)
    }
}

async fn write(log: &AuditLog, world: &World, request: &str) -> (RawTx, Slot) {
    let mut tx = world.engine.begin().await.unwrap();
    let slot = log.stage(&mut tx, Entry { action: "register".to_owned(), ..look(request) }).await.unwrap();
    (tx, slot)
}

/// Five looks, sealed and signed, the process ended.
async fn sealed_log(world: &World) -> Vec<Position> {
    let log = world.start().await;
    let mut positions = Vec::new();
    for i in 0..5 {
        positions.push(log.append(look(&format!("r{i}"))).await.unwrap());
    }
    log.shutdown().await.unwrap();
    assert!(world.verify().await.is_intact());
    positions
}

fn named(finding: &Finding) -> (Option<&str>, Option<i32>, Option<i32>) {
    (finding.writer.as_deref(), finding.segment, finding.n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_looks_at_once_are_all_durable_and_provable() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let looks: Vec<_> = (0..200)
            .map(|i| {
                let log = log.clone();
                tokio::spawn(async move { log.release(Unreleased::new(i), look(&format!("r{i}"))).await })
            })
            .collect();
        for (i, look) in looks.into_iter().enumerate() {
            assert_eq!(look.await.unwrap().unwrap(), i);
        }
        // Durable before the answer: another process would find them all now, before any segment is closed.
        assert_eq!(log.about_person(INSURER, HANAKO, 1000, None).await.unwrap().len(), 200);
        log.anchor_now().await.unwrap();
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.not_yet_sealed, report.not_yet_anchored, report.holes), (200, 0, 0, 0));
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_write_and_its_entry_are_there_together_or_not_at_all_and_no_number_stays_empty() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let (tx, slot) = write(&log, world, "done").await;
        assert_eq!(tx.commit().await, Committed::Done);
        slot.committed();
        let (tx, slot) = write(&log, world, "rolled-back").await;
        drop((slot, tx));
        // The answer was lost after the commit: nobody called `committed`.
        let (tx, slot) = write(&log, world, "cut-off").await;
        assert_eq!(tx.commit().await, Committed::Done);
        drop(slot);
        log.shutdown().await.unwrap();
        let report = world.verify().await;
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.voids, report.holes), (3, 1, 0));
        let log = world.start().await;
        let requests: Vec<_> = log.about_person(INSURER, HANAKO, 10, None).await.unwrap();
        let requests: Vec<_> = requests.iter().map(|entry| entry.request_id.as_str()).collect();
        assert_eq!(requests, ["cut-off", "done"]);
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_commit_without_an_answer_gives_the_writer_up_and_the_log_stays_whole() {
    on_each_engine(async |world| {
        let log = world.start().await;
        log.append(look("before")).await.unwrap();
        let first = log.writer_id();
        let (tx, slot) = write(&log, world, "unknown").await;
        assert_eq!(tx.commit().await, Committed::Done);
        slot.unknown();
        let position = log.append(look("after")).await.unwrap();
        assert_ne!(position.writer, first);
        log.shutdown().await.unwrap();
        let log = world.start().await;
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.closed_late, report.not_yet_anchored), (3, 1, 0));
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_altered_column_is_named_by_its_place() {
    on_each_engine(async |world| {
        let place = sealed_log(world).await[2];
        let columns = [
            ("at", "at + 1"),
            ("request_id", "'rx'"),
            ("insured_number", "'0000000002'"),
            ("insured_number", "NULL"),
            ("organization", "'0170000002'"),
            ("staff", "'s2'"),
            ("certificate", "NULL"),
            ("way", "'api'"),
            ("action", "'list'"),
            ("kind", "'A2'"),
            ("natural_key", "'4'"),
            ("outcome", "'refused'"),
            ("rule", "'R-13'"),
            ("policy_version", "'2026-04'"),
            ("facts", "facts + 1"),
            ("subjects", "1"),
            ("detail", "(SELECT b.detail FROM audit b WHERE b.n = 1)"),
            ("detail", "NULL"),
            ("insurer_number", "'012025'"),
        ];
        for (column, value) in columns {
            world.sql("CREATE TABLE kept AS SELECT * FROM audit").await;
            assert_eq!(world.sql(&format!("UPDATE audit SET {column} = {value} WHERE n = 2")).await, 1);
            let report = world.verify().await;
            let first = &report.findings[0];
            let writer = format!("{:016x}", place.writer);
            assert_eq!(named(first), (Some(writer.as_str()), Some(place.segment), Some(2)), "{column} = {value}");
            assert_eq!(first.what, "altered", "{column} = {value}");
            world.sql("DELETE FROM audit").await;
            world.sql("INSERT INTO audit SELECT * FROM kept").await;
            world.sql("DROP TABLE kept").await;
            assert!(world.verify().await.is_intact());
        }
    })
    .await;
}

#[tokio::test]
async fn removed_swapped_added_and_moved_entries_are_named() {
    on_each_engine(async |world| {
        let place = sealed_log(world).await[0];
        let writer = format!("{:016x}", place.writer);
        let cases = [
            (vec!["DELETE FROM audit WHERE n = 1"], 1, "missing"),
            (vec!["DELETE FROM audit WHERE n >= 3"], 3, "missing"),
            (
                vec![
                    "UPDATE audit SET n = 99 WHERE n = 1",
                    "UPDATE audit SET n = 1 WHERE n = 3",
                    "UPDATE audit SET n = 3 WHERE n = 99",
                ],
                1,
                "swapped: the entry that belongs here stands at 3",
            ),
            (vec!["UPDATE audit SET n = 5 WHERE n = 4"], 4, "missing"),
            (vec!["UPDATE audit SET segment = 7 WHERE n = 4"], 4, "missing"),
            (vec!["UPDATE audit SET writer = 7 WHERE n = 4"], 4, "missing"),
            (
                vec![
                    "CREATE TABLE one AS SELECT * FROM audit WHERE n = 0",
                    "UPDATE one SET n = 5",
                    "INSERT INTO audit SELECT * FROM one",
                    "DROP TABLE one",
                ],
                5,
                "added after the segment was sealed",
            ),
        ];
        for (steps, n, what) in cases {
            world.sql("CREATE TABLE kept AS SELECT * FROM audit").await;
            for step in &steps {
                world.sql(step).await;
            }
            let report = world.verify().await;
            assert_eq!(named(&report.findings[0]), (Some(writer.as_str()), Some(place.segment), Some(n)), "{steps:?}");
            assert_eq!(report.findings[0].what, what, "{steps:?}");
            world.sql("DELETE FROM audit").await;
            world.sql("INSERT INTO audit SELECT * FROM kept").await;
            world.sql("DROP TABLE kept").await;
        }
        assert!(world.verify().await.is_intact());
    })
    .await;
}

#[tokio::test]
async fn an_attacker_who_also_writes_new_leaves_and_roots_is_still_found_by_the_anchor() {
    on_each_engine(async |world| {
        let log = world.start().await;
        log.append(look("first")).await.unwrap();
        log.anchor_now().await.unwrap();
        log.append(look("second")).await.unwrap();
        log.shutdown().await.unwrap();
        // Removes the only entry of the first segment and rebuilds the segment as an honest program would.
        world.sql("DELETE FROM audit WHERE segment = 0").await;
        let segment = segment::read_segment(&world.engine, writer_of(world).await, 0).await.unwrap().unwrap();
        let header = segment::Header { entries: 0, root: tree::root(&[]), ..segment.header };
        let forged = format!(
            "UPDATE audit_segment SET entries = 0, leaves = {b}'', root = {b}'{}', header = {b}'{}' WHERE segment = 0",
            sql_bytes(world, &header.root),
            sql_bytes(world, &header.hash()),
            b = if world.engine.is_postgres() { "" } else { "x" },
        );
        world.sql(&forged).await;
        let report = world.verify().await;
        assert_eq!(report.findings[0].segment, Some(0));
        assert_eq!(report.findings[0].what, "segment is not the one signed by anchor 2");
        assert!(
            report.findings.iter().any(|finding| finding.segment == Some(1) && finding.what == "header altered"),
            "chain"
        );
    })
    .await;
}

async fn writer_of(world: &World) -> i64 {
    world.engine.rows("SELECT MAX(writer) FROM audit_segment", &[]).await.unwrap()[0].big(0).unwrap()
}

fn sql_bytes(world: &World, bytes: &[u8]) -> String {
    format!("{}{}", if world.engine.is_postgres() { "\\x" } else { "" }, hex(bytes))
}

#[tokio::test]
async fn a_log_that_is_older_than_its_outside_anchor_is_not_served() {
    on_each_engine(async |world| {
        let log = world.start().await;
        log.append(look("kept")).await.unwrap();
        log.anchor_now().await.unwrap();
        log.append(look("cut")).await.unwrap();
        log.shutdown().await.unwrap();
        world.start().await.shutdown().await.unwrap();

        world.sql("DELETE FROM audit WHERE segment = 1").await;
        let why = world.refusal_to_start().await;
        assert!(why.contains("outside anchor 3") && why.contains("-1-0 is missing"), "{why}");
        world.sql("DELETE FROM audit_segment WHERE segment = 1").await;
        assert!(world.refusal_to_start().await.contains("-1 is missing"));
        assert!(
            world.verify().await.findings.iter().any(|finding| finding.what == "segment missing, signed by anchor 3")
        );
        // As an older backup would be: the anchor is gone too.
        world.sql("DELETE FROM audit_anchor WHERE number = 3").await;
        let why = world.refusal_to_start().await;
        assert!(why.contains("the newest in the database is 2"), "{why}");
        let report = world.verify().await;
        assert!(
            report.findings.iter().any(|finding| finding.what.starts_with("anchor 3 is outside only")),
            "{report:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn entries_of_a_killed_process_are_closed_late_by_the_next_start() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let killed = log.writer_id();
        let (tx, slot) = write(&log, world, "never-committed").await;
        drop(tx);
        let answered = log.append(look("answered")).await.unwrap();
        assert_eq!(answered.n, 1);
        log.clone().kill().await;
        drop((slot, log));

        let log = world.start().await;
        assert_ne!(log.writer_id(), killed);
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.closed_late, report.holes, report.not_yet_sealed), (1, 1, 1, 0));
        assert_eq!(report.not_yet_anchored, 0, "signed at once");
        let proof = log.proof(answered).await.unwrap();
        assert_eq!(verify_proof(&proof, &log.public_key()), Ok(()));
        log.shutdown().await.unwrap();

        // Nothing can be put into the hole afterwards.
        world.sql("CREATE TABLE one AS SELECT * FROM audit").await;
        world.sql("UPDATE one SET n = 0").await;
        world.sql("INSERT INTO audit SELECT * FROM one").await;
        assert_eq!(world.verify().await.findings[0].what, "added where a killed process had left a hole");
    })
    .await;
}

#[tokio::test]
async fn a_process_that_slept_past_its_lease_writes_nothing_more_under_its_old_number() {
    on_each_engine(async |world| {
        let sleeper = world.start().await;
        sleeper.append(look("before-sleep")).await.unwrap();
        let old = sleeper.writer_id();
        let (tx, slot) = write(&sleeper, world, "half-done").await;
        drop(tx);
        world.tick(3_600_000_000);
        let other = world.start().await;
        // Wakes up: what it had begun is not counted, what it begins is refused once, then goes on under a new number.
        drop(slot);
        assert!(matches!(sleeper.append(look("refused")).await, Err(StoreError::Unavailable(_))));
        assert_ne!(sleeper.append(look("after-sleep")).await.unwrap().writer, old);
        sleeper.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
        let report = world.verify().await;
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.closed_late, report.voids), (2, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    on_each_engine(async |world| {
        let mut tx = world.engine.begin().await.unwrap();
        let (explain, scan) = if world.engine.is_postgres() {
            tx.run("SET LOCAL enable_seqscan = off", &[]).await.unwrap();
            tx.run("SET LOCAL plan_cache_mode = force_generic_plan", &[]).await.unwrap();
            ("", "Seq Scan")
        } else {
            ("EXPLAIN QUERY PLAN ", "SCAN audit")
        };
        for sql in ALL.iter().copied().flatten() {
            let plan = plan_of(world, &mut tx, explain, sql).await;
            // Without a condition SQLite calls walking the key's order a scan; it stops at the LIMIT.
            let walks_key = !sql.contains("WHERE") && sql.contains("LIMIT 1") && !plan.contains("TEMP B-TREE");
            assert!(walks_key || !plan.contains(scan), "{sql}\n{plan}");
        }
    })
    .await;
}

/// The plan of a statement with bound values left open.
async fn plan_of(world: &World, tx: &mut RawTx, explain: &str, sql: &str) -> String {
    if !world.engine.is_postgres() {
        let open = vec![Arg::Text(None); parameters(sql)];
        let rows = tx.rows(leak(&format!("{explain}{sql}")), &open).await.unwrap();
        return rows.iter().map(|row| row.text(3).unwrap()).collect::<Vec<_>>().join("\n");
    }
    // PostgreSQL 15 explains a prepared statement only with values; NULL does for all, the plan is made without them.
    let count = (1..=20).rev().find(|i| sql.contains(&format!("${i}"))).unwrap_or(0);
    tx.script(format!("PREPARE asked AS {sql}")).await.unwrap();
    let nulls = vec!["NULL"; count].join(", ");
    let call = if count == 0 { "asked".to_owned() } else { format!("asked({nulls})") };
    let rows = tx.rows(leak(&format!("EXPLAIN EXECUTE {call}")), &[]).await.unwrap();
    tx.script("DEALLOCATE asked".to_owned()).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_months_of_the_log_are_made_while_the_server_runs() {
    on_each_engine(async |world| {
        let log = world.start().await;
        world.tick(40 * 86_400_000_000);
        log.0.each_minute().await.unwrap();
        if world.engine.is_postgres() {
            let there = "SELECT count(to_regclass('audit_202703'))";
            assert_eq!(world.engine.rows(there, &[]).await.unwrap()[0].big(0).unwrap(), 1);
        }
        log.append(Entry { at: START + 40 * 86_400_000_000, ..look("later") }).await.unwrap();
        log.shutdown().await.unwrap();
        assert!(world.verify().await.is_intact());
    })
    .await;
}

#[tokio::test]
async fn an_anchor_of_another_key_is_named() {
    on_each_engine(async |world| {
        sealed_log(world).await;
        let report = verify(&world.engine, None, &[9; 32], &world.anchors()).await.unwrap();
        assert_eq!(report.findings[0].what, "anchor 1 is not signed by this key");
    })
    .await;
}

#[tokio::test]
async fn a_clock_set_back_never_puts_an_entry_before_its_predecessor() {
    on_each_engine(async |world| {
        let log = world.start().await;
        for (i, shift) in [0, 3_600_000_000, -86_400_000_000, 5].into_iter().enumerate() {
            log.append(Entry { at: START + shift, ..look(&format!("r{i}")) }).await.unwrap();
            world.clock.store(START + shift, Ordering::SeqCst);
            log.anchor_now().await.unwrap();
        }
        let entries = log.about_person(INSURER, HANAKO, 10, None).await.unwrap();
        let times: Vec<_> = entries.iter().rev().map(|entry| entry.at - START).collect();
        assert_eq!(times, [0, 3_600_000_000, 3_600_000_000, 3_600_000_000]);
        assert!(log.verify().await.unwrap().is_intact());
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_entry_altered_before_its_segment_was_closed_is_named_too() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let place = log.append(look("r")).await.unwrap();
        world.sql("UPDATE audit SET staff = 'nobody'").await;
        log.anchor_now().await.unwrap();
        let report = log.verify().await.unwrap();
        assert_eq!(report.findings[0].n, Some(place.n));
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn everybody_on_a_list_finds_the_look_and_nobody_else_does() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let subjects: Vec<String> = (1..=150).map(|i| format!("{i:010}")).collect();
        let list =
            |request| Entry { insured: None, action: "list".to_owned(), subjects: subjects.clone(), ..look(request) };
        log.append(list("morning")).await.unwrap();
        log.append(list("evening")).await.unwrap();
        log.append(look("card")).await.unwrap();
        let hanako = log.about_person(INSURER, HANAKO, 10, None).await.unwrap();
        let requests: Vec<_> = hanako.iter().map(|entry| entry.request_id.as_str()).collect();
        assert_eq!(requests, ["card", "morning"], "one list view per organisation and day");
        assert_eq!(log.about_person(INSURER, TARO, 10, None).await.unwrap().len(), 1);
        assert!(log.about_person(INSURER, "0000000151", 10, None).await.unwrap().is_empty());
        assert!(log.about_person("012025", HANAKO, 10, None).await.unwrap().is_empty(), "same number, other insurer");
        assert_eq!(log.detail_of(&hanako[1]).await.unwrap().subjects.len(), 150);
        log.anchor_now().await.unwrap();
        assert!(log.verify().await.unwrap().is_intact());
        world.sql("DELETE FROM audit_seen WHERE insured_number = '0000000002'").await;
        let report = log.verify().await.unwrap();
        assert_eq!(report.findings[0].what, "a person on this list view would not find it (audit_seen)");
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn lists_of_entries_are_newest_first_and_go_on_where_they_ended() {
    on_each_engine(async |world| {
        let log = world.start().await;
        for i in 0..7 {
            log.append(Entry { at: START + i / 2, ..look(&format!("r{i}")) }).await.unwrap();
        }
        log.append(Entry { organization: Some("0170000002".to_owned()), ..look("other-office") }).await.unwrap();
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let page = log.of_organization(OFFICE, 3, before).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.cursor());
            seen.extend(page.into_iter().map(|entry| entry.request_id));
        }
        assert_eq!(seen, ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]);
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_proof_stands_alone_and_still_holds_when_the_office_is_withheld() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let place = log.append(look("r")).await.unwrap();
        for i in 0..20 {
            log.append(look(&format!("more{i}"))).await.unwrap();
        }
        assert!(matches!(log.proof(Position { segment: 99, ..place }).await, Err(StoreError::Unavailable(_))));
        log.anchor_now().await.unwrap();
        let key = log.public_key();
        let proof = log.proof(place).await.unwrap();
        let text = serde_json::to_string(&proof).unwrap();
        let proof: Proof = serde_json::from_str(&text).unwrap();
        assert_eq!(verify_proof(&proof, &key), Ok(()));
        assert_eq!(proof.field("organization"), Some(&Value::Text(OFFICE.to_owned())));

        let mut withheld = proof.clone();
        withheld.withhold("who");
        assert_eq!(verify_proof(&withheld, &key), Ok(()));
        assert!(!serde_json::to_string(&withheld).unwrap().contains(OFFICE));

        let mut forged = proof.clone();
        if let ShownGroup::Shown { fields, .. } = &mut forged.groups[2] {
            fields[0].1 = Value::Text("0170000002".to_owned());
        }
        assert!(verify_proof(&forged, &key).is_err());
        let mut elsewhere = proof.clone();
        elsewhere.n = 1;
        assert!(verify_proof(&elsewhere, &key).is_err());
        let mut other_header = proof.clone();
        other_header.headers[0].closed_at += 1;
        assert!(verify_proof(&other_header, &key).is_err());
        assert!(verify_proof(&proof, &[3; 32]).is_err());
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_proof_holds_over_the_headers_of_later_segments() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let place = log.append(look("r0")).await.unwrap();
        for i in 1..4 {
            log.0.close_segments().await.unwrap();
            log.append(look(&format!("r{i}"))).await.unwrap();
        }
        log.anchor_now().await.unwrap();
        let mut proof = log.proof(place).await.unwrap();
        assert_eq!(proof.headers.len(), 4);
        assert_eq!(verify_proof(&proof, &log.public_key()), Ok(()));
        proof.headers.remove(1);
        assert!(verify_proof(&proof, &log.public_key()).is_err());
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn segments_are_closed_and_signed_without_anybody_asking() {
    on_each_engine(async |world| {
        let log = world.start_paced(Pace { tick: Duration::from_millis(2), ..Pace::of(&world.engine) }).await.unwrap();
        let place = log.append(look("r")).await.unwrap();
        while log.proof(place).await.is_err() {
            tokio::task::yield_now().await;
        }
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn two_processes_keep_one_log() {
    on_each_engine(async |world| {
        let (one, two) = (world.start().await, world.start().await);
        for i in 0..5 {
            one.append(look(&format!("one{i}"))).await.unwrap();
            two.append(look(&format!("two{i}"))).await.unwrap();
            one.anchor_now().await.unwrap();
            two.anchor_now().await.unwrap();
        }
        one.shutdown().await.unwrap();
        two.append(look("still-here")).await.unwrap();
        two.shutdown().await.unwrap();
        let report = world.verify().await;
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.closed_late, report.writers), (11, 0, 2));
        assert_eq!(report.anchors, report.anchors_outside);
    })
    .await;
}

#[tokio::test]
async fn the_outside_file_survives_a_cut_line_and_catches_up() {
    on_each_engine(async |world| {
        sealed_log(world).await;
        let path = world.anchors().join("anchors.jsonl");
        let whole = std::fs::read_to_string(&path).unwrap();
        let last_line = whole.trim_end().rfind('\n').unwrap() + 1;
        // Killed in the middle of writing the last anchor outside.
        std::fs::write(&path, &whole[..last_line + 20]).unwrap();
        let log = world.start().await;
        log.shutdown().await.unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&whole));
        assert!(world.verify().await.is_intact());
        assert_eq!(
            Outside::new(&world.anchors()).newest().unwrap(),
            Outside::new(&world.anchors()).all().unwrap().pop()
        );
    })
    .await;
}

#[tokio::test]
async fn an_idle_log_is_signed_once_a_day() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let first = log.anchor_now().await.unwrap();
        world.tick(3_600_000_000);
        assert_eq!(log.anchor_now().await.unwrap(), first);
        world.tick(86_400_000_000);
        assert_eq!(log.anchor_now().await.unwrap().number, first.number + 1);
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_import_that_outlasts_the_looks_of_others_still_commits_with_its_entry() {
    on_each_engine(async |world| {
        let begin = Duration::from_millis(50);
        let log = world.start_paced(Pace { tick: Duration::from_secs(3600), begin, ..Pace::of(&world.engine) }).await;
        let log = log.unwrap();
        let first = log.append(look("before")).await.unwrap().writer;
        let mut import = world.engine.begin().await.unwrap();
        // On PostgreSQL looks go on meanwhile; on SQLite they are refused until the import has ended.
        for i in 0..3 {
            let answer = log.append(look(&format!("r{i}"))).await;
            assert_eq!(answer.is_ok(), world.engine.is_postgres(), "{answer:?}");
        }
        if !world.engine.is_postgres() {
            log.outlast_lease();
        }
        let slot = log.stage(&mut import, look("import")).await.unwrap();
        assert_eq!(slot.position().unwrap().writer, first, "the writer was not given up");
        assert_eq!(import.commit().await, Committed::Done);
        slot.committed();
        assert_eq!(log.append(look("after")).await.unwrap().writer, first);
        log.shutdown().await.unwrap();
        let report = world.verify().await;
        assert!(report.is_intact(), "{report:?}");
        let looks = if world.engine.is_postgres() { 6 } else { 3 };
        assert_eq!((report.entries, report.voids, report.holes, report.closed_late), (looks, 0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_inserted_leaves_no_empty_number_and_its_writer_goes_on() {
    on_each_engine(async |world| {
        let log = world.start().await;
        let first = log.append(look("before")).await.unwrap();
        world.sql("ALTER TABLE audit_seen RENAME TO elsewhere").await;
        let listed = Entry { insured: None, subjects: vec![HANAKO.to_owned()], ..look("list") };
        assert!(matches!(log.append(listed).await, Err(StoreError::Unavailable(_))));
        world.sql("ALTER TABLE elsewhere RENAME TO audit_seen").await;
        assert_eq!(log.append(look("after")).await.unwrap().writer, first.writer);
        log.shutdown().await.unwrap();
        let report = world.verify().await;
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.entries, report.voids, report.holes, report.closed_late), (3, 1, 0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_no_value_leaves_and_the_queue_does_not_grow() {
    on_each_engine(async |world| {
        let hour = Duration::from_secs(3600);
        let soon = Duration::from_millis(500);
        let log = world.start_paced(Pace { tick: hour, begin: soon, finish: soon }).await.unwrap();
        let mut blocker = world.engine.begin().await.unwrap();
        if world.engine.is_postgres() {
            blocker.run("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE", &[]).await.unwrap();
        }
        let looks: Vec<_> = (0..2_000)
            .map(|i| {
                let log = log.clone();
                tokio::spawn(async move { log.release(Unreleased::new("secret"), look(&format!("r{i}"))).await })
            })
            .collect();
        let mut full = 0;
        for look in looks {
            match look.await.unwrap() {
                Err(StoreError::Unavailable(why)) => full += usize::from(why.contains("full")),
                other => panic!("{other:?}"),
            }
        }
        assert!(full >= 2_000 - 1_024 - 2 * 256, "{full} refused at once");
        drop(blocker);
        log.append(look("again")).await.unwrap();
        log.shutdown().await.unwrap();
        assert!(matches!(log.append(look("late")).await, Err(StoreError::Unavailable(_))));
        let log = world.start().await;
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!(report.not_yet_sealed, 0);
        log.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn keys_of_an_insurer_are_made_once_and_only_the_right_master_key_opens_them() {
    on_each_engine(async |world| {
        let (one, two) = (world.keyring().await, world.keyring().await);
        let (here, there) = tokio::join!(one.keys_of(INSURER), two.keys_of(INSURER));
        let (here, there) = (here.unwrap(), there.unwrap());
        let sealed = here.seal(&[b"name", HANAKO.as_bytes()], "架空 花子".as_bytes());
        assert_eq!(there.open(&[b"name", HANAKO.as_bytes()], &sealed).unwrap(), "架空 花子".as_bytes());
        assert_eq!(here.digest(b"x"), there.digest(b"x"));
        assert_eq!(here.token("name-birth", "x"), there.token("name-birth", "x"));
        assert_ne!(here.token("name-birth", "x"), here.token("kana-birth", "x"));
        let other = one.keys_of("012025").await.unwrap();
        assert!(other.open(&[b"name", HANAKO.as_bytes()], &sealed).is_err());
        assert_ne!(here.digest(b"x"), other.digest(b"x"));
        assert_ne!(here.token("name-birth", "x"), other.token("name-birth", "x"));

        let door = one.door().sign("assignment", &[b"a", b"bc"]);
        assert!(two.door().fits("assignment", &[b"a", b"bc"], &door));
        assert!(!two.door().fits("assignment", &[b"ab", b"c"], &door));
        assert!(!two.door().fits("consent_act", &[b"a", b"bc"], &door));
        assert!(!two.door().fits("assignment", &[b"a", b"bc"], &door[..31]));

        let wrong = MasterKey::load_or_create(&world.folder.path().join("keys/wrong.key")).unwrap();
        let refused = Keyring::open(&world.engine, wrong, world.clock(), KeyLimits::default()).await;
        assert!(matches!(refused, Err(StoreError::Unreadable(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn the_log_holds_no_text_in_clear_and_its_detail_belongs_to_its_place() {
    on_each_engine(async |world| {
        let log = world.start().await;
        log.append(look("r0")).await.unwrap();
        log.append(Entry { insurer: None, insured: None, action: "login".to_owned(), ..look("r1") }).await.unwrap();
        let entries = log.of_organization(OFFICE, 10, None).await.unwrap();
        let detail = log.detail_of(&entries[1]).await.unwrap();
        assert_eq!((detail.software.as_deref(), detail.source.as_deref()), (Some("架空ソフト"), Some("192.0.2.1")));
        assert_eq!(entries[0].insurer, NO_INSURER);
        assert!(!entries[1].sealed.as_ref().unwrap().windows(9).any(|bytes| bytes == b"192.0.2.1"));
        let moved = StoredEntry { sealed: entries[0].sealed.clone(), ..entries[1].clone() };
        assert!(log.detail_of(&moved).await.is_err());
        log.shutdown().await.unwrap();
    })
    .await;
}
