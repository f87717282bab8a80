//! `kiban notices`: the notices on paper of a whole city in one run, with the registers of what is sent (P-036).

use crate::export::{empty_folder, write_file};
use crate::home::{Home, explain, now};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use kiban_domain::dates::parse_typed;
use kiban_domain::{Date, InsurerNumber};
use kiban_service::{Context, NoticesOrder, NoticesPart, NoticesReport};
use kiban_web::{LetterSender, letters_of_bundle};
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
    /// 書き出すフォルダー（新しく作るか、空のもの）
    #[arg(long)]
    to: PathBuf,
    /// いつの内容か（省略時は今日。例 2027-08-01）
    #[arg(long)]
    day: Option<String>,
    /// この日からあとに証の内容が届いた人だけ（省略時は全員。例 2027-07-01）
    #[arg(long)]
    since: Option<String>,
    /// 紙の右上に入れる担当の課
    #[arg(long, default_value = "")]
    desk: String,
    /// 紙の右上に入れる電話番号
    #[arg(long, default_value = "")]
    telephone: String,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let insurer =
        InsurerNumber::parse(&options.insurer).map_err(|error| anyhow!("保険者番号: {}", error.message_ja()))?;
    let (day, since) = (date("--day", options.day.as_deref())?, date("--since", options.since.as_deref())?);
    let sender = LetterSender { desk: options.desk, telephone: options.telephone };
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    empty_folder(&options.to)?;
    let order = NoticesOrder { day, since };
    let mut notices = platform.paper_notices_locally(insurer, order, &Context::new(now())?).await.map_err(explain)?;
    let mut report = None;
    while let Some(part) = notices.parts.recv().await {
        match part.map_err(explain)? {
            NoticesPart::Bundle(bundle, notices) => {
                let files = letters_of_bundle(bundle, &notices, &sender);
                for (name, bytes) in files.map_err(|problem| anyhow!("束 {bundle} を作れません: {}", problem.title))?
                {
                    write_file(&options.to, &name, &bytes)?;
                }
                eprintln!("束 {bundle}（{}枚）", notices.len());
            }
            NoticesPart::Done(done) => report = Some(done),
        }
    }
    platform.store().clone().close().await?;
    let Some(report) = report else { bail!("途中で終わりました。もう一度行ってください") };
    write_file(&options.to, "report.json", &serde_json::to_vec_pretty(&report)?)?;
    std::fs::File::open(&options.to)?.sync_all()?;
    tell(&options.to.display().to_string(), &report);
    Ok(if report.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn date(name: &str, typed: Option<&str>) -> Result<Option<Date>> {
    let read = typed.map(|typed| parse_typed(typed).map_err(|error| anyhow!("{name}: {}", error.message_ja())));
    read.transpose()
}

fn tell(folder: &str, report: &NoticesReport) {
    println!("{folder} に {}束 {}枚を作りました", report.bundles, report.papers);
    for (people, why) in [
        (report.without_address, "住所の登録がない人（最後の束にあります）"),
        (report.withheld, "不開示の人（作っていません。被保険者のページから1人ずつ作ってください）"),
        (report.look_themselves, "自分の画面を使っている人（作っていません）"),
        (report.unchanged, "その日からあとに内容の届いていない人（作っていません）"),
        (report.damaged, "読めなかった行"),
    ] {
        if people > 0 {
            println!("  {why}: {people}");
        }
    }
    println!(
        "次に行うこと: 0001.html から順に、ブラウザーで開いて A4 で印刷してください。0001.csv がその束の送付台帳です"
    );
}
