//! LIFE (科学的介護情報システム) CSV files: the data type on the first line, item ids on the second, rows after it
//! (docs/files.md, P-141, P-170). One reader for every form: the item tables are data ([`table`]).
//!
//! Columns are found by name, in any order and number. An empty field keeps what is stored, a single half-width space
//! clears it. Names, kana and other items that stay with the office are checked and then left out of what is returned.

pub mod sheet;
pub mod table;

use crate::scan::{RawField, RawRow, RowFault, Scanner};
use crate::text::{self, Encoding};
use crate::{Problem, Problems, check};
use kiban_domain::dates::parse_yyyymmdd;
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey, ServiceType};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Empty;
use table::{LifeForm, LifeItem, Need, ValueKind};

/// Rows one file may have: a year of a large office has some thousands.
pub const MAX_ROWS: usize = 200_000;

/// What a field says about an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The value.
    Set(String),
    /// One half-width space: there is no value any more.
    Clear,
}

/// What identifies a row: handing in the same again overwrites.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// 事業所番号
    pub office: OfficeNumber,
    /// サービス種類コード
    pub service: ServiceType,
    /// 外部システム管理番号
    pub number: String,
    /// 明細番号 of files that hang from another one.
    pub detail: Option<String>,
}

/// One row without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeRow {
    /// Line on which it begins.
    pub line: u64,
    /// Its key.
    pub key: RowKey,
    /// The person.
    pub person: PersonKey,
    /// What the file says, by item id. Items left empty are absent: what is stored stays. Items that stay with the office
    /// are absent too.
    pub changes: BTreeMap<&'static str, Change>,
}

/// A file as read.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeFile {
    /// Its form.
    pub form: &'static LifeForm,
    /// Rows without a fault, in the order of the file; of two rows with one key the later one.
    pub rows: Vec<LifeRow>,
}

/// Whether the rows are handed in for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// 一時保存: ○ and ● are not asked.
    Draft,
    /// 確定
    Final,
}

/// Whether it is meant as a LIFE file: a data type stands alone on the first line, or the ids of the items on the first two.
pub fn is_life(bytes: &[u8]) -> bool {
    let head = bytes.get(..4096).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head));
    let mut lines = head.split(['\r', '\n']).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim().trim_matches('"');
    table::form(first).is_some()
        || first.starts_with("FORM_")
        || [Some(first), lines.next()].iter().flatten().any(|line| line.contains("external_system_management_number"))
}

/// Reads a file. `None` when it is no LIFE file at all; then the problems say why.
pub fn read(file: &str, bytes: &[u8], stage: Stage) -> (Option<LifeFile>, Vec<Problem>) {
    let mut problems = Problems::new(file);
    let lines = line_ends(bytes);
    let read = Reader::open(&lines, stage, &mut problems).map(|reader| reader.rows(&mut problems));
    if read.is_none() && text::bytes_hold_individual_number(bytes, Encoding::Cp932) {
        problems.push(check::individual_number(file));
    }
    (read, problems.finish())
}

/// Rule of a data type that is not in the table.
const UNKNOWN_FORM: &str = "unknown_form";

/// Reads files that come together. A form that is not in the table, such as a newer one, is passed over with a warning where
/// there are files that can be read: an office drops the whole export of its software.
pub fn read_set<N: AsRef<str>, B: AsRef<[u8]>>(
    files: &[(N, B)],
    stage: Stage,
) -> (Vec<(&str, LifeFile)>, Vec<Problem>) {
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let (file, found) = self::read(name.as_ref(), bytes.as_ref(), stage);
        read.extend(file.map(|file| (name.as_ref(), file)));
        problems.extend(found);
    }
    if !read.is_empty() {
        for problem in problems.iter_mut().filter(|problem| problem.rule == UNKNOWN_FORM) {
            let text = format!("このファイルは読まずに、ほかのファイルを取り込みます。{}", problem.expected);
            *problem = Problem { expected: text, ..problem.clone() }.warning();
        }
    }
    (read, problems)
}

