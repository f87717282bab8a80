//! `kiban connect` against a real server: killed at any system call it loses nothing and doubles nothing, it goes through a
//! proxy, and `check` says in plain words what is wrong with a set-up (P-134, P-162).
//!
//! Settings: `KIBAN_CONNECT_KILLS` (100), `KIBAN_SEED` (1).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod faults;
#[path = "../support/mod.rs"]
mod support;
mod units;

use kiban_domain::plan_request::PlanRequest;
use kiban_domain::{InsuredNumber, Organization};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_formats::opinion_csv;
use kiban_pki::{Ca, Identity, Issued, client_config};
use kiban_service::Context;
use kiban_sim::documents;
use kiban_store::CertificateRow;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::home::{Home, now};
use support::server::can_trace;
use support::terminal::{Body, Terminal};
use support::town::{Town, Who};
use support::{Dice, setting};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

type Files = Vec<(String, Vec<u8>)>;

/// A server with its town, and two connectors with folders of their own.
struct World {
    town: Town,
    home: PathBuf,
    folder: tempfile::TempDir,
    server: Child,
    office: SocketAddr,
    public: SocketAddr,
    line: SocketAddr,
    /// Host names of the organisations' listener and of the closed line.
    hosts: [&'static str; 2],
}

impl World {
    async fn start() -> Self {
        Self::start_named(["office.localhost", "line.localhost"], &[]).await
    }

    /// The same with host names, told to the server by these arguments.
    async fn start_named(hosts: [&'static str; 2], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("town");
        let town = Town::build(&home, None, 40).await;
        for (who, name) in [(Who::City, "city"), (Who::Doctor, "hospital")] {
            issue(&home, town.organization(who), name, &folder.path().join(name)).await;
        }
        let (server, [office, public, line]) = launch(&home, arguments).await;
        let world = Self { town, home, folder, server, office, public, line, hosts };
        world.configure("city", "");
        world.configure("hospital", "");
        world
    }

    /// Folder of a connector.
    fn at(&self, who: &str) -> PathBuf {
        self.folder.path().join(who)
    }

    fn configure(&self, who: &str, more: &str) {
        let (role, host, address) = match who {
            "city" => ("municipality", self.hosts[0], self.office),
            _ => ("hospital", self.hosts[1], self.line),
        };
        let text = format!(
            "role = {role}\nserver = {host}:{}\naddress = {address}\ncertificate = own.crt\nkey = own.key\nca = ca.crt\nfolder = work\n{more}",
            address.port()
        );
        std::fs::write(self.at(who).join("connect.conf"), text).unwrap();
        std::fs::create_dir_all(self.at(who).join("work/out")).unwrap();
    }

    fn part(&self, who: &str, part: &str) -> PathBuf {
        self.at(who).join("work").join(part)
    }

    fn command(&self, who: &str, kill: Option<(&str, u64)>) -> Command {
        self.command_killed(who, kill, None)
    }

    /// As if the connector's user might not read a file or list a folder.
    fn command_denied(&self, who: &str, path: &Path) -> Command {
        let mut command = Command::new("strace");
        command.arg("-P").arg(path).args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=openat"]);
        command.args(["-e", "inject=openat:error=EACCES"]).arg(env!("CARGO_BIN_EXE_kiban"));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.arg("connect").arg("--config").arg(self.at(who).join("connect.conf"));
        command
    }

    /// `only`: system calls that touch this file or folder count.
    fn command_killed(&self, who: &str, kill: Option<(&str, u64)>, only: Option<&Path>) -> Command {
        let mut command = match kill {
            None => Command::new(env!("CARGO_BIN_EXE_kiban")),
            Some((calls, n)) => {
                let mut strace = Command::new("strace");
                if let Some(path) = only {
                    strace.arg("-P").arg(path);
                }
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &format!("trace={calls}")]);
                strace.args(["-e", &format!("inject={calls}:signal=SIGKILL:when={n}")]);
                strace.arg(env!("CARGO_BIN_EXE_kiban"));
                strace
            }
        };
        // One thread does everything, so that the N-th call is always the same one.
        command.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null()).kill_on_drop(true);
        command.arg("connect").arg("--config").arg(self.at(who).join("connect.conf"));
        command
    }

    /// One start; true when it was killed.
    async fn once(&self, who: &str, kill: Option<(&str, u64)>) -> bool {
        self.once_killed(who, kill, None).await
    }

    async fn once_killed(&self, who: &str, kill: Option<(&str, u64)>, only: Option<&Path>) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.at(who).join("log")).unwrap();
        let mut command = self.command_killed(who, kill, only);
        let status: ExitStatus = command.arg("once").stdout(Stdio::null()).stderr(log).status().await.unwrap();
        let killed = status.signal() == Some(9) || status.code() == Some(137);
        let words = || std::fs::read_to_string(self.at(who).join("log")).unwrap();
        // Everything is done with 3 as well: something of it was refused.
        assert!(killed || matches!(status.code(), Some(0 | 3)), "{status}: {}", words());
        killed
    }

    async fn check(&self, who: &str) -> (bool, String) {
        let Output { status, stdout, .. } = self.command(who, None).arg("check").output().await.unwrap();
        (status.success(), String::from_utf8(stdout).unwrap())
    }

    async fn rows(&self, sql: &'static str) -> Vec<(String, String)> {
        let address = format!("sqlite:{}?mode=ro", self.home.join("kiban.db").display());
        let mut connection = SqliteConnection::connect(&address).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A package nobody has sent: a corrected postal code under a history number nobody has used.
    fn package(&self, serial: u32) -> Files {
        self.written(serial, MunicipalPackage::new(self.town.city.insurer, now()))
    }

    /// The same in JSON (P-160).
    fn package_json(&self, serial: u32) -> Files {
        self.written(serial, MunicipalPackage::new(self.town.city.insurer, now()).json())
    }

    fn written(&self, serial: u32, package: MunicipalPackage) -> Files {
        let people = self.town.ordinary_people();
        let person = people[serial as usize % people.len()];
        let mut insured = person.insured.clone();
        insured.identity.postal_code = Some(format!("999-{:04}", serial % 10_000));
        let changed =
            Entry { key: person.insured.key, history: 10 + serial, change: Change::Corrected, value: insured };
        package.insured(&[changed]).finish().unwrap()
    }

    /// Drops a package as a city's system does: written aside, moved in whole.
    fn drop_package(&self, name: &str, files: &Files) {
        let aside = self.part("city", "out").join(format!("{name}.tmp"));
        std::fs::create_dir(&aside).unwrap();
        for (file, content) in files {
            std::fs::write(aside.join(file), content).unwrap();
        }
        std::fs::rename(&aside, self.part("city", "out").join(name)).unwrap();
    }

    /// An opinion of another application each time.
    fn drop_opinion(&self, serial: u32) -> (String, Vec<u8>) {
        let today = self.town.city.spec.today;
        let mut opinion = documents::physician_opinion(&self.town.generator, &self.town.cast.applying, today).unwrap();
        opinion.applied_on = today - jiff::Span::new().days(i64::from(serial) + 20);
        // Document software writes 医見書 CSV 1.1, or our JSON.
        let (name, bytes) = match serial % 2 {
            0 => (format!("iken-{serial}.json"), serde_json::to_vec(&opinion).unwrap()),
            _ => (format!("iken-{serial}.csv"), opinion_csv::write([&opinion]).unwrap()),
        };
        std::fs::write(self.part("hospital", "out").join(format!("{name}.part")), &bytes).unwrap();
        let out = self.part("hospital", "out");
        std::fs::rename(out.join(format!("{name}.part")), out.join(&name)).unwrap();
        (name, bytes)
    }
}

