//! What comes between a city's connector and the platform: lines that are cut, a platform that has no place or takes nothing yet,
//! a package it cannot work on, and the service that is told to end (P-162, docs/municipality.md 6 and 7).

use super::support::home::{Home, now};
use super::support::terminal::Body;
use super::support::town::Who;
use super::{Files, Manager, World, hand_over, issue_many, launch, names, read_json};
use kiban_domain::certification::CareLevel;
use kiban_domain::home_modification::HomeModification;
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_pki::{Identity, client_config};
use kiban_service::{Context, Work};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Notify;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a line stands still.
#[derive(Clone, Copy)]
enum Stop {
    /// When the connector has sent so many bytes over one connection; the last of them do not arrive.
    Sent(u64),
    /// At the answer to a request that ends behind so many bytes: the platform has it, and nobody hears of it.
    Answered(u64),
}

/// A line between the connector and the platform.
struct Line {
    address: SocketAddr,
    state: Arc<LineState>,
}

struct LineState {
    stop: Mutex<Option<Stop>>,
    stands: Notify,
    cut: Notify,
}

impl Line {
    async fn start(platform: SocketAddr) -> Self {
        let state = LineState { stop: Mutex::new(None), stands: Notify::new(), cut: Notify::new() };
        let (state, listener) = (Arc::new(state), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, shared) = (listener.local_addr().unwrap(), Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((connector, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An end on either side ends both.
                    let _ = state.carry(connector, platform).await;
                });
            }
        });
        Self { address, state }
    }

    /// The next connection that comes so far stands still.
    fn stop_at(&self, stop: Stop) {
        *self.state.stop.lock().unwrap() = Some(stop);
    }

    /// Waits until it does.
    async fn stands(&self) {
        tokio::time::timeout(PATIENCE, self.state.stands.notified()).await.expect("the line was not used so far");
    }

    /// Ends the connection that stands still, on both sides.
    fn cut(&self) {
        self.state.cut.notify_one();
    }
}

