//! `kiban doctor`: whether an installation is fit to be served, one thing after the other, each with what to do (P-199).

use crate::home::{Home, now};
use anyhow::Result;
use clap::Args;
use kiban_domain::{Timestamp, dates};
use kiban_service::Platform;
use serde::Serialize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Days before the end of a certificate at which it is told.
const DAYS: i64 = 60;
/// Free space of the installation's file system below which nothing should be taken in.
const LEAST_FREE: u64 = 2 << 30;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中。古ければ、ほかの命令と同じく最新にします）
    #[arg(long)]
    db: Option<String>,
    /// 結果を JSON で
    #[arg(long)]
    json: bool,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// 問題なし
    Good,
    /// 確かめる
    Look,
    /// 直すところ
    Mend,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    text: String,
    /// What to do; empty where nothing is to be done.
    todo: String,
}

fn good(name: &'static str, text: impl Into<String>) -> Finding {
    Finding { name, state: State::Good, text: text.into(), todo: String::new() }
}

fn look(name: &'static str, text: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { name, state: State::Look, text: text.into(), todo: todo.into() }
}

fn mend(name: &'static str, text: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { name, state: State::Mend, text: text.into(), todo: todo.into() }
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let home = Home::open(&options.home, options.db.as_deref())?;
    let mut found = vec![folder(&home), authority(&home)];
    found.extend(server_certificates(&home));
    found.push(room(&home));
    found.extend(platform(&home).await);
    let is_fit = found.iter().all(|finding| finding.state != State::Mend);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found);
    }
    Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(found: &[Finding]) {
    for finding in found {
        let state = match finding.state {
            State::Good => "問題なし　",
            State::Look => "確かめる　",
            State::Mend => "直すところ",
        };
        println!("{state}　{}: {}", finding.name, finding.text);
        if !finding.todo.is_empty() {
            println!("　　　　　　→ {}", finding.todo);
        }
    }
    let of = |state: State| found.iter().filter(|finding| finding.state == state).count();
    println!(
        "{}のうち 問題なし {}、確かめる {}、直すところ {}",
        found.len(),
        of(State::Good),
        of(State::Look),
        of(State::Mend)
    );
}

/// Nobody else may read the keys.
fn folder(home: &Home) -> Finding {
    const NAME: &str = "鍵のファイル";
    if !home.master_key().exists() {
        let text = format!("主鍵 {} がありません", home.master_key().display());
        let todo = "新しい設置なら kiban serve が作ります。前からある設置なら、分割保管か控えから戻します（kiban keys、docs/keys.md）";
        return mend(NAME, text, todo);
    }
    let open: Vec<String> = keys_in(home.dir())
        .into_iter()
        .chain(keys_in(&home.ca_dir()))
        .filter(|path| path.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        return good(NAME, "ほかの利用者には読めません");
    }
    mend(NAME, format!("ほかの利用者も読めます: {}", open.join("、")), format!("chmod 600 {}", open.join(" ")))
}

/// Files of a folder that hold a key.
fn keys_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "key")).collect()
}

fn authority(home: &Home) -> Finding {
    const NAME: &str = "認証局";
    match home.ca() {
        Ok(ca) => ends(NAME, ca.not_after(), now(), "中間認証局を作り直します（docs/certificates.md）"),
        Err(error) => mend(NAME, format!("{error:#}"), "kiban ca init で作るか、合言葉・暗証番号のファイルを渡します"),
    }
}

/// Those of the listeners, which `serve` renews by itself.
fn server_certificates(home: &Home) -> Vec<Finding> {
    const NAME: &str = "サーバーの証明書";
    let entries = std::fs::read_dir(home.dir()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.with_extension("key").exists()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "crt"));
    files.sort();
    if files.is_empty() {
        return vec![look(NAME, "まだありません", "kiban serve が始めるときに作ります")];
    }
    let of_file = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pem = std::fs::read_to_string(path).unwrap_or_default();
        let read = kiban_pki::tls::certificates(&pem).ok().and_then(|chain| chain.into_iter().next());
        let Some(end) = read.and_then(|der| kiban_pki::not_after(&der).ok()) else {
            return mend(
                NAME,
                format!("{file} を読めません"),
                "ファイルを除いて kiban serve を始め直すと、作り直します",
            );
        };
        let found = ends(
            NAME,
            end,
            now(),
            "kiban serve が動いていれば30日前に替えます。よその証明書なら、新しいものを置きます",
        );
        Finding { text: format!("{file} {}", found.text), ..found }
    };
    files.iter().map(of_file).collect()
}

