//! `kiban keys`: the care of keys by the operator (docs/keys.md). Every command may be killed and run again.

use crate::home::{Home, now};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use kiban_domain::{InsurerNumber, dates};
use kiban_pki::Ca;
use kiban_service::Platform;
use kiban_store::escrow::{self, Share};
use kiban_store::{Cared, Checked, MasterKey, NO_INSURER, SigningKey, Store, verify_keys};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home", global = true)]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）
    #[arg(long, global = true)]
    db: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 新しいデータ鍵をいますぐ使い始めます（前の内容は reseal で封印し直します）
    RotateData {
        /// 保険者番号（6桁。省略するとすべて）
        #[arg(long)]
        insurer: Option<String>,
    },
    /// 前のデータ鍵の内容を新しい鍵で封印し直し、要らなくなった鍵を消します
    Reseal {
        /// 保険者番号（6桁。省略するとすべて）
        #[arg(long)]
        insurer: Option<String>,
    },
    /// 災害時検索の索引鍵を新しくし、索引を計算し直します
    RotateIndex {
        /// 保険者番号（6桁。省略するとすべて）
        #[arg(long)]
        insurer: Option<String>,
    },
    /// 災害時検索の索引を、いまの文字のそろえ方と索引鍵で計算し直します
    Reindex,
    /// 主鍵を新しくします。途中で止まったら、もう一度実行すると続きから行います
    RotateMaster,
    /// データベースの外の鍵を分割して書き出します（それぞれ別の人・場所に保管）
    Split {
        /// 分割片の枚数
        #[arg(long, default_value_t = 3)]
        shares: u8,
        /// 元に戻すのに必要な枚数
        #[arg(long, default_value_t = 2)]
        needed: u8,
        /// 書き出すフォルダー
        #[arg(long)]
        to: PathBuf,
    },
    /// 分割片から鍵のファイルを作ります
    Combine {
        /// 分割片のファイル
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// 書き出すフォルダー（新しい設置フォルダー）
        #[arg(long)]
        to: PathBuf,
    },
    /// 保険者ごとに1件ずつ開き、鍵がこのデータベースのものか確かめます（控えの確認にも）
    Verify,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    if let Command::Combine { files, to } = &options.command {
        return combine(files, to);
    }
    let home = Home::open(&options.home, options.db.as_deref())?;
    match options.command {
        Command::RotateData { insurer } => rotate_data(&home, insurer.as_deref()).await,
        Command::Reseal { insurer } => reseal(&home, insurer.as_deref()).await,
        Command::RotateIndex { insurer } => rotate_index(&home, insurer.as_deref()).await,
        Command::Reindex => reindex(&home).await,
        Command::RotateMaster => rotate_master(&home).await,
        Command::Split { shares, needed, to } => split(&home, shares, needed, &to),
        Command::Combine { .. } => Ok(ExitCode::SUCCESS),
        Command::Verify => verify(&home).await,
    }
}

/// Those named, or everybody who has keys; with the platform itself.
async fn owners(store: &Store, insurer: Option<&str>) -> Result<Vec<String>> {
    let all = store.key_owners().await?;
    let Some(insurer) = insurer else { return Ok(all) };
    let number = InsurerNumber::parse(insurer).map_err(|error| anyhow!("保険者番号: {}", error.message_ja()))?;
    if !all.contains(&number.to_string()) {
        bail!("保険者 {number} の鍵はこのデータベースにありません");
    }
    Ok(vec![number.to_string()])
}

/// For people: the platform's own keys have no insurer.
fn name(owner: &str) -> String {
    if owner == NO_INSURER { "基盤".to_owned() } else { format!("保険者 {owner}") }
}

