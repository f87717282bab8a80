//! Many rows at once for packages: what is there already for a block of people, and blocks of new rows straight into
//! their tables (decision 0006.19). PostgreSQL takes them by binary COPY, SQLite by statements of many rows.

use crate::engine::{Arg, RawTx, Row, args};
use crate::many::ManyRows;
use crate::person::{content_of, identity_aad, person_door};
use crate::record::SealedRecord;
use crate::{NewRecord, PersonHeader, SearchTokens, Store, StoreError, Tx};
use kiban_domain::insured::{Insured, NORMALIZER_VERSION};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Timestamp, dates};
use std::collections::HashMap;
use std::sync::LazyLock;

const DIGESTS_POSTGRES: &str = "SELECT insured_number, kind, natural_key, revision, deleted, digest FROM record
     WHERE insurer_number = $1 AND insured_number = ANY(string_to_array($2, ',')) ORDER BY revision";
const DIGESTS_SQLITE: &str = "SELECT insured_number, kind, natural_key, revision, deleted, digest FROM record
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2)) ORDER BY revision";
const PEOPLE_POSTGRES: &str = "SELECT insured_number, revision, history_number, withheld, digest FROM person
     WHERE insurer_number = $1 AND insured_number = ANY(string_to_array($2, ','))";
const PEOPLE_SQLITE: &str = "SELECT insured_number, revision, history_number, withheld, digest FROM person
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2))";
const COPY_RECORDS: &str = "COPY record (insurer_number, insured_number, kind, natural_key, revision, creator, valid_from, valid_to, recorded_at,
     deleted, purge_after, payload, digest) FROM STDIN (FORMAT binary)";
const COPY_PEOPLE: &str = "COPY person (insurer_number, insured_number, card_insurer, revision, history_number, withheld, gone_on, identity, digest, mac)
     FROM STDIN (FORMAT binary)";
const COPY_TOKENS: &str =
    "COPY person_token (insurer_number, token, insured_number, version) FROM STDIN (FORMAT binary)";
/// Rows sealed at a time for statements of many rows, so that memory stays small.
const BLOCK: usize = 512;
static PUT_RECORDS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::record::PUT));
static PUT_PEOPLE: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::person::PUT));
static PUT_TOKENS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::person::PUT_TOKEN));
#[cfg(test)]
pub(crate) const ALL_POSTGRES: &[&str] = &[DIGESTS_POSTGRES, PEOPLE_POSTGRES];
#[cfg(test)]
pub(crate) const ALL_SQLITE: &[&str] = &[DIGESTS_SQLITE, PEOPLE_SQLITE];

/// What is there for one key: the latest revision, whether it is a deletion, its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Latest revision.
    pub revision: i64,
    /// It marks a deletion.
    pub deleted: bool,
    /// Keyed digest of its content.
    pub digest: Vec<u8>,
}

/// Records present for a block of people, by number, kind and natural key.
pub type PresentRecords = HashMap<(InsuredNumber, Kind, String), Present>;

