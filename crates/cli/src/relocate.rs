//! `kiban move`: an installation that has outgrown the embedded database goes to PostgreSQL (decision 0006.18).

use crate::home::{Home, now};
use anyhow::{Context as _, Result};
use clap::Args;
use kiban_service::Context;
use kiban_store::{Entry, MovedTable, Outcome, Store, move_database};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー（鍵とアンカーはそのまま使います）
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// 移す元（sqlite:パス。省略時は設置フォルダーの中）
    #[arg(long)]
    from: Option<String>,
    /// 移す先（空の PostgreSQL。所有者のアドレス）
    #[arg(long)]
    to: String,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let old = Home::open(&options.home, options.from.as_deref())?;
    let new = Home::open(&options.home, Some(&options.to))?;
    let bar = crate::import::progress_bar("移行");
    let moved = move_database(old.database(), new.database(), &old.anchor_dir(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })
    .await
    .with_context(|| "移していません。サーバーを止め、空の PostgreSQL を用意して、もう一度実行してください")?;
    bar.finish_and_clear();
    for MovedTable { name, rows, digest } in &moved {
        println!("{name} {rows}行 {}", &digest[..16]);
    }
    let store = new.platform().await?.store().clone();
    let intact = record(&store, &moved).await?;
    store.close().await?;
    println!(
        "{}",
        if intact {
            "移しました。件数と要約値は両方で同じで、監査記録の検証も通りました。これからは --db に新しいアドレスを指定し、古いデータベースは使わないでください"
        } else {
            "移しましたが、監査記録に相違があります。kiban audit verify で確かめてください"
        }
    );
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first entry in the new place says what came; whether the whole log verifies there.
async fn record(store: &Store, moved: &[MovedTable]) -> Result<bool> {
    let context = Context::new(now())?;
    let tables: Vec<_> = moved.iter().map(|table| serde_json::json!([table.name, table.rows, table.digest])).collect();
    let detail = Some(serde_json::json!({ "tables": tables }).to_string());
    let entry = Entry { detail, ..Entry::new(context.now, &context.request_id, "cli", "moved", Outcome::Done) };
    store.audit().append(entry).await?;
    store.audit().anchor_now().await?;
    Ok(store.audit().verify().await?.is_intact())
}
