//! The only TLS settings of the platform (P-180, P-181, S-001, S-002).
//!
//! TLS 1.3 only: the 1.2 code is not even compiled in. No session tickets and no stored sessions: a resumed session
//! would skip the certificate check. There is no switch for any of this.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, WantsVerifier, version,
};

use crate::Error;

/// HTTP/2 first, then HTTP/1.1.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with its private key: what one side of a connection shows and proves.
pub struct Identity {
    /// The certificate first, then those that lead to the CA, if any.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM. Whether they belong together is checked when a configuration is made of them.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| Error::Certificate(e.to_string()))?;
        Ok(Self { chain: certificates(cert_pem)?, key })
    }
}

impl fmt::Debug for Identity {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = self.chain.first().map(|der| crate::fingerprint(der));
        f.debug_struct("Identity").field("fingerprint", &fingerprint).finish_non_exhaustive()
    }
}

/// All certificates of a PEM text; at least one.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(list) if list.is_empty() => Err(Error::Certificate("no certificate in the file".into())),
        Ok(list) => Ok(list),
        Err(error) => Err(Error::Certificate(error.to_string())),
    }
}

/// Told every certificate a client presents, before it is judged, so that a refusal can name it.
pub type Presented = fn(&CertificateDer<'_>);

/// Settings of the organisations' listener: the client must show a certificate for clients (EKU clientAuth), valid
/// now, that leads to one of `client_roots`.
pub fn server_config_organizations(
    server: &Identity,
    client_roots: &[CertificateDer<'static>],
    presented: Presented,
) -> Result<Arc<ServerConfig>, Error> {
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(root_store(client_roots)?), provider())
        .build()
        .map_err(|e| Error::Certificate(e.to_string()))?;
    finish_server(server_builder()?.with_client_cert_verifier(Arc::new(ClientVerifier { inner, presented })), server)
}

/// Settings of the public listener: no client certificate is asked for or accepted.
pub fn server_config_public(server: &Identity) -> Result<Arc<ServerConfig>, Error> {
    finish_server(server_builder()?.with_no_client_auth(), server)
}

/// Settings of a client of the platform: connector, tests. Without `identity` no certificate is shown.
pub fn client_config(
    server_roots: &[CertificateDer<'static>],
    identity: Option<&Identity>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(root_store(server_roots)?);
    let mut config = match identity {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn();
    Ok(config)
}

fn server_builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, Error> {
    Ok(ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13])?)
}

fn finish_server(
    builder: ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    server: &Identity,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = builder.with_single_cert(server.chain.clone(), server.key.clone_key())?;
    config.alpn_protocols = alpn();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|name| name.to_vec()).collect()
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    Ok(store)
}

/// The library's own check, unchanged, after telling who asks.
#[derive(Debug)]
struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    presented: Presented,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        (self.presented)(end_entity);
        self.inner.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