impl Store {
    /// Latest revisions of everything these people have.
    pub async fn present_records(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<PresentRecords, StoreError> {
        let mut present = HashMap::new();
        for row in &self.rows_of_people(DIGESTS_POSTGRES, DIGESTS_SQLITE, insurer, people).await? {
            let kind = Kind::parse(&row.text(1)?).ok_or(StoreError::Unreadable("record"))?;
            let value = Present { revision: row.big(3)?, deleted: row.boolean(4)?, digest: row.blob(5)? };
            present.insert((number(row)?, kind, row.text(2)?), value);
        }
        Ok(present)
    }

    /// Headers of these people, as far as they are known.
    pub async fn present_people(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<HashMap<InsuredNumber, PersonHeader>, StoreError> {
        let mut present = HashMap::new();
        for row in &self.rows_of_people(PEOPLE_POSTGRES, PEOPLE_SQLITE, insurer, people).await? {
            let header = PersonHeader {
                revision: row.big(1)?,
                history_number: row.big(2)?,
                withheld: row.boolean(3)?,
                digest: row.blob(4)?,
            };
            present.insert(number(row)?, header);
        }
        Ok(present)
    }

    async fn rows_of_people(
        &self,
        postgres: &'static str,
        sqlite: &'static str,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<Vec<Row>, StoreError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        if self.engine.is_postgres() {
            let list = people.iter().map(InsuredNumber::as_str).collect::<Vec<_>>().join(",");
            self.engine.rows(postgres, args![insurer.as_str(), &list]).await
        } else {
            let list = serde_json::to_string(people).map_err(|error| StoreError::Internal(error.to_string()))?;
            self.engine.rows(sqlite, args![insurer.as_str(), &list]).await
        }
    }
}

impl Tx {
    /// Adds many revisions of one insurer.
    pub async fn put_records(
        &mut self,
        revision: i64,
        recorded_at: Timestamp,
        records: &[NewRecord],
    ) -> Result<(), StoreError> {
        let Some(first) = records.first() else { return Ok(()) };
        if !matches!(self.raw, RawTx::Postgres(_)) {
            return self.insert_records(revision, recorded_at, records).await;
        }
        let keys = self.keys_of(first.person.insurer.as_str()).await?;
        let mut copy = BinaryCopy::new();
        for record in records {
            let row = SealedRecord::seal(&keys, revision, recorded_at, record)?;
            copy.row(13);
            copy.bytes(record.person.insurer.as_str().as_bytes());
            copy.bytes(record.person.insured.as_str().as_bytes());
            copy.bytes(record.kind.code().as_bytes());
            copy.bytes(record.natural_key.as_bytes());
            copy.bytes(&revision.to_be_bytes());
            copy.bytes(row.creator.as_bytes());
            copy.bytes(&row.valid_from.to_be_bytes());
            copy.bytes(&row.valid_to.to_be_bytes());
            copy.bytes(&recorded_at.as_microsecond().to_be_bytes());
            copy.bytes(&[u8::from(record.deleted)]);
            copy.bytes(&row.purge_after.to_be_bytes());
            copy.bytes(&row.payload);
            copy.bytes(&row.digest);
        }
        self.copy(COPY_RECORDS, copy).await
    }

