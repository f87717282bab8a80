//! The way to the platform: TLS 1.3 with the connector's own certificate, straight or through an HTTP proxy. Files are sent
//! from the disk as they are read, so memory does not grow with them.

use super::config::{Config, Proxy};
use crate::lane::{Broken, Lane};
use anyhow::{Context as _, Result, anyhow};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper_util::rt::TokioIo;
use kiban_pki::{Identity, client_config};
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_TIME: Duration = Duration::from_secs(20);
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Longer than the platform takes for an upload.
const UPLOAD_TIME: Duration = Duration::from_secs(40 * 60);
/// Longest answer that is read.
const LONGEST_ANSWER: usize = 64 << 20;

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The host's name is not known here.
    Name,
    /// Nothing answers at the address.
    Unreachable,
    /// The proxy does not let it through; its status.
    Proxy(u16),
    /// The platform's certificate is not of the authority, not for the name, or not valid now.
    ServerCertificate,
    /// The platform ended the connection: our certificate is not accepted.
    OwnCertificate,
    /// Everything else on the way.
    Other,
}

/// No answer came. What was sent may or may not have arrived.
#[derive(Debug)]
pub struct Lost {
    /// Kind.
    pub trouble: Trouble,
    /// In Japanese.
    pub text: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Lost {}

/// What a request carries.
pub enum Content<'a> {
    /// Nothing.
    Nothing,
    /// Bytes of a media type.
    Bytes(&'a str, Vec<u8>),
    /// Files of a folder, as one form.
    Files(&'a [(String, PathBuf)]),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Clock of the platform, as in the `Date` header.
    pub date: Option<String>,
    /// Body.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// `code` of a problem document.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Title and detail of a problem document, with its request id.
    pub fn words(&self) -> String {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        format!("{}。{}（状態 {}、要求番号 {}）", text("title"), text("detail"), self.status, text("request_id"))
    }
}

/// The connection to the platform; opened when something is sent.
pub struct Link {
    host: String,
    /// `host:port` or the address given in its place.
    target: String,
    proxy: Option<Proxy>,
    connector: TlsConnector,
    connection: Option<Lane<Outgoing>>,
}

impl Link {
    /// A link by the settings; reads certificate, key and authority.
    pub fn new(config: &Config) -> Result<Self> {
        let read = |path: &Path, what: &str| {
            std::fs::read_to_string(path).with_context(|| format!("{what} {} を読めません", path.display()))
        };
        let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
        let identity =
            Identity::from_pem(&read(&config.certificate, "証明書")?, &read(&config.key, "秘密鍵")?).map_err(ja)?;
        let roots = kiban_pki::tls::certificates(&read(&config.ca, "認証局の証明書")?).map_err(ja)?;
        let mut tls = client_config(&roots, Some(&identity)).map_err(ja)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let target = match config.address {
            Some(address) => address.to_string(),
            None => format!("{}:{}", config.host, config.port),
        };
        Ok(Self {
            host: config.host.clone(),
            target,
            proxy: config.proxy.clone(),
            connector: TlsConnector::from(Arc::new(tls)),
            connection: None,
        })
    }

    /// Sends a request and waits for its whole answer.
    pub async fn send(&mut self, method: &str, path: &str, content: Content<'_>) -> Result<Answer, Lost> {
        let limit = if matches!(content, Content::Files(_)) { UPLOAD_TIME } else { ANSWER_TIME };
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", &self.host);
        let body = match content {
            Content::Nothing => Outgoing::default(),
            Content::Bytes(media, bytes) => {
                request = request.header("content-type", media);
                Outgoing::of_bytes(bytes)
            }
            Content::Files(files) => {
                let (body, boundary) = Outgoing::of_files(files).map_err(|error| other(&error))?;
                request = request.header("content-type", format!("multipart/form-data; boundary={boundary}"));
                body
            }
        };
        let request = request.body(body).map_err(|error| other(&error))?;
        let exchange = async {
            let connection = self.connection().await?;
            let answer = connection.send(request).await.map_err(|error| broken(&error))?;
            let (head, body) = answer.into_parts();
            let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let date = header("date");
            let body = http_body_util::Limited::new(body, LONGEST_ANSWER);
            let bytes = body.collect().await.map_err(|error| other(&error))?.to_bytes().to_vec();
            Ok(Answer { status: head.status.as_u16(), date, bytes })
        };
        let result = match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Lost {
                trouble: Trouble::Other,
                text: "基盤からの答えが時間内に届きませんでした".to_owned(),
            }),
        };
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    async fn connection(&mut self) -> Result<&mut Lane<Outgoing>, Lost> {
        // The platform closes a connection that was idle; such a one is not used again.
        let usable = match self.connection.as_mut() {
            Some(connection) => connection.is_ready().await,
            None => false,
        };
        if !usable {
            let connect = tokio::time::timeout(CONNECT_TIME, self.connect()).await;
            let timed_out = |_| Lost {
                trouble: Trouble::Unreachable,
                text: format!("{} に時間内に接続できませんでした", self.target),
            };
            let connection = connect.map_err(timed_out)??;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| other(&"no connection"))
    }

    async fn connect(&self) -> Result<Lane<Outgoing>, Lost> {
        let tcp = match &self.proxy {
            Some(proxy) => through(proxy, &self.target).await?,
            None => reach(&self.target, "基盤").await?,
        };
        // Small requests should not wait for an acknowledgement; failure to set this is harmless.
        let _ = tcp.set_nodelay(true);
        let name = ServerName::try_from(self.host.clone()).map_err(|error| other(&error))?;
        let tls = self.connector.connect(name, tcp).await.map_err(|error| tls_trouble(&error))?;
        Lane::over(TokioIo::new(tls)).await.map_err(|error| broken(&error.into()))
    }
}

async fn reach(target: &str, what: &str) -> Result<TcpStream, Lost> {
    let lost = |trouble, text| Lost { trouble, text };
    let mut addresses = tokio::net::lookup_host(target)
        .await
        .map_err(|error| lost(Trouble::Name, format!("{what}の名前 {target} が見つかりません（{error}）")))?
        .peekable();
    if addresses.peek().is_none() {
        return Err(lost(Trouble::Name, format!("{what}の名前 {target} が見つかりません")));
    }
    let mut last = String::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(lost(Trouble::Unreachable, format!("{what} {target} に接続できません（{last}）")))
}

/// A tunnel through the proxy.
async fn through(proxy: &Proxy, target: &str) -> Result<TcpStream, Lost> {
    const LONGEST_HEAD: usize = 8 * 1024;
    let mut tcp = reach(&proxy.address, "プロキシ").await?;
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(credentials) = &proxy.credentials {
        head.push_str(&format!("Proxy-Authorization: Basic {}\r\n", base64(credentials.as_bytes())));
    }
    head.push_str("\r\n");
    tcp.write_all(head.as_bytes()).await.map_err(|error| other(&error))?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to TLS.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= LONGEST_HEAD {
            return Err(Lost {
                trouble: Trouble::Proxy(0), text: "プロキシの答えを読めません".to_owned()
            });
        }
        match tcp.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => {
                let text = format!("プロキシ {} が接続を切りました", proxy.address);
                return Err(Lost { trouble: Trouble::Proxy(0), text });
            }
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status: u16 = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    match status {
        200..300 => Ok(tcp),
        407 => Err(Lost {
            trouble: Trouble::Proxy(407),
            text: "プロキシが利用者名とパスワードを求めています。proxy_user と proxy_password_file を確かめてください"
                .to_owned(),
        }),
        _ => Err(Lost {
            trouble: Trouble::Proxy(status),
            text: format!(
                "プロキシが {target} への接続を断りました（状態 {status}）。プロキシの許可の設定を確かめてください"
            ),
        }),
    }
}

fn other(error: &impl ToString) -> Lost {
    Lost { trouble: Trouble::Other, text: format!("通信できませんでした（{}）", error.to_string()) }
}

/// An exchange that broke off. Over TLS 1.3 a client certificate is refused after the handshake, so this is where it shows.
fn broken(error: &Broken) -> Lost {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            let lost = tls_trouble(io);
            if lost.trouble != Trouble::Other {
                return lost;
            }
        }
        source = inner.source();
    }
    let is_over = match error {
        Broken::Exchange(error) => error.is_incomplete_message() || error.is_closed() || error.is_canceled(),
        Broken::Ended => true,
    };
    if is_over {
        let words = "基盤が答えずに接続を閉じました。続くときは、接続プログラムの証明書が登録済みで失効していないか、運用者に確かめてください";
        return Lost { trouble: Trouble::Other, text: words.to_owned() };
    }
    other(error)
}

