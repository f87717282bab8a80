//! The life of a certificate over real TLS: asked for without one, vouched for by two operators, issued for a key that never
//! left the office or handed over in an encrypted file, renewed, revoked on every server at once (P-182, S-003, S-004).

use crate::tls::ask;
use crate::world::{PASSWORD, Role, World, account, certificate, furnish, open_store_at};
use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kiban_domain::Timestamp;
use kiban_pki::{Ca, Identity, Issued, client_config, new_key, request_for, requested_key, server_config_public};
use kiban_service::{Config, Platform};
use kiban_store::{CertificateRow, Entry, Outcome};
use kiban_web::tls::{Limits, organizations_config};
use kiban_web::{Server, Settings, Socket};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// A running server over the database of the test.
struct Site {
    inside: SocketAddr,
    line: SocketAddr,
    outside: SocketAddr,
    platform: Platform,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<Result<usize, kiban_service::Error>>,
}

/// A database, an authority, and whoever works with them.
struct Place {
    dir: TempDir,
    address: String,
    ca: Arc<Ca>,
}

/// The test on SQLite, and on PostgreSQL when there is one.
async fn on_each_engine(test: impl AsyncFn(Place)) {
    test(Place::new(None).await).await;
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let name = format!("web_{}", kiban_service::random_id().unwrap());
    let pool = sqlx::PgPool::connect(&server).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.unwrap();
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let base = base.rsplit_once('/').unwrap().0.to_owned();
    test(Place::new(Some(format!("{base}/{name}?{query}"))).await).await;
}

impl Place {
    async fn new(address: Option<String>) -> Self {
        let dir = TempDir::new().unwrap();
        let now = Timestamp::now();
        let address = address.unwrap_or_else(|| format!("sqlite:{}", dir.path().join("kiban.db").display()));
        let store = open_store_at(&address, &dir, Arc::new(Timestamp::now)).await;
        furnish(&store, now).await;
        let ca = Ca::init(&dir.path().join("ca"), "見本認証局", now).unwrap();
        store.close().await.unwrap();
        Self { dir, address, ca: Arc::new(ca) }
    }

    /// A terminal of somebody, good for so many days.
    async fn terminal(&self, site: &Site, role: Role, name: &str, days: u32) -> Issued {
        let now = Timestamp::now();
        let issued = self.ca.issue_client(role.organization(), name, days, now).unwrap();
        let row = CertificateRow {
            terminal: name.to_owned(),
            serial: issued.serial.clone(),
            not_after: issued.not_after,
            ..certificate(role, &issued.fingerprint, now)
        };
        let mut tx = site.platform.store().begin().await.unwrap();
        tx.put_certificate(&row).await.unwrap();
        if role.is_connector() {
            tx.put_connector(&row.fingerprint, row.organization, now).await.unwrap();
        }
        let id = kiban_service::random_id().unwrap();
        tx.commit(Entry::new(now, &id, "test", "test", Outcome::Done)).await.unwrap();
        site.platform.refresh_standing(now).await.unwrap();
        issued
    }

    /// A server of its own.
    async fn site(&self, with_authority: bool) -> Site {
        let store = open_store_at(&self.address, &self.dir, Arc::new(Timestamp::now)).await;
        self.serve(store, with_authority).await
    }

    /// A second server beside one: on PostgreSQL with connections of its own, on SQLite, which has one writer, over the
    /// same store. What it knows of who may come in is its own on both.
    async fn site_beside(&self, first: &Site, with_authority: bool) -> Site {
        match self.address.starts_with("sqlite:") {
            true => self.serve(first.platform.store().clone(), with_authority).await,
            false => self.site(with_authority).await,
        }
    }

