//! Access and refresh tokens over real TLS, on every engine there is: used once, over the certificate of the log-in, ended
//! as a whole when one comes a second time (P-164, RFC 8705, T-37).

use crate::tls::ask;
use crate::world::{PASSWORD, Role, account, certificate, furnish, open_store_at};
use arc_swap::ArcSwap;
use axum::http::{Request, header};
use kiban_domain::Timestamp;
use kiban_pki::{Ca, Identity, Issued, server_config_public};
use kiban_service::{Config, Context, Platform};
use kiban_store::{Entry, Outcome};
use kiban_web::tls::{Limits, organizations_config};
use kiban_web::{Server, Settings, Socket};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A running server and two terminals of the planner's office.
struct Office {
    inside: SocketAddr,
    ca: Ca,
    terminals: [Identity; 2],
    fingerprints: [String; 2],
    platform: Platform,
    /// When its certificates were bound.
    bound_at: Timestamp,
}

impl Office {
    async fn post(&self, terminal: usize, path: &str, token: &str, body: Value) -> (u16, Value) {
        self.send(Request::post(format!("https://localhost{path}")), terminal, token, body).await
    }

    async fn get(&self, terminal: usize, path: &str, token: &str) -> (u16, Value) {
        self.send(Request::get(format!("https://localhost{path}")), terminal, token, Value::Null).await
    }

