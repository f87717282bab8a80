//! `kiban connect check`: what is wrong with the set-up, in the words of somebody who has to put it right. Nothing is sent
//! but one question for the inbox, and nothing is changed.

use super::config::{Config, Role};
use super::link::{Answer, Content, Link, Trouble};
use super::place::PARTS;
use crate::home::now;
use anyhow::Result;
use kiban_domain::Timestamp;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Days before the end of the certificate from which its renewal is asked for.
const RENEW_DAYS: i64 = 30;
/// Seconds by which the clock may differ.
const DRIFT: i64 = 60;

/// What was found.
#[derive(Default)]
struct Findings {
    wrong: usize,
}

impl Findings {
    fn good(&mut self, text: &str) {
        println!("よい　 {text}");
    }

    fn note(&mut self, text: &str) {
        println!("注意　 {text}");
    }

    fn wrong(&mut self, text: &str) {
        self.wrong += 1;
        println!("要対応 {text}");
    }
}

pub async fn run(path: &Path) -> Result<ExitCode> {
    let mut findings = Findings::default();
    match Config::read(path) {
        Err(faults) => faults.iter().for_each(|fault| findings.wrong(fault)),
        Ok(config) => {
            findings.good(&format!("設定ファイル {}", path.display()));
            secret(&mut findings, path, "設定ファイル", config.proxy.is_some());
            let is_readable = certificate(&mut findings, &config);
            folders(&mut findings, &config);
            if is_readable {
                renewable(&mut findings, &config);
                platform(&mut findings, &config).await;
            } else {
                findings.note("証明書と鍵を直すまで、基盤との通信は調べません");
            }
        }
    }
    Ok(match findings.wrong {
        0 => {
            println!("接続できる状態です");
            ExitCode::SUCCESS
        }
        n => {
            println!("直すところが {n} 件あります");
            ExitCode::FAILURE
        }
    })
}

fn secret(findings: &mut Findings, path: &Path, what: &str, matters: bool) {
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode() & 0o077).unwrap_or(0);
    if matters && mode != 0 {
        findings.note(&format!("{what} {} をほかの利用者も読めます。chmod 600 にしてください", path.display()));
    }
}

/// Whether everything the connection needs can be read; what cannot has been told.
fn certificate(findings: &mut Findings, config: &Config) -> bool {
    let before = findings.wrong;
    for (path, what) in [(&config.certificate, "証明書"), (&config.key, "秘密鍵"), (&config.ca, "認証局の証明書")]
    {
        if let Err(error) = std::fs::read(path) {
            findings.wrong(&format!("{what} {} を読めません（{error}）。場所と権限を確かめてください", path.display()));
        }
    }
    secret(findings, &config.key, "秘密鍵", true);
    let Ok(text) = std::fs::read_to_string(&config.certificate) else { return findings.wrong == before };
    let own = kiban_pki::tls::certificates(&text).ok().and_then(|chain| chain.into_iter().next());
    let Some(own) = own else {
        findings.wrong("証明書が PEM の形ではありません。発行されたファイルを確かめてください");
        return false;
    };
    let is_readable = findings.wrong == before;
    match kiban_pki::not_after(&own) {
        Ok(end) => expiry(findings, end, now()),
        Err(error) => findings.wrong(&error.message_ja()),
    }
    match kiban_pki::organization_of(&own) {
        Some(organization) => findings.good(&format!("証明書の組織: {organization}")),
        None => findings.note("証明書に組織の番号がありません"),
    }
    is_readable
}

fn expiry(findings: &mut Findings, end: Timestamp, now: Timestamp) {
    let days = (end.as_second() - now.as_second()).div_euclid(86_400);
    let day = kiban_domain::dates::day_in_japan(end);
    if days < 0 {
        findings.wrong(&format!("証明書の期限が {day} に切れています。運用者に新しい証明書の発行を申し込んでください"));
    } else if days < RENEW_DAYS {
        findings.note(&format!("証明書の期限が {day} で、あと {days} 日です。期限の60日前から接続プログラムが自分で更新しています。その記録と、証明書と鍵のあるフォルダーに書けるかを確かめてください"));
    } else {
        findings.good(&format!("証明書の期限 {day}"));
    }
}

