//! `kiban audit verify`: the whole log offline, naming the first altered entry (S-016).

use crate::home::Home;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// 監査記録の全体を検証します
    Verify {
        /// 結果を JSON で
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = Home::open(&options.home, options.db.as_deref())?;
    let Command::Verify { json } = options.command;
    let key = home.signing_key()?.public_key();
    let report = kiban_store::verify_log(home.database(), &key, &home.anchor_dir()).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!(
            "記録 {}件 区間 {} アンカー {}（外部 {}）",
            report.entries, report.segments, report.anchors, report.anchors_outside
        );
        if report.not_yet_sealed + report.not_yet_anchored > 0 {
            println!(
                "まだ署名に含まれない記録 {}件・区間 {}（直近の分）",
                report.not_yet_sealed, report.not_yet_anchored
            );
        }
        for finding in report.findings.iter().take(20) {
            let place =
                [finding.writer.clone(), finding.segment.map(|s| s.to_string()), finding.n.map(|n| n.to_string())];
            println!("相違: {} {}", place.into_iter().flatten().collect::<Vec<_>>().join("/"), finding.what);
        }
        println!(
            "{}",
            if report.is_intact() {
                "検証結果: 改ざん・欠落はありません"
            } else {
                "検証結果: 相違があります"
            }
        );
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
