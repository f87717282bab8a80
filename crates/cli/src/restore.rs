//! `kiban restore`: a generation is put back, and nothing is served until two operators have accepted what is lost and the
//! doors that were closed since are closed again (decision 0006.32–33, T-10, T-11, docs/decisions/0011).

use crate::backup;
use crate::home::{Home, now};
use crate::renew::{PUBLIC, identity};
use crate::serve::{Addresses, asked_to_end};
use anyhow::{Context as _, Result, bail};
use arc_swap::ArcSwap;
use clap::{Args, Subcommand};
use kiban_service::OperatorProved;
use kiban_store::{Acceptance, MasterKey, Restored, StoreError, unaccepted};
use kiban_web::HeldServer;
use kiban_web::tls::Limits;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How often a held server looks whether it was accepted.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// 設置フォルダー（鍵・認証局・外のアンカーを先に戻しておきます）
    #[arg(long, default_value = "kiban-home", global = true)]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中。PostgreSQL は空のデータベースの、所有者のアドレス）
    #[arg(long, global = true)]
    db: Option<String>,
    /// 復元する控えの世代のフォルダー
    generation: Option<PathBuf>,
    /// 控えを確かめるだけで、何も書きません
    #[arg(long)]
    dry_run: bool,
    /// 外のアンカーも失ったときだけ: 控えの中の写しを使います（控えのあとに失われた記録には気づけません）
    #[arg(long)]
    anchors_from_backup: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// 失われた記録を確かめて受け入れ、控えのあとに閉じた扉を閉じ直します（--approve がなければ、示すだけです）
    Accept {
        /// 受け入れる運用者2人のアカウント（例 operator/chief,operator/deputy）。それぞれのパスワードを尋ねます
        #[arg(long, value_delimiter = ',')]
        approve: Vec<String>,
        /// 復元した理由（監査記録に残ります）
        #[arg(long, default_value = "")]
        reason: String,
        /// ほかのサーバーの閉鎖記録（closings.jsonl。サーバーが2台以上のとき）
        #[arg(long, value_delimiter = ',')]
        closings: Vec<PathBuf>,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = Home::open(&options.home, options.db.as_deref())?;
    match (options.command, options.generation) {
        (Some(Command::Accept { approve, reason, closings }), _) => accept(&home, &approve, &reason, &closings).await,
        (None, Some(generation)) => put_back(&home, &generation, options.dry_run, options.anchors_from_backup).await,
        (None, None) => bail!("復元する世代のフォルダーを指定してください: kiban restore フォルダー"),
    }
}

async fn put_back(home: &Home, generation: &Path, dry_run: bool, anchors_from_backup: bool) -> Result<ExitCode> {
    let began = Instant::now();
    // A key made now would fit nothing.
    for key in [home.master_key(), home.anchor_key()] {
        if !key.exists() {
            bail!("{} がありません。先に kiban keys combine で鍵を戻してください", key.display());
        }
    }
    let manifest = backup::read(generation, &home.signing_key()?.public_key())?;
    if manifest.engine == "sqlite" && !home.database().starts_with("sqlite:") {
        bail!("SQLite の控えは、SQLite に復元してください（PostgreSQL へは、そのあと kiban move で移します）");
    }
    if manifest.engine != "sqlite" && home.database().starts_with("sqlite:") {
        bail!("PostgreSQL の控えです。--db に空の PostgreSQL のアドレス（所有者）を指定してください");
    }
    let outside = home.anchor_dir().join("anchors.jsonl");
    if !outside.exists() && !anchors_from_backup {
        bail!(
            "外のアンカー {} がありません。別に置いた写しを戻してから実行してください。本当に失ったときだけ --anchors-from-backup を付けると、控えの中の写しを使います（控えのあとに失われた記録と、閉じた扉には気づけません）",
            outside.display()
        );
    }
    println!("控え {}（{}）の要約値と署名は一致しました", manifest.generation, manifest.made_at);
    if dry_run {
        println!("試行です。何も書いていません");
        return Ok(ExitCode::SUCCESS);
    }
    if !outside.exists() {
        std::fs::create_dir_all(home.anchor_dir())?;
        for name in ["anchors.jsonl", kiban_store::CLOSINGS] {
            let from = generation.join(name);
            if from.exists() {
                std::fs::copy(&from, home.anchor_dir().join(name))?;
            }
        }
    }
    let file = generation.join(manifest.database());
    let made_at = manifest.made_at.as_microsecond();
    kiban_store::put_back(&file, home.database(), &manifest.generation, made_at)
        .await
        .with_context(|| "復元していません")?;
    println!(
        "復元しました（{:.1}秒）。まだ受け入れられていないので、どの要求にも 503 を返します",
        began.elapsed().as_secs_f64()
    );
    if manifest.engine != "sqlite" {
        println!("ロールを分けているときは、kiban migrate --roles --db 所有者のアドレス を実行してください");
    }
    println!("次に行うこと: kiban restore accept で失われた記録を確かめ、運用者2人で受け入れてください");
    Ok(ExitCode::SUCCESS)
}