/// CR alone ends a line too, in a file that has no LF at all.
fn line_ends(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.contains(&b'\n') || !bytes.contains(&b'\r') {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(bytes.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect())
}

/// `FORM_0900_2024` and the like.
fn is_form_id(data_type: &str) -> bool {
    let digits = |part: &str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit());
    data_type
        .strip_prefix("FORM_")
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(form, year)| digits(form.get(..4).unwrap_or_default()) && digits(year))
}

struct Reader<'a> {
    form: &'static LifeForm,
    encoding: Encoding,
    stage: Stage,
    /// For each column its item; columns of ids that are not in the table have none.
    columns: Vec<Option<&'static LifeItem>>,
    scanner: Scanner<'a, Empty>,
}

impl<'a> Reader<'a> {
    /// Reads the two lines at the head.
    fn open(bytes: &'a [u8], stage: Stage, problems: &mut Problems) -> Option<Reader<'a>> {
        let body = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
        let marked = body.len() < bytes.len();
        let encoding = if marked || std::str::from_utf8(body).is_ok() { Encoding::Utf8 } else { Encoding::Cp932 };
        let mut scanner = Scanner::whole(body, 1);
        let mut raw = RawRow::new();
        let first = next_values(&mut scanner, &mut raw, encoding).unwrap_or_default();
        let [data_type] = &first[..] else {
            let text = "1行目はデータ種別だけにしてください（例: FORM_0000_2021）。LIFEの出力機能で作り直してください";
            problems.push(Problem::of_file(problems.file(), "data_type", text).at_line(1));
            return None;
        };
        let Some(form) = table::form(data_type.trim()) else {
            let known: Vec<&str> = table::forms().iter().map(|form| form.data_type).collect();
            let text = format!("受け付けられるデータ種別は次のとおりです: {}", known.join("、"));
            let rule = if is_form_id(data_type.trim()) { UNKNOWN_FORM } else { "data_type" };
            problems.push(Problem::of_file(problems.file(), rule, text).at_line(1).found(data_type));
            return None;
        };
        let Some(ids) = next_values(&mut scanner, &mut raw, encoding) else {
            let text = "2行目に項目名の行がありません。LIFEの出力機能で作り直してください";
            problems.push(Problem::of_file(problems.file(), "header", text).at_line(2));
            return None;
        };
        let columns = columns_of(form, &ids, raw.line, problems)?;
        scanner.expect(columns.len());
        Some(Reader { form, encoding, stage, columns, scanner })
    }

    fn rows(mut self, problems: &mut Problems) -> LifeFile {
        let mut raw = RawRow::new();
        let mut rows: Vec<LifeRow> = Vec::new();
        let mut places: HashMap<RowKey, usize> = HashMap::new();
        let mut seen = 0;
        while self.scanner.next_row(&mut raw) {
            if raw.continued || raw.blank {
                continue;
            }
            seen += 1;
            if seen > MAX_ROWS {
                let text = format!("{MAX_ROWS}行を超えています。ファイルを分けてください");
                problems.push(Problem::of_file(problems.file(), "row_count", text).at_line(raw.line));
                break;
            }
            let Some(row) = self.row(&raw, problems) else { continue };
            match places.get(&row.key) {
                Some(place) => {
                    let text = format!(
                        "{}行目と同じキー（事業所番号・サービス種類コード・管理番号）です。後の行を使います",
                        rows[*place].line
                    );
                    problems.push(Problem::of_file(problems.file(), "duplicate_row", text).at_line(row.line).warning());
                    rows[*place] = row;
                }
                None => {
                    places.insert(row.key.clone(), rows.len());
                    rows.push(row);
                }
            }
        }
        if seen == 0 {
            let text = "データの行がありません。出力し直してください";
            problems.push(Problem::of_file(problems.file(), "no_rows", text));
        }
        LifeFile { form: self.form, rows }
    }

    /// One row; `None` when something about it is wrong.
    fn row(&self, raw: &RawRow, problems: &mut Problems) -> Option<LifeRow> {
        let before = problems.errors();
        if !self.is_whole(raw, problems) {
            return None;
        }
        let mut values: HashMap<&'static str, String> = HashMap::new();
        for (column, (item, field)) in self.columns.iter().zip(&raw.fields).enumerate() {
            let Some(item) = item else { continue };
            if let Some(value) = self.value(item, (raw, column), field, problems) {
                values.insert(item.id, value);
            }
        }
        self.ask_needed(raw.line, &values, problems);
        let value = |id: &str| filled(&values, id);
        if problems.errors() > before {
            return None;
        }
        let key = RowKey {
            office: OfficeNumber::parse(value("care_facility_id")?).ok()?,
            service: ServiceType::parse(value("service_code")?).ok()?,
            number: value("external_system_management_number")?.to_owned(),
            detail: value("external_system_management_detail_number").map(str::to_owned),
        };
        let person = PersonKey {
            insurer: InsurerNumber::parse(value("insurer_no")?).ok()?,
            insured: InsuredNumber::parse(value("insured_no")?).ok()?,
        };
        let kept = self.form.items.iter().filter(|item| !item.local && !IDENTITY.contains(&item.id));
        let changes = kept
            .filter_map(|item| match values.get(item.id)?.as_str() {
                "" => None,
                " " => Some((item.id, Change::Clear)),
                value => Some((item.id, Change::Set(value.to_owned()))),
            })
            .collect();
        Some(LifeRow { line: raw.line, key, person, changes })
    }

    /// Reports what is wrong with the form of a row.
    fn is_whole(&self, raw: &RawRow, problems: &mut Problems) -> bool {
        let expected = self.columns.len();
        let (rule, text) = match raw.fault {
            None if raw.fields.len() == expected => return true,
            None => {
                let found = raw.fields.len();
                ("columns", format!("{expected}列のはずが{found}列あります。2行目の項目名と列の数を合わせてください"))
            }
            Some(RowFault::Quote(column) | RowFault::Unclosed(column, _)) => {
                ("quote", format!("{column}列目の引用符(\")が閉じられていないか、重ねられていません"))
            }
            Some(RowFault::TooLong | RowFault::TooManyColumns) => {
                ("row_length", "1行が長すぎます。ファイルが壊れていないか確認してください".to_owned())
            }
        };
        problems.push(Problem::of_file(problems.file(), rule, text).at_line(raw.line));
        if text::bytes_hold_individual_number(self.scanner.row_bytes(raw), self.encoding) {
            problems.push(check::individual_number(problems.file()).at_line(raw.line));
        }
        false
    }

    /// A value that passed the checks of its item; empty and a single space pass always.
    fn value(
        &self,
        item: &'static LifeItem,
        (raw, column): (&RawRow, usize),
        field: &RawField,
        problems: &mut Problems,
    ) -> Option<String> {
        let bytes = self.scanner.bytes(raw, field);
        let problem = |rule, text: String| {
            let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
            Problem::of_file(problems.file(), rule, text).at_line(raw.line).at_item(column, item.name)
        };
        let text = match text::decode(bytes, self.encoding) {
            Ok(text) => {
                if field.doubled {
                    text.replace("\"\"", "\"")
                } else {
                    text.into_owned()
                }
            }
            Err(fault) => {
                problems.push(problem(fault.rule(), fault.message_ja(self.encoding)));
                return None;
            }
        };
        if text.is_empty() || text == " " {
            return Some(text);
        }
        // The management number is the office's own and may have any digits.
        if text::holds_individual_number(&text) && item.id != "external_system_management_number" {
            problems.push(check::individual_number(problems.file()).at_line(raw.line));
            return None;
        }
        match misfit(item, &text) {
            None => Some(text),
            Some((rule, expected)) if self.form.like.is_some() && item.need == Need::No => {
                let told = problem(rule, format!("{expected}。新しい様式の値なので、この項目は使いません")).warning();
                problems.push(if item.local { told } else { told.found(&text) });
                None
            }
            Some((rule, expected)) => {
                let told = problem(rule, expected);
                // What stays with the office is not quoted back to anybody.
                problems.push(if item.local { told } else { told.found(&text) });
                None
            }
        }
    }

    /// ◎ always; ○ and ● of a final file, as one warning a row: a record that was missed is handed in blank.
    fn ask_needed(&self, line: u64, values: &HashMap<&'static str, String>, problems: &mut Problems) {
        let mut missed = Vec::new();
        for item in &self.form.items {
            let asked = match item.need {
                Need::Always => true,
                Need::WhenFinal => self.stage == Stage::Final,
                Need::WhenFinalIf => {
                    self.stage == Stage::Final
                        && item.condition.as_ref().is_some_and(|c| c.holds(|id| filled(values, id)))
                }
                Need::No => false,
            };
            // What stays with the office is not asked for here.
            if !asked || filled(values, item.id).is_some() || (item.local && item.need != Need::Always) {
                continue;
            }
            let column = self.columns.iter().position(|known| known.is_some_and(|known| known.id == item.id));
            // A column without a value: what is wrong with it was told.
            if column.is_some() && !values.contains_key(item.id) {
                continue;
            }
            if item.need != Need::Always {
                missed.push(item.name);
                continue;
            }
            let column = column.and_then(|column| u32::try_from(column + 1).ok()).unwrap_or(0);
            let problem = Problem::of_file(problems.file(), "required", "必ず記入してください");
            problems.push(problem.at_line(line).at_item(column, item.name));
        }
        if !missed.is_empty() {
            let more = missed.len().saturating_sub(MISSED);
            let more = if more > 0 { format!("、ほか{more}項目") } else { String::new() };
            let names = missed[..missed.len().min(MISSED)].join("、");
            let text = format!("確定のときに求められる項目です（{names}{more}）。記録がないときはこのままで構いません");
            problems.push(Problem::of_file(problems.file(), "required", text).at_line(line).warning());
        }
    }
}

/// Names of missed items told of one row.
const MISSED: usize = 5;

/// A value that is there: neither empty nor the single space that clears.
fn filled<'v>(values: &'v HashMap<&'static str, String>, id: &str) -> Option<&'v str> {
    values.get(id).map(String::as_str).filter(|value| !value.is_empty() && *value != " ")
}

/// Items that are the key and the person, not content.
const IDENTITY: [&str; 6] = [
    "care_facility_id",
    "service_code",
    "external_system_management_number",
    "external_system_management_detail_number",
    "insurer_no",
    "insured_no",
];

/// Values of a row of the head.
fn next_values(scanner: &mut Scanner<'_, Empty>, raw: &mut RawRow, encoding: Encoding) -> Option<Vec<String>> {
    if !scanner.next_row(raw) || raw.fault.is_some() {
        return None;
    }
    let value = |field: &RawField| text::decode(scanner.bytes(raw, field), encoding).map(|v| v.trim().to_owned());
    raw.fields.iter().map(value).collect::<Result<_, _>>().ok()
}

/// The item of each column. Unknown ids are told and passed over; a missing key item is an error.
fn columns_of(
    form: &'static LifeForm,
    ids: &[String],
    line: u64,
    problems: &mut Problems,
) -> Option<Vec<Option<&'static LifeItem>>> {
    let mut columns: Vec<Option<&'static LifeItem>> = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let item = form.item(id);
        let column = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let problem = |rule, text: String| {
            Problem::of_file(problems.file(), rule, text).at_line(line).at_item(column, "項目名").found(id)
        };
        match item {
            None => {
                let text = format!("{} の項目表にない項目です。この列は使いません", form.data_type);
                problems.push(problem("unknown_item", text).warning());
                columns.push(None);
            }
            Some(item) if columns.iter().flatten().any(|known| known.id == item.id) => {
                problems.push(problem("header", "同じ項目名の列が2つあります。1つにしてください".to_owned()));
                return None;
            }
            some => columns.push(some),
        }
    }
    let missing: Vec<&str> = form
        .items
        .iter()
        .filter(|item| item.need == Need::Always && !columns.iter().flatten().any(|known| known.id == item.id))
        .map(|item| item.id)
        .collect();
    if missing.is_empty() {
        return Some(columns);
    }
    let text = format!("必須の項目の列がありません: {}。LIFEの出力機能で作り直してください", missing.join("、"));
    problems.push(Problem::of_file(problems.file(), "header", text).at_line(line));
    None
}