async fn rotate_data(home: &Home, insurer: Option<&str>) -> Result<ExitCode> {
    let platform = home.platform().await?;
    let store = platform.store().clone();
    for owner in owners(&store, insurer).await? {
        store.rotate_data_key(&owner).await?;
        println!("{}: 新しいデータ鍵を使い始めました", name(&owner));
    }
    println!("前の内容は kiban keys reseal で封印し直してください");
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn reseal(home: &Home, insurer: Option<&str>) -> Result<ExitCode> {
    let platform = home.platform().await?;
    let store = platform.store().clone();
    for owner in owners(&store, insurer).await? {
        let bar = indicatif::ProgressBar::new_spinner();
        bar.set_message(name(&owner));
        let cared = store.reseal(&owner, &mut |done| bar.set_position(done)).await?;
        bar.finish_and_clear();
        tell(&owner, "封印し直しました", cared);
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn tell(owner: &str, what: &str, cared: Cared) {
    println!("{}: {}件を{what}。消した鍵 {}", name(owner), cared.done, cared.retired);
    if cared.kept > 0 {
        println!("  前の鍵が {} 残っています。閉じて10分たち、すべて移っていれば、次の実行で消えます", cared.kept);
    }
}

async fn rotate_index(home: &Home, insurer: Option<&str>) -> Result<ExitCode> {
    let platform = home.platform().await?;
    let store = platform.store().clone();
    for owner in owners(&store, insurer).await? {
        let Some(number) = insurer_of(&owner) else { continue };
        store.rotate_index_key(number).await?;
        let cared = store.reindex(number, &mut |_| {}).await?;
        tell(&owner, "新しい索引にしました", cared);
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn reindex(home: &Home) -> Result<ExitCode> {
    let platform = home.platform().await?;
    let store = platform.store().clone();
    for (owner, cared) in reindex_all(&store).await? {
        tell(&owner, "新しい索引にしました", cared);
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn reindex_all(store: &Store) -> Result<Vec<(String, Cared)>> {
    let mut all = Vec::new();
    for owner in store.key_owners().await? {
        if let Some(number) = insurer_of(&owner) {
            all.push((owner, store.reindex(number, &mut |_| {}).await?));
        }
    }
    store.reindexed().await?;
    Ok(all)
}

fn insurer_of(owner: &str) -> Option<InsurerNumber> {
    if owner == NO_INSURER { None } else { InsurerNumber::parse(owner).ok() }
}

/// A release with another normaliser computes the search tokens anew beside its work: until then some people are not found
/// in a disaster.
pub async fn reindex_if_needed(platform: &Platform) -> Result<()> {
    if !platform.store().needs_reindex().await? {
        return Ok(());
    }
    eprintln!("災害時検索の索引を新しい版で計算し直しています。終わるまで、見つからない人がいることがあります");
    let store = platform.store().clone();
    tokio::spawn(async move {
        match reindex_all(&store).await {
            Ok(all) => {
                let people: u64 = all.iter().map(|(_, cared)| cared.done).sum();
                eprintln!("災害時検索の索引を計算し直しました（{people}人）");
            }
            Err(error) => {
                eprintln!("災害時検索の索引を計算し直せません: {error:#}。kiban keys reindex を実行してください");
            }
        }
    });
    Ok(())
}

async fn rotate_master(home: &Home) -> Result<ExitCode> {
    let path = home.master_key();
    let goes_on = MasterKey::load(&path)?.is_changing();
    let platform = home.platform().await?;
    let store = platform.store().clone();
    MasterKey::make_successor(&path)?;
    let count = store.rewrap_keys(&MasterKey::load(&path)?).await?;
    MasterKey::settle(&path, &store.master_key_id())?;
    store.close().await?;
    match count {
        Some(count) => println!("主鍵を新しくし、データ鍵 {count} 個を包み直しました"),
        None => println!("途中で止まっていた主鍵の更新を終えました"),
    }
    if goes_on && count.is_some() {
        println!("（途中で止まっていた更新の続きです）");
    }
    println!(
        "前の主鍵は {}.old-… に残しました。これより前の控えを捨てたら、このファイルも消してください",
        path.display()
    );
    println!("新しい主鍵を分割して保管してください: kiban keys split");
    println!("別の機械で動くサーバーには、新しい {} を置いてください", path.display());
    Ok(ExitCode::SUCCESS)
}

/// What is split, each with its length before it.
const MASTER: u8 = 1;
const ANCHOR: u8 = 2;
const CA: u8 = 3;

fn split(home: &Home, shares: u8, needed: u8, to: &Path) -> Result<ExitCode> {
    let master = MasterKey::load(&home.master_key())?;
    if master.is_changing() {
        bail!("主鍵の更新が途中です。kiban keys rotate-master を終えてから分割してください");
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(1024));
    push(&mut whole, MASTER, &*master.secret());
    push(&mut whole, ANCHOR, &SigningKey::secret(&home.anchor_key())?);
    let ca = home.ca_dir().exists().then(|| home.ca()).transpose()?;
    let of_ca = ca.as_ref().and_then(Ca::secret);
    if let Some(secret) = &of_ca {
        push(&mut whole, CA, secret);
    } else if ca.is_some() {
        println!("認証局の鍵はトークンの中にあり、分けません。トークンの側の手順で控えてください");
    }
    let day = dates::day_in_japan(now());
    let all = escrow::split(&whole, shares, needed, &day.to_string())?;
    std::fs::create_dir_all(to).with_context(|| format!("フォルダー {} を作れません", to.display()))?;
    for share in &all {
        let path = to.join(format!("kiban-share-{}-{}.txt", share.set, share.number));
        crate::ca::write_secret(&path, share.to_text().as_bytes())?;
        println!("書き出しました: {}", path.display());
    }
    println!(
        "{}（主鍵・アンカー署名鍵{}）を {shares} 枚に分けました。{needed} 枚で元に戻せます。",
        all.first().map_or("", |share| share.set.as_str()),
        if of_ca.is_some() { "・認証局の鍵" } else { "" }
    );
    println!("1枚ずつ印刷するか別の媒体に移し、別の人・別の場所に保管して、ここの写しは消してください（docs/keys.md）");
    Ok(ExitCode::SUCCESS)
}

fn push(whole: &mut Vec<u8>, what: u8, bytes: &[u8]) {
    whole.push(what);
    whole.extend((bytes.len() as u16).to_be_bytes());
    whole.extend(bytes);
}

fn combine(files: &[PathBuf], to: &Path) -> Result<ExitCode> {
    let mut shares = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} を読めません", file.display()))?;
        let text = Zeroizing::new(text);
        shares.push(Share::from_text(&text).with_context(|| file.display().to_string())?);
    }
    let whole = escrow::combine(&shares)?;
    let home = Home::create(to, None)?;
    let targets = [home.master_key(), home.anchor_key(), home.ca_dir().join("ca.key")];
    if let Some(there) = targets.iter().find(|path| path.exists()) {
        bail!("{} が既にあります。置き換えません", there.display());
    }
    let mut rest = &whole[..];
    while let [what, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, next) = after.split_at_checked(length).context("分割片の中身が足りません")?;
        match *what {
            MASTER => MasterKey::restore(&targets[0], bytes)?,
            ANCHOR => SigningKey::restore(&targets[1], bytes)?,
            CA => Ca::restore_key(&home.ca_dir(), bytes).map_err(|error| anyhow!(error.message_ja()))?,
            _ => bail!("この版が知らない鍵が入っています。新しい版の kiban で行ってください"),
        }
        rest = next;
    }
    for path in targets.iter().filter(|path| path.exists()) {
        println!("作りました: {}", path.display());
    }
    println!("データベース・anchors・ca の控えを同じフォルダーに戻し、kiban keys verify で確かめてください");
    Ok(ExitCode::SUCCESS)
}

async fn verify(home: &Home) -> Result<ExitCode> {
    if let Some(path) = home.database().strip_prefix("sqlite:").filter(|path| !Path::new(path).exists()) {
        bail!("データベース {path} がありません。--home と --db を確かめてください");
    }
    let checks = verify_keys(home.database(), &MasterKey::load(&home.master_key())?).await?;
    if checks.is_empty() {
        bail!("このデータベースには鍵がありません。--db を確かめてください");
    }
    for check in &checks {
        if !check.opened.is_empty() {
            println!("開きました: {}（{}）", name(&check.insurer), list(&check.opened));
        } else if check.failed.is_empty() {
            println!("鍵はあり、開く記録がまだありません: {}", name(&check.insurer));
        }
        if !check.failed.is_empty() {
            println!("開けません: {}（{}）", name(&check.insurer), list(&check.failed));
        }
    }
    let failed = checks.iter().filter(|check| !check.failed.is_empty()).count();
    let opened: usize = checks.iter().map(|check| check.opened.len()).sum();
    println!("確かめた鍵の組 {}、開いた記録 {opened}件、開けない組 {failed}", checks.len());
    if failed > 0 {
        println!(
            "主鍵（--home）とデータベース（--db）の組合せを確かめ、鍵の行がなければ控えから戻してください（docs/keys.md）"
        );
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tables or keys, each with its generation.
fn list(all: &[Checked]) -> String {
    all.iter().map(|one| format!("{} 世代{}", one.what, one.generation)).collect::<Vec<_>>().join("、")
}