/// Starts a server; it listens for organisations, in public and on the closed line at these addresses.
async fn launch(home: &Path, arguments: &[&str]) -> (Child, [SocketAddr; 3]) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_kiban"));
    server.arg("serve").arg("--home").arg(home);
    server.args(["--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0", "--line-listen", "127.0.0.1:0"]);
    server.args(arguments);
    server.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = server.spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the server did not listen");
    let address = |name: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
        word.parse::<SocketAddr>().unwrap()
    };
    let addresses = [address("organizations="), address("public="), address("line=")];
    (server, addresses)
}

/// A certificate for an unattended program, with everything it needs, in a folder.
async fn issue(home: &Path, organization: Organization, name: &str, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let issued = issue_many(home, organization, name, 300, 1).await;
    hand_over(&issued[0], folder);
    std::fs::write(folder.join("ca.crt"), Home::open(home, None).unwrap().ca().unwrap().certificate_pem()).unwrap();
}

/// Certificates for unattended programs, good for so many days.
async fn issue_many(home: &Path, organization: Organization, name: &str, days: u32, many: usize) -> Vec<Issued> {
    let home = Home::open(home, None).unwrap();
    let ca: Ca = home.ca().unwrap();
    let platform = home.platform().await.unwrap();
    let mut all = Vec::new();
    for _ in 0..many {
        let issued = ca.issue_client(organization, name, days, now()).unwrap();
        let row = CertificateRow {
            fingerprint: issued.fingerprint.clone(),
            organization,
            terminal: name.to_owned(),
            serial: issued.serial.clone(),
            not_after: issued.not_after,
            revoked_at: None,
            revoked_for: None,
        };
        platform.bind_connector(&row, &Context::new(now()).unwrap()).await.unwrap();
        all.push(issued);
    }
    platform.store().clone().close().await.unwrap();
    all
}

