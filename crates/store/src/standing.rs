//! What changed of who may come in, by change numbers (decision 0006.27). Offices, certificates, connectors, accounts, disaster
//! modes and members of 広域連合 are read once as a whole and kept in memory; each write to them notes which row it changed, in
//! its own transaction, under a number that grows.
//!
//! A reader must never pass a number that becomes visible later. The number is therefore the row of a counter, changed as the
//! last thing before the commit and held by it: the next writer gets its number only when this one is there for everybody, so
//! numbers become visible in their order, and nobody who holds the counter waits for another row. Such writes are rare; a
//! sequence with a window that is read twice would need to know the oldest running writer, which the two engines tell
//! differently.

use crate::engine::{Arg, Engine, RawTx, Row, args};
use crate::error::readable;
use crate::many::ManyRows;
use crate::seal::random_bytes;
use crate::{Account, CertificateRow, Connector, NO_INSURER, Store, StoreError, Tx, connector, office};
use kiban_domain::office::Office;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The newest number with its mark, and the mark of another number.
const NUMBER: &str = "SELECT c.number, m.mark, k.mark FROM standing_counter c
     LEFT JOIN standing_mark m ON m.place = c.number % 4096 AND m.number = c.number
     LEFT JOIN standing_mark k ON k.place = $2 AND k.number = $3 WHERE c.scope = $1";
const NEXT: &str = "INSERT INTO standing_counter (scope, number) VALUES ($1, 1)
     ON CONFLICT (scope) DO UPDATE SET number = standing_counter.number + 1 RETURNING number";
const PUT: &str = "INSERT INTO standing_change (kind, item, number) VALUES ($1, $2, $3)
     ON CONFLICT (kind, item) DO UPDATE SET number = excluded.number";
const MARK: &str = "INSERT INTO standing_mark (place, number, mark) VALUES ($1, $2, $3)
     ON CONFLICT (place) DO UPDATE SET number = excluded.number, mark = excluded.mark";
static PUT_MANY: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT));
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[NUMBER, NEXT, MARK, PUT];

/// Of the one counter there is.
const SCOPE: &str = "standing";
/// Numbers whose marks are kept.
const PLACES: i64 = 4_096;
/// Rows read at once.
pub(crate) const PAGE: i32 = 2_000;

/// How far a reader has come: a number, and the mark of the change that had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StandingNumber {
    /// 0 before the first change.
    pub number: i64,
    /// None for a number of before marks, and for one that was long ago.
    pub mark: Option<i64>,
}

/// The tables of the standing map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Office,
    Certificate,
    Connector,
    Staff,
    DisasterMode,
    UnionMember,
}

impl Standing {
    /// As it stands in `standing_change.kind`.
    const fn table(self) -> &'static str {
        match self {
            Self::Office => "office",
            Self::Certificate => "certificate",
            Self::Connector => "connector",
            Self::Staff => "staff",
            Self::DisasterMode => "disaster_mode",
            Self::UnionMember => "union_member",
        }
    }
}

/// Rows that changed, by key; none where the row is gone or its MAC fails.
pub type Changed<T> = Vec<(String, Option<T>)>;

impl Tx {
    /// Notes that a row of the standing map changes with this write.
    pub(crate) fn note_standing(&mut self, table: Standing, key: &str) {
        self.standing.insert((table, key.to_owned()));
    }
}

/// Gives what a write changed its number; the last statement before the commit, which holds the counter.
pub(crate) async fn number_changes(tx: &mut RawTx, changes: &BTreeSet<(Standing, String)>) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows = tx.rows(NEXT, args![SCOPE]).await?;
    let number = rows.first().ok_or_else(|| StoreError::Internal("no change number".to_owned()))?.big(0)?;
    let mark = i64::from_be_bytes(random_bytes()?);
    tx.run(MARK, args![number % PLACES, number, mark]).await?;
    let values: Vec<Arg<'_>> =
        changes.iter().flat_map(|(table, key)| [table.table().into(), key.into(), number.into()]).collect();
    PUT_MANY.run(tx, &values).await?;
    Ok(())
}

/// A whole table in pages, by a statement with the parameters `after` and `limit` in the order of its key, which is its first
/// column.
pub(crate) struct Pages {
    sql: &'static str,
    after: Option<String>,
}

impl Pages {
    pub(crate) fn of(sql: &'static str) -> Self {
        Self { sql, after: Some(String::new()) }
    }

    /// The next rows; none behind the last.
    pub(crate) async fn next(&mut self, engine: &Engine) -> Result<Option<Vec<Row>>, StoreError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let rows = engine.rows(self.sql, args![&after, PAGE]).await?;
        if rows.len() == PAGE as usize {
            // A key that cannot be read closes nothing but its own row.
            let last = rows.iter().rev().find_map(|row| row.text(0).ok());
            self.after = Some(last.ok_or(StoreError::Unreadable("standing"))?);
        }
        Ok(Some(rows))
    }
}

