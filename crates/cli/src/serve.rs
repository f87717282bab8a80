//! `kiban serve`: both listeners over one installation.

use crate::home::{Home, now};
use crate::hosts::{self, Hosts};
use crate::renew::{CERTIFIED, PUBLIC, Renewals, identity};
use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use kiban_pki::{Identity, tls};
use kiban_service::Platform;
use kiban_web::tls::{Limits, Network};
use kiban_web::{Server, ServerCertificates, Settings, Socket, Watch};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）
    #[arg(long)]
    db: Option<String>,
    /// 機関用の待受け
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// 公開の待受け
    #[arg(long, default_value = "127.0.0.1:9443")]
    public_listen: SocketAddr,
    /// 医療機関の閉域網用の待受け（意見書だけ。省略すると開かない）
    #[arg(long)]
    line_listen: Option<SocketAddr>,
    /// PROXY protocol v2 で接続元を伝える負荷分散装置のアドレス（192.0.2.10 か 192.0.2.0/28。複数はカンマ区切り）。
    /// そこからの接続は必ず v2 のヘッダーで始まること
    #[arg(long, value_delimiter = ',')]
    proxy_from: Vec<Network>,
    /// 機関用の待受けのホスト名（証明書の名前。ほかの名前への要求は 421）
    #[arg(long, default_value = hosts::OFFICE, value_parser = hosts::host_name)]
    host: String,
    /// 公開の待受けのホスト名
    #[arg(long, default_value = hosts::PORTAL, value_parser = hosts::host_name)]
    public_host: String,
    /// 医療機関の閉域網用の待受けのホスト名
    #[arg(long, default_value = hosts::LINE, value_parser = hosts::host_name)]
    line_host: String,
    /// 本人のログインの認証事業者の設定（JSON、docs/portal.md。省略すると本人の画面を開かない）
    #[arg(long)]
    provider: Option<PathBuf>,
    /// 監視のための数値（Prometheus の形）を出す、この機械の中だけのアドレス（例 127.0.0.1:9464。省略すると出さない）
    #[arg(long, value_parser = own_address)]
    metrics: Option<SocketAddr>,
    /// 公開ページのアドレス（省略時は https://公開の待受けのホスト名:ポート）
    #[arg(long, value_parser = hosts::public_url)]
    public_url: Option<String>,
    /// 機関用の画面をブラウザーで開くアドレス（省略時は https://機関用の待受けのホスト名:ポート）。
    /// 負荷分散装置などでポートが違うときに指定。パスキーはこのアドレスでだけ使える
    #[arg(long, value_parser = hosts::public_url)]
    url: Option<String>,
}

/// Where to listen; port 0 takes a free one.
pub struct Addresses {
    pub organizations: SocketAddr,
    pub public: SocketAddr,
    /// The closed line of hospitals, on an address of its own (P-194); none without one.
    pub line: Option<SocketAddr>,
    /// Load balancers that name the client by PROXY v2.
    pub proxies: Vec<Network>,
    /// Host name of each.
    pub hosts: Hosts,
    /// Settings of the provider that says who a person is; none: no pages of the person.
    pub provider: Option<PathBuf>,
    /// Sees every answer to an organisation; for the sandbox.
    pub watch: Option<Watch>,
    /// Where figures are told, an address of this machine.
    pub metrics: Option<SocketAddr>,
}

/// Figures go over plain HTTP to whoever asks, so only to this machine.
fn own_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "127.0.0.1:9464 のように書いてください".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("この機械の中のアドレス（127.0.0.1 か [::1]）にしてください。だれでも読めるためです".to_owned())
}

/// A running server.
pub struct Running {
    /// Address of the organisations' listener.
    pub organizations: SocketAddr,
    /// Address of the public listener.
    pub public: SocketAddr,
    /// Address of the closed line's listener, if there is one.
    pub line: Option<SocketAddr>,
    /// Where figures are told, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Renews the certificates of the listeners; looks by itself every hour.
    #[cfg(test)]
    pub renewals: Arc<Renewals>,
    renewing: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<usize, kiban_service::Error>>,
}

impl Running {
    /// Stops accepting, lets running requests end, closes segment and store.
    pub async fn stop(self) -> Result<()> {
        self.renewing.abort();
        let _ = self.stop.send(());
        self.task.await??;
        Ok(())
    }
}