fn hand_over(issued: &Issued, folder: &Path) {
    std::fs::write(folder.join("own.crt"), &issued.cert_pem).unwrap();
    std::fs::write(folder.join("own.key"), issued.key_pem.as_bytes()).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

/// The care manager who files 届出 over the web.
struct Manager {
    terminal: Terminal,
    people: Vec<(PlanRequest, String)>,
    serial: i64,
}

impl Manager {
    async fn start(world: &World) -> Self {
        let mut terminal = world.town.terminal(Who::Manager);
        terminal.connect(world.office).await.unwrap();
        let mut people = Vec::new();
        let today = world.town.city.spec.today;
        let model = documents::plan_request(&world.town.generator, &world.town.cast.consenting, today).unwrap();
        for person in world.town.ordinary_people().into_iter().take(3) {
            let (items, identity) = (person.four_items(), &person.insured.identity);
            let body = json!({
                "insurer_number": items.number.insurer, "insured_number": items.number.insured, "kana": identity.kana,
                "birth": identity.birth, "sex": identity.sex, "makes_plan": true,
            });
            let answer = terminal.send("POST", "/api/v1/people", Body::Json(body)).await.unwrap();
            let handle = answer.text("handle").unwrap();
            let office = world.town.organization(Who::Manager).office().unwrap();
            people.push((PlanRequest { person: person.insured.key, office, ..model.clone() }, handle));
        }
        Self { terminal, people, serial: 0 }
    }

    /// Receipt and bytes of a 届出 that begins on a day of its own.
    async fn file(&mut self, world: &World) -> (String, Vec<u8>) {
        self.serial += 1;
        let (model, handle) = &self.people[self.serial as usize % self.people.len()];
        let starts_on = world.town.city.spec.today + jiff::Span::new().days(self.serial);
        let request = serde_json::to_value(PlanRequest { starts_on, ..model.clone() }).unwrap();
        let bytes = request.to_string().into_bytes();
        let path = format!("/api/v1/people/{handle}/plan-requests");
        self.terminal.connect(world.office).await.unwrap();
        let answer = self.terminal.send("POST", &path, Body::Json(request)).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.json());
        (answer.text("receipt").unwrap(), bytes)
    }
}

/// System calls at which a connector dies, and how many there may be in one start.
const MOMENTS: [(&str, u64); 6] = [
    ("fsync,fdatasync", 40),
    ("rename,renameat,renameat2", 16),
    ("write", 60),
    ("openat", 120),
    ("sendto,sendmsg,writev", 25),
    ("mkdir,mkdirat,unlink,unlinkat,rmdir", 12),
];

#[test]
fn a_connector_killed_while_it_renews_its_certificate_has_a_good_one_after_the_next_start() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let world = World::start().await;
        let folder = world.at("city");
        let moments =
            [("fsync,fdatasync", 12), ("rename,renameat,renameat2", 6), ("unlink,unlinkat", 3), ("sendto,writev", 4)];
        let kills: Vec<_> = moments.iter().flat_map(|(calls, most)| (1..=*most).map(move |n| (*calls, n))).collect();
        let organization = world.town.organization(Who::City);
        let ending = issue_many(&world.home, organization, "city", 50, kills.len()).await;
        // The server reads who may come in every two seconds.
        hand_over(ending.last().unwrap(), &folder);
        while !world.check("city").await.0 {}
        let mut killed = 0;
        for (kill, old) in kills.into_iter().zip(&ending) {
            hand_over(old, &folder);
            killed += u32::from(world.once("city", Some(kill)).await);
            assert!(!world.once("city", None).await);
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
            let own = Identity::from_pem(&read("own.crt"), &read("own.key")).unwrap();
            assert!(client_config(&[], Some(&own)).is_ok(), "{kill:?}: certificate and key of one pair");
            let days = (kiban_pki::not_after(&own.chain[0]).unwrap().as_second() - now().as_second()) / 86_400;
            assert!(days > 700, "{kill:?}: {days} days");
            assert!(names(&world.part("city", "state/renewal")).is_empty(), "{kill:?}");
            let (good, words) = world.check("city").await;
            assert!(good, "{kill:?}: {words}");
        }
        assert!(killed >= 12, "only {killed} starts were killed");
    });
}

#[test]
fn a_new_certificate_that_cannot_be_put_in_its_place_stops_nothing() {
    support::run(async {
        let world = World::start().await;
        let folder = world.at("city");
        let ending = issue_many(&world.home, world.town.organization(Who::City), "city", 50, 1).await;
        hand_over(&ending[0], &folder);
        while !world.check("city").await.0 {}
        // The key is written beside its place first: a folder of that name is as good as one that may not be written.
        std::fs::create_dir(folder.join(".own.key.tmp")).unwrap();
        for serial in 1..=2 {
            world.drop_package(&format!("差分{serial}"), &world.package(serial));
            assert!(!world.once("city", None).await);
            assert_eq!(
                read_json(&world.part("city", "results").join(format!("差分{serial}.json")))["state"],
                "applied"
            );
        }
        let words = std::fs::read_to_string(folder.join("log")).unwrap();
        assert!(
            words.contains("証明書を更新できませんでした") && words.contains("いまの証明書のまま続けます"),
            "{words}"
        );
        assert!(words.contains("own.key"), "{words}");
        assert_eq!(std::fs::read_to_string(folder.join("own.crt")).unwrap(), ending[0].cert_pem);

        std::fs::remove_dir(folder.join(".own.key.tmp")).unwrap();
        assert!(!world.once("city", None).await);
        assert_ne!(std::fs::read_to_string(folder.join("own.crt")).unwrap(), ending[0].cert_pem);
        assert!(names(&world.part("city", "state/renewal")).is_empty());
        let (good, words) = world.check("city").await;
        assert!(good, "{words}");
    });
}

