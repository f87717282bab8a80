//! Where a document of a sending stood, so that what is found wrong with it later is told like everything else.

use super::rules::ReadFile;
use super::{CsvVersion, PlanFileKind};
use crate::Problem;
use crate::layout::RowRef;
use kiban_domain::OfficeNumber;
use std::collections::HashSet;
use std::ops::Deref;

/// The place of a document: its first row in the file that names it (UP1KYO of a plan, UPPLAN of a slip).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What the file holds.
    pub kind: PlanFileKind,
    /// Version of the file.
    pub version: CsvVersion,
    /// Name of the file.
    pub file: String,
    /// Physical line, 1-based.
    pub line: u64,
    /// ファイル連番 of the unit, 14 digits; units are processed in its order.
    pub serial: String,
}

impl Origin {
    pub(super) fn of(file: &ReadFile<'_>, row: RowRef<'_>) -> Self {
        Self {
            kind: file.kind,
            version: file.version,
            file: file.problems.file().to_owned(),
            line: row.line(),
            serial: file.name.as_ref().map(|name| name.sending.serial.clone()).unwrap_or_default(),
        }
    }

    /// A problem of an item of this row; `key` as in the layout of the file, `found` the value as it was typed.
    pub fn problem(&self, key: &str, found: &str, rule: &'static str, expected: impl Into<String>) -> Problem {
        let problem = Problem::of_file(&self.file, rule, expected).at_line(self.line).found(found);
        match self.version.layout(self.kind) {
            Some(layout) => {
                let (column, item) = layout.column(key);
                problem.at_item(column, item)
            }
            None => problem,
        }
    }
}

/// A value with the place where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent<T> {
    /// What was sent.
    pub value: T,
    /// Where it stood.
    pub origin: Origin,
}

impl<T> Deref for Sent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// 事業所コード on the grand total of 第7表: no office.
const TOTAL: &str = "9999999999";

/// Offices that are to provide or provided a service, each where the unit names it first.
pub(super) fn named_offices(files: &[&ReadFile<'_>]) -> Vec<Sent<OfficeNumber>> {
    use PlanFileKind::{Actuals, Slip, Table2, Table7};
    let mut known = HashSet::new();
    let mut named = Vec::new();
    for file in files.iter().filter(|file| matches!(file.kind, Table2 | Slip | Table7 | Actuals)) {
        let at = (file.layout.column("office").0 as usize).saturating_sub(1);
        // Rows of one office often follow one another.
        let mut last = TOTAL;
        for row in file.rows.iter() {
            let number = row.get(at);
            if number == last || number == TOTAL {
                continue;
            }
            last = number;
            if let Ok(value) = OfficeNumber::parse(number)
                && known.insert(value)
            {
                named.push(Sent { value, origin: Origin::of(file, row) });
            }
        }
    }
    named
}
