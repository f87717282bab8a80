//! CSV rows out of bytes, before decoding: in CP932 as in UTF-8 a quote, comma or line end is never part of another
//! character. Never stops: after a broken row it goes on with the next line. Work and memory are bounded: a row has at
//! most 64 KiB and 512 columns, and going back to a line start is paid from a budget (T-24).

use std::borrow::Cow;
use std::io::{Empty, Read};

/// Bytes a row may have.
pub const MAX_ROW: usize = 64 * 1024;
/// Columns a row may have.
pub const MAX_COLUMNS: usize = 512;
/// Bytes that may be read a second time in one file when a broken quote has swallowed lines.
const RESCAN_BUDGET: usize = 16 * 1024 * 1024;

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEnd {
    CrLf,
    Lf,
    /// The file ends here.
    Eof,
}

/// What is wrong with the form of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault {
    /// A quote inside a value that is not doubled, in this column.
    Quote(usize),
    /// A quoted value that never ends, in this column; `true` when the file ends inside it.
    Unclosed(usize, bool),
    /// More than [`MAX_ROW`] bytes.
    TooLong,
    /// More than [`MAX_COLUMNS`] columns.
    TooManyColumns,
}

/// One value, without its outer quotes: where it stands in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawField {
    start: u32,
    end: u32,
    /// Line ends inside it.
    breaks: u32,
    quoted: bool,
    /// Holds doubled quotes.
    pub doubled: bool,
}

impl RawField {
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Where its opening quote stands, or else it begins.
    fn head(&self) -> usize {
        self.start as usize - usize::from(self.quoted)
    }

    /// Where the comma or line end behind it stands.
    fn tail(&self) -> usize {
        self.end as usize + usize::from(self.quoted)
    }

    /// The same so much further on in its row, or back.
    fn moved(self, by: u32) -> Self {
        Self { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by), ..self }
    }
}

