//! End to end over sockets: both listeners, a client with a certificate and one without, and an orderly end.

use crate::world::{PASSWORD, Role, account, certificate, furnish, open_store};
use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kiban_domain::Timestamp;
use kiban_pki::{Ca, Identity, client_config, server_config_public};
use kiban_service::{Config, Platform};
use kiban_store::{Entry, StoredEntry};
use kiban_web::tls::{Limits, organizations_config};
use kiban_web::{Server, Settings, Socket};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// One request over a connection of its own.
pub async fn ask(
    address: SocketAddr,
    host: &str,
    ca: &Ca,
    own: Option<&Identity>,
    request: axum::http::request::Builder,
    body: Value,
) -> Result<(StatusCode, String), Box<dyn std::error::Error>> {
    ask_over(TcpStream::connect(address).await?, host, ca, own, request, body).await
}

/// The same over an open line.
async fn ask_over(
    tcp: TcpStream,
    host: &str,
    ca: &Ca,
    own: Option<&Identity>,
    request: axum::http::request::Builder,
    body: Value,
) -> Result<(StatusCode, String), Box<dyn std::error::Error>> {
    let mut config = client_config(&[ca.certificate_der().clone()], own)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(host.to_owned())?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let exchange = async {
        let response = client.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?))
    };
    // In one task: a request handed over while the connection ends could wait without end.
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(format!("the connection ended: {ended:?}").into()),
    }
}

#[tokio::test]
async fn a_terminal_with_a_certificate_works_and_one_without_does_not_get_as_far_as_http() {
    let now = Timestamp::now();
    let clock: kiban_web::Clock = Arc::new(Timestamp::now);
    let dir = TempDir::new().unwrap();
    let store = open_store(&dir, clock.clone()).await;
    furnish(&store, now).await;
    let ca = Ca::init(&dir.path().join("ca"), "見本認証局", now).unwrap();
    let issued = ca.issue_client(Role::Planner.organization(), "受付の端末", 30, now).unwrap();
    let unbound = ca.issue_client(Role::Planner.organization(), "知らない端末", 30, now).unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.put_certificate(&certificate(Role::Planner, &issued.fingerprint, now)).await.unwrap();
    tx.put_account(&account(Role::Planner)).await.unwrap();
    let program = ca.issue_client(Role::HospitalConnector.organization(), "電子カルテ", 30, now).unwrap();
    tx.put_certificate(&certificate(Role::HospitalConnector, &program.fingerprint, now)).await.unwrap();
    tx.put_connector(&program.fingerprint, Role::HospitalConnector.organization(), now).await.unwrap();
    let id = kiban_service::Context::new(now).unwrap().request_id;
    let entry = Entry::new(now, &id, "test", "test", kiban_store::Outcome::Done);
    tx.commit(entry).await.unwrap();
    let platform = Platform::open(store, Config::default(), now).await.unwrap();

    let identity = |issued: &kiban_pki::Issued| Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
    let server = identity(&ca.issue_server(&["localhost"], 30, now).unwrap());
    let roots = [ca.certificate_der().clone()];
    let socket = async |tls| Socket {
        tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tls: Arc::new(ArcSwap::new(tls)),
        settings: Settings::new(&["localhost"], "https://localhost", clock.clone()),
    };
    let organisations = socket(organizations_config(&server, &roots).unwrap()).await;
    let public = socket(server_config_public(&server).unwrap()).await;
    let line = socket(organizations_config(&server, &roots).unwrap()).await;
    let closed_line = line.tcp.local_addr().unwrap();
    let (inside, outside) = (organisations.tcp.local_addr().unwrap(), public.tcp.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let proxies = ["127.0.0.2/31".parse().unwrap()].into();
    let server =
        Server { organisations, public, closed_line: Some(line), limits: Limits::default(), metrics: None, proxies };
    let running = tokio::spawn(server.run(platform.clone(), async {
        let _ = stopped.await;
    }));

    let own = identity(&issued);
    let at = |path: &str| Request::get(format!("https://localhost{path}"));
    let log_in = || Request::post("https://localhost/api/v1/session").header(header::CONTENT_TYPE, "application/json");
    let body = json!({ "account": Role::Planner.account(), "password": PASSWORD });
    let (status, text) = ask(inside, "localhost", &ca, Some(&own), log_in(), body.clone()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    let token = serde_json::from_str::<Value>(&text).unwrap()["token"].as_str().unwrap().to_owned();
    let list = at("/api/v1/people").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let (status, text) = ask(inside, "localhost", &ca, Some(&own), list, Value::Null).await.unwrap();
    assert_eq!((status, text.as_str()), (StatusCode::OK, r#"{"next":null,"people":[]}"#));

    // Behind a load balancer the log names the client.
    let balancer = tokio::net::TcpSocket::new_v4().unwrap();
    balancer.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let mut line = balancer.connect(inside).await.unwrap();
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x1f\x90\x01\xbb";
    line.write_all(header).await.unwrap();
    let (status, text) = ask_over(line, "localhost", &ca, Some(&own), log_in(), body.clone()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");

    // A hospital's program comes in on the closed line and nowhere else.
    let program = identity(&program);
    let entrance = at("/api/v1/opinions");
    let (status, text) = ask(closed_line, "localhost", &ca, Some(&program), entrance, Value::Null).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(ask(inside, "localhost", &ca, Some(&program), at("/"), Value::Null).await.is_err());

    // No certificate, and one of our CA that nobody bound to an office: refused before HTTP, and recorded at the end.
    assert!(ask(inside, "localhost", &ca, None, log_in(), body.clone()).await.is_err());
    assert!(ask(inside, "localhost", &ca, Some(&identity(&unbound)), log_in(), body).await.is_err());
    let (status, _) = ask(outside, "localhost", &ca, None, at("/health"), Value::Null).await.unwrap();
    assert_eq!(status, StatusCode::OK);

    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(inside).await.is_err());
    drop(platform);
    let store = open_store(&dir, clock).await;
    let report = store.audit().verify().await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    let entries = entries(&store, report.entries).await;
    let log_ins = entries.iter().filter(|entry| entry.action == "login");
    let mut sources = Vec::new();
    for entry in log_ins {
        sources.push(store.audit().detail_of(entry).await.unwrap().source.unwrap());
    }
    assert_eq!(sources, ["127.0.0.1", "192.0.2.7"]);
    let in_words = |entry: &StoredEntry| format!("{} {}", entry.action, entry.rule.as_deref().unwrap_or_default());
    let refused: Vec<String> = entries.iter().map(in_words).collect();
    assert_eq!(refused.iter().filter(|action| *action == "tls.refused no_certificate").count(), 1, "{refused:?}");
    assert_eq!(refused.iter().filter(|action| *action == "tls.refused closed_line_only").count(), 1, "{refused:?}");
    assert_eq!(refused.iter().filter(|action| *action == "tls.refused unknown_certificate").count(), 1, "{refused:?}");
}

/// What is in the log.
pub async fn entries(store: &kiban_store::Store, entries: u64) -> Vec<StoredEntry> {
    let most = i32::try_from(entries).unwrap();
    let mut found = Vec::new();
    for head in store.audit().anchor_now().await.unwrap().heads {
        for (segment, n) in (0..=head.segment).flat_map(|segment| (0..=most).map(move |n| (segment, n))) {
            let position = kiban_store::Position { writer: head.writer, segment, n };
            found.extend(store.audit().entry_at(position).await.unwrap());
        }
    }
    found
}
