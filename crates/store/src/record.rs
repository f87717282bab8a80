//! Records of every kind: nothing is overwritten, the present and any past state are chosen from a person's few rows
//! (P-023…025, P-193, decision 0006.20).

use crate::engine::{Row, args};
use crate::office::instant;
use crate::{InsurerKeys, Store, StoreError, Tx, Unreleased};
use kiban_domain::dates::Period;
use kiban_domain::{Date, Kind, Organization, PersonKey, Timestamp, dates};

pub(crate) const PUT: &str =
    "INSERT INTO record (insurer_number, insured_number, kind, natural_key, revision, creator, valid_from, valid_to,
       recorded_at, deleted, purge_after, payload, digest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT DO NOTHING";
const OF_KIND: &str =
    "SELECT natural_key, revision, creator, valid_from, valid_to, recorded_at, deleted, payload, digest FROM record
     WHERE insurer_number = $1 AND insured_number = $2 AND kind = $3 ORDER BY natural_key DESC, revision DESC";
const HEADERS: &str =
    "SELECT kind, natural_key, revision, creator, valid_from, valid_to, recorded_at, deleted, digest FROM record
     WHERE insurer_number = $1 AND insured_number = $2 ORDER BY kind, natural_key DESC, revision DESC";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, OF_KIND, HEADERS];

/// A record about to be written.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// About whom.
    pub person: PersonKey,
    /// What kind.
    pub kind: Kind,
    /// 履歴番号 (ten digits) or the natural key of the kind.
    pub natural_key: String,
    /// Who made it.
    pub creator: Organization,
    /// Days on which it holds.
    pub valid: Period,
    /// Marked as deleted by its sender (異動区分 3); the earlier content stays readable as history (P-193).
    pub deleted: bool,
    /// Day after which it may be purged (P-200).
    pub purge_after: Date,
    /// Content as JSON of its domain type.
    pub payload: Vec<u8>,
}

/// A record without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// Kind.
    pub kind: Kind,
    /// 履歴番号 or natural key.
    pub natural_key: String,
    /// Receipt that wrote it.
    pub revision: i64,
    /// Who made it.
    pub creator: Organization,
    /// Days on which it holds.
    pub valid: Period,
    /// 登録日時
    pub recorded_at: Timestamp,
    /// Marked as deleted.
    pub deleted: bool,
    /// Keyed digest of the content.
    pub digest: Vec<u8>,
}

/// A record with its content opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Everything but the content.
    pub header: RecordHeader,
    /// JSON of its domain type.
    pub payload: Vec<u8>,
}

impl Tx {
    /// Adds a revision.
    pub async fn put_record(
        &mut self,
        revision: i64,
        recorded_at: Timestamp,
        record: &NewRecord,
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(record.person.insurer.as_str()).await?;
        let row = SealedRecord::seal(&keys, revision, recorded_at, record)?;
        let (insurer, insured) = (record.person.insurer.to_string(), record.person.insured.to_string());
        let added = self
            .raw
            .run(
                PUT,
                args![
                    &insurer,
                    &insured,
                    record.kind.code(),
                    &record.natural_key,
                    revision,
                    &row.creator,
                    row.valid_from,
                    row.valid_to,
                    recorded_at.as_microsecond(),
                    record.deleted,
                    row.purge_after,
                    &row.payload,
                    &row.digest
                ],
            )
            .await?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict("the receipt wrote this record already")) }
    }
}

impl Tx {
    /// The present records of a kind of a person, contents opened, to be changed by this transaction, whose entry stands for
    /// the look. Read behind [`Tx::put_receipt`], so that nobody else of the insurer changes them before this is committed.
    pub async fn present_records(&mut self, person: PersonKey, kind: Kind) -> Result<Vec<StoredRecord>, StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let rows = self.raw.rows(OF_KIND, args![insurer, insured, kind.code()]).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys.keys_for(insurer, &rows, &[7]).await?;
        let opened: Result<Vec<_>, _> = rows.iter().map(|row| open_row(&keys, &person, kind, row)).collect();
        let mut opened = opened?;
        newest_first(&mut opened);
        opened.dedup_by(|later, first| later.header.natural_key == first.header.natural_key);
        opened.retain(|record| !record.header.deleted);
        Ok(opened)
    }
}

/// The columns of a record as they are stored.
pub(crate) struct SealedRecord {
    pub(crate) creator: String,
    pub(crate) valid_from: i32,
    pub(crate) valid_to: i32,
    pub(crate) purge_after: i32,
    pub(crate) payload: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

impl SealedRecord {
    pub(crate) fn seal(
        keys: &InsurerKeys,
        revision: i64,
        recorded_at: Timestamp,
        record: &NewRecord,
    ) -> Result<Self, StoreError> {
        let creator = record.creator.to_string();
        let (valid_from, valid_to) = period_numbers(&record.valid);
        let aad = RecordAad::new(
            &record.person,
            record.kind,
            &record.natural_key,
            (revision, recorded_at.as_microsecond()),
            &creator,
            (valid_from, valid_to),
            record.deleted,
        );
        Ok(Self {
            payload: keys.seal(&aad.slices(), &record.payload),
            digest: keys.digest(&record.payload),
            purge_after: dates::to_number(record.purge_after),
            creator,
            valid_from,
            valid_to,
        })
    }
}

/// Everything clear on which access depends is authenticated with the content: whoever can write to the database cannot
/// make himself the creator (decision 0006.21).
pub(crate) struct RecordAad(Vec<Vec<u8>>);

impl RecordAad {
    pub(crate) fn new(
        person: &PersonKey,
        kind: Kind,
        natural_key: &str,
        (revision, recorded_at): (i64, i64),
        creator: &str,
        valid: (i32, i32),
        deleted: bool,
    ) -> Self {
        Self(vec![
            b"record".to_vec(),
            person.insurer.as_str().into(),
            person.insured.as_str().into(),
            kind.code().into(),
            natural_key.into(),
            revision.to_be_bytes().to_vec(),
            recorded_at.to_be_bytes().to_vec(),
            creator.into(),
            valid.0.to_be_bytes().to_vec(),
            valid.1.to_be_bytes().to_vec(),
            vec![u8::from(deleted)],
        ])
    }

    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

impl Store {
    /// Every revision of one kind of a person, newest first, contents opened. They leave only with their audit entry.
    pub async fn records(&self, person: PersonKey, kind: Kind) -> Result<Unreleased<Vec<StoredRecord>>, StoreError> {
        self.opened_records(person, kind).await.map(Unreleased::new)
    }

