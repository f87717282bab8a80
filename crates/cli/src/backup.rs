//! `kiban backup`: one folder per generation, five kept, one of them locked against writing (S-021, S-022,
//! docs/decisions/0011). No key is in it: what it holds opens with the master key alone, which is kept elsewhere.

use crate::home::{Home, now};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use kiban_domain::Timestamp;
use kiban_store::{CLOSINGS, MasterKey, PublicKey, file_digest, is_signed_manifest};
use serde::{Deserialize, Serialize};
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Generations kept, the locked one among them (S-022).
const KEPT: usize = 5;
/// A generation is locked when the newest locked one is older than this.
const LOCKED_DAYS: i64 = 7;

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";
const ANCHORS: &str = "anchors.jsonl";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home", global = true)]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中。PostgreSQL は所有者のアドレス）
    #[arg(long, global = true)]
    db: Option<String>,
    /// 控えを置くフォルダー（世代ごとのフォルダーができます。別の機械・別の媒体にしてください）
    to: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// 控えの1世代を確かめます: 要約値・署名・監査記録・保険者ごとに1件を開くこと
    Verify {
        /// 世代のフォルダー
        generation: PathBuf,
        /// 空の PostgreSQL のアドレス（そこへ読み込んで中身まで確かめます。PostgreSQL の控えだけ）
        #[arg(long)]
        scratch: Option<String>,
    },
}

/// What a generation says of itself; signed with the key of the anchors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// `kiban-backup 1`.
    pub format: String,
    /// Name of the folder.
    pub generation: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// Version of the program.
    pub software: String,
    /// Newest step of the schema.
    pub schema: String,
    /// Newest anchor of the log when the copy began; it covers at least this.
    pub anchor: Option<AnchorOfBackup>,
    /// The files.
    pub files: Vec<FileOfBackup>,
}

/// The head of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnchorOfBackup {
    /// Its number.
    pub number: i64,
    /// When it was signed.
    pub at: Timestamp,
    /// Last closed segments: writer, segment, header.
    pub heads: Vec<kiban_store::Head>,
}

/// A file of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileOfBackup {
    /// Name in the folder.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Name of the file with the database.
    pub fn database(&self) -> &'static str {
        if self.engine == "sqlite" { "kiban.db" } else { "kiban.dump" }
    }
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = Home::open(&options.home, options.db.as_deref())?;
    match (options.command, options.to) {
        (Some(Command::Verify { generation, scratch }), _) => verify(&home, &generation, scratch.as_deref()).await,
        (None, Some(to)) => make(&home, &to).await,
        (None, None) => bail!("控えを置くフォルダーを指定してください: kiban backup フォルダー"),
    }
}

async fn make(home: &Home, to: &Path) -> Result<ExitCode> {
    let began = Instant::now();
    let (made_at, key) = (now(), home.signing_key()?);
    let generation = made_at.strftime("%Y%m%dT%H%M%SZ").to_string();
    folder(to)?;
    let (folder_now, done) = (to.join(format!(".{generation}.half")), to.join(&generation));
    if done.exists() {
        bail!("{} が既にあります。1秒たってから、もう一度実行してください", done.display());
    }
    let _ = std::fs::remove_dir_all(&folder_now);
    folder(&folder_now)?;
    // Before the database: a copy of the anchors must not be ahead of the copy of the log.
    copy_beside(home, &folder_now, ANCHORS)?;
    let name = if home.database().starts_with("sqlite:") { "kiban.db" } else { "kiban.dump" };
    let file = folder_now.join(name);
    let copied = kiban_store::copy_database(home.database(), &file, &generation, made_at.as_microsecond()).await?;
    // After it: a door that was closed meanwhile must not be missing.
    copy_beside(home, &folder_now, CLOSINGS)?;
    let mut files = Vec::new();
    for name in [name, ANCHORS, CLOSINGS] {
        let path = folder_now.join(name);
        if path.exists() {
            File::open(&path)?.sync_all()?;
            let (sha256, bytes) = file_digest(&path)?;
            files.push(FileOfBackup { name: name.to_owned(), bytes, sha256 });
        }
    }
    let anchor = copied.anchor.map(|anchor| -> Result<_> {
        let at = Timestamp::from_microsecond(anchor.at)?;
        Ok(AnchorOfBackup { number: anchor.number, at, heads: anchor.heads })
    });
    let manifest = Manifest {
        format: "kiban-backup 1".to_owned(),
        generation: generation.clone(),
        made_at,
        engine: copied.engine.to_owned(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        schema: copied.schema,
        anchor: anchor.transpose()?,
        files,
    };
    let text = serde_json::to_string_pretty(&manifest)?;
    write(&folder_now.join(MANIFEST), text.as_bytes())?;
    write(&folder_now.join(SIGNATURE), hex(&key.sign_manifest(text.as_bytes())).as_bytes())?;
    File::open(&folder_now)?.sync_all()?;
    std::fs::rename(&folder_now, &done)?;
    File::open(to)?.sync_all()?;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    println!(
        "控えをとりました: {}（{} MB、{:.1}秒）",
        done.display(),
        bytes / 1_000_000,
        began.elapsed().as_secs_f64()
    );
    if let Some(anchor) = &manifest.anchor {
        println!("監査記録: 署名 {}（{}）まで", anchor.number, anchor.at);
    }
    lock_and_prune(to)?;
    println!("次に行うこと: kiban backup verify {} で確かめ、別の場所へも写してください", done.display());
    Ok(ExitCode::SUCCESS)
}

fn folder(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("フォルダー {} を作れません", path.display()))
}

