//! 知らせ, kept for each addressee until somebody has seen them (P-149). They open nothing; what they tell is sealed.

use crate::engine::{Row, args};
use crate::office::instant;
use crate::{NO_INSURER, Store, StoreError, Tx};
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey, Timestamp};

const PUT: &str = "INSERT INTO notice (organization, notice_id, administrators, kind, raised_at, insurer_number, insured_number, facts, read_at, read_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL) ON CONFLICT (organization, notice_id) DO NOTHING";
const READ: &str =
    "UPDATE notice SET read_at = $3, read_by = $4 WHERE organization = $1 AND notice_id = $2 AND read_at IS NULL";
const ONE: &str =
    "SELECT notice_id, administrators, kind, raised_at, insurer_number, insured_number, facts, read_at, read_by
     FROM notice WHERE organization = $1 AND notice_id = $2";
const LATEST: &str =
    "SELECT notice_id, administrators, kind, raised_at, insurer_number, insured_number, facts, read_at, read_by
     FROM notice WHERE organization = $1 AND (raised_at, notice_id) < ($2, $3) AND (read_at IS NULL OR $4)
       AND (NOT administrators OR $5)
     ORDER BY raised_at DESC, notice_id DESC LIMIT $6";
const DELETE: &str = "DELETE FROM notice WHERE raised_at < $1";
const TAKE_BACK: &str = "DELETE FROM notice WHERE organization = $1 AND notice_id = $2";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, READ, ONE, LATEST, DELETE, TAKE_BACK];

/// A notice about to be raised.
#[derive(Debug, Clone)]
pub struct NewNotice {
    /// Random, or a keyed digest of what is told: the same id again to the same addressee changes nothing.
    pub id: String,
    /// Whom it is for.
    pub to: Organization,
    /// Only for administrators of that organisation.
    pub administrators: bool,
    /// What it is about.
    pub kind: NoticeKind,
    /// When.
    pub raised_at: Timestamp,
    /// The person it is about, if it is about one.
    pub about: Option<PersonKey>,
    /// What happened, as JSON; sealed.
    pub facts: Vec<u8>,
}

/// A notice and whether somebody has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: String,
    /// Only for administrators.
    pub administrators: bool,
    /// What it is about.
    pub kind: NoticeKind,
    /// When.
    pub raised_at: Timestamp,
    /// The person it is about.
    pub about: Option<PersonKey>,
    /// What happened, as JSON.
    pub facts: Vec<u8>,
    /// When and by whom it was marked as seen.
    pub read: Option<(Timestamp, StaffId)>,
}

/// Which notices of an organisation.
#[derive(Debug, Clone, Default)]
pub struct WhichNotices {
    /// Those for administrators too.
    pub administrators: bool,
    /// Those that somebody has seen too.
    pub seen: bool,
    /// Older than this notice.
    pub after: Option<(Timestamp, String)>,
}

impl Tx {
    /// Raises a notice; false when the addressee has one of this id already.
    pub async fn put_notice(&mut self, notice: &NewNotice) -> Result<bool, StoreError> {
        let organization = notice.to.to_string();
        let keys = self.keys_of(&insurer_of(notice.about)).await?;
        let facts = with_aad(&organization, &notice.id, notice.kind, notice.about, |aad| keys.seal(aad, &notice.facts));
        let insured = notice.about.map(|person| person.insured.to_string());
        let new = self
            .raw
            .run(
                PUT,
                args![
                    &organization,
                    &notice.id,
                    notice.administrators,
                    notice.kind.code(),
                    notice.raised_at.as_microsecond(),
                    notice.about.map(|person| person.insurer.to_string()).as_deref(),
                    insured.as_deref(),
                    &facts
                ],
            )
            .await?;
        Ok(new == 1)
    }

    /// Takes a notice back whose reason is gone, seen or not.
    pub async fn take_notice_back(&mut self, organization: Organization, id: &str) -> Result<(), StoreError> {
        self.raw.run(TAKE_BACK, args![&organization.to_string(), id]).await?;
        Ok(())
    }

    /// Marks a notice as seen; the first who did so stays.
    pub async fn read_notice(
        &mut self,
        organization: Organization,
        id: &str,
        by: &StaffId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.raw.run(READ, args![&organization.to_string(), id, now.as_microsecond(), &by.0]).await?;
        Ok(())
    }
}

impl Tx {
    /// Deletes the notices raised before an instant; how many. What they told about stays in the audit log.
    pub async fn delete_notices(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(DELETE, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// A notice of an organisation.
    pub async fn notice(&self, organization: Organization, id: &str) -> Result<Option<Notice>, StoreError> {
        let organization = organization.to_string();
        let rows = self.engine.rows(ONE, args![&organization, id]).await?;
        match rows.first() {
            Some(row) => self.notice_row(&organization, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Notices of an organisation, newest first.
    pub async fn notices(
        &self,
        organization: Organization,
        which: &WhichNotices,
        limit: i32,
    ) -> Result<Vec<Notice>, StoreError> {
        let organization = organization.to_string();
        let (at, id) = match &which.after {
            Some((at, id)) => (at.as_microsecond(), id.as_str()),
            None => (i64::MAX, ""),
        };
        let rows =
            self.engine.rows(LATEST, args![&organization, at, id, which.seen, which.administrators, limit]).await?;
        let mut notices = Vec::with_capacity(rows.len());
        for row in &rows {
            notices.push(self.notice_row(&organization, row).await?);
        }
        Ok(notices)
    }

    async fn notice_row(&self, organization: &str, row: &Row) -> Result<Notice, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable("notice");
        let (id, kind) = (row.text(0)?, NoticeKind::parse(&row.text(2)?).ok_or(UNREADABLE)?);
        let about = match (row.text_or_null(4)?, row.text_or_null(5)?) {
            (Some(insurer), Some(insured)) => Some(PersonKey {
                insurer: InsurerNumber::parse(&insurer).map_err(|_| UNREADABLE)?,
                insured: InsuredNumber::parse(&insured).map_err(|_| UNREADABLE)?,
            }),
            _ => None,
        };
        let keys = self.keys.keys_for(&insurer_of(about), std::slice::from_ref(row), &[6]).await?;
        let sealed = row.blob(6)?;
        let read = match (row.big_or_null(7)?, row.text_or_null(8)?) {
            (Some(at), Some(by)) => Some((instant(at)?, StaffId(by))),
            _ => None,
        };
        Ok(Notice {
            administrators: row.boolean(1)?,
            raised_at: instant(row.big(3)?)?,
            facts: with_aad(organization, &id, kind, about, |aad| keys.open(aad, &sealed))?,
            id,
            kind,
            about,
            read,
        })
    }
}

/// Under whose key it is sealed.
fn insurer_of(about: Option<PersonKey>) -> String {
    about.map_or_else(|| NO_INSURER.to_owned(), |person| person.insurer.to_string())
}

/// Seals or opens what a notice tells, bound to its addressee, its kind and its person.
pub(crate) fn with_aad<T>(
    organization: &str,
    id: &str,
    kind: NoticeKind,
    about: Option<PersonKey>,
    act: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let person = about.map_or_else(String::new, |person| format!("{}{}", person.insurer, person.insured));
    act(&[b"notice", organization.as_bytes(), id.as_bytes(), kind.code().as_bytes(), person.as_bytes()])
}
