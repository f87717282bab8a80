//! The listeners: TLS 1.3 in front of the router, with the peer's certificate in every request (S-001, S-002).
//!
//! ```text
//! accept → places left? → TLS handshake → certificate in good standing? → HTTP/2 or HTTP/1.1 → router
//! ```
//!
//! Every refusal before HTTP goes to one callback, so that it can be counted and audited. An open connection keeps its
//! certificate whatever happens to it afterwards, so handlers check the standing again for each request: they find
//! [`PeerCertificate`] and [`RemoteAddr`] in the request's extensions, and nowhere else (no header of HTTP is trusted; a
//! load balancer at a configured address tells the client's address before TLS, [`Door::proxies`]).
//!
//! Settings change without a restart: store a new configuration into [`Door::config`]; new connections use it, open
//! ones go on until they are [`Limits::age`] old.

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use jiff::Timestamp;
use kiban_pki::Identity;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

mod activity;
mod connection;
pub(crate) mod places;
mod proxy;
mod refusal;
#[cfg(test)]
mod tests;

pub use proxy::Network;
pub use refusal::{Refusal, RefusedHandshake};

use connection::Peer;
use places::{Place, Places};

/// The client certificate of the connection a request came over: a request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Code of the organisation in the subject (事業所番号, 保険者番号, 都道府県コード or `operator`). For messages and
    /// logs; what counts is the organisation the store has bound to the fingerprint.
    pub organization_in_subject: Option<String>,
    /// The last second at which it is valid. May pass while the connection is open.
    pub not_after: Timestamp,
    /// SHA-256 of its public key, 64 lower-case hexadecimal digits.
    pub key_digest: String,
}

impl PeerCertificate {
    fn from_der(der: &[u8]) -> Result<Self, kiban_pki::Error> {
        Ok(Self {
            fingerprint: kiban_pki::fingerprint(der),
            organization_in_subject: kiban_pki::organization_of(der).map(|o| o.to_string()),
            not_after: kiban_pki::not_after(der)?,
            key_digest: kiban_pki::key_digest(der)?,
        })
    }
}

/// Address and port of the other side of the TCP connection, behind a configured load balancer of the client: a request
/// extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// Says whether a certificate may come in now: known, not revoked, not expired. Asked once per handshake.
pub type Standing = Arc<dyn Fn(&PeerCertificate) -> Result<(), RefusedHandshake> + Send + Sync>;

/// Who may come in.
#[derive(Clone)]
pub enum Clients {
    /// Holders of a client certificate that the closure finds in good standing (organisations' listener).
    Certified(Standing),
    /// Anybody (public listener).
    Anyone,
}

/// How long and how many. All have the defaults of the platform.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for the TLS handshake. 10 s.
    pub handshake: Duration,
    /// Time until the first request is there; on HTTP/1.1 also between two requests. 10 s.
    pub headers: Duration,
    /// A connection without a request for so long is closed. 5 min.
    pub idle: Duration,
    /// A connection so old is closed after its running requests. 1 h.
    pub age: Duration,
    /// Time that running requests get when a connection or the server closes. 30 s.
    pub drain: Duration,
    /// Open connections with one certificate. 50.
    pub per_certificate: usize,
    /// Open connections from one address (IPv6: one /64 network). 200.
    pub per_address: usize,
    /// Connections of one load balancer that have not named their client yet. 1,000.
    pub unnamed: usize,
    /// Requests at the same time on one HTTP/2 connection. 100.
    pub streams: u32,
    /// Bytes of all headers of one request. 16 KiB.
    pub header_list: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            age: Duration::from_secs(3600),
            drain: Duration::from_secs(30),
            per_certificate: 50,
            per_address: 200,
            unnamed: 1_000,
            streams: 100,
            header_list: 16 * 1024,
        }
    }
}

/// All that a listener needs besides its socket and its router.
#[derive(Clone)]
pub struct Door {
    /// TLS settings for new connections; store new ones at any time.
    pub config: Arc<ArcSwap<ServerConfig>>,
    /// Who may come in.
    pub clients: Clients,
    /// How long and how many.
    pub limits: Limits,
    /// Load balancers in TCP mode: from these addresses, and only from them, each connection begins with a PROXY header of
    /// version 2, and the client is whom it names. None by default.
    pub proxies: Arc<[Network]>,
    /// Told every refusal. Must return at once: it runs between two accepts.
    pub refused: Arc<dyn Fn(Refusal) + Send + Sync>,
}

/// TLS settings of the organisations' listener, made so that refusals can name the certificate that was presented.
pub fn organizations_config(
    server: &Identity,
    client_roots: &[CertificateDer<'static>],
) -> Result<Arc<ServerConfig>, kiban_pki::Error> {
    kiban_pki::server_config_organizations(server, client_roots, note_presented)
}

/// Serves `router` until `stop` resolves; then closes the socket, lets running requests end within
/// [`Limits::drain`] and returns the number of connections that had to be cut.
pub async fn serve(listener: TcpListener, router: Router, door: Door, stop: impl Future<Output = ()>) -> usize {
    let drain = door.limits.drain;
    let (closing, closing_seen) = watch::channel(false);
    let listening = Arc::new(Listening {
        door,
        router,
        addresses: Places::new(),
        unnamed: Places::new(),
        certificates: Places::new(),
    });
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => note_panic(ended),
            (tcp, from) = accept(&listener) => {
                if listening.is_proxy(from.ip()) {
                    if let Some(place) = listening.unnamed_place(from.ip()) {
                        connections.spawn(Arc::clone(&listening).forwarded(tcp, from, place, closing_seen.clone()));
                    }
                } else if let Some(place) = listening.address_place(from.ip()) {
                    connections.spawn(Arc::clone(&listening).one(tcp, from, place, closing_seen.clone()));
                }
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    };
    if timeout(drain, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut at shutdown");
    }
    connections.len()
}

/// The next connection. When the system has no descriptors or memory left, waits instead of spinning.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    const LONGEST_WAIT: Duration = Duration::from_secs(1);
    let mut wait = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // That one client gave up; the next may be waiting.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended with a panic");
    }
}

