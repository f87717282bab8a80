//! `kiban audit`: the whole log verified offline, naming the first altered entry (S-016); its public key; the end of months
//! that nobody has to keep any more (P-203).

use crate::home::{Home, now};
use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use kiban_service::Context;
use kiban_store::{Entry, KEEP_YEARS, Month, Outcome, VerifyReport, first_month_kept};
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
    /// 検証に使う公開鍵（16進64桁）を表示します
    Key,
    /// 保存期間を過ぎた月の記録を廃棄します（--approve がなければ、対象を表示するだけです）
    Purge {
        /// この月より前を対象にします（例 2021-11）
        #[arg(long)]
        before: String,
        /// 保存する年数（5年より短くはできません）
        #[arg(long, default_value_t = KEEP_YEARS)]
        keep_years: u8,
        /// 廃棄を承認した職員のアカウント（例 operator/chief）。付けると実際に廃棄します
        #[arg(long)]
        approve: Option<String>,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = Home::open(&options.home, options.db.as_deref())?;
    match options.command {
        Command::Verify { json } => verify(&home, json).await,
        Command::Key => {
            println!("{}", hex(&home.signing_key()?.public_key()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Purge { before, keep_years, approve } => purge(&home, &before, keep_years, approve).await,
    }
}

async fn verify(home: &Home, json: bool) -> Result<ExitCode> {
    let key = home.signing_key()?.public_key();
    let report = kiban_store::verify_log(home.database(), &key, &home.anchor_dir()).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_report(&report);
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_report(report: &VerifyReport) {
    println!(
        "記録 {}件 区間 {} アンカー {}（外部 {}）",
        report.entries, report.segments, report.anchors, report.anchors_outside
    );
    if report.not_yet_sealed + report.not_yet_anchored > 0 {
        println!("まだ署名に含まれない記録 {}件・区間 {}（直近の分）", report.not_yet_sealed, report.not_yet_anchored);
    }
    if report.voids + report.holes > 0 {
        println!(
            "欠番 {}件（取り消された書込み） 穴 {}件（強制終了で書かれなかった番号。答えは返っていません）",
            report.voids, report.holes
        );
    }
    if !report.purged_months.is_empty() {
        let months: Vec<_> = report.purged_months.iter().map(Month::to_string).collect();
        println!("廃棄済み {}件（廃棄証明あり: {}）", report.purged, months.join("、"));
    }
    for finding in report.findings.iter().take(20) {
        let place = [finding.writer.clone(), finding.segment.map(|s| s.to_string()), finding.n.map(|n| n.to_string())];
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

async fn purge(home: &Home, before: &str, keep_years: u8, approve: Option<String>) -> Result<ExitCode> {
    let before = month(before)?;
    let context = Context::new(now())?;
    let kept = first_month_kept(context.now, keep_years);
    if before > kept {
        anyhow::bail!("{kept} 以降の記録は保存期間の中なので廃棄できません。--before {kept} 以前を指定してください");
    }
    let platform = home.platform().await?;
    let approval = approve.map(|staff| Entry {
        staff: Some(staff),
        ..Entry::new(context.now, &context.request_id, "cli", "audit.purge", Outcome::Done)
    });
    let months = platform.store().purge_audit(before, keep_years, context.now, approval.as_ref()).await;
    platform.store().clone().close().await?;
    let months = months?;
    for purged in &months {
        println!("{} {}件", purged.month, purged.entries);
    }
    println!(
        "{}",
        match (months.is_empty(), approval.is_some()) {
            (true, _) => "廃棄の対象になる記録はありません",
            (false, true) => "廃棄しました。廃棄証明は監査記録とともに残ります",
            (false, false) =>
                "試行です。まだ何も廃棄していません。承認を得たら --approve 承認者のアカウント を付けて実行してください",
        }
    );
    Ok(ExitCode::SUCCESS)
}

fn month(text: &str) -> Result<Month> {
    Month::parse(text).ok_or_else(|| anyhow!("{text} は月ではありません。2021-11 のように指定してください"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
