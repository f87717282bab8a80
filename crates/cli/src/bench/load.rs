//! The load: N connections over mutual TLS, each sends its next request when the answer to the last one is there. Every
//! latency is kept, so percentiles are exact. The client is as thin as can be (bytes out, status and length in), because
//! it takes its time from the same two cores.

use super::city::{COLLEAGUE, Login, World};
use super::floors::Floors;
use super::report::Report;
use super::server::Child;
use super::{HOST, Job, Options};
use crate::client::Client;
use crate::home::now;
use anyhow::{Context as _, Result, anyhow, bail};
use kiban_domain::dates;
use kiban_pki::client_config;
use kiban_sim::SimPerson;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Time before each measurement that is not counted.
const WARM_UP: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);
/// Users of a large office: five care managers.
const OFFICE: usize = 200;
/// Pages of the care manager, by the name they are reported under; `{p}` is a user.
const SCREENS: [(&str, &str); 3] =
    [("screen_today", "/today"), ("screen_users", "/users"), ("screen_person", "/p/{p}")];

/// Measures what was asked for, one after the other.
pub async fn all(
    world: &World,
    server: &Child,
    options: &Options,
    floors: &Floors<'_>,
    report: &mut Report,
) -> Result<()> {
    let load = Load { world, server, options };
    let wants = |job: Job| options.only.contains(&job);
    let register: Vec<Request> = world.sample.iter().map(registration).collect::<Result<_>>()?;
    if wants(Job::Screens) {
        load.screens(report).await?;
    }
    if [Job::Read, Job::Page, Job::Write, Job::Register].into_iter().any(wants) {
        let begun = Instant::now();
        let handles = load.register(&world.sample).await?;
        eprintln!("担当登録 {}人 {:.1}秒", handles.len(), begun.elapsed().as_secs_f64());
        if wants(Job::Read) {
            floors.point_read(report).await;
            load.run("read", &world.care_manager, &reads(&handles, "/records/A3a"), report).await?;
        }
        if wants(Job::Page) {
            load.run("page", &world.care_manager, &reads(&handles, ""), report).await?;
        }
        if wants(Job::Write) {
            floors.durable_insert(report).await;
            let line = |handle| format!("PUT /api/v1/people/{handle}/staff/{COLLEAGUE}");
            let body = json!({ "hidden": false }).to_string();
            let switch = |handle| Request { line: line(handle), body: body.clone() };
            let requests: Vec<_> = handles.iter().map(switch).collect();
            load.run("write", &world.care_manager, &requests, report).await?;
        }
    }
    if wants(Job::Lookup) {
        load.look_up(report).await?;
    }
    if wants(Job::Register) {
        load.run("register", &world.care_manager, &register, report).await?;
    }
    if wants(Job::Disaster) {
        load.disaster(report).await?;
    }
    if wants(Job::Consent) {
        load.consent(report).await?;
    }
    if wants(Job::Slips) {
        load.slips(report).await?;
    }
    if wants(Job::Handshake) {
        floors.handshake(world, report)?;
        load.handshakes(report).await?;
    }
    if wants(Job::Login) {
        floors.password(report)?;
        load.log_ins(report).await?;
    }
    Ok(())
}

/// Whole requests, as they go out.
pub enum Requests {
    /// In memory.
    Kept(Vec<Vec<u8>>),
    /// In a file, each with its place and length.
    Filed { file: File, places: Vec<(u64, usize)> },
}

impl Requests {
    fn len(&self) -> usize {
        match self {
            Self::Kept(all) => all.len(),
            Self::Filed { places, .. } => places.len(),
        }
    }

    fn get(&self, at: usize) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Kept(all) => Ok(Cow::Borrowed(all.get(at).context("nothing to send")?)),
            Self::Filed { file, places } => {
                let (place, length) = *places.get(at).context("nothing to send")?;
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, place)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

struct Load<'a> {
    world: &'a World,
    server: &'a Child,
    options: &'a Options,
}

/// A request without its token: method and path, body.
struct Request {
    line: String,
    body: String,
}

impl Request {
    fn bytes(&self, token: &str) -> Vec<u8> {
        let mut text = format!("{} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\n", self.line);
        if !self.body.is_empty() {
            text += &format!("content-type: application/json\r\ncontent-length: {}\r\n", self.body.len());
        }
        (text + "\r\n" + &self.body).into_bytes()
    }
}

fn post(path: &str, body: &Value) -> Request {
    Request { line: format!("POST {path}"), body: body.to_string() }
}

fn reads(handles: &[String], rest: &str) -> Vec<Request> {
    let line = |handle| format!("GET /api/v1/people/{handle}{rest}");
    handles.iter().map(|handle| Request { line: line(handle), body: String::new() }).collect()
}

