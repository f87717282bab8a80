//! The certificates of the listeners: issued on first use, and anew within thirty days of their end, also while the server
//! runs. New connections get the new one; open ones go on (S-003).
//!
//! Only what the own authority issued is replaced. Of another certificate in its place the log and `/health` tell that it
//! ends.

use crate::home::Home;
use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwap;
use kiban_domain::Timestamp;
use kiban_pki::{Identity, fingerprint, server_config_public};
use kiban_web::ServerCertificates;
use kiban_web::tls::organizations_config;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Days for which the certificate of a listener is good.
const DAYS: u32 = 90;
/// Hours before its end from which it is issued anew.
const AHEAD: i64 = 30 * 24;
/// How often the running server looks.
const EVERY: Duration = Duration::from_secs(3600);

/// Makes the TLS settings of a listener.
pub type Configure = fn(&Identity, &[CertificateDer<'static>]) -> Result<Arc<ServerConfig>, kiban_pki::Error>;

/// Settings of a listener behind client certificates.
pub const CERTIFIED: Configure = organizations_config;
/// Settings of the public listener.
pub const PUBLIC: Configure = |identity, _| server_config_public(identity);

/// The listeners of a running server.
pub struct Renewals {
    home: Home,
    roots: [CertificateDer<'static>; 1],
    listeners: Mutex<Vec<Held>>,
    told: ServerCertificates,
}

/// One listener.
struct Held {
    name: String,
    configure: Configure,
    tls: Arc<ArcSwap<ServerConfig>>,
    until: Timestamp,
}

impl Renewals {
    /// None yet; `told` is what `/health` says of them.
    pub fn new(home: &Home, told: ServerCertificates) -> Result<Self> {
        let roots = [home.ca()?.certificate_der().clone()];
        Ok(Self { home: home.clone(), roots, listeners: Mutex::default(), told })
    }

    /// TLS settings of one more listener with the certificate it begins with.
    pub fn hold(&self, name: &str, identity: &Identity, configure: Configure) -> Result<Arc<ArcSwap<ServerConfig>>> {
        let tls = Arc::new(ArcSwap::new(configure(identity, &self.roots).map_err(ja)?));
        let until = end_of(identity)?;
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Held { name: name.to_owned(), configure, tls: Arc::clone(&tls), until });
        self.tell(&listeners);
        Ok(tls)
    }

    /// Issues anew what ends within thirty days of `now` and gives it to the listeners. What fails is in the log and tried
    /// again the next time.
    pub fn renew(&self, now: Timestamp) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for held in listeners.iter_mut().filter(|held| is_due(held.until, now)) {
            match self.renewed(held, now) {
                Ok(until) if until > held.until => {
                    tracing::info!(host = held.name, %until, "certificate of a listener renewed");
                    held.until = until;
                }
                Ok(until) => tracing::warn!(host = held.name, %until, "certificate of a listener ends, put a new one"),
                Err(error) => {
                    tracing::error!(host = held.name, until = %held.until, %error, "certificate of a listener not renewed");
                }
            }
        }
        self.tell(&listeners);
    }

    /// Looks every hour, for ever.
    pub async fn run(self: Arc<Self>, now: fn() -> Timestamp) {
        loop {
            tokio::time::sleep(EVERY).await;
            let this = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || this.renew(now())).await.is_err() {
                tracing::error!("certificates of the listeners were not looked at");
            }
        }
    }

    fn renewed(&self, held: &Held, now: Timestamp) -> Result<Timestamp> {
        let identity = identity(&self.home, &held.name, now)?;
        let until = end_of(&identity)?;
        if until > held.until {
            held.tls.store((held.configure)(&identity, &self.roots).map_err(ja)?);
        }
        Ok(until)
    }

    fn tell(&self, listeners: &[Held]) {
        if let Some(first) = listeners.iter().map(|held| held.until).min() {
            self.told.set_end(first);
        }
    }
}

