//! One connection after its handshake: HTTP/2 or HTTP/1.1 until it is idle, old, or the server stops.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::activity::{Activity, HeldBody, Running};
use super::{Limits, PeerCertificate, RemoteAddr};

/// hyper accepts no smaller one.
const SMALLEST_BUFFER: u32 = 8192;

/// Who is on the other side.
#[derive(Clone)]
pub struct Peer {
    /// Absent on the public listener.
    pub certificate: Option<PeerCertificate>,
    pub address: RemoteAddr,
}

/// Serves requests until the connection ends, or is ended: unused or too old, or the server is closing.
pub async fn serve(
    tls: TlsStream<TcpStream>,
    router: Router,
    peer: Peer,
    limits: &Limits,
    mut closing: watch::Receiver<bool>,
) {
    let builder = http(tls.get_ref().1.alpn_protocol() == Some(b"h2"), limits);
    let activity = Activity::new();
    let requests = activity.clone();
    let service = service_fn(move |request| answer(router.clone(), peer.clone(), requests.start(), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(tls), service));

    let last_words = tokio::select! {
        result = connection.as_mut() => return note_end(result),
        // Nothing is running, so only the peer's goodbye is waited for.
        () = activity.unused(limits.headers, limits.idle) => limits.headers.min(limits.drain),
        () = sleep(limits.age) => limits.drain,
        // The server itself counts the time and cuts.
        _ = closing.wait_for(|closing| *closing) => Duration::MAX,
    };
    connection.as_mut().graceful_shutdown();
    match timeout(last_words, connection).await {
        Ok(result) => note_end(result),
        Err(_) => tracing::debug!("connection cut after its time to end"),
    }
}

/// The protocol was agreed in the handshake; guessing it from the first bytes would wait without limit.
fn http(http2: bool, limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(limits.header_list.max(SMALLEST_BUFFER) as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}

async fn answer(
    router: Router,
    peer: Peer,
    running: Running,
    request: Request<Incoming>,
) -> Result<Response<HeldBody>, std::convert::Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer.address);
    if let Some(certificate) = peer.certificate {
        request.extensions_mut().insert(certificate);
    }
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| HeldBody::new(body, running)))
}

/// Broken connections are everyday life; the details matter only when somebody looks for them.
fn note_end(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended with an error");
    }
}