    async fn serve(&self, store: kiban_store::Store, with_authority: bool) -> Site {
        let clock: kiban_web::Clock = Arc::new(Timestamp::now);
        let platform = Platform::open(store, Config::default(), Timestamp::now()).await.unwrap();
        if with_authority {
            platform.seat_authority(Arc::clone(&self.ca));
        }
        let server = identity(&self.ca.issue_server(&["localhost"], 30, Timestamp::now()).unwrap());
        let socket = async |tls| Socket {
            tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tls: Arc::new(ArcSwap::new(tls)),
            settings: Settings::new(&["localhost"], "https://localhost", clock.clone()),
        };
        let roots = [self.ca.certificate_der().clone()];
        let organisations = socket(organizations_config(&server, &roots).unwrap()).await;
        let line = socket(organizations_config(&server, &roots).unwrap()).await;
        let public = socket(server_config_public(&server).unwrap()).await;
        let at = |socket: &Socket| socket.tcp.local_addr().unwrap();
        let (inside, closed, outside) = (at(&organisations), at(&line), at(&public));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server {
            organisations,
            public,
            closed_line: Some(line),
            limits: Limits::default(),
            metrics: None,
            proxies: [].into(),
        };
        let running = tokio::spawn(server.run(platform.clone(), async {
            let _ = stopped.await;
        }));
        Site { inside, line: closed, outside, platform, stop, running }
    }

    /// Somebody logged in over an own terminal.
    async fn log_in<'a>(&'a self, site: &'a Site, role: Role, own: Identity) -> Person<'a> {
        let mut person = Person { place: self, at: site.inside, own: Some(own), token: None };
        let body = json!({ "account": role.account(), "password": PASSWORD });
        let (status, answer) = person.post("/api/v1/session", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        person.token = answer["token"].as_str().map(str::to_owned);
        person
    }

    fn outside<'a>(&'a self, site: &'a Site) -> Person<'a> {
        Person { place: self, at: site.outside, own: None, token: None }
    }
}

impl Site {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }

    /// Stops it and the one beside it, which may have had its store.
    async fn stop_with(self, beside: Self) {
        beside.running.abort();
        let _ = beside.running.await;
        self.stop().await;
    }
}

/// Somebody at a terminal; each request over a connection of its own.
struct Person<'a> {
    place: &'a Place,
    at: SocketAddr,
    own: Option<Identity>,
    token: Option<String>,
}

impl Person<'_> {
    async fn send(&self, method: Method, path: &str, body: Value) -> Option<(StatusCode, String)> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        ask(self.at, "localhost", &self.place.ca, self.own.as_ref(), request, body).await.ok()
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let (status, text) = self.send(Method::POST, path, body).await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, text) = self.send(Method::GET, path, Value::Null).await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
}

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap()
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}"))
}

fn first_item(answer: &Value) -> &str {
    text(&answer["items"][0], "item")
}

const APPLY: &str = "/api/v1/certificate-applications";

fn application(role: Role, csr: Option<&str>) -> Value {
    json!({ "organization": role.organization(), "terminal": "相談室パソコン1", "csr": csr, "contact": "000-000-0000" })
}

/// Two operators on terminals of their own.
async fn operators<'a>(place: &'a Place, site: &'a Site) -> [Person<'a>; 2] {
    let first = place.terminal(site, Role::Operator, "運用1", 300).await;
    let second = place.terminal(site, Role::SecondOperator, "運用2", 300).await;
    [
        place.log_in(site, Role::Operator, identity(&first)).await,
        place.log_in(site, Role::SecondOperator, identity(&second)).await,
    ]
}

async fn approve(who: &Person<'_>, id: &str) -> (StatusCode, Value) {
    who.post(&format!("{APPLY}/{id}/approve"), Value::Null).await
}

