//! The entries that keep the facts of a decision, for taking the decisions again (decision 0006.9).

use super::entry::{Position, StoredEntry, columns};
use super::month::slow_rows;
use crate::StoreError;
use crate::engine::{Engine, args};

/// Entries read at a time.
const PAGE: i64 = 5000;
const DECIDED: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM audit WHERE (writer, segment, n, insurer_number) > ($1, $2, $3, $4) AND at >= $5 AND at < $6 AND facts <> 0 ",
    "ORDER BY writer, segment, n, insurer_number LIMIT $7"
);

#[cfg(test)]
pub(super) const ALL: &[&str] = &[DECIDED];

/// A reader of these entries in the order of the log, a page at a time: memory does not depend on the size of the log. It needs
/// no key and changes nothing, and the server may run meanwhile.
pub struct Decided {
    engine: Engine,
    span: (i64, i64),
    after: (Position, String),
}

impl Decided {
    /// Entries from an instant until before another, microseconds UTC.
    pub async fn open(address: &str, from: i64, until: i64) -> Result<Self, StoreError> {
        let first = Position { writer: i64::MIN, segment: 0, n: 0 };
        Ok(Self { engine: Engine::open(address).await?, span: (from, until), after: (first, String::new()) })
    }

    /// The next entries; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<StoredEntry>, StoreError> {
        let (Position { writer, segment, n }, insurer) = &self.after;
        let args = args![*writer, *segment, *n, insurer.as_str(), self.span.0, self.span.1, PAGE];
        let rows = slow_rows(&self.engine, DECIDED, args).await?;
        let page = rows.iter().map(StoredEntry::from_row).collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = page.last() {
            self.after = (last.position, last.insurer.clone());
        }
        Ok(page)
    }

    /// Closes the connections.
    pub async fn close(self) {
        self.engine.close().await;
    }
}