#[test]
fn a_connector_killed_anywhere_loses_nothing_and_doubles_nothing() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let world = World::start().await;
        for who in ["city", "hospital"] {
            // The journal is written anew whenever half of it can go.
            world.configure(who, "journal_kilobytes = 0\njournal_days = 0\n");
        }
        let mut manager = Manager::start(&world).await;
        let mut dice = Dice::new(setting("KIBAN_SEED", 1));
        let kills = setting("KIBAN_CONNECT_KILLS", 100);
        let taken = world.at("city").join("taken");
        std::fs::create_dir(&taken).unwrap();
        let (mut packages, mut opinions) = (BTreeMap::new(), BTreeMap::new());
        let (mut filings, mut decided) = (BTreeMap::new(), BTreeMap::new());
        let (mut killed, mut starts) = (0, 0u32);
        while killed < kills {
            starts += 1;
            assert!(u64::from(starts) < 6 * kills, "only {killed} of {starts} starts were killed");
            let who = match starts % 3 {
                0 => {
                    let (name, files) = (format!("差分{starts}"), world.package(starts));
                    world.drop_package(&name, &files);
                    packages.insert(name, files);
                    "city"
                }
                1 => {
                    let (receipt, bytes) = manager.file(&world).await;
                    filings.insert(receipt, bytes);
                    "city"
                }
                _ => {
                    let (name, bytes) = world.drop_opinion(starts);
                    opinions.insert(name, bytes);
                    "hospital"
                }
            };
            let (calls, most) = MOMENTS[dice.below(MOMENTS.len() as u64) as usize];
            killed += u64::from(world.once(who, Some((calls, 1 + dice.below(most)))).await);
            take_some(&world, &taken, &mut dice, &mut decided, starts);
        }
        // Twice: the second brings the hospital the decisions that the first sent.
        for who in ["city", "hospital", "city", "hospital"] {
            assert!(!world.once(who, None).await);
        }
        let sent = Sent { packages, opinions, filings, decided };
        compare(&world, &taken, &sent).await;
        println!("connector: {killed} kills in {starts} starts; {sent}");
    });
}

/// Lines of a connector's journal.
fn journal(world: &World, who: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.part(who, "state/journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_connector_killed_while_it_writes_its_journal_anew_loses_nothing_and_doubles_nothing() {
    if !can_trace() {
        println!("skipped: strace may not follow processes here");
        return;
    }
    support::run(async {
        let world = World::start().await;
        for who in ["city", "hospital"] {
            world.configure(who, "journal_kilobytes = 0\njournal_days = 0\n");
        }
        let mut manager = Manager::start(&world).await;
        let taken = world.at("city").join("taken");
        std::fs::create_dir(&taken).unwrap();
        let (mut sent, mut dice, mut serial) = (Sent::default(), Dice::new(7), 0);
        let (draft, folder) = (world.part("city", "state/.journal.tmp"), world.part("city", "state"));
        // Opening the draft, writing it, its sync, its move, and then the folder's own sync.
        let moments = [
            ("openat", &draft),
            ("write", &draft),
            ("fsync", &draft),
            ("rename,renameat,renameat2", &draft),
            ("openat", &folder),
            ("fsync", &folder),
        ];
        let mut drafts = 0;
        for (calls, only) in moments.iter().chain(&moments) {
            serial += 1;
            let (name, files) = (format!("差分{serial}"), world.package(serial));
            world.drop_package(&name, &files);
            sent.packages.insert(name, files);
            // Few documents wait: the most of the journal can go each time, and something of it stays.
            if serial % 6 == 1 {
                let (receipt, bytes) = manager.file(&world).await;
                sent.filings.insert(receipt, bytes);
            }
            assert!(world.once_killed("city", Some((calls, 1)), Some(only)).await, "{calls} never came");
            drafts += u32::from(draft.exists());
            assert!(!world.once("city", None).await);
            assert!(!draft.exists(), "the next start did not write its journal anew");
        }
        take_some(&world, &taken, &mut dice, &mut sent.decided, serial);
        assert_eq!(drafts, 6, "killed before the move");
        for who in ["city", "hospital", "city", "hospital"] {
            assert!(!world.once(who, None).await);
        }
        // What waits for the city's word is all that is needed.
        let lines = journal(&world, "city");
        let waiting = sent.filings.len() - sent.decided.len();
        assert_eq!(lines.len(), waiting, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains("\tdelivered\tinbox/")), "{lines:#?}");
        compare(&world, &taken, &sent).await;
    });
}

