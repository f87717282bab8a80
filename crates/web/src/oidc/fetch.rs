//! A small HTTPS client for one provider: TLS with the authorities the installation names, no redirects, bounded answers, short
//! times (F-18). Addresses come from the settings and from the provider's own description, never from a token or a browser (T-40).

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest answer: 256 KiB.
const LONGEST: usize = 256 << 10;
/// Time for one question with everything that belongs to it.
const TIME: Duration = Duration::from_secs(4);

/// Asks one provider.
pub(crate) struct Client {
    connector: TlsConnector,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) address: &'a str,
    /// Value of `Authorization`.
    pub(crate) authorization: Option<String>,
    /// A form.
    pub(crate) form: Option<String>,
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) media: String,
    pub(crate) body: Bytes,
}

impl Client {
    /// With these authorities and no others. `None`: the configuration of TLS is refused.
    pub(crate) fn new(roots: RootCertStore) -> Option<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Some(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Asks; the error is for the log.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, String> {
        let address = ask.address.to_owned();
        match tokio::time::timeout(TIME, self.send(ask)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Err(_) => Err(format!("{address}: no answer in {} s", TIME.as_secs())),
        }
    }

    async fn send(&self, ask: Ask<'_>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let uri: Uri = ask.address.parse()?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or("not an https address")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tcp = TcpStream::connect((bare.as_str(), uri.port_u16().unwrap_or(443))).await?;
        tcp.set_nodelay(true)?;
        let tls = self.connector.connect(ServerName::try_from(bare)?, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let running = tokio::spawn(connection);
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(ask.method).uri(path).header(header::HOST, authority);
        request = request.header(header::ACCEPT, "application/json");
        if let Some(value) = ask.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        if ask.form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Full::new(Bytes::from(ask.form.unwrap_or_default())))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
        running.abort();
        Ok(Answer { status, media, body })
    }
}
