//! The one layout engine. Layouts are data with a start date (`layouts/*.tsv`); code changes only when the meaning of
//! an item changes (CONTRIBUTING.md). Reading yields sound rows and all problems; writing checks by the same rules and is
//! the exact inverse: free text quoted, everything else bare, CRLF.

mod json;

use crate::check::{self, Misfit};
pub use crate::record::{Fields, Record, Row, RowRef};
use crate::record::{NewRows, Rows};
use crate::scan::{MAX_COLUMNS, MAX_ROW, RawField, RawRow, RowEnd, RowFault, Scanner};
use crate::text::{self, CharFault, Encoding};
use crate::{Problem, Problems};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::sync::OnceLock;

/// What stands in an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// `text`: free text, quoted when written.
    Text,
    /// `ascii`: half-width letters, digits and signs.
    Ascii,
    /// `folded`: the same; full-width letters, digits and signs are read as half-width with a warning.
    Folded,
    /// `digits`: digits, leading zeros kept.
    Digits,
    /// `integer`: a number, may be negative.
    Integer,
    /// `decimal`: `99.99`.
    Decimal,
    /// `date`: `YYYYMMDD`.
    Date,
    /// `past_date`: the same of something that has happened: not after the day on which the file was made, where that is known.
    PastDate,
    /// `date_or_zero`: `YYYYMMDD` or `00000000` for none.
    DateOrZero,
    /// `month`: `YYYYMM`.
    Month,
    /// `month_or_zero`: `YYYYMM` or `000000` for none.
    MonthOrZero,
    /// `datetime`: `YYYYMMDDHHMMSS`, Japan.
    DateTime,
    /// `time`: `HHMM`, 0000–2400.
    Time,
    /// `time_or_9999`: `HHMM` or `9999` for none.
    TimeOr9999,
    /// `clock`: `HHMMSS`.
    Clock,
    /// `days31`: 31 characters of 0 and 1.
    Days31,
    /// `flags`: as many characters as the length says, `o` ticked and `x` not. No digits: twelve of them could be taken for
    /// a 個人番号.
    Flags,
    /// `postal`: `NNN-NNNN`.
    Postal,
    /// `sha256`: 64 hexadecimal digits, lower case.
    Sha256,
    /// `insurer`: 保険者番号, check digit binding.
    Insurer,
    /// `insured`: 被保険者番号.
    Insured,
    /// `office`: 事業所番号, check digit warns.
    Office,
    /// `organization`: 保険者番号 or 事業所番号.
    Organization,
    /// `service`: サービス種類コード.
    Service,
    /// `code`: one of the codes listed.
    Code,
    /// `padded_code`: the same; a code without its leading zero is read with it, with a warning.
    PaddedCode,
    /// `version`: a version this layout is for.
    Version,
}

impl ItemKind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "text" => Self::Text,
            "ascii" => Self::Ascii,
            "folded" => Self::Folded,
            "digits" => Self::Digits,
            "integer" => Self::Integer,
            "decimal" => Self::Decimal,
            "date" => Self::Date,
            "past_date" => Self::PastDate,
            "date_or_zero" => Self::DateOrZero,
            "month" => Self::Month,
            "month_or_zero" => Self::MonthOrZero,
            "datetime" => Self::DateTime,
            "time" => Self::Time,
            "time_or_9999" => Self::TimeOr9999,
            "clock" => Self::Clock,
            "days31" => Self::Days31,
            "flags" => Self::Flags,
            "postal" => Self::Postal,
            "sha256" => Self::Sha256,
            "insurer" => Self::Insurer,
            "insured" => Self::Insured,
            "office" => Self::Office,
            "organization" => Self::Organization,
            "service" => Self::Service,
            "code" => Self::Code,
            "padded_code" => Self::PaddedCode,
            "version" => Self::Version,
            _ => return None,
        })
    }

    /// Its name for the people who read the item tables.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Text => "文字",
            Self::Ascii | Self::Folded => "半角",
            Self::Digits => "数字",
            Self::Integer => "整数",
            Self::Decimal => "小数",
            Self::Date => "日付 YYYYMMDD",
            Self::PastDate => "日付 YYYYMMDD（作成日まで）",
            Self::DateOrZero => "日付 YYYYMMDD または 00000000",
            Self::Month => "年月 YYYYMM",
            Self::MonthOrZero => "年月 YYYYMM または 000000",
            Self::DateTime => "日時 YYYYMMDDHHMMSS",
            Self::Time => "時刻 HHMM",
            Self::TimeOr9999 => "時刻 HHMM または 9999",
            Self::Clock => "時刻 HHMMSS",
            Self::Days31 => "31文字の 0・1",
            Self::Flags => "o・x の並び",
            Self::Postal => "郵便番号 NNN-NNNN",
            Self::Sha256 => "16進64文字",
            Self::Insurer => "保険者番号",
            Self::Insured => "被保険者番号",
            Self::Office => "事業所番号",
            Self::Organization => "保険者番号または事業所番号",
            Self::Service => "サービス種類コード",
            Self::Code | Self::PaddedCode => "コード",
            Self::Version => "版",
        }
    }
}

/// Whether an item must be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// `R`
    Always,
    /// `W`: very probably, so an empty one warns.
    Probably,
    /// `C`: depends on other items.
    Conditional,
    /// `-`
    No,
    /// `A`: optional and added to the layout after it was first published. A file may end before it, header and rows.
    Added,
}