/// Server certificate of an installation for a host name: the one that is there, or a new one when there is none, when it
/// ends within thirty days, or when it does not belong to its key, as after a crash between the two files.
pub fn identity(home: &Home, name: &str, now: Timestamp) -> Result<Identity> {
    let [cert, key] = files(home, name);
    if cert.exists() {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()));
        let identity = Identity::from_pem(&read(&cert)?, &read(&key)?).map_err(ja)?;
        let fits = server_config_public(&identity).is_ok();
        if (fits && !is_due(end_of(&identity)?, now)) || !is_ours(home, &identity)? {
            return with_chain(home, identity);
        }
    }
    let issued = home.ca()?.issue_server(&[name], DAYS, now).map_err(ja)?;
    crate::ca::write_secret(&key, issued.key_pem.as_bytes())?;
    crate::ca::write_secret(&cert, issued.cert_pem.as_bytes())?;
    Identity::from_pem(&issued.cert_pem, &issued.key_pem).map_err(ja)
}

/// What the own authority issued before it was put under a root is shown with what leads there now.
fn with_chain(home: &Home, mut identity: Identity) -> Result<Identity> {
    let ca = home.ca()?;
    if identity.chain.len() == 1 && !ca.chain_pem().is_empty() && is_ours(home, &identity)? {
        identity.chain.extend(kiban_pki::tls::certificates(ca.chain_pem()).map_err(ja)?);
    }
    Ok(identity)
}

fn files(home: &Home, name: &str) -> [PathBuf; 2] {
    ["crt", "key"].map(|ending| home.dir().join(format!("{name}.{ending}")))
}

fn is_due(until: Timestamp, now: Timestamp) -> bool {
    until <= now + jiff::SignedDuration::from_hours(AHEAD)
}

fn end_of(identity: &Identity) -> Result<Timestamp> {
    let der = identity.chain.first().context("証明書がありません")?;
    kiban_pki::not_after(der).map_err(ja)
}

/// Whether the own authority issued it.
fn is_ours(home: &Home, identity: &Identity) -> Result<bool> {
    let Some(der) = identity.chain.first() else { return Ok(false) };
    let own = fingerprint(der);
    Ok(home.ca()?.list().map_err(ja)?.iter().any(|entry| entry.fingerprint == own))
}

