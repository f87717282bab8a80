//! The municipality's inbox: each document becomes one folder of `inbox/`, exactly once, whole; decisions dropped into
//! `decisions/` go back.

use super::journal::Step;
use super::link::Content;
use super::place::{self, write_whole};
use super::round::{Connector, Outcome, Verdict};
use crate::home::now;
use anyhow::{Result, anyhow};
use kiban_formats::text::{Encoding, FORMULA_STARTS};
use serde_json::{Value, json};
use std::collections::HashSet;

impl Connector {
    /// Brings what waits; the receipts the platform lists as waiting, fetched ones among them.
    pub(super) async fn inbox(&mut self, outcome: &mut Outcome) -> Result<HashSet<String>> {
        let mut after: Option<String> = None;
        let mut waiting = HashSet::new();
        loop {
            let from = after.as_ref().map(|receipt| format!("&after={receipt}")).unwrap_or_default();
            let page =
                self.ask("GET", &format!("/api/v1/inbox?state=waiting&limit=200{from}"), Content::Nothing).await?;
            if page.status != 200 {
                return Err(anyhow!("{}", page.words()));
            }
            let items = page.json()["items"].as_array().cloned().unwrap_or_default();
            let Some(last) = items.last() else { return Ok(waiting) };
            after = Some(last["receipt"].as_str().ok_or_else(|| anyhow!("基盤の答えを読めません"))?.to_owned());
            for item in &items {
                let Some(receipt) = item["receipt"].as_str().filter(|receipt| is_receipt(receipt)) else { continue };
                waiting.insert(receipt.to_owned());
                let went = self.item(receipt).await;
                Self::note(outcome, &format!("inbox/{receipt}"), went)?;
            }
        }
    }

    /// What a kill left behind: a document that was complete goes into the inbox, one that was not is fetched again.
    pub(super) fn recover(&mut self) -> Result<()> {
        for receipt in self.journal.delivering() {
            let staged = self.place.part("state/staging").join(&receipt);
            // Not there any more: it was moved in, and perhaps taken from there since.
            if staged.exists() {
                place::move_whole(&staged, &self.place.part("inbox").join(&receipt))?;
            }
            self.write(Step::Delivered, &format!("inbox/{receipt}"), "")?;
        }
        for entry in std::fs::read_dir(self.place.part("state/staging"))? {
            place::remove(&entry?.path())?;
        }
        Ok(())
    }

    async fn item(&mut self, receipt: &str) -> Result<()> {
        let key = format!("inbox/{receipt}");
        if matches!(self.journal.last(&key), Some((Step::Delivered | Step::Passed, _))) {
            return Ok(());
        }
        let target = self.place.part("inbox").join(receipt);
        if target.exists() {
            return self.write(Step::Delivered, &key, "found");
        }
        let answer = self.ask("POST", &format!("/api/v1/inbox/{receipt}/fetch"), Content::Nothing).await?;
        let item = answer.json();
        if answer.status != 200 {
            return Err(anyhow!("{}", answer.words()));
        }
        if item["content"].is_null() {
            return self.write(Step::Passed, &key, item["state"]["state"].as_str().unwrap_or_default());
        }
        let mut files = vec![("item.json".to_owned(), answer.bytes)];
        if let Some(original) = item["original"].as_object() {
            files.push(self.original(receipt, &Value::Object(original.clone())).await?);
        }
        let listed: Vec<Value> = files
            .iter()
            .map(|(name, bytes)| json!({ "name": name, "size": bytes.len(), "sha256": kiban_pki::fingerprint(bytes) }))
            .collect();
        let note = json!({ "receipt": receipt, "kind": item["kind"], "fetched_at": now(), "files": listed });
        let staged = self.place.part("state/staging").join(receipt);
        if staged.exists() {
            place::remove(&staged)?;
        }
        place::make_folder(&staged)?;
        for (name, bytes) in &files {
            write_whole(&staged.join(name), bytes)?;
        }
        write_whole(&staged.join("receipt.json"), note.to_string().as_bytes())?;
        place::sync_folder(&self.place.part("state/staging"))?;
        self.write(Step::Delivering, &key, "")?;
        place::move_whole(&staged, &target)?;
        self.write(Step::Delivered, &key, "")
    }

    /// The file as its sender handed it in, compared with what the platform says of it.
    async fn original(&mut self, receipt: &str, told: &Value) -> Result<(String, Vec<u8>)> {
        let answer = self.ask("GET", &format!("/api/v1/inbox/{receipt}/original"), Content::Nothing).await?;
        if answer.status != 200 {
            return Err(anyhow!("{}", answer.words()));
        }
        if told["sha256"] != json!(kiban_pki::fingerprint(&answer.bytes)) {
            return Err(anyhow!("原本が途中で変わっています。もう一度取得します"));
        }
        let ending = if told["media"] == "text/csv" { "csv" } else { "json" };
        Ok((format!("original.{ending}"), answer.bytes))
    }