/// Whether something ends soon.
fn ends(name: &'static str, end: Timestamp, now: Timestamp, todo: &str) -> Finding {
    let days = end.duration_since(now).as_hours() / 24;
    let text = format!("期限は {}（あと{days}日）", dates::wareki(dates::day_in_japan(end)));
    match end {
        _ if end <= now => mend(name, text, todo),
        _ if days < DAYS => look(name, text, todo),
        _ => good(name, text),
    }
}

fn room(home: &Home) -> Finding {
    const NAME: &str = "ディスクの空き";
    match rustix::fs::statvfs(home.dir()) {
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(facts.f_frsize);
            let text = format!("設置フォルダーのある所の空き {} MB", free >> 20);
            if free < LEAST_FREE {
                mend(NAME, text, "2 GB より少なくなっています。空けるか、広げます")
            } else {
                good(NAME, text)
            }
        }
        Err(error) => look(NAME, format!("確かめられません: {error}"), "df で見ます"),
    }
}

/// What needs the database. It is not opened without its key, which would be made anew.
async fn platform(home: &Home) -> Vec<Finding> {
    const NAME: &str = "データベース";
    if !home.master_key().exists() {
        return vec![look(NAME, "主鍵がないため開きません", "主鍵を戻してから、もう一度実行します")];
    }
    if let Some(file) = home.database().strip_prefix("sqlite:").filter(|file| !Path::new(file).exists()) {
        return vec![look(NAME, format!("まだありません: {file}"), "kiban serve が始めるときに作ります")];
    }
    match home.platform().await {
        Err(error) => {
            let todo = "アドレス（--db）、接続、権限を確かめます。時計と控えのことなら、上の文のとおりにします";
            vec![mend(NAME, format!("{error:#}"), todo)]
        }
        Ok(platform) => {
            let mut found = vec![good(NAME, format!("{} を開けました", platform.store().engine_name()))];
            found.extend([clock(&platform), role(&platform).await, mail(&platform).await]);
            if let Err(error) = platform.store().clone().close().await {
                found.push(mend(NAME, format!("{error}"), "もう一度実行します"));
            }
            found
        }
    }
}

fn clock(platform: &Platform) -> Finding {
    const NAME: &str = "時計";
    let drift = platform.clock_drift();
    let text = format!("データベースの時計との差 {} ミリ秒", drift.0 / 1_000);
    let todo = "時刻の同期（NTP）を直します。30秒を超えると、何も提供しません";
    if drift.is_alarming() { look(NAME, text, todo) } else { good(NAME, text) }
}

async fn role(platform: &Platform) -> Finding {
    const NAME: &str = "監査記録の権限";
    match platform.store().may_delete_audit().await {
        Ok(false) => good(NAME, "このロールは監査記録を消せません"),
        Ok(true) => {
            let todo = "本番では、追記だけのロール kiban_app で動かします（kiban migrate --roles）。内蔵データベースには、この守りはありません";
            look(NAME, "このロールは監査記録を消せます", todo)
        }
        Err(error) => mend(NAME, format!("確かめられません: {error}"), "データベースへの接続を確かめます"),
    }
}

async fn mail(platform: &Platform) -> Finding {
    const NAME: &str = "メール";
    match platform.mail_answers().await {
        None => look(
            NAME,
            "設定していません",
            "メールの第二要素を使うときは、設置フォルダーに mail.json を置きます（docs/accounts.md）",
        ),
        Some(Ok(())) => good(NAME, "送信サーバーが答えました"),
        Some(Err(error)) => mend(
            NAME,
            format!("送信サーバーにつながりません: {error}"),
            "mail.json の host・port・tls・user・password を確かめます",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_sixty_days_before_and_is_a_fault_when_it_has_passed() {
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let in_days = |days: i64| now + jiff::SignedDuration::from_hours(24 * days);
        let state = |days| ends("x", in_days(days), now, "").state;
        assert_eq!([state(400), state(60), state(59), state(1), state(0), state(-3)], {
            use State::{Good, Look, Mend};
            [Good, Good, Look, Look, Mend, Mend]
        });
    }
}