fn ja(error: kiban_pki::Error) -> anyhow::Error {
    anyhow!(error.message_ja())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::now;
    use crate::hosts::{Hosts, OFFICE, PORTAL};
    use crate::serve::{Addresses, start};
    use kiban_pki::{Ca, client_config};
    use rustls::pki_types::ServerName;
    use std::net::SocketAddr;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    fn days_ago(days: i64) -> Timestamp {
        now() - jiff::SignedDuration::from_hours(24 * days)
    }

    fn home() -> (TempDir, Home) {
        let dir = TempDir::new().unwrap();
        let home = Home::create(dir.path(), None).unwrap();
        Ca::init(&home.ca_dir(), "試験認証局", days_ago(200)).unwrap();
        (dir, home)
    }

    fn shown(identity: &Identity) -> String {
        fingerprint(&identity.chain[0])
    }

    async fn connect(home: &Home, address: SocketAddr) -> TlsStream<TcpStream> {
        connect_trusting(home.ca().unwrap().certificate_der(), address).await.unwrap()
    }

    async fn connect_trusting(
        root: &CertificateDer<'static>,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = client_config(std::slice::from_ref(root), None).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(PORTAL).unwrap(), tcp).await
    }

    fn certificate_of(tls: &TlsStream<TcpStream>) -> String {
        fingerprint(&tls.get_ref().1.peer_certificates().unwrap()[0])
    }

    async fn health(tls: &mut TlsStream<TcpStream>) -> String {
        let request = format!("GET /health HTTP/1.1\r\nHost: {PORTAL}\r\n\r\n");
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains('}') {
            let mut part = [0; 4096];
            let n = tls.read(&mut part).await.unwrap();
            assert!(n > 0, "closed: {answer}");
            answer.push_str(&String::from_utf8_lossy(&part[..n]));
        }
        answer
    }

    #[tokio::test]
    async fn a_running_server_shows_its_new_certificate_and_open_connections_go_on() {
        let (_dir, home) = home();
        let issued = days_ago(80);
        let identities = (identity(&home, OFFICE, issued).unwrap(), identity(&home, PORTAL, issued).unwrap());
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let addresses = Addresses {
            organizations: any,
            public: any,
            line: None,
            proxies: Vec::new(),
            hosts: Hosts::default(),
            provider: None,
            watch: None,
            metrics: None,
        };
        let running = start(&home, home.platform().await.unwrap(), &identities, &addresses).await.unwrap();

        let mut open = connect(&home, running.public).await;
        assert_eq!(certificate_of(&open), shown(&identities.1));
        let told = health(&mut open).await;
        assert!(told.contains(r#""certificate":"ending""#), "{told}");
        // Forty days before its end nothing happens; ten days before, the certificate is another.
        running.renewals.renew(days_ago(30));
        assert_eq!(certificate_of(&connect(&home, running.public).await), shown(&identities.1));
        running.renewals.renew(now());
        let renewed = certificate_of(&connect(&home, running.public).await);
        assert_ne!(renewed, shown(&identities.1));
        let told = health(&mut open).await;
        assert!(told.contains(r#""certificate":"ok""#), "{told}");
        // It is the one the next start finds.
        assert_eq!(shown(&identity(&home, PORTAL, now()).unwrap()), renewed);
        drop(open);
        running.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_home_put_under_an_offline_root_is_trusted_by_those_who_know_the_old_or_the_new_one() {
        let (dir, home) = home();
        let before = home.ca().unwrap().certificate_der().clone();
        let shown_before = shown(&identity(&home, PORTAL, now()).unwrap());
        let root = |name: &str| Ca::init_root(&dir.path().join(name), name, "only for this test", now()).unwrap();
        let (root, other) = (root("root"), root("other"));
        let ca = home.ca().unwrap();
        let bundle = root.sign_intermediate(&ca.request_intermediate().unwrap(), now()).unwrap();
        ca.install_intermediate(&bundle.cert_pem, now()).unwrap();
        let identities = (identity(&home, OFFICE, now()).unwrap(), identity(&home, PORTAL, now()).unwrap());
        assert_eq!(shown(&identities.1), shown_before, "nothing is issued anew for it");
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let addresses = Addresses {
            organizations: any,
            public: any,
            line: None,
            proxies: Vec::new(),
            hosts: Hosts::default(),
            provider: None,
            watch: None,
            metrics: None,
        };
        let running = start(&home, home.platform().await.unwrap(), &identities, &addresses).await.unwrap();
        for trusted in [&before, root.certificate_der()] {
            connect_trusting(trusted, running.public).await.unwrap();
        }
        assert!(connect_trusting(other.certificate_der(), running.public).await.is_err());
        running.stop().await.unwrap();
    }

    #[test]
    fn a_certificate_is_kept_until_thirty_days_before_its_end() {
        let (_dir, home) = home();
        let first = identity(&home, OFFICE, days_ago(61)).unwrap();
        assert_eq!(shown(&identity(&home, OFFICE, days_ago(2)).unwrap()), shown(&first));
        let second = identity(&home, OFFICE, now()).unwrap();
        assert_ne!(shown(&second), shown(&first));
        // A crash between the two files leaves a key of another certificate: issued anew.
        let [cert, key] = files(&home, OFFICE);
        let other = home.ca().unwrap().issue_server(&[OFFICE], DAYS, now()).unwrap();
        std::fs::write(&key, &other.key_pem).unwrap();
        let third = identity(&home, OFFICE, now()).unwrap();
        assert!(server_config_public(&third).is_ok() && shown(&third) != shown(&second));
        assert_eq!(kiban_pki::tls::certificates(&std::fs::read_to_string(cert).unwrap()).unwrap(), third.chain);
    }

    #[test]
    fn a_certificate_of_another_authority_is_never_replaced() {
        let (_dir, home) = home();
        let elsewhere = TempDir::new().unwrap();
        let other = Ca::init(&elsewhere.path().join("ca"), "よその認証局", days_ago(200)).unwrap();
        let foreign = other.issue_server(&[OFFICE], DAYS, days_ago(85)).unwrap();
        let [cert, key] = files(&home, OFFICE);
        std::fs::write(&cert, &foreign.cert_pem).unwrap();
        std::fs::write(&key, &foreign.key_pem).unwrap();
        let told = ServerCertificates::default();
        let renewals = Renewals::new(&home, told.clone()).unwrap();
        let tls = renewals.hold(OFFICE, &identity(&home, OFFICE, now()).unwrap(), CERTIFIED).unwrap();
        let before = tls.load_full();
        renewals.renew(now());
        assert!(Arc::ptr_eq(&before, &tls.load_full()));
        assert_eq!(std::fs::read_to_string(&cert).unwrap(), foreign.cert_pem);
        assert_eq!(told.state(now()), "ending");
    }
}