fn tls_trouble(error: &std::io::Error) -> Lost {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (trouble, text) = match tls {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            let words = match reason {
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. } => {
                    "接続先の証明書が server の名前のものではありません。server を確かめてください"
                }
                rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                    "接続先の証明書の期限が切れているか、この端末の時計が進んでいます"
                }
                rustls::CertificateError::NotValidYet | rustls::CertificateError::NotValidYetContext { .. } => {
                    "この端末の時計が遅れています。時刻を合わせてください"
                }
                _ => "接続先の証明書が ca の認証局のものではありません。ca と server を確かめてください",
            };
            (Trouble::ServerCertificate, words.to_owned())
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            let words =
                "基盤がこの接続プログラムの証明書を受け付けません。期限切れ・失効・未登録でないか確かめてください";
            (Trouble::OwnCertificate, format!("{words}（{alert:?}）"))
        }
        _ => return other(error),
    };
    Lost { trouble, text }
}

/// Base64 of RFC 4648, for the one header that needs it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A body that is on its way: pieces from memory and files from the disk.
#[derive(Default)]
struct Outgoing {
    pieces: VecDeque<Piece>,
    left: u64,
}

enum Piece {
    Bytes(Bytes),
    File { path: PathBuf, open: Option<File>, left: u64 },
}

