//! The JSON dialect of a file of rows (P-160): UTF-8, a standard JSON array with one object per physical line, the item
//! names as keys, every value a string as it would stand in the CSV; empty items may be left out. Rows and items are judged
//! by the same rules, with the same messages, as in CSV.
//!
//! ```json
//! [
//! {"保険者番号":"999003","被保険者番号":"0001234567"},
//! {"保険者番号":"999003","被保険者番号":"0007654321"}
//! ]
//! ```

use super::{FileLayout, Reader, judge, repaired, tell};
use crate::record::{Record, Row};
use crate::scan::{MAX_ROW, RowFault};
use crate::text::{self, Encoding};
use crate::{Problem, Problems};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::io::Read;

/// How far the array has been read.
#[derive(Debug, Default)]
pub(super) struct Array {
    opened: bool,
    closed: bool,
    /// Line of the last row and whether a comma follows it.
    last: Option<(u64, bool)>,
    told_end: bool,
}

/// The pairs of an object in their order, doubles included.
struct Object(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

const FORM: &str = "1行目を [ だけ、最後の行を ] だけにし、その間に1行に1件ずつ {…} を書いてください";

impl<R: Read> Reader<'_, R> {
    /// The next row of the array.
    pub(super) fn next_object(&mut self, problems: &mut Problems) -> Option<Row> {
        while self.scanner.next_line(&mut self.raw) {
            if self.raw.continued {
                self.find_individual_number(problems);
                continue;
            }
            if self.raw.fault == Some(RowFault::TooLong) {
                self.seen += 1;
                self.find_individual_number(problems);
                let text = format!("1行が{MAX_ROW}バイトを超えています");
                problems.push(self.json_problem(problems, "row_length", &text));
                continue;
            }
            let line = self.scanner.row_bytes(&self.raw).trim_ascii().to_vec();
            if let Some(row) = self.object_of(&line, problems) {
                return Some(row);
            }
        }
        self.check_array_end(problems);
        None
    }

    fn json_problem(&self, problems: &Problems, rule: &'static str, text: &str) -> Problem {
        Problem::of_file(problems.file(), rule, text).at_line(self.raw.line)
    }

    /// A line without the line end: bracket, row, or something that does not belong here.
    fn object_of(&mut self, line: &[u8], problems: &mut Problems) -> Option<Row> {
        let opened = std::mem::replace(&mut self.array.opened, true);
        match line {
            [] => {
                let problem = self.json_problem(problems, "blank_line", "空の行です。取り除いてください");
                problems.push(problem.warning());
                self.array.opened = opened;
                return None;
            }
            b"[" if !opened => return None,
            b"[]" if !opened => {
                self.array.closed = true;
                return None;
            }
            b"]" if !self.array.closed => {
                self.array.closed = true;
                if let Some((line, true)) = self.array.last {
                    let text = "最後の件の後ろのコンマを取り除いてください";
                    problems.push(Problem::of_file(problems.file(), "json", text).at_line(line));
                }
                return None;
            }
            _ => {}
        }
        if !opened {
            // Of a row nothing is quoted before it is known whose it is (T-13).
            let found = if line.starts_with(b"{") { "{".into() } else { String::from_utf8_lossy(line) };
            problems.push(self.json_problem(problems, "header", FORM).found(&found));
        }
        let (object, comma) = match line.strip_suffix(b",") {
            Some(object) => (object.trim_ascii_end(), true),
            None => (line, false),
        };
        if !object.starts_with(b"{") || self.array.closed {
            self.find_individual_number(problems);
            if opened {
                problems.push(self.json_problem(problems, "json", FORM));
            }
            return None;
        }
        self.seen += 1;
        if let Some((_, false)) = self.array.last {
            problems.push(self.json_problem(
                problems,
                "json",
                "前の件との間にコンマがありません。前の行の終わりに入れてください",
            ));
        }
        self.array.last = Some((self.raw.line, comma));
        self.row_of(object, problems)
    }

    fn row_of(&mut self, object: &[u8], problems: &mut Problems) -> Option<Row> {
        let Ok(text) = std::str::from_utf8(object) else {
            self.find_individual_number(problems);
            let text = "UTF-8 で読めない文字があります。UTF-8 で保存し直してください";
            problems.push(self.json_problem(problems, "encoding", text));
            return None;
        };
        let Ok(Object(pairs)) = serde_json::from_str(text) else {
            self.find_individual_number(problems);
            let text = "JSON のオブジェクトとして読めません。1行に1件、{\"項目名\":\"値\",…} の形で書いてください";
            problems.push(self.json_problem(problems, "json", text));
            return None;
        };
        let mut values: Vec<Option<String>> = vec![None; self.layout.items.len()];
        let mut sound = true;
        for (name, value) in pairs {
            let Some((at, item)) = self.layout.items.iter().enumerate().find(|(_, item)| item.name == name) else {
                sound = false;
                let text = "項目表にない項目名です。項目名を確認するか、取り除いてください";
                problems.push(self.json_problem(problems, "columns", text).found(&name));
                continue;
            };
            let value = match value {
                serde_json::Value::String(value) => Ok(value),
                serde_json::Value::Null => Ok(String::new()),
                _ => Err("値は \"…\" で囲んだ文字で書いてください（数字の項目も同じです）"),
            };
            let wrong = match value.map(|value| values[at].replace(value)) {
                Ok(None) => continue,
                Ok(Some(_)) => "同じ項目が2回あります。どちらかを取り除いてください",
                Err(wrong) => wrong,
            };
            sound = false;
            problems.push(self.json_problem(problems, "json", wrong).at_item(item.no, item.name));
        }
        if !sound {
            self.find_individual_number(problems);
        }
        Some(self.judged(values, sound, text.len(), problems))
    }

    fn judged(&mut self, values: Vec<Option<String>>, sound: bool, bytes: usize, problems: &mut Problems) -> Row {
        let mut row = Row::new(self.raw.line, sound, values.len(), bytes);
        for (item, value) in self.layout.items.iter().zip(values) {
            let value = value.unwrap_or_default();
            let problem = |rule, text: String| {
                Problem::of_file(problems.file(), rule, text).at_line(self.raw.line).at_item(item.no, item.name)
            };
            if let Err(fault) = text::decode(value.as_bytes(), Encoding::Utf8) {
                let problem = problem(fault.rule(), fault.message_ja(Encoding::Utf8));
                problems.push(problem);
                row.push("");
                row.spoil();
                continue;
            }
            let misfit = judge(item, &value);
            row.push(repaired(&misfit).unwrap_or(&value));
            if let Some((misfit, found)) = misfit {
                if !misfit.warning {
                    row.spoil();
                }
                if tell(&mut self.told, item, &misfit, found) {
                    let problem = problem(misfit.rule, misfit.expected).found(found);
                    problems.push(if misfit.warning { problem.warning() } else { problem });
                }
            }
        }
        row
    }

    /// Without its closing bracket the array was cut.
    fn check_array_end(&mut self, problems: &mut Problems) {
        if self.array.closed || std::mem::replace(&mut self.array.told_end, true) {
            return;
        }
        let text = "最後の行に ] がありません。ファイルが途中で切れていないか確認してください";
        problems.push(Problem::of_file(problems.file(), "cut", text).at_line(self.raw.line));
    }
}

/// A row as one line, empty items left out.
pub(super) fn write_object(layout: &FileLayout, record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (item, value) in layout.items.iter().zip(record.values()).filter(|(_, value)| !value.is_empty()) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(item.name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(serde_json::Value::from(value.as_str()).to_string().as_bytes());
    }
    out.push(b'}');
}
