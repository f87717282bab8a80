//! `kiban bench`: how fast the platform does its main jobs on this machine, and in the same run how fast the parts it
//! stands on could do them at best (the floors), so that the ratio says something wherever it is measured.
//!
//! A synthetic city comes in as municipal packages through the real intake; `kiban serve` runs as a process of its own;
//! the load comes over HTTPS with client certificates from this process, in a closed loop of N connections. Both ends
//! and the database share the machine. Nothing leaves it.

mod changes;
mod city;
mod floors;
mod load;
mod plans;
mod report;
mod server;
mod slips;
mod standing;
mod tokens;

use crate::home::Home;
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Host name of the organisations' listener.
const HOST: &str = "office.localhost";

#[derive(Args)]
pub struct Options {
    /// 架空の市の人数
    #[arg(long, default_value_t = 10_000)]
    people: u32,
    /// データベース。sqlite（内蔵）か、空の専用データベースのアドレス（postgres://…）
    #[arg(long, default_value = "sqlite")]
    db: String,
    /// 1項目を測る秒数
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// 項目 slips で、時間の代わりに送る件数（300万件は約 15 GB の作業領域を使います）
    #[arg(long)]
    slips: Option<u32>,
    /// 同時接続数（1枚の証明書で50まで）
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=50))]
    connections: u16,
    /// 1パッケージの人数（大きな市は分けて取り込みます）
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=200_000))]
    package: u32,
    /// 測る項目
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "import,screens,read,lookup,page,write,register,disaster,consent,handshake,login,token,plans,slips,differences,burden"
    )]
    only: Vec<Job>,
    /// 下限（床）を測らない
    #[arg(long)]
    no_floors: bool,
    /// 結果を JSON で
    #[arg(long)]
    json: bool,
    /// 乱数の種
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// 作業フォルダーを残します（省略時は終了時に消します）
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Bulk import of municipal packages.
    Import,
    /// Authorised read of one record by a care manager.
    Read,
    /// The municipality sees the card page by the numbers of a card.
    Lookup,
    /// The whole page of a person: every kind that may be seen.
    Page,
    /// Pages of the WEB service as a care manager opens them: today, the list of users, a person's pages.
    Screens,
    /// Durable write with audit: one row, the office's own switch for a person.
    Write,
    /// Confirmation by four items and registration, all by one office: its counter of wrong guesses is one row.
    Register,
    /// Durable write with audit: an act of consent taken by the municipality.
    Consent,
    /// Disaster search by kana and birth.
    Disaster,
    /// Mutual TLS 1.3 handshakes without a request.
    Handshake,
    /// Log-ins with a password.
    Login,
    /// The check of a token, in this process: certificate, log-in, account and office.
    Token,
    /// Reading and checking of care-plan files, one thread.
    Plans,
    /// Sets of slips from one office to another, as at a month end.
    Slips,
    /// A package that changes 1 % of the people, over HTTPS.
    Differences,
    /// A 負担割合 for everybody in one package, over HTTPS.
    Burden,
    /// Who may come in, with the offices and accounts of a region: read as a whole and by what changed. Not unless asked for.
    Standing,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let folder = Folder::new(options.keep.as_deref())?;
    let outcome = tokio::select! {
        outcome = measure(&options, &folder) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("中断しました"),
    };
    folder.close();
    let report = outcome?;
    if options.json {
        println!("{}", report.json()?)
    } else {
        report.print()
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(options: &Options, folder: &Folder) -> Result<Report> {
    let database = (options.db != "sqlite").then_some(options.db.as_str());
    let home = Home::create(&folder.path, database)?;
    // One office of the benchmark asks and searches as a whole region would.
    let limits = [
        "disaster_searches",
        "disaster_views",
        "office_requests",
        "insurer_requests",
        "disaster_requests",
        "slip_sets",
    ];
    let limits: String = limits.iter().map(|name| format!("{name} 2000000000\n")).collect();
    std::fs::write(home.dir().join("limits.tsv"), limits)?;
    let floors = floors::Floors::new(&home, options.seconds, options.connections, !options.no_floors);
    let mut report = Report::new(options, floors.is_postgres());
    if options.only.contains(&Job::Plans) {
        plans::measure(options, &mut report)?;
    }
    let city = city::build(&home, options, &mut report).await?;
    if options.only.contains(&Job::Import) {
        floors.bulk(&mut report).await;
    }
    if options.only.contains(&Job::Token) {
        tokens::measure(&home, &city.care_manager, options, &mut report).await?;
    }
    if options.only.contains(&Job::Standing) {
        standing::measure(&home, city.spec.insurer, &mut report).await?;
    }
    let server = server::Child::start(&home).await.context("サーバーを起動できません")?;
    report.memory("server_rss_at_start_mb", server.memory()?.0);
    let measured = load::all(&city, &server, options, &floors, &mut report).await;
    let (now, peak) = server.memory()?;
    report.memory("server_rss_mb", now);
    report.memory("server_rss_peak_mb", peak);
    let changed = match measured {
        Ok(()) => changes::all(&city, &server, options, &mut report).await,
        Err(error) => Err(error),
    };
    server.stop().await?;
    changed?;
    floors.clean().await;
    Ok(report)
}

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The folder of the run, removed at the end unless it is kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn new(keep: Option<&std::path::Path>) -> Result<Self> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("kiban-bench-{}", std::process::id())),
        };
        if path.exists() {
            bail!("作業フォルダー {} がすでにあります。空の場所を指定してください", path.display());
        }
        Ok(Self { path, keep: keep.is_some() })
    }

    fn close(&self) {
        if !self.keep && self.path.exists() && std::fs::remove_dir_all(&self.path).is_err() {
            eprintln!("作業フォルダー {} を消せませんでした", self.path.display());
        }
    }
}
