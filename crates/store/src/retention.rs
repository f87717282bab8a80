//! What may go: originals of accepted documents past their time (P-201), and contents of returned documents that nobody
//! handed in again. Which of them goes is decided by the caller; nothing here goes before its day.

use crate::engine::{Row, args};
use crate::{Store, StoreError, Tx};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, PersonKey, Timestamp, dates};

const DUE: &str =
    "SELECT insurer_number, submission_id, insured_number, kind, natural_key, purge_after FROM record_original
     WHERE purge_after < $1 AND (insurer_number, submission_id) > ($2, $3)
     ORDER BY insurer_number, submission_id LIMIT $4";
const DELETE: &str =
    "DELETE FROM record_original WHERE insurer_number = $1 AND submission_id = $2 AND purge_after < $3";
const RETURNED: &str = "SELECT insurer_number, submission_id FROM submission
     WHERE state = 'returned' AND payload IS NOT NULL AND decided_at < $1 AND (insurer_number, submission_id) > ($2, $3)
     ORDER BY insurer_number, submission_id LIMIT $4";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[DUE, DELETE, RETURNED];

/// An original that has reached its last day of keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueOriginal {
    /// About whom.
    pub person: PersonKey,
    /// 受付番号
    pub id: String,
    /// A2 or F1.
    pub kind: Kind,
    /// Natural key of the record it belongs to.
    pub natural_key: String,
    /// Last day on which it had to be kept.
    pub purge_after: Date,
}

impl Store {
    /// Originals whose last day lies before `today`, in the order of insurer and 受付番号 after the given one.
    pub async fn due_originals(
        &self,
        today: Date,
        after: Option<&DueOriginal>,
        limit: i32,
    ) -> Result<Vec<DueOriginal>, StoreError> {
        let (insurer, id) = after.map_or(("", ""), |last| (last.person.insurer.as_str(), last.id.as_str()));
        let rows = self.engine.rows(DUE, args![dates::to_number(today), insurer, id, limit]).await?;
        rows.iter().map(due).collect()
    }

    /// Returned documents with their content, decided before an instant, in the order of insurer and 受付番号 after the given
    /// one.
    pub async fn old_returned(
        &self,
        before: Timestamp,
        after: Option<&(InsurerNumber, String)>,
        limit: i32,
    ) -> Result<Vec<(InsurerNumber, String)>, StoreError> {
        let (insurer, id) = after.map_or(("", ""), |(insurer, id)| (insurer.as_str(), id.as_str()));
        let rows = self.engine.rows(RETURNED, args![before.as_microsecond(), insurer, id, limit]).await?;
        rows.iter().map(|row| Ok((insurer_of(row)?, row.text(1)?))).collect()
    }
}

impl Tx {
    /// Deletes an original whose last day lies before `today`; false when there is none (any more) or it is not its time.
    pub async fn delete_original(&mut self, original: &DueOriginal, today: Date) -> Result<bool, StoreError> {
        let key = args![original.person.insurer.as_str(), &original.id, dates::to_number(today)];
        Ok(self.raw.run(DELETE, key).await? == 1)
    }
}

fn insurer_of(row: &Row) -> Result<InsurerNumber, StoreError> {
    InsurerNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("insurer_number"))
}

fn due(row: &Row) -> Result<DueOriginal, StoreError> {
    let unreadable = || StoreError::Unreadable("record_original");
    let insured = InsuredNumber::parse(&row.text(2)?).map_err(|_| unreadable())?;
    Ok(DueOriginal {
        person: PersonKey { insurer: insurer_of(row)?, insured },
        id: row.text(1)?,
        kind: Kind::parse(&row.text(3)?).ok_or_else(unreadable)?,
        natural_key: row.text(4)?,
        purge_after: dates::from_number(row.int(5)?).map_err(|_| unreadable())?,
    })
}
