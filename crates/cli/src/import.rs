//! `kiban import`: a municipality's package from a folder on the platform's own machine; `kiban sim`: a synthetic city
//! as such a folder.

use crate::check::printable;
use crate::home::{Home, explain, now, read_folder};
use anyhow::{Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kiban_domain::{InsurerNumber, dates};
use kiban_formats::Problem;
use kiban_service::{Context, IntakeResult};
use kiban_sim::files::Stopped;
use kiban_sim::{CitySpec, write_package_streaming};
use std::path::PathBuf;
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
    /// パッケージのフォルダー（MANIFEST.csv を含む）
    package: PathBuf,
}

#[derive(Args)]
pub struct SimOptions {
    /// 書き出すフォルダー
    out: PathBuf,
    /// 人数
    #[arg(long, default_value_t = 2000)]
    people: u32,
    /// 乱数の種
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let insurer =
        InsurerNumber::parse(&options.insurer).map_err(|error| anyhow!("保険者番号: {}", error.message_ja()))?;
    let files = read_folder(&options.package)?;
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    let bar = progress_bar("取込み");
    let result = platform
        .import_package_locally(insurer, files, &Context::new(now())?, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await
        .map_err(explain)?;
    bar.finish_and_clear();
    print_result(&result);
    platform.store().clone().close().await?;
    Ok(if result.state == "applied" && result.report.counts.refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A bar with rows, rate and remaining time.
pub fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} 行 {per_sec} 残り {eta}");
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// The receipt as people read it.
pub fn print_result(result: &IntakeResult) {
    let counts = &result.report.counts;
    let state = match result.state {
        "applied" => "反映しました",
        "refused" => "取り込めませんでした（何も反映していません）",
        _ => "受け付けました",
    };
    println!("受付番号 {} — {state}{}", result.receipt, if result.repeated { "（同じ内容を受付済み）" } else { "" });
    println!(
        "読んだ行 {}、反映 {}、変更なし {}、取込不可 {}",
        counts.read, counts.applied, counts.unchanged, counts.refused
    );
    let mut problems: Vec<_> = result.report.problems.iter().collect();
    problems.sort_by_key(|problem| problem.severity != "error");
    for problem in problems.iter().take(30) {
        println!("  {} {}", if problem.severity == "error" { "エラー" } else { "注意" }, printable(&problem.message));
    }
    if result.report.problems.len() > 30 {
        println!("  ほか {}件", result.report.problems.len() - 30);
    }
}

pub fn write_city(options: &SimOptions) -> Result<ExitCode> {
    let spec = CitySpec::sample(options.seed, options.people, dates::day_in_japan(now()))
        .map_err(|error| anyhow!(error.message_ja()))?;
    std::fs::create_dir_all(&options.out)?;
    let mut files = 0;
    let mut write = |name: &str, bytes: &[u8]| {
        files += 1;
        std::fs::write(options.out.join(name), bytes)
    };
    write_package_streaming(&spec, &mut write).map_err(|stopped| match stopped {
        Stopped::Sink(error) => anyhow!(error),
        Stopped::Unwritable(problems) => anyhow!("{}", problems.first().map(Problem::message_ja).unwrap_or_default()),
    })?;
    println!(
        "{}（保険者番号 {}）{}人分の {}ファイルを {} に書き出しました",
        spec.name,
        spec.insurer,
        spec.people(),
        files,
        options.out.display()
    );
    Ok(ExitCode::SUCCESS)
}
