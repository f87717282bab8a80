//! `kiban audit`: the whole log verified offline, naming the first altered entry (S-016); its decisions taken again; its
//! public key; the end of months that nobody has to keep any more (P-203); a person's own list, to be checked by anybody
//! with the public key (S-019).

use crate::home::{Home, now};
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};
use kiban_domain::{InsuredNumber, InsurerNumber, Timestamp};
use kiban_service::{Context, Error};
use kiban_store::{
    Entry, KEEP_YEARS, Month, Outcome, PersonLog, PersonRefused, Position, Proof, PublicKey, StoreError, Value,
    VerifyReport, first_month_kept, verify_person, verify_proof,
};
use std::path::{Path, PathBuf};
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
        /// 公開鍵（16進64桁。kiban audit key で表示されるもの）。別の機械で、署名鍵を持たずに検証するとき
        #[arg(long)]
        key: Option<String>,
        /// 外のアンカー（anchors.jsonl）のフォルダー（省略時は設置フォルダーの中）
        #[arg(long)]
        anchors: Option<PathBuf>,
        /// 結果を JSON で
        #[arg(long)]
        json: bool,
    },
    /// 記録された判断を、残してある事実とその時の共有表でやり直し、記録の結果・規則と照合します
    Replay {
        /// この日から（例 2026-11-01。省略時は初めから）
        #[arg(long)]
        from: Option<String>,
        /// この日まで（省略時は終わりまで）
        #[arg(long)]
        to: Option<String>,
    },
    /// 検証に使う公開鍵（16進64桁）を表示します
    Key,
    /// 本人に渡す「だれが私の情報を見たか」の一覧を書き出します（署名済みの月。公開鍵だけで確かめられます）
    Person {
        /// 保険者番号（6桁）
        insurer: String,
        /// 被保険者番号（10桁）
        insured: String,
        /// 書き出すファイル（JSON）
        #[arg(long)]
        out: PathBuf,
        /// 見た機関・職員を伏せます（不開示の人の一覧を本人以外に渡すとき）
        #[arg(long)]
        without_offices: bool,
    },
    /// 本人に渡された一覧を、公開鍵だけで確かめます（設置フォルダーもデータベースも要りません）
    VerifyPerson {
        /// 一覧のファイル（JSON）
        file: PathBuf,
        /// 公開鍵（16進64桁。kiban audit key で表示されるもの）
        #[arg(long)]
        key: String,
    },
    /// 記録1件の証明を書き出します（署名済みの記録。公開鍵だけで確かめられます）
    Proof {
        /// 記録の場所（記録者/区間/番号。audit verify・replay が示すもの）
        place: String,
        /// 書き出すファイル（JSON）
        #[arg(long)]
        out: PathBuf,
        /// 見た機関・職員を伏せます
        #[arg(long)]
        without_offices: bool,
    },
    /// 記録1件の証明を、公開鍵だけで確かめます（設置フォルダーもデータベースも要りません）
    VerifyProof {
        /// 証明のファイル（JSON）
        file: PathBuf,
        /// 公開鍵（16進64桁）
        #[arg(long)]
        key: String,
    },
    /// 保存期間を過ぎた月の記録を廃棄します（--approve がなければ、対象を表示するだけです）
    Purge {
        /// この月より前を対象にします（例 2021-11）
        #[arg(long)]
        before: String,
        /// 保存する年数（5年より短くはできません）
        #[arg(long, default_value_t = KEEP_YEARS)]
        keep_years: u8,
        /// 廃棄を承認した運用者2人のアカウント（例 operator/chief,operator/deputy）。付けると、それぞれのパスワードを尋ね、実際に廃棄します
        #[arg(long, value_delimiter = ',')]
        approve: Vec<String>,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = || Home::open(&options.home, options.db.as_deref());
    match options.command {
        Command::VerifyPerson { file, key } => verify_person_file(&file, &key),
        Command::Person { insurer, insured, out, without_offices } => {
            person(&home()?, &insurer, &insured, &out, without_offices).await
        }
        Command::Verify { key, anchors, json } => verify(&home()?, key.as_deref(), anchors, json).await,
        Command::Proof { place, out, without_offices } => proof(&home()?, &place, &out, without_offices).await,
        Command::VerifyProof { file, key } => verify_proof_file(&file, &key),
        Command::Replay { from, to } => crate::replay::run(&home()?, from.as_deref(), to.as_deref()).await,
        Command::Key => {
            println!("{}", hex(&home()?.signing_key()?.public_key()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Purge { before, keep_years, approve } => purge(&home()?, &before, keep_years, &approve).await,
    }
}

/// With a public key nothing of the installation is needed but the database and the anchors, or copies of them.
async fn verify(home: &Home, key: Option<&str>, anchors: Option<PathBuf>, json: bool) -> Result<ExitCode> {
    let key = match key {
        Some(key) => typed_key(key)?,
        None => home.signing_key()?.public_key(),
    };
    // What is not there must not be made and then found whole.
    if let Some(file) = home.database().strip_prefix("sqlite:").filter(|file| !Path::new(file).exists()) {
        anyhow::bail!("データベース {file} がありません。--home か --db を確かめてください");
    }
    let anchors = anchors.unwrap_or_else(|| home.anchor_dir());
    if !anchors.is_dir() {
        anyhow::bail!("アンカーのフォルダー {} がありません。--anchors を確かめてください", anchors.display());
    }
    let report = kiban_store::verify_log(home.database(), &key, &anchors).await?;
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
    if report.trees > 0 {
        println!("本人別の月の木 {}", report.trees);
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

async fn person(home: &Home, insurer: &str, insured: &str, out: &Path, without_offices: bool) -> Result<ExitCode> {
    let (insurer, insured) = (InsurerNumber::parse(insurer)?, InsuredNumber::parse(insured)?);
    let context = Context::new(now())?;
    let platform = home.platform().await?;
    let store = platform.store().clone();
    store.audit().sign_months(context.now).await?;
    store.audit().anchor_now().await?;
    let list = store.audit().person_log(insurer.as_str(), insured.as_str()).await?;
    let entry = Entry {
        insurer: Some(insurer.as_str().to_owned()),
        insured: Some(insured.as_str().to_owned()),
        ..Entry::new(context.now, &context.request_id, "cli", "audit.person", Outcome::Allowed)
    };
    let mut list = store.audit().release(list, entry).await?;
    store.close().await?;
    if list.months.is_empty() {
        println!("署名された月がまだありません（月が終わってから署名します）。ファイルは書いていません");
        return Ok(ExitCode::FAILURE);
    }
    if without_offices {
        list.withhold_offices();
    }
    crate::ca::write_secret(out, serde_json::to_string_pretty(&list)?.as_bytes())?;
    let entries: usize = list.months.iter().map(|month| month.entries.len()).sum();
    println!("書き出しました: {} {}か月 {entries}件", out.display(), list.months.len());
    Ok(ExitCode::SUCCESS)
}

fn verify_person_file(file: &Path, key: &str) -> Result<ExitCode> {
    let key = typed_key(key)?;
    let text = std::fs::read_to_string(file).with_context(|| format!("{} を読めません", file.display()))?;
    let list: PersonLog = serde_json::from_str(&text)
        .map_err(|_| anyhow!("{} は kiban audit person が書いた一覧ではありません", file.display()))?;
    match verify_person(&list, &key) {
        Ok(months) => {
            print_person(&list);
            for (month, entries) in months {
                println!("{month} {entries}件 署名のとおり");
            }
            println!("検証結果: この期間の記録はこれですべてです");
            Ok(ExitCode::SUCCESS)
        }
        Err(refused) => {
            let why = match refused {
                PersonRefused::Empty => "署名された月がありません".to_owned(),
                PersonRefused::MonthMissing(month) => format!("{month} が抜けています"),
                PersonRefused::Entries(month) => {
                    format!("{month} の記録は署名された全件と一致しません（欠落・変更・追加）")
                }
                PersonRefused::Signature(month) => format!("{month} はこの公開鍵で署名されたものではありません"),
            };
            println!("検証結果: 一致しません。{why}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn proof(home: &Home, place: &str, out: &Path, without_offices: bool) -> Result<ExitCode> {
    let position: Position = place
        .replace('/', "-")
        .parse()
        .map_err(|_| anyhow!("{place} は記録の場所ではありません。記録者/区間/番号 の形で指定してください"))?;
    let context = Context::new(now())?;
    let platform = home.platform().await?;
    let store = platform.store().clone();
    store.audit().anchor_now().await?;
    let mut proof = match store.audit().proof(position).await {
        Ok(proof) => proof,
        Err(StoreError::Unavailable(_)) => {
            store.close().await?;
            anyhow::bail!(
                "{place} に、署名された記録はありません（署名までに1分ほどかかります。廃棄した記録の証明は書けません）"
            );
        }
        Err(error) => return Err(error.into()),
    };
    let entry = Entry {
        natural_key: Some(position.to_string()),
        ..Entry::new(context.now, &context.request_id, "cli", "audit.proof", Outcome::Allowed)
    };
    store.audit().append(entry).await?;
    store.close().await?;
    if without_offices {
        proof.withhold("who");
    }
    crate::ca::write_secret(out, serde_json::to_string_pretty(&proof)?.as_bytes())?;
    println!("書き出しました: {}", out.display());
    Ok(ExitCode::SUCCESS)
}

fn verify_proof_file(file: &Path, key: &str) -> Result<ExitCode> {
    let key = typed_key(key)?;
    let text = std::fs::read_to_string(file).with_context(|| format!("{} を読めません", file.display()))?;
    let proof: Proof = serde_json::from_str(&text)
        .map_err(|_| anyhow!("{} は kiban audit proof が書いた証明ではありません", file.display()))?;
    if let Err(why) = verify_proof(&proof, &key) {
        println!("検証結果: 一致しません（{}）", why.0);
        return Ok(ExitCode::FAILURE);
    }
    for name in ["at", "organization", "staff", "insurer_number", "insured_number", "action", "kind", "outcome", "rule"]
    {
        if let Some(value) = proof.field(name).filter(|value| **value != Value::Null) {
            println!("{name}: {}", shown(name, value));
        }
    }
    println!("検証結果: この記録は、署名された監査記録にあるとおりです");
    Ok(ExitCode::SUCCESS)
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(at) if name == "at" => {
            Timestamp::from_microsecond(*at).map(|at| at.to_string()).unwrap_or_default()
        }
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Null => String::new(),
    }
}

fn typed_key(key: &str) -> Result<PublicKey> {
    public_key(key).ok_or_else(|| anyhow!("公開鍵は16進64桁で指定してください"))
}

/// One line per entry: when, who, what, which kind, what came of it.
fn print_person(list: &PersonLog) {
    println!("保険者番号 {} 被保険者番号 {}", list.insurer, list.insured);
    for month in &list.months {
        for entry in 0..month.entries.len() {
            let text = |name: &str| match month.field(entry, name) {
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Null) => String::new(),
                _ => "（伏せてあります）".to_owned(),
            };
            let at = match month.field(entry, "at") {
                Some(Value::Number(at)) => {
                    Timestamp::from_microsecond(*at).map(|at| at.to_string()).unwrap_or_default()
                }
                _ => String::new(),
            };
            let outcome = Outcome::parse(&text("outcome")).map_or("不明", Outcome::name_ja);
            println!("{at} {} {} {} {outcome}", text("organization"), text("action"), text("kind"));
        }
    }
}

fn public_key(text: &str) -> Option<PublicKey> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(key)
}

async fn purge(home: &Home, before: &str, keep_years: u8, approve: &[String]) -> Result<ExitCode> {
    let before = month(before)?;
    let context = Context::new(now())?;
    let kept = first_month_kept(context.now, keep_years);
    if before > kept {
        anyhow::bail!("{kept} 以降の記録は保存期間の中なので廃棄できません。--before {kept} 以前を指定してください");
    }
    let platform = home.platform().await?;
    let ask = |approve: &[String]| crate::proof::ask(approve).map_err(|error| Error::Unavailable(error.to_string()));
    let months = match platform.prove_purge(approve, ask, &context).await {
        Ok(()) => platform.purge_audit(before, keep_years, approve, &context).await,
        Err(error) => Err(error),
    };
    platform.store().clone().close().await?;
    let months = months.map_err(crate::home::explain)?;
    for purged in &months {
        println!("{} {}件", purged.month, purged.entries);
    }
    println!(
        "{}",
        match (months.is_empty(), !approve.is_empty()) {
            (true, _) => "廃棄の対象になる記録はありません",
            (false, true) => "廃棄しました。廃棄証明は監査記録とともに残ります",
            (false, false) =>
                "試行です。まだ何も廃棄していません。承認を得たら --approve 承認者1,承認者2 を付けて実行してください",
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