#[test]
fn a_name_used_again_after_the_journal_forgot_it_overwrites_no_result() {
    support::run(async {
        let world = World::start().await;
        world.configure("city", "journal_kilobytes = 0\njournal_days = 0\nkeep_sent = no\n");
        for n in 1..=3 {
            world.drop_package("差分", &world.package(n));
            assert!(!world.once("city", None).await);
            assert_eq!(journal(&world, "city"), Vec::<String>::new());
        }
        let results = names(&world.part("city", "results"));
        assert_eq!(results, ["差分.csv", "差分.json", "差分~2.csv", "差分~2.json", "差分~3.csv", "差分~3.json"]);
    });
}

/// What was dropped and filed.
#[derive(Default)]
struct Sent {
    packages: BTreeMap<String, Files>,
    opinions: BTreeMap<String, Vec<u8>>,
    filings: BTreeMap<String, Vec<u8>>,
    /// Receipts with what the city decided.
    decided: BTreeMap<String, &'static str>,
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p, o, n, d) = (self.packages.len(), self.opinions.len(), self.filings.len(), self.decided.len());
        write!(f, "{p} packages, {o} opinions, {n} filings, {d} decisions, each exactly once")
    }
}

/// The city's system takes about half of what lies in the inbox, and decides about half of that.
fn take_some(world: &World, taken: &Path, dice: &mut Dice, decided: &mut BTreeMap<String, &'static str>, serial: u32) {
    let inbox = world.part("city", "inbox");
    if !inbox.exists() {
        return;
    }
    let mut lines = String::from("受付番号,決定,理由\r\n");
    for receipt in names(&inbox) {
        if dice.below(2) == 0 {
            continue;
        }
        assert!(!taken.join(&receipt).exists(), "{receipt} came twice");
        std::fs::rename(inbox.join(&receipt), taken.join(&receipt)).unwrap();
        let (word, state) = if dice.below(3) == 0 {
            ("差戻し,記載を確かめてください", "returned")
        } else {
            ("受理,", "accepted")
        };
        if dice.below(2) == 0 {
            lines.push_str(&format!("{receipt},{word}\r\n"));
            decided.insert(receipt, state);
        }
    }
    let decisions = world.part("city", "decisions");
    std::fs::create_dir_all(&decisions).unwrap();
    let name = format!("決定{serial}.csv");
    std::fs::write(decisions.join(format!(".{name}")), lines).unwrap();
    std::fs::rename(decisions.join(format!(".{name}")), decisions.join(name)).unwrap();
}

async fn compare(world: &World, taken: &Path, sent: &Sent) {
    for who in ["city", "hospital"] {
        for part in ["out", "decisions", "failed", "state/sending", "state/deciding", "state/staging"] {
            assert_eq!(names(&world.part(who, part)), Vec::<String>::new(), "{who} {part}");
        }
    }
    // Every package was applied, once, as it was dropped.
    for (name, files) in &sent.packages {
        let result = read_json(&world.part("city", "results").join(format!("{name}.json")));
        assert_eq!(result["state"], "applied", "{name}: {result}");
        for (file, content) in files {
            assert_eq!(&std::fs::read(world.part("city", "sent").join(name).join(file)).unwrap(), content, "{name}");
        }
    }
    let applied = world.rows("SELECT public_id, state FROM receipt WHERE state = 'applied'").await;
    assert_eq!(applied.len(), sent.packages.len() + 1, "and the first load of the town");
    let acts = world.rows("SELECT action, outcome FROM audit WHERE action = 'import.applied'").await;
    assert_eq!(acts.len(), sent.packages.len() + 1);
    // Every document lies in the folder once, byte for byte.
    let submissions = world.rows("SELECT submission_id, state FROM submission WHERE kind IN ('A2', 'F1')").await;
    assert_eq!(submissions.len(), sent.filings.len() + sent.opinions.len());
    let mut opinions = Vec::new();
    for (receipt, state) in &submissions {
        let (here, there) = (world.part("city", "inbox").join(receipt), taken.join(receipt));
        assert!(here.exists() != there.exists(), "{receipt}: {} {}", here.exists(), there.exists());
        let folder = if here.exists() { here } else { there };
        let note = read_json(&folder.join("receipt.json"));
        for file in note["files"].as_array().unwrap() {
            let bytes = std::fs::read(folder.join(file["name"].as_str().unwrap())).unwrap();
            assert_eq!(file["sha256"], json!(kiban_pki::fingerprint(&bytes)));
        }
        match sent.filings.get(receipt) {
            Some(bytes) => assert_eq!(&std::fs::read(folder.join("original.json")).unwrap(), bytes),
            None => {
                let read = |name: &str| std::fs::read(folder.join(name));
                opinions.push(read("original.csv").or_else(|_| read("original.json")).unwrap());
            }
        }
        let expected = sent.decided.get(receipt).copied().unwrap_or("fetched");
        assert_eq!(state, expected, "{receipt}");
    }
    let mut expected: Vec<Vec<u8>> = sent.opinions.values().cloned().collect();
    opinions.sort();
    expected.sort();
    assert!(opinions == expected, "the opinions as the hospital wrote them");
    // The hospital has a receipt for every file, and the city's word for every document that was decided.
    let results = world.part("hospital", "results");
    for name in sent.opinions.keys() {
        let report = read_json(&results.join(format!("{name}.json")));
        let receipt = report["documents"][0]["receipt"].as_str().unwrap();
        let id = receipt.split_once('-').unwrap().1;
        let answer = results.join(format!("{name}.{receipt}.json"));
        match sent.decided.get(id) {
            Some(state) => assert_eq!(read_json(&answer)["state"]["state"], *state),
            None => assert!(!answer.exists()),
        }
    }
}

