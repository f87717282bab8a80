//! 広域連合の構成市町村 as an operator hands them over: CSV with a head, or the same with tabs, one membership a row (P-038).

use crate::layout::{self, Dialect, Fields, FileLayout, Record};
use crate::text::Encoding;
use crate::{Problem, Problems};
use kiban_domain::InsurerNumber;
use kiban_domain::dates::Period;

/// Most rows of a file; there are fewer municipalities.
pub const MOST_ROWS: usize = 2_000;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Physical line on which it stands, 1-based.
    pub line: u64,
    /// 保険者番号 of the union.
    pub union: InsurerNumber,
    /// 証記載保険者番号 of the member.
    pub member: InsurerNumber,
    /// Days of membership.
    pub period: Period,
}

/// Reads a file in UTF-8 or Shift_JIS; one whose name ends in `.tsv` has tabs between its items.
pub fn read(file: &str, bytes: &[u8]) -> (Vec<MemberRow>, Vec<Problem>) {
    let mut problems = Problems::new(file);
    let mut rows = Vec::new();
    let Some(layout) = layout() else { return (rows, problems.finish()) };
    let encoding = if std::str::from_utf8(bytes).is_ok() { Encoding::Utf8 } else { Encoding::Cp932 };
    let dialect = Dialect { encoding, strict_end: false, ..Dialect::MUNICIPAL };
    // Numbers and days hold no comma, so a comma in a file with tabs is told as a column too many.
    let is_tabbed = file.to_ascii_lowercase().ends_with(".tsv");
    let with_commas = is_tabbed.then(|| bytes.iter().map(|b| if *b == b'\t' { b',' } else { *b }).collect::<Vec<u8>>());
    let mut reader = layout::Reader::new(layout, with_commas.as_deref().unwrap_or(bytes), dialect, &mut problems);
    while let Some(row) = reader.next_row(&mut problems) {
        if !row.is_sound() {
            continue;
        }
        if rows.len() >= MOST_ROWS {
            let text = format!("1つのファイルは {MOST_ROWS} 行までです。分けて渡してください");
            problems.push(Problem::of_file(file, "too_many", text).at_line(row.line()));
            break;
        }
        let mut f = Fields::of(layout, &row);
        let (union, member) = (InsurerNumber::parse(f.str("union")), InsurerNumber::parse(f.str("member")));
        let (from, to) = (f.date("from"), f.date("to"));
        let (Ok(union), Ok(member), Some(from)) = (union, member, from) else { continue };
        match Period::new(from, to) {
            Ok(period) => rows.push(MemberRow { line: row.line(), union, member, period }),
            Err(error) => problems.push(located(file, row.line(), "to", "period", &error.message_ja())),
        }
    }
    if rows.is_empty() && problems.errors() == 0 {
        problems.push(Problem::of_file(file, "no_rows", "構成市町村の行がありません。1行に1つずつ書いてください"));
    }
    (rows, problems.finish())
}

/// Writes what [`read`] reads, UTF-8.
pub fn write(
    members: impl IntoIterator<Item = (InsurerNumber, InsurerNumber, Period)>,
) -> Result<Vec<u8>, Vec<Problem>> {
    let Some(layout) = layout() else { return Ok(Vec::new()) };
    let records: Vec<Record<'_>> = members.into_iter().map(|member| record(layout, member)).collect();
    layout::write(layout, "構成市町村.csv", &records, Dialect::MUNICIPAL)
}

fn record(
    layout: &'static FileLayout,
    (union, member, period): (InsurerNumber, InsurerNumber, Period),
) -> Record<'static> {
    let mut record = Record::new(layout);
    record.put("union", union).put("member", member).date("from", period.from()).date("to", period.to());
    record
}

/// A problem of a row that was found elsewhere, at one of its items.
pub fn located(file: &str, line: u64, item: &str, rule: &'static str, text: &str) -> Problem {
    let (column, name) = layout().map_or((0, ""), |layout| layout.column(item));
    Problem::of_file(file, rule, text).at_line(line).at_item(column, name)
}

fn layout() -> Option<&'static FileLayout> {
    layout::operator().file("UNION_MEMBER")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "広域連合の保険者番号,構成市町村の保険者番号,加入日,最後の日\r\n";

    #[test]
    fn a_file_with_tabs_reads_like_one_with_commas_and_is_written_back_the_same() {
        let csv = format!("{HEAD}990010,232074,20180401,\r\n990010,232082,20180401,20240331\r\n");
        let (rows, problems) = read("連合.csv", csv.as_bytes());
        assert_eq!((rows.len(), problems), (2, Vec::new()));
        assert_eq!(read("連合.TSV", csv.replace(',', "\t").as_bytes()).0, rows);
        let written = write(rows.iter().map(|row| (row.union, row.member, row.period))).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), csv);
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_item() {
        let csv = format!(
            "{HEAD}990010,232075,20180401,\r\n990010,232074,20181301,\r\n990010,232074,20180401,20170331\r\n990010,232074\r\n"
        );
        let (rows, problems) = read("連合.csv", csv.as_bytes());
        assert_eq!(rows, []);
        let places: Vec<_> = problems.iter().map(|p| (p.line, p.item.as_str(), p.rule.as_ref())).collect();
        let expected = [
            (2, "構成市町村の保険者番号", "check_digit"),
            (3, "加入日", "date"),
            (4, "最後の日", "period"),
            (5, "加入日", "columns"),
        ];
        assert_eq!(places, expected);
        assert_eq!(read("連合.csv", HEAD.as_bytes()).1[0].rule, "no_rows");
    }
}