fn registration(person: &SimPerson) -> Result<Request> {
    let items = person.four_items();
    let body = json!({
        "insurer_number": items.number.insurer,
        "insured_number": items.number.insured,
        "kana": items.kana,
        "birth": items.birth,
        "sex": serde_json::to_value(items.sex)?,
    });
    Ok(post("/api/v1/people", &body))
}

impl Load<'_> {
    async fn client(&self, who: &Login) -> Result<Client> {
        let mut client = Client::new(self.server.address, HOST, &self.world.root, Some(&who.identity))?;
        client.log_in(&who.account, who.password).await?.expect(200, "ログイン")?;
        Ok(client)
    }

    /// Registers the care manager's office for these people; their handles.
    async fn register(&self, people: &[SimPerson]) -> Result<Vec<String>> {
        let mut client = self.client(&self.world.care_manager).await?;
        let mut handles = Vec::new();
        for person in people {
            let body = serde_json::from_str(&registration(person)?.body)?;
            let answer = client.send("POST", "/api/v1/people", Some(body)).await?.expect(200, "担当登録")?;
            handles.push(answer.text("handle")?.to_owned());
        }
        Ok(handles)
    }

    /// The pages a care manager opens all day, with as many users as a large office has, one after the other over one
    /// connection: the median is what the server takes, TLS and audit included.
    async fn screens(&self, report: &mut Report) -> Result<()> {
        let who = &self.world.care_manager;
        let handles = self.register(self.world.sample.get(..OFFICE).context("too few people")?).await?;
        // Both are letters, digits and hyphens.
        let form = format!("account={}&password={}", who.account, who.password);
        let head = format!(
            "POST /login HTTP/1.1\r\nhost: {HOST}\r\norigin: https://{HOST}\r\ncontent-type: application/x-www-form-urlencoded"
        );
        let log_in = format!("{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len());
        let mut connection = Connection::open(self.server.address, &self.connector(who)?).await?;
        let answer = connection.answer(log_in.as_bytes()).await?;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).context("no cookie")?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n").into_bytes()
        };
        for (name, path) in SCREENS {
            let pages = handles.iter().map(|handle| get(&path.replace("{p}", handle))).collect();
            self.run_over(1, name, who, Requests::Kept(pages), report).await?;
        }
        Ok(())
    }

    /// A request may be answered by 200, 201 or 204 only.
    async fn run(&self, name: &str, who: &Login, requests: &[Request], report: &mut Report) -> Result<()> {
        let token = self.client(who).await?.token().context("no token")?.to_owned();
        let requests = requests.iter().map(|request| request.bytes(&token)).collect();
        self.run_bytes(name, who, Requests::Kept(requests), report).await.map(drop)
    }

    /// The same with whole requests; how many were answered.
    async fn run_bytes(&self, name: &str, who: &Login, requests: Requests, report: &mut Report) -> Result<usize> {
        self.run_over(usize::from(self.options.connections), name, who, requests, report).await
    }

    /// The same over so many connections.
    async fn run_over(
        &self,
        connections: usize,
        name: &str,
        who: &Login,
        requests: Requests,
        report: &mut Report,
    ) -> Result<usize> {
        let requests = Arc::new(requests);
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(self.server.address, &self.connector(who)?).await?);
        }
        let begin = Instant::now() + WARM_UP;
        let end = begin + self.options.time();
        let workers: Vec<_> = open
            .into_iter()
            .enumerate()
            .map(|(i, connection)| tokio::spawn(work(connection, Arc::clone(&requests), i, connections, begin, end)))
            .collect();
        tokio::time::sleep_until(begin.into()).await;
        let before = self.server.moment(self.database())?;
        tokio::time::sleep_until(end.into()).await;
        let cpu = self.server.moment(self.database())?.since(before);
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await??);
        }
        let percentiles = Percentiles::of(&mut latencies);
        report.operations(name, latencies.len(), self.options.time(), &percentiles, &cpu);
        Ok(latencies.len())
    }

    /// Every request once, however long it takes, with the speed of each minute; the seconds it took.
    async fn run_once(&self, name: &str, who: &Login, requests: Requests, report: &mut Report) -> Result<f64> {
        let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
        for _ in 0..self.options.connections {
            let connection = Connection::open(self.server.address, &self.connector(who)?).await?;
            workers.spawn(work_once(connection, Arc::clone(&requests), Arc::clone(&next)));
        }
        let (begin, before) = (Instant::now(), self.server.moment(self.database())?);
        let (mut latencies, mut minutes, mut sent) = (Vec::new(), Vec::new(), 0);
        let mut clock = tokio::time::interval_at((begin + MINUTE).into(), MINUTE);
        loop {
            tokio::select! {
                done = workers.join_next() => match done {
                    Some(done) => latencies.extend(done??),
                    None => break,
                },
                _ = clock.tick() => {
                    let now = next.load(Ordering::Relaxed).min(requests.len());
                    minutes.push((now - sent) as f64 / MINUTE.as_secs_f64());
                    sent = now;
                    eprintln!("{name}: {}分 {sent}/{}件 {:.1}件/秒", minutes.len(), requests.len(), minutes[minutes.len() - 1]);
                }
            }
        }
        let took = begin.elapsed();
        let cpu = self.server.moment(self.database())?.since(before);
        let percentiles = Percentiles::of(&mut latencies);
        report.operations(name, latencies.len(), took, &percentiles, &cpu);
        for (key, minute) in [("per_s_first_minute", minutes.first()), ("per_s_last_minute", minutes.last())] {
            report.add(name, key, minute.copied().unwrap_or_default());
        }
        Ok(took.as_secs_f64())
    }

    /// Name of the database on PostgreSQL.
    fn database(&self) -> Option<&str> {
        let address = self.options.db.strip_prefix("postgres")?;
        let path = address.split('?').next().unwrap_or_default();
        path.rsplit('/').next()
    }

    fn connector(&self, who: &Login) -> Result<TlsConnector> {
        let roots = std::slice::from_ref(&self.world.root);
        let mut config = client_config(roots, Some(&who.identity)).map_err(|error| anyhow!(error.message_ja()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Numbers of a card → the card page with all three cards: what a window of the city does.
    async fn look_up(&self, report: &mut Report) -> Result<()> {
        let numbers = |person: &SimPerson| {
            let (insurer, insured) = (person.insured.card_insurer, person.insured.key.insured);
            json!({ "insurer_number": insurer, "insured_number": insured })
        };
        let requests: Vec<_> =
            self.world.sample.iter().map(|person| post("/api/v1/eligibility", &numbers(person))).collect();
        self.run("lookup", &self.world.officer, &requests, report).await
    }

    /// Messages of a month end about people of the care manager's office: what the platform holds about each is compared.
    async fn slips(&self, report: &mut Report) -> Result<()> {
        self.register(&self.world.sample).await?;
        let who = &self.world.care_manager;
        let token = self.client(who).await?.token().context("no token")?.to_owned();
        let count = super::slips::count(self.options)?;
        eprintln!("送信の計測用に {count}組を作っています");
        let made = super::slips::messages(self.world, count, &token)?;
        let (files, rows, bytes) = (made.files, made.rows, made.bytes);
        let a_second = if self.options.slips.is_some() {
            count as f64 / self.run_once("slips", who, made.requests, report).await?
        } else {
            let sent = self.run_bytes("slips", who, made.requests, report).await?;
            if sent >= count {
                bail!("送信の計測用の組が足りません（{sent} 件送信）");
            }
            sent as f64 / self.options.time().as_secs_f64()
        };
        report.add("slips", "slips_per_s", a_second * super::slips::PEOPLE as f64);
        report.add("slips", "files_per_s", a_second * files as f64);
        report.add("slips", "rows_per_s", a_second * rows as f64);
        report.add("slips", "megabytes_per_s", a_second * bytes as f64 / 1e6);
        Ok(())
    }

    async fn disaster(&self, report: &mut Report) -> Result<()> {
        let [first, second] = &self.world.operators;
        let today = dates::day_in_japan(now());
        let area = self.world.sample.first().context("nobody")?.insured.card_insurer;
        let helper = self.world.nurse.organization.office().context("no office")?;
        let proposal = json!({ "event": "架空地震", "areas": [area], "offices": [helper], "hosts": [],
            "without_consent": false, "from": today, "to": today });
        let answer = self.client(first).await?.send("POST", "/api/v1/disasters", Some(proposal)).await?;
        let id = answer.expect(201, "災害時モードの提案")?.text("id")?.to_owned();
        let approve = format!("/api/v1/disasters/{id}/approve");
        self.client(second).await?.send("POST", &approve, None).await?.expect(204, "災害時モードの承認")?;
        let query = |person: &SimPerson| {
            let identity = &person.insured.identity;
            json!({ "reason": "避難所での安否確認", "insurer_number": person.insured.card_insurer,
                "kana": identity.kana, "birth": identity.birth })
        };
        let requests: Vec<_> =
            self.world.sample.iter().map(|person| post("/api/v1/disasters/search", &query(person))).collect();
        self.run("disaster", &self.world.nurse, &requests, report).await?;
        let close = format!("/api/v1/disasters/{id}/close");
        self.client(first).await?.send("POST", &close, None).await?.expect(204, "災害時モードの終了")?;
        Ok(())
    }

    /// Acts of consent at the city's counter: withdrawn, because that is open for everybody at any time (P-069).
    async fn consent(&self, report: &mut Report) -> Result<()> {
        let mut client = self.client(&self.world.officer).await?;
        let act = json!({ "act": "withdrawn", "declarant": "person", "proof": "individual_number_card",
            "form": "計測用 第1版" });
        let mut requests = Vec::new();
        for person in &self.world.sample {
            let body = json!({ "insured_number": person.insured.key.insured });
            let answer = client.send("POST", "/api/v1/people/find", Some(body)).await?.expect(200, "番号検索")?;
            requests.push(post(&format!("/api/v1/people/{}/consents", answer.text("handle")?), &act));
        }
        self.run("consent", &self.world.officer, &requests, report).await
    }

    /// Log-ins of one account at one terminal, over connections that stay.
    async fn log_ins(&self, report: &mut Report) -> Result<()> {
        let who = &self.world.care_manager;
        let request = post("/api/v1/session", &json!({ "account": who.account, "password": who.password }));
        let head = format!("{} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n", request.line);
        let whole = format!("{head}content-length: {}\r\n\r\n{}", request.body.len(), request.body);
        self.run_bytes("login", who, Requests::Kept(vec![whole.into_bytes()]), report).await?;
        report.per_core("login");
        Ok(())
    }

    /// Connections that are opened and closed without a request.
    async fn handshakes(&self, report: &mut Report) -> Result<()> {
        let connector = self.connector(&self.world.care_manager)?;
        let begin = Instant::now();
        let end = begin + self.options.time();
        let cpu = self.server.cpu()?;
        let workers: Vec<_> = (0..usize::from(self.options.connections).min(8))
            .map(|_| tokio::spawn(shake(self.server.address, connector.clone(), end)))
            .collect();
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await??);
        }
        let cpu = self.server.cpu()? - cpu;
        let percentiles = Percentiles::of(&mut latencies);
        report.handshakes(latencies.len(), begin.elapsed(), &percentiles, cpu);
        Ok(())
    }
}