impl LineState {
    async fn carry(&self, mut connector: TcpStream, platform: SocketAddr) -> std::io::Result<()> {
        let mut platform = TcpStream::connect(platform).await?;
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut sent = 0;
        loop {
            tokio::select! {
                read = connector.read(&mut asked) => {
                    let bytes = &asked[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    sent += bytes.len() as u64;
                    if self.stops(|stop| matches!(stop, Stop::Sent(at) if sent >= at)) {
                        return self.stand().await;
                    }
                    platform.write_all(bytes).await?;
                }
                read = platform.read(&mut answered) => {
                    let bytes = &answered[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    if self.stops(|stop| matches!(stop, Stop::Answered(at) if sent >= at)) {
                        return self.stand().await;
                    }
                    connector.write_all(bytes).await?;
                }
            }
        }
    }

    fn stops(&self, here: impl Fn(Stop) -> bool) -> bool {
        let mut stop = self.stop.lock().unwrap();
        let stops = stop.is_some_and(here);
        if stops {
            *stop = None;
        }
        stops
    }

    async fn stand(&self) -> std::io::Result<()> {
        self.stands.notify_one();
        self.cut.notified().await;
        Ok(())
    }
}

/// A connector that runs, and what it says.
struct Running {
    child: Child,
    words: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(world: &World, who: &str, command: &str) -> Self {
        let mut child =
            world.command(who, None).arg(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, words }
    }

    /// Waits until it says this.
    async fn says(&mut self, part: &str) {
        let mut said = Vec::new();
        let wait = async {
            while let Some(line) = self.words.next_line().await.unwrap() {
                if line.contains(part) {
                    return true;
                }
                said.push(line);
            }
            false
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        assert!(found == Ok(true), "{part} in {said:#?}");
    }

    /// How it ended, by itself.
    async fn ended(mut self) -> ExitStatus {
        // What it says is read to its end: a full pipe would hold it.
        let wait = async {
            while self.words.next_line().await.unwrap().is_some() {}
            self.child.wait().await.unwrap()
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the connector did not end")
    }

    /// Told to end, as systemd does it.
    async fn stopped(self) -> ExitStatus {
        terminate(&self.child);
        self.ended().await
    }

    /// Killed.
    async fn killed(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// Waits, within bounds, until it is so.
async fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Works of many words: more than 8 MiB, of which the platform writes a part before the rest has come.
fn large_package(world: &World, serial: u32) -> (Files, usize) {
    let people = world.town.ordinary_people();
    let started_on = world.town.city.spec.today - jiff::Span::new().days(400);
    let work = |n: u32| Entry {
        key: people[n as usize % people.len()].insured.key,
        history: serial * 1_000 + n,
        change: Change::New,
        value: HomeModification {
            places: Some("廊下に手すり".repeat(3_000)),
            cost: 1_000,
            eligible: 0,
            paid: 0,
            copayment: None,
            already_eligible: None,
            ..HomeModification::example(started_on, CareLevel::Care1)
        },
    };
    let works: Vec<_> = (1..=190).map(work).collect();
    let files = MunicipalPackage::new(world.town.city.insurer, now()).records(&works).finish().unwrap();
    assert!(files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 9 << 20);
    (files, works.len())
}

fn result_of(world: &World, name: &str) -> Value {
    read_json(&world.part("city", "results").join(format!("{name}.json")))
}

/// Nothing is under way and nothing was refused.
fn assert_at_rest(world: &World) {
    for part in ["out", "decisions", "failed", "state/sending", "state/deciding", "state/staging"] {
        assert_eq!(names(&world.part("city", part)), Vec::<String>::new(), "{part}");
    }
}

/// Applied, whole, from the first row to the last.
fn assert_applied(world: &World, name: &str, rows: usize) {
    let result = result_of(world, name);
    let counts = &result["report"]["counts"];
    assert_eq!(
        (&result["state"], &counts["read"], &counts["refused"]),
        (&json!("applied"), &json!(rows), &json!(0)),
        "{name}: {result}"
    );
}

/// Packages that the platform applied, and rows of works that stand.
async fn standing(world: &World) -> (usize, usize) {
    let applied = world.rows("SELECT action, outcome FROM audit WHERE action = 'import.applied'").await.len();
    (applied, world.rows("SELECT insured_number, natural_key FROM record WHERE kind = 'E1'").await.len())
}

async fn operate(world: &World, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    let done = command.arg("operate").args(arguments).arg("--home").arg(&world.home).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_service_sends_and_fetches_while_it_runs_and_ends_cleanly_when_it_is_told_to() {
    super::support::run(async {
        let world = World::start().await;
        world.configure("city", "interval_seconds = 1\n");
        let mut manager = Manager::start(&world).await;
        let service = Running::start(&world, "city", "service");
        // Each is dropped after the answer to the one before it: the rounds go on by themselves.
        for n in 1..=3 {
            let name = format!("差分{n}");
            world.drop_package(&name, &world.package(n));
            let result = world.part("city", "results").join(format!("{name}.json"));
            until(|| result.exists(), "no result of a package that was dropped").await;
            assert_applied(&world, &name, 1);
        }
        let (receipt, bytes) = manager.file(&world).await;
        let folder = world.part("city", "inbox").join(&receipt);
        until(|| folder.exists(), "a document that was filed does not come").await;
        assert_eq!(std::fs::read(folder.join("original.json")).unwrap(), bytes);
        assert!(service.stopped().await.success(), "told to end, it ends with 0");
        assert_at_rest(&world);
        assert_eq!(standing(&world).await.0, 1 + 3, "the first load of the town and the three");
        // The folder is free, and what comes later is for the next start.
        world.drop_package("差分4", &world.package(4));
        assert!(!world.once("city", None).await);
        assert_applied(&world, "差分4", 1);
    });
}

#[test]
fn an_upload_that_is_cut_is_sent_again_and_stands_once() {
    super::support::run(async {
        let world = World::start().await;
        let line = Line::start(world.office).await;
        // The last line of an item named twice would be a fault: the address of the platform is replaced.
        let conf = world.at("city").join("connect.conf");
        let text = std::fs::read_to_string(&conf).unwrap();
        let through = text.replace(&format!("address = {}", world.office), &format!("address = {}", line.address));
        assert_ne!(text, through);
        std::fs::write(&conf, through).unwrap();
        let before = standing(&world).await;
        let mut sent = (0, 0);
        // Cut before the platform wrote anything of it, behind 8 MiB, and when all of it had come.
        for (n, stop) in [(1, Stop::Sent(4 << 20)), (2, Stop::Sent(9 << 20)), (3, Stop::Answered(9 << 20))] {
            let (files, rows) = large_package(&world, n);
            let name = format!("切断{n}");
            world.drop_package(&name, &files);
            line.stop_at(stop);
            let running = Running::start(&world, "city", "once");
            line.stands().await;
            line.cut();
            assert!(running.ended().await.success(), "{name}");
            assert_applied(&world, &name, rows);
            sent = (sent.0 + 1, sent.1 + rows);
        }
        // Killed, or told to end, in the middle of it: the next start sends it again.
        for (n, is_told) in [(4, false), (5, true)] {
            let (files, rows) = large_package(&world, n);
            let name = format!("中断{n}");
            world.drop_package(&name, &files);
            line.stop_at(Stop::Sent(9 << 20));
            let running = Running::start(&world, "city", "once");
            line.stands().await;
            if is_told {
                assert!(running.stopped().await.success(), "it does not wait for the platform");
            } else {
                running.killed().await;
            }
            line.cut();
            assert!(!world.part("city", "results").join(format!("{name}.json")).exists());
            assert_eq!(names(&world.part("city", "state/sending")), [name.as_str()]);
            assert!(!world.once("city", None).await);
            assert_applied(&world, &name, rows);
            sent = (sent.0 + 1, sent.1 + rows);
        }
        assert_at_rest(&world);
        let after = standing(&world).await;
        assert_eq!((after.0 - before.0, after.1 - before.1), sent, "each once");
        // What came of the cut ones is gone, with an entry.
        let cut = world.rows("SELECT action, outcome FROM audit WHERE action = 'import.cut'").await;
        assert_eq!(cut.len(), 3, "{cut:?}");
    });
}

#[test]
fn what_the_platform_cannot_take_now_is_sent_later() {
    super::support::run(async {
        let world = World::start().await;
        let insurer = world.town.city.insurer.to_string();
        // Somebody else of the city is sending.
        world.drop_package("順番待ち", &world.package(1));
        let other = world.town.terminal(Who::City).begin_form(world.office, "/api/v1/packages").await;
        let mut running = Running::start(&world, "city", "once");
        running.says("状態 429").await;
        drop(other);
        assert!(running.ended().await.success());
        assert_applied(&world, "順番待ち", 1);
        // The city is not prepared: the package stays with the connector until it is.
        operate(&world, &["start", &insurer, "undecided", "--reason", "試験のため"]).await;
        world.drop_package("未定", &world.package(3));
        let mut running = Running::start(&world, "city", "once");
        running.says("状態 409").await;
        assert_eq!(names(&world.part("city", "state/sending")), ["未定"]);
        operate(&world, &["start", &insurer, "coordinating"]).await;
        assert!(running.ended().await.success());
        assert_applied(&world, "未定", 1);
        assert_at_rest(&world);
        assert_eq!(standing(&world).await.0, 1 + 2);
    });
}

#[test]
fn a_package_that_was_set_aside_is_told_in_the_citys_folder_and_its_result_comes_when_it_goes_on() {
    super::support::run(async {
        let mut world = World::start().await;
        let insurer = world.town.city.insurer;
        let files = world.package(1);
        world.server.kill().await.unwrap();
        let receipt = fail_again_and_again(&world, &files).await;
        let (server, [office, public, line]) = launch(&world.home, &[]).await;
        (world.server, world.office, world.public, world.line) = (server, office, public, line);

        // The same bytes: the connector gets the receipt of what the platform has, and hears how it stands.
        world.configure("city", "interval_seconds = 1\n");
        world.drop_package("差分", &files);
        world.drop_package("後の差分", &world.package(2));
        let mut running = Running::start(&world, "city", "service");
        running.says(&format!("受付番号 {receipt} は、基盤で処理できず取り分けられました")).await;
        let later = world.part("city", "results").join("後の差分.json");
        until(|| later.exists(), "those behind it go on").await;
        assert_applied(&world, "後の差分", 1);
        let result = result_of(&world, "差分");
        assert_eq!((&result["receipt"], &result["state"]), (&json!(receipt), &json!("failed")));
        let csv = std::fs::read_to_string(world.part("city", "results").join("差分.csv")).unwrap();
        for words in [&receipt, "後回しにしました", "運用者に受付番号を伝えてください", "set_aside"]
        {
            assert!(csv.contains(words), "{words} in {csv}");
        }
        // It stays with the connector: what the platform says of it is not the end.
        assert_eq!(names(&world.part("city", "state/sending")), ["差分"]);

        // The cause is mended, and the operator lets it go on.
        by_hand(&world.home, &format!("UPDATE upload_piece SET piece_number = piece_number - 100 {}", of(&receipt)))
            .await;
        operate(&world, &["retry", &insurer.to_string(), &receipt]).await;
        until(|| result_of(&world, "差分")["state"] == "applied", "its result does not come").await;
        assert_applied(&world, "差分", 1);
        let csv = std::fs::read_to_string(world.part("city", "results").join("差分.csv")).unwrap();
        assert!(csv.contains("取り込みました") && !csv.contains("後回し"), "{csv}");
        until(|| names(&world.part("city", "state/sending")).is_empty(), "it is done with").await;
        assert!(running.stopped().await.success());
        assert_at_rest(&world);
    });
}

fn of(receipt: &str) -> String {
    format!("WHERE upload_id = '{receipt}' AND file_number = 1")
}

/// The platform takes a package, loses a piece of it and fails on it five times; the receipt.
async fn fail_again_and_again(world: &World, files: &Files) -> String {
    let platform = Home::open(&world.home, None).unwrap().platform().await.unwrap();
    let context = Context::new(now()).unwrap();
    let mut upload = platform.begin_package_locally(world.town.city.insurer, &context).await.unwrap();
    for (name, bytes) in files {
        upload.file(name).await.unwrap();
        upload.write(bytes).await.unwrap();
    }
    let received = upload.finish().await.unwrap();
    by_hand(
        &world.home,
        &format!("UPDATE upload_piece SET piece_number = piece_number + 100 {}", of(&received.receipt)),
    )
    .await;
    for minute in 0..5 {
        let at = now() + jiff::SignedDuration::from_secs(61 * minute);
        let clock = move || at;
        // How it ends stands in the receipt.
        let _ = platform.work_on_packages(&mut Work::new(&clock)).await;
    }
    assert_eq!(platform.package_so_far(&received).await.unwrap().state, "failed");
    platform.store().clone().close().await.unwrap();
    received.receipt
}

/// Somebody changes the database outside the platform.
async fn by_hand(home: &Path, sql: &str) {
    use sqlx::{Connection as _, Executor as _};
    let options: sqlx::sqlite::SqliteConnectOptions =
        format!("sqlite:{}", home.join("kiban.db").display()).parse().unwrap();
    let options = options.busy_timeout(PATIENCE);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let done = connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
    connection.close().await.unwrap();
}

#[test]
fn decisions_as_json_and_consents_taken_by_offices_go_through_the_folder() {
    super::support::run(async {
        let world = World::start().await;
        let mut manager = Manager::start(&world).await;
        let (accepted, _) = manager.file(&world).await;
        let (returned, _) = manager.file(&world).await;
        let given = consent_of(&mut manager, &world, "given").await;
        let withdrawn = consent_of(&mut manager, &world, "withdrawn").await;
        assert!(!world.once("city", None).await);
        // A consent has no file of its own; what its office said stands in the item.
        for (receipt, act) in [(&given, "given"), (&withdrawn, "withdrawn")] {
            let folder = world.part("city", "inbox").join(receipt);
            assert_eq!(names(&folder), ["item.json", "receipt.json"]);
            let item = read_json(&folder.join("item.json"));
            assert_eq!((&item["kind"], &item["content"]["act"]["act"]), (&json!("G1"), &json!(act)), "{item}");
            assert_eq!(item["original"], Value::Null);
        }
        let decisions = json!([
            { "receipt": accepted, "decision": "accept" },
            { "receipt": returned, "decision": "return", "reason": "記入日がありません" },
            { "receipt": given, "decision": "accept" },
            { "receipt": withdrawn, "decision": "return", "reason": "確かめてください" },
        ]);
        let folder = world.part("city", "decisions");
        std::fs::write(folder.join("決定.json.tmp"), decisions.to_string()).unwrap();
        std::fs::rename(folder.join("決定.json.tmp"), folder.join("決定.json")).unwrap();
        assert!(!world.once("city", None).await);
        let csv = std::fs::read_to_string(world.part("city", "results").join("決定.json.result.csv")).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        for (n, (receipt, start)) in
            [(&accepted, "受理,済"), (&returned, "差戻し,済"), (&given, "受理,済"), (&withdrawn, "差戻し,エラー")]
                .into_iter()
                .enumerate()
        {
            assert!(lines[n + 1].starts_with(&format!("{},{receipt},{start}", n + 1)), "{csv}");
        }
        assert!(lines[4].contains("同意の知らせは差し戻せません"), "it says what to do instead: {csv}");
        let mut states = world.rows("SELECT submission_id, state FROM submission").await;
        states.sort();
        let mut expected: Vec<(String, String)> =
            [(accepted, "accepted"), (returned, "returned"), (given, "accepted"), (withdrawn, "fetched")]
                .map(|(receipt, state)| (receipt, state.to_owned()))
                .into();
        expected.sort();
        assert_eq!(states, expected);
    });
}

/// An office takes a consent or its withdrawal; the receipt of what the city is told.
async fn consent_of(manager: &mut Manager, world: &World, act: &str) -> String {
    let known = world.rows("SELECT submission_id, kind FROM submission").await;
    let handle = manager.people[0].1.clone();
    let body = json!({ "act": act, "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" });
    manager.terminal.connect(world.office).await.unwrap();
    let path = format!("/api/v1/people/{handle}/consents");
    let answer = manager.terminal.send("POST", &path, Body::Json(body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let now = world.rows("SELECT submission_id, kind FROM submission").await;
    let new: Vec<_> = now.into_iter().filter(|row| !known.contains(row)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert_eq!(new[0].1, "G1");
    new[0].0.clone()
}

#[test]
fn certificate_and_key_in_folders_of_their_own_are_replaced_together_or_not_at_all() {
    super::support::run(async {
        let world = World::start().await;
        let folder = world.at("city");
        let conf = folder.join("connect.conf");
        let text = std::fs::read_to_string(&conf).unwrap();
        let apart = text.replace("= own.crt", "= certificates/own.crt").replace("= own.key", "= keys/own.key");
        std::fs::write(&conf, apart).unwrap();
        let (certificate, key) = (folder.join("certificates/own.crt"), folder.join("keys/own.key"));
        for file in [&certificate, &key] {
            std::fs::create_dir(file.parent().unwrap()).unwrap();
        }
        let ending = issue_many(&world.home, world.town.organization(Who::City), "city", 50, 2).await;
        let put = |n: usize| {
            std::fs::write(&certificate, &ending[n].cert_pem).unwrap();
            std::fs::write(&key, ending[n].key_pem.as_bytes()).unwrap();
        };
        hand_over(&ending[1], &folder);
        put(1);
        while !world.check("city").await.0 {}
        // A file is written beside its place first: a folder of that name is as good as one that may not be written.
        for (n, blocked) in ["certificates/.own.crt.tmp", "keys/.own.key.tmp"].into_iter().enumerate() {
            put(n);
            std::fs::create_dir(folder.join(blocked)).unwrap();
            let name = format!("差分{n}");
            for start in 1..=2 {
                world.drop_package(&format!("{name}-{start}"), &world.package(10 * n as u32 + start));
                assert!(!world.once("city", None).await);
                assert_applied(&world, &format!("{name}-{start}"), 1);
                assert_eq!(std::fs::read_to_string(&certificate).unwrap(), ending[n].cert_pem, "{blocked}");
                assert_eq!(std::fs::read(&key).unwrap(), ending[n].key_pem.as_bytes(), "{blocked}");
            }
            let log = folder.join("log");
            let words = std::fs::read_to_string(&log).unwrap();
            std::fs::remove_file(&log).unwrap();
            let file = if n == 0 { "own.crt" } else { "own.key" };
            for part in ["証明書を更新できませんでした", "いまの証明書のまま続けます", file]
            {
                assert!(words.contains(part), "{part} in {words}");
            }
            // The way is free: the new pair takes both places, and it is one pair.
            std::fs::remove_dir(folder.join(blocked)).unwrap();
            assert!(!world.once("city", None).await);
            let read = |path: &Path| std::fs::read_to_string(path).unwrap();
            assert_ne!(read(&certificate), ending[n].cert_pem);
            let own = Identity::from_pem(&read(&certificate), &read(&key)).unwrap();
            assert!(client_config(&[], Some(&own)).is_ok(), "certificate and key of one pair");
            assert!(names(&world.part("city", "state/renewal")).is_empty());
            let (good, words) = world.check("city").await;
            assert!(good, "{words}");
        }
    });
}