#[tokio::test]
async fn an_office_asks_two_operators_vouch_and_the_key_never_leaves_the_office() {
    on_each_engine(async |place| {
        let site = place.site(true).await;
        let [first, second] = operators(&place, &site).await;
        let nobody = place.outside(&site);
        let key = new_key().unwrap();
        // Whatever the request calls itself.
        let csr = request_for(&key, "operator").unwrap();
        let (status, asked) = nobody.post(APPLY, application(Role::Planner, Some(&csr))).await;
        assert_eq!((status, text(&asked, "state")), (StatusCode::CREATED, "waiting"));
        let digest = requested_key(&csr).unwrap().digest.to_uppercase();
        assert_eq!(text(&asked, "key_check").replace('-', ""), digest[..20]);
        let id = text(&asked, "application").to_owned();

        // Operators are told, with how to reach the office; one of them is not enough, neither is the same one twice.
        let (_, told) = first.get("/api/v1/notices").await;
        assert_eq!(told["notices"][0]["facts"]["contact"], json!("000-000-0000"));
        let (status, checked) = approve(&first, &id).await;
        assert_eq!((status, text(&checked["application"], "state")), (StatusCode::OK, "checked"));
        let (status, again) = approve(&first, &id).await;
        assert_eq!((status, text(&again, "code")), (StatusCode::CONFLICT, "conflict"));
        assert_eq!(nobody.get(&format!("{APPLY}/{id}")).await.1["state"], json!("checked"));
        let (status, issued) = approve(&second, &id).await;
        assert_eq!((status, text(&issued["application"], "state")), (StatusCode::OK, "issued"));
        assert_eq!(issued["code"], Value::Null, "nothing to hand over");
        for operator in [&first, &second] {
            assert_eq!(approve(operator, &id).await.0, StatusCode::CONFLICT, "approved twice");
        }
        let refuse = first.post(&format!("{APPLY}/{id}/refuse"), Value::Null).await;
        assert_eq!(refuse.0, StatusCode::CONFLICT);

        let (_, ready) = nobody.get(&format!("{APPLY}/{id}")).await;
        let own = || Identity::from_pem(text(&ready, "certificate"), &key).unwrap();
        let der = own().chain[0].clone();
        assert_eq!(kiban_pki::organization_of(&der), Some(Role::Planner.organization()));
        assert_eq!(kiban_pki::terminal_of(&der).as_deref(), Some("相談室パソコン1"));
        let office = place.log_in(&site, Role::Planner, own()).await;
        let (_, list) = office.get("/api/v1/certificates").await;
        assert_eq!(text(&list, "name"), "居宅介護支援事業所みほん");
        let line = |terminal: &str| {
            let lines = list["certificates"].as_array().unwrap().iter();
            lines.filter(|line| line["terminal"] == terminal).cloned().collect::<Vec<_>>()
        };
        assert_eq!(line("相談室パソコン1")[0]["serial"], ready["serial"]);
        assert_eq!((line("相談室パソコン1").len(), line("受付の端末").len()), (1, 1), "one for each terminal");

        // A further terminal: the office's administrator vouches, one operator approves; renewal is for later.
        let more = request_for(&new_key().unwrap(), "x").unwrap();
        let (status, asked) = office.post(APPLY, application(Role::Planner, Some(&more))).await;
        assert_eq!((status, text(&asked, "state")), (StatusCode::CREATED, "checked"));
        assert_eq!(approve(&office, text(&asked, "application")).await.0, StatusCode::NOT_FOUND);
        let (_, issued) = approve(&second, text(&asked, "application")).await;
        assert_eq!(text(&issued["application"], "state"), "issued");
        let (status, early) = office.post("/api/v1/certificate/renewal", json!({ "csr": more })).await;
        assert_eq!((status, first_item(&early)), (StatusCode::UNPROCESSABLE_ENTITY, "certificate"));

        // For others an office cannot ask, nor see what they have.
        let (status, other) = office.post(APPLY, application(Role::Stranger, Some(&more))).await;
        assert_eq!((status, first_item(&other)), (StatusCode::UNPROCESSABLE_ENTITY, "organization"));
        let theirs = format!("/api/v1/certificates?organization={}", Role::Stranger.organization());
        assert_eq!(office.get(&theirs).await.0, StatusCode::NOT_FOUND);
        assert_eq!(first.get(&theirs).await.0, StatusCode::OK);
        site.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_nobody_can_vouch_for_or_use_is_not_taken() {
    on_each_engine(async |place| {
        let site = place.site(true).await;
        let [first, second] = operators(&place, &site).await;
        let nobody = place.outside(&site);
        let key = place.dir.path().join("short.key");
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let key = key.to_str().unwrap();
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", key]);
        let weak = openssl(&["req", "-new", "-key", key, "-subj", "/"]);
        let good = request_for(&new_key().unwrap(), "x").unwrap();
        let (status, answer) = nobody.post(APPLY, application(Role::Planner, Some(&weak))).await;
        assert_eq!((status, first_item(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "csr"));
        // The key of another request: its signature is not of this key.
        let lines: Vec<_> = good.lines().collect();
        let broken = [&lines[..2], &["AAAA"], &lines[3..]].concat().join("\n");
        let (status, answer) = nobody.post(APPLY, application(Role::Planner, Some(&broken))).await;
        assert_eq!((status, first_item(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "csr"));
        for role in [Role::Operator, Role::Prefecture] {
            let (status, answer) = nobody.post(APPLY, application(role, Some(&good))).await;
            assert_eq!((status, first_item(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "organization"));
        }
        // An office nobody has registered is asked for, and not approved.
        let mut unknown = application(Role::Planner, Some(&good));
        unknown["organization"] = json!("9970000052");
        let (_, asked) = nobody.post(APPLY, unknown).await;
        assert_eq!(approve(&first, text(&asked, "application")).await.0, StatusCode::CONFLICT);
        // Turned down is over.
        let (_, asked) = nobody.post(APPLY, application(Role::Planner, Some(&good))).await;
        let id = text(&asked, "application");
        assert_eq!(first.post(&format!("{APPLY}/{id}/refuse"), Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(approve(&second, id).await.0, StatusCode::CONFLICT);
        assert_eq!(nobody.get(&format!("{APPLY}/{id}")).await.1["state"], json!("refused"));
        assert_eq!(nobody.get(&format!("{APPLY}/{}", "0".repeat(32))).await.0, StatusCode::NOT_FOUND);
        // One address does not fill the list.
        let mut last = StatusCode::CREATED;
        for _ in 0..21 {
            last = nobody.post(APPLY, application(Role::Planner, Some(&good))).await.0;
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
        site.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_encrypted_file_is_handed_over_once_for_the_right_code() {
    on_each_engine(async |place| {
        let site = place.site(true).await;
        let [first, second] = operators(&place, &site).await;
        let nobody = place.outside(&site);
        let ready = async || {
            let (_, asked) = nobody.post(APPLY, application(Role::Planner, None)).await;
            let id = text(&asked, "application").to_owned();
            assert_eq!(asked["key_check"], Value::Null);
            let early = nobody.post(&format!("{APPLY}/{id}/pickup"), json!({ "code": "AAAA-AAAA-AAAA-AAAA" })).await;
            assert_eq!(early.0, StatusCode::CONFLICT, "nobody has approved it");
            assert_eq!(approve(&first, &id).await.1["code"], Value::Null);
            let (_, approved) = approve(&second, &id).await;
            (id, text(&approved, "code").to_owned())
        };
        let pick_up = async |id: &str, code: &str| {
            let request = Request::post(format!("https://localhost{APPLY}/{id}/pickup"));
            let request = request.header(header::CONTENT_TYPE, "application/json");
            bytes_of(&place, site.outside, request, json!({ "code": code })).await
        };
        let (id, code) = ready().await;
        for n in 1..=5 {
            let (status, answer) = pick_up(&id, "2222-2222-2222-2222").await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{n}");
            assert!(String::from_utf8_lossy(&answer).contains(&format!("あと{}回", 5 - n)));
        }
        assert_eq!(pick_up(&id, &code).await.0, StatusCode::CONFLICT, "five wrong ones end it");
        assert_eq!(nobody.get(&format!("{APPLY}/{id}")).await.1["state"], json!("locked"));

        let (id, code) = ready().await;
        assert_eq!(pick_up(&id, "2222-2222-2222-2222").await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let (status, file) = pick_up(&id, &code.to_lowercase().replace('-', " ")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(pick_up(&id, &code).await.0, StatusCode::CONFLICT, "good once");
        let path = place.dir.path().join("terminal.p12");
        std::fs::write(&path, &file).unwrap();
        let open = |code: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkcs12", "-nodes", "-passin", &format!("pass:{code}"), "-in"]).arg(&path).output().unwrap()
        };
        assert!(!open("2222-2222-2222-2222").status.success());
        // The name beside it is in Japanese.
        let pem = String::from_utf8_lossy(&open(&code).stdout).into_owned();
        place.log_in(&site, Role::Planner, Identity::from_pem(&pem, &pem).unwrap()).await;
        let shown = nobody.get(&format!("{APPLY}/{id}")).await.1;
        assert_eq!((text(&shown, "state"), &shown["certificate"]), ("issued", &Value::Null));
        site.stop().await;
    })
    .await;
}

/// Status and bytes of an answer.
async fn bytes_of(
    place: &Place,
    at: SocketAddr,
    request: axum::http::request::Builder,
    body: Value,
) -> (StatusCode, Vec<u8>) {
    let mut open = Open::connect(place, at, None).await;
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let response = open.requests.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// A connection that stays.
struct Open {
    requests: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
}

impl Open {
    async fn connect(place: &Place, at: SocketAddr, own: Option<&Identity>) -> Self {
        let mut config = client_config(&[place.ca.certificate_der().clone()], own).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Self { requests }
    }

    async fn people(&mut self, token: &str) -> StatusCode {
        let request = Request::get("https://localhost/api/v1/people");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.requests.send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap().status()
    }
}

#[tokio::test]
async fn a_certificate_renews_itself_for_a_new_key_and_both_are_good_meanwhile() {
    on_each_engine(async |place| {
        let site = place.site(true).await;
        let old = place.terminal(&site, Role::Planner, "受付2", 59).await;
        let office = place.log_in(&site, Role::Planner, identity(&old)).await;
        let renew =
            async |who: &Person<'_>, csr: &str| who.post("/api/v1/certificate/renewal", json!({ "csr": csr })).await;
        let same_key = request_for(&old.key_pem, "x").unwrap();
        let (status, answer) = renew(&office, &same_key).await;
        assert_eq!((status, first_item(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "csr"), "the key in use");

        let key = new_key().unwrap();
        let csr = request_for(&key, "operator").unwrap();
        let (status, renewed) = renew(&office, &csr).await;
        assert_eq!((status, text(&renewed, "state")), (StatusCode::OK, "issued"));
        // The answer was lost: asked again with the same key, the same certificate.
        let again = renew(&office, &request_for(&key, "y").unwrap()).await.1;
        assert_eq!(again["serial"], renewed["serial"]);
        let new = Identity::from_pem(text(&renewed, "certificate"), &key).unwrap();
        assert_eq!(kiban_pki::terminal_of(&new.chain[0]).as_deref(), Some("受付2"));
        assert_eq!(kiban_pki::organization_of(&new.chain[0]), Some(Role::Planner.organization()));
        place.log_in(&site, Role::Planner, new).await;
        assert_eq!(office.get("/api/v1/people").await.0, StatusCode::OK, "the old one is good until its end");

        // Another office that sends the same request gets one of its own, never this one's.
        let theirs = place.terminal(&site, Role::Stranger, "よその端末", 59).await;
        let stranger = place.log_in(&site, Role::Stranger, identity(&theirs)).await;
        let (_, other) = renew(&stranger, &csr).await;
        assert_ne!(other["serial"], renewed["serial"]);
        let other = kiban_pki::tls::certificates(text(&other, "certificate")).unwrap();
        assert_eq!(kiban_pki::organization_of(&other[0]), Some(Role::Stranger.organization()));
        let shown = place.outside(&site).get(&format!("{APPLY}/{}", text(&renewed, "application"))).await;
        assert_eq!(shown.0, StatusCode::NOT_FOUND, "a renewal is its own office's business");

        for _ in 0..2 {
            assert_eq!(renew(&office, &request_for(&new_key().unwrap(), "x").unwrap()).await.0, StatusCode::OK);
        }
        assert_eq!(renew(&office, &request_for(&new_key().unwrap(), "x").unwrap()).await.0, StatusCode::CONFLICT);
        // Without a log-in a terminal renews nothing; an unattended program has nothing but its certificate.
        let logged_out = Person { token: None, own: Some(identity(&old)), ..place.outside(&site) };
        let logged_out = Person { at: site.inside, ..logged_out };
        assert_eq!(renew(&logged_out, &csr).await.0, StatusCode::UNAUTHORIZED);
        for (role, at) in [(Role::CityConnector, site.inside), (Role::HospitalConnector, site.line)] {
            let own = place.terminal(&site, role, "接続プログラム", 59).await;
            let program = Person { place: &place, at, own: Some(identity(&own)), token: None };
            let key = new_key().unwrap();
            let (status, renewed) = renew(&program, &request_for(&key, "x").unwrap()).await;
            assert_eq!(status, StatusCode::OK, "{renewed}");
            let new = Identity::from_pem(text(&renewed, "certificate"), &key).unwrap();
            let program = Person { own: Some(new), ..program };
            let path = if role == Role::CityConnector { "/api/v1/inbox" } else { "/api/v1/opinions" };
            assert_eq!(program.get(path).await.0, StatusCode::OK, "a program again");
        }
        site.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_without_the_authority_takes_the_request_and_one_with_it_issues() {
    on_each_engine(async |place| {
        let without = place.site(false).await;
        let with = place.site_beside(&without, true).await;
        let old = place.terminal(&without, Role::Planner, "受付2", 59).await;
        let office = place.log_in(&without, Role::Planner, identity(&old)).await;
        let body = json!({ "csr": request_for(&new_key().unwrap(), "x").unwrap() });
        let (status, waits) = office.post("/api/v1/certificate/renewal", body.clone()).await;
        assert_eq!((status, text(&waits, "state")), (StatusCode::OK, "approved"));
        let context = kiban_service::Context::new(Timestamp::now()).unwrap();
        with.platform.tend_certificates(&context).await.unwrap();
        assert_eq!(office.post("/api/v1/certificate/renewal", body).await.1["state"], json!("issued"));
        without.stop_with(with).await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_terminal_is_shut_out_of_every_server_and_stands_on_the_list_for_others() {
    on_each_engine(async |place| {
        let first = place.site(true).await;
        let second = place.site_beside(&first, false).await;
        let lost = place.terminal(&first, Role::Planner, "持ち出し用", 300).await;
        second.platform.refresh_standing(Timestamp::now()).await.unwrap();
        let kept = place.terminal(&first, Role::Planner, "受付2", 300).await;
        let thief = place.log_in(&first, Role::Planner, identity(&lost)).await;
        let token = thief.token.clone().unwrap();
        let mut open = [
            Open::connect(&place, first.inside, Some(&identity(&lost))).await,
            Open::connect(&place, second.inside, Some(&identity(&lost))).await,
        ];
        for connection in &mut open {
            assert_eq!(connection.people(&token).await, StatusCode::OK);
        }
        let office = place.log_in(&first, Role::Planner, identity(&kept)).await;
        let revoke = format!("/api/v1/certificates/{}/revoke", lost.serial);
        let (status, answer) = office.post(&revoke, json!({ "reason": "なくした" })).await;
        assert_eq!((status, first_item(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "reason"));
        let theirs = place.terminal(&first, Role::Stranger, "よその端末", 300).await;
        let stranger = place.log_in(&first, Role::Stranger, identity(&theirs)).await;
        let why = json!({ "reason": "key-compromise" });
        assert_eq!(stranger.post(&revoke, why.clone()).await.0, StatusCode::NOT_FOUND);
        assert_eq!(open[0].people(&token).await, StatusCode::OK);

        assert_eq!(office.post(&revoke, why).await.0, StatusCode::NO_CONTENT);
        assert_eq!(open[0].people(&token).await, StatusCode::UNAUTHORIZED, "at once where it was revoked");
        // The other server reads the map again every two seconds.
        let patience = std::time::Duration::from_secs(60);
        let felt = async { while open[1].people(&token).await != StatusCode::UNAUTHORIZED {} };
        tokio::time::timeout(patience, felt).await.unwrap();
        for site in [&first, &second] {
            let again = Person { place: &place, at: site.inside, own: Some(identity(&lost)), token: None };
            assert!(again.send(Method::GET, "/", Value::Null).await.is_none(), "no handshake");
        }
        let (_, list) = office.get("/api/v1/certificates").await;
        let lines = list["certificates"].as_array().unwrap();
        let line = lines.iter().find(|line| line["serial"] == json!(lost.serial)).unwrap();
        assert_eq!((text(line, "state"), text(line, "revoked_for")), ("revoked", "key-compromise"));

        // Whoever checks for themselves: signed by the authority, good for a day, the same from every server.
        let ca = place.dir.path().join("ca/ca.pem");
        for site in [&first, &second] {
            let request = Request::get("https://localhost/crl.der");
            let (status, der) = bytes_of(&place, site.outside, request, Value::Null).await;
            assert_eq!(status, StatusCode::OK);
            let path = place.dir.path().join("list.der");
            std::fs::write(&path, &der).unwrap();
            assert_eq!(std::fs::read(place.dir.path().join("ca/crl.der")).unwrap(), der);
            let mut openssl = Command::new("openssl");
            openssl.args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(&path).arg("-CAfile").arg(&ca);
            let output = openssl.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
            assert!(String::from_utf8_lossy(&output.stderr).contains("verify OK"));
            assert!(said.contains(&lost.serial) && said.contains("key compromise"), "{said}");
            assert!(said.contains("next update") && !said.contains(&kept.serial));
        }
        first.stop_with(second).await;
    })
    .await;
}

#[tokio::test]
async fn a_renewal_is_told_and_goes_with_the_lost_terminal_it_was_made_over_but_not_with_a_replaced_one() {
    on_each_engine(async |place| {
        let site = place.site(false).await;
        let issuing = place.site_beside(&site, true).await;
        let context = || kiban_service::Context::new(Timestamp::now()).unwrap();
        let kept = place.terminal(&site, Role::Planner, "受付2", 300).await;
        let office = place.log_in(&site, Role::Planner, identity(&kept)).await;
        let renew = async |holder: &Person<'_>, key: &str| {
            let body = json!({ "csr": request_for(key, "x").unwrap() });
            holder.post("/api/v1/certificate/renewal", body).await.1
        };
        let renewed = async |terminal: &str| {
            let old = place.terminal(&site, Role::Planner, terminal, 59).await;
            let holder = place.log_in(&site, Role::Planner, identity(&old)).await;
            let key = new_key().unwrap();
            renew(&holder, &key).await;
            issuing.platform.tend_certificates(&context()).await.unwrap();
            let new = renew(&holder, &key).await;
            (old, holder, Identity::from_pem(text(&new, "certificate"), &key).unwrap())
        };
        let (lost, thief, stolen) = renewed("持ち出し用").await;
        let (replaced, _, replacement) = renewed("相談室").await;
        let (spared, _, spared_new) = renewed("窓口").await;
        // One more waits for its signature.
        assert_eq!(renew(&thief, &new_key().unwrap()).await["state"], json!("approved"));
        let (_, told) = office.get("/api/v1/notices").await;
        let told: Vec<&Value> =
            told["notices"].as_array().unwrap().iter().filter(|n| n["kind"] == "certificate_renewed").collect();
        assert_eq!(told.len(), 4, "each once");
        assert!(told.iter().any(|notice| notice["facts"]["serial"] == json!(lost.serial)), "{told:?}");
        let revoke = async |serial: &str, why: Value| {
            let (status, answer) = office.post(&format!("/api/v1/certificates/{serial}/revoke"), why).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
        };
        revoke(&lost.serial, json!({ "reason": "key-compromise" })).await;
        revoke(&replaced.serial, json!({ "reason": "superseded" })).await;
        revoke(&spared.serial, json!({ "reason": "key-compromise", "with_renewed": false })).await;
        for (own, enters) in [
            (identity(&lost), false),
            (stolen, false),
            (identity(&replaced), false),
            (replacement, true),
            (spared_new, true),
        ] {
            let person = Person { place: &place, at: site.inside, own: Some(own), token: None };
            assert_eq!(person.send(Method::GET, "/", Value::Null).await.is_some(), enters);
        }
        // What waited for its signature over the lost one is signed no more.
        issuing.platform.tend_certificates(&context()).await.unwrap();
        site.platform.refresh_standing(Timestamp::now()).await.unwrap();
        let (_, list) = office.get("/api/v1/certificates").await;
        let lines = list["certificates"].as_array().unwrap().iter().filter(|line| line["terminal"] == "持ち出し用");
        let states: Vec<_> = lines.map(|line| text(line, "state")).collect();
        assert_eq!(states, ["revoked", "revoked"], "{list}");
        site.stop_with(issuing).await;
    })
    .await;
}

#[tokio::test]
async fn certificates_of_a_municipality_are_its_administrators_business_like_those_of_an_office() {
    let world = World::new().await;
    let (city, revoke) = (world.log_in(Role::City).await, "/api/v1/certificates/none/revoke");
    let why = json!({ "reason": "key-compromise" });
    let ask = json!({ "terminal": "窓口", "contact": "000-000-0000" });
    for (path, body) in [(revoke, why.clone()), (APPLY, ask.clone())] {
        assert_eq!(city.post(path, body).await.refusal(), (403, "not_administrator".to_owned()), "{path}");
    }
    assert_eq!(city.get("/api/v1/certificates").await.status, StatusCode::OK, "looking is open");
    let mut administrator = account(Role::City);
    administrator.staff.administrator = true;
    world.change(async |tx| tx.put_account(&administrator).await.unwrap()).await;
    assert_eq!(city.post(revoke, why).await.refusal(), (404, "unknown".to_owned()), "there is none");
    assert_eq!(city.post(APPLY, ask).await.status, StatusCode::CREATED);
    world.verify().await;
}

#[tokio::test]
async fn an_office_is_warned_once_at_each_stage_unless_it_has_renewed() {
    let world = World::new().await;
    let day = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    let row = |fingerprint: &str, terminal: &str, days: i64| CertificateRow {
        terminal: terminal.to_owned(),
        not_after: world.now() + day(days),
        ..certificate(Role::Helper, &fingerprint.repeat(64), world.now())
    };
    let rows = [row("1", "更新していない端末", 61), row("2", "更新した端末", 61), row("3", "更新した端末", 800)];
    world
        .change(async |tx| {
            for row in &rows {
                tx.put_certificate(row).await.unwrap();
            }
        })
        .await;
    let stages = async |role: Role| {
        let client =
            crate::world::Client { token: Some(world.fresh_token(role).await), ..world.with_certificate(role) };
        let notices = client.get("/api/v1/notices?limit=200").await.json();
        let all = notices["notices"].as_array().unwrap().clone();
        let mut days: Vec<_> =
            all.iter().filter(|n| n["kind"] == "certificate_ending").map(|n| n["facts"]["days"].clone()).collect();
        days.reverse();
        days
    };
    let mut told = Vec::new();
    for (days, stage) in [(0, None), (2, Some(60)), (20, None), (12, Some(30)), (24, Some(7)), (4, None)] {
        world.pass(24 * 3600 * days).await;
        for _ in 0..2 {
            world.platform.keep_house(&world.context()).await.unwrap();
        }
        told.extend(stage.map(|stage| json!(stage)));
        assert_eq!(stages(Role::Helper).await, told, "after {days} more days");
    }
    assert_eq!(stages(Role::Operator).await, [json!(7)], "near the end the operator too");
    assert!(stages(Role::Planner).await.is_empty());
    world.verify().await;
}