    /// Adds many people of an insurer none of whom is there yet (initial load).
    pub async fn put_new_people(&mut self, revision: i64, people: &[(i64, Insured)]) -> Result<(), StoreError> {
        let Some((_, first)) = people.first() else { return Ok(()) };
        if !matches!(self.raw, RawTx::Postgres(_)) {
            return self.insert_people(revision, people).await;
        }
        let keys = self.keys_of(first.key.insurer.as_str()).await?;
        let (mut rows, mut tokens) = (BinaryCopy::new(), BinaryCopy::new());
        for (history, insured) in people {
            let (insurer, number) = (insured.key.insurer.as_str().as_bytes(), insured.key.insured.as_str().as_bytes());
            let content = content_of(insured)?;
            let gone_on = insured.lost.map(|(day, _)| dates::to_number(day));
            rows.row(10);
            rows.bytes(insurer);
            rows.bytes(number);
            rows.bytes(insured.card_insurer.as_str().as_bytes());
            rows.bytes(&revision.to_be_bytes());
            rows.bytes(&history.to_be_bytes());
            rows.bytes(&[u8::from(insured.withheld)]);
            rows.maybe(gone_on.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
            rows.bytes(&keys.seal(&identity_aad(&insured.key, &revision.to_be_bytes()), &content));
            rows.bytes(&keys.digest(&content));
            rows.bytes(
                &person_door(&insured.key, insured.card_insurer.as_str(), revision, insured.withheld, gone_on)
                    .mac(&self.keys),
            );
            if !insured.withheld {
                let mut all: Vec<[u8; 16]> = SearchTokens::of(&keys, &insured.identity).all().copied().collect();
                all.sort_unstable();
                all.dedup();
                for token in all {
                    tokens.row(4);
                    tokens.bytes(insurer);
                    tokens.bytes(&token);
                    tokens.bytes(number);
                    tokens.bytes(&i32::from(NORMALIZER_VERSION).to_be_bytes());
                }
            }
        }
        self.copy(COPY_PEOPLE, rows).await?;
        self.copy(COPY_TOKENS, tokens).await
    }

    /// The same by statements of many rows.
    async fn insert_records(
        &mut self,
        revision: i64,
        recorded_at: Timestamp,
        records: &[NewRecord],
    ) -> Result<(), StoreError> {
        for block in records.chunks(BLOCK) {
            let mut sealed = Vec::with_capacity(block.len());
            for record in block {
                let keys = self.keys_of(record.person.insurer.as_str()).await?;
                sealed.push(SealedRecord::seal(&keys, revision, recorded_at, record)?);
            }
            let mut values: Vec<Arg<'_>> = Vec::with_capacity(block.len() * 13);
            for (record, row) in block.iter().zip(&sealed) {
                values.extend_from_slice(args![
                    record.person.insurer.as_str(),
                    record.person.insured.as_str(),
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
                ]);
            }
            if PUT_RECORDS.run(&mut self.raw, &values).await? != block.len() as u64 {
                return Err(StoreError::Conflict("a record of this key and receipt is there already"));
            }
        }
        Ok(())
    }

    async fn insert_people(&mut self, revision: i64, people: &[(i64, Insured)]) -> Result<(), StoreError> {
        let version = i32::from(NORMALIZER_VERSION);
        for block in people.chunks(BLOCK) {
            let (mut rows, mut tokens) = (Vec::with_capacity(block.len()), Vec::new());
            for (_, insured) in block {
                let keys = self.keys_of(insured.key.insurer.as_str()).await?;
                let content = content_of(insured)?;
                let gone_on = insured.lost.map(|(day, _)| dates::to_number(day));
                let card_insurer = insured.card_insurer.as_str();
                let mac = person_door(&insured.key, card_insurer, revision, insured.withheld, gone_on).mac(&self.keys);
                let identity = keys.seal(&identity_aad(&insured.key, &revision.to_be_bytes()), &content);
                rows.push((gone_on, identity, keys.digest(&content), mac));
                if !insured.withheld {
                    let all = SearchTokens::of(&keys, &insured.identity);
                    tokens.extend(all.all().map(|token| (insured.key, *token)));
                }
            }
            let (mut values, mut tokens_then): (Vec<Arg<'_>>, Vec<Arg<'_>>) = (Vec::new(), Vec::new());
            for ((history, insured), (gone_on, identity, digest, mac)) in block.iter().zip(&rows) {
                values.extend_from_slice(args![
                    insured.key.insurer.as_str(),
                    insured.key.insured.as_str(),
                    insured.card_insurer.as_str(),
                    revision,
                    *history,
                    insured.withheld,
                    *gone_on,
                    identity,
                    digest,
                    mac
                ]);
            }
            for (key, token) in &tokens {
                tokens_then.extend_from_slice(args![key.insurer.as_str(), token, key.insured.as_str(), version]);
            }
            PUT_PEOPLE.run(&mut self.raw, &values).await?;
            PUT_TOKENS.run(&mut self.raw, &tokens_then).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, statement: &'static str, copy: BinaryCopy) -> Result<(), StoreError> {
        let RawTx::Postgres(tx) = &mut self.raw else {
            return Err(StoreError::Internal("COPY needs PostgreSQL".to_owned()));
        };
        let mut into = tx.copy_in_raw(statement).await?;
        into.send(copy.finish()).await?;
        into.finish().await?;
        Ok(())
    }
}

fn number(row: &Row) -> Result<InsuredNumber, StoreError> {
    InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person"))
}

/// The binary form of COPY: signature, flags, then per row the number of columns and each column with its length.
struct BinaryCopy(Vec<u8>);

impl BinaryCopy {
    fn new() -> Self {
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        bytes.extend_from_slice(&[0; 8]);
        Self(bytes)
    }

    fn row(&mut self, columns: i16) {
        self.0.extend_from_slice(&columns.to_be_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn maybe(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytes(value),
            None => self.0.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&(-1i16).to_be_bytes());
        self.0
    }
}
