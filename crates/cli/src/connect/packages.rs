//! Packages of a municipality: `out/` → platform → `results/`. A package is a folder with its manifest (`MANIFEST.csv` or
//! `MANIFEST.json`); the same bytes sent again have the same receipt, so a package whose fate is unknown is simply sent again.

use super::inbox::cell;
use super::journal::Step;
use super::link::{Answer, Content};
use super::place::{self, write_whole};
use super::round::{Connector, Outcome, Verdict};
use anyhow::{Context as _, Result, anyhow};
use kiban_formats::municipal::{MANIFEST, MANIFEST_JSON};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Questions about a receipt in one round before other work goes on.
const QUESTIONS: u32 = 5;

impl Connector {
    pub(super) async fn packages(&mut self, outcome: &mut Outcome) -> Result<()> {
        for (name, path) in place::finished(&self.place.part("out"))? {
            // The manifest is written last, or the folder moved in whole: without it nothing is taken.
            if is_package(&path) {
                let taken = readable(&path).and_then(|()| self.take(&name, &path, "state/sending", "out"));
                Self::note(outcome, &format!("out/{name}"), taken)?;
            } else if path.is_file() {
                outcome.refused.push(format!(
                    "out/{name}: パッケージはフォルダーのまま置いてください（MANIFEST.csv か MANIFEST.json を入れたフォルダー）"
                ));
            } else {
                match nested(&name, &path) {
                    Ok(words) => outcome.refused.extend(words),
                    Err(error) => outcome.setbacks.push(format!("out/{name}: {error:#}")),
                }
            }
        }
        for (name, _) in place::finished(&self.place.part("state/sending"))? {
            let went = self.package(&name, outcome).await;
            Self::note(outcome, &format!("out/{name}"), went)?;
        }
        Ok(())
    }

    async fn package(&mut self, name: &str, outcome: &mut Outcome) -> Result<()> {
        let key = format!("out/{name}");
        let mut receipt = match self.journal.last(&key) {
            Some((Step::Answered, note)) => {
                let failed = note == "failed";
                return self.close("state/sending", name, "out", failed);
            }
            Some((Step::Received, receipt)) => Some(receipt.to_owned()),
            _ => None,
        };
        if receipt.is_none() {
            receipt = self.upload(name, outcome).await?;
        }
        let Some(receipt) = receipt else { return Ok(()) };
        match self.judged(&receipt).await? {
            Judged::Result(result) => {
                if self.answer(name, &receipt, &result).await? == "refused" {
                    let text = "パッケージの全体が断られました（何も反映されていません）";
                    outcome
                        .refused
                        .push(format!("out/{name}: {text}。results/{name}.csv を見て、直して置き直してください"));
                }
                Ok(())
            }
            Judged::SetAside(result) => {
                self.results(name, &receipt, &result).await?;
                Err(anyhow!(
                    "受付番号 {receipt} は、基盤で処理できず取り分けられました。results/{name}.csv を見て、運用者に連絡してください（処理が再開されると、ここに結果が届きます）"
                ))
            }
            Judged::Waiting => {
                outcome.pending += 1;
                Ok(())
            }
            // Of a platform that does not know it any more: sent again in the next round.
            Judged::Unknown => {
                self.write(Step::Taken, &key, "receipt unknown")?;
                Err(anyhow!("受付番号 {receipt} が基盤にありません。送り直します"))
            }
        }
    }

    /// Sends the files; the receipt, unless it will never be taken as it is.
    async fn upload(&mut self, name: &str, outcome: &mut Outcome) -> Result<Option<String>> {
        let folder = self.place.part("state/sending").join(name);
        readable(&folder)?;
        let files: Vec<(String, PathBuf)> =
            place::finished(&folder)?.into_iter().filter(|(_, path)| path.is_file()).collect();
        let answer = self.ask("POST", "/api/v1/packages", Content::Files(&files)).await?;
        let body = answer.json();
        let receipt = body["receipt"].as_str().or_else(|| body["result"]["receipt"].as_str());
        match (Verdict::of(&answer), receipt) {
            (Verdict::Later, _) => Err(anyhow!("{}", answer.words())),
            (_, Some(receipt)) => {
                self.write(Step::Received, &format!("out/{name}"), receipt)?;
                Ok(Some(receipt.to_owned()))
            }
            (Verdict::Taken, None) => Err(anyhow!("基盤の答えに受付番号がありません")),
            (Verdict::Never, None) => {
                let words = answer.words();
                write_whole(&self.result(&format!("{name}.csv")), refused(&answer).as_bytes())?;
                write_whole(&self.result(&format!("{name}.json")), &answer.bytes)?;
                self.write(Step::Answered, &format!("out/{name}"), "failed")?;
                self.close("state/sending", name, "out", true)?;
                outcome.refused.push(format!("out/{name}: 受け付けられませんでした。failed に移しました: {words}"));
                Ok(None)
            }
        }
    }

