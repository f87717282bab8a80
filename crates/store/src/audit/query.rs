//! Questions to the log: who looked at me, what did this organisation do.

use super::AuditLog;
use super::entry::{Cursor, Detail, Position, StoredEntry, columns};
use crate::StoreError;
use crate::engine::args;
use kiban_domain::Timestamp;

/// Later than every entry.
const NEWEST: Cursor = Cursor { at: i64::MAX, position: Position { writer: i64::MAX, segment: i32::MAX, n: i32::MAX } };

/// Before every entry of an instant.
pub(crate) fn earlier_than(at: i64) -> Cursor {
    Cursor { at, position: Position { writer: i64::MIN, segment: i32::MIN, n: i32::MIN } }
}

const OWN: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM audit WHERE insurer_number = $1 AND insured_number = $2 ",
    "AND (at, writer, segment, n) < ($3, $4, $5, $6) ORDER BY at DESC, writer DESC, segment DESC, n DESC LIMIT $7"
);
const LISTS: &str = concat!(
    "SELECT ",
    columns!("a."),
    " FROM audit_seen s JOIN audit a ON a.at = s.at AND a.writer = s.writer AND a.segment = s.segment ",
    "AND a.n = s.n AND a.insurer_number = s.insurer_number WHERE s.insurer_number = $1 AND s.insured_number = $2 ",
    "AND (a.at, a.writer, a.segment, a.n) < ($3, $4, $5, $6) ",
    "ORDER BY a.at DESC, a.writer DESC, a.segment DESC, a.n DESC LIMIT $7"
);
const BY_ORGANIZATION: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM audit WHERE organization = $1 AND (at, writer, segment, n) < ($2, $3, $4, $5) ",
    "ORDER BY at DESC, writer DESC, segment DESC, n DESC LIMIT $6"
);
const AT: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM audit WHERE writer = $1 AND segment = $2 AND n = $3 ORDER BY insurer_number"
);
const ACTIVE: &str = "SELECT 1 FROM audit WHERE organization = $1 AND at >= $2 AND staff = $3 AND certificate = $4
     AND way = 'interactive' LIMIT 1";
/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[OWN, LISTS, BY_ORGANIZATION, AT, ACTIVE];

impl AuditLog {
    /// Whether somebody asked for anything at a screen over this certificate since an instant, on whichever server.
    pub async fn was_active(
        &self,
        organization: &str,
        staff: &str,
        certificate: &[u8; 32],
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let args = args![organization, since.as_microsecond(), staff, certificate];
        Ok(!self.0.engine.rows(ACTIVE, args).await?.is_empty())
    }

    /// 「だれが私の情報を見たか」: entries about a person, newest first, also the list views the person was on (the first
    /// of each organisation and day). `before` is the cursor of the last entry shown.
    pub async fn about_person(
        &self,
        insurer: &str,
        insured: &str,
        limit: u32,
        before: Option<Cursor>,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let Cursor { at, position: Position { writer, segment, n } } = before.unwrap_or(NEWEST);
        let mut found = Vec::new();
        for sql in [OWN, LISTS] {
            for row in
                self.0.engine.rows(sql, args![insurer, insured, at, writer, segment, n, i64::from(limit)]).await?
            {
                found.push(StoredEntry::from_row(&row)?);
            }
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.cursor()));
        found.dedup_by_key(|entry| entry.position);
        found.truncate(limit as usize);
        Ok(found)
    }

    /// What an organisation did, newest first, for its own administrator and for inspection.
    pub async fn of_organization(
        &self,
        organization: &str,
        limit: u32,
        before: Option<Cursor>,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let Cursor { at, position: Position { writer, segment, n } } = before.unwrap_or(NEWEST);
        let rows =
            self.0.engine.rows(BY_ORGANIZATION, args![organization, at, writer, segment, n, i64::from(limit)]).await?;
        rows.iter().map(StoredEntry::from_row).collect()
    }

    /// The entry at a place.
    pub async fn entry_at(&self, position: Position) -> Result<Option<StoredEntry>, StoreError> {
        let rows = self.0.engine.rows(AT, args![position.writer, position.segment, position.n]).await?;
        rows.first().map(StoredEntry::from_row).transpose()
    }

    /// Opens the sealed part. It holds other people's numbers when the entry is a list view: not for the person's own page.
    pub async fn detail_of(&self, entry: &StoredEntry) -> Result<Detail, StoreError> {
        let keys = self.0.keyring.audit_for(entry.sealed.as_deref().unwrap_or_default()).await?;
        entry.open_detail(&keys)
    }
}