fn copy_beside(home: &Home, to: &Path, name: &str) -> Result<()> {
    let from = home.anchor_dir().join(name);
    if from.exists() {
        std::fs::copy(&from, to.join(name)).with_context(|| format!("{} を写せません", from.display()))?;
        std::fs::set_permissions(to.join(name), Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("{} を書けません", path.display()))?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    Ok(file.sync_all()?)
}

/// Whole generations of a folder, oldest first, with whether they are locked.
fn generations(folder: &Path) -> Result<Vec<(String, PathBuf, bool)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        let is_one = name.len() == 16 && name.ends_with('Z') && path.join(MANIFEST).is_file();
        if is_one {
            let is_locked = std::fs::metadata(&path)?.permissions().mode() & 0o200 == 0;
            found.push((name, path, is_locked));
        }
    }
    found.sort();
    Ok(found)
}

/// Locks the newest generation when no locked one is younger than a week; frees those before it, and removes the oldest free
/// ones beyond five. A locked one is never removed.
fn lock_and_prune(to: &Path) -> Result<()> {
    let all = generations(to)?;
    let Some((newest, path, _)) = all.last() else { return Ok(()) };
    let day = |name: &str| name.get(..8).and_then(|day| jiff::civil::Date::strptime("%Y%m%d", day).ok());
    let is_recent = |name: &str| {
        let (Some(then), Some(today)) = (day(name), day(newest)) else { return false };
        i64::from((today - then).get_days()) < LOCKED_DAYS
    };
    if !all.iter().any(|(name, _, is_locked)| *is_locked && is_recent(name)) {
        set_locked(path, true)?;
        println!("この世代を書込み禁止にしました（{LOCKED_DAYS}日の間、廃棄しません）");
        for (_, before, _) in all.iter().filter(|(name, _, is_locked)| *is_locked && name != newest) {
            set_locked(before, false)?;
        }
    }
    let all = generations(to)?;
    let beyond = all.len().saturating_sub(KEPT);
    for (name, path, _) in all.iter().filter(|(_, _, is_locked)| !is_locked).take(beyond) {
        std::fs::remove_dir_all(path).with_context(|| format!("{} を消せません", path.display()))?;
        println!("前の世代を消しました: {name}");
    }
    Ok(())
}

/// By the rights of the file system: the owner must lift it on purpose. What nobody can lift is the storage's to give
/// (docs/backup.md).
fn set_locked(generation: &Path, is_locked: bool) -> Result<()> {
    let (folder, file) = if is_locked { (0o500, 0o400) } else { (0o700, 0o600) };
    if !is_locked {
        std::fs::set_permissions(generation, Permissions::from_mode(folder))?;
    }
    for entry in std::fs::read_dir(generation)? {
        std::fs::set_permissions(entry?.path(), Permissions::from_mode(file))?;
    }
    Ok(std::fs::set_permissions(generation, Permissions::from_mode(folder))?)
}