    async fn judged(&mut self, receipt: &str) -> Result<Judged> {
        let path = format!("/api/v1/receipts/{receipt}");
        for question in 0..QUESTIONS {
            let answer = self.ask("GET", &path, Content::Nothing).await?;
            if answer.status == 404 {
                return Ok(Judged::Unknown);
            }
            match answer.json()["state"].as_str() {
                Some("applied" | "refused") => return Ok(Judged::Result(answer.bytes)),
                Some("failed") => return Ok(Judged::SetAside(answer.bytes)),
                _ => {}
            }
            if question + 1 < QUESTIONS {
                tokio::time::sleep(Duration::from_secs(1 << question)).await;
            }
        }
        Ok(Judged::Waiting)
    }

    /// Puts the final result where the city's system finds it, and is done with the package; its state.
    async fn answer(&mut self, name: &str, receipt: &str, result: &[u8]) -> Result<String> {
        self.results(name, receipt, result).await?;
        let result: Value = serde_json::from_slice(result).context("基盤の答えを読めません")?;
        let state = result["state"].as_str().unwrap_or_default();
        self.write(Step::Answered, &format!("out/{name}"), state)?;
        self.close("state/sending", name, "out", false)?;
        Ok(state.to_owned())
    }

    /// The result as JSON and as the result file for people.
    async fn results(&mut self, name: &str, receipt: &str, result: &[u8]) -> Result<()> {
        let answer = self.ask("GET", &format!("/api/v1/receipts/{receipt}/result.csv"), Content::Nothing).await?;
        if answer.status != 200 {
            return Err(anyhow!("{}", answer.words()));
        }
        write_whole(&self.result(&format!("{name}.csv")), &answer.bytes)?;
        // The JSON last: who waits for it finds both.
        write_whole(&self.result(&format!("{name}.json")), result)
    }
}

/// The result file of a package that got no receipt, in the columns of any other (docs/municipality.md 5.1).
fn refused(answer: &Answer) -> String {
    let text = cell(&format!("受け付けられませんでした。何も反映されていません。{}", answer.words()));
    let mut out = format!("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n結果,,,,,,{text}\r\n");
    for fault in answer.json()["items"].as_array().into_iter().flatten() {
        let text = |name: &str| cell(fault[name].as_str().unwrap_or_default());
        out.push_str(&format!("エラー,,,,{},,{}\r\n", text("item"), text("message")));
    }
    out
}

/// Whether a folder is a package: its manifest is there.
fn is_package(folder: &Path) -> bool {
    [MANIFEST, MANIFEST_JSON].iter().any(|manifest| folder.join(manifest).is_file())
}

/// A file that cannot be read would break the line in the middle of the upload: it is told by its name before.
fn readable(folder: &Path) -> Result<()> {
    for (name, path) in place::finished(folder)?.into_iter().filter(|(_, path)| path.is_file()) {
        let cannot = || format!("ファイル {name} を読めません。接続プログラムの利用者が読めるようにしてください");
        File::open(&path).with_context(cannot)?;
    }
    Ok(())
}

/// What to say of packages that lie in a folder of `out` instead of in `out` itself. A folder without any is still being written.
fn nested(name: &str, folder: &Path) -> Result<Option<String>> {
    let inside: Vec<String> = place::finished(folder)?
        .into_iter()
        .filter(|(_, path)| path.is_dir() && is_package(path))
        .map(|(inner, _)| format!("out/{name}/{inner}"))
        .collect();
    let Some(first) = inside.first() else { return Ok(None) };
    let others = if inside.len() > 1 { format!(" など {} 個", inside.len()) } else { String::new() };
    Ok(Some(format!(
        "{first}{others}: パッケージがフォルダーの中のフォルダーにあり、送りません。out のすぐ下に移してください（MANIFEST.csv か MANIFEST.json のあるフォルダーを out/フォルダー名 に置きます）"
    )))
}

/// What became of a receipt.
enum Judged {
    /// The answer, byte for byte.
    Result(Vec<u8>),
    /// The platform could not work on it and waits for its operator; the answer, byte for byte.
    SetAside(Vec<u8>),
    /// The platform is still working.
    Waiting,
    /// The platform does not know it.
    Unknown,
}
