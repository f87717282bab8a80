//! `kiban demo`: an invented city on a bare machine, from nothing to the main job, over real TLS with real certificates.
//!
//! Makes a CA and certificates, an embedded database, a synthetic city as files, starts both listeners, plays the story
//! over HTTPS (`story`), then keeps serving and tells how to call it by hand. `--check` ends after the story with 0 or 1.
//! Ctrl-C leaves nothing behind unless `--keep DIR`. `--sandbox` marks what a vendor's software calls (`sandbox`).

mod city;
mod sandbox;
mod story;

use crate::home::{Home, now};
use crate::hosts::Hosts;
use crate::serve::{Addresses, Running, asked_to_end, start};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 実演だけを行い、結果を終了コードで返します
    #[arg(long)]
    check: bool,
    /// 設置フォルダーを残します
    #[arg(long)]
    keep: Option<PathBuf>,
    /// データベース（省略時は内蔵の SQLite。例: postgres://kiban@localhost/kiban）
    #[arg(long)]
    db: Option<String>,
    /// 架空の市の人数
    #[arg(long, default_value_t = 2000)]
    people: u32,
    /// 乱数の種
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// ソフトを作る方の試し場にします: 呼出しを採点し、いつでも初めの状態に戻せます（内蔵の SQLite だけ）
    #[arg(long, conflicts_with_all = ["check", "db"])]
    sandbox: bool,
    /// 機関用のポート（省略時は空いている番号、--sandbox では 8443）
    #[arg(long)]
    port: Option<u16>,
    /// 公開用のポート（省略時は空いている番号、--sandbox では 9443）
    #[arg(long)]
    public_port: Option<u16>,
    /// 採点の受口のポート（--sandbox だけ。省略時は 8480）
    #[arg(long, requires = "sandbox")]
    desk_port: Option<u16>,
    /// 本人のログインの認証事業者の設定（JSON、docs/portal.md。省略すると本人の画面を開かない）
    #[arg(long)]
    provider: Option<PathBuf>,
}

impl Options {
    fn addresses(&self) -> Addresses {
        let (inside, outside, _) = if self.sandbox { sandbox::PORTS } else { (0, 0, 0) };
        Addresses {
            organizations: ([127, 0, 0, 1], self.port.unwrap_or(inside)).into(),
            public: ([127, 0, 0, 1], self.public_port.unwrap_or(outside)).into(),
            line: None,
            proxies: Vec::new(),
            hosts: Hosts::default(),
            provider: self.provider.clone(),
            watch: None,
            metrics: None,
        }
    }
}

/// Password of every account of the demo. It guards invented people only.
pub const DEMO_PASSWORD: &str = "mihon-dake-no-aikotoba-2026";

pub async fn run(options: Options) -> Result<ExitCode> {
    let mut ended = std::pin::pin!(asked_to_end()?);
    let folder = Folder::new(options.keep.as_deref())?;
    let outcome = tokio::select! {
        played = play(&options, &folder) => match played {
            Ok(played) if options.sandbox && played.is_good => played.go_on(&options, &folder.path, ended.as_mut()).await,
            Ok(played) => played.finish(&options, ended.as_mut()).await,
            Err(error) => Err(error),
        },
        () = ended.as_mut() => Ok(ExitCode::FAILURE),
    };
    folder.close();
    outcome
}

/// The story as it ended; the server still runs.
struct Played {
    world: city::World,
    server: Running,
    token: Option<String>,
    is_good: bool,
}

async fn play(options: &Options, folder: &Folder) -> Result<Played> {
    println!("介護情報基盤 kaigo-kiban の実演をはじめます。登場する人・事業所・市はすべて架空です。");
    let home = Home::create(&folder.path, options.db.as_deref())?;
    let world = city::build(&home, options.people, options.seed).await?;
    let server = start(&home, world.platform.clone(), &world.server, &options.addresses()).await?;
    println!("待受けを開始しました: 機関用 {}、公開用 {}", server.organizations, server.public);
    let mut story = story::Story::new(&world, &server);
    let told = story.tell().await;
    let audit = story::audit_proof(&world).await;
    for failed in [told.as_ref().err(), audit.as_ref().err()].into_iter().flatten() {
        println!("\n実演は途中で止まりました: {failed:#}");
    }
    let is_good = told.is_ok() && audit.is_ok();
    if is_good {
        println!("\n実演は最後まで期待どおりに進みました。");
    }
    let token = story.token();
    Ok(Played { world, server, token, is_good })
}

