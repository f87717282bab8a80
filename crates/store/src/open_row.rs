//! Rows of packages that are not in: refused, or waiting for the person they are about (P-150), and what is read again once
//! something they depend on is there (docs/decisions/0007).

use crate::bulk::number;
use crate::engine::{Arg, RawTx, args};
use crate::many::ManyRows;
use crate::{Store, StoreError, Tx};
use kiban_domain::{InsuredNumber, InsurerNumber, Timestamp};
use std::collections::HashSet;
use std::sync::LazyLock;

const PUT: &str = "INSERT INTO open_row (insurer_number, insured_number, kind, history_number, receipt_number, waits)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
static PUT_MANY: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT));
// One look-up a row in one statement, whatever the statistics say of a table that is millions of rows one day and none the next.
pub(crate) const CLEAR_POSTGRES: &str = "DELETE FROM open_row WHERE insurer_number = $1 AND ctid = ANY(ARRAY(
       SELECT o.place FROM jsonb_array_elements($2::text::jsonb) AS asked(key), LATERAL (
         SELECT ctid AS place FROM open_row
         WHERE insurer_number = $1 AND insured_number = key ->> 0 AND kind = key ->> 1
           AND history_number = (key ->> 2)::bigint AND receipt_number = (key ->> 3)::bigint OFFSET 0) o))";
pub(crate) const CLEAR_SQLITE: &str = "DELETE FROM open_row WHERE rowid IN (
       SELECT o.rowid FROM json_each($2) CROSS JOIN open_row o
       WHERE o.insurer_number = $1 AND o.insured_number = value ->> 0 AND o.kind = value ->> 1
         AND o.history_number = value ->> 2 AND o.receipt_number = value ->> 3)";
const ANY: &str = "SELECT 1 FROM open_row WHERE insurer_number = $1 ORDER BY insured_number LIMIT 1";
pub(crate) const POSTGRES: &str = "SELECT w.* FROM unnest(string_to_array($2, ',')) AS asked(insured_number), LATERAL (
       SELECT o.insured_number, o.kind, o.history_number, o.receipt_number, o.waits, r.received_at
       FROM open_row o JOIN receipt r ON r.insurer_number = o.insurer_number AND r.receipt_number = o.receipt_number
       WHERE o.insurer_number = $1 AND o.insured_number = asked.insured_number
         AND (o.kind = ANY(string_to_array($3, ',')) OR o.waits AND $4) OFFSET 0) w";
pub(crate) const SQLITE: &str =
    "SELECT o.insured_number, o.kind, o.history_number, o.receipt_number, o.waits, r.received_at
     FROM open_row o JOIN receipt r ON r.insurer_number = o.insurer_number AND r.receipt_number = o.receipt_number
     WHERE o.insurer_number = $1 AND o.insured_number IN (SELECT value FROM json_each($2))
       AND (o.kind IN (SELECT value FROM json_each($3)) OR o.waits AND $4)";
const WAITING: &str = "SELECT count(*) FROM open_row WHERE insurer_number = $1 AND receipt_number = $2 AND waits";
const BY_PACKAGE: &str = "SELECT r.public_id, count(*) FROM open_row o
     JOIN receipt r ON r.insurer_number = o.insurer_number AND r.receipt_number = o.receipt_number
     WHERE o.insurer_number = $1 AND r.state = 'applied' GROUP BY r.public_id, r.receipt_number ORDER BY r.receipt_number";
const PUT_AGAIN: &str =
    "INSERT INTO row_again (insurer_number, due_by, receipt_number, insured_number, kind, history_number)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
static PUT_AGAIN_MANY: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT_AGAIN));
const DUE: &str =
    "SELECT DISTINCT receipt_number FROM row_again WHERE insurer_number = $1 AND due_by = $2 ORDER BY receipt_number";
const AGAIN: &str = "SELECT insured_number, kind, history_number FROM row_again
     WHERE insurer_number = $1 AND due_by = $2 AND receipt_number = $3";
const DONE_AGAIN: &str = "DELETE FROM row_again WHERE insurer_number = $1 AND due_by = $2 AND receipt_number = $3";
const PUT_RECEIPT: &str = "INSERT INTO receipt_again (insurer_number, receipt_number, of_receipt, due_by, upload_id)
     VALUES ($1, $2, $3, $4, $5)";