    pub(super) async fn decisions(&mut self, outcome: &mut Outcome) -> Result<()> {
        for (name, path) in place::finished(&self.place.part("decisions"))? {
            if path.is_file() {
                let taken = self.take(&name, &path, "state/deciding", "decisions");
                Self::note(outcome, &format!("decisions/{name}"), taken)?;
            }
        }
        for (name, path) in place::finished(&self.place.part("state/deciding"))? {
            let went = match self.journal.last(&format!("decisions/{name}")) {
                Some((Step::Answered, _)) => self.close("state/deciding", &name, "decisions", false),
                _ => match std::fs::read(&path) {
                    Ok(bytes) => self.decide(&name, &bytes, outcome).await,
                    Err(error) => Err(error.into()),
                },
            };
            Self::note(outcome, &format!("decisions/{name}"), went)?;
        }
        Ok(())
    }

    /// Sends every decision of a file. Interrupted, the whole file is sent again: deciding the same twice changes nothing.
    async fn decide(&mut self, name: &str, bytes: &[u8], outcome: &mut Outcome) -> Result<()> {
        let mut lines = String::from("\u{feff}行,受付番号,決定,結果,内容\r\n");
        let mut faults = 0;
        match read_decisions(bytes) {
            Err(fault) => {
                faults += 1;
                lines.push_str(&format!(",,,エラー,{}\r\n", cell(&fault)));
            }
            Ok(decisions) => {
                for Line { line, receipt, act, decision } in decisions {
                    let went = match decision {
                        Ok(decision) => self.decide_one(&decision).await?,
                        Err(fault) => Err(fault),
                    };
                    faults += u32::from(went.is_err());
                    let (word, text) = match went {
                        Ok(()) => ("済", String::new()),
                        Err(text) => ("エラー", text),
                    };
                    lines.push_str(&format!("{line},{},{},{word},{}\r\n", cell(&receipt), cell(&act), cell(&text)));
                }
            }
        }
        if faults > 0 {
            let text = format!("{faults} 件がエラーです。results/{name}.result.csv を見てください");
            outcome.refused.push(format!("decisions/{name}: {text}"));
        }
        write_whole(&self.result(&format!("{name}.result.csv")), lines.as_bytes())?;
        self.write(Step::Answered, &format!("decisions/{name}"), "")?;
        self.close("state/deciding", name, "decisions", false)
    }

    async fn decide_one(&mut self, decision: &Decision) -> Result<Result<(), String>> {
        let (act, content) = match &decision.returned {
            None => ("accept", Content::Nothing),
            Some(reason) => {
                ("return", Content::Bytes("application/json", json!({ "reason": reason }).to_string().into_bytes()))
            }
        };
        let answer = self.ask("POST", &format!("/api/v1/inbox/{}/{act}", decision.receipt), content).await?;
        Ok(match Verdict::of(&answer) {
            Verdict::Taken => Ok(()),
            Verdict::Never | Verdict::Later => Err(answer.words()),
        })
    }
}

/// One decision of the municipality.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    receipt: String,
    /// The reason, when it is sent back.
    returned: Option<String>,
}

impl Decision {
    fn of(receipt: &str, act: &str, reason: &str) -> Result<Self, String> {
        let receipt = receipt.trim().to_ascii_lowercase();
        if !is_receipt(&receipt) {
            return Err("受付番号が正しくありません。inbox のフォルダー名（32桁）を書いてください".to_owned());
        }
        let returned = match act.trim() {
            "受理" | "accept" => None,
            "差戻し" | "return" if reason.trim().is_empty() => {
                return Err("差戻しには理由が必要です".to_owned());
            }
            "差戻し" | "return" => Some(reason.trim().to_owned()),
            _ => return Err("決定は「受理」か「差戻し」にしてください（accept・return でもよい）".to_owned()),
        };
        Ok(Self { receipt, returned })
    }

    fn name_ja(&self) -> &'static str {
        if self.returned.is_none() { "受理" } else { "差戻し" }
    }
}

/// A line of a file of decisions as it goes into the result, and what it says.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// Line of the file, 1-based, the header counted; in JSON which of the decisions.
    line: usize,
    /// 受付番号 as written, safe to show.
    receipt: String,
    /// 決定 as written, safe to show; in Japanese where it is one.
    act: String,
    decision: Result<Decision, String>,
}

impl Line {
    fn of(line: usize, [receipt, act, reason]: [&str; 3]) -> Self {
        let decision = Decision::of(receipt, act, reason);
        let named = decision.as_ref().map_or(act.trim(), |decision| decision.name_ja());
        let [receipt, act] = [receipt.trim(), named].map(|value| kiban_formats::text::show(value, 40));
        Self { line, receipt, act, decision }
    }
}