/// A place in a row. A row is cut long before the number overflows.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How many bytes two texts begin with in common, eight at a time.
fn common(one: &[u8], other: &[u8]) -> usize {
    let words = one.chunks_exact(8).zip(other.chunks_exact(8));
    let mut same = 0;
    for (a, b) in words {
        let (Ok(a), Ok(b)) = (a.try_into(), b.try_into()) else { break };
        let differs = u64::from_le_bytes(a) ^ u64::from_le_bytes(b);
        if differs != 0 {
            return same + (differs.trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    same + one[same..].iter().zip(&other[same..]).take_while(|(a, b)| a == b).count()
}

/// First place of a byte, eight bytes at a time.
fn position(data: &[u8], byte: u8) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut words = data.chunks_exact(8);
    for (i, word) in words.by_ref().enumerate() {
        let Ok(word) = word.try_into() else { break };
        let other = u64::from_le_bytes(word) ^ (LOW * u64::from(byte));
        let found = other.wrapping_sub(LOW) & !other & HIGH;
        if found != 0 {
            return Some(i * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let tail = words.remainder();
    tail.iter().position(|b| *b == byte).map(|at| data.len() - tail.len() + at)
}

/// First place of a comma or a byte below it, eight bytes at a time: all others are part of a value.
fn low(data: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut words = data.chunks_exact(8);
    for (i, word) in words.by_ref().enumerate() {
        let Ok(word) = word.try_into() else { break };
        let word = u64::from_le_bytes(word);
        let found = word.wrapping_sub(LOW * u64::from(b',' + 1)) & !word & HIGH;
        if found != 0 {
            return Some(i * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let tail = words.remainder();
    tail.iter().position(|b| *b <= b',').map(|at| data.len() - tail.len() + at)
}

/// One row; reused from row to row, good until the next one is read.
#[derive(Debug)]
pub struct RawRow {
    /// Physical line on which it begins, 1-based.
    pub line: u64,
    pub fields: Vec<RawField>,
    pub fault: Option<RowFault>,
    pub end: RowEnd,
    /// No value at all.
    pub blank: bool,
    /// A further piece of a row that is far too long, told already.
    pub continued: bool,
    start: usize,
    next: usize,
    /// Line ends inside its values.
    breaks: u32,
}

impl RawRow {
    pub fn new() -> Self {
        let (fields, end) = (Vec::new(), RowEnd::Eof);
        Self { line: 0, fields, fault: None, end, blank: false, continued: false, start: 0, next: 0, breaks: 0 }
    }
}

/// Bytes read at a time.
const STEP: usize = 256 * 1024;
/// Bytes that must lie ahead of a row, so that every decision about it is the same as over the whole file.
const AHEAD: usize = MAX_ROW + 8;
/// Bytes kept behind, so that a number on the border of two pieces of an endless row is seen whole.
const BEHIND: usize = 64;

/// The rows of a file, read through a window of a few hundred kilobytes however large the file is, or over all of its bytes
/// where they are in memory.
#[derive(Debug)]
pub struct Scanner<'a, R> {
    source: R,
    /// The source has no more bytes.
    ended: bool,
    failed: Option<std::io::Error>,
    data: Cow<'a, [u8]>,
    /// Bytes of the source that have left the window.
    passed: usize,
    at: usize,
    line: u64,
    columns: usize,
    budget: usize,
    /// What comes next belongs to a row that did not end inside the window.
    inside: bool,
}

impl<'a> Scanner<'a, Empty> {
    /// Over bytes that are in memory.
    pub fn whole(data: &'a [u8], columns: usize) -> Self {
        let mut scanner = Self::new(std::io::empty(), columns);
        scanner.data = Cow::Borrowed(data);
        scanner.ended = true;
        scanner
    }
}

impl<R: Read> Scanner<'_, R> {
    /// `columns` is what the layout expects; it helps to find the next row after a broken quote.
    pub fn new(source: R, columns: usize) -> Self {
        let (data, budget) = (Cow::Owned(Vec::new()), RESCAN_BUDGET);
        Self { source, ended: false, failed: None, data, passed: 0, at: 0, line: 1, columns, budget, inside: false }
    }

    /// What the file begins with, before the first row is read.
    pub fn head(&mut self) -> &[u8] {
        self.fill();
        &self.data[self.at..self.data.len().min(self.at + STEP)]
    }

    /// The number of columns that the next rows should have, when only the file itself tells it.
    pub fn expect(&mut self, columns: usize) {
        self.columns = columns;
    }

    /// Leaves out bytes before the first row.
    pub fn skip(&mut self, bytes: usize) {
        self.at = self.data.len().min(self.at + bytes);
    }

    /// The bytes of a value of the row just read.
    pub fn bytes(&self, row: &RawRow, field: &RawField) -> &[u8] {
        &self.data[row.start + field.start as usize..row.start + field.end as usize]
    }

    /// How many rows as long as the one just read lie ahead, in the window.
    pub fn rows_ahead(&self, row: &RawRow) -> usize {
        (self.data.len() - self.at) / (row.next - row.start).max(1)
    }

    /// The whole row just read as it stands in the file.
    pub fn row_bytes(&self, row: &RawRow) -> &[u8] {
        &self.data[row.start..row.next]
    }

    /// Why the source could not be read to its end, if so. The rows before are sound.
    pub fn take_error(&mut self) -> Option<std::io::Error> {
        self.failed.take()
    }

    /// Reads on when less than a row lies ahead.
    fn fill(&mut self) {
        if self.ended || self.data.len() - self.at >= AHEAD {
            return;
        }
        let behind = self.at.min(BEHIND);
        let data = self.data.to_mut();
        data.drain(..self.at - behind);
        self.passed += self.at - behind;
        self.at = behind;
        let wanted = STEP - data.len().min(STEP);
        match (&mut self.source).take(wanted as u64).read_to_end(data) {
            Ok(read) => self.ended = read < wanted,
            Err(error) => {
                self.failed = Some(error);
                self.ended = true;
                data.truncate(self.at);
            }
        }
    }

    /// Reads the next row into `row`; false at the end of the file.
    pub fn next_row(&mut self, row: &mut RawRow) -> bool {
        self.fill();
        if self.at >= self.data.len() {
            return false;
        }
        row.line = self.line;
        row.fields.clear();
        row.fault = None;
        row.breaks = 0;
        row.continued = self.inside;
        let start = self.at;
        let next = if self.inside {
            row.fault = Some(RowFault::TooLong);
            row.start = start - start.min(BEHIND);
            line_end(&self.data, start)
        } else {
            row.start = start;
            let next = self.scan(start, row);
            self.resume(start, next, row)
        };
        row.blank = row.fault.is_none() && row.fields.len() == 1 && row.fields[0].len() == 0;
        row.next = next;
        self.inside = next == self.data.len() && !self.ended && self.data[next - 1] != b'\n';
        // A sound row has the line ends inside its values and its own; of others each byte is asked.
        self.line += match (row.fault, row.end) {
            (None, RowEnd::Eof) => u64::from(row.breaks),
            (None, _) => u64::from(row.breaks) + 1,
            (Some(_), _) => self.data[start..next].iter().filter(|b| **b == b'\n').count() as u64,
        };
        self.at = next;
        true
    }

    /// Reads the next physical line into `row`, without looking for values; false at the end of the file.
    pub fn next_line(&mut self, row: &mut RawRow) -> bool {
        self.fill();
        if self.at >= self.data.len() {
            return false;
        }
        row.line = self.line;
        row.fields.clear();
        row.continued = self.inside;
        row.start = if self.inside { self.at - self.at.min(BEHIND) } else { self.at };
        row.next = line_end(&self.data, self.at);
        row.fault = (self.inside || row.next - self.at > MAX_ROW).then_some(RowFault::TooLong);
        let whole = self.data[row.next - 1] == b'\n';
        self.inside = row.next == self.data.len() && !self.ended && !whole;
        self.line += u64::from(whole);
        self.at = row.next;
        true
    }

    /// Where to go on: behind the row, or behind its first line when a broken quote has swallowed the following ones.
    fn resume(&mut self, start: usize, next: usize, row: &RawRow) -> usize {
        if row.fault.is_none() {
            return next;
        }
        let first_line = line_end(&self.data, start);
        let swallowed = match row.fault {
            Some(RowFault::Quote(_)) => row.fields.len() != self.columns || self.begins_alike(start, first_line),
            Some(RowFault::Unclosed(..)) => true,
            _ => false,
        };
        if swallowed && first_line < next && self.budget >= next - first_line {
            self.budget -= next - first_line;
            return first_line;
        }
        next
    }

    /// Whether two lines begin with the same value: the version, or the number of the insurer.
    fn begins_alike(&self, line: usize, other: usize) -> bool {
        let comma = self.data[line..].iter().take(32).position(|b| *b == b',');
        comma.is_some_and(|i| self.data[other..].starts_with(&self.data[line..=line + i]))
    }

    /// Reads the next row where it is like the one in `row`, which was read just before: as many values and nothing wrong. Only
    /// the values that differ from it are looked at; `changed` gets their columns. False, and nothing is read, otherwise.
    pub fn next_alike(&mut self, row: &mut RawRow, changed: &mut Vec<usize>) -> bool {
        let is_whole = matches!(self.data, Cow::Borrowed(_));
        if !is_whole || row.fault.is_some() || row.fields.is_empty() || row.next != self.at || row.end == RowEnd::Eof {
            return false;
        }
        changed.clear();
        let Some((next, end)) = self.scan_alike(row, changed) else { return false };
        row.line = self.line;
        row.end = end;
        row.start = self.at;
        row.next = next;
        row.blank = row.fields.len() == 1 && row.fields[0].len() == 0;
        self.line += u64::from(row.breaks) + 1;
        self.at = next;
        true
    }

    /// Where the row at hand ends and how. While both rows go on alike, so do their values: what a value is depends on nothing
    /// behind the comma or line end that follows it.
    fn scan_alike(&self, row: &mut RawRow, changed: &mut Vec<usize>) -> Option<(usize, RowEnd)> {
        let data = &self.data[..];
        let (before, start) = (&data[row.start..row.next], self.at);
        let limit = data.len().min(start + MAX_ROW);
        let row_end = row.end;
        let last = row.fields.len() - 1;
        let (mut column, mut here, mut there) = (0, start, 0);
        loop {
            let alike = there + common(&before[there..], &data[here..limit]);
            let by = place(here - start).wrapping_sub(place(there));
            let ahead = &mut row.fields[column..last];
            let repeated = ahead.iter().position(|field| field.tail() >= alike).unwrap_or(ahead.len());
            if by != 0 {
                ahead[..repeated].iter_mut().for_each(|field| *field = field.moved(by));
            }
            column += repeated;
            let old = row.fields[column];
            if alike == before.len() {
                row.fields[column] = old.moved(by);
                return Some((here + alike - there, row_end));
            }
            let (mut fault, field) = (None, &mut row.fields[column]);
            if !value(data, (start, here + old.head() - there, limit), column + 1, &mut fault, field) || fault.is_some()
            {
                return None;
            }
            let end = start + field.tail();
            row.breaks = row.breaks - old.breaks + field.breaks;
            changed.push(column);
            match data.get(end)? {
                b',' if column < last => {
                    (here, there) = (end + 1, old.tail() + 1);
                    column += 1;
                }
                b'\r' if column == last => return Some((end + 2, RowEnd::CrLf)),
                b'\n' if column == last => return Some((end + 1, RowEnd::Lf)),
                _ => return None,
            }
        }
    }

    fn scan(&self, start: usize, row: &mut RawRow) -> usize {
        let data = &self.data[..];
        let limit = data.len().min(start + MAX_ROW);
        let mut at = start;
        loop {
            let mut field = RawField::default();
            if !value(data, (start, at, limit), row.fields.len() + 1, &mut row.fault, &mut field) {
                return line_end(data, limit);
            }
            let end = start + field.tail();
            if row.fields.len() < MAX_COLUMNS {
                row.breaks += field.breaks;
                row.fields.push(field);
            } else {
                row.fault = Some(RowFault::TooManyColumns);
                return line_end(data, end);
            }
            match data.get(end) {
                Some(b',') => at = end + 1,
                Some(b'\r') => {
                    row.end = RowEnd::CrLf;
                    return end + 2;
                }
                Some(_) => {
                    row.end = RowEnd::Lf;
                    return end + 1;
                }
                None => {
                    row.end = RowEnd::Eof;
                    return end;
                }
            }
        }
    }
}

/// The value at `at` in a row that begins at `start`; it ends at a comma, a line end, or the end of the file. False where it
/// does not end before `limit`. Written where it belongs, not handed back: a struct that is put together in halves and copied
/// whole keeps the machine waiting.
#[inline(always)]
fn value(
    data: &[u8],
    (start, at, limit): (usize, usize, usize),
    column: usize,
    fault: &mut Option<RowFault>,
    field: &mut RawField,
) -> bool {
    if data.get(at) == Some(&b'"') {
        quoted(data, (start, at + 1, limit), column, fault, field)
    } else {
        bare(data, (start, at, limit), column, fault, field)
    }
}

/// A value without quotes.
#[inline(always)]
fn bare(
    data: &[u8],
    (start, at, limit): (usize, usize, usize),
    column: usize,
    fault: &mut Option<RowFault>,
    field: &mut RawField,
) -> bool {
    let mut ends = |end: usize| {
        let (start, end) = (place(at - start), place(end - start));
        *field = RawField { start, end, breaks: 0, quoted: false, doubled: false };
        true
    };
    let mut end = at;
    while let Some(ahead) = low(&data[end..limit]) {
        end += ahead;
        match data[end] {
            b',' => return ends(end),
            b'\n' if end > at && data[end - 1] == b'\r' => return ends(end - 1),
            b'\n' => return ends(end),
            b'"' => {
                fault.get_or_insert(RowFault::Quote(column));
            }
            _ => {}
        }
        end += 1;
    }
    if limit == data.len() {
        return ends(limit);
    }
    *fault = Some(RowFault::TooLong);
    false
}

/// A quoted value, `at` behind its opening quote.
fn quoted(
    data: &[u8],
    (start, at, limit): (usize, usize, usize),
    column: usize,
    fault: &mut Option<RowFault>,
    field: &mut RawField,
) -> bool {
    let (mut doubled, mut breaks) = (false, 0);
    let mut i = at;
    while i < limit {
        let Some(ahead) = position(&data[i..limit], b'"') else { break };
        breaks += lines(&data[i..i + ahead]);
        i += ahead;
        let is_end = match data.get(i + 1) {
            None | Some(b',' | b'\n') => true,
            Some(b'\r') => data.get(i + 2) == Some(&b'\n'),
            Some(_) => false,
        };
        if is_end {
            let (start, end) = (place(at - start), place(i - start));
            *field = RawField { start, end, breaks: place(breaks), quoted: true, doubled };
            return true;
        }
        if data.get(i + 1) == Some(&b'"') {
            doubled = true;
            i += 2;
        } else {
            fault.get_or_insert(RowFault::Quote(column));
            i += 1;
        }
    }
    *fault = Some(RowFault::Unclosed(column, limit == data.len()));
    false
}

/// Line ends in a piece of a value; mostly there is none.
fn lines(data: &[u8]) -> usize {
    position(data, b'\n').map_or(0, |first| data[first..].iter().filter(|b| **b == b'\n').count())
}

/// Position behind the next line end at or after `at`.
fn line_end(data: &[u8], at: usize) -> usize {
    position(&data[at..], b'\n').map_or(data.len(), |i| at + i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(data: &[u8], columns: usize) -> Vec<(u64, Vec<String>, Option<RowFault>)> {
        let mut scanner = Scanner::new(data, columns);
        let mut row = RawRow::new();
        let mut all = Vec::new();
        while scanner.next_row(&mut row) {
            let fields =
                row.fields.iter().map(|f| String::from_utf8_lossy(scanner.bytes(&row, f)).into_owned()).collect();
            all.push((row.line, fields, row.fault));
        }
        all
    }

    proptest! {
        #[test]
        fn a_byte_is_found_where_it_first_stands(data in prop::collection::vec(any::<u8>(), 0..40), byte in any::<u8>()) {
            prop_assert_eq!(position(&data, byte), data.iter().position(|b| *b == byte));
        }
    }

    #[test]
    fn line_breaks_inside_quotes_do_not_shift_the_line_numbers() {
        let all = rows(b"1,\"a\r\nb\"\r\n2,c\r\n3,d", 2);
        assert_eq!(all.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(all[0].1, ["1", "a\r\nb"]);
        assert_eq!(all[2].1, ["3", "d"]);
    }

    #[test]
    fn a_quote_that_is_not_doubled_costs_its_own_row_only() {
        let all = rows(b"1,\"a\"b, c\"\r\n2,d\r\n", 2);
        assert_eq!(all[0].2, Some(RowFault::Quote(2)));
        assert_eq!(all[1], (2, vec!["2".into(), "d".into()], None));
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_swallow_the_next_rows() {
        let all = rows(b"1,\"a\r\n1,\"b\"\r\n1,\"c\"\r\n", 2);
        assert_eq!(all[0].2, Some(RowFault::Quote(2)));
        assert_eq!(all[1], (2, vec!["1".into(), "b".into()], None));
        assert_eq!(all[2].1, ["1", "c"]);
        let all = rows(b"1,\"a\r\n2,b\r\n", 2);
        assert_eq!(all[0].2, Some(RowFault::Unclosed(2, true)));
        assert_eq!(all[1].1, ["2", "b"]);
    }

    #[test]
    fn endless_rows_and_columns_are_cut_off() {
        let mut data = vec![b'x'; 3 * MAX_ROW];
        data.extend_from_slice(b"\r\n1,2\r\n");
        let all = rows(&data, 2);
        assert_eq!((all.len(), all[0].2, all[1].0), (2, Some(RowFault::TooLong), 2));
        let mut data = vec![b','; 2_000];
        data.extend_from_slice(b"\n1,2\n");
        assert_eq!(rows(&data, 2)[0].2, Some(RowFault::TooManyColumns));
    }

    #[test]
    fn a_row_is_read_alike_wherever_the_window_ends() {
        let line = b"999003,\"a \"\" b\r\n c\",x\r\n";
        let mut data = line.repeat(60_000);
        data.extend_from_slice(b"999003,\"broken\r\n999003,1,2\r\n");
        // A source that gives a few bytes at a time, as a network or a spool may.
        struct Drops<'a>(&'a [u8]);
        impl Read for Drops<'_> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let few = self.0.len().min(into.len()).min(1_021);
                into[..few].copy_from_slice(&self.0[..few]);
                self.0 = &self.0[few..];
                Ok(few)
            }
        }
        let mut scanner = Scanner::new(Drops(&data), 3);
        let (mut row, mut sound) = (RawRow::new(), 0);
        while scanner.next_row(&mut row) {
            sound += u64::from(row.fault.is_none() && row.fields.len() == 3);
        }
        assert_eq!((sound, row.line), (60_001, 120_002));
        let capacity = scanner.data.to_mut().capacity();
        assert!(capacity <= 4 * STEP, "the window grew to {capacity}");
    }

    #[test]
    fn a_row_without_end_is_told_once_and_its_pieces_overlap() {
        let mut data = vec![b'x'; 3 * STEP];
        data.extend_from_slice(b"\r\n1,2\r\n");
        let mut scanner = Scanner::new(&data[..], 2);
        let mut row = RawRow::new();
        let (mut told, mut length) = (0, 0);
        while scanner.next_row(&mut row) {
            told += u64::from(row.fault.is_some() && !row.continued);
            length += scanner.row_bytes(&row).len();
        }
        assert_eq!((told, row.line), (1, 2));
        assert!(length > data.len(), "the pieces do not overlap");
    }

    #[test]
    fn megabytes_of_quotes_and_lines_end_quickly() {
        let data = b"\"a\n".repeat(1_000_000);
        assert!(!rows(&data, 3).is_empty());
    }

    proptest! {
        #[test]
        fn every_byte_belongs_to_some_line(data in prop::collection::vec(prop::sample::select(b"a,\"\r\n1".to_vec()), 0..200)) {
            let lines = data.iter().filter(|b| **b == b'\n').count() as u64;
            for (line, fields, _) in rows(&data, 2) {
                prop_assert!(line <= lines + 1);
                prop_assert!(fields.len() <= MAX_COLUMNS);
            }
        }
    }
}