impl Store {
    /// The newest change, and whether what is `known` belongs to the same history: a number below, or another mark of the known
    /// one, says that the database is not the one it was. What is read afterwards is at least as new.
    pub async fn standing_number(&self, known: StandingNumber) -> Result<(StandingNumber, bool), StoreError> {
        let rows = self.engine.rows(NUMBER, args![SCOPE, known.number % PLACES, known.number]).await?;
        let Some(row) = rows.first() else { return Ok((StandingNumber::default(), known.number == 0)) };
        let now = StandingNumber { number: row.big(0)?, mark: row.big_or_null(1)? };
        Ok((now, now.number >= known.number && row.big_or_null(2)? == known.mark))
    }

    /// Offices that changed after a number, with whether they are active.
    pub async fn changed_offices(&self, after: i64) -> Result<Changed<(Office, bool)>, StoreError> {
        let rows = self.changed_rows(office::CHANGED_OFFICES, 9, after).await?;
        changed(&rows, 9, |row| self.office_row(row))
    }

    /// Certificates that changed after a number.
    pub async fn changed_certificates(&self, after: i64) -> Result<Changed<CertificateRow>, StoreError> {
        let rows = self.changed_rows(office::CHANGED_CERTIFICATES, 8, after).await?;
        changed(&rows, 8, |row| self.certificate_row(row))
    }

    /// Certificates of unattended programs that changed after a number.
    pub async fn changed_connectors(&self, after: i64) -> Result<Changed<Connector>, StoreError> {
        let rows = self.changed_rows(connector::CHANGED, 4, after).await?;
        changed(&rows, 4, |row| connector::connector_row(&self.keys, row))
    }

    /// Accounts that changed after a number.
    pub async fn changed_accounts(&self, after: i64) -> Result<Changed<Account>, StoreError> {
        let rows = self.changed_rows(office::CHANGED_STAFF, 12, after).await?;
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[3]).await?;
        changed(&rows, 12, |row| office::account_row(&self.keys, row, &keys))
    }

    /// What changed after a number, in the order of number and key, which stand in the column `number` behind `item`.
    async fn changed_rows(&self, sql: &'static str, item: usize, after: i64) -> Result<Vec<Row>, StoreError> {
        // Behind every key of the number before.
        let (mut all, mut place) = (Vec::new(), (after + 1, String::new()));
        loop {
            let rows = self.engine.rows(sql, args![place.0, &place.1, PAGE]).await?;
            let is_last = rows.len() < PAGE as usize;
            if let Some(last) = rows.last() {
                place = (last.big(item + 1)?, last.text(item)?);
            }
            all.extend(rows);
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// The key of each row as it was noted, with what stands there; a row that is gone has no key of its own (column 0).
fn changed<T>(
    rows: &[Row],
    item: usize,
    read: impl Fn(&Row) -> Result<Option<T>, StoreError>,
) -> Result<Changed<T>, StoreError> {
    rows.iter()
        .map(|row| {
            let is_gone = row.text_or_null(0).is_ok_and(|key| key.is_none());
            Ok((row.text(item)?, if is_gone { None } else { readable("standing", read(row))? }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Committed;
    use crate::statements;

    fn change(key: &str) -> BTreeSet<(Standing, String)> {
        BTreeSet::from([(Standing::Office, key.to_owned())])
    }

    /// On SQLite there is one writer, so the question does not arise.
    #[tokio::test]
    async fn a_number_is_never_seen_before_a_smaller_one_that_is_still_being_written() {
        let Some((engine, _, server, name)) = statements::postgres().await else { return };
        let numbers = async || {
            let number =
                engine.rows(NUMBER, args![SCOPE, 0, 0]).await.unwrap().first().map_or(0, |row| row.big(0).unwrap());
            let changed = engine.rows("SELECT item FROM standing_change ORDER BY number", args![]).await.unwrap();
            (number, changed.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>())
        };
        let mut first = engine.begin().await.unwrap();
        number_changes(&mut first, &change("first")).await.unwrap();
        let mut second = engine.begin().await.unwrap();
        let waiting = tokio::spawn(async move {
            number_changes(&mut second, &change("second")).await.unwrap();
            assert_eq!(second.commit().await, Committed::Done);
        });
        let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while engine.rows(waits, args![]).await.unwrap().is_empty() {
            assert!(!waiting.is_finished(), "the second got its number before the first was there");
            tokio::task::yield_now().await;
        }
        assert_eq!(numbers().await, (0, Vec::new()));
        assert_eq!(first.commit().await, Committed::Done);
        waiting.await.unwrap();
        assert_eq!(numbers().await, (2, vec!["first".to_owned(), "second".to_owned()]));
        statements::drop_database(engine, &server, &name).await;
    }
}
