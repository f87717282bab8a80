//! Who does not come in, over a real TLS connection, and what the log says of it: one entry for each, with its reason, the
//! address and, where one was shown, the certificate (S-001, S-002, S-014, T-5, T-15).

use crate::tls::{ask, entries};
use crate::world::{PASSWORD, Role, account, account_of, certificate, furnish, open_store};
use arc_swap::ArcSwap;
use axum::http::{Request, StatusCode, header};
use kiban_domain::Timestamp;
use kiban_pki::{Ca, Identity, Issued, server_config_public};
use kiban_service::{Config, Context, Platform};
use kiban_store::{CertificateRow, Entry, Outcome, StoredEntry};
use kiban_web::tls::{Limits, organizations_config};
use kiban_web::{Server, Settings, Socket};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An account that only the planner's office has.
const THEIRS: &str = "planner-only";

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap()
}

/// An authority and what it has issued.
struct Certificates {
    ca: Ca,
    planner: Issued,
    stranger: Issued,
    expired: Issued,
    /// Expired by the store, not yet by its own date.
    ended: Issued,
    revoked: Issued,
    foreign: Issued,
    unknown: Issued,
}

impl Certificates {
    fn new(dir: &TempDir, now: Timestamp) -> Self {
        let days = |n: i64| jiff::SignedDuration::from_hours(24 * n);
        let ca = Ca::init(&dir.path().join("ca"), "見本認証局", now - days(10)).unwrap();
        let issue = |role: Role, terminal: &str| ca.issue_client(role.organization(), terminal, 30, now).unwrap();
        // The same name in the certificate of the authority, another key.
        let other = Ca::init(&dir.path().join("other"), "見本認証局", now - days(10)).unwrap();
        Self {
            planner: issue(Role::Planner, "受付の端末"),
            stranger: issue(Role::Stranger, "別の事業所の端末"),
            expired: ca.issue_client(Role::Planner.organization(), "古い端末", 2, now - days(5)).unwrap(),
            ended: issue(Role::Planner, "期限を早めた端末"),
            revoked: issue(Role::Planner, "なくした端末"),
            foreign: other.issue_client(Role::Planner.organization(), "受付の端末", 30, now).unwrap(),
            unknown: issue(Role::Planner, "知らない端末"),
            ca,
        }
    }

    /// All but the unknown one are bound to the planner's office, even that of the other authority.
    fn rows(&self, now: Timestamp) -> Vec<CertificateRow> {
        let bound = |issued: &Issued, role: Role| certificate(role, &issued.fingerprint, now);
        let hour = jiff::SignedDuration::from_hours(1);
        vec![
            bound(&self.planner, Role::Planner),
            bound(&self.stranger, Role::Stranger),
            bound(&self.expired, Role::Planner),
            CertificateRow { not_after: now - hour, ..bound(&self.ended, Role::Planner) },
            CertificateRow { revoked_at: Some(now - hour), ..bound(&self.revoked, Role::Planner) },
            bound(&self.foreign, Role::Planner),
        ]
    }
}

fn log_in(account: &str) -> (axum::http::request::Builder, Value) {
    let request = Request::post("https://localhost/api/v1/session").header(header::CONTENT_TYPE, "application/json");
    (request, json!({ "account": account, "password": PASSWORD }))
}

/// A log-in over a connection of its own.
async fn try_log_in(address: SocketAddr, ca: &Ca, own: Option<&Issued>, account: &str) -> Option<(StatusCode, Value)> {
    let (request, body) = log_in(account);
    let own = own.map(identity);
    let (status, text) = ask(address, "localhost", ca, own.as_ref(), request, body).await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap()))
}