/// A proxy that asks for a password and then only carries bytes.
async fn proxy(credentials: &'static str) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tunnels) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&tunnels);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let _ = tunnel(tcp, credentials, &counted).await;
            });
        }
    });
    (address, tunnels)
}

async fn tunnel(mut tcp: TcpStream, credentials: &str, tunnels: &AtomicU64) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    if !head.contains(&format!("Proxy-Authorization: Basic {credentials}\r\n")) {
        let refusal =
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
        return tcp.write_all(refusal.as_bytes()).await;
    }
    let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    let mut server = TcpStream::connect(target).await?;
    tunnels.fetch_add(1, Ordering::SeqCst);
    tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut tcp, &mut server).await.map(drop)
}

#[test]
fn a_package_goes_through_a_proxy_that_asks_for_a_password() {
    support::run(async {
        let world = World::start().await;
        // city:himitsu
        let (address, tunnels) = proxy("Y2l0eTpoaW1pdHN1").await;
        std::fs::write(world.at("city").join("proxy-password"), "himitsu\n").unwrap();
        let more = format!("proxy = http://{address}\nproxy_user = city\nproxy_password_file = proxy-password\n");
        world.configure("city", &more);
        world.drop_package("差分", &world.package(1));
        assert!(!world.once("city", None).await);
        let result = read_json(&world.part("city", "results").join("差分.json"));
        assert_eq!(result["state"], "applied");
        assert!(
            std::fs::read_to_string(world.part("city", "results").join("差分.csv")).unwrap().contains("取り込みました")
        );
        assert!(tunnels.load(Ordering::SeqCst) >= 1);
        std::fs::write(world.at("city").join("proxy-password"), "wrong\n").unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good && words.contains("プロキシが利用者名とパスワードを求めています"), "{words}");
    });
}

#[test]
fn what_is_wrong_with_a_package_comes_back_beside_it() {
    support::run(async {
        let world = World::start().await;
        let mut files = world.package(1);
        files[1].1.extend_from_slice(b"x");
        world.drop_package("壊れた差分", &files);
        world.drop_package("JSONの差分", &world.package_json(2));
        let mut many = world.package(3);
        many.extend((0..1_000).map(|n| (format!("{n}.csv"), Vec::new())));
        world.drop_package("多すぎる差分", &many);
        // One that cannot be moved (its name was used and leaves no room for another) does not keep the others back.
        let stuck = "動".repeat(85);
        std::fs::create_dir_all(world.part("city", "failed").join(&stuck)).unwrap();
        std::fs::create_dir(world.part("city", "out").join(&stuck)).unwrap();
        std::fs::write(world.part("city", "out").join(&stuck).join("MANIFEST.csv"), "").unwrap();
        // Without its manifest it is not taken: it may still be on its way.
        let unfinished = world.part("city", "out").join("書きかけ");
        std::fs::create_dir(&unfinished).unwrap();
        let Output { status, stderr, .. } = world.command("city", None).arg("once").output().await.unwrap();
        let words = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!status.success() && words.contains(&stuck), "{words}");
        let result = read_json(&world.part("city", "results").join("JSONの差分.json"));
        assert_eq!((&result["state"], &result["report"]["problems"]), (&json!("applied"), &json!([])), "{result}");
        let result = read_json(&world.part("city", "results").join("壊れた差分.json"));
        assert_eq!(result["state"], "refused");
        assert!(!result["report"]["problems"].as_array().unwrap().is_empty());
        assert!(unfinished.exists() && world.part("city", "out").join(&stuck).exists());
        for line in ["動動", "out/壊れた差分: パッケージの全体が断られました"] {
            assert_eq!(words.lines().filter(|told| told.contains(line)).count(), 1, "told once: {words}");
        }
        // One that got no receipt has its result file as well, as a sentence.
        assert_eq!(names(&world.part("city", "failed")), [stuck.as_str(), "多すぎる差分"]);
        let result = std::fs::read_to_string(world.part("city", "results").join("多すぎる差分.csv")).unwrap();
        assert!(result.starts_with("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n結果,,,,,,"), "{result}");
        assert!(
            result.contains("エラー,,,,") && result.contains("1,000個以内") && result.contains("要求番号"),
            "{result}"
        );
        assert!(read_json(&world.part("city", "results").join("多すぎる差分.json"))["request_id"].is_string());
        // An opinion nobody asked for comes back with its line; it is not among those sent.
        let today = world.town.city.spec.today;
        let mut opinion =
            documents::physician_opinion(&world.town.generator, &world.town.cast.applying, today).unwrap();
        opinion.person.insured = InsuredNumber::parse("9999999999").unwrap();
        std::fs::write(world.part("hospital", "out").join("iken.csv"), opinion_csv::write([&opinion]).unwrap())
            .unwrap();
        assert!(!world.once("hospital", None).await);
        let words = std::fs::read_to_string(world.part("hospital", "results").join("iken.csv.csv")).unwrap();
        assert!(words.contains("エラー,1,"), "{words}");
        assert_eq!(names(&world.part("hospital", "failed")), ["iken.csv"]);
    });
}

