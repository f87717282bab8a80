//! 介護給付費の請求 (国保連 interface, public layouts): who was served by which office in which month, and nothing else
//! (P-108, P-173). Amounts, units, diagnoses and everything else are passed over by their place and never leave this module:
//! 請求・給付情報 is not stored (※3).
//!
//! Records and their items are data (`layouts/claims.tsv`, `claim_ids.tsv`): CP932, a control record `1`, data records `2`,
//! an end record `3`; items quoted or not; a later layout may append items.

mod table;

use crate::scan::{RawRow, RowFault, Scanner};
use crate::text::{self, Encoding};
use crate::{Problem, Problems, check};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey};
use std::collections::BTreeMap;
use std::io::Empty;
use table::{ClaimRecord, Use};

/// One person served by one office in one month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimMonth {
    /// The person, under the number printed on the card.
    pub person: PersonKey,
    /// The office that claims.
    pub office: OfficeNumber,
    /// サービス提供年月
    pub month: ServiceMonth,
}

/// A file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimFile {
    /// Each once, with the line on which it stands first.
    pub months: BTreeMap<ClaimMonth, u64>,
    /// Data records in all.
    pub records: u64,
}

/// Data records one file may have.
pub const MAX_RECORDS: u64 = 5_000_000;

/// Items of a control record.
const CONTROL: usize = 12;
/// Data kinds that are read: 請求・明細書, 居宅介護支援, 給付管理票.
const DATA_KINDS: [&str; 3] = ["711", "812", "821"];

/// Whether it is meant as a file of claims: it begins with a control record.
pub fn is_claims(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line.get(..200).unwrap_or(line)) else { return false };
    let items: Vec<&str> = line.split(',').map(|item| item.trim().trim_matches('"')).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    items.len() == CONTROL && items[0] == "1" && is_number(items[1]) && is_number(items[3]) && items[4].len() == 3
}

/// Reads a file. `None` when it is no such file at all; then the problems say why.
pub fn read(file: &str, bytes: &[u8]) -> (Option<ClaimFile>, Vec<Problem>) {
    let mut problems = Problems::new(file);
    if !is_claims(bytes) {
        let text =
            "1行目にコントロールレコード（1 で始まる12項目）がありません。国保連の形式のファイルを送ってください";
        problems.push(Problem::of_file(file, "control", text).at_line(1));
        return (None, problems.finish());
    }
    let read = Reader::new(bytes).read(&mut problems);
    (Some(read), problems.finish())
}

