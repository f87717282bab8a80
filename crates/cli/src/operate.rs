//! `kiban operate`: what the operator registers before anybody can work: offices, accounts, what a connector may, the start of a
//! municipality, the members of 広域連合.
//! Each act is audited like any other; none of them opens a record.

use crate::home::{Home, explain, now};
use crate::union_members;
use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use kiban_domain::dates::parse_typed;
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Office};
use kiban_domain::{CareManagerNumber, InsurerNumber, OfficeNumber, Organization, ServiceType};
use kiban_policy::service_type_rule;
use kiban_service::{Context, InitialPassword, Invitation, NewAccount, StartChange};
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
    /// 後回しにしたパッケージをもう一度処理の列に戻します（続きから反映します）
    Retry {
        /// 保険者番号（6桁）
        insurer: String,
        /// 受付番号
        receipt: String,
    },
    /// 事業所・医療機関を登録します
    Office {
        /// 事業所番号または医療機関コード（10桁）
        number: String,
        /// 名称
        name: String,
        /// 所在市区町村の保険者番号（6桁）
        #[arg(long)]
        municipality: String,
        /// サービス種類コード（カンマ区切り。例 43 や 11,13）
        #[arg(long, value_delimiter = ',')]
        services: Vec<String>,
        /// 医療機関である
        #[arg(long)]
        hospital: bool,
        /// 登録を止める（ログインできなくなります）
        #[arg(long)]
        inactive: bool,
    },
    /// 職員アカウントを登録・変更します（パスワードは標準入力の1行目で、本人が決めたものとして扱います。--initial なら仮のパスワードを
    /// 表示し、本人が最初のログインで変えます。止めたアカウントは止めたままです）
    Account {
        /// 事業所番号・保険者番号・都道府県コード・operator
        organization: String,
        /// アカウント名
        account: String,
        /// 氏名
        #[arg(long)]
        name: String,
        /// 職種: care_manager, physician, nurse, therapist, care_worker, social_worker, clerk, municipal_officer, operator_staff
        #[arg(long)]
        job: String,
        /// 介護支援専門員番号（8桁）
        #[arg(long)]
        care_manager_number: Option<String>,
        /// 組織の管理者にする（職員ごとの閲覧の停止、管理者への知らせ）
        #[arg(long)]
        administrator: bool,
        /// 仮のパスワードを作って一度だけ表示する（新しいアカウントだけ）
        #[arg(long)]
        initial: bool,
    },
    /// 仮のパスワードを出し直して、一度だけ表示します（いまのログインは直ちに終わります）
    ResetAccount {
        /// 事業所番号・保険者番号・都道府県コード・operator
        organization: String,
        /// アカウント名
        account: String,
        /// 第二要素もなくした（設定を消す）
        #[arg(long)]
        second_factor: bool,
    },
    /// 辞めた人のアカウントを閉じます（元に戻せません。これまでの記録は残ります）
    CloseAccount {
        /// 事業所番号・保険者番号・都道府県コード・operator
        organization: String,
        /// アカウント名
        account: String,
    },
    /// 職員アカウントを止めます（ログインできず、いまのログインも直ちに終わります）
    DisableAccount {
        /// 事業所番号・保険者番号・都道府県コード・operator
        organization: String,
        /// アカウント名
        account: String,
    },
    /// 止めた職員アカウントを、もう一度使えるようにします
    EnableAccount {
        /// 事業所番号・保険者番号・都道府県コード・operator
        organization: String,
        /// アカウント名
        account: String,
    },
    /// 接続プログラムの証明書に、市区町村の全員分の書出しを許します（付けなければ、許しを取り消します）
    Connector {
        /// 証明書のシリアル番号（kiban ca list）
        serial: String,
        /// 書出しを許す
        #[arg(long)]
        may_export: bool,
    },
    /// 市区町村の利用開始を登録します
    Start {
        /// 保険者番号（6桁）
        insurer: String,
        /// 未定 undecided・調整中 coordinating・予定 planned・開始 started
        state: String,
        /// 予定日・開始日（例 2026-12-01、令和8年12月1日）
        date: Option<String>,
        /// 不採用の行があるまま開始する理由、または開始を取り消す理由
        #[arg(long)]
        reason: Option<String>,
    },
    /// 広域連合の構成市町村を登録・一覧・削除します
    Union {
        #[command(subcommand)]
        command: union_members::Command,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    // Everything typed is read before anything is opened.
    let act = read(options.command)?;
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    let context = Context::new(now())?;
    match act {
        Act::Office(mut office, active) => {
            let table = platform.table_at(context.now).map_err(explain)?;
            if let Some(code) = office.service_types.iter().find(|code| service_type_rule(code, table).is_none()) {
                anyhow::bail!("サービス種類コード {code} は表にありません（例: 43 居宅介護支援、11 訪問介護）");
            }
            if let Some(expected) = office.number.check_digit_warning() {
                println!("注意: 事業所番号の検証番号が計算値 {expected} と違います（登録は続けます）");
            }
            let before = platform.store().office(office.number).await?.map(|(before, _)| before);
            // What is not named stays as it was.
            if let Some(before) = before.as_ref().filter(|_| office.service_types.is_empty()) {
                office.service_types.clone_from(&before.service_types);
                office.is_hospital |= before.is_hospital;
            }
            platform.put_offices(std::slice::from_ref(&office), active, &context).await.map_err(explain)?;
            let services =
                |office: &Office| office.service_types.iter().map(ServiceType::as_str).collect::<Vec<_>>().join(",");
            match before {
                Some(before) => println!(
                    "変更しました: {} {}（{}） → {}（{}）",
                    office.number,
                    before.name,
                    services(&before),
                    office.name,
                    services(&office)
                ),
                None => println!("登録しました: {} {}（{}）", office.number, office.name, services(&office)),
            }
        }
        Act::Account(account) => {
            let id = platform.put_account(account, "cli", &context).await.map_err(explain)?;
            println!("登録しました: {id}");
        }
        Act::Invite(organization, invitation) => {
            tell(&platform.invite_locally(organization, invitation, &context).await.map_err(explain)?);
        }
        Act::Reset(organization, account, factor_lost) => {
            let told = platform.reset_locally(organization, (&account, factor_lost), &context).await;
            tell(&told.map_err(|error| no_account(error, organization, &account))?);
        }
        Act::Close(organization, account) => {
            let closed = platform.close_locally(organization, &account, &context).await;
            closed.map_err(|error| no_account(error, organization, &account))?;
            println!("閉じました: {organization}/{account}（動いている基盤でも、2秒以内に使えなくなります）");
        }
        Act::SwitchAccount(organization, account, active) => {
            match platform.switch_account_locally(organization, &account, active, &context).await {
                Ok(()) if active => println!("使えるようにしました: {organization}/{account}"),
                Ok(()) => {
                    println!("止めました: {organization}/{account}（動いている基盤でも、2秒以内に使えなくなります）")
                }
                Err(error) => return Err(no_account(error, organization, &account)),
            }
        }
        Act::Connector(serial, may_export) => {
            platform.allow_export(&serial, may_export, &context).await.map_err(explain)?;
            let now = if may_export { "書出しを許しました" } else { "書出しの許しはありません" };
            println!("登録しました: 接続プログラム {serial} {now}");
        }
        Act::Retry(insurer, receipt) => match platform.retry_package(insurer, &receipt, &context).await {
            Ok(()) => println!("列に戻しました: {receipt}（動いている基盤が続きから反映します）"),
            Err(kiban_service::Error::Unknown) => {
                anyhow::bail!("後回しになっているパッケージに、保険者 {insurer} の受付番号 {receipt} はありません")
            }
            Err(error) => return Err(explain(error)),
        },
        Act::Start(insurer, change) => {
            platform.set_start_because(insurer, &change, "cli", &context).await.map_err(explain)?;
            println!("登録しました: {insurer} {}", change.start.name_ja());
        }
        Act::Union(act) => union_members::run(act, &platform, &context).await?,
    }
    platform.store().clone().close().await?;
    Ok(ExitCode::SUCCESS)
}