/// Receipts are 32 hexadecimal digits; nothing else becomes part of a path.
fn is_receipt(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

/// The decisions of a file, CSV (UTF-8 or Shift_JIS) or JSON; each that cannot be read with what is wrong.
fn read_decisions(bytes: &[u8]) -> Result<Vec<Line>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let encoding =
        if kiban_formats::text::is_utf8_japanese(bytes) || bytes.is_ascii() { Encoding::Utf8 } else { Encoding::Cp932 };
    let text = kiban_formats::text::decode(bytes, encoding)
        .map_err(|_| "文字コードを UTF-8 か Shift_JIS にしてください".to_owned())?;
    if text.trim_start().starts_with(['[', '{']) {
        return read_json(&text);
    }
    let rows = rows(&text).ok_or("引用符（\"）の閉じ忘れがあります")?;
    let is_head = |row: &[String]| row.first().is_some_and(|cell| matches!(cell.trim(), "受付番号" | "receipt"));
    let rows = rows.into_iter().filter(|(_, row)| !is_head(row) && !row.iter().all(|cell| cell.trim().is_empty()));
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    Ok(rows.map(|(line, row)| Line::of(line, [&cell(&row, 0), &cell(&row, 1), &cell(&row, 2)])).collect())
}

fn read_json(text: &str) -> Result<Vec<Line>, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| "JSON として読めません".to_owned())?;
    let items = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let line = |(n, item): (usize, &Value)| {
        Line::of(n + 1, [&text(item, "receipt"), &text(item, "decision"), &text(item, "reason")])
    };
    Ok(items.iter().enumerate().map(line).collect())
}

/// Cells of a comma-separated text, each row with the line on which it begins; `None` when a quote is not closed.
fn rows(text: &str) -> Option<Vec<(usize, Vec<String>)>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    let (mut line, mut begins) = (1, 1);
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push((begins, std::mem::take(&mut row)));
                begins = line;
            }
            c => cell.push(c),
        }
    }
    if quoted {
        return None;
    }
    if !(cell.is_empty() && row.is_empty()) {
        row.push(cell);
        rows.push((begins, row));
    }
    Some(rows)
}

/// A cell for a spreadsheet, never a formula.
pub(super) fn cell(text: &str) -> String {
    let formula = text.starts_with(FORMULA_STARTS);
    let text = format!("{}{}", if formula { "'" } else { "" }, text.replace(['\r', '\n'], " "));
    if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn decisions_are_read_from_a_spreadsheet_or_from_json() {
        let csv =
            format!("\u{feff}受付番号,決定,理由\r\n{RECEIPT},受理,\r\n{RECEIPT},差戻し,\"記入日が, ありません\"\r\n");
        let json = format!(
            "[{{\"receipt\":\"{RECEIPT}\",\"decision\":\"accept\"}},{{\"receipt\":\"{RECEIPT}\",\"decision\":\"return\",\"reason\":\"記入日が, ありません\"}}]"
        );
        let accept = Decision { receipt: RECEIPT.to_owned(), returned: None };
        let back = Decision { receipt: RECEIPT.to_owned(), returned: Some("記入日が, ありません".to_owned()) };
        let mut shift_jis = Vec::new();
        kiban_formats::text::encode(csv.trim_start_matches('\u{feff}'), Encoding::Cp932, &mut shift_jis).unwrap();
        for bytes in [csv.as_bytes(), json.as_bytes(), &shift_jis] {
            let read: Vec<_> = read_decisions(bytes).unwrap().into_iter().map(|line| line.decision.unwrap()).collect();
            assert_eq!(read.iter().collect::<Vec<_>>(), [&accept, &back]);
        }
    }

    #[test]
    fn a_line_is_told_as_it_stands_in_the_file() {
        let csv = format!(
            "受付番号,決定,理由\r\n{RECEIPT},受理,\r\n\r\n{RECEIPT},差戻し,\"記入日が\r\nありません\"\r\n=1+1,保留,\r\n{RECEIPT},accept,"
        );
        let read = read_decisions(csv.as_bytes()).unwrap();
        let told: Vec<_> = read.iter().map(|line| (line.line, line.receipt.as_str(), line.act.as_str())).collect();
        let expected = [(2, RECEIPT, "受理"), (4, RECEIPT, "差戻し"), (6, "=1+1", "保留"), (7, RECEIPT, "受理")];
        assert_eq!(told, expected);
        let json = format!("[{{\"receipt\":\"{RECEIPT}\",\"decision\":\"accept\"}},{{\"receipt\":\"1\"}}]");
        let read = read_decisions(json.as_bytes()).unwrap();
        assert_eq!(
            read.iter().map(|line| (line.line, line.receipt.as_str())).collect::<Vec<_>>(),
            [(1, RECEIPT), (2, "1")]
        );
    }

    #[test]
    fn a_wrong_line_says_what_to_write_and_does_not_stop_the_others() {
        let csv = format!("../../x,受理,\n{RECEIPT},差戻し,\n{RECEIPT},保留,\n{RECEIPT},受理");
        let read = read_decisions(csv.as_bytes()).unwrap();
        let faults: Vec<_> = read.iter().map(|line| line.decision.as_ref().err().map(String::as_str)).collect();
        assert!(faults[0].unwrap().contains("受付番号"));
        assert!(faults[1].unwrap().contains("理由"));
        assert!(faults[2].unwrap().contains("受理"));
        assert!(read[3].decision.is_ok());
    }
}
