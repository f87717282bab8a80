//! `kiban check`: any outside file or package judged without a server, with the platform's own messages.

use crate::home::read_folder;
use anyhow::{Context as _, Result};
use clap::Args;
use kiban_formats::{Problem, care_plan, municipal};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// ファイル、またはパッケージのフォルダー
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// 結果を JSON で
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &options.paths {
        if path.is_dir() {
            files.extend(read_folder(path)?);
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((name, std::fs::read(path).with_context(|| format!("{} を読めません", path.display()))?));
        }
    }
    let is_package = files.iter().any(|(name, _)| name == municipal::MANIFEST || name.starts_with("KGKB_"));
    let (what, read, problems) = if is_package {
        let mut rows = 0u64;
        let problems = municipal::open(files).check(&mut |_| rows += 1);
        ("市区町村パッケージ", rows, problems)
    } else {
        let (received, problems) = care_plan::read_set(&files);
        let read = received.plans.len() + received.slips.len() + received.actuals.len() + received.withdrawals.len();
        ("ケアプラン標準仕様 4.1", read as u64, problems)
    };
    if options.json {
        let report = serde_json::json!({ "format": what, "records": read, "problems": problems });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for problem in &problems {
            println!("{} {}", if problem.is_error() { "エラー" } else { "注意" }, printable(&problem.message_ja()));
        }
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        println!("{what}: 読み取れた記録 {read}件、エラー {errors}件、注意 {}件", problems.len() - errors);
    }
    Ok(if problems.iter().any(Problem::is_error) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Control characters must not reach a terminal (T-25).
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() }).collect()
}
