//! The end of old entries: whole months are deleted once nobody has to keep them, under an approval, and a signed certificate
//! stays that says which numbers are gone (decision 0006.8, P-203, S-018). Segments, their leaves and the anchors stay, so
//! that what the certificate does not name is still found missing.

use super::anchor::{PublicKey, SigningKey, is_signed};
use super::entry::{Entry, Position};
use super::month::{Month, slow_rows};
use crate::engine::{Engine, Row, args};
use crate::{Store, StoreError};
use kiban_domain::Timestamp;
use std::collections::BTreeMap;

/// Years that no setting shortens (S-018).
pub const KEEP_YEARS: u8 = 5;

const SPANS: &str = "SELECT MIN(at), MAX(at) FROM audit WHERE at < $1 GROUP BY writer";
const RUNS: &str = "SELECT writer, COUNT(*), MIN(segment), MAX(segment) FROM audit WHERE at >= $1 AND at < $2 \
                    GROUP BY writer ORDER BY writer";
const FIRST: &str = "SELECT MIN(n) FROM audit WHERE writer = $1 AND segment = $2 AND at >= $3 AND at < $4";
const LAST: &str = "SELECT MAX(n) FROM audit WHERE writer = $1 AND segment = $2 AND at >= $3 AND at < $4";
const UNSEALED: &str = "SELECT COUNT(*) FROM audit a LEFT JOIN audit_segment s ON s.writer = a.writer AND s.segment = a.segment \
                        WHERE a.at >= $1 AND a.at < $2 AND s.writer IS NULL";
const CERTIFICATES: &str =
    "SELECT month, at, entries, approved_by, runs, signature FROM audit_purge WHERE month > 0 ORDER BY month";
const PUT: &str =
    "INSERT INTO audit_purge (month, at, entries, approved_by, runs, signature) VALUES ($1, $2, $3, $4, $5, $6)";

/// Numbers that a writer gave one after the other, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: Position,
    last: Position,
}

/// 廃棄証明: the entries of a month were deleted, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeCertificate {
    /// The month.
    pub month: Month,
    /// When it was deleted, microseconds UTC.
    pub at: i64,
    /// How many entries.
    pub entries: i64,
    /// Who approved it.
    pub approved_by: String,
    runs: Vec<Run>,
    signature: Vec<u8>,
}

impl PurgeCertificate {
    fn sign(mut self, key: &SigningKey) -> Self {
        self.signature = key.sign(&self.signed_bytes());
        self
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"kiban audit purge 1\n".to_vec();
        bytes.extend(self.month.number().to_be_bytes());
        bytes.extend(self.at.to_be_bytes());
        bytes.extend(self.entries.to_be_bytes());
        bytes.extend((self.approved_by.len() as u32).to_be_bytes());
        bytes.extend(self.approved_by.as_bytes());
        bytes.extend(runs_to_bytes(&self.runs));
        bytes
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        is_signed(key, &self.signed_bytes(), &self.signature)
    }

    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            month: Month::from_number(row.int(0)?),
            at: row.big(1)?,
            entries: row.big(2)?,
            approved_by: row.text(3)?,
            runs: runs_from_bytes(&row.blob(4)?).ok_or(StoreError::Unreadable("audit_purge"))?,
            signature: row.blob(5)?,
        })
    }
}

fn runs_to_bytes(runs: &[Run]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(runs.len() * 24);
    for Run { first, last } in runs {
        bytes.extend(first.to_bytes());
        bytes.extend(last.segment.to_be_bytes());
        bytes.extend(last.n.to_be_bytes());
    }
    bytes
}

fn runs_from_bytes(bytes: &[u8]) -> Option<Vec<Run>> {
    let (runs, rest) = bytes.as_chunks::<24>();
    let run = |bytes: &[u8; 24]| {
        let writer = i64::from_be_bytes(bytes[..8].try_into().ok()?);
        let number = |at: usize| Some(i32::from_be_bytes(bytes[at..at + 4].try_into().ok()?));
        let first = Position { writer, segment: number(8)?, n: number(12)? };
        Some(Run { first, last: Position { writer, segment: number(16)?, n: number(20)? } })
    };
    if rest.is_empty() { runs.iter().map(run).collect() } else { None }
}

/// What certificates of this key say is gone.
#[derive(Debug, Default)]
pub(crate) struct Purged {
    runs: BTreeMap<i64, Vec<Run>>,
    /// Months with a good certificate.
    pub(crate) months: Vec<Month>,
    /// Months whose certificate is not signed by the key.
    pub(crate) refused: Vec<Month>,
}

impl Purged {
    pub(crate) async fn read(engine: &Engine, key: &PublicKey) -> Result<Self, StoreError> {
        let mut purged = Self::default();
        for row in engine.rows(CERTIFICATES, args![]).await? {
            let certificate = PurgeCertificate::from_row(&row)?;
            if !certificate.is_signed_by(key) {
                purged.refused.push(certificate.month);
                continue;
            }
            purged.months.push(certificate.month);
            for run in certificate.runs {
                purged.runs.entry(run.first.writer).or_default().push(run);
            }
        }
        Ok(purged)
    }

    /// Whether the entry at this place was deleted by a certificate.
    pub(crate) fn covers(&self, place: Position) -> bool {
        self.runs.get(&place.writer).is_some_and(|runs| runs.iter().any(|run| run.first <= place && place <= run.last))
    }
}