    async fn opened_records(&self, person: PersonKey, kind: Kind) -> Result<Vec<StoredRecord>, StoreError> {
        let rows =
            self.engine.rows(OF_KIND, args![person.insurer.as_str(), person.insured.as_str(), kind.code()]).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys.keys_for(person.insurer.as_str(), &rows, &[7]).await?;
        let opened: Result<Vec<_>, _> = rows.iter().map(|row| open_row(&keys, &person, kind, row)).collect();
        let mut opened = opened?;
        newest_first(&mut opened);
        Ok(opened)
    }

    /// Headers of every record of a person.
    pub async fn record_headers(&self, person: PersonKey) -> Result<Vec<RecordHeader>, StoreError> {
        let rows = self.engine.rows(HEADERS, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        rows.iter()
            .map(|row| {
                Ok(RecordHeader {
                    kind: Kind::parse(&row.text(0)?).ok_or(StoreError::Unreadable("record"))?,
                    natural_key: row.text(1)?,
                    revision: row.big(2)?,
                    creator: creator(&row.text(3)?)?,
                    valid: period(row.int(4)?, row.int(5)?)?,
                    recorded_at: instant(row.big(6)?)?,
                    deleted: row.boolean(7)?,
                    digest: row.blob(8)?,
                })
            })
            .collect()
    }
}

impl StoredRecord {
    /// Of many revisions, what was known at an instant: per natural key the latest revision recorded by then, unless it
    /// is a deletion; revisions of unapplied receipts do not exist.
    pub fn as_known(records: Vec<Self>, at: Timestamp, unapplied: &[i64]) -> Vec<Self> {
        let mut known: Vec<Self> = Vec::new();
        // Newest revision of a key comes first.
        for record in records {
            let header = &record.header;
            if header.recorded_at > at || unapplied.contains(&header.revision) {
                continue;
            }
            if known.last().is_none_or(|last| last.header.natural_key != header.natural_key) {
                known.push(record);
            }
        }
        known.retain(|record| !record.header.deleted);
        known
    }
}

pub(crate) fn open_row(
    keys: &InsurerKeys,
    person: &PersonKey,
    kind: Kind,
    row: &Row,
) -> Result<StoredRecord, StoreError> {
    let columns = RecordColumns {
        natural_key: row.text(0)?,
        creator: row.text_ref(2)?,
        revision: row.big(1)?,
        recorded_at: row.big(5)?,
        valid: (row.int(3)?, row.int(4)?),
        deleted: row.boolean(6)?,
        digest: row.blob(8)?,
        payload: row.blob_ref(7)?,
    };
    columns.open(keys, person, kind)
}

/// The columns of a record as they were read.
pub(crate) struct RecordColumns<'a> {
    pub(crate) natural_key: String,
    pub(crate) creator: &'a str,
    pub(crate) revision: i64,
    pub(crate) recorded_at: i64,
    pub(crate) valid: (i32, i32),
    pub(crate) deleted: bool,
    pub(crate) digest: Vec<u8>,
    pub(crate) payload: &'a [u8],
}

impl RecordColumns<'_> {
    /// The record with its content opened.
    pub(crate) fn open(self, keys: &InsurerKeys, person: &PersonKey, kind: Kind) -> Result<StoredRecord, StoreError> {
        let known = (self.revision, self.recorded_at);
        let aad = RecordAad::new(person, kind, &self.natural_key, known, self.creator, self.valid, self.deleted);
        let payload = keys.open(&aad.slices(), self.payload)?;
        let header = RecordHeader {
            kind,
            natural_key: self.natural_key,
            revision: self.revision,
            creator: creator(self.creator)?,
            valid: period(self.valid.0, self.valid.1)?,
            recorded_at: instant(self.recorded_at)?,
            deleted: self.deleted,
            digest: self.digest,
        };
        Ok(StoredRecord { header, payload })
    }
}

/// Again here, by bytes: the order of texts in a database depends on its collation.
pub(crate) fn newest_first(records: &mut [StoredRecord]) {
    records.sort_by(|a, b| (&b.header.natural_key, b.header.revision).cmp(&(&a.header.natural_key, a.header.revision)));
}

const OPEN_END: i32 = 99_991_231;

pub(crate) fn period_numbers(period: &Period) -> (i32, i32) {
    (dates::to_number(period.from()), period.to().map_or(OPEN_END, dates::to_number))
}

pub(crate) fn period(from: i32, to: i32) -> Result<Period, StoreError> {
    let day = |number| dates::from_number(number).map_err(|_| StoreError::Unreadable("period"));
    let to = if to == OPEN_END { None } else { Some(day(to)?) };
    Period::new(day(from)?, to).map_err(|_| StoreError::Unreadable("period"))
}

fn creator(code: &str) -> Result<Organization, StoreError> {
    Organization::parse(code).map_err(|_| StoreError::Unreadable("creator"))
}
