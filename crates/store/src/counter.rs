//! Counters of mismatches at 本人確認, kept in the store so that every process counts together (decision 0006.29, 37).

use crate::engine::args;
use crate::{StoreError, Tx};
use kiban_domain::{Date, dates};

const ADD: &str = "INSERT INTO mismatch (subject, day, count) VALUES ($1, $2, $3)
     ON CONFLICT (subject, day) DO UPDATE SET count = mismatch.count + $3 RETURNING count";
const TAKE_BACK: &str = "UPDATE mismatch SET count = count - 1 WHERE subject = $1 AND day = $2 AND count > 0";
const COUNTED: &str = "SELECT count FROM mismatch WHERE subject = $1 AND day = $2";
const FORGET: &str = "DELETE FROM mismatch WHERE day < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[ADD, TAKE_BACK, COUNTED, FORGET];

impl Tx {
    /// Counts one mismatch for a subject (a keyed digest); how many there are now, this one included. Counted before the
    /// comparison, so that attempts made at the same time each see another number.
    pub async fn add_mismatch(&mut self, subject: &[u8; 32], day: Date) -> Result<i32, StoreError> {
        self.add_mismatches(subject, day, 1).await
    }

    /// Counts so many at once for a subject; how many there are now. At most a million at a time.
    pub async fn add_mismatches(&mut self, subject: &[u8; 32], day: Date, many: i32) -> Result<i32, StoreError> {
        let many = many.min(1_000_000);
        let rows = self.raw.rows(ADD, args![subject, dates::to_number(day), many]).await?;
        rows.first().ok_or(StoreError::Internal("no count".to_owned()))?.int(0)
    }

    /// How many are counted for a subject, without waiting for those who are counting at this moment.
    pub async fn mismatches(&mut self, subject: &[u8; 32], day: Date) -> Result<i32, StoreError> {
        let rows = self.raw.rows(COUNTED, args![subject, dates::to_number(day)]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// Takes one back: what was compared did match. Never below zero.
    pub async fn take_back_mismatch(&mut self, subject: &[u8; 32], day: Date) -> Result<(), StoreError> {
        self.raw.run(TAKE_BACK, args![subject, dates::to_number(day)]).await?;
        Ok(())
    }

    /// Takes the counts of the days before one away; how many.
    pub async fn forget_mismatches(&mut self, before: Date) -> Result<u64, StoreError> {
        self.raw.run(FORGET, args![dates::to_number(before)]).await
    }
}
