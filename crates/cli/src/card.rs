//! `kiban card`: a stand-in for the identification app of a terminal (P-107), with cards that are files. For tests and
//! training only: the authority of these cards is invented, and a platform reads them only if its operator has put that
//! authority's certificate into the installation as `card-authority.crt`.

use crate::client::Client;
use crate::home::now;
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};
use kiban_domain::dates::{parse_typed, yyyymmdd};
use kiban_domain::insured::Sex;
use kiban_domain::{InsuredNumber, InsurerNumber};
use kiban_pki::card::{CardAuthority, SoftCard};
use kiban_pki::{Identity, tls};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 試験用のカード発行者を作ります。できた card-authority.crt を設置フォルダーに置くと、基盤がそのカードを読みます
    Authority {
        /// 作るフォルダー
        dir: PathBuf,
    },
    /// 架空の人のカード（ファイル）を作ります。暗証番号は標準入力から読みます
    Issue(Issue),
    /// カードを読み取り、読み取り結果（1行）を出します。暗証番号は標準入力から読み、どこにも送りません
    Read(Read),
}

#[derive(Args)]
struct Issue {
    /// カード発行者のフォルダー
    #[arg(long)]
    authority: PathBuf,
    /// 証記載保険者番号
    #[arg(long)]
    insurer: String,
    /// 被保険者番号
    #[arg(long)]
    insured: String,
    /// カナ氏名
    #[arg(long)]
    kana: String,
    /// 生年月日（和暦・西暦）
    #[arg(long)]
    birth: String,
    /// 性別（1 か male: 男、2 か female: 女）
    #[arg(long)]
    sex: String,
    /// 作るカードのファイル
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
struct Read {
    /// カードのファイル
    card: PathBuf,
    /// 基盤のアドレス（例 https://office.localhost:8443）
    #[arg(long)]
    url: String,
    /// この端末の電子証明書
    #[arg(long)]
    certificate: PathBuf,
    /// その秘密鍵
    #[arg(long)]
    key: PathBuf,
    /// 基盤の認証局の証明書
    #[arg(long)]
    ca: PathBuf,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    match options.command {
        Command::Authority { dir } => {
            CardAuthority::init(&dir, now()).map_err(|error| anyhow!(error.message_ja()))?;
            println!("{} を作りました（試験用）", dir.join("card-authority.crt").display());
        }
        Command::Issue(issue) => make(&issue)?,
        Command::Read(read) => println!("{}", statement(&read).await?),
    }
    Ok(ExitCode::SUCCESS)
}

fn make(issue: &Issue) -> Result<()> {
    let insurer = InsurerNumber::parse(&issue.insurer).map_err(|error| anyhow!("--insurer: {}", error.message_ja()))?;
    let insured = InsuredNumber::parse(&issue.insured).map_err(|error| anyhow!("--insured: {}", error.message_ja()))?;
    let birth = parse_typed(&issue.birth).map_err(|error| anyhow!("--birth: {}", error.message_ja()))?;
    let sex = match issue.sex.as_str() {
        "male" => Some(Sex::Male),
        "female" => Some(Sex::Female),
        code => Sex::from_code(code),
    };
    let sex = sex.ok_or_else(|| anyhow!("--sex: 1（男）か 2（女）を指定してください"))?;
    let pin = pin()?;
    if pin.len() != 4 || !pin.bytes().all(|byte| byte.is_ascii_digit()) {
        anyhow::bail!("暗証番号は4桁の数字にしてください");
    }
    let face = [insurer.to_string(), insured.to_string(), issue.kana.clone(), yyyymmdd(birth), sex.code().to_owned()];
    let authority = CardAuthority::open(&issue.authority).map_err(|error| anyhow!(error.message_ja()))?;
    let card = authority.issue(&face, &pin, now()).map_err(|error| anyhow!(error.message_ja()))?;
    if issue.out.exists() {
        anyhow::bail!("{} が既にあります", issue.out.display());
    }
    write(&issue.out, &card)
}

async fn statement(read: &Read) -> Result<String> {
    let text = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()));
    let mut card = SoftCard::of_text(&text(&read.card)?)
        .ok_or_else(|| anyhow!("{} はカードのファイルではありません", read.card.display()))?;
    if card.is_locked() {
        anyhow::bail!("カードの暗証番号がロックされています。発行者の窓口で初期化してください");
    }
    let named = |error: kiban_pki::Error| anyhow!(error.message_ja());
    let terminal = terminal(&read.certificate, &read.key)?;
    let challenge = challenge(&read.url, &read.ca, &terminal).await?;
    let pin = pin()?;
    let stated = card.state(&pin, &challenge, &terminal).map_err(named)?;
    // The count of wrong ones lives on the card.
    write(&read.card, &card)?;
    stated.ok_or_else(|| anyhow!("暗証番号が違います。あと{}回でロックされます", card.tries_left()))
}

/// Certificate and key of this terminal.
pub fn terminal(certificate: &Path, key: &Path) -> Result<Identity> {
    let text = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()));
    let key = Zeroizing::new(text(key)?);
    Identity::from_pem(&text(certificate)?, &key).map_err(|error| anyhow!(error.message_ja()))
}

/// Something fresh of the platform's for the terminal to state.
pub async fn challenge(url: &str, ca: &Path, terminal: &Identity) -> Result<String> {
    let rest = url.strip_prefix("https://").ok_or_else(|| anyhow!("--url は https:// で始めてください"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| anyhow!("--url のポート番号を読めません"))?),
        None => (authority, 443u16),
    };
    // Every name under .localhost is this machine (RFC 6761), whatever the resolver here knows.
    let at = if host.ends_with(".localhost") { "127.0.0.1" } else { host };
    let mut found = tokio::net::lookup_host((at, port)).await.with_context(|| format!("{host} が見つかりません"))?;
    let address = found.next().ok_or_else(|| anyhow!("{host} が見つかりません"))?;
    let pem = std::fs::read_to_string(ca).with_context(|| format!("{} を読めません", ca.display()))?;
    let root = tls::certificates(&pem).map_err(|error| anyhow!(error.message_ja()))?.remove(0);
    let mut client = Client::new(address, host, &root, Some(terminal))?;
    let answer = client.send("POST", "/api/v1/card-challenges", None).await?.expect(200, "合言葉の受取り")?;
    answer.body["challenge"].as_str().map(str::to_owned).ok_or_else(|| anyhow!("基盤の答えを読めません"))
}

fn pin() -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        eprint!("暗証番号（4桁）: ");
    }
    let mut line = Zeroizing::new(String::with_capacity(64));
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}

fn write(path: &Path, card: &SoftCard) -> Result<()> {
    let beside = path.with_extension("new");
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
    let written = opened.and_then(|mut file| file.write_all(card.text().as_bytes()).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&beside, path)).with_context(|| format!("{} に書けません", path.display()))
}