/// Starts the listeners.
pub async fn start(
    home: &Home,
    platform: Platform,
    server: &(Identity, Identity),
    addresses: &Addresses,
) -> Result<Running> {
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address).await.with_context(|| format!("{address} で待ち受けられません"))
    };
    let (inside, outside) = (bind(addresses.organizations).await?, bind(addresses.public).await?);
    let (organizations, public) = (inside.local_addr()?, outside.local_addr()?);
    platform.seat_authority(Arc::new(home.ca()?));
    let certificates = ServerCertificates::default();
    let renewals = Arc::new(Renewals::new(home, certificates.clone())?);
    let hosts = &addresses.hosts;
    let public_url = hosts.public_url(public.port());
    let clock: kiban_web::Clock = Arc::new(now);
    let counted = kiban_web::Metrics::default();
    let metrics = match addresses.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let told = metrics.as_ref().map(TcpListener::local_addr).transpose()?;
    let socket = |tcp, tls, host: &str| {
        let mut settings = Settings::new(&[host], &public_url, Arc::clone(&clock));
        settings.certificates = certificates.clone();
        settings.watch = addresses.watch.clone();
        settings.metrics = counted.clone();
        Socket { tcp, tls, settings }
    };
    let (closed_line, line) = match addresses.line {
        Some(address) => {
            let tcp = bind(address).await?;
            let (address, identity) = (tcp.local_addr()?, identity(home, &hosts.line, now())?);
            (Some(socket(tcp, renewals.hold(&hosts.line, &identity, CERTIFIED)?, &hosts.line)), Some(address))
        }
        None => (None, None),
    };
    let mut outside = socket(outside, renewals.hold(&hosts.public, &server.1, PUBLIC)?, &hosts.public);
    if let Some(file) = &addresses.provider {
        let provider = kiban_web::Provider::open(file, Arc::clone(&clock)).map_err(|fault| anyhow!(fault))?;
        outside.settings.provider = Some(Arc::new(provider));
    }
    let mut organisations =
        socket(inside, renewals.hold(&hosts.organizations, &server.0, CERTIFIED)?, &hosts.organizations);
    organisations.settings.site = hosts.site(organizations.port());
    let server = Server {
        organisations,
        public: outside,
        closed_line,
        limits: Limits::default(),
        proxies: addresses.proxies.as_slice().into(),
        metrics,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        server
            .run(platform, async {
                let _ = stopped.await;
            })
            .await
    });
    let renewing = tokio::spawn(Arc::clone(&renewals).run(now));
    Ok(Running {
        organizations,
        public,
        line,
        metrics: told,
        #[cfg(test)]
        renewals,
        renewing,
        stop,
        task,
    })
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let hosts = Hosts {
        organizations: options.host,
        public: options.public_host,
        line: options.line_host,
        public_url: options.public_url,
        url: options.url,
    };
    hosts.check()?;
    let home = Home::open(&options.home, options.db.as_deref())?;
    tls::certificates(home.ca()?.certificate_pem()).map_err(|error| anyhow!(error.message_ja()))?;
    let addresses = Addresses {
        organizations: options.listen,
        public: options.public_listen,
        line: options.line_listen,
        proxies: options.proxy_from,
        hosts,
        provider: options.provider,
        watch: None,
        metrics: options.metrics,
    };
    if let Some(code) = crate::restore::hold_until_accepted(&home, &addresses).await? {
        return Ok(code);
    }
    let hosts = &addresses.hosts;
    let platform = home.platform().await?;
    if platform.store().may_delete_audit().await? {
        tracing::warn!(
            "this role may delete from the audit log; in production serve as kiban_app (`kiban migrate --roles`)"
        );
    }
    crate::keys::reindex_if_needed(&platform).await?;
    let identities = (identity(&home, &hosts.organizations, now())?, identity(&home, &hosts.public, now())?);
    let running = start(&home, platform, &identities, &addresses).await?;
    // Before anybody is told that it listens: who asks it to stop at once must be heard.
    let ended = asked_to_end()?;
    let line = running.line.map(|address| format!(" line={address}")).unwrap_or_default();
    let metrics = running.metrics.map(|address| format!(" metrics={address}")).unwrap_or_default();
    println!("listening organizations={} public={}{line}{metrics}", running.organizations, running.public);
    tracing::info!("listening");
    ended.await;
    tracing::info!("asked to end");
    running.stop().await?;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Ends when somebody asks the program to end, by Ctrl-C or SIGTERM. From this call on neither kills it.
pub(crate) fn asked_to_end() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