/// A month that may be deleted, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgedMonth {
    /// The month.
    pub month: Month,
    /// Its entries.
    pub entries: i64,
}

/// The first month that must be kept when entries are kept so many years (never less than [`KEEP_YEARS`]) after the end of
/// their month.
pub fn first_month_kept(now: Timestamp, keep_years: u8) -> Month {
    Month::of(now).plus(-12 * i32::from(keep_years.max(KEEP_YEARS)))
}

impl Store {
    /// Months before `before` with their entries; with an approval they are deleted, oldest first, each in one transaction
    /// with its certificate and its own audit entry. `approval` names who approves in `staff`. Refused when `before` is too
    /// late, and when the log is not intact: what was altered is evidence.
    pub async fn purge_audit(
        &self,
        before: Month,
        keep_years: u8,
        now: Timestamp,
        approval: Option<&Entry>,
    ) -> Result<Vec<PurgedMonth>, StoreError> {
        let kept = first_month_kept(now, keep_years);
        if before > kept {
            return Err(StoreError::Unsafe(format!("the audit log from {kept} on must be kept")));
        }
        // What proves to each person that the month was whole stays.
        self.audit.anchor_now().await?;
        if approval.is_some() {
            self.audit.sign_months(now).await?;
            self.audit.anchor_now().await?;
        }
        if !self.audit.verify().await?.is_intact() {
            return Err(StoreError::Unsafe("the audit log is not intact; nothing is deleted from it".to_owned()));
        }
        let mut months = Vec::new();
        for month in self.months_before(before).await? {
            let (entries, runs) = self.runs_of(month).await?;
            if entries == 0 {
                continue;
            }
            if let Some(approval) = approval {
                self.purge_month(month, entries, runs, now, approval).await?;
            }
            months.push(PurgedMonth { month, entries });
        }
        Ok(months)
    }

    async fn months_before(&self, before: Month) -> Result<Vec<Month>, StoreError> {
        let mut spans = Vec::new();
        for row in slow_rows(&self.engine, SPANS, args![before.span().0]).await? {
            let month = |column| -> Result<Month, StoreError> {
                let at = Timestamp::from_microsecond(row.big(column)?);
                at.map(Month::of).map_err(|_| StoreError::Unreadable("time of an audit entry"))
            };
            spans.push((month(0)?, month(1)?));
        }
        let first = spans.iter().map(|(first, _)| *first).min();
        let last = spans.iter().map(|(_, last)| *last).max();
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        Ok(std::iter::successors(Some(first), |month| Some(month.plus(1))).take_while(|month| *month <= last).collect())
    }

    /// Times never decrease within a writer, so its entries of a month follow one another.
    async fn runs_of(&self, month: Month) -> Result<(i64, Vec<Run>), StoreError> {
        let (from, to) = month.span();
        let (mut entries, mut runs) = (0, Vec::new());
        for row in slow_rows(&self.engine, RUNS, args![from, to]).await? {
            let (writer, first, last) = (row.big(0)?, row.int(2)?, row.int(3)?);
            entries += row.big(1)?;
            let end = async |sql, segment: i32| -> Result<Position, StoreError> {
                let rows = self.engine.rows(sql, args![writer, segment, from, to]).await?;
                let n = rows.first().ok_or(StoreError::Unreadable("audit"))?.int(0)?;
                Ok(Position { writer, segment, n })
            };
            runs.push(Run { first: end(FIRST, first).await?, last: end(LAST, last).await? });
        }
        Ok((entries, runs))
    }

    async fn purge_month(
        &self,
        month: Month,
        entries: i64,
        runs: Vec<Run>,
        now: Timestamp,
        approval: &Entry,
    ) -> Result<(), StoreError> {
        let (from, to) = month.span();
        let unsealed = slow_rows(&self.engine, UNSEALED, args![from, to]).await?;
        if unsealed.first().map(|row| row.big(0)).transpose()? != Some(0) {
            return Err(StoreError::Unavailable(format!("{month} has entries that are not sealed yet")));
        }
        let approved_by = approval.staff.clone().unwrap_or_default();
        let at = now.as_microsecond();
        let certificate = PurgeCertificate { month, at, entries, approved_by, runs, signature: Vec::new() };
        let certificate = certificate.sign(self.audit.signing_key());
        let mut tx = self.begin().await?;
        let raw = &mut tx.raw;
        raw.run(
            PUT,
            args![
                month.number(),
                at,
                entries,
                &certificate.approved_by,
                &runs_to_bytes(&certificate.runs),
                &certificate.signature
            ],
        )
        .await?;
        if self.engine.is_postgres() {
            raw.run("SET LOCAL statement_timeout = 0", &[]).await?;
            raw.rows("SELECT kiban_drop_audit_month($1)", args![month.number()]).await?;
        } else {
            let (first, after) = month.days();
            raw.run("DELETE FROM audit WHERE at >= $1 AND at < $2", args![from, to]).await?;
            raw.run("DELETE FROM audit_seen WHERE day >= $1 AND day < $2", args![first, after]).await?;
        }
        tx.commit(Entry {
            action: "audit.purge".to_owned(),
            natural_key: Some(month.to_string()),
            detail: Some(format!("{{\"entries\":{entries}}}")),
            ..approval.clone()
        })
        .await
    }
}