#[test]
fn what_may_not_be_read_is_named_and_keeps_nothing_else_back() {
    support::run(async {
        let world = World::start().await;
        let out = world.part("city", "out");
        world.drop_package("差分1", &world.package(1));
        let (file, _) = &world.package(1)[1];
        std::fs::create_dir(out.join("作業中")).unwrap();
        let said = async |denied: &Path| {
            let output = world.command_denied("city", denied).arg("once").output().await.unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        // A file of a package: named, left where its owner can put it right.
        let (code, words) = said(&out.join("差分1").join(file)).await;
        assert_eq!(code, Some(1), "{words}");
        assert!(
            words.contains("out/差分1") && words.contains(file.as_str()) && words.contains("読めるように"),
            "{words}"
        );
        assert!(out.join("差分1").exists());
        // A folder somebody works in: named, and the package beside it is sent.
        let (code, words) = said(&out.join("作業中")).await;
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("out/作業中"), "{words}");
        assert_eq!(read_json(&world.part("city", "results").join("差分1.json"))["state"], "applied");
    });
}

#[test]
fn the_opinion_of_document_software_goes_out_as_json_too() {
    support::run(async {
        let world = World::start().await;
        let today = world.town.city.spec.today;
        let opinion = documents::physician_opinion(&world.town.generator, &world.town.cast.applying, today).unwrap();
        let out = world.part("hospital", "out");
        std::fs::write(out.join("iken.json.part"), serde_json::to_vec(&opinion).unwrap()).unwrap();
        std::fs::rename(out.join("iken.json.part"), out.join("iken.json")).unwrap();
        std::fs::write(out.join("broken.json"), b"{\"basics\": ").unwrap();
        assert!(!world.once("hospital", None).await);
        let results = world.part("hospital", "results");
        let answer = read_json(&results.join("iken.json.json"));
        let receipt = answer["documents"][0]["receipt"].as_str().unwrap_or_default().to_owned();
        assert!(!receipt.is_empty(), "{answer}");
        assert!(std::fs::read_to_string(results.join("iken.json.csv")).unwrap().contains(&receipt));
        assert_eq!(names(&world.part("hospital", "sent")), ["iken.json"]);
        assert_eq!(names(&world.part("hospital", "failed")), ["broken.json"]);
        assert!(results.join("broken.json.csv").exists());
    });
}

#[test]
fn once_ends_with_a_code_of_its_own_when_something_was_refused_or_lies_where_nothing_is_taken_from() {
    support::run(async {
        let world = World::start().await;
        let once = async || {
            let Output { status, stderr, .. } = world.command("city", None).arg("once").output().await.unwrap();
            (status.code().unwrap(), String::from_utf8(stderr).unwrap())
        };
        world.drop_package("差分1", &world.package(1));
        assert_eq!(once().await, (0, String::new()));

        let mut files = world.package(2);
        files[1].1.extend_from_slice(b"x");
        world.drop_package("差分2", &files);
        let (code, words) = once().await;
        assert_eq!((code, words.lines().count()), (3, 1), "{words}");
        assert!(words.contains("out/差分2") && words.contains("results/差分2.csv"), "{words}");

        // A folder in a folder, as after unpacking an archive: it is said what lies where, and it is taken from its place.
        world.drop_package("差分3", &world.package(3));
        let out = world.part("city", "out");
        std::fs::create_dir(out.join("解凍")).unwrap();
        std::fs::rename(out.join("差分3"), out.join("解凍/差分3")).unwrap();
        std::fs::write(out.join("差分.zip"), b"PK").unwrap();
        let (code, words) = once().await;
        assert_eq!((code, words.lines().count()), (3, 2), "{words}");
        assert!(words.contains("out/解凍/差分3: ") && words.contains("out のすぐ下に移してください"), "{words}");
        assert!(words.contains("out/差分.zip: "), "{words}");
        assert!(!world.part("city", "results").join("差分3.json").exists());
        std::fs::rename(out.join("解凍/差分3"), out.join("差分3")).unwrap();
        std::fs::remove_dir(out.join("解凍")).unwrap();
        std::fs::remove_file(out.join("差分.zip")).unwrap();
        assert_eq!(once().await, (0, String::new()));
        assert_eq!(read_json(&world.part("city", "results").join("差分3.json"))["state"], "applied");

        std::fs::write(world.part("city", "decisions").join("kettei.csv"), "受付番号,決定,理由\n1234,保留,\n").unwrap();
        let (code, words) = once().await;
        assert!(code == 3 && words.contains("results/kettei.csv.result.csv"), "{code} {words}");
        let result = std::fs::read_to_string(world.part("city", "results").join("kettei.csv.result.csv")).unwrap();
        assert!(result.contains("\n2,1234,保留,エラー,"), "{result}");
    });
}