/// One item of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number, the column of the file, 1-based.
    pub no: u32,
    /// 項目名
    pub name: &'static str,
    /// English key, unique in the file.
    pub key: &'static str,
    /// What stands in it.
    pub kind: ItemKind,
    /// Characters at most; none without limit.
    pub max_len: Option<u16>,
    /// Whether it must be filled.
    pub required: Required,
    /// Codes with their Japanese names.
    pub codes: Vec<(&'static str, &'static str)>,
    /// Remark for readers of the item table.
    pub note: &'static str,
}

/// The items of one kind of file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLayout {
    /// Kind of file: `UP1KYO`, `INSURED` …
    pub file: &'static str,
    /// Items in order.
    pub items: Vec<Item>,
}

impl FileLayout {
    /// 1-based column and name of an item by its key.
    pub fn column(&self, key: &str) -> (u32, &'static str) {
        self.items.iter().find(|item| item.key == key).map_or((0, ""), |item| (item.no, item.name))
    }

    /// Columns a file has at least: those before the items added later.
    pub fn first_columns(&self) -> usize {
        self.items.len() - self.items.iter().rev().take_while(|item| item.required == Required::Added).count()
    }
}

/// A version of a family of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutSet {
    /// Its name, such as `care_plan-202407`.
    pub name: &'static str,
    /// First service month or day from which it applies, `YYYYMMDD`.
    pub from: i32,
    /// Whether it is the official layout, as against a profile of this project.
    pub official: bool,
    /// The files.
    pub files: Vec<FileLayout>,
}

impl LayoutSet {
    /// Layout of a kind of file.
    pub fn file(&self, name: &str) -> Option<&FileLayout> {
        self.files.iter().find(|layout| layout.file == name)
    }
}

/// ケアプラン標準仕様 Ver. 4.1, CSVバージョン 202407, from service month 2025-04.
pub fn care_plan() -> &'static LayoutSet {
    static SET: OnceLock<LayoutSet> = OnceLock::new();
    SET.get_or_init(|| parse_set("care_plan-202407", 20250401, true, include_str!("../layouts/care_plan-202407.tsv")))
}

/// ケアプラン標準仕様 Ver. 3 to 3.2, CSVバージョン 202208, for service months 2023-01 to 2025-03.
pub fn care_plan_202208() -> &'static LayoutSet {
    static SET: OnceLock<LayoutSet> = OnceLock::new();
    SET.get_or_init(|| parse_set("care_plan-202208", 20230101, true, include_str!("../layouts/care_plan-202208.tsv")))
}

/// 施設サービス計画, profile KGSP-1 of this project. The standard has no file for it.
pub fn facility() -> &'static LayoutSet {
    static SET: OnceLock<LayoutSet> = OnceLock::new();
    SET.get_or_init(|| parse_set("facility-1", 20260401, false, include_str!("../layouts/facility-1.tsv")))
}

/// The municipal package, profile KGKB-1 of this project. Not the official layout.
pub fn municipal() -> &'static LayoutSet {
    static SET: OnceLock<LayoutSet> = OnceLock::new();
    SET.get_or_init(|| parse_set("municipal-1", 20260401, false, include_str!("../layouts/municipal-1.tsv")))
}

/// What an operator hands over: the members of 広域連合. Of this project.
pub fn operator() -> &'static LayoutSet {
    static SET: OnceLock<LayoutSet> = OnceLock::new();
    SET.get_or_init(|| parse_set("operator-1", 20260401, false, include_str!("../layouts/operator-1.tsv")))
}

/// Every set of layouts in force today.
pub fn all() -> [&'static LayoutSet; 4] {
    [care_plan(), facility(), municipal(), operator()]
}

/// Reads a table of items. A line that is not an item is left out; tests hold the tables against gaps.
fn parse_set(name: &'static str, from: i32, official: bool, table: &'static str) -> LayoutSet {
    let mut files: Vec<FileLayout> = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&'static str> = line.split('\t').collect();
        let [file, no, item, key, kind, max_len, required, codes, note] = columns[..] else { continue };
        let (Ok(no), Some(kind)) = (no.parse(), ItemKind::parse(kind)) else { continue };
        let required = match required {
            "R" => Required::Always,
            "W" => Required::Probably,
            "C" => Required::Conditional,
            "A" => Required::Added,
            _ => Required::No,
        };
        let codes = codes.split(';').filter_map(|code| code.split_once('=')).collect();
        let item = Item { no, name: item, key, kind, max_len: max_len.parse().ok(), required, codes, note };
        match files.last_mut().filter(|layout| layout.file == file) {
            Some(layout) => layout.items.push(item),
            None => files.push(FileLayout { file, items: vec![item] }),
        }
    }
    LayoutSet { name, from, official, files }
}

/// How a family of files is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Character code.
    pub encoding: Encoding,
    /// A first row with the item names is required; otherwise it is skipped with a warning.
    pub header: bool,
    /// A last line without line end means that the file was cut; otherwise it warns.
    pub strict_end: bool,
    /// JSON instead of CSV: one object a line. Always UTF-8 and without a header row.
    pub json: bool,
}

