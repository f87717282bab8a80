//! One row in memory, and the two ways through it: item by item in the order of the layout. A wrong order is found by
//! the first test that runs, because every step names the key it means.

use crate::layout::FileLayout;
use kiban_domain::care_plan::ClockTime;
use kiban_domain::dates::{ServiceMonth, parse_yyyymmdd};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, PersonKey, ServiceType};

/// Where a value stands in the text that holds it.
type Span = (u32, u32);

fn span(start: usize, end: usize) -> Span {
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

/// The values of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    line: u64,
    sound: bool,
    text: String,
    spans: Vec<Span>,
}

impl Row {
    /// An empty row with room for this many values and bytes.
    pub(crate) fn new(line: u64, sound: bool, values: usize, bytes: usize) -> Self {
        Self { line, sound, text: String::with_capacity(bytes), spans: Vec::with_capacity(values) }
    }

    pub(crate) fn push(&mut self, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.spans.push(span(start, self.text.len()));
    }

    pub(crate) fn spoil(&mut self) {
        self.sound = false;
    }

    /// Physical line on which the row begins.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether every item passed its checks.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Value of an item, 0-based; empty when there is none.
    pub fn get(&self, index: usize) -> &str {
        RowRef::from(self).get(index)
    }

    /// All values joined, for comparing two rows.
    pub(crate) fn content(&self) -> (&str, &[Span]) {
        (&self.text, &self.spans)
    }
}

/// A row that lies among others.
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    line: u64,
    sound: bool,
    text: &'a str,
    spans: &'a [Span],
}

impl<'a> RowRef<'a> {
    /// Physical line on which the row begins.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether every item passed its checks.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Value of an item, 0-based; empty when there is none.
    pub fn get(&self, index: usize) -> &'a str {
        let (start, end) = self.spans.get(index).copied().unwrap_or_default();
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Whether it repeats all values of another row of the same file but this one.
    pub fn repeats_but(&self, other: Self, index: usize) -> bool {
        let (one, other) = (self.spans, other.spans);
        one.get(..index) == other.get(..index) && one.get(index + 1..) == other.get(index + 1..)
    }

    /// Whether another row of the same file has the same value there. A value that was repeated stands in one place.
    pub fn repeats(&self, other: Self, index: usize) -> bool {
        self.spans.get(index) == other.spans.get(index) || self.get(index) == other.get(index)
    }
}

impl<'a> From<&'a Row> for RowRef<'a> {
    fn from(row: &'a Row) -> Self {
        Self { line: row.line, sound: row.sound, text: &row.text, spans: &row.spans }
    }
}

/// All rows of a file over one text, in which a value that a row repeats stands once.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    text: String,
    width: usize,
    heads: Vec<(u64, bool)>,
    spans: Vec<Span>,
}

impl Rows {
    /// The same of rows that stand alone.
    pub fn of(width: usize, rows: &[Row]) -> Self {
        let mut all = NewRows::new(width);
        for row in rows {
            all.begin(row.line, row.sound);
            (0..width).for_each(|at| all.add(at, row.get(at)));
        }
        all.end()
    }

    /// The rows in their order.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        let rows = self.heads.iter().zip(self.spans.chunks_exact(self.width.max(1)));
        rows.map(|((line, sound), spans)| RowRef { line: *line, sound: *sound, text: &self.text, spans })
    }

    /// One of them, 0-based.
    pub fn row(&self, n: usize) -> Option<RowRef<'_>> {
        let spans = self.spans.get(n * self.width..(n + 1) * self.width)?;
        self.heads.get(n).map(|(line, sound)| RowRef { line: *line, sound: *sound, text: &self.text, spans })
    }
}

/// Rows of a file that are being read.
#[derive(Debug)]
pub(crate) struct NewRows {
    /// The values; the next one is added to its end before its place is noted.
    pub text: String,
    width: usize,
    heads: Vec<(u64, bool)>,
    spans: Vec<Span>,
}

impl NewRows {
    /// For rows of so many values.
    pub fn new(width: usize) -> Self {
        Self { text: String::new(), width, heads: Vec::new(), spans: Vec::new() }
    }

    /// Makes room for about so many rows.
    pub fn expect(&mut self, rows: usize) {
        self.heads.reserve(rows);
        self.spans.reserve(rows.saturating_mul(self.width));
    }

    /// Begins a row without values.
    pub fn begin(&mut self, line: u64, sound: bool) {
        self.heads.push((line, sound));
        self.spans.resize(self.heads.len() * self.width, (0, 0));
    }