/// Status of a request for `/health` over TLS under a name, with a Host; 0 when the name does not stand in the certificate.
async fn health(world: &World, address: SocketAddr, name: &'static str, host: &str) -> u16 {
    let read = |file: &str| std::fs::read_to_string(world.at("city").join(file)).unwrap();
    let identity = Identity::from_pem(&read("own.crt"), &read("own.key")).unwrap();
    let root = Home::open(&world.home, None).unwrap().ca().unwrap().certificate_der().clone();
    let identity = (address != world.public).then_some(&identity);
    let mut config = client_config(&[root], identity).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let Ok(mut tls) = connector.connect(rustls::pki_types::ServerName::try_from(name).unwrap(), tcp).await else {
        return 0;
    };
    let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_listener_answers_to_the_name_it_was_given_and_to_no_other() {
    support::run(async {
        const NAMES: [&str; 3] = ["office.kaigo.example", "kaigo.example", "line.kaigo.example"];
        let arguments = ["--host", "Office.Kaigo.Example", "--public-host", NAMES[1], "--line-host", NAMES[2]];
        let world = World::start_named([NAMES[0], NAMES[2]], &arguments).await;
        for who in ["city", "hospital"] {
            let (good, words) = world.check(who).await;
            assert!(good && words.contains("接続できる状態です"), "{words}");
        }
        let addresses = [world.office, world.public, world.line];
        for (at, address) in addresses.into_iter().enumerate() {
            for (host, own) in NAMES.into_iter().enumerate() {
                let status = health(&world, address, NAMES[at], own).await;
                assert_eq!(status == 421, host != at, "{own} at the listener {}: {status}", NAMES[at]);
            }
            for name in ["office.localhost", "portal.localhost", "line.localhost", NAMES[(at + 1) % 3]] {
                assert_eq!(health(&world, address, name, NAMES[at]).await, 0, "{name} at {}", NAMES[at]);
            }
        }
        assert_eq!(health(&world, world.public, NAMES[1], "kaigo.example:443").await, 200);
        let refused = Command::new(env!("CARGO_BIN_EXE_kiban"))
            .args(["serve", "--home"])
            .arg(&world.home)
            .args(["--host", "one.example", "--line-host", "one.example"])
            .output()
            .await
            .unwrap();
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("one.example が2つ"));
    });
}

#[test]
fn check_says_what_to_put_right() {
    support::run(async {
        let world = World::start().await;
        for who in ["city", "hospital"] {
            let (good, words) = world.check(who).await;
            assert!(good && words.contains("接続できる状態です"), "{words}");
        }
        // A certificate that nobody has bound, soon to expire.
        let folder = world.at("city");
        let home = Home::open(&world.home, None).unwrap();
        let terminal = home.ca().unwrap().issue_client(world.town.organization(Who::City), "t2", 10, now()).unwrap();
        std::fs::write(folder.join("own.crt"), &terminal.cert_pem).unwrap();
        std::fs::write(folder.join("own.key"), terminal.key_pem.as_bytes()).unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good, "{words}");
        assert!(words.contains("あと 9 日") || words.contains("あと 10 日"), "{words}");
        assert!(words.contains("証明書が登録済みで"), "nobody bound it: {words}");
        // Another authority.
        let other = Ca::init(&folder.join("other-ca"), "other", now()).unwrap();
        std::fs::write(folder.join("ca.crt"), other.certificate_pem()).unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good && words.contains("認証局のものではありません"), "{words}");
        // Nobody there, a folder that is missing, a name misspelt.
        std::fs::write(
            folder.join("connect.conf"),
            "server = office.localhost:1\naddress = 127.0.0.1:1\ncertificate = own.crt\nkey = own.key\nca = ca.crt\nfolder = nowhere\n",
        )
        .unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good && words.contains("接続できません") && words.contains("がありません"), "{words}");
        // What cannot be read is said once.
        std::fs::rename(folder.join("own.key"), folder.join("away.key")).unwrap();
        std::fs::create_dir(folder.join("nowhere")).unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good && words.contains("直すところが 1 件"), "{words}");
        assert_eq!(words.matches("要対応").count(), 1, "{words}");
        std::fs::write(folder.join("connect.conf"), "sever = office\n").unwrap();
        let (good, words) = world.check("city").await;
        assert!(!good && words.contains("sever という項目はありません"), "{words}");
    });
}
