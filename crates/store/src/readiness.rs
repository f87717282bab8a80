//! Whether the data of a municipality is there: its newest applied package and any that is still being applied (P-131).

use crate::engine::args;
use crate::office::instant;
use crate::receipt::base_date;
use crate::{ReceiptCounts, Store, StoreError};
use kiban_domain::{Date, InsurerNumber, Organization, Timestamp};

const NEWEST_APPLIED: &str =
    "SELECT public_id, received_at, rows_read, rows_applied, rows_unchanged, rows_refused, base_date FROM receipt
     WHERE insurer_number = $1 AND state = 'applied' AND sender = $2 ORDER BY receipt_number DESC LIMIT 1";
const STILL_OPEN: &str = "SELECT public_id FROM receipt
     WHERE insurer_number = $1 AND state = 'received' AND sender = $2 ORDER BY receipt_number LIMIT 1";
const UNAPPLIED: &str = "SELECT receipt_number FROM receipt WHERE insurer_number = $1 AND state = 'received'";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[NEWEST_APPLIED, STILL_OPEN, UNAPPLIED];

/// The newest applied package of a municipality: the fact on which a start is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPackage {
    /// 受付番号 shown to the sender.
    pub receipt: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// 基準日; none of one that came before it was kept.
    pub base_date: Option<Date>,
    /// Its rows.
    pub counts: ReceiptCounts,
}

impl Store {
    /// The newest package of the municipality that was applied.
    pub async fn newest_applied_package(&self, insurer: InsurerNumber) -> Result<Option<AppliedPackage>, StoreError> {
        let sender = Organization::Municipality(insurer).to_string();
        let rows = self.engine.rows(NEWEST_APPLIED, args![insurer.as_str(), &sender]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(AppliedPackage {
            receipt: row.text(0)?,
            received_at: instant(row.big(1)?)?,
            base_date: base_date(row.int_or_null(6)?)?,
            counts: ReceiptCounts {
                read: row.big(2)?,
                applied: row.big(3)?,
                unchanged: row.big(4)?,
                refused: row.big(5)?,
            },
        }))
    }

    /// 受付番号 of a package of the municipality that was received and is not applied yet.
    pub async fn open_package(&self, insurer: InsurerNumber) -> Result<Option<String>, StoreError> {
        let sender = Organization::Municipality(insurer).to_string();
        let rows = self.engine.rows(STILL_OPEN, args![insurer.as_str(), &sender]).await?;
        rows.first().map(|row| row.text(0)).transpose()
    }

    /// Receipts of an insurer whose rows are not visible yet.
    pub async fn unapplied(&self, insurer: InsurerNumber) -> Result<Vec<i64>, StoreError> {
        let rows = self.engine.rows(UNAPPLIED, args![insurer.as_str()]).await?;
        rows.iter().map(|row| row.big(0)).collect()
    }
}