impl Dialect {
    /// ケアプラン標準仕様: MS932, no header row.
    pub const CARE_PLAN: Self = Self { encoding: Encoding::Cp932, header: false, strict_end: false, json: false };
    /// Municipal package in UTF-8.
    pub const MUNICIPAL: Self = Self { encoding: Encoding::Utf8, header: true, strict_end: true, json: false };
    /// Municipal package in JSON.
    pub const MUNICIPAL_JSON: Self = Self { json: true, ..Self::MUNICIPAL };
}

/// Reads a whole file: rows with the right number of columns, and all problems. Only rows that say
/// [`Row::is_sound`] passed every check of their items.
pub fn read(layout: &FileLayout, file: &str, bytes: &[u8], dialect: Dialect) -> (Vec<Row>, Vec<Problem>) {
    let mut problems = Problems::new(file);
    let mut reader = Reader::new(layout, bytes, dialect, &mut problems);
    let rows = all_rows(&mut reader, &mut problems);
    (rows, problems.finish())
}

/// Reads row by row in constant memory.
#[derive(Debug)]
pub struct Reader<'a, R> {
    layout: &'a FileLayout,
    dialect: Dialect,
    scanner: Scanner<'a, R>,
    raw: RawRow,
    seen: u64,
    first: bool,
    warned_line_end: bool,
    /// Columns of every row: those of the header, where there is one that fits.
    columns: usize,
    /// Values already told that would repeat on every row (versions, check digits of offices).
    told: HashSet<(u32, String)>,
    array: json::Array,
}

impl<'a, R: Read> Reader<'a, R> {
    /// Starts reading; a wrong encoding of the whole file is told once and the file is read in the other one. Bytes in
    /// memory (`&[u8]`) are a source like any other.
    pub fn new(layout: &'a FileLayout, source: R, dialect: Dialect, problems: &mut Problems) -> Self {
        Self::over(layout, Scanner::new(source, layout.items.len()), dialect, problems)
    }

    fn over(
        layout: &'a FileLayout,
        mut scanner: Scanner<'a, R>,
        mut dialect: Dialect,
        problems: &mut Problems,
    ) -> Self {
        let bytes = text::whole_characters(scanner.head());
        let body = bytes.strip_prefix(text::BOM).unwrap_or(bytes);
        let mark = bytes.len() - body.len();
        match dialect.encoding {
            Encoding::Cp932 if dialect.json => {
                dialect.encoding = Encoding::Utf8;
                let text = "JSON のファイルは UTF-8 だけです。文字コードの欄を UTF-8 に直してください";
                problems.push(Problem::of_file(problems.file(), "encoding", text));
            }
            Encoding::Utf8 if dialect.json => {}
            Encoding::Cp932 if mark > 0 && !text::is_utf8_japanese(body) => {
                let text = "先頭にBOMがあります。Shift_JIS(MS932)のファイルには付けないでください";
                problems.push(Problem::of_file(problems.file(), "encoding", text).warning());
            }
            Encoding::Cp932 if text::is_utf8_japanese(body) => {
                dialect.encoding = Encoding::Utf8;
                let text = "文字コードがUTF-8です。Shift_JIS(MS932)で保存し直してください";
                problems.push(Problem::of_file(problems.file(), "encoding", text));
            }
            Encoding::Utf8 if is_cp932_header(layout, body, dialect.header) => {
                dialect.encoding = Encoding::Cp932;
                let text =
                    "文字コードがShift_JIS(MS932)です。UTF-8で保存し直すか、文字コードの欄を CP932 に直してください";
                problems.push(Problem::of_file(problems.file(), "encoding", text));
            }
            _ => {}
        }
        scanner.skip(mark);
        Self {
            layout,
            dialect,
            scanner,
            raw: RawRow::new(),
            seen: 0,
            first: true,
            warned_line_end: false,
            columns: layout.items.len(),
            told: HashSet::new(),
            array: json::Array::default(),
        }
    }

    /// Rows of data seen so far, broken ones included.
    pub fn rows_seen(&self) -> u64 {
        self.seen
    }

    /// Why the source could not be read to its end, if so.
    pub fn take_error(&mut self) -> Option<std::io::Error> {
        self.scanner.take_error()
    }

    /// The next row with the right number of columns.
    pub fn next_row(&mut self, problems: &mut Problems) -> Option<Row> {
        if self.dialect.json {
            return self.next_object(problems);
        }
        let sound = self.next_whole(problems)?;
        Some(self.decode_row(sound, problems))
    }

    /// Goes to the next row with the right number of columns; whether its end is sound.
    fn next_whole(&mut self, problems: &mut Problems) -> Option<bool> {
        while self.scanner.next_row(&mut self.raw) {
            if self.raw.continued {
                self.find_individual_number(problems);
                continue;
            }
            let first = std::mem::take(&mut self.first);
            if self.raw.blank {
                let text = "空の行です。取り除いてください";
                problems.push(Problem::of_file(problems.file(), "blank_line", text).at_line(self.raw.line).warning());
                continue;
            }
            if first && self.is_header(problems) {
                continue;
            }
            self.seen += 1;
            let sound_end = self.check_end(problems);
            if self.is_broken(problems) {
                continue;
            }
            return Some(sound_end);
        }
        None
    }

