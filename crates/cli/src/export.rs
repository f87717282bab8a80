//! `kiban export`: everything the platform holds of a municipality's own data, as a package in a folder.

use crate::check::printable;
use crate::home::{Home, explain, now};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use kiban_domain::InsurerNumber;
use kiban_service::{Context, ExportContents, ExportOrder, ExportPart, ExportReport};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）
    #[arg(long)]
    db: Option<String>,
    /// 保険者番号
    #[arg(long)]
    insurer: String,
    /// 書き出すフォルダー（新しく作るか、空のもの）
    #[arg(long)]
    to: PathBuf,
    /// 訂正前・削除された内容も書き出します（001、002 … の順に取り込むパッケージになります）
    #[arg(long)]
    with_history: bool,
    /// パッケージを JSON で書き出します（省略時は CSV）
    #[arg(long)]
    json: bool,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let insurer =
        InsurerNumber::parse(&options.insurer).map_err(|error| anyhow!("保険者番号: {}", error.message_ja()))?;
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    empty_folder(&options.to)?;
    let contents = if options.with_history { ExportContents::WithHistory } else { ExportContents::Present };
    let context = Context::new(now())?;
    let order = ExportOrder { contents, json: options.json };
    let mut export = platform.export_package_locally(insurer, order, &context).await.map_err(explain)?;
    let mut report = None;
    while let Some(part) = export.parts.recv().await {
        match part.map_err(explain)? {
            ExportPart::File((name, bytes)) | ExportPart::Other((name, bytes)) => {
                write_file(&options.to, &name, &bytes)?
            }
            ExportPart::Done(done) => report = Some(done),
        }
    }
    platform.store().clone().close().await?;
    let Some(report) = report else {
        bail!("書出しが途中で終わりました。もう一度行ってください")
    };
    for package in &report.packages {
        std::fs::File::open(options.to.join(&package.folder))?.sync_all()?;
    }
    std::fs::File::open(&options.to)?.sync_all()?;
    print_report(insurer, &options.to, &report);
    Ok(if report.left_out == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder holds personal data in the clear, so only its owner may look into it.
pub(crate) fn empty_folder(to: &Path) -> Result<()> {
    make_folder(to)?;
    let mut inside = std::fs::read_dir(to).with_context(|| format!("フォルダー {} を開けません", to.display()))?;
    if inside.next().is_some() {
        bail!("フォルダー {} が空ではありません。新しいフォルダーを指定してください", to.display());
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("フォルダー {} を作れません", path.display()))
}

/// Writes a file, in a folder of its own when its name says so.
pub(crate) fn write_file(to: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = to.join(name);
    make_folder(path.parent().unwrap_or(to))?;
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("{} に書けません", path.display()))
}

fn print_report(insurer: InsurerNumber, to: &Path, report: &ExportReport) {
    let rows: Vec<String> = report.rows.iter().map(|(kind, rows)| format!("{kind} {rows}行")).collect();
    if rows.is_empty() {
        println!("保険者番号 {insurer} の情報はありません");
    } else {
        println!("{} に書き出しました: {}", to.display(), rows.join("、"));
    }
    for (what, count) in &report.others {
        println!("  others/ {what} {count}件（パッケージにないもの。取り込む形ではありません）");
    }
    for package in &report.packages {
        println!("  {} {}行（{} まで）", package.folder, package.rows, package.made_at);
    }
    if report.packages.len() > 1 {
        println!("取り込むときは、番号の小さいものから1つずつ取り込んでください");
    }
    if report.left_out > 0 {
        println!("書き出せなかった行 {}", report.left_out);
        for problem in report.problems.iter().take(30) {
            println!("  {}", printable(&problem.message));
        }
    }
}