/// What all connections of one listener share.
struct Listening {
    door: Door,
    router: Router,
    addresses: Arc<Places<IpAddr>>,
    /// Connections of load balancers that wait for their header.
    unnamed: Arc<Places<IpAddr>>,
    certificates: Arc<Places<String>>,
}

impl Listening {
    fn address_place(&self, source: IpAddr) -> Option<Place<IpAddr>> {
        let place = self.addresses.take(network_of(source), self.door.limits.per_address);
        if place.is_none() {
            self.refuse(RefusedHandshake::TooManyFromAddress, source, None);
        }
        place
    }

    fn is_proxy(&self, source: IpAddr) -> bool {
        self.door.proxies.iter().any(|network| network.contains(source))
    }

    fn unnamed_place(&self, proxy: IpAddr) -> Option<Place<IpAddr>> {
        let place = self.unnamed.take(proxy, self.door.limits.unnamed);
        if place.is_none() {
            self.refuse(RefusedHandshake::TooManyFromAddress, proxy, None);
        }
        place
    }

    /// A connection of a load balancer: the client is whom its header names; without a header it is closed.
    async fn forwarded(
        self: Arc<Self>,
        mut tcp: TcpStream,
        proxy: SocketAddr,
        unnamed: Place<IpAddr>,
        mut closing: watch::Receiver<bool>,
    ) {
        let header = tokio::select! {
            header = timeout(self.door.limits.handshake, proxy::read(&mut tcp)) => header,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let from = match header {
            Ok(Ok(client)) => client.unwrap_or(proxy),
            Ok(Err(_)) => return self.refuse(RefusedHandshake::NoProxyHeader, proxy.ip(), None),
            Err(_) => return self.refuse(RefusedHandshake::TimedOut, proxy.ip(), None),
        };
        drop(unnamed);
        if let Some(place) = self.address_place(from.ip()) {
            self.one(tcp, from, place, closing).await;
        }
    }

    /// One connection from its TCP accept to its end.
    async fn one(
        self: Arc<Self>,
        tcp: TcpStream,
        from: SocketAddr,
        _address: Place<IpAddr>,
        mut closing: watch::Receiver<bool>,
    ) {
        let handshake = tokio::select! {
            result = self.handshake(tcp) => result,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let mut tls = match handshake {
            Ok(tls) => tls,
            Err((reason, presented)) => return self.refuse(reason, from.ip(), presented.as_deref()),
        };
        let der = peer_der(&tls);
        match self.admit(der.as_deref()) {
            Ok((certificate, _place)) => {
                let peer = Peer { certificate, address: RemoteAddr(from) };
                connection::serve(tls, self.router.clone(), peer, &self.door.limits, closing).await;
            }
            Err(reason) => {
                self.refuse(reason, from.ip(), der.as_deref());
                // A polite end, but not one the client can prolong.
                let _ = timeout(Duration::from_secs(1), tls.shutdown()).await;
            }
        }
    }

    /// TLS within its time; else the reason and the certificate presented, if it came so far.
    async fn handshake(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, (RefusedHandshake, Option<Vec<u8>>)> {
        // Small answers should not wait for an acknowledgement; failure to set this is harmless.
        let _ = tcp.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.door.config.load_full());
        let limit = self.door.limits.handshake;
        PRESENTED
            .scope(RefCell::new(None), async {
                let reason = match timeout(limit, acceptor.accept(tcp)).await {
                    Ok(Ok(tls)) => return Ok(tls),
                    Ok(Err(error)) => RefusedHandshake::from_error(&error),
                    Err(_) => RefusedHandshake::TimedOut,
                };
                Err((reason, PRESENTED.with(RefCell::take)))
            })
            .await
    }

    /// Standing and number of connections of the certificate, once TLS has proved its possession.
    fn admit(&self, der: Option<&[u8]>) -> Result<(Option<PeerCertificate>, Option<Place<String>>), RefusedHandshake> {
        let Clients::Certified(standing) = &self.door.clients else { return Ok((None, None)) };
        let der = der.ok_or(RefusedHandshake::NoCertificate)?;
        let peer = PeerCertificate::from_der(der).map_err(|_| RefusedHandshake::BadCertificate)?;
        standing(&peer)?;
        let place = self
            .certificates
            .take(peer.fingerprint.clone(), self.door.limits.per_certificate)
            .ok_or(RefusedHandshake::TooManyWithCertificate)?;
        Ok((Some(peer), Some(place)))
    }

    fn refuse(&self, reason: RefusedHandshake, source: IpAddr, der: Option<&[u8]>) {
        (self.door.refused)(Refusal {
            reason,
            source: source.to_canonical(),
            fingerprint: der.map(kiban_pki::fingerprint),
            serial: der.and_then(kiban_pki::serial_of),
        });
    }
}

tokio::task_local! {
    /// The certificate presented in the handshake this task is in: rustls forgets it when it refuses.
    static PRESENTED: RefCell<Option<Vec<u8>>>;
}

fn note_presented(der: &CertificateDer<'_>) {
    // Outside a listener (a configuration used elsewhere) there is nobody to tell.
    let _ = PRESENTED.try_with(|presented| presented.replace(Some(der.to_vec())));
}

fn peer_der(tls: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    Some(tls.get_ref().1.peer_certificates()?.first()?.to_vec())
}

/// One household or office is one IPv4 address or one IPv6 /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}