    /// All rows of a source in memory. Most of them repeat most values of the row before: those are found by comparing the two
    /// rows, and neither decoded nor judged again.
    fn rows(&mut self, problems: &mut Problems) -> Rows {
        let mut rows = NewRows::new(self.layout.items.len());
        // Columns to be judged: those that changed, and those of which something was told.
        let (mut changed, mut told) = (Vec::new(), Vec::new());
        let mut is_whole = false;
        loop {
            if is_whole && self.scanner.next_alike(&mut self.raw, &mut changed) {
                self.seen += 1;
                let sound = self.check_end(problems);
                rows.repeat(self.raw.line, sound);
                if !told.is_empty() {
                    changed.append(&mut told);
                    changed.sort_unstable();
                    changed.dedup();
                }
            } else {
                let Some(sound) = self.next_whole(problems) else { return rows.end() };
                rows.begin(self.raw.line, sound);
                changed.clear();
                changed.extend(0..self.raw.fields.len().min(self.layout.items.len()));
                told.clear();
                if !is_whole {
                    // As many rows as there would be if all were like the first one.
                    rows.expect(self.scanner.rows_ahead(&self.raw));
                }
                is_whole = true;
            }
            for column in &changed {
                if !self.take_value(*column, &mut rows, problems) {
                    told.push(*column);
                }
            }
        }
    }

    /// Decodes and judges a value of the row just read and puts it into the row begun last; false when something was told.
    fn take_value(&mut self, column: usize, rows: &mut NewRows, problems: &mut Problems) -> bool {
        let (item, field) = (&self.layout.items[column], &self.raw.fields[column]);
        let bytes = self.scanner.bytes(&self.raw, field);
        let start = rows.text.len();
        let is_common = self.dialect.encoding == Encoding::Cp932 && !field.doubled;
        if is_common
            && text::decode_common(bytes, &mut rows.text)
            && check::surely_fits(item, &rows.text.as_bytes()[start..])
        {
            rows.place(column, start);
            return true;
        }
        rows.text.truncate(start);
        self.take_other_value(column, rows, problems)
    }

    /// The same of a value that has to be looked at.
    fn take_other_value(&mut self, column: usize, rows: &mut NewRows, problems: &mut Problems) -> bool {
        let (item, field) = (&self.layout.items[column], &self.raw.fields[column]);
        let bytes = undoubled(field, self.scanner.bytes(&self.raw, field));
        let value = match text::decode(&bytes, self.dialect.encoding) {
            Ok(value) => value,
            Err(fault) => {
                self.tell_fault(item, &fault, &bytes, problems);
                rows.add(column, "");
                rows.spoil();
                return false;
            }
        };
        let misfit = judge(item, &value);
        rows.add(column, repaired(&misfit).unwrap_or(&value));
        let Some((misfit, found)) = misfit else { return true };
        if !misfit.warning {
            rows.spoil();
        }
        tell_misfit(&mut self.told, self.raw.line, (item, &misfit, found), problems);
        false
    }

    /// Tells that a value cannot be decoded.
    fn tell_fault(&self, item: &Item, fault: &CharFault, bytes: &[u8], problems: &mut Problems) {
        let encoding = self.dialect.encoding;
        let problem = Problem::of_file(problems.file(), fault.rule(), fault.message_ja(encoding));
        problems.push(problem.at_line(self.raw.line).at_item(item.no, item.name));
        if text::bytes_hold_individual_number(bytes, encoding) {
            let problem = check::individual_number(problems.file());
            problems.push(problem.at_line(self.raw.line).at_item(item.no, item.name));
        }
    }

    /// Reports what is wrong with the form of the row.
    fn is_broken(&self, problems: &mut Problems) -> bool {
        let expected = self.columns;
        let at = |column: usize| {
            let name = self.layout.items.get(column - 1).map_or("", |item| item.name);
            (u32::try_from(column).unwrap_or(u32::MAX), name)
        };
        let problem = |rule, text: String| Problem::of_file(problems.file(), rule, text).at_line(self.raw.line);
        let problem = match self.raw.fault {
            Some(RowFault::Quote(column)) => {
                let (column, name) = at(column);
                let text = "値の中の引用符(\")は2つ重ねて(\"\")書き、値全体を引用符で囲んでください";
                problem("quote", text.to_owned()).at_item(column, name)
            }
            Some(RowFault::Unclosed(column, end)) => {
                let (column, name) = at(column);
                let text = "引用符(\")が閉じられていません。";
                let hint = if end {
                    "ファイルが途中で切れていないか確認してください"
                } else {
                    "値の終わりに引用符を付けてください"
                };
                problem("quote", format!("{text}{hint}")).at_item(column, name)
            }
            Some(RowFault::TooLong) => problem("row_length", format!("1行が{MAX_ROW}バイトを超えています")),
            Some(RowFault::TooManyColumns) => {
                let text = format!("{expected}列で作り直してください");
                problem("columns", text).found(&format!("{MAX_COLUMNS}列より多い列"))
            }
            None if self.raw.fields.len() != expected => {
                let (column, name) = at(self.shifted_from());
                let found = self.raw.fields.len();
                let text = format!("{expected}列のはずです。この列の前後で、列の過不足を直してください");
                problem("columns", text).at_item(column, name).found(&format!("{found}列"))
            }
            None => return false,
        };
        self.find_individual_number(problems);
        problems.push(problem);
        true
    }