fn folders(findings: &mut Findings, config: &Config) {
    if !config.folder.is_dir() {
        let text = "がありません。作って、接続プログラムの利用者が書けるようにしてください";
        return findings.wrong(&format!("フォルダー {} {text}", config.folder.display()));
    }
    let device = |path: &PathBuf| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    let mut sound = true;
    let mut all_tried = Vec::new();
    for part in PARTS {
        let path = config.folder.join(part);
        // What is missing is made at the first start.
        let tried = if path.is_dir() { path.clone() } else { config.folder.clone() };
        if all_tried.contains(&tried) {
            continue;
        }
        all_tried.push(tried.clone());
        if device(&tried) != device(&config.folder) {
            sound = false;
            findings.wrong(&format!(
                "{} が別のファイルシステムにあります。移し替えの途中で欠けるおそれがあるため、{} と同じ場所に置いてください",
                path.display(),
                config.folder.display()
            ));
        }
        if let Err(error) = probe(&tried) {
            sound = false;
            findings.wrong(&format!("フォルダー {} に書けません（{error}）。権限を確かめてください", tried.display()));
        }
    }
    if sound {
        findings.good(&format!("フォルダー {}", config.folder.display()));
    }
}

/// The new pair takes the place of the old one, so their folders must be writable.
fn renewable(findings: &mut Findings, config: &Config) {
    if let Err((folder, error)) = replaceable(config) {
        findings.wrong(&format!(
            "証明書と鍵のフォルダー {} に書けません（{error}）。期限の60日前からの更新ができないため、接続プログラムの利用者が書けるフォルダーに置いてください",
            folder.display()
        ));
    }
}

/// Whether certificate and key can be replaced, or the folder that cannot be written.
pub(super) fn replaceable(config: &Config) -> Result<(), (&Path, std::io::Error)> {
    [&config.certificate, &config.key].into_iter().try_for_each(|file| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        probe(folder).map_err(|error| (folder, error))
    })
}

fn probe(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".check-{}.tmp", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(&probe)
}

async fn platform(findings: &mut Findings, config: &Config) {
    let mut link = match Link::new(config) {
        Ok(link) => link,
        Err(error) => return findings.wrong(&format!("{error:#}")),
    };
    let path = match config.role {
        Role::Municipality => "/api/v1/inbox?limit=1",
        Role::Hospital => "/api/v1/opinions",
    };
    match link.send("GET", path, Content::Nothing).await {
        Ok(answer) => {
            findings.good(&format!("基盤 {}:{} につながりました", config.host, config.port));
            clock(findings, answer.date.as_deref(), now());
            admitted(findings, config, &answer);
        }
        Err(lost) => {
            findings.wrong(&lost.text);
            match lost.trouble {
                Trouble::Name if config.proxy.is_none() => {
                    findings.note("名前を調べられない閉域網では、address に「IPアドレス:ポート」を書いてください");
                }
                Trouble::Unreachable if config.proxy.is_none() => {
                    findings.note("ファイアウォールで接続先とポートへの通信が許されているか、プロキシが要らないかを確かめてください");
                }
                _ => {}
            }
        }
    }
}

fn clock(findings: &mut Findings, date: Option<&str>, now: Timestamp) {
    let theirs = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|zoned| zoned.timestamp());
    let Some(theirs) = theirs else { return };
    let ahead = now.as_second() - theirs.as_second();
    if ahead.abs() > DRIFT {
        let way = if ahead > 0 { "進んで" } else { "遅れて" };
        findings.wrong(&format!("この端末の時計が {} 秒{way}います。時刻の同期（NTP）を設定してください", ahead.abs()));
    } else {
        findings.good("時計");
    }
}

fn admitted(findings: &mut Findings, config: &Config, answer: &Answer) {
    match (answer.status, answer.code().as_str()) {
        (200, _) => findings.good("接続プログラムとして受け付けられました"),
        (401, "login_required") => findings.wrong(
            "この証明書は端末用で、接続プログラム用ではありません。運用者に接続プログラム用の証明書（kiban ca issue --connector）の発行を申し込んでください",
        ),
        (421, _) => findings.wrong("server のホスト名が基盤のものと違います。案内された名前を書いてください"),
        (404, _) if config.role == Role::Municipality => {
            findings.wrong("市区町村の証明書ではないか、接続先が市区町村用の入口ではありません。role と server を確かめてください");
        }
        (404, _) => findings.wrong("接続先が意見書の入口ではないか、医療機関の証明書ではありません。role と server を確かめてください"),
        _ => findings.wrong(&answer.words()),
    }
}