    /// Begins a row with the values of the row before.
    pub fn repeat(&mut self, line: u64, sound: bool) {
        self.heads.push((line, sound));
        self.spans.extend_from_within(self.spans.len() - self.width..);
    }

    /// A value of the row begun last is what stands in the text from here to its end.
    pub fn place(&mut self, column: usize, start: usize) {
        let row = self.spans.len() - self.width;
        self.spans[row + column] = span(start, self.text.len());
    }

    /// A value of the row begun last.
    pub fn add(&mut self, column: usize, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.place(column, start);
    }

    /// The row begun last is not sound.
    pub fn spoil(&mut self) {
        if let Some((_, sound)) = self.heads.last_mut() {
            *sound = false;
        }
    }

    /// All rows.
    pub fn end(self) -> Rows {
        Rows { text: self.text, width: self.width, heads: self.heads, spans: self.spans }
    }
}

/// What the values of the rows of a file meant that were read before, by column: one that is repeated stands in the same place
/// and is not read again.
#[derive(Debug, Default)]
pub struct Meanings {
    days: Meaning<Date>,
    months: Meaning<ServiceMonth>,
    times: Meaning<ClockTime>,
    offices: Meaning<OfficeNumber>,
    insurers: Meaning<InsurerNumber>,
    people: Meaning<InsuredNumber>,
}

/// By column, where the last value stood and what it meant.
#[derive(Debug)]
struct Meaning<T>(Vec<Option<(Span, Option<T>)>>);

impl<T> Default for Meaning<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Meaning<T> {
    fn of(&mut self, column: usize, place: Span, read: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.0.len() <= column {
            self.0.resize(column + 1, None);
        }
        match self.0[column] {
            Some((known, meaning)) if known == place => meaning,
            _ => {
                let meaning = read();
                self.0[column] = Some((place, meaning));
                meaning
            }
        }
    }
}

/// A sound row read item by item, in the order of the layout.
#[derive(Debug)]
pub struct Fields<'a> {
    layout: &'a FileLayout,
    row: RowRef<'a>,
    at: usize,
    known: Option<Meanings>,
}

impl<'a> Fields<'a> {
    /// From the first item.
    pub fn of(layout: &'a FileLayout, row: impl Into<RowRef<'a>>) -> Self {
        Self { layout, row: row.into(), at: 0, known: None }
    }

    /// For all rows of a file, one after another.
    pub(crate) fn of_file(layout: &'a FileLayout) -> Self {
        let row = RowRef { line: 0, sound: false, text: "", spans: &[] };
        Self { layout, row, at: 0, known: Some(Meanings::default()) }
    }

    /// Goes to the first item of another row of the file.
    pub(crate) fn begin(&mut self, row: RowRef<'a>) {
        (self.row, self.at) = (row, 0);
    }

    /// Goes to an item of the row, 0-based.
    pub(crate) fn go_to(&mut self, index: usize) {
        self.at = index;
    }

    /// Key of an item that comes so many items ahead, 0 for the next one. It must be this one; of items that are numbered the
    /// name is put together for the check of a test only, not for every row.
    pub fn key(&self, ahead: usize, expected: std::fmt::Arguments<'_>) -> &'static str {
        let key = self.layout.items.get(self.at + ahead).map_or("", |item| item.key);
        debug_assert_eq!(key, expected.to_string());
        key
    }

    /// The next item, which must be this one.
    pub fn str(&mut self, key: &str) -> &'a str {
        debug_assert_eq!(self.layout.items.get(self.at).map(|item| item.key), Some(key));
        self.at += 1;
        self.row.get(self.at - 1)
    }

    /// The next item as what it means, which may be known from the row before.
    fn meaning<T: Copy>(
        &mut self,
        key: &str,
        known: impl Fn(&mut Meanings) -> &mut Meaning<T>,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.str(key);
        let column = self.at - 1;
        match &mut self.known {
            Some(all) => known(all).of(column, self.row.spans.get(column).copied().unwrap_or_default(), || read(text)),
            None => read(text),
        }
    }

    /// The next item as text; empty when blank.
    pub fn text(&mut self, key: &str) -> String {
        self.str(key).to_owned()
    }

    /// The next item as text where this version of the file has it, else empty.
    pub fn text_if_there(&mut self, key: &str) -> String {
        match self.layout.items.get(self.at).is_some_and(|item| item.key == key) {
            true => self.text(key),
            false => String::new(),
        }
    }