/// One connection's share of the operations, in its own order, until the end; latencies in microseconds.
async fn work(
    mut connection: Connection,
    requests: Arc<Requests>,
    offset: usize,
    step: usize,
    begin: Instant,
    end: Instant,
) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut next = offset;
    while Instant::now() < end {
        let request = requests.get(next % requests.len())?;
        let sent = Instant::now();
        connection.exchange(&request).await?;
        if sent >= begin {
            latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        next += step;
    }
    Ok(latencies)
}

/// One connection's share of requests that are sent once each; latencies in microseconds.
async fn work_once(mut connection: Connection, requests: Arc<Requests>, next: Arc<AtomicUsize>) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= requests.len() {
            return Ok(latencies);
        }
        let request = requests.get(at)?;
        let sent = Instant::now();
        connection.exchange(&request).await?;
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

async fn shake(address: SocketAddr, connector: TlsConnector, end: Instant) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        let mut connection = Connection::open(address, &connector).await?;
        latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        let _ = connection.stream.shutdown().await;
    }
    Ok(latencies)
}

/// A connection that sends bytes and reads one answer.
struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, connector: &TlsConnector) -> Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(HOST).map_err(|_| anyhow!("server name"))?;
        Ok(Self { stream: connector.connect(name, tcp).await?, buffer: Vec::with_capacity(16 * 1024) })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.receive(request).await?;
        match self.buffer.get(9..12) {
            Some(b"200" | b"201" | b"204") => Ok(()),
            _ => bail!("予期しない答え: {}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// An answer of whatever status, as text.
    async fn answer(&mut self, request: &[u8]) -> Result<Cow<'_, str>> {
        self.receive(request).await?;
        Ok(String::from_utf8_lossy(&self.buffer))
    }

    async fn receive(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("サーバーが接続を閉じました");
            }
            if let Some(whole) = whole_length(&self.buffer)
                && self.buffer.len() >= whole
            {
                return Ok(());
            }
        }
    }
}

/// Length of the answer that begins in the buffer, once its head is there.
fn whole_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
    let length = text.lines().filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(head + length.filter_map(|(_, value)| value.trim().parse::<usize>().ok()).next().unwrap_or(0))
}

/// Exact percentiles in milliseconds.
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    fn of(latencies: &mut [u32]) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let rank = (share * latencies.len() as f64).ceil() as usize;
            latencies.get(rank.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1e3)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_whole_list() {
        let mut latencies: Vec<u32> = (1..=1000).rev().map(|i| i * 1000).collect();
        let percentiles = Percentiles::of(&mut latencies);
        assert_eq!((percentiles.p50, percentiles.p99, percentiles.max), (500.0, 990.0, 1000.0));
        assert_eq!(Percentiles::of(&mut []).p99, 0.0);
    }

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
        assert_eq!(whole_length(answer), Some(answer.len() + 2));
        assert_eq!(whole_length(&answer[..20]), None);
        assert_eq!(whole_length(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(27));
    }
}