    /// Column (1-based) from which the values of a row with too few or too many of them do not stand where they should: that of
    /// the first value that does not fit its item, else the first one missing or left over.
    fn shifted_from(&self) -> usize {
        let items = self.layout.items.iter().take(self.columns);
        let does_not_fit = |(item, field): (&Item, &RawField)| {
            let bytes = undoubled(field, self.scanner.bytes(&self.raw, field));
            let value = text::decode(&bytes, self.dialect.encoding);
            value.is_ok_and(|value| judge(item, &value).is_some_and(|(misfit, _)| !misfit.warning))
        };
        let common = self.columns.min(self.raw.fields.len());
        items.zip(&self.raw.fields).position(does_not_fit).unwrap_or(common) + 1
    }

    /// Looks for a 個人番号 in a row that cannot be read item by item.
    fn find_individual_number(&self, problems: &mut Problems) {
        if text::bytes_hold_individual_number(self.scanner.row_bytes(&self.raw), self.dialect.encoding) {
            problems.push(check::individual_number(problems.file()).at_line(self.raw.line));
        }
    }

    /// Line ends: LF alone warns once; a missing one at the end may mean that the file was cut.
    fn check_end(&mut self, problems: &mut Problems) -> bool {
        match self.raw.end {
            RowEnd::Lf if !self.warned_line_end && self.raw.fault.is_none() => {
                self.warned_line_end = true;
                let text = "改行がLFだけです。CRLFで保存してください";
                problems.push(Problem::of_file(problems.file(), "line_end", text).at_line(self.raw.line).warning());
                true
            }
            RowEnd::Eof if self.raw.fault.is_none() => {
                let text = "最後の行が改行で終わっていません。ファイルが途中で切れていないか確認してください";
                let problem = Problem::of_file(problems.file(), "cut", text).at_line(self.raw.line);
                problems.push(if self.dialect.strict_end { problem } else { problem.warning() });
                !self.dialect.strict_end
            }
            _ => true,
        }
    }

    /// Whether the first row holds names instead of values.
    fn is_header(&mut self, problems: &mut Problems) -> bool {
        let names: Vec<_> = self
            .raw
            .fields
            .iter()
            .map(|field| text::decode(self.scanner.bytes(&self.raw, field), self.dialect.encoding).unwrap_or_default())
            .collect();
        let problem = |text: String| Problem::of_file(problems.file(), "header", text).at_line(self.raw.line);
        if !self.dialect.header {
            // Whatever the names are: no row of data is without a value that begins with a digit.
            let is_name = |name: &Cow<'_, str>| !name.starts_with(|c: char| c.is_ascii_digit());
            let is_header = self.raw.fault.is_none()
                && names.first().is_some_and(|name| !name.is_empty())
                && names.iter().all(is_name);
            if is_header {
                problems.push(problem("見出し行は不要です。読み飛ばしました".to_owned()).warning());
                self.find_individual_number(problems);
            }
            return is_header;
        }
        let required = self.layout.items.len().min(names.len().max(self.layout.first_columns()));
        let mut items = self.layout.items.iter().take(required).enumerate();
        let wrong = items.find(|(i, item)| names.get(*i).is_none_or(|name| *name != item.name));
        match wrong {
            None if names.len() == required => self.columns = required,
            None => {
                let text = format!("見出しを{}列にしてください", self.layout.items.len());
                problems.push(problem(text).found(&format!("{}列", names.len())));
            }
            Some((i, item)) => {
                let text = format!("1行目の見出しの{}列目は「{}」にしてください", i + 1, item.name);
                let found = names.get(i).map_or_else(|| format!("{}列", names.len()), |name| name.to_string());
                problems.push(problem(text).at_item(item.no, item.name).found(&found));
            }
        }
        // A first row of values (a number in the first column) is judged as a row.
        !names.first().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty())
    }

    fn decode_row(&mut self, sound: bool, problems: &mut Problems) -> Row {
        let bytes: usize = self.raw.fields.iter().map(RawField::len).sum();
        // Two bytes of CP932 become three of UTF-8.
        let mut row = Row::new(self.raw.line, sound, self.raw.fields.len(), bytes + bytes / 2);
        for (item, field) in self.layout.items.iter().zip(&self.raw.fields) {
            let bytes = undoubled(field, self.scanner.bytes(&self.raw, field));
            let value = match text::decode(&bytes, self.dialect.encoding) {
                Ok(value) => value,
                Err(fault) => {
                    self.tell_fault(item, &fault, &bytes, problems);
                    row.push("");
                    row.spoil();
                    continue;
                }
            };
            let misfit = judge(item, &value);
            row.push(repaired(&misfit).unwrap_or(&value));
            if let Some((misfit, found)) = misfit {
                if !misfit.warning {
                    row.spoil();
                }
                tell_misfit(&mut self.told, self.raw.line, (item, &misfit, found), problems);
            }
        }
        for _ in self.raw.fields.len()..self.layout.items.len() {
            row.push("");
        }
        row
    }
}

