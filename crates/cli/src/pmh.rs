//! `kiban pmh`: what the portal shows of a municipality's insured, sent to PMH (P-171). It runs at the municipality and reads a
//! package of its own data, such as the platform's export, so the platform gives nobody a new right.
//! **Unofficial**: no form for 介護保険 is public; which field holds what is a table (docs/outside.md).

use crate::check::{Files, printable};
use crate::client::Client;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use kiban_formats::municipal;
use kiban_formats::pmh::{BUILT_IN, LONGEST_ANSWER, Mapping, Portal, Registration, read_answer};
use kiban_pki::tls;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use zeroize::Zeroizing;

/// Certificates in one request.
const AT_ONCE: usize = 200;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 証（被保険者証・負担割合証・負担限度額認定証）を登録します。何度行っても同じです
    Push(Push),
    /// 登録する JSON を表示するだけで、どこにも送りません
    Show(Show),
    /// JSON の対応表（TSV）を表示します。直したものを --mapping で使えます
    Mapping,
}

#[derive(Args)]
struct Show {
    /// 市区町村のパッケージのフォルダー（kiban export の書出しなど、全件のもの）
    package: PathBuf,
    /// 対応表（省略時は組込みのもの）
    #[arg(long)]
    mapping: Option<PathBuf>,
}

#[derive(Args)]
struct Push {
    #[command(flatten)]
    show: Show,
    /// 登録する先（https://…）。ここだけにつなぎ、転送の指示には従いません
    #[arg(long)]
    url: String,
    /// 先のサーバー証明書を確かめる証明書（PEM）
    #[arg(long)]
    ca: PathBuf,
    /// アクセストークンを1行目に書いたファイル（ほかの利用者が読めないもの）
    #[arg(long)]
    token_file: PathBuf,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    match options.command {
        Command::Push(options) => return push(&options).await,
        Command::Show(options) => {
            let all: Vec<Value> = registrations(&options)?.into_iter().map(|one| one.json).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Command::Mapping => print!("{BUILT_IN}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a package holds for the portal. A package with a fault is not sent in part.
fn registrations(options: &Show) -> Result<Vec<Registration>> {
    let mapping = match &options.mapping {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()))?;
            Mapping::parse(&path.display().to_string(), &text)
        }
        None => Mapping::parse("pmh-unofficial.tsv", BUILT_IN),
    };
    let mapping = mapping.map_err(|problem| anyhow!(problem.message_ja()))?;
    let files = Files::of(std::slice::from_ref(&options.package))?;
    let package = municipal::open_source(files).context("パッケージを読めません")?;
    let mut portal = Portal::default();
    let mut problems = package.check_source(&mut |row| portal.take(row)).context("パッケージを読めません")?;
    let (registrations, unknown) = portal.registrations(&mapping);
    problems.extend(unknown);
    problems.retain(|problem| problem.is_error());
    if problems.is_empty() {
        return Ok(registrations);
    }
    let lines = problems.iter().take(30).map(|problem| printable(&problem.message_ja())).collect::<Vec<_>>();
    bail!("パッケージに誤りがあるため、何も送りません\n{}", lines.join("\n"))
}

async fn push(options: &Push) -> Result<ExitCode> {
    let all = registrations(&options.show)?;
    let (mut client, path) = client(options).await?;
    let mut rejected = 0;
    for (number, some) in all.chunks(AT_ONCE).enumerate() {
        let body = Value::Array(some.iter().map(|one| one.json.clone()).collect());
        let answer = tokio::time::timeout(PATIENCE, client.send_limited("POST", &path, body, LONGEST_ANSWER)).await;
        let answer = answer.map_err(|_| anyhow!("答えが{}秒以内に来ません", PATIENCE.as_secs()));
        let done = number * AT_ONCE;
        let told = || format!("{done}件まで送りました。もう一度行うと、初めから送り直します（二重にはなりません）");
        let (status, bytes) = answer.and_then(|answer| answer).with_context(told)?;
        if !matches!(status, 200 | 201) {
            return Err(anyhow!("登録する先が {status} を返しました").context(told()));
        }
        for one in read_answer(some.len(), &bytes).map_err(|text| anyhow!(text)).with_context(told)? {
            rejected += 1;
            let of = some.get(one.index).map(|sent| format!("{} {}", sent.insured, sent.kind.code()));
            println!("  断られました {}: {}", of.unwrap_or_default(), printable(&one.message));
        }
    }
    println!("登録 {}件、断られたもの {rejected}件", all.len() - rejected);
    Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn client(options: &Push) -> Result<(Client, String)> {
    let rest = options.url.strip_prefix("https://").ok_or_else(|| anyhow!("--url は https:// で始めてください"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| anyhow!("--url のポート番号を読めません"))?),
        None => (authority, 443u16),
    };
    // Every name under .localhost is this machine (RFC 6761), whatever the resolver here knows.
    let at = if host.ends_with(".localhost") { "127.0.0.1" } else { host };
    let mut found = tokio::net::lookup_host((at, port)).await.with_context(|| format!("{host} が見つかりません"))?;
    let address = found.next().ok_or_else(|| anyhow!("{host} が見つかりません"))?;
    let pem = std::fs::read_to_string(&options.ca).with_context(|| format!("{} を読めません", options.ca.display()))?;
    let roots = tls::certificates(&pem).map_err(|error| anyhow!(error.message_ja()))?;
    let root = roots.first().ok_or_else(|| anyhow!("{} に証明書がありません", options.ca.display()))?;
    let token = token(&options.token_file)?;
    Ok((Client::new(address, host, root, None)?.with_token(&token), format!("/{path}")))
}

/// The first line of a file that nobody else may read.
fn token(path: &Path) -> Result<Zeroizing<String>> {
    let cannot = || format!("{} を読めません", path.display());
    let facts = path.metadata().with_context(cannot)?;
    if facts.permissions().mode() & 0o077 != 0 {
        bail!("{} をほかの利用者も読めます。chmod 600 にしてください", path.display());
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).with_context(cannot)?);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{} の1行目にアクセストークンを書いてください", path.display());
    }
    Ok(Zeroizing::new(line.to_owned()))
}
