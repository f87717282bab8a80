//! An organisation's terminal: HTTPS with a client certificate. A server that hangs fails the test.

use super::lane::Lane;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use kiban_pki::{Identity, client_config};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The server itself ends a request after ten seconds (docs/threats.md, I-12). Whoever waits so long, with the connection still
/// open, has met a server that hangs, on however slow a machine.
const HANGS: Duration = Duration::from_secs(30);
const HOST: &str = "office.localhost";

/// One organisation's terminal; the token outlives the server.
pub struct Terminal {
    connector: TlsConnector,
    connection: Option<Lane<Full<Bytes>>>,
    pub token: Option<String>,
}

/// An answer as it came.
pub struct Answer {
    pub status: u16,
    pub request_id: String,
    pub is_problem: bool,
    /// Seconds after which to ask again, if it says so.
    pub retry_after: Option<u32>,
    pub bytes: Vec<u8>,
}

/// No answer came: the connection ended.
#[derive(Debug)]
pub struct Lost(pub String);

/// What a request carries.
#[derive(Clone)]
pub enum Body {
    Nothing,
    Json(Value),
    Files(Vec<(String, Vec<u8>)>),
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.json()[key].as_str().map(str::to_owned)
    }
}

impl Terminal {
    pub fn new(root: &CertificateDer<'static>, identity: Option<&Identity>) -> Self {
        let mut config = client_config(std::slice::from_ref(root), identity).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)), connection: None, token: None }
    }

    /// Opens a connection if none is open.
    pub async fn connect(&mut self, address: SocketAddr) -> Result<(), Lost> {
        if self.connection.as_ref().is_some_and(|open| !open.is_closed()) {
            return Ok(());
        }
        self.connection = None;
        let connect = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let tls = self.connector.connect(ServerName::try_from(HOST).unwrap(), tcp).await?;
            Lane::over(TokioIo::new(tls)).await.map_err(std::io::Error::other)
        };
        self.connection = Some(within_bounds(connect).await.map_err(lost)?);
        Ok(())
    }

    /// Ends the connection, as a terminal that is switched off.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Begins to send a form over a connection of its own and stops when the server asks for its body: it holds its place until
    /// it is dropped.
    pub async fn begin_form(&self, address: SocketAddr, path: &str) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut tls = self.connector.connect(ServerName::try_from(HOST).unwrap(), tcp).await.unwrap();
        let token = self.token.as_deref().unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
        );
        tls.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        within_bounds(tls.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        tls
    }

    /// Sends a request over the open connection.
    pub async fn send(&mut self, method: &str, path: &str, body: Body) -> Result<Answer, Lost> {
        self.send_under(None, method, path, body).await
    }

    /// The same under an `Idempotency-Key`.
    pub async fn send_under(
        &mut self,
        key: Option<&str>,
        method: &str,
        path: &str,
        body: Body,
    ) -> Result<Answer, Lost> {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        // A file may take its sender half an hour, also over a database that stands still (docs/status.md); nobody waits for that.
        let is_file = matches!(body, Body::Files(_));
        let (content_type, bytes) = encode(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(Bytes::from(bytes))).unwrap();
        let Some(connection) = self.connection.as_mut() else { return Err(Lost("not connected".to_owned())) };
        let exchange = async {
            if !connection.is_ready().await {
                return Err(std::io::Error::other("closed"));
            }
            let answer = connection.send(request).await.map_err(std::io::Error::other)?;
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            Ok((head, bytes))
        };
        let exchanged = match is_file {
            true => tokio::time::timeout(HANGS, exchange).await.map_err(lost).and_then(|result| result.map_err(lost)),
            false => within_bounds(exchange).await.map_err(lost),
        };
        let (head, bytes) = match exchanged {
            Ok(answer) => answer,
            Err(error) => {
                self.connection = None;
                return Err(error);
            }
        };
        let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Answer {
            status: head.status.as_u16(),
            request_id: header("x-request-id"),
            is_problem: header("content-type") == "application/problem+json",
            retry_after: header("retry-after").parse().ok(),
            bytes: bytes.to_vec(),
        })
    }
}

/// What comes of waiting for the server. A wait without an end is a fault of it, not an unknown outcome.
async fn within_bounds<T>(waiting: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(HANGS, waiting).await;
    waited.unwrap_or_else(|_| panic!("the server hangs: no answer and no end of the connection within {HANGS:?}"))
}

fn lost(error: impl std::fmt::Display) -> Lost {
    Lost(error.to_string())
}

fn encode(body: Body) -> (Option<String>, Vec<u8>) {
    const BOUNDARY: &str = "part-boundary-2f9b61";
    match body {
        Body::Nothing => (None, Vec::new()),
        Body::Json(value) => (Some("application/json".to_owned()), value.to_string().into_bytes()),
        Body::Files(files) => {
            let mut bytes = Vec::new();
            for (name, content) in files {
                let head = format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv\r\n\r\n"
                );
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
            (Some(format!("multipart/form-data; boundary={BOUNDARY}")), bytes)
        }
    }
}
