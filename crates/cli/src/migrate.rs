//! `kiban migrate`: brings the database up to date as its owner and, on PostgreSQL, gives the roles of servers and of the
//! purge their rights (decision 0006.8).

use crate::home::Home;
use anyhow::{Context as _, Result};
use clap::Args;
use kiban_store::{APP_ROLE, MasterKey, PURGE_ROLE, migrate_database};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）。PostgreSQL では所有者のアドレス
    #[arg(long)]
    db: Option<String>,
    /// サーバー用 kiban_app と廃棄用 kiban_purge のロールも作ります（PostgreSQL）
    #[arg(long)]
    roles: bool,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let address = match options.db {
        Some(address) => address,
        None => Home::open(&options.home, None)?.database().to_owned(),
    };
    if options.roles && address.starts_with("sqlite:") {
        anyhow::bail!("--roles は PostgreSQL のためのものです。--db に所有者のアドレスを指定してください");
    }
    let key = options.home.join("master.key");
    let master = if key.exists() { Some(MasterKey::load(&key)?) } else { None };
    let done = migrate_database(&address, options.roles, master.as_ref())
        .await
        .with_context(|| "データベースを更新できません")?;
    for step in &done.steps {
        println!("適用しました: {step}");
    }
    if done.steps.is_empty() {
        println!("データベースは最新です");
    }
    if !done.roles.is_empty() {
        println!("権限を付けたロール: {}", done.roles.join("、"));
    }
    if options.roles {
        println!(
            "パスワードは psql の \\password {APP_ROLE} と \\password {PURGE_ROLE} で付け、サーバーは {APP_ROLE} で接続してください"
        );
    }
    Ok(ExitCode::SUCCESS)
}
