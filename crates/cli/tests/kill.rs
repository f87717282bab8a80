//! kill -9 at any moment loses no acknowledged write and leaves no answered read without its audit entry (F-1, F-2).
//!
//! `strace` kills the server at the N-th write, fsync or send, and a plain SIGKILL comes after the k-th line of the clients'
//! ledgers; after each kill the server is started again on the same home. Everything that was acknowledged so far is compared
//! before each kill of the second way and at the end of each home.
//!
//! Settings: `KIBAN_KILLS` per engine (200), `KIBAN_SEED` (1), `KIBAN_TEST_POSTGRES` for the second engine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::check::{Tally, check, require_intact, wait_until_all_is_applied};
use support::database::{self, Database};
use support::ledger::{self, Lines};
use support::parties::{self, Party};
use support::server::{self, Injection, Place, Server, Start, can_trace, serve};
use support::town::{Town, Who};
use support::{Dice, canary, setting};

const PEOPLE: u32 = 40;
/// Kills after which a fresh home takes over.
const KILLS_PER_HOME: u64 = 67;
/// Requests of each client between two kills, at most.
const REQUESTS: usize = 40;

#[test]
fn kill_9_loses_no_acknowledged_write_on_sqlite() {
    support::run(sweep("SQLite", None));
}

#[test]
fn kill_9_loses_no_acknowledged_write_on_postgresql() {
    match std::env::var("KIBAN_TEST_POSTGRES") {
        Ok(server) => support::run(sweep("PostgreSQL", Some(server))),
        Err(_) => println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set"),
    }
}

async fn sweep(engine: &str, server: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("kiban_kill_{}", std::process::id());
    let database = match &server {
        Some(server) => Some(database::create(server, &name, None).await),
        None => None,
    };
    let town = Arc::new(Town::build(&folder.path().join("town"), database.as_deref(), PEOPLE).await);
    let traced = can_trace();
    if !traced {
        println!("{engine}: strace may not follow processes here; random kills only");
    }
    let (kills, seed) = (setting("KIBAN_KILLS", 200), setting("KIBAN_SEED", 1));
    let (mut done, mut total, mut homes, mut seen) = (0, Tally::default(), 0, Moments::default());
    while done < kills {
        homes += 1;
        let copy = format!("{name}_{homes}");
        let database = match &server {
            Some(server) => Some(database::create(server, &copy, Some(&name)).await),
            None => None,
        };
        let home = Killed::new(folder.path(), homes, &town, database, Dice::new(seed * 1_000 + homes));
        let to = kills.min(done + KILLS_PER_HOME);
        total.add(home.run(done..to, traced, server.is_some(), &mut seen).await);
        done = to;
        total.require_sound();
        if let Some(server) = &server {
            database::drop_database(server, &copy).await;
        }
    }
    if let Some(server) = &server {
        database::drop_database(server, &name).await;
    }
    // A few kills may end before every party has come to everything it does.
    if kills >= KILLS_PER_HOME {
        total.require_every_write();
    }
    println!("{engine}: kills {done} ({seen}; homes {homes}, seed {seed}) · {total}");
}

/// When the kills came.
#[derive(Default)]
struct Moments {
    /// At the N-th call, while clients were served.
    call: u64,
    /// At the N-th call, before the server listened: the recovery from the kill before.
    start: u64,
    /// After a line of the ledgers.
    line: u64,
    /// The N-th call did not come before the clients were done.
    idle: u64,
}

impl std::fmt::Display for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { call, start, line, idle } = self;
        write!(
            f,
            "at the N-th call {call}, at the N-th call of a recovery {start}, at a ledger line {line}, idle {idle}"
        )
    }
}

/// One home on its way through many kills.
struct Killed {
    place: Place,
    ledgers: PathBuf,
    lines: Lines,
    town: Arc<Town>,
    parties: Vec<Party>,
    dice: Dice,
    checks: u64,
}

impl Killed {
    fn new(folder: &Path, number: u64, town: &Arc<Town>, database: Option<String>, dice: Dice) -> Self {
        let home = folder.join(format!("home-{number}"));
        town.copy_home(&home);
        let ledgers = folder.join(format!("ledgers-{number}"));
        std::fs::create_dir_all(&ledgers).unwrap();
        let place = Place { home, database, log: folder.join(format!("server-{number}.log")) };
        let lines = Lines::default();
        let parties = parties::everybody(town, &ledgers, &lines);
        Self { place, ledgers, lines, town: Arc::clone(town), parties, dice, checks: 0 }
    }