impl Outgoing {
    fn of_bytes(bytes: Vec<u8>) -> Self {
        let left = bytes.len() as u64;
        Self { pieces: VecDeque::from([Piece::Bytes(Bytes::from(bytes))]), left }
    }

    /// The form and its boundary; file names are those of the folder.
    fn of_files(files: &[(String, PathBuf)]) -> std::io::Result<(Self, String)> {
        let boundary = format!("kiban-{:016x}", std::process::id() as u64 ^ 0x5bd1_e995_9e37_79b9);
        let mut body = Self::default();
        let mut before = "";
        for (name, path) in files {
            let name = name.replace('"', "%22");
            let head = format!(
                "{before}--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
            );
            body.push(head.into_bytes());
            let left = path.metadata()?.len();
            body.left += left;
            body.pieces.push_back(Piece::File { path: path.clone(), open: None, left });
            before = "\r\n";
        }
        body.push(format!("{before}--{boundary}--\r\n").into_bytes());
        Ok((body, boundary))
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.left += bytes.len() as u64;
        self.pieces.push_back(Piece::Bytes(Bytes::from(bytes)));
    }

    /// The next bytes, at most 64 KiB of a file.
    fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        loop {
            match self.pieces.front_mut()? {
                Piece::Bytes(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.pieces.pop_front();
                    return Some(Ok(bytes));
                }
                Piece::File { left: 0, .. } => {
                    self.pieces.pop_front();
                }
                Piece::File { path, open, left } => return Some(read_piece(path, open, left)),
            }
        }
    }
}

fn read_piece(path: &Path, open: &mut Option<File>, left: &mut u64) -> std::io::Result<Bytes> {
    if open.is_none() {
        *open = Some(File::open(path)?);
    }
    let mut buffer = vec![0; (*left).min(64 * 1024) as usize];
    let read = match open {
        Some(file) => file.read(&mut buffer)?,
        None => 0,
    };
    if read == 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file became shorter"));
    }
    buffer.truncate(read);
    *left -= read as u64;
    Ok(Bytes::from(buffer))
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.next();
        if let Some(Ok(bytes)) = &next {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_every_proxy_reads_them() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("city:ひみつ", "Y2l0eTrjgbLjgb/jgaQ=")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_form_says_its_length_and_keeps_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let content: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let (mut body, boundary) = Outgoing::of_files(&[("a.csv".to_owned(), path)]).unwrap();
        let announced = body.left;
        let mut sent = Vec::new();
        while let Some(bytes) = body.next() {
            sent.extend_from_slice(&bytes.unwrap());
        }
        assert_eq!(sent.len() as u64, announced);
        let end = format!("\r\n--{boundary}--\r\n");
        assert!(sent.ends_with(end.as_bytes()));
        assert!(sent[..sent.len() - end.len()].ends_with(&content));
    }
}
