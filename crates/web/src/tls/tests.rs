//! The listener over real sockets: who gets in, who is refused and why, and when connections end.

use std::collections::HashSet;
use std::sync::Mutex;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::SignedDuration;
use kiban_domain::{OfficeNumber, Organization};
use kiban_pki::{Ca, Issued, client_config};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;

/// Longer than anything here takes; only a hanging test reaches it.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
/// The load balancer of every listener here; other tests come from 127.0.0.1.
const PROXY: &str = "127.0.0.2";

/// A running listener with its CA and everything it reported.
struct World {
    ca: Ca,
    config: Arc<ArcSwap<ServerConfig>>,
    address: SocketAddr,
    refusals: mpsc::UnboundedReceiver<Refusal>,
    revoked: Arc<Mutex<HashSet<String>>>,
    gate: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<usize>,
    _dir: tempfile::TempDir,
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn office() -> Organization {
    Organization::Office(OfficeNumber::parse("9970000015").unwrap())
}

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap()
}

fn new_ca(dir: &std::path::Path) -> Ca {
    Ca::init(dir, "試験認証局", now() - SignedDuration::from_hours(24 * 100)).unwrap()
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let ca = new_ca(&dir.path().join("ca"));
        let roots = [ca.certificate_der().clone()];
        let server = identity(&ca.issue_server(&["localhost"], 30, now()).unwrap());
        let config = Arc::new(ArcSwap::new(organizations_config(&server, &roots).unwrap()));
        let revoked: Arc<Mutex<HashSet<String>>> = Arc::default();
        let gate = Arc::new(Notify::new());
        let (report, refusals) = mpsc::unbounded_channel();
        let door = Door {
            config: Arc::clone(&config),
            clients: Clients::Certified(standing(&ca, &revoked)),
            limits,
            proxies: [PROXY.parse().unwrap()].into(),
            refused: Arc::new(move |refusal| report.send(refusal).unwrap()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(Arc::clone(&revoked), Arc::clone(&gate));
        let server = tokio::spawn(serve(listener, router, door, async {
            let _ = stopped.await;
        }));
        Self { ca, config, address, refusals, revoked, gate, stop: Some(stop), server, _dir: dir }
    }

    /// A client of this CA's servers, with or without a certificate.
    fn client(&self, own: Option<&Issued>) -> ClientConfig {
        client_config(&[self.ca.certificate_der().clone()], own.map(identity).as_ref()).unwrap()
    }

    fn issue(&self) -> Issued {
        self.ca.issue_client(office(), "受付の端末", 30, now()).unwrap()
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await
    }

    async fn http2(&self, config: ClientConfig) -> Result<Http2, Box<dyn std::error::Error>> {
        let tls = self.connect(&Arc::new(config)).await?;
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
        Ok(Http2 { requests, ended: tokio::spawn(async move { connection.await.is_ok() }) })
    }

    /// What a client with this configuration gets; an error when it is refused.
    async fn try_once(&self, config: ClientConfig) -> Result<String, Box<dyn std::error::Error>> {
        Ok(self.http2(config).await?.get("/who").await?.1)
    }

    async fn next_refusal(&mut self) -> Refusal {
        timeout(PATIENCE, self.refusals.recv()).await.unwrap().unwrap()
    }

    async fn refused(&mut self, own: Option<&Issued>) -> Refusal {
        let config = self.client(own);
        // Also no answer at all: what is handed to hyper while the connection ends may get lost.
        assert!(!matches!(timeout(PATIENCE, self.try_once(config)).await, Ok(Ok(_))));
        self.next_refusal().await
    }
}

/// Known to the CA's register and not in the set of revoked fingerprints.
fn standing(ca: &Ca, revoked: &Arc<Mutex<HashSet<String>>>) -> Standing {
    let (register, revoked) = (Ca::open(ca.dir()).unwrap(), Arc::clone(revoked));
    Arc::new(move |peer| {
        let known = register.list().unwrap().iter().any(|entry| entry.fingerprint == peer.fingerprint);
        match known {
            false => Err(RefusedHandshake::Unknown),
            true if revoked.lock().unwrap().contains(&peer.fingerprint) => Err(RefusedHandshake::Revoked),
            true => Ok(()),
        }
    })
}

/// `/who` tells the caller who he is, unless revoked meanwhile; `/slow` answers when the gate opens; `/trickle` sends
/// half its body before and half after.
fn router(revoked: Arc<Mutex<HashSet<String>>>, gate: Arc<Notify>) -> Router {
    let who = async move |Extension(peer): Extension<PeerCertificate>, Extension(from): Extension<RemoteAddr>| {
        if revoked.lock().unwrap().contains(&peer.fingerprint) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let office = peer.organization_in_subject.unwrap_or_default();
        format!("{} {office} {} {}", peer.fingerprint, peer.not_after, from.0.ip()).into_response()
    };
    let trickle_gate = Arc::clone(&gate);
    let slow = async move || {
        gate.notified().await;
        "done"
    };
    let trickle = async move || Body::new(Trickle::new(trickle_gate));
    Router::new().route("/who", get(who)).route("/slow", get(slow)).route("/trickle", get(trickle))
}

/// A body of two parts, the second when the gate opens.
struct Trickle {
    gate: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    sent: usize,
}

impl Trickle {
    fn new(gate: Arc<Notify>) -> Self {
        Self { gate: Box::pin(async move { gate.notified().await }), sent: 0 }
    }
}

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        if self.sent == 1 {
            std::task::ready!(self.gate.as_mut().poll(cx));
        }
        self.sent += 1;
        let part = (self.sent <= 2).then(|| Ok(hyper::body::Frame::data(Bytes::from_static(b"half"))));
        std::task::Poll::Ready(part)
    }
}

