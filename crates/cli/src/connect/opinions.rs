//! Opinions of a hospital's document software: `out/` → platform → `results/`, and later what the municipality decided
//! (P-134). A file sent again is the same documents again, so one whose fate is unknown is simply sent again.

use super::inbox::cell;
use super::journal::Step;
use super::link::{Answer, Content};
use super::place::{self, write_whole};
use super::round::{Connector, Outcome, Verdict};
use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use std::path::Path;

impl Connector {
    pub(super) async fn hospital(&mut self, outcome: &mut Outcome) -> Result<()> {
        for (name, path) in place::finished(&self.place.part("out"))? {
            match media(&name) {
                Some(_) if path.is_file() => {
                    let taken = self.take(&name, &path, "state/sending", "out");
                    Self::note(outcome, &format!("out/{name}"), taken)?;
                }
                _ => {
                    outcome.refused.push(format!("out/{name}: CSV か JSON のファイルを、out のすぐ下に置いてください"))
                }
            }
        }
        for (name, path) in place::finished(&self.place.part("state/sending"))? {
            let went = self.opinion_file(&name, &path, outcome).await;
            Self::note(outcome, &format!("out/{name}"), went)?;
        }
        for (receipt, name) in self.journal.standing_at(Step::Received, "opinion/") {
            let went = self.decided(&receipt, &name).await;
            Self::note(outcome, &receipt, went)?;
        }
        Ok(())
    }

    async fn opinion_file(&mut self, name: &str, path: &Path, outcome: &mut Outcome) -> Result<()> {
        let key = format!("out/{name}");
        if let Some((Step::Answered, note)) = self.journal.last(&key) {
            let failed = note == "failed";
            return self.close("state/sending", name, "out", failed);
        }
        let media = media(as_dropped(name)).unwrap_or("text/csv");
        let bytes = std::fs::read(path).context("ファイルを読めません")?;
        let answer = self.ask("POST", "/api/v1/opinions", Content::Bytes(media, bytes)).await?;
        let body = answer.json();
        let report = if body["report"].is_object() { &body["report"] } else { &body };
        let failed = match Verdict::of(&answer) {
            Verdict::Later => return Err(anyhow!("{}", answer.words())),
            Verdict::Never => true,
            Verdict::Taken if report["state"] == "partly" => true,
            Verdict::Taken => false,
        };
        for document in report["documents"].as_array().into_iter().flatten() {
            let receipt = document["receipt"].as_str().filter(|receipt| is_receipt(receipt));
            let receipt = receipt.ok_or_else(|| anyhow!("基盤の答えに受付番号がありません"))?;
            // One that was answered already must not be answered again.
            if self.journal.last(&format!("opinion/{receipt}")).is_none() {
                self.write(Step::Received, &format!("opinion/{receipt}"), name)?;
            }
        }
        write_whole(&self.result(&format!("{name}.csv")), lines(report, &answer).as_bytes())?;
        write_whole(&self.result(&format!("{name}.json")), &answer.bytes)?;
        self.write(Step::Answered, &key, if failed { "failed" } else { "" })?;
        self.close("state/sending", name, "out", failed)?;
        if failed {
            let text = "受け付けられなかった意見書があります";
            outcome.refused.push(format!("out/{name}: {text}。results/{name}.csv を見て、直して置き直してください"));
        }
        Ok(())
    }

    /// The municipality's word about a document, once there is one.
    async fn decided(&mut self, receipt: &str, name: &str) -> Result<()> {
        let answer = self.ask("GET", &format!("/api/v1/opinions/{receipt}"), Content::Nothing).await?;
        if answer.status != 200 {
            return Err(anyhow!("{}", answer.words()));
        }
        let body = answer.json();
        let state = &body["state"];
        if !matches!(state["state"].as_str(), Some("accepted" | "returned")) {
            return Ok(());
        }
        let text = |value: &Value| cell(value.as_str().unwrap_or_default());
        let csv = format!(
            "\u{feff}受付番号,状態,決定日時,理由\r\n{},{},{},{}\r\n",
            cell(receipt),
            text(&body["state_name"]),
            text(&body["decided_at"]),
            text(&state["reason"])
        );
        write_whole(&self.result(&format!("{name}.{receipt}.csv")), csv.as_bytes())?;
        write_whole(&self.result(&format!("{name}.{receipt}.json")), &answer.bytes)?;
        self.write(Step::Closed, &format!("opinion/{receipt}"), state["state"].as_str().unwrap_or_default())
    }
}

/// The name of a file as it was dropped: one that was used before has `~2` behind it.
fn as_dropped(name: &str) -> &str {
    match name.rsplit_once('~') {
        Some((before, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => name,
    }
}

fn media(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "csv" => Some("text/csv"),
        "json" => Some("application/json"),
        _ => None,
    }
}

/// 保険者番号 and 32 hexadecimal digits; nothing else becomes part of a path.
fn is_receipt(text: &str) -> bool {
    text.split_once('-').is_some_and(|(insurer, id)| {
        let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits(insurer, 6) && digits(id, 32)
    })
}

/// The report for people: one line a document, then one line a problem.
fn lines(report: &Value, answer: &Answer) -> String {
    let mut out = String::from("\u{feff}区分,行,列,項目,受付番号,内容\r\n");
    let number = |value: &Value| value.as_u64().filter(|n| *n > 0).map(|n| n.to_string()).unwrap_or_default();
    let text = |value: &Value| cell(value.as_str().unwrap_or_default());
    for document in report["documents"].as_array().into_iter().flatten() {
        let notes: Vec<&str> = document["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let words = format!("{} {}", document["state_name"].as_str().unwrap_or_default(), notes.join(" "));
        out.push_str(&format!(
            "受付,{},,,{},{}\r\n",
            number(&document["line"]),
            text(&document["receipt"]),
            cell(words.trim())
        ));
    }
    let problems = report["problems"].as_array();
    for problem in problems.into_iter().flatten() {
        let severity = if problem["severity"] == "error" { "エラー" } else { "注意" };
        let (line, column) = (number(&problem["line"]), number(&problem["column"]));
        out.push_str(&format!(
            "{severity},{line},{column},{},,{}\r\n",
            text(&problem["item"]),
            text(&problem["message"])
        ));
    }
    if problems.is_none() {
        out.push_str(&format!("エラー,,,,,{}\r\n", cell(&answer.words())));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kind_of_a_file_is_that_of_the_name_it_was_dropped_under() {
        let kind = |name| super::media(super::as_dropped(name));
        assert_eq!(kind("a~b.json"), Some("application/json"));
        assert_eq!(kind("a~b.json~12"), Some("application/json"));
        assert_eq!(kind("iken.csv~2"), Some("text/csv"));
        assert_eq!(kind("iken.pdf"), None);
    }
}
