//! The one executable, `kiban`: every role of the platform is a command. This file names them; each has a file.

mod audit;
mod backup;
mod bench;
mod ca;
mod card;
mod check;
mod client;
mod connect;
mod convert;
mod demo;
mod doctor;
mod export;
mod hardening;
mod home;
mod hosts;
mod import;
mod keys;
mod lane;
mod log;
mod migrate;
mod notices;
mod operate;
mod oqs;
mod pmh;
mod proof;
mod relocate;
mod renew;
mod replay;
mod restore;
mod serve;
mod union_members;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// 介護情報基盤 kaigo-kiban
#[derive(Parser)]
#[command(name = "kiban", version, about = "介護情報基盤（長期ケアの情報共有基盤）", subcommand_required = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 架空の市で主な流れを実演し、そのまま待ち受けます
    Demo(demo::Options),
    /// サーバーを起動します
    Serve(serve::Options),
    /// 設置を点検し、直すところと手順を示します
    Doctor(doctor::Options),
    /// 市区町村のパッケージを取り込みます
    Import(import::Options),
    /// 市区町村の情報をパッケージとして書き出します
    Export(export::Options),
    /// お知らせ（紙）を市の全員分まとめて作ります
    Notices(notices::Options),
    /// ファイルを検査します（サーバー不要）
    Check(check::Options),
    /// ケアプランの CSV（標準仕様 4.1）と本プロジェクトの JSON を互いに変換します（サーバー不要）
    Convert(convert::Options),
    /// 読み取りアプリの代わり（試験用のカードで）
    Card(card::Options),
    /// オンライン資格確認の連携アプリによるカードの読み取り（非公式の形）
    Oqs(oqs::Options),
    /// PMH への証の登録（市区町村の側で。非公式の形）
    Pmh(pmh::Options),
    /// 認証局: 作成・発行・失効・一覧
    Ca(ca::Options),
    /// 事業所・アカウント・利用開始日・広域連合の構成市町村の登録（運用者）
    Operate(operate::Options),
    /// データベースを最新にし、接続するロールに権限を付けます（所有者）
    Migrate(migrate::Options),
    /// 市区町村・医療機関の側で動く接続プログラム
    Connect(connect::Options),
    /// SQLite の設置を空の PostgreSQL へ移します（サーバーを止めてから）
    Move(relocate::Options),
    /// 鍵: 更新・封印し直し・分割保管・確認
    Keys(keys::Options),
    /// 控え: とる・確かめる（5世代、1つは書込み禁止）
    Backup(backup::Options),
    /// 控えから復元し、運用者2人が受け入れるまで扉を開けません
    Restore(restore::Options),
    /// 監査記録の検証・公開鍵・本人の一覧・廃棄
    Audit(audit::Options),
    /// 性能を測ります（リリースビルドで）
    Bench(bench::Options),
    /// 架空の市のファイルを書き出します
    Sim(import::SimOptions),
}

fn main() -> std::process::ExitCode {
    log::begin();
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("エラー: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<std::process::ExitCode> {
    hardening::keep_memory_private()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Demo(options) => demo::run(options).await,
            Command::Serve(options) => serve::run(options).await,
            Command::Doctor(options) => doctor::run(options).await,
            Command::Import(options) => import::run(options).await,
            Command::Export(options) => export::run(options).await,
            Command::Notices(options) => notices::run(options).await,
            Command::Check(options) => check::run(&options),
            Command::Convert(options) => convert::run(&options),
            Command::Card(options) => card::run(options).await,
            Command::Oqs(options) => oqs::run(options).await,
            Command::Pmh(options) => pmh::run(options).await,
            Command::Ca(options) => ca::run(options).await,
            Command::Operate(options) => operate::run(options).await,
            Command::Migrate(options) => migrate::run(options).await,
            Command::Move(options) => relocate::run(options).await,
            Command::Connect(options) => connect::run(options).await,
            Command::Keys(options) => keys::run(options).await,
            Command::Backup(options) => backup::run(options).await,
            Command::Restore(options) => restore::run(options).await,
            Command::Audit(options) => audit::run(options).await,
            Command::Bench(options) => bench::run(options).await,
            Command::Sim(options) => import::write_city(&options),
        }
    })
}