/// An open HTTP/2 connection.
struct Http2 {
    requests: SendRequest<Empty<Bytes>>,
    /// Resolves when the connection is over: true if politely.
    ended: JoinHandle<bool>,
}

impl Http2 {
    async fn get(&mut self, path: &str) -> Result<(StatusCode, String), hyper::Error> {
        let request = Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap();
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn ended(self) -> bool {
        timeout(PATIENCE, self.ended).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_good_certificate_gets_in_and_every_request_knows_it() {
    let mut world = World::new().await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    let expected = format!("{} 9970000015 {} 127.0.0.1", own.fingerprint, own.not_after);
    for _ in 0..2 {
        assert_eq!(connection.get("/who").await.unwrap(), (StatusCode::OK, expected.clone()));
    }
    assert!(world.refusals.try_recv().is_err());
}

#[tokio::test]
async fn http_1_works_too() {
    let world = World::new().await;
    let own = world.issue();
    let mut config = world.client(Some(&own));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut tls = world.connect(&Arc::new(config)).await.unwrap();
    for _ in 0..2 {
        tls.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let n = tls.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..n]);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&own.fingerprint), "{answer}");
    }
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let mut world = World::new().await;
    let refusal = world.refused(None).await;
    let expected = Refusal {
        reason: RefusedHandshake::NoCertificate,
        source: "127.0.0.1".parse().unwrap(),
        fingerprint: None,
        serial: None,
    };
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_named() {
    let mut world = World::new().await;
    let long_ago = now() - SignedDuration::from_hours(24 * 40);
    let own = world.ca.issue_client(office(), "古い端末", 30, long_ago).unwrap();
    let refusal = world.refused(Some(&own)).await;
    assert_eq!(refusal.reason, RefusedHandshake::Expired);
    assert_eq!(refusal.fingerprint, Some(own.fingerprint));
    assert_eq!(refusal.serial, Some(own.serial));
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused() {
    let mut world = World::new().await;
    let tomorrow = now() + SignedDuration::from_hours(24);
    let own = world.ca.issue_client(office(), "未来の端末", 30, tomorrow).unwrap();
    assert_eq!(world.refused(Some(&own)).await.reason, RefusedHandshake::NotYetValid);
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_even_if_it_has_our_name() {
    let mut world = World::new().await;
    let dir = tempfile::TempDir::new().unwrap();
    let own = new_ca(&dir.path().join("ca")).issue_client(office(), "受付の端末", 30, now()).unwrap();
    let refusal = world.refused(Some(&own)).await;
    assert_eq!(refusal.reason, RefusedHandshake::OtherCa);
    assert_eq!(refusal.fingerprint, Some(own.fingerprint));
}

#[tokio::test]
async fn a_server_certificate_is_no_client_certificate() {
    let mut world = World::new().await;
    let own = world.ca.issue_server(&["localhost"], 30, now()).unwrap();
    assert_eq!(world.refused(Some(&own)).await.reason, RefusedHandshake::WrongPurpose);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let mut world = World::new().await;
    let own = world.issue();
    world.revoked.lock().unwrap().insert(own.fingerprint.clone());
    let refusal = world.refused(Some(&own)).await;
    assert_eq!((refusal.reason, refusal.fingerprint), (RefusedHandshake::Revoked, Some(own.fingerprint)));
}

#[tokio::test]
async fn a_certificate_made_with_a_stolen_ca_key_is_refused_and_its_serial_named() {
    let mut world = World::new().await;
    let thief = tempfile::TempDir::new().unwrap();
    for file in ["ca.key", "ca.pem"] {
        std::fs::copy(world.ca.dir().join(file), thief.path().join(file)).unwrap();
    }
    std::fs::write(thief.path().join("register.tsv"), "").unwrap();
    let own = Ca::open(thief.path()).unwrap().issue_client(office(), "受付の端末", 30, now()).unwrap();
    let refusal = world.refused(Some(&own)).await;
    assert_eq!((refusal.reason, refusal.serial), (RefusedHandshake::Unknown, Some(own.serial)));
}

#[tokio::test]
async fn revocation_on_an_open_connection_reaches_the_handler() {
    let world = World::new().await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    assert_eq!(connection.get("/who").await.unwrap().0, StatusCode::OK);
    world.revoked.lock().unwrap().insert(own.fingerprint);
    assert_eq!(connection.get("/who").await.unwrap().0, StatusCode::UNAUTHORIZED);
}

/// A ClientHello as TLS 1.2 knew it: no supported_versions extension.
fn tls12_client_hello() -> Vec<u8> {
    let mut hello = vec![0x03, 0x03];
    hello.extend([7u8; 32]);
    hello.push(0); // no session id
    hello.extend([0, 2, 0xc0, 0x2b]); // ECDHE-ECDSA-AES128-GCM-SHA256
    hello.extend([1, 0]); // null compression
    let extensions: [&[u8]; 3] = [
        &[0, 10, 0, 4, 0, 2, 0, 23], // supported_groups: P-256
        &[0, 11, 0, 2, 1, 0],        // ec_point_formats: uncompressed
        &[0, 13, 0, 4, 0, 2, 4, 3],  // signature_algorithms: ECDSA P-256
    ];
    let extensions = extensions.concat();
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(hello);
    record
}

#[tokio::test]
async fn tls_1_2_is_refused_with_the_right_alert() {
    let mut world = World::new().await;
    let mut tcp = TcpStream::connect(world.address).await.unwrap();
    tcp.write_all(&tls12_client_hello()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap().unwrap();
    // Alert record, fatal (2), protocol_version (70).
    assert_eq!((answer[0], &answer[5..]), (21, [2u8, 70].as_slice()));
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::OldTls);
}

#[tokio::test]
async fn plain_http_and_noise_are_refused() {
    let mut world = World::new().await;
    let mut tcp = TcpStream::connect(world.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::NotTls);
    drop(TcpStream::connect(world.address).await.unwrap());
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::Disconnected);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let mut world = World::with(Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut tcp = TcpStream::connect(world.address).await.unwrap();
    let end = timeout(PATIENCE, tcp.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap(), 0);
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::TimedOut);
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let world = World::new().await;
    let own = world.issue();
    let config = Arc::new(world.client(Some(&own)));
    assert_eq!(kinds_of_two_handshakes(&world, &config).await, [HandshakeKind::Full, HandshakeKind::Full]);

    // The same client does resume where a server allows it: without that, the lines above would prove nothing.
    let mut lax = ServerConfig::clone(&world.config.load());
    lax.send_tls13_tickets = 1;
    lax.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
    world.config.store(Arc::new(lax));
    assert_eq!(kinds_of_two_handshakes(&world, &config).await[1], HandshakeKind::Resumed);
}

async fn kinds_of_two_handshakes(world: &World, config: &Arc<ClientConfig>) -> [HandshakeKind; 2] {
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut tls = world.connect(config).await.unwrap();
        kinds.push(tls.get_ref().1.handshake_kind().unwrap());
        // HTTP/2 preface and empty SETTINGS: the answer comes after the tickets, if there are any.
        tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        assert!(tls.read(&mut [0; 64]).await.unwrap() > 0);
    }
    kinds.try_into().unwrap()
}