    /// The next item as text, if there is any.
    pub fn opt_text(&mut self, key: &str) -> Option<String> {
        Some(self.str(key)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The next item as a day; none when blank or `00000000`.
    pub fn date(&mut self, key: &str) -> Option<Date> {
        self.meaning(key, |known| &mut known.days, |text| parse_yyyymmdd(text).ok())
    }

    /// The next item as a month; none when blank or `000000`.
    pub fn month(&mut self, key: &str) -> Option<ServiceMonth> {
        self.meaning(key, |known| &mut known.months, |text| ServiceMonth::parse(text).ok())
    }

    /// The next item as a time; none when blank or `9999`.
    pub fn time(&mut self, key: &str) -> Option<ClockTime> {
        self.meaning(key, |known| &mut known.times, ClockTime::parse)
    }

    /// The next item as a number.
    pub fn number<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        Some(self.str(key)).filter(|text| !text.is_empty())?.parse().ok()
    }

    /// The next item as 事業所番号.
    pub fn office(&mut self, key: &str) -> Option<OfficeNumber> {
        self.meaning(key, |known| &mut known.offices, |text| OfficeNumber::parse(text).ok())
    }

    /// The next item as サービス種類コード.
    pub fn service(&mut self, key: &str) -> Option<ServiceType> {
        ServiceType::parse(self.str(key)).ok()
    }

    /// The next item as a code.
    pub fn code<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        parse(self.str(key))
    }

    /// The next item as 0 or 1.
    pub fn flag(&mut self, key: &str) -> bool {
        self.str(key) == "1"
    }

    /// The next item as the choices ticked, of all there are.
    pub fn flags<T: Copy>(&mut self, key: &str, all: &[T]) -> Vec<T> {
        let ticked = self.str(key).bytes().map(|b| b == b'o');
        all.iter().zip(ticked).filter(|(_, ticked)| *ticked).map(|(choice, _)| *choice).collect()
    }

    /// 保険者番号 and 被保険者番号, the next two items.
    pub fn person(&mut self) -> Option<PersonKey> {
        let insurer = self.meaning("insurer", |known| &mut known.insurers, |text| InsurerNumber::parse(text).ok());
        let insured = self.meaning("insured", |known| &mut known.people, |text| InsuredNumber::parse(text).ok());
        Some(PersonKey { insurer: insurer?, insured: insured? })
    }
}

/// A row to be written, filled item by item in the order of the layout.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    layout: &'a FileLayout,
    values: Vec<String>,
    /// A value was set that this version of the file has no item for.
    lost: bool,
}

impl<'a> Record<'a> {
    /// An empty row.
    pub fn new(layout: &'a FileLayout) -> Self {
        Self { layout, values: Vec::with_capacity(layout.items.len()), lost: false }
    }

    /// The values so far.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Sets the next item, which must be this one.
    pub fn put(&mut self, key: &str, value: impl ToString) -> &mut Self {
        debug_assert_eq!(self.layout.items.get(self.values.len()).map(|item| item.key), Some(key));
        self.values.push(value.to_string());
        self
    }

    /// Sets the next item where this version of the file has it. A value without an item makes the row unfit for writing.
    pub fn put_if_there(&mut self, key: &str, value: &str) -> &mut Self {
        if self.layout.items.get(self.values.len()).is_some_and(|item| item.key == key) {
            return self.put(key, value);
        }
        self.lost |= !value.is_empty();
        self
    }

    /// Whether a value was set that this version of the file has no item for.
    pub(crate) fn lost_a_value(&self) -> bool {
        self.lost
    }

    /// Sets the next item if there is a value.
    pub fn opt<T: ToString>(&mut self, key: &str, value: Option<T>) -> &mut Self {
        self.put(key, value.map(|value| value.to_string()).unwrap_or_default())
    }

    /// Sets the next item to a day.
    pub fn date(&mut self, key: &str, value: impl Into<Option<Date>>) -> &mut Self {
        self.opt(key, value.into().map(kiban_domain::dates::yyyymmdd))
    }

    /// Sets the next item to the choices ticked, of all there are.
    pub fn flags<T: PartialEq>(&mut self, key: &str, all: &[T], ticked: &[T]) -> &mut Self {
        let text: String = all.iter().map(|choice| if ticked.contains(choice) { 'o' } else { 'x' }).collect();
        self.put(key, text)
    }

    /// Sets the next item to 1 or 0.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.put(key, if value { "1" } else { "0" })
    }
}
