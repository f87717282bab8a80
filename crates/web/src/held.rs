//! A database that was put back from a copy and is not accepted yet (docs/decisions/0011): the listeners stand, and behind
//! them is nothing. Every request is answered 503 with what has to be done; no certificate is asked for, because nothing here
//! could say whose it is. `/health` says that the program lives, `/ready` that nobody is to be sent here.

use crate::problem::Problem;
use crate::tls::{self, Clients, Door, Limits, Network};
use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rustls::ServerConfig;
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Listeners with TLS settings that ask for no certificate.
pub struct HeldServer {
    /// Each bound, with its settings.
    pub sockets: Vec<(TcpListener, Arc<ArcSwap<ServerConfig>>)>,
    /// Limits of connections.
    pub limits: Limits,
    /// Load balancers that name the client by PROXY v2.
    pub proxies: Arc<[Network]>,
}

impl HeldServer {
    /// Answers until `stop` resolves; the number of connections that had to be cut.
    pub async fn run(self, stop: impl Future<Output = ()>) -> usize {
        let (stopping, seen) = watch::channel(false);
        let mut running = Vec::new();
        for (tcp, config) in self.sockets {
            let door = Door {
                config,
                clients: Clients::Anyone,
                limits: self.limits.clone(),
                proxies: Arc::clone(&self.proxies),
                refused: Arc::new(|_| ()),
            };
            let mut seen = seen.clone();
            running.push(tokio::spawn(tls::serve(tcp, router(), door, async move {
                let _ = seen.wait_for(|stop| *stop).await;
            })));
        }
        stop.await;
        stopping.send_replace(true);
        let mut cut = 0;
        for socket in running {
            cut += socket.await.unwrap_or_default();
        }
        cut
    }
}

fn router() -> Router {
    Router::new().route("/health", get(health)).fallback(held)
}

async fn health() -> Response {
    let body = axum::Json(serde_json::json!({ "status": "restored", "clock": "ok", "certificate": "ok" }));
    with_headers(body.into_response())
}

async fn held() -> Response {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "restored",
        "控えから復元したところで、まだ使えません",
        "失われた記録を確かめ、閉じた扉を閉じ直してから使えるようになります。急ぐときは運用者に問い合わせてください（運用者: kiban restore accept）",
    );
    let request_id = kiban_service::random_id().unwrap_or_default();
    with_headers(problem.header(header::RETRY_AFTER, HeaderValue::from(60)).render(&request_id))
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