/// All rows of a care-plan file and how many rows of data it seems to have, broken ones included.
pub(crate) fn read_rows(layout: &FileLayout, bytes: &[u8], dialect: Dialect, problems: &mut Problems) -> (Rows, u64) {
    if !dialect.json {
        let mut found = Problems::new(problems.file());
        let scanner = Scanner::whole(bytes, layout.items.len());
        let mut reader = Reader::over(layout, scanner, dialect, &mut found);
        let rows = reader.rows(&mut found);
        // Of a row that is far too long each piece is looked at.
        if !found.has("row_length") {
            problems.append(found);
            return (rows, reader.seen);
        }
    }
    read_rows_in_pieces(layout, bytes, dialect, problems)
}

fn read_rows_in_pieces(layout: &FileLayout, bytes: &[u8], dialect: Dialect, problems: &mut Problems) -> (Rows, u64) {
    let mut reader = Reader::new(layout, bytes, dialect, problems);
    let rows = all_rows(&mut reader, problems);
    (Rows::of(layout.items.len(), &rows), reader.seen)
}

fn all_rows<R: Read>(reader: &mut Reader<'_, R>, problems: &mut Problems) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row(problems) {
        rows.push(row);
    }
    rows
}

/// Tells what is wrong with a value, and what of it may be quoted.
fn tell_misfit(
    told: &mut HashSet<(u32, String)>,
    line: u64,
    (item, misfit, found): (&Item, &Misfit, &str),
    problems: &mut Problems,
) {
    if tell(told, item, misfit, found) {
        let problem = Problem::of_file(problems.file(), misfit.rule, misfit.expected.as_str());
        let problem = problem.at_line(line).at_item(item.no, item.name).found(found);
        problems.push(if misfit.warning { problem.warning() } else { problem });
    }
}

/// Whether to tell: the same version or office number is told once a file.
fn tell(told: &mut HashSet<(u32, String)>, item: &Item, misfit: &Misfit, found: &str) -> bool {
    let repeats = item.kind == ItemKind::Version || misfit.warning && !found.is_empty();
    !repeats || (told.len() < 256 && told.insert((item.no, found.to_owned())))
}

/// Judges one value; the second part is what may be quoted.
fn judge<'v>(item: &Item, value: &'v str) -> Option<(Misfit, &'v str)> {
    if value.is_empty() {
        let warning = match item.required {
            Required::Always => false,
            Required::Probably => true,
            Required::Conditional | Required::No | Required::Added => return None,
        };
        return Some((
            Misfit { rule: "required", expected: check::hint(item), warning, secret: false, repaired: None },
            "",
        ));
    }
    if check::surely_fits(item, value.as_bytes()) {
        return None;
    }
    let misfit = check::check(item, value).err()?;
    let found = if misfit.secret { "" } else { value };
    Some((misfit, found))
}

/// The value meant, where it was written differently.
fn repaired<'m>(misfit: &'m Option<(Misfit, &str)>) -> Option<&'m str> {
    misfit.as_ref().and_then(|(misfit, _)| misfit.repaired.as_deref())
}

/// A value with doubled quotes as one.
fn undoubled<'b>(field: &RawField, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    if field.doubled { Cow::Owned(undouble(bytes)) } else { Cow::Borrowed(bytes) }
}

fn undouble(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut skip = false;
    for byte in bytes {
        skip = *byte == b'"' && !skip;
        if *byte != b'"' || skip {
            out.push(*byte);
        }
    }
    out
}

/// Whether a file said to be UTF-8 begins with the header row in CP932.
fn is_cp932_header(layout: &FileLayout, body: &[u8], header: bool) -> bool {
    let first = body.split(|b| matches!(b, b',' | b'\r' | b'\n')).next().unwrap_or_default();
    let first = first.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(first);
    let name = layout.items.first().map_or("", |item| item.name);
    header && std::str::from_utf8(first).is_err() && text::decode(first, Encoding::Cp932).is_ok_and(|text| text == name)
}

/// Writes a file, or says what cannot be written: by the same rules as reading.
pub fn write<'r>(
    layout: &FileLayout,
    file: &str,
    records: impl IntoIterator<Item = &'r Record<'r>>,
    dialect: Dialect,
) -> Result<Vec<u8>, Vec<Problem>> {
    let mut problems = Problems::new(file);
    let mut out = Vec::new();
    let mut line = 1;
    if dialect.json {
        out.extend_from_slice(b"[\n");
        line += 1;
    } else if dialect.header {
        write_header(layout, dialect, &mut out, &mut problems);
        line += 1;
    }
    for record in records {
        if dialect.json && out.last() == Some(&b'}') {
            out.extend_from_slice(b",\n");
        }
        if record.lost_a_value() {
            let text = "この版のファイルにない項目に値があります。新しい版で書いてください";
            problems.push(Problem::of_file(file, "version", text).at_line(line));
        }
        let before = out.len();
        for (i, (item, value)) in layout.items.iter().zip(record.values()).enumerate() {
            if i > 0 && !dialect.json {
                out.push(b',');
            }
            let problem =
                |rule, text: String| Problem::of_file(file, rule, text).at_line(line).at_item(item.no, item.name);
            if let Some((misfit, found)) = judge(item, value).filter(|(m, _)| !m.warning || m.repaired.is_some()) {
                problems.push(problem(misfit.rule, misfit.expected).found(found));
            }
            if dialect.json {
                continue;
            }
            if let Err(c) = write_value(item, value, dialect.encoding, &mut out) {
                let text = "この文字はファイルの文字コードで書けません。標準の文字に置き換えてください";
                problems.push(problem("encoding", text.to_owned()).found(&c.to_string()));
            }
        }
        if dialect.json {
            json::write_object(layout, record, &mut out);
            line += 1;
        } else {
            out.extend_from_slice(b"\r\n");
        }
        if out.len() - before > MAX_ROW {
            problems.push(
                Problem::of_file(file, "row_length", format!("1行が{MAX_ROW}バイトを超えています")).at_line(line),
            );
        }
        line += out[before..].iter().filter(|b| **b == b'\n').count() as u64;
    }
    if dialect.json {
        out.extend_from_slice(if out.ends_with(b"}") { b"\n]\n" } else { b"]\n" });
    }
    if problems.errors() == 0 { Ok(out) } else { Err(problems.finish()) }
}