#[tokio::test]
async fn new_settings_count_for_new_connections_only() {
    let world = World::new().await;
    let own = world.issue();
    let mut before = world.http2(world.client(Some(&own))).await.unwrap();
    before.get("/who").await.unwrap();

    let renewed = world.ca.issue_server(&["localhost"], 30, now()).unwrap();
    let roots = [world.ca.certificate_der().clone()];
    world.config.store(organizations_config(&identity(&renewed), &roots).unwrap());

    let after = world.connect(&Arc::new(world.client(Some(&own)))).await.unwrap();
    let shown = kiban_pki::fingerprint(&after.get_ref().1.peer_certificates().unwrap()[0]);
    assert_eq!(shown, renewed.fingerprint);
    assert_eq!(before.get("/who").await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn the_public_listener_serves_anybody_and_asks_for_no_certificate() {
    let dir = tempfile::TempDir::new().unwrap();
    let ca = new_ca(&dir.path().join("ca"));
    let server = identity(&ca.issue_server(&["localhost"], 30, now()).unwrap());
    let door = Door {
        config: Arc::new(ArcSwap::new(kiban_pki::server_config_public(&server).unwrap())),
        clients: Clients::Anyone,
        limits: Limits::default(),
        proxies: [].into(),
        refused: Arc::new(|refusal| panic!("{refusal:?}")),
    };
    let router =
        Router::new().route("/", get(async |peer: Option<Extension<PeerCertificate>>| peer.is_none().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, router, door, async {
        let _ = stopped.await;
    }));

    // Even a client that has a certificate is not asked for it.
    let own = identity(&ca.issue_client(office(), "t", 1, now()).unwrap());
    let mut config = client_config(&[ca.certificate_der().clone()], Some(&own)).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("true"), "{answer}");
    stop.send(()).unwrap();
    assert_eq!(server.await.unwrap(), 0);
}

#[tokio::test]
async fn too_many_connections_from_one_address_are_refused_until_one_ends() {
    let mut world = World::with(Limits { per_address: 1, ..Limits::default() }).await;
    let own = world.issue();
    let mut first = world.http2(world.client(Some(&own))).await.unwrap();
    first.get("/who").await.unwrap();
    assert_eq!(world.refused(Some(&own)).await.reason, RefusedHandshake::TooManyFromAddress);
    first.ended.abort();
    until_let_in(&world, &own).await;
}

#[tokio::test]
async fn too_many_connections_with_one_certificate_are_refused_others_are_not() {
    let mut world = World::with(Limits { per_certificate: 1, ..Limits::default() }).await;
    let (own, other) = (world.issue(), world.issue());
    let mut first = world.http2(world.client(Some(&own))).await.unwrap();
    first.get("/who").await.unwrap();
    let refusal = world.refused(Some(&own)).await;
    assert_eq!(refusal.reason, RefusedHandshake::TooManyWithCertificate);
    assert_eq!(refusal.fingerprint, Some(own.fingerprint.clone()));
    world.try_once(world.client(Some(&other))).await.unwrap();
    first.ended.abort();
    until_let_in(&world, &own).await;
}

/// The server needs a moment to notice that a connection is gone.
async fn until_let_in(world: &World, own: &Issued) {
    let tries = async { while world.try_once(world.client(Some(own))).await.is_err() {} };
    timeout(PATIENCE, tries).await.unwrap();
}

#[tokio::test]
async fn half_a_request_is_not_waited_for() {
    let world = World::with(Limits { headers: SHORT, ..Limits::default() }).await;
    let own = world.issue();
    for (protocol, start) in [("http/1.1", "GET / HTTP/1.1\r\n"), ("h2", "PRI * HTTP/2.0\r\n")] {
        let mut config = world.client(Some(&own));
        config.alpn_protocols = vec![protocol.into()];
        let mut tls = world.connect(&Arc::new(config)).await.unwrap();
        tls.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Closed, with or without last words.
        let _ = timeout(PATIENCE, tls.read_to_end(&mut rest)).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_politely() {
    let world = World::with(Limits { idle: SHORT, ..Limits::default() }).await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    connection.get("/who").await.unwrap();
    assert!(connection.ended().await);
}

#[tokio::test]
async fn an_answer_still_on_its_way_is_not_idle() {
    let world = World::with(Limits { idle: SHORT, ..Limits::default() }).await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    let ended = &mut connection.ended;
    let requests = &mut connection.requests;
    let request = Request::get("https://localhost/trickle").body(Empty::<Bytes>::new()).unwrap();
    let response = requests.send_request(request).await.unwrap();
    assert!(timeout(3 * SHORT, ended).await.is_err(), "closed in the middle of an answer");
    world.gate.notify_one();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "halfhalf");
    assert!(connection.ended().await);
}

#[tokio::test]
async fn an_old_connection_ends_after_its_running_request() {
    let world = World::with(Limits { age: SHORT, ..Limits::default() }).await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    let requests = connection.requests.clone();
    let (answer, refused_later) = tokio::join!(connection.get("/slow"), async {
        // New requests are not taken any more once the server has said goodbye.
        let mut requests = requests;
        while requests.ready().await.is_ok() {
            let request = Request::get("https://localhost/who").body(Empty::<Bytes>::new()).unwrap();
            if requests.send_request(request).await.is_err() {
                break;
            }
        }
        world.gate.notify_one();
        true
    });
    assert_eq!(answer.unwrap().1, "done");
    assert!(refused_later);
    assert!(connection.ended().await);
}

#[tokio::test]
async fn a_stopping_server_finishes_running_requests_and_takes_no_new_connection() {
    let mut world = World::new().await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    connection.get("/who").await.unwrap();
    let request = Request::get("https://localhost/trickle").body(Empty::<Bytes>::new()).unwrap();
    let response = connection.requests.send_request(request).await.unwrap();

    world.stop.take().unwrap().send(()).unwrap();
    let refused = async { while TcpStream::connect(world.address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
    world.gate.notify_one();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "halfhalf");
    assert!(connection.ended().await);
    assert_eq!(timeout(PATIENCE, world.server).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_stop_the_server_from_stopping() {
    let mut world = World::with(Limits { drain: SHORT, ..Limits::default() }).await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    let request = Request::get("https://localhost/trickle").body(Empty::<Bytes>::new()).unwrap();
    let _response = connection.requests.send_request(request).await.unwrap();
    world.stop.take().unwrap().send(()).unwrap();
    assert_eq!(timeout(PATIENCE, world.server).await.unwrap().unwrap(), 1);
    connection.ended().await;
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let world = World::new().await;
    let own = world.issue();
    let mut connection = world.http2(world.client(Some(&own))).await.unwrap();
    let request = Request::get("https://localhost/who")
        .header("x-long", "a".repeat(17 * 1024))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = connection.requests.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(connection.get("/who").await.unwrap().0, StatusCode::OK);
}

#[test]
fn one_ipv6_network_counts_as_one_address() {
    let network = |text: &str| network_of(text.parse().unwrap());
    assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
    assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
}

/// A PROXY header of version 2 that names `client`, port 8080.
fn header_of(client: [u8; 4]) -> Vec<u8> {
    let rest = [&client[..], &[198, 51, 100, 1, 0x1f, 0x90, 0x01, 0xbb]].concat();
    proxy_header(0x21, 0x11, &rest)
}

fn proxy_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [&proxy::SIGNATURE[..], &[command, family], &length, rest].concat()
}

impl World {
    /// Raw TCP from an own address that begins with `first`.
    async fn tcp_from(&self, source: &str, first: &[u8]) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        let mut tcp = socket.connect(self.address).await.unwrap();
        tcp.write_all(first).await.unwrap();
        tcp
    }

    async fn http2_over(&self, tcp: TcpStream, own: &Issued) -> Result<Http2, Box<dyn std::error::Error>> {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(self.client(Some(own)))).connect(name, tcp).await?;
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
        Ok(Http2 { requests, ended: tokio::spawn(async move { connection.await.is_ok() }) })
    }

    /// What a request says over a connection from `source` that begins with `first`.
    async fn who_over(&self, source: &str, first: &[u8], own: &Issued) -> Result<String, Box<dyn std::error::Error>> {
        let tcp = self.tcp_from(source, first).await;
        let ask = async { Ok(self.http2_over(tcp, own).await?.get("/who").await?.1) };
        timeout(PATIENCE, ask).await.unwrap()
    }
}

#[tokio::test]
async fn a_load_balancer_names_the_client_and_nobody_else_does() {
    let mut world = World::new().await;
    let own = world.issue();
    let seen = world.who_over(PROXY, &header_of([192, 0, 2, 7]), &own).await.unwrap();
    assert!(seen.ends_with(" 192.0.2.7"), "{seen}");
    // Its health checks are its own connections.
    let seen = world.who_over(PROXY, &proxy_header(0x20, 0, &[]), &own).await.unwrap();
    assert!(seen.ends_with(" 127.0.0.2"), "{seen}");
    // A refusal behind it is told with the address of the client.
    world.revoked.lock().unwrap().insert(own.fingerprint.clone());
    assert!(world.who_over(PROXY, &header_of([192, 0, 2, 8]), &own).await.is_err());
    let refusal = world.next_refusal().await;
    assert_eq!((refusal.reason, refusal.source), (RefusedHandshake::Revoked, "192.0.2.8".parse().unwrap()));
    // From anywhere else the header is no TLS: closed, and nobody's address is believed.
    let other = world.issue();
    assert!(world.who_over("127.0.0.1", &header_of([192, 0, 2, 7]), &other).await.is_err());
    let refusal = world.next_refusal().await;
    assert_eq!((refusal.reason, refusal.source), (RefusedHandshake::NotTls, "127.0.0.1".parse().unwrap()));
    assert!(world.who_over("127.0.0.1", &[], &other).await.unwrap().ends_with(" 127.0.0.1"));
}

#[tokio::test]
async fn what_a_load_balancer_sends_without_a_whole_header_is_closed() {
    let mut world = World::with(Limits { handshake: SHORT, ..Limits::default() }).await;
    let source: IpAddr = PROXY.parse().unwrap();
    let (addresses, unix) = ([192, 0, 2, 7, 198, 51, 100, 1, 31, 144, 1, 187], [b'/'; 216]);
    let wrong = [
        ("TLS at once", vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0]),
        ("version 1", b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n".to_vec()),
        ("another version", proxy_header(0x11, 0x11, &addresses)),
        ("another command", proxy_header(0x22, 0x11, &addresses)),
        ("UDP", proxy_header(0x21, 0x12, &addresses)),
        ("AF_UNSPEC", proxy_header(0x21, 0x00, &addresses)),
        ("AF_UNIX", proxy_header(0x21, 0x31, &unix)),
        ("IPv6 in the length of IPv4", proxy_header(0x21, 0x21, &addresses)),
        ("longer than allowed", proxy_header(0x21, 0x11, &[0; 1025])),
    ];
    for (what, bytes) in wrong {
        let mut tcp = world.tcp_from(PROXY, &bytes).await;
        // Closed without a word.
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap();
        let refusal = world.next_refusal().await;
        assert_eq!((refusal.reason, refusal.source), (RefusedHandshake::NoProxyHeader, source), "{what}");
        assert!(answer.is_empty(), "{what}");
    }
    // Half a header and a line that ends; half a header and nothing more.
    let whole = header_of([192, 0, 2, 7]);
    drop(world.tcp_from(PROXY, &whole[..20]).await);
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::NoProxyHeader);
    let mut tcp = world.tcp_from(PROXY, &whole[..20]).await;
    assert_eq!(timeout(PATIENCE, tcp.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert_eq!(world.next_refusal().await.reason, RefusedHandshake::TimedOut);
}

#[tokio::test]
async fn behind_a_load_balancer_each_client_has_its_own_places() {
    let mut world = World::with(Limits { per_address: 1, ..Limits::default() }).await;
    let own = world.issue();
    let tcp = world.tcp_from(PROXY, &header_of([192, 0, 2, 7])).await;
    let mut first = world.http2_over(tcp, &own).await.unwrap();
    first.get("/who").await.unwrap();
    assert!(world.who_over(PROXY, &header_of([192, 0, 2, 7]), &own).await.is_err());
    let refusal = world.next_refusal().await;
    assert_eq!((refusal.reason, refusal.source), (RefusedHandshake::TooManyFromAddress, "192.0.2.7".parse().unwrap()));
    assert!(world.who_over(PROXY, &header_of([192, 0, 2, 8]), &own).await.unwrap().ends_with(" 192.0.2.8"));
    assert_eq!(first.get("/who").await.unwrap().0, StatusCode::OK);
}