struct Reader<'a> {
    scanner: Scanner<'a, Empty>,
    months: BTreeMap<ClaimMonth, u64>,
    records: u64,
    /// What the control record says.
    told: Option<u64>,
    ended: bool,
    /// Ids nobody knows here, told once each.
    unknown: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (months, unknown) = (BTreeMap::new(), Vec::new());
        Self { scanner: Scanner::whole(bytes, 1), months, records: 0, told: None, ended: false, unknown }
    }

    fn read(mut self, problems: &mut Problems) -> ClaimFile {
        let mut raw = RawRow::new();
        while self.scanner.next_row(&mut raw) {
            if raw.continued || raw.blank {
                continue;
            }
            if self.records >= MAX_RECORDS {
                let text = format!("{MAX_RECORDS}件を超えています。ファイルを分けてください");
                problems.push(Problem::of_file(problems.file(), "row_count", text).at_line(raw.line));
                break;
            }
            self.row(&raw, problems);
        }
        if !self.ended {
            let text = "エンドレコード（3 で始まる行）がありません。ファイルが途中で切れていないか確認してください";
            problems.push(Problem::of_file(problems.file(), "end", text));
        }
        if let Some(told) = self.told.filter(|told| *told != self.records) {
            let records = self.records;
            let text =
                format!("コントロールレコードの件数は{told}件ですが、データは{records}件あります。作り直してください");
            problems.push(Problem::of_file(problems.file(), "count", text).at_line(1));
        }
        ClaimFile { months: self.months, records: self.records }
    }

    fn row(&mut self, raw: &RawRow, problems: &mut Problems) {
        let at_line = |rule, text: &str| Problem::of_file(problems.file(), rule, text).at_line(raw.line);
        if text::bytes_hold_individual_number(self.scanner.row_bytes(raw), Encoding::Cp932) {
            return problems.push(check::individual_number(problems.file()).at_line(raw.line));
        }
        if let Some(fault) = raw.fault {
            let text = match fault {
                RowFault::Quote(_) | RowFault::Unclosed(..) => "引用符(\")が閉じられていないか、重ねられていません",
                RowFault::TooLong | RowFault::TooManyColumns => {
                    "1行が長すぎます。ファイルが壊れていないか確認してください"
                }
            };
            return problems.push(at_line("form", text));
        }
        if self.ended {
            return problems.push(at_line("after_end", "エンドレコードの後に行があります。作り直してください"));
        }
        match self.item(raw, 0).as_str() {
            "1" if raw.line == 1 => self.control(raw, problems),
            "2" => {
                self.records += 1;
                self.data(raw, problems);
            }
            "3" => self.ended = true,
            _ => problems.push(at_line("record", "レコード種別は 1・2・3 のどれかです。作り直してください")),
        }
    }

    fn control(&mut self, raw: &RawRow, problems: &mut Problems) {
        for item in table::control() {
            let value = self.item(raw, item.number - 1);
            match item.usage {
                Use::Count => self.told = value.parse().ok(),
                Use::DataKind if !DATA_KINDS.contains(&value.as_str()) => {
                    let text = format!("読めるデータ種別は {} です", DATA_KINDS.join("、"));
                    let problem = Problem::of_file(problems.file(), "data_kind", text).at_line(raw.line);
                    problems.push(problem.at_item(column(item.number - 1), item.name).found(&value));
                }
                _ => {}
            }
        }
    }

    /// A data record: `2`, its number, then the items of the exchange data.
    fn data(&mut self, raw: &RawRow, problems: &mut Problems) {
        let id = self.item(raw, 2);
        let record = match table::record_of(&id, &self.item(raw, 3)) {
            table::Found::Record(record) => record,
            table::Found::PassedOver => return,
            table::Found::Unknown => return self.tell_unknown(&id, raw.line, problems),
            table::Found::Unreadable => {
                let text = "レコード種別は半角の英数字2桁です（基本情報は 01）";
                let problem = Problem::of_file(problems.file(), "value", text).at_line(raw.line);
                return problems.push(problem.at_item(column(3), "レコード種別").found(&self.item(raw, 3)));
            }
        };
        self.check_widths(record, raw, problems);
        let mut values = Values::default();
        for item in record.items.iter().filter(|item| item.usage != Use::Nothing) {
            let at = item.number + 1;
            let value = self.item(raw, at);
            if let Err(text) = values.take(item.usage, &value) {
                let problem = Problem::of_file(problems.file(), "value", text).at_line(raw.line);
                problems.push(problem.at_item(column(at), item.name).found(&value));
            }
        }
        if let Some(month) = values.month_of_claim() {
            self.months.entry(month).or_insert(raw.line);
        }
    }

    /// Longer than the layout says, or fewer items: a layout of another time. What is used is still where it was.
    fn check_widths(&self, record: &ClaimRecord, raw: &RawRow, problems: &mut Problems) {
        let found = raw.fields.len().saturating_sub(2);
        if found < record.items.len() {
            let expected = record.items.len();
            let text = format!("{expected}項目のはずが{found}項目です。使う項目だけを読みます");
            problems.push(Problem::of_file(problems.file(), "columns", text).at_line(raw.line).warning());
        }
        for (item, field) in record.items.iter().zip(raw.fields.iter().skip(2)) {
            if item.most.is_some_and(|most| field.len() > most) {
                let text = format!("{}バイト以内の項目です", item.most.unwrap_or_default());
                let problem = Problem::of_file(problems.file(), "length", text).at_line(raw.line);
                problems.push(problem.at_item(column(item.number + 1), item.name).warning());
            }
        }
    }

    fn tell_unknown(&mut self, id: &str, line: u64, problems: &mut Problems) {
        if self.unknown.len() < 50 && !self.unknown.iter().any(|known| known == id) {
            self.unknown.push(id.to_owned());
            let text = "この交換情報識別番号の様式は読めません。この様式の行は使いません";
            let problem = Problem::of_file(problems.file(), "unknown_id", text).at_line(line);
            problems.push(problem.at_item(3, "交換情報識別番号").found(id).warning());
        }
    }

    /// An item as text; what cannot be decoded is empty, and so is what is not there.
    fn item(&self, raw: &RawRow, at: usize) -> String {
        let Some(field) = raw.fields.get(at) else { return String::new() };
        text::decode(self.scanner.bytes(raw, field), Encoding::Cp932)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    }
}

fn column(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

/// What is taken out of one record.
#[derive(Default)]
struct Values {
    insurer: Option<InsurerNumber>,
    insured: Option<InsuredNumber>,
    office: Option<OfficeNumber>,
    month: Option<ServiceMonth>,
    cancelled: bool,
}

impl Values {
    fn take(&mut self, usage: Use, value: &str) -> Result<(), String> {
        match usage {
            Use::Month => self.month = Some(ServiceMonth::parse(value).map_err(|error| error.message_ja())?),
            Use::Office => self.office = Some(OfficeNumber::parse(value).map_err(|error| error.message_ja())?),
            Use::Insured => self.insured = Some(InsuredNumber::parse(value).map_err(|error| error.message_ja())?),
            Use::Insurer => {
                let number = value.strip_prefix("00").filter(|number| number.len() == 6);
                let number = number.ok_or("00 と保険者番号6桁の、合わせて8桁を入れてください")?;
                self.insurer = Some(InsurerNumber::parse(number).map_err(|error| error.message_ja())?);
            }
            Use::Change => self.cancelled = value == "3",
            Use::Count | Use::DataKind | Use::Nothing => {}
        }
        Ok(())
    }

    fn month_of_claim(&self) -> Option<ClaimMonth> {
        let person = PersonKey { insurer: self.insurer?, insured: self.insured? };
        let month = ClaimMonth { person, office: self.office?, month: self.month? };
        (!self.cancelled).then_some(month)
    }
}

#[cfg(test)]
mod tests;
