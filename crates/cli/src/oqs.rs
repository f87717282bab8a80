//! `kiban oqs`: card reading through オンライン資格確認 at a terminal (P-102, P-172). A request file goes into the folder of the
//! 連携アプリ, its answer comes out of the other one, and the terminal states to the platform whose card it was.
//! **Unofficial**: the form of these files for 介護保険 is not public, so what stands where is a table (docs/outside.md).

use crate::card;
use crate::home::now;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use kiban_domain::dates;
use kiban_formats::Problem;
use kiban_formats::oqs::{Ask, BUILT_IN, LONGEST_ANSWER, Mapping, Reading};
use kiban_pki::reader;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Time after which a request and its answer are nobody's any more: no reading waits so long.
const OVER: Duration = Duration::from_secs(10 * 60);
/// Between two looks for the answer.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// カードの読み取りを連携アプリに頼み、読み取り結果（1行）を出します。管理画面の「マイナンバーカードを読み取る」に入れます
    Read(Read),
    /// 要求と答えの対応表（TSV）を表示します。直したものを read --mapping で使えます
    Mapping,
}

#[derive(Args)]
struct Read {
    /// 連携アプリのフォルダー（中に req と res がある）
    folder: PathBuf,
    /// 医療機関コード・事業所番号（10桁）
    #[arg(long)]
    institution: String,
    /// 基盤のアドレス（例 https://office.localhost:8443）
    #[arg(long)]
    url: String,
    /// この端末の電子証明書
    #[arg(long)]
    certificate: PathBuf,
    /// その秘密鍵
    #[arg(long)]
    key: PathBuf,
    /// 基盤の認証局の証明書
    #[arg(long)]
    ca: PathBuf,
    /// 対応表（省略時は組込みのもの）
    #[arg(long)]
    mapping: Option<PathBuf>,
    /// 答えを待つ秒数（結果は、頼んでから2分以内に使います）
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=110))]
    wait: u64,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    match options.command {
        Command::Read(read) => println!("{}", statement(&read).await?),
        Command::Mapping => print!("{BUILT_IN}"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn statement(read: &Read) -> Result<String> {
    let mapping = match &read.mapping {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()))?;
            Mapping::parse(&path.display().to_string(), &text)
        }
        None => Mapping::parse("oqs-unofficial.tsv", BUILT_IN),
    };
    let mapping = mapping.map_err(|problem| anyhow!(problem.message_ja()))?;
    if read.institution.len() != 10 || !read.institution.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("--institution は10桁の数字にしてください");
    }
    let terminal = card::terminal(&read.certificate, &read.key)?;
    let challenge = card::challenge(&read.url, &read.ca, &terminal).await?;
    let (day, identifier) = (dates::day_in_japan(now()), identifier(&challenge));
    let ask = Ask { day, institution: read.institution.clone(), identifier };
    let files = Files::of(&read.folder, &ask)?;
    files.clear_over();
    files.put(&mapping.request(&ask))?;
    let reading = files.wait(&mapping, &ask, Duration::from_secs(read.wait)).await;
    // What tells of the person does not stay in the folders.
    files.clear();
    reader::state(&reading?.items(), &challenge, &terminal).map_err(|error| anyhow!(error.message_ja()))
}

/// 24 letters of the challenge: nobody else's request has them, and no digits that look like a number of somebody.
fn identifier(challenge: &str) -> String {
    let digits = challenge.chars().rev().filter_map(|c| c.to_digit(16)).take(24);
    digits.filter_map(|digit| char::from_digit(digit + 10, 26)).map(|c| c.to_ascii_uppercase()).collect()
}

/// The two files of one reading.
struct Files {
    request: PathBuf,
    answer: PathBuf,
}

impl Files {
    fn of(folder: &Path, ask: &Ask) -> Result<Self> {
        let [req, res] = ["req", "res"].map(|name| folder.join(name));
        if let Some(missing) = [&req, &res].into_iter().find(|folder| !folder.is_dir()) {
            bail!("フォルダー {} がありません。連携アプリの設定を確かめてください", missing.display());
        }
        let name = |way: &str| format!("OQSkaigo01{way}_{}.xml", ask.identifier);
        Ok(Self { request: req.join(name("req")), answer: res.join(name("res")) })
    }

    /// Appears whole, or not at all.
    fn put(&self, request: &str) -> Result<()> {
        let draft = self.request.with_extension("tmp");
        let put = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(request.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &self.request)
        };
        put().with_context(|| format!("{} に書けません", self.request.display()))
    }

    /// The answer, as soon as it is whole. One that is being written is waited for, one that is wrong is not.
    async fn wait(&self, mapping: &Mapping, ask: &Ask, time: Duration) -> Result<Reading> {
        let end = Instant::now() + time;
        let mut last: Vec<Problem> = Vec::new();
        while Instant::now() < end {
            if let Some(bytes) = bytes_of(&self.answer)? {
                match mapping.answer(&self.answer.display().to_string(), &bytes, ask) {
                    Ok(reading) => return Ok(reading),
                    Err(problems) => last = problems,
                }
                if last.iter().any(|problem| problem.rule != "cut") {
                    break;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        match last.is_empty() {
            true => {
                bail!("連携アプリの答えが来ません。カードが置かれているか、連携アプリが動いているかを確かめてください")
            }
            false => bail!("{}", last.iter().map(Problem::message_ja).collect::<Vec<_>>().join("\n")),
        }
    }

    /// Takes away what readings left behind that are over: answers that came after nobody waited any more, and requests of a program that
    /// was stopped. Only files with the names of this program; those of a reading at another terminal are younger.
    fn clear_over(&self) {
        let folders = [&self.request, &self.answer].into_iter().filter_map(|path| path.parent());
        for entry in folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
            let is_own = entry.file_name().to_str().is_some_and(is_own_name);
            let changed = entry.metadata().and_then(|facts| facts.modified());
            if is_own && changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OVER)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn clear(&self) {
        for path in [&self.request, &self.answer] {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether a file is named like a request or an answer of this program: 24 letters that stand for the digits of a challenge.
fn is_own_name(name: &str) -> bool {
    let rest = name.strip_prefix("OQSkaigo01req_").or_else(|| name.strip_prefix("OQSkaigo01res_"));
    let (identifier, end) = rest.unwrap_or_default().split_at_checked(24).unwrap_or_default();
    matches!(end, ".xml" | ".tmp") && identifier.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// What lies in a file that is one: not a link to elsewhere, not a pipe that never ends. `None` while it is not there.
fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>> {
    let Ok(named) = path.symlink_metadata() else { return Ok(None) };
    let cannot = || format!("{} を読めません", path.display());
    if !named.is_file() {
        bail!("{} は普通のファイルではありません", path.display());
    }
    let file = File::open(path).with_context(cannot)?;
    let opened = file.metadata().with_context(cannot)?;
    if (named.dev(), named.ino()) != (opened.dev(), opened.ino()) {
        bail!("{} が読む間に取り替えられました", path.display());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_ANSWER as u64 + 1).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_letters_of_its_challenge_only() {
        let challenge = "00ff1234567890abcdef00ff1234567890abcdef";
        assert_eq!(identifier(challenge).len(), 24);
        assert!(identifier(challenge).bytes().all(|byte| byte.is_ascii_uppercase()));
        assert_ne!(identifier(challenge), identifier(&challenge.replace("90ab", "90ac")));
    }
}