const RECEIPT: &str =
    "SELECT of_receipt, due_by, upload_id FROM receipt_again WHERE insurer_number = $1 AND receipt_number = $2";
const TAKEN_UP_BY: &str = "SELECT r.public_id FROM receipt_again a
     JOIN receipt r ON r.insurer_number = a.insurer_number AND r.receipt_number = a.receipt_number
     WHERE a.insurer_number = $1 AND a.of_receipt = $2 ORDER BY a.receipt_number";
#[cfg(test)]
pub(crate) const ALL: &[&str] =
    &[PUT, ANY, WAITING, BY_PACKAGE, PUT_AGAIN, DUE, AGAIN, DONE_AGAIN, PUT_RECEIPT, RECEIPT, TAKEN_UP_BY];

/// Key of a row as the package has it: 被保険者番号, 種別, 履歴番号.
pub type FileKey = (InsuredNumber, String, i64);

/// A row that is not in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// Its key; without a number when that could not be read, with its place among those instead of the 履歴番号.
    pub insured: Option<InsuredNumber>,
    /// 種別 of the package.
    pub kind: String,
    /// 履歴番号
    pub history: i64,
    /// It waits for the person it is about.
    pub waits: bool,
}

/// The same as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOpenRow {
    /// Its key.
    pub key: FileKey,
    /// Receipt that brought it.
    pub receipt: i64,
    /// When that arrived.
    pub received_at: Timestamp,
    /// It waits for the person it is about.
    pub waits: bool,
}

/// A receipt that reads rows of another package again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// The receipt of that package.
    pub of: i64,
    /// The receipt that made it necessary.
    pub due_by: i64,
    /// Where the original of the package lies.
    pub upload: String,
}

impl Tx {
    /// Notes rows of a receipt that are not in.
    pub async fn put_open_rows(
        &mut self,
        insurer: InsurerNumber,
        receipt: i64,
        rows: &[OpenRow],
    ) -> Result<(), StoreError> {
        let mut values: Vec<Arg<'_>> = Vec::with_capacity(rows.len() * 6);
        for row in rows {
            let insured = row.insured.as_ref().map_or("", InsuredNumber::as_str);
            values.extend_from_slice(args![insurer.as_str(), insured, &row.kind, row.history, receipt, row.waits]);
        }
        PUT_MANY.run(&mut self.raw, &values).await.map(drop)
    }

    /// Notes rows, each of a receipt, that were in and are not any more.
    pub async fn put_displaced_rows(
        &mut self,
        insurer: InsurerNumber,
        rows: &[(FileKey, i64)],
    ) -> Result<(), StoreError> {
        let mut values: Vec<Arg<'_>> = Vec::with_capacity(rows.len() * 6);
        for ((insured, kind, history), receipt) in rows {
            values.extend_from_slice(args![insurer.as_str(), insured.as_str(), kind, *history, *receipt, false]);
        }
        PUT_MANY.run(&mut self.raw, &values).await.map(drop)
    }

