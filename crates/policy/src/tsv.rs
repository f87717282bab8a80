//! Reads the tab-separated rule tables: `#` lines are remarks, the first other line names the columns.

use crate::table::TableError;

/// One data line with its number in the file, counted from 1.
pub(crate) struct Line<'a> {
    file: &'static str,
    number: usize,
    cells: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// The n-th cell; the number of cells has been checked.
    pub(crate) fn cell(&self, n: usize) -> &'a str {
        self.cells.get(n).copied().unwrap_or("")
    }

    /// An error about the n-th cell.
    pub(crate) fn error(&self, n: usize) -> TableError {
        TableError::new(self.file, self.number, format!("unexpected value '{}' in column {}", self.cell(n), n + 1))
    }

    /// The cell read by `parse`, or an error that names it.
    pub(crate) fn read<T>(&self, n: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, TableError> {
        parse(self.cell(n)).ok_or_else(|| self.error(n))
    }

    /// `○` is yes, `–` is no.
    pub(crate) fn yes(&self, n: usize) -> Result<bool, TableError> {
        self.read(n, |text| match text {
            "○" => Some(true),
            "–" => Some(false),
            _ => None,
        })
    }

    /// A text that must not be empty.
    pub(crate) fn text(&self, n: usize) -> Result<&'a str, TableError> {
        self.read(n, |text| (!text.trim().is_empty()).then_some(())).map(|()| self.cell(n))
    }
}

/// The data lines of a table whose header must be exactly `columns`.
pub(crate) fn lines<'a>(file: &'static str, text: &'a str, columns: &[&str]) -> Result<Vec<Line<'a>>, TableError> {
    let mut header = false;
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        if !header {
            if cells != columns {
                return Err(TableError::new(file, at + 1, "the header does not name the expected columns".to_owned()));
            }
            header = true;
        } else if cells.len() != columns.len() {
            return Err(TableError::new(file, at + 1, format!("{} columns instead of {}", cells.len(), columns.len())));
        } else {
            out.push(Line { file, number: at + 1, cells });
        }
    }
    if out.is_empty() {
        return Err(TableError::new(file, 0, "no data line".to_owned()));
    }
    Ok(out)
}