fn write_header(layout: &FileLayout, dialect: Dialect, out: &mut Vec<u8>, problems: &mut Problems) {
    for (i, item) in layout.items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if let Err(c) = text::encode(item.name, dialect.encoding, out) {
            let text = "見出しに書けない文字があります";
            problems.push(Problem::of_file(problems.file(), "encoding", text).found(&c.to_string()));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Free text is quoted, other items are bare unless they hold a character that would break the row.
fn write_value(item: &Item, value: &str, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), char> {
    if value.is_empty() {
        return Ok(());
    }
    if item.kind != ItemKind::Text && !value.contains(['"', ',', '\r', '\n']) {
        return text::encode(value, encoding, out);
    }
    out.push(b'"');
    let result = if value.contains('"') {
        text::encode(&value.replace('"', "\"\""), encoding, out)
    } else {
        text::encode(value, encoding, out)
    };
    out.push(b'"');
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_item_tables_have_no_gaps_and_unique_keys() {
        for (set, files, lines) in [
            (care_plan(), 17, include_str!("../layouts/care_plan-202407.tsv").lines().count()),
            (care_plan_202208(), 9, include_str!("../layouts/care_plan-202208.tsv").lines().count()),
            (facility(), 4, include_str!("../layouts/facility-1.tsv").lines().count()),
            (municipal(), 13, include_str!("../layouts/municipal-1.tsv").lines().count()),
            (operator(), 1, include_str!("../layouts/operator-1.tsv").lines().count()),
        ] {
            assert_eq!(set.files.len(), files);
            let items: usize = set.files.iter().map(|layout| layout.items.len()).sum();
            assert_eq!(items, lines - 3, "a line of {} was not understood", set.name);
            for layout in &set.files {
                let keys: HashSet<_> = layout.items.iter().map(|item| item.key).collect();
                assert_eq!(keys.len(), layout.items.len(), "{}", layout.file);
                let names: HashSet<_> = layout.items.iter().map(|item| item.name).collect();
                assert!(names.len() == layout.items.len() || set.name != "municipal-1", "{}", layout.file);
                for (i, item) in layout.items.iter().enumerate() {
                    assert_eq!(item.no as usize, i + 1, "{}", layout.file);
                    assert_eq!(
                        item.codes.is_empty(),
                        !matches!(item.kind, ItemKind::Code | ItemKind::PaddedCode | ItemKind::Version)
                    );
                }
            }
        }
        let counts = [
            ("UPHOSOKU", 63),
            ("UP1KYO", 28),
            ("UP2KYO", 22),
            ("UP3KYO", 13),
            ("UPPLAN", 25),
            ("UPSIKYU", 37),
            ("UPKIHON", 71),
            ("UPKIHON_SUB1", 7),
            ("UPKIHON_SUB2", 11),
            ("UPYOBO", 57),
            ("UPYOBO_SUB", 17),
        ];
        for (file, items) in counts {
            assert_eq!(care_plan().file(file).unwrap().items.len(), items);
        }
        for (file, items) in [("UPPLAN", 22), ("UPJSK", 22), ("UPSIKYU", 34), ("UPHOSOKU", 63)] {
            assert_eq!(care_plan_202208().file(file).unwrap().items.len(), items);
        }
    }

    #[test]
    fn the_rows_behind_a_broken_one_are_still_judged() {
        let layout = care_plan().file("DLTJSK").unwrap();
        let bytes = b"202407,999003,0001234567,202604\r\n202407,999004,000123456,202613,9970000023,11\r\n\
            202407,999003,0001234567,202604,9970000023,11\r\n";
        let (rows, problems) = read(layout, "x.CSV", bytes, Dialect::CARE_PLAN);
        assert_eq!(rows.iter().map(Row::is_sound).collect::<Vec<_>>(), [false, true]);
        let found: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.rule.as_ref())).collect();
        assert_eq!(found, [(1, 5, "columns"), (2, 2, "check_digit"), (2, 3, "length"), (2, 4, "month")]);
    }

    #[test]
    fn a_file_may_end_before_the_items_added_later_and_nowhere_else() {
        let layout = municipal().file("A5").unwrap();
        let names: Vec<_> = layout.items.iter().map(|item| item.name).collect();
        let found = |header: usize, columns: usize| {
            let values = format!("131219,0000000001,1,1,20260123,02{}", ",".repeat(columns - 6));
            let text = format!("{}\r\n{values}\r\n", names[..header].join(","));
            let (rows, problems) = read(layout, "x.csv", text.as_bytes(), Dialect::MUNICIPAL);
            let sound = rows.iter().filter(|row| row.is_sound() && row.get(columns).is_empty()).count();
            (sound, problems.iter().map(|problem| problem.rule.to_string()).collect::<Vec<_>>())
        };
        let (first, all) = (layout.first_columns(), names.len());
        assert_eq!((first, all), (27, 36));
        for columns in [first, first + 1, all] {
            assert_eq!(found(columns, columns), (1, vec![]), "{columns}");
        }
        assert_eq!(found(first, all), (0, vec!["columns".to_owned()]), "a row longer than its header");
        assert_eq!(found(all, first), (0, vec!["columns".to_owned()]), "a row that was cut");
        assert_eq!(found(first - 1, first).1, ["header", "columns"]);
        assert!(care_plan().files.iter().all(|layout| layout.first_columns() == layout.items.len()));
    }

    /// A file as its rows and problems, one way and the other.
    /// Rows (line, soundness, values), how many were seen, and the problems.
    type Told = (Vec<(u64, bool, Vec<String>)>, u64, Vec<Problem>);

    fn both_ways(layout: &FileLayout, bytes: &[u8]) -> [Told; 2] {
        [read_rows, read_rows_in_pieces].map(|read| {
            let mut problems = Problems::new("x.CSV");
            let (rows, seen) = read(layout, bytes, Dialect::CARE_PLAN, &mut problems);
            let values = |row: RowRef<'_>| (0..layout.items.len()).map(|at| row.get(at).to_owned()).collect();
            let rows = rows.iter().map(|row| (row.line(), row.is_sound(), values(row))).collect();
            (rows, seen, problems.finish())
        })
    }

    proptest! {
        #[test]
        fn a_file_read_by_what_changes_is_read_as_it_is_value_by_value(
            which in 0usize..4,
            changes in prop::collection::vec((any::<usize>(), 0u8..4, prop::sample::select(b"\",\r\n0129AH\0\x1b\\\x83\xf0\x40\xa0\xfd".to_vec())), 0..4),
        ) {
            let (file, bytes): (&str, &[u8]) = [
                ("UP1KYO", &include_bytes!("../../../examples/care-plan/valid/plan/UP1KYO_9970000015_43_9970000023_11_20260326101500.CSV")[..]),
                ("UP2KYO", include_bytes!("../../../examples/care-plan/valid/plan/UP2KYO_9970000015_43_9970000023_11_20260326101500.CSV")),
                ("UPPLAN", include_bytes!("../../../examples/care-plan/valid/slip/UPPLAN_202604_9970000015_43_9970000023_11_20260328153000.CSV")),
                ("UPHOSOKU", include_bytes!("../../../examples/care-plan/valid/slip/UPHOSOKU_202604_9970000015_43_9970000023_11_20260328153000.CSV")),
            ][which];
            let mut bytes = bytes.to_vec();
            for (place, how, byte) in changes {
                let place = place % bytes.len().max(1);
                match how {
                    0 if !bytes.is_empty() => bytes[place] = byte,
                    2 if !bytes.is_empty() => drop(bytes.remove(place)),
                    3 => bytes.truncate(place + 1),
                    _ => bytes.insert(place, byte),
                }
            }
            let [whole, by_value] = both_ways(care_plan().file(file).unwrap(), &bytes);
            prop_assert_eq!(whole, by_value);
        }
    }

    #[test]
    fn an_individual_number_is_refused_and_not_repeated() {
        let layout = care_plan().file("DLT1KYO").unwrap();
        let bytes = b"202407,999003,123456789018,20260325\r\n";
        let (rows, problems) = read(layout, "x.CSV", bytes, Dialect::CARE_PLAN);
        assert!(!rows[0].is_sound());
        assert!(problems[0].forbids_keeping());
        assert!(!problems[0].message_ja().contains("5678"));
    }

    #[test]
    fn an_individual_number_is_found_in_rows_that_cannot_be_read() {
        let layout = care_plan().file("DLT1KYO").unwrap();
        let broken: [&[u8]; 4] = [
            b"202407,123456789018\r\n",
            b"202407,999003,\"x\"123456789018\r\n",
            b"202407,999003,123456789018\xff,20260325\r\n",
            b"202407,999003,\x82\x50\x82\x51\x82\x52\x82\x53\x82\x54\x82\x55\x82\x56\x82\x57\x82\x58\x82\x4f\x82\x50\x82\x57\r\n",
        ];
        for bytes in broken {
            let (_, problems) = read(layout, "x.CSV", bytes, Dialect::CARE_PLAN);
            assert!(problems.iter().any(Problem::forbids_keeping), "{bytes:?}");
            assert!(problems.iter().all(|problem| !problem.message_ja().contains("567")));
        }
    }

    #[test]
    fn noise_ends_quickly_with_a_short_list() {
        let layout = care_plan().file("UP1KYO").unwrap();
        let mut state = 1u64;
        let mut noise: Vec<u8> = Vec::with_capacity(20_000_000);
        while noise.len() < 20_000_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            noise.extend_from_slice(&state.to_le_bytes()[3..]);
        }
        let (rows, problems) = read(layout, "noise.CSV", &noise, Dialect::CARE_PLAN);
        assert!(rows.iter().all(|row| !row.is_sound()));
        assert!(problems.len() <= Problems::LIMIT + 40 && problems.last().unwrap().rule == "more");
    }
}