/// Reads a generation and holds every file against the signed manifest.
pub fn read(generation: &Path, key: &PublicKey) -> Result<Manifest> {
    let at = |name: &str| generation.join(name);
    let text = std::fs::read(at(MANIFEST))
        .with_context(|| format!("{} は控えの世代のフォルダーではありません", generation.display()))?;
    let signature = std::fs::read_to_string(at(SIGNATURE)).unwrap_or_default();
    let signature = unhex(signature.trim()).unwrap_or_default();
    if !is_signed_manifest(key, &text, &signature) {
        bail!(
            "manifest.json の署名が合いません。書き換えられたか、別の設置の控えです（anchor.key を確かめてください）"
        );
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| anyhow!("manifest.json を読めません"))?;
    if manifest.format != "kiban-backup 1" {
        bail!("この版では読めない形の控えです（{}）", manifest.format);
    }
    for FileOfBackup { name, bytes, sha256 } in &manifest.files {
        if name.contains('/') {
            bail!("manifest.json のファイル名が正しくありません");
        }
        let (digest, length) = file_digest(&at(name))?;
        if (&digest, length) != (sha256, *bytes) {
            bail!("{name} は、とったときの控えと違います（要約値が一致しません）。この世代は使わないでください");
        }
    }
    Ok(manifest)
}

async fn verify(home: &Home, generation: &Path, scratch: Option<&str>) -> Result<ExitCode> {
    let key = home.signing_key()?.public_key();
    let manifest = read(generation, &key)?;
    println!("控え {}（{}、{}、版 {}）", manifest.generation, manifest.made_at, manifest.engine, manifest.software);
    for file in &manifest.files {
        println!("{} {} バイト 要約値は一致", file.name, file.bytes);
    }
    let file = generation.join(manifest.database());
    let copy = home.dir().join(format!(".verify-{}", std::process::id()));
    let address = match (manifest.engine.as_str(), scratch) {
        ("sqlite", _) => {
            // Reading a database writes beside it; the generation stays as it is.
            folder(&copy)?;
            std::fs::copy(&file, copy.join("kiban.db"))?;
            std::fs::set_permissions(copy.join("kiban.db"), Permissions::from_mode(0o600))?;
            format!("sqlite:{}", copy.join("kiban.db").display())
        }
        (_, Some(scratch)) => {
            let made_at = manifest.made_at.as_microsecond();
            kiban_store::put_back(&file, scratch, &manifest.generation, made_at).await?;
            scratch.to_owned()
        }
        (_, None) => {
            println!(
                "結果: ファイルは署名のとおりです。中身まで確かめるには --scratch に空の PostgreSQL を指定してください"
            );
            return Ok(ExitCode::SUCCESS);
        }
    };
    let checked = contents(home, &address, &key, generation).await;
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    let is_good = checked?;
    println!(
        "{}",
        if is_good {
            "結果: この控えは開けます"
        } else {
            "結果: この控えには相違があります。前の世代を確かめてください"
        }
    );
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The log verified against the anchors that were copied with it, and one record of each insurer opened.
async fn contents(home: &Home, address: &str, key: &PublicKey, generation: &Path) -> Result<bool> {
    let report = kiban_store::verify_log(address, key, generation).await?;
    println!("監査記録 {}件 区間 {} 相違 {}", report.entries, report.segments, report.differences);
    for finding in report.findings.iter().take(5) {
        println!("相違: {}", finding.what);
    }
    let checks = kiban_store::verify_keys(address, &MasterKey::load(&home.master_key())?).await?;
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.failed.is_empty()).map(|check| check.insurer.as_str()).collect();
    let opened: usize = checks.iter().map(|check| check.opened.len()).sum();
    println!("開いた記録 {opened}件（鍵の組 {}）、開けない組 {}", checks.len(), failed.len());
    for insurer in &failed {
        println!("開けません: {insurer}");
    }
    Ok(report.is_intact() && failed.is_empty() && !checks.is_empty())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