async fn accept(home: &Home, approve: &[String], reason: &str, closings: &[PathBuf]) -> Result<ExitCode> {
    if let Some(path) = closings.iter().find(|path| !path.exists()) {
        bail!("閉鎖記録 {} がありません", path.display());
    }
    let master = MasterKey::load(&home.master_key())?;
    let opened = Restored::open(home.database(), master, home.audit_settings()?, closings).await;
    let restored = match opened {
        Err(StoreError::Conflict(_)) => {
            bail!("受け入れるものはありません。このデータベースは復元したものではないか、もう受け入れられています")
        }
        opened => opened.with_context(|| "外のアンカーと照合できません。受け入れていません")?,
    };
    if let Some((generation, made_at)) = restored.copy() {
        println!("控え {generation}（{made_at}）から復元したデータベースです");
    }
    tell_lost(&restored);
    println!("控えのあとに閉じた扉: {}（受け入れるときに閉じ直します）", restored.doors());
    if approve.is_empty() {
        println!("まだ受け入れていません。確かめたら --approve 運用者1,運用者2 --reason 理由 を付けて実行してください");
        restored.close().await;
        return Ok(ExitCode::SUCCESS);
    }
    let proved = match proved(&restored, approve, reason).await? {
        Ok(proved) => proved,
        Err(why) => {
            restored.close().await;
            bail!("{why}。受け入れていません");
        }
    };
    let acceptance = Acceptance {
        approvers: [approve[0].clone(), approve[1].clone()],
        proved,
        reason: reason.to_owned(),
        request_id: kiban_service::Context::new(now())?.request_id,
    };
    let accepted = restored.accept(&acceptance).await?;
    for closed in &accepted.closed {
        let how = if closed.was_open {
            "閉じ直しました"
        } else {
            "閉じています（または控えにありません）"
        };
        println!("{} {}: {how}", closed.at, closed.closing.name_ja());
    }
    println!("ログイン {}件を終わらせました（すべての人にログインし直してもらってください）", accepted.sessions);
    let is_intact = accepted.report.is_intact();
    for finding in accepted.report.findings.iter().take(10) {
        println!("相違: {}", finding.what);
    }
    accepted.store.close().await?;
    println!(
        "{}",
        if is_intact {
            "受け入れました。監査記録の検証も通りました。サーバーは要求に答え始めます"
        } else {
            "受け入れましたが、監査記録に相違があります。kiban audit verify で確かめてください"
        }
    );
    println!(
        "次に行うこと: 市区町村に、控えのあとのパッケージをもう一度送ってもらう。事業所に、控えのあとの担当登録・同意・提出をやり直してもらう（docs/backup.md）"
    );
    Ok(if is_intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_lost(restored: &Restored) {
    let lost = restored.lost();
    if !lost.is_something() {
        println!(
            "外のアンカー {} まで、データベースにあります。署名された記録で失われたものはありません",
            lost.outside
        );
        return;
    }
    let at = |at: Option<kiban_domain::Timestamp>| at.map_or_else(|| "初め".to_owned(), |at| at.to_string());
    println!(
        "失われた記録: 署名 {}（{}）のあと、署名 {}（{}）まで",
        lost.inside,
        at(lost.since),
        lost.outside,
        at(lost.until)
    );
    if let (Some(since), Some(until)) = (lost.since, lost.until) {
        println!("失われた時間: {}秒", until.as_second() - since.as_second());
    }
    for segments in &lost.segments {
        println!("失われた区間: 記録者 {} 区間 {} から {}", segments.writer, segments.first, segments.last);
    }
}

/// By what each of the two is proved, or why not.
async fn proved(
    restored: &Restored,
    approve: &[String],
    reason: &str,
) -> Result<std::result::Result<[&'static str; 2], String>> {
    let [first, second] = approve else {
        return Ok(Err("受け入れる運用者を2人、operator/アカウント名 で指定してください".to_owned()));
    };
    if first == second {
        return Ok(Err("受け入れる2人は別の人にしてください".to_owned()));
    }
    if reason.trim().is_empty() {
        return Ok(Err("--reason に復元した理由を書いてください".to_owned()));
    }
    let mut operators = Vec::new();
    for account in approve {
        match restored.operator(account).await? {
            Some(operator) => operators.push(operator),
            None => {
                return Ok(Err(format!("{account} は登録された有効な運用者のアカウントではありません")));
            }
        }
    }
    let wrong = |n: usize| format!("{} のパスワードか、認証アプリの数字・回復コードが違います", approve[n]);
    let mut proved = Vec::new();
    for (n, proof) in crate::proof::ask(approve)?.iter().enumerate() {
        match proof.proves(&operators[n], now()).await.map_err(crate::home::explain)? {
            Some(by) => proved.push(by),
            None => return Ok(Err(wrong(n))),
        }
    }
    // Used up only when both passwords are right.
    for (n, by) in proved.iter().enumerate() {
        if let OperatorProved::Recovery(code) = by
            && !restored.use_recovery_code(&approve[n], code).await?
        {
            return Ok(Err(wrong(n)));
        }
    }
    let [first, second] = &proved[..] else { bail!("two approvers are asked") };
    Ok(Ok([first.code(), second.code()]))
}

/// While the database is one that nobody has accepted, stands at the addresses and answers 503 to everything. `None` when it
/// may be served; the code to end with when somebody asked the program to end.
pub async fn hold_until_accepted(home: &Home, addresses: &Addresses) -> Result<Option<ExitCode>> {
    let key = home.signing_key()?.public_key();
    let Some(held) = unaccepted(home.database(), &key).await.with_context(|| "データベースを開けません")?
    else {
        return Ok(None);
    };
    let hosts = &addresses.hosts;
    let mut sockets = Vec::new();
    let mut told = Vec::new();
    let line = addresses.line.map(|address| ("line", address, &hosts.line));
    let listeners =
        [("organizations", addresses.organizations, &hosts.organizations), ("public", addresses.public, &hosts.public)];
    for (name, address, host) in listeners.into_iter().chain(line) {
        let tcp = TcpListener::bind(address).await.with_context(|| format!("{address} で待ち受けられません"))?;
        told.push(format!("{name}={}", tcp.local_addr()?));
        let config = PUBLIC(&identity(home, host, now())?, &[]).map_err(|error| anyhow::anyhow!(error.message_ja()))?;
        sockets.push((tcp, Arc::new(ArcSwap::new(config))));
    }
    let ended = asked_to_end()?;
    println!("held {}", told.join(" "));
    eprintln!(
        "控え {}（{}）から復元したデータベースです。kiban restore accept で受け入れるまで、どの要求にも 503 を返します",
        held.generation, held.made_at
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, home) = (Arc::clone(&is_over), home.clone());
    let stop = async move {
        let accepted = async {
            loop {
                tokio::time::sleep(LOOK).await;
                if let Ok(None) = unaccepted(home.database(), &key).await {
                    return;
                }
            }
        };
        tokio::select! {
            () = ended => over.store(true, Ordering::Release),
            () = accepted => {}
        }
    };
    let server = HeldServer { sockets, limits: Limits::default(), proxies: addresses.proxies.as_slice().into() };
    server.run(stop).await;
    if is_over.load(Ordering::Acquire) {
        return Ok(Some(ExitCode::SUCCESS));
    }
    eprintln!("受け入れられました。サーバーを始めます");
    Ok(None)
}