/// The one time an initial password is shown.
fn tell(password: &InitialPassword) {
    println!("アカウント: {}", password.account);
    println!("仮のパスワード: {}", password.initial_password);
    println!("期限: {}（最初のログインで変えるまで、ほかのことはできません）", password.valid_until);
}

fn no_account(error: kiban_service::Error, organization: Organization, account: &str) -> anyhow::Error {
    match error {
        kiban_service::Error::Unknown => anyhow!("{organization} に {account} というアカウントはありません"),
        other => explain(other),
    }
}

enum Act {
    Retry(InsurerNumber, String),
    Office(Office, bool),
    Account(NewAccount),
    Invite(Organization, Invitation),
    Reset(Organization, String, bool),
    Close(Organization, String),
    SwitchAccount(Organization, String, bool),
    Connector(String, bool),
    Start(InsurerNumber, StartChange),
    Union(union_members::Act),
}

fn read(command: Command) -> Result<Act> {
    let item = |item: &'static str| move |error: kiban_domain::ids::IdError| anyhow!("{item}: {}", error.message_ja());
    match command {
        Command::Office { number, name, municipality, services, hospital, inactive } => {
            let office = Office {
                number: OfficeNumber::parse(&number).map_err(item("事業所番号"))?,
                name,
                address: None,
                telephone: None,
                municipality: InsurerNumber::parse(&municipality).map_err(item("所在市区町村"))?,
                is_hospital: hospital,
                service_types: services
                    .iter()
                    .map(|code| ServiceType::parse(code).map_err(item("サービス種類コード")))
                    .collect::<Result<_>>()?,
            };
            Ok(Act::Office(office, !inactive))
        }
        Command::Account { organization, account, name, job, care_manager_number, administrator, initial } => {
            let organization = Organization::parse(&organization).map_err(item("機関の番号"))?;
            let job = JobType::parse(&job).ok_or_else(|| anyhow!("職種 \"{job}\" はありません"))?;
            let care_manager = care_manager_number
                .map(|number| CareManagerNumber::parse(&number).map_err(item("介護支援専門員番号")))
                .transpose()?;
            if initial {
                return Ok(Act::Invite(organization, Invitation { account, name, job, care_manager, administrator }));
            }
            let mut password = zeroize::Zeroizing::new(String::with_capacity(256));
            std::io::stdin().read_line(&mut password)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            Ok(Act::Account(NewAccount { organization, account, name, job, care_manager, administrator, password }))
        }
        Command::ResetAccount { organization, account, second_factor } => {
            let organization = Organization::parse(&organization).map_err(item("機関の番号"))?;
            Ok(Act::Reset(organization, account, second_factor))
        }
        Command::CloseAccount { organization, account } => {
            let organization = Organization::parse(&organization).map_err(item("機関の番号"))?;
            Ok(Act::Close(organization, account))
        }
        Command::DisableAccount { organization, account } => {
            let organization = Organization::parse(&organization).map_err(item("機関の番号"))?;
            Ok(Act::SwitchAccount(organization, account, false))
        }
        Command::EnableAccount { organization, account } => {
            let organization = Organization::parse(&organization).map_err(item("機関の番号"))?;
            Ok(Act::SwitchAccount(organization, account, true))
        }
        Command::Connector { serial, may_export } => Ok(Act::Connector(serial, may_export)),
        Command::Retry { insurer, receipt } => {
            Ok(Act::Retry(InsurerNumber::parse(&insurer).map_err(item("保険者番号"))?, receipt))
        }
        Command::Start { insurer, state, date, reason } => {
            let insurer = InsurerNumber::parse(&insurer).map_err(item("保険者番号"))?;
            let date = date
                .map(|text| parse_typed(&text).map_err(|error| anyhow!("日付: {}", error.message_ja())))
                .transpose()?;
            let start = StartState::from_code(&state, date).ok_or_else(|| {
                anyhow!("状態は undecided・coordinating（日付なし）、planned・started（日付あり）のどれかです")
            })?;
            Ok(Act::Start(insurer, StartChange { start, reason }))
        }
        Command::Union { command } => Ok(Act::Union(union_members::read(command)?)),
    }
}
