//! A small HTTPS client with a client certificate, for the demo's story and the benchmark: what an office's software does.

use crate::lane::Lane;
use anyhow::{Context as _, Result, anyhow};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use kiban_pki::{Identity, client_config};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One organisation's terminal.
pub struct Client {
    address: SocketAddr,
    host: String,
    connector: TlsConnector,
    connection: Option<Lane<Full<Bytes>>>,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Request id of the answer.
    pub request_id: String,
    /// Body.
    pub body: Value,
}

impl Client {
    /// A client; without an identity it has no certificate to show.
    pub fn new(
        address: SocketAddr,
        host: &str,
        root: &CertificateDer<'static>,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let mut config =
            client_config(std::slice::from_ref(root), identity).map_err(|error| anyhow!(error.message_ja()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address, host: host.to_owned(), connector, connection: None, token: None })
    }

    async fn connection(&mut self) -> Result<&mut Lane<Full<Bytes>>> {
        if self.connection.as_ref().is_none_or(Lane::is_closed) {
            let tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from(self.host.clone()).map_err(|_| anyhow!("server name"))?;
            let tls = self.connector.connect(name, tcp).await?;
            self.connection = Some(Lane::over(TokioIo::new(tls)).await?);
        }
        self.connection.as_mut().ok_or_else(|| anyhow!("no connection"))
    }

    /// Sends a request; a body makes it JSON.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        let bytes = body.map(|body| body.to_string().into_bytes());
        self.send_bytes(method, path, "application/json", bytes).await
    }

    /// Uploads files as multipart/form-data.
    pub async fn upload(&mut self, path: &str, files: &[(String, Vec<u8>)]) -> Result<Answer> {
        const BOUNDARY: &str = "kiban-part-boundary-7d1f0c";
        let mut body = Vec::new();
        for (name, content) in files {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.send_bytes("POST", path, &format!("multipart/form-data; boundary={BOUNDARY}"), Some(body)).await
    }

    async fn send_bytes(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let answer = self.exchange(method, path, content_type, body).await?;
        let status = answer.status().as_u16();
        let header = answer.headers().get("x-request-id").and_then(|value| value.to_str().ok());
        let request_id = header.unwrap_or_default().to_owned();
        let bytes = answer.into_body().collect().await?.to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        Ok(Answer { status, request_id, body })
    }

    /// Sends JSON to somebody who is not the platform: status and body, of which no more than this is taken.
    pub async fn send_limited(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
        limit: usize,
    ) -> Result<(u16, Vec<u8>)> {
        let answer = self.exchange(method, path, "application/json", Some(body.to_string().into_bytes())).await?;
        let status = answer.status().as_u16();
        let bytes = Limited::new(answer.into_body(), limit).collect().await;
        let bytes = bytes.map_err(|_| anyhow!("答えが途中で切れたか、大きすぎます"))?;
        Ok((status, bytes.to_bytes().to_vec()))
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<Vec<u8>>,
    ) -> Result<hyper::Response<Incoming>> {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", &self.host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let connection = self.connection().await?;
        if !connection.is_ready().await {
            return Err(anyhow!("the connection is closed"));
        }
        Ok(connection.send(request).await?)
    }

    /// The same with a token that was not got by a log-in.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Logs in as a person at a screen.
    pub async fn log_in(&mut self, account: &str, password: &str) -> Result<Answer> {
        let body = serde_json::json!({ "account": account, "password": password });
        let answer = self.send("POST", "/api/v1/session", Some(body)).await?;
        self.token = answer.body["token"].as_str().map(str::to_owned);
        Ok(answer)
    }

    /// Logs in as a vendor's program.
    pub async fn log_in_program(&mut self, account: &str, password: &str, software: &str) -> Result<Answer> {
        let body = serde_json::json!({ "account": account, "password": password, "software": software });
        let answer = self.send("POST", "/api/v1/token", Some(body)).await?;
        self.token = answer.body["token"].as_str().map(str::to_owned);
        Ok(answer)
    }

    /// The bearer token, to show how to call by hand.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

impl Answer {
    /// The answer, if it has the status that the story expects.
    pub fn expect(self, status: u16, step: &str) -> Result<Self> {
        if self.status == status {
            Ok(self)
        } else {
            Err(anyhow!(
                "{step}: {} を期待しましたが {} でした（要求番号 {}）: {}",
                status,
                self.status,
                self.request_id,
                self.body
            ))
        }
    }

    /// A text of the body.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.body[key].as_str().with_context(|| format!("答えに {key} がありません"))
    }
}