    async fn send(
        &self,
        request: axum::http::request::Builder,
        terminal: usize,
        token: &str,
        body: Value,
    ) -> (u16, Value) {
        let mut request = request.header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let own = Some(&self.terminals[terminal]);
        let (status, text) = ask(self.inside, "localhost", &self.ca, own, request, body).await.unwrap();
        (status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn log_in(&self) -> (String, String) {
        let body = json!({ "account": "staff1", "password": PASSWORD, "software": "みほんソフト 1.0" });
        tokens(&self.post(0, "/api/v1/token", "", body).await)
    }

    async fn refresh(&self, terminal: usize, refresh_token: &str) -> (u16, Value) {
        self.post(terminal, "/api/v1/session/refresh", "", json!({ "refresh_token": refresh_token })).await
    }

    async fn is_open(&self, token: &str) -> bool {
        self.get(0, "/api/v1/people", token).await.0 == 200
    }

    /// Acts of the office in the log with their rules, newest first.
    async fn log(&self) -> Vec<String> {
        let log = self.platform.store().audit();
        let entries = log.of_organization(&Role::Planner.organization().to_string(), 100, None).await.unwrap();
        entries.into_iter().map(|e| format!("{} {} {}", e.action, e.outcome, e.rule.unwrap_or_default())).collect()
    }

    /// Notices of the office about tokens.
    async fn told(&self) -> Vec<Value> {
        let body = json!({ "account": "staff1", "password": PASSWORD });
        let (token, _) = tokens(&self.post(0, "/api/v1/session", "", body).await);
        let (_, all) = self.get(0, "/api/v1/notices", &token).await;
        all["notices"].as_array().unwrap().iter().filter(|notice| notice["kind"] == "refresh_reused").cloned().collect()
    }
}

/// The two tokens of an answer that gave some.
fn tokens((status, body): &(u16, Value)) -> (String, String) {
    assert_eq!(*status, 200, "{body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("token"), text("refresh_token"))
}

fn refusal((status, body): (u16, Value)) -> (u16, String) {
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// Runs a test over sockets on SQLite, and on PostgreSQL where there is one.
async fn over_tls(test: impl AsyncFn(&Office)) {
    let dir = TempDir::new().unwrap();
    serve(&format!("sqlite:{}", dir.path().join("kiban.db").display()), &dir, &test).await;
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let name = format!("kiban_web_{}", kiban_service::random_id().unwrap());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let (path, query) = server.split_once('?').unwrap_or((&server, ""));
    let address = format!("{}/{name}?{query}", path.rsplit_once('/').unwrap().0);
    serve(&address, &TempDir::new().unwrap(), &test).await;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

async fn serve(address: &str, dir: &TempDir, test: &impl AsyncFn(&Office)) {
    let now = Timestamp::now();
    let clock: kiban_web::Clock = Arc::new(Timestamp::now);
    let store = open_store_at(address, dir, clock.clone()).await;
    furnish(&store, now).await;
    let ca = Ca::init(&dir.path().join("ca"), "見本認証局", now).unwrap();
    let identity = |issued: &Issued| Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
    let issued = ["受付", "相談室"].map(|name| ca.issue_client(Role::Planner.organization(), name, 30, now).unwrap());
    let mut tx = store.begin().await.unwrap();
    for issued in &issued {
        tx.put_certificate(&certificate(Role::Planner, &issued.fingerprint, now)).await.unwrap();
    }
    tx.put_account(&account(Role::Planner)).await.unwrap();
    let id = Context::new(now).unwrap().request_id;
    tx.commit(Entry::new(now, &id, "test", "test", Outcome::Done)).await.unwrap();
    let platform = Platform::open(store, Config::default(), now).await.unwrap();
    let server = identity(&ca.issue_server(&["localhost"], 30, now).unwrap());
    let socket = async |tls| Socket {
        tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tls: Arc::new(ArcSwap::new(tls)),
        settings: Settings::new(&["localhost"], "https://localhost", clock.clone()),
    };
    let organisations = socket(organizations_config(&server, &[ca.certificate_der().clone()]).unwrap()).await;
    let public = socket(server_config_public(&server).unwrap()).await;
    let inside = organisations.tcp.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server {
        organisations,
        public,
        closed_line: None,
        limits: Limits::default(),
        metrics: None,
        proxies: Default::default(),
    };
    let running = tokio::spawn(server.run(platform.clone(), async {
        let _ = stopped.await;
    }));
    let fingerprints = [issued[0].fingerprint.clone(), issued[1].fingerprint.clone()];
    let terminals = [identity(&issued[0]), identity(&issued[1])];
    let office = Office { inside, ca, terminals, fingerprints, platform, bound_at: now };
    test(&office).await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_refresh_token_that_comes_a_second_time_ends_the_whole_log_in() {
    over_tls(async |office| {
        let (first, refresh) = office.log_in().await;
        let (second, next) = tokens(&office.refresh(0, &refresh).await);
        assert!(!office.is_open(&first).await && office.is_open(&second).await);
        let (third, last) = tokens(&office.refresh(0, &next).await);
        // Somebody has kept the first one.
        assert_eq!(refusal(office.refresh(0, &refresh).await), (401, "refresh_reused".to_owned()));
        assert!(!office.is_open(&third).await, "the log-in has ended");
        assert_eq!(refusal(office.refresh(0, &last).await), (401, "login_required".to_owned()));
        assert_eq!(refusal(office.refresh(0, &refresh).await), (401, "login_required".to_owned()), "told once");
        let log = office.log().await;
        assert_eq!(log.iter().filter(|line| *line == "session.refresh done ").count(), 2, "{log:?}");
        assert_eq!(log.iter().filter(|line| *line == "session.refresh refused refresh_reused").count(), 1, "{log:?}");
        let told = office.told().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["facts"]["software"], "みほんソフト 1.0");
    })
    .await;
}

#[tokio::test]
async fn tokens_stolen_to_another_terminal_are_refused_and_a_refresh_there_ends_the_log_in() {
    over_tls(async |office| {
        let (access, refresh) = office.log_in().await;
        let elsewhere = office.get(1, "/api/v1/people", &access).await;
        assert_eq!(refusal(elsewhere), (401, "binding".to_owned()));
        assert!(office.is_open(&access).await);
        assert_eq!(refusal(office.refresh(1, &refresh).await), (401, "binding".to_owned()));
        assert!(!office.is_open(&access).await);
        assert_eq!(refusal(office.refresh(0, &refresh).await), (401, "login_required".to_owned()));
        assert!(office.log().await.contains(&"session.refresh refused binding".to_owned()));
        assert_eq!(office.told().await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_refreshes_at_once_one_is_a_reuse_and_both_are_left_with_nothing() {
    over_tls(async |office| {
        for _ in 0..3 {
            let (_, refresh) = office.log_in().await;
            let (one, two) = tokio::join!(office.refresh(0, &refresh), office.refresh(0, &refresh));
            let mut codes = [one.0, two.0];
            codes.sort_unstable();
            assert_eq!(codes, [200, 401], "{one:?} {two:?}");
            let winner = if one.0 == 200 { one } else { two };
            let (access, next) = tokens(&winner);
            assert!(!office.is_open(&access).await);
            assert_eq!(refusal(office.refresh(0, &next).await), (401, "login_required".to_owned()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_takes_its_log_ins_with_it() {
    over_tls(async |office| {
        let (access, refresh) = office.log_in().await;
        assert!(office.is_open(&access).await);
        let now = Timestamp::now();
        let mut row = certificate(Role::Planner, &office.fingerprints[0], office.bound_at);
        row.revoked_at = Some(now);
        let mut tx = office.platform.store().begin().await.unwrap();
        tx.put_certificate(&row).await.unwrap();
        let id = Context::new(now).unwrap().request_id;
        tx.commit(Entry::new(now, &id, "test", "test", Outcome::Done)).await.unwrap();
        office.platform.refresh_standing(now).await.unwrap();
        let body = json!({ "refresh_token": refresh });
        let request = Request::post("https://localhost/api/v1/session/refresh");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let own = Some(&office.terminals[0]);
        assert!(ask(office.inside, "localhost", &office.ca, own, request, body).await.is_err(), "not even a handshake");
        // The other terminal of the office goes on, but not with what was issued over the first.
        assert_eq!(refusal(office.refresh(1, &refresh).await), (401, "binding".to_owned()));
    })
    .await;
}