#[tokio::test]
async fn each_certificate_that_is_not_good_is_refused_before_http_and_recorded_with_its_reason() {
    let now = Timestamp::now();
    let clock: kiban_web::Clock = Arc::new(Timestamp::now);
    let dir = TempDir::new().unwrap();
    let store = open_store(&dir, clock.clone()).await;
    furnish(&store, now).await;
    let issued = Certificates::new(&dir, now);
    let mut tx = store.begin().await.unwrap();
    for row in issued.rows(now) {
        tx.put_certificate(&row).await.unwrap();
    }
    let theirs = account_of(Role::Planner, THEIRS);
    tx.put_account(&kiban_store::Account { password_hash: account(Role::Planner).password_hash, ..theirs })
        .await
        .unwrap();
    let id = Context::new(now).unwrap().request_id;
    tx.commit(Entry::new(now, &id, "test", "test", Outcome::Done)).await.unwrap();
    let platform = Platform::open(store, Config::default(), now).await.unwrap();

    let server = identity(&issued.ca.issue_server(&["localhost"], 30, now).unwrap());
    let socket = async |tls| Socket {
        tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tls: Arc::new(ArcSwap::new(tls)),
        settings: Settings::new(&["localhost"], "https://localhost", clock.clone()),
    };
    let roots = [issued.ca.certificate_der().clone()];
    let organisations = socket(organizations_config(&server, &roots).unwrap()).await;
    let public = socket(server_config_public(&server).unwrap()).await;
    let inside = organisations.tcp.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server {
        organisations,
        public,
        closed_line: None,
        limits: Limits::default(),
        metrics: None,
        proxies: [].into(),
    };
    let running = tokio::spawn(server.run(platform.clone(), async {
        let _ = stopped.await;
    }));

    let ca = &issued.ca;
    let (status, session) = try_log_in(inside, ca, Some(&issued.planner), THEIRS).await.unwrap();
    assert_eq!(status, StatusCode::OK, "the account is right, over its own office's certificate");
    let refused = [&issued.expired, &issued.ended, &issued.revoked, &issued.foreign, &issued.unknown];
    for own in refused.into_iter().map(Some).chain([None]) {
        assert_eq!(try_log_in(inside, ca, own, THEIRS).await, None, "no answer of HTTP");
    }
    // Another office's account, and then its token, over a certificate that is good.
    let (status, body) = try_log_in(inside, ca, Some(&issued.stranger), THEIRS).await.unwrap();
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("wrong_password")));
    let token = session["token"].as_str().unwrap();
    let list = Request::get("https://localhost/api/v1/people").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let own = identity(&issued.stranger);
    let (status, text) = ask(inside, "localhost", ca, Some(&own), list, Value::Null).await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");

    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), 0);
    drop(platform);
    let store = open_store(&dir, clock).await;
    let report = store.audit().verify().await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    let log = entries(&store, report.entries).await;
    require_refusals(&store, &log, &issued).await;
    require_other_office(&log, &issued);
}

/// One entry for each reason and no other.
async fn require_refusals(store: &kiban_store::Store, log: &[StoredEntry], issued: &Certificates) {
    let mut seen = Vec::new();
    for entry in log.iter().filter(|entry| entry.action == "tls.refused") {
        assert_eq!(entry.outcome, Outcome::Refused.code());
        let detail = store.audit().detail_of(entry).await.unwrap();
        assert_eq!(detail.source.as_deref(), Some("127.0.0.1"));
        let facts: Value = serde_json::from_str(detail.text.as_deref().unwrap()).unwrap();
        let shown = entry.certificate.as_deref().map(hex);
        let organization = entry.organization.clone().unwrap_or_default();
        seen.push((entry.rule.clone().unwrap(), facts["count"].as_u64().unwrap(), shown, organization));
    }
    seen.sort();
    let shown = |issued: &Issued| Some(issued.fingerprint.clone());
    // Only who proved to hold the key of a bound certificate is named.
    let planner = Role::Planner.organization().to_string();
    let nobody = String::new;
    let expected = [
        ("expired", 2, shown(&issued.ended), nobody()),
        ("no_certificate", 1, None, nobody()),
        ("other_ca", 1, shown(&issued.foreign), nobody()),
        ("revoked", 1, shown(&issued.revoked), planner),
        ("unknown_certificate", 1, shown(&issued.unknown), nobody()),
    ];
    assert_eq!(seen, expected.map(|(rule, count, shown, office)| (rule.to_owned(), count, shown, office)));
}

/// The account of another office is an account nobody has here; so is its token. Both stand in this office's log.
fn require_other_office(log: &[StoredEntry], issued: &Certificates) {
    let office = Role::Stranger.organization().to_string();
    let own: Vec<_> = log.iter().filter(|entry| entry.organization.as_ref() == Some(&office)).collect();
    let refused: Vec<_> = own.iter().map(|e| (e.action.as_str(), e.outcome.as_str(), e.rule.as_deref())).collect();
    assert_eq!(
        refused,
        [("login", "refused", Some("wrong_password")), ("list_people", "refused", Some("login_required"))]
    );
    assert!(own.iter().all(|entry| entry.certificate.as_deref().map(hex) == Some(issued.stranger.fingerprint.clone())));
    assert_eq!(own[0].staff, Some(format!("{office}/{THEIRS}")));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
