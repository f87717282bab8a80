//! Which receipts superseded which, for an export of everything that was ever known (P-160): numbers of receipts only,
//! nothing is opened.

use crate::block::PEOPLE;
use crate::engine::args;
use crate::office::instant;
use crate::{Store, StoreError};
use kiban_domain::{InsuredNumber, InsurerNumber, Timestamp};

const RECORDS: &str = "SELECT DISTINCT r.revision, (SELECT max(e.revision) FROM record e WHERE e.insurer_number = $1
         AND e.insured_number = r.insured_number AND e.kind = r.kind AND e.natural_key = r.natural_key AND e.revision < r.revision)
     FROM record r WHERE r.insurer_number = $1 AND r.insured_number > $2 AND r.insured_number <= $3";
const PERSONS: &str = "SELECT DISTINCT r.revision, (SELECT max(e.revision) FROM person e WHERE e.insurer_number = $1
         AND e.insured_number = r.insured_number AND e.history_number = r.history_number AND e.revision < r.revision)
     FROM person r WHERE r.insurer_number = $1 AND r.insured_number > $2 AND r.insured_number <= $3";
const LINKS: &str = "SELECT DISTINCT r.revision, (SELECT max(e.revision) FROM person_link e WHERE e.insurer_number = $1
         AND e.insured_number = r.insured_number AND e.history_number = r.history_number AND e.revision < r.revision)
     FROM person_link r WHERE r.insurer_number = $1 AND r.insured_number > $2 AND r.insured_number <= $3";
const TIMES: &str = "SELECT receipt_number, received_at FROM receipt WHERE insurer_number = $1 ORDER BY receipt_number";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[RECORDS, PERSONS, LINKS, TIMES];

/// A receipt that brought a row again, and the one that had brought it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Superseded {
    /// The later receipt.
    pub by: i64,
    /// The one before it.
    pub before: i64,
}

impl Store {
    /// Of the next `limit` people behind `after`: which receipts superseded rows of which. With the last number looked at; `None`
    /// when there is nobody left.
    pub async fn superseded(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        limit: i32,
    ) -> Result<Option<(InsuredNumber, Vec<Superseded>)>, StoreError> {
        let from = after.map(|number| number.to_string()).unwrap_or_default();
        let people = self.engine.rows(PEOPLE, args![insurer.as_str(), &from, limit]).await?;
        let Some(last) = people.last() else { return Ok(None) };
        let to = last.text(0)?;
        let mut found = Vec::new();
        for sql in [RECORDS, PERSONS, LINKS] {
            for row in &self.engine.rows(sql, args![insurer.as_str(), &from, &to]).await? {
                if let Some(before) = row.big_or_null(1)? {
                    found.push(Superseded { by: row.big(0)?, before });
                }
            }
        }
        let last = InsuredNumber::parse(&to).map_err(|_| StoreError::Unreadable("person"))?;
        Ok(Some((last, found)))
    }

    /// The next `limit` insured numbers behind `after`, also of people only in a package that is not applied yet.
    pub async fn numbers_after(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        limit: i32,
    ) -> Result<Vec<InsuredNumber>, StoreError> {
        let from = after.map(|number| number.to_string()).unwrap_or_default();
        let rows = self.engine.rows(PEOPLE, args![insurer.as_str(), &from, limit]).await?;
        rows.iter()
            .map(|row| InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person")))
            .collect()
    }

    /// When each receipt of an insurer arrived, by its number.
    pub async fn receipt_times(&self, insurer: InsurerNumber) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows = self.engine.rows(TIMES, args![insurer.as_str()]).await?;
        rows.iter().map(|row| Ok((row.big(0)?, instant(row.big(1)?)?))).collect()
    }
}