    /// Forgets rows, each of a receipt, that are in by now: one statement, however many.
    pub async fn clear_open_rows(&mut self, insurer: InsurerNumber, rows: &[(FileKey, i64)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let keys = rows.iter().map(|((insured, kind, history), receipt)| (insured.as_str(), kind, history, receipt));
        let keys = serde_json::to_string(&keys.collect::<Vec<_>>());
        let keys = keys.map_err(|error| StoreError::Internal(error.to_string()))?;
        let statement = if matches!(self.raw, RawTx::Postgres(_)) { CLEAR_POSTGRES } else { CLEAR_SQLITE };
        self.raw.run(statement, args![insurer.as_str(), &keys]).await.map(drop)
    }

    /// Notes rows, each of a receipt, that are to be read again because of what `due_by` brought.
    pub async fn put_rows_again(
        &mut self,
        insurer: InsurerNumber,
        due_by: i64,
        rows: &[(FileKey, i64)],
    ) -> Result<(), StoreError> {
        let mut values: Vec<Arg<'_>> = Vec::with_capacity(rows.len() * 6);
        for ((insured, kind, history), receipt) in rows {
            values.extend_from_slice(args![insurer.as_str(), due_by, *receipt, insured.as_str(), kind, *history]);
        }
        PUT_AGAIN_MANY.run(&mut self.raw, &values).await.map(drop)
    }

    /// Receipts with rows that are to be read again because of what `due_by` brought.
    pub async fn receipts_due(&mut self, insurer: InsurerNumber, due_by: i64) -> Result<Vec<i64>, StoreError> {
        let rows = self.raw.rows(DUE, args![insurer.as_str(), due_by]).await?;
        rows.iter().map(|row| row.big(0)).collect()
    }

    /// Notes that a receipt reads rows of another again.
    pub async fn put_receipt_again(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        again: &Again,
    ) -> Result<(), StoreError> {
        let values = args![insurer.as_str(), number, again.of, again.due_by, &again.upload];
        self.raw.run(PUT_RECEIPT, values).await.map(drop)
    }

    /// Forgets what was to be read again, once it was, or where it cannot be.
    pub async fn done_again(&mut self, insurer: InsurerNumber, due_by: i64, of: i64) -> Result<(), StoreError> {
        self.raw.run(DONE_AGAIN, args![insurer.as_str(), due_by, of]).await.map(drop)
    }
}

impl Store {
    /// Whether any row of an insurer is not in.
    pub async fn has_open_rows(&self, insurer: InsurerNumber) -> Result<bool, StoreError> {
        Ok(!self.engine.rows(ANY, args![insurer.as_str()]).await?.is_empty())
    }

    /// Rows about these people that are not in: of these 種別, and, if asked for, of every other that waits for them.
    pub async fn open_rows(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
        kinds: &[&str],
        waiting: bool,
    ) -> Result<Vec<StoredOpenRow>, StoreError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let (people, kinds) = (self.list_of(people, InsuredNumber::as_str)?, self.list_of(kinds, |kind| kind)?);
        let statement = if self.engine.is_postgres() { POSTGRES } else { SQLITE };
        let rows = self.engine.rows(statement, args![insurer.as_str(), &people, &kinds, waiting]).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredOpenRow {
                    key: (number(row)?, row.text(1)?, row.big(2)?),
                    receipt: row.big(3)?,
                    waits: row.boolean(4)?,
                    received_at: crate::office::instant(row.big(5)?)?,
                })
            })
            .collect()
    }

    /// How many rows of a receipt wait for the people they are about.
    pub async fn waiting_rows(&self, insurer: InsurerNumber, receipt: i64) -> Result<i64, StoreError> {
        let rows = self.engine.rows(WAITING, args![insurer.as_str(), receipt]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }

    /// Packages with rows that are not in: 受付番号 and how many, oldest first.
    pub async fn open_rows_by_package(&self, insurer: InsurerNumber) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = self.engine.rows(BY_PACKAGE, args![insurer.as_str()]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.big(1)?))).collect()
    }

    /// Whose rows a receipt reads again; none when it has its own.
    pub async fn again(&self, insurer: InsurerNumber, receipt: i64) -> Result<Option<Again>, StoreError> {
        let rows = self.engine.rows(RECEIPT, args![insurer.as_str(), receipt]).await?;
        let again = |row: &crate::engine::Row| Ok(Again { of: row.big(0)?, due_by: row.big(1)?, upload: row.text(2)? });
        rows.first().map(again).transpose()
    }

    /// Keys of the rows that are to be read again.
    pub async fn rows_again(&self, insurer: InsurerNumber, again: &Again) -> Result<HashSet<FileKey>, StoreError> {
        let rows = self.engine.rows(AGAIN, args![insurer.as_str(), again.due_by, again.of]).await?;
        rows.iter().map(|row| Ok((number(row)?, row.text(1)?, row.big(2)?))).collect()
    }

    /// 受付番号 of the receipts that read rows of this one again, oldest first.
    pub async fn taken_up_by(&self, insurer: InsurerNumber, of: i64) -> Result<Vec<String>, StoreError> {
        let rows = self.engine.rows(TAKEN_UP_BY, args![insurer.as_str(), of]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}