/// Why a value does not fit its item: rule and what to do.
fn misfit(item: &LifeItem, value: &str) -> Option<(&'static str, String)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !item.codes.is_empty() {
        if item.codes.iter().any(|(code, _)| *code == value) {
            return None;
        }
        let shown: Vec<String> =
            item.codes.iter().take(20).map(|(code, name)| format!("{code} {name}").trim_end().to_owned()).collect();
        let more = if item.codes.len() > 20 { "、ほか" } else { "" };
        return Some(("code", format!("次のいずれかを入れてください: {}{more}", shown.join("、"))));
    }
    let date = |value: &str| {
        parse_yyyymmdd(value)
            .err()
            .map(|error| ("date", format!("{}。8桁の日付(YYYYMMDD)を入れてください", error.message_ja())))
    };
    match item.kind {
        ValueKind::Text => {
            let found = value.chars().count();
            (found > item.max_len)
                .then(|| ("length", format!("{}文字以内で入れてください（{found}文字でした）", item.max_len)))
        }
        ValueKind::Digits if !digits(value) || value.len() > item.max_len => {
            Some(("digits", format!("{}桁以内の半角数字で入れてください", item.max_len)))
        }
        ValueKind::Digits => range_misfit(item, value),
        ValueKind::Number => number_misfit(item, value),
        ValueKind::Date => date(value),
        // An unknown day stands as 00.
        ValueKind::DateOrMonth => match value.strip_suffix("00").filter(|month| month.len() == 6) {
            Some(month) => date(&format!("{month}01")),
            None => date(value),
        },
        ValueKind::Time => {
            let hour_and_minute = (value.len() == 4 && digits(value)).then(|| (&value[..2], &value[2..]));
            let good = hour_and_minute.is_some_and(|(hour, minute)| hour < "24" && minute < "60");
            (!good).then(|| ("time", "4桁の時刻(HHmm)を入れてください".to_owned()))
        }
        ValueKind::Insurer => InsurerNumber::parse(value).err().map(|error| ("check_digit", error.message_ja())),
        ValueKind::Insured => InsuredNumber::parse(value).err().map(|error| ("length", error.message_ja())),
        ValueKind::Office => OfficeNumber::parse(value).err().map(|error| ("length", error.message_ja())),
        ValueKind::Service => ServiceType::parse(value).err().map(|error| ("characters", error.message_ja())),
    }
}

fn number_misfit(item: &LifeItem, value: &str) -> Option<(&'static str, String)> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let form = !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && whole.len() <= item.max_len
        && fraction.len() <= item.decimals
        && (fraction.is_empty() != value.contains('.'));
    if !form {
        let decimals = match item.decimals {
            0 => "整数".to_owned(),
            decimals => format!("小数点以下{decimals}桁まで"),
        };
        return Some(("format", format!("{}桁以内の半角の数で入れてください（{decimals}）", item.max_len)));
    }
    range_misfit(item, value)
}

fn range_misfit(item: &LifeItem, value: &str) -> Option<(&'static str, String)> {
    let (from, to) = item.range?;
    let number: f64 = value.parse().ok()?;
    (!(from..=to).contains(&number)).then(|| ("range", format!("{from}〜{to} の数を入れてください")))
}

#[cfg(test)]
mod tests;