    /// So many kills, then everything compared once more.
    async fn run(mut self, kills: Range<u64>, traced: bool, postgres: bool, seen: &mut Moments) -> Tally {
        for kill in kills {
            if traced && kill % 2 == 0 {
                self.kill_by_call(&injection(kill / 2, postgres), seen).await;
            } else {
                self.kill_by_line(seen).await;
            }
        }
        // The home as the last kill left it, write-ahead log and all, holds no word of anybody.
        self.require_no_word();
        let server = serve(&self.place).await;
        self.parties = parties::work(self.parties, server.address, 12).await;
        let mut database = Database::open(&self.place.address()).await;
        wait_until_all_is_applied(&mut database).await;
        database.close().await;
        assert!(server.stop().await.success(), "{}", server::last_words(&self.place.log));
        let tally = self.compare().await;
        require_intact(&self.place.home, &self.place.address()).await;
        self.require_no_word();
        tally
    }

    fn require_no_word(&self) {
        let needle = canary::needle(PEOPLE);
        canary::require_none(&needle, &self.place.home);
        canary::require_none(&needle, &self.place.log);
    }

    /// A start under `strace`, clients until the server dies.
    async fn kill_by_call(&mut self, injection: &Injection, seen: &mut Moments) {
        match server::start(&self.place, Some(injection)).await {
            Start::Ended(_) => seen.start += 1,
            Start::Serving(mut server) => {
                let parties = std::mem::take(&mut self.parties);
                let (parties, lost) = parties::work_until_lost(parties, server.address, REQUESTS).await;
                self.parties = parties;
                // When the clients were done first, it dies now.
                server.kill().await;
                *(if lost { &mut seen.call } else { &mut seen.idle }) += 1;
            }
        }
    }

    /// A plain start, the comparison of all that was before, clients, and SIGKILL after a line of the ledgers.
    async fn kill_by_line(&mut self, seen: &mut Moments) {
        let mut server = serve(&self.place).await;
        self.compare().await.require_sound();
        self.checks += 1;
        if self.checks % 5 == 1 {
            require_intact(&self.place.home, &self.place.address()).await;
        }
        let lines = self.lines.clone();
        let after = 1 + self.dice.below(120);
        let work = parties::work(std::mem::take(&mut self.parties), server.address, REQUESTS);
        let kill = kill_after(&lines, after, &mut server);
        let (parties, ()) = tokio::join!(work, kill);
        self.parties = parties;
        seen.line += 1;
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
}

async fn kill_after(lines: &Lines, after: u64, server: &mut Server) {
    // Fewer lines come than that only when the clients have nothing left to ask.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), lines.wait_for(after)).await;
    server.kill().await;
}

/// The first start of all makes keys, certificates and tables; killed anywhere in it, the next start must not need a hand.
#[test]
fn a_first_start_killed_anywhere_is_done_by_the_next_one() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        kiban_pki::Ca::init(&ca, "kaigo-kiban test CA", support::home::now()).unwrap();
        let mut killed = 0;
        for (calls, last) in [("write,fsync,fdatasync,rename,renameat,renameat2,linkat", 30), ("pwrite64", 60)] {
            for n in 1..=last {
                let home = folder.path().join(format!("home-{killed}"));
                Town::copy_folder(&ca, &home.join("ca"));
                let place = Place { home: home.clone(), database: None, log: folder.path().join("server.log") };
                let kill = Injection { calls, what: "signal=SIGKILL", n };
                if let Start::Serving(mut server) = server::start(&place, Some(&kill)).await {
                    server.kill().await;
                    break;
                }
                killed += 1;
                serve(&place).await.kill().await;
            }
        }
        assert!(killed > 10, "{killed}");
        println!("first start: killed {killed} times, done by the next start each time");
    });
}

/// The k-th point of the sweep, turning through the calls: small N strike the recovery from the kill before, larger N the
/// clients' work. SQLite writes with pwrite64 and syncs; PostgreSQL is spoken to with sendto, and so are clients; files
/// beside the database, and wake-ups between threads, are written with write.
fn injection(k: u64, postgres: bool) -> Injection {
    let i = k / 4;
    let (calls, n) = match (k % 4, postgres) {
        (0, false) => ("fsync,fdatasync", 1 + i),
        (1, false) => ("pwrite64", 1 + 23 * i),
        (0, true) => ("sendto", 1 + i),
        // A start needs about a hundred.
        (1, true) => ("sendto", 100 + 6 * i),
        (2, true) => ("sendto", 103 + 11 * i),
        (2, false) => ("sendto", 2 + 4 * i),
        _ => ("write", 1 + 7 * i),
    };
    Injection { calls, what: "signal=SIGKILL", n }
}