impl Played {
    /// Serves as a sandbox until somebody ends it.
    async fn go_on(self, options: &Options, folder: &Path, ended: impl Future<Output = ()>) -> Result<ExitCode> {
        let Self { world, server, .. } = self;
        let account = world.care_manager_account();
        server.stop().await?;
        let city::World { platform, server: identities, certificates, .. } = world;
        // Nobody holds the database open when its files are copied.
        drop(platform);
        let told = |server: &Running| {
            println!("\n── サンドボックス（Ctrl-C で終了） ──");
            println!("機関用 API: https://office.localhost:{}", server.organizations.port());
            println!("電子証明書: {}/care-manager.crt と care-manager.key、認証局 ca.crt", certificates.display());
            println!("ログイン: アカウント {account}、パスワード {DEMO_PASSWORD}");
            println!("手順: docs/vendor.md");
        };
        sandbox::Sandbox::new(options, folder, identities)?.serve(options, told, ended).await?;
        println!("\n終了します。");
        Ok(ExitCode::SUCCESS)
    }

    /// Goes on serving until somebody ends it, unless the story was all that was wanted.
    async fn finish(self, options: &Options, ended: impl Future<Output = ()>) -> Result<ExitCode> {
        if !options.check && self.is_good {
            how_to_call(&self.world, &self.server, self.token.as_deref());
            ended.await;
            println!("\n終了します。");
        }
        self.server.stop().await?;
        Ok(if self.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn how_to_call(world: &city::World, server: &Running, token: Option<&str>) {
    let dir = world.certificates.display();
    let (organizations, public) = (server.organizations.port(), server.public.port());
    println!("\n── 試してみる（Ctrl-C で終了） ──");
    println!("公開ページ（利用開始日）: https://portal.localhost:{public}/");
    println!(
        "  curl --cacert {dir}/ca.crt --resolve portal.localhost:{public}:127.0.0.1 https://portal.localhost:{public}/health"
    );
    println!("画面: https://office.localhost:{organizations}/login");
    println!(
        "  ブラウザーに {dir}/care-manager.p12 と ca.crt（認証局として）を取り込み、アカウント {}、パスワード {DEMO_PASSWORD}（.p12 も同じ）",
        world.care_manager_account()
    );
    println!("機関用 API（クライアント証明書が必要）:");
    println!("  curl --cacert {dir}/ca.crt --cert {dir}/care-manager.crt --key {dir}/care-manager.key \\");
    println!(
        "    --resolve office.localhost:{organizations}:127.0.0.1 https://office.localhost:{organizations}/api/v1/people \\"
    );
    println!("    -H 'Authorization: Bearer {}'", token.unwrap_or("(POST /api/v1/session で得た token)"));
    println!(
        "  ログイン: -X POST …/api/v1/session -H 'Content-Type: application/json' -d '{{\"account\":\"{}\",\"password\":\"{DEMO_PASSWORD}\"}}'",
        world.care_manager_account()
    );
    println!("ほかの人で試す（証明書は {dir} にあり、パスワードは同じです）:");
    for (who, certificate, account) in [
        ("市の職員", "city", "municipal_officer1"),
        ("訪問介護の職員", "home-help", "care_worker1"),
        ("医師", "hospital", "physician1"),
        ("運用者", "operator", "operator_staff1"),
    ] {
        println!("  {who}: {certificate}.crt / .key / .p12、アカウント {account}");
    }
    println!("--keep で残した設置フォルダーは kiban serve --home フォルダー でもう一度開けます。");
    println!("証明書なしで呼ぶと TLS の段階で断られます。API の一覧: …/api/v1/openapi.json");
}

/// The folder of the demo, removed at the end unless it is kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("kiban-demo-{}-{}", std::process::id(), now().as_millisecond())),
        };
        Ok(Self { path, keep: keep.is_some() })
    }

    fn close(&self) {
        if self.keep {
            println!("設置フォルダー {} を残しました。", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("一時フォルダー {} を消せませんでした: {error}", self.path.display());
        }
    }
}
