//! Many rows at once for packages: what is there already for a block of people, and blocks of new rows straight into
//! their tables (decision 0006.19). PostgreSQL takes them by binary COPY, SQLite by statements of many rows.

use crate::consent::act_from;
use crate::engine::{Arg, RawTx, Row, args};
use crate::many::ManyRows;
use crate::office::instant;
use crate::person::{NewPerson, SealedPerson, TokenChange};
use crate::record::SealedRecord;
use crate::{Closing, InsurerKeys, Keyring, NewRecord, PersonHeader, Store, StoreError, Tx};
use kiban_domain::consent::ConsentAct;
use kiban_domain::insured::{Insured, NORMALIZER_VERSION};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

// A look-up per person, whatever the statistics say: while a table grows under a load they are of a much smaller one, and
// one pass over all of the insurer looks cheaper than it is.
const DIGESTS_POSTGRES: &str = "SELECT r.* FROM unnest(string_to_array($2, ',')) AS asked(insured_number), LATERAL (
       SELECT insured_number, kind, natural_key, revision, deleted, digest FROM record
       WHERE insurer_number = $1 AND insured_number = asked.insured_number AND kind = ANY(string_to_array($3, ',')) OFFSET 0) r
     ORDER BY r.revision";
const DIGESTS_SQLITE: &str = "SELECT insured_number, kind, natural_key, revision, deleted, digest FROM record
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2))
       AND kind IN (SELECT value FROM json_each($3)) ORDER BY revision";
const LIFE_MARKS_POSTGRES: &str = "SELECT r.* FROM unnest(string_to_array($3, ',')) AS asked(mark), LATERAL (
       SELECT insured_number, substr(natural_key, 16) FROM record
       WHERE insurer_number = $1 AND creator = $2 AND kind = 'C1' AND substr(natural_key, 16) = asked.mark OFFSET 0) r";
// Without a word of order: to spare a sort this engine would read everything of the insurer.
const LIFE_MARKS_SQLITE: &str = "SELECT insured_number, substr(natural_key, 16) FROM record
     WHERE insurer_number = $1 AND creator = $2 AND kind = 'C1' AND substr(natural_key, 16) IN (SELECT value FROM json_each($3))";
const PEOPLE_POSTGRES: &str = "SELECT p.* FROM unnest(string_to_array($2, ',')) AS asked(insured_number), LATERAL (
       SELECT insured_number, revision, history_number, withheld, digest, lifts FROM person
       WHERE insurer_number = $1 AND insured_number = asked.insured_number OFFSET 0) p
     ORDER BY p.history_number, p.revision";
const PEOPLE_SQLITE: &str = "SELECT insured_number, revision, history_number, withheld, digest, lifts FROM person
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2)) ORDER BY history_number, revision";
const ACTS_POSTGRES: &str = "SELECT a.* FROM unnest(string_to_array($2, ',')) AS asked(insured_number), LATERAL (
       SELECT insured_number, act_id, act, kind, acted_at, revision, taken_by, mac FROM consent_act
       WHERE insurer_number = $1 AND insured_number = asked.insured_number OFFSET 0) a";
const ACTS_SQLITE: &str = "SELECT insured_number, act_id, act, kind, acted_at, revision, taken_by, mac FROM consent_act
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2))";
const COPY_RECORDS: &str = "COPY record (insurer_number, insured_number, kind, natural_key, revision, creator, valid_from, valid_to, recorded_at,
     deleted, purge_after, payload, digest) FROM STDIN (FORMAT binary)";
const COPY_PEOPLE: &str = "COPY person (insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac)
     FROM STDIN (FORMAT binary)";
const COPY_TOKENS: &str = "COPY person_token (insurer_number, insured_number, kanji_sex, kanji_birth, kana_sex, kana_birth, version, generation)
     FROM STDIN (FORMAT binary)";
/// Rows sealed at a time for statements of many rows, so that memory stays small.
const BLOCK: usize = 512;
static PUT_RECORDS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::record::PUT));
static PUT_PEOPLE: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::person::PUT));
static PUT_TOKENS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(crate::person::PUT_TOKENS));
#[cfg(test)]
pub(crate) const ALL_POSTGRES: &[&str] = &[
    DIGESTS_POSTGRES,
    LIFE_MARKS_POSTGRES,
    PEOPLE_POSTGRES,
    ACTS_POSTGRES,
    crate::claim::POSTGRES,
    crate::open_row::POSTGRES,
    crate::open_row::CLEAR_POSTGRES,
];
#[cfg(test)]
pub(crate) const ALL_SQLITE: &[&str] = &[
    DIGESTS_SQLITE,
    LIFE_MARKS_SQLITE,
    PEOPLE_SQLITE,
    ACTS_SQLITE,
    crate::claim::SQLITE,
    crate::open_row::SQLITE,
    crate::open_row::CLEAR_SQLITE,
];

/// An act of consent that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentAct {
    /// Its id.
    pub id: String,
    /// Receipt that wrote it.
    pub revision: i64,
    /// What was done.
    pub act: ConsentAct,
    /// When.
    pub acted_at: Timestamp,
    /// Who took it.
    pub taken_by: Organization,
}

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
    /// Latest revisions of everything these people have of some kinds.
    pub async fn present_records(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
        kinds: &[Kind],
    ) -> Result<PresentRecords, StoreError> {
        let mut present = HashMap::new();
        if people.is_empty() || kinds.is_empty() {
            return Ok(present);
        }
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.code()).collect();
        let (people, kinds) = (self.list_of(people, InsuredNumber::as_str)?, self.list_of(&kinds, |kind| kind)?);
        let statement = if self.engine.is_postgres() { DIGESTS_POSTGRES } else { DIGESTS_SQLITE };
        for row in &self.engine.rows(statement, args![insurer.as_str(), &people, &kinds]).await? {
            let kind = Kind::parse(&row.text(1)?).ok_or(StoreError::Unreadable("record"))?;
            let value = Present { revision: row.big(3)?, deleted: row.boolean(4)?, digest: row.blob(5)? };
            present.insert((number(row)?, kind, row.text(2)?), value);
        }
        Ok(present)
    }

    /// Who has or had a LIFE sheet of an office under one of these marks, the ends of the keys, and under which.
    pub async fn people_of_life_marks(
        &self,
        insurer: InsurerNumber,
        creator: Organization,
        marks: &[String],
    ) -> Result<Vec<(InsuredNumber, String)>, StoreError> {
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let (marks, creator) = (self.list_of(marks, String::as_str)?, creator.to_string());
        let statement = if self.engine.is_postgres() { LIFE_MARKS_POSTGRES } else { LIFE_MARKS_SQLITE };
        let rows = self.engine.rows(statement, args![insurer.as_str(), &creator, &marks]).await?;
        let found: Result<BTreeSet<_>, StoreError> = rows.iter().map(|row| Ok((number(row)?, row.text(1)?))).collect();
        Ok(found?.into_iter().collect())
    }

    /// Headers of every version of these people, as far as they are known, the present one last. Those of receipts that are
    /// not applied yet are among them: packages of an insurer are applied one after the other.
    pub async fn present_people(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<HashMap<InsuredNumber, Vec<PersonHeader>>, StoreError> {
        let mut present: HashMap<InsuredNumber, Vec<PersonHeader>> = HashMap::new();
        for row in &self.rows_of_people(PEOPLE_POSTGRES, PEOPLE_SQLITE, insurer, people).await? {
            let header = PersonHeader {
                revision: row.big(1)?,
                history_number: row.big(2)?,
                withheld: row.boolean(3)?,
                digest: row.blob(4)?,
                lifts: row.int(5)? == 1,
            };
            present.entry(number(row)?).or_default().push(header);
        }
        Ok(present)
    }

    /// Acts of consent of these people; rows whose MAC fails are left out.
    pub async fn present_acts(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<HashMap<InsuredNumber, Vec<PresentAct>>, StoreError> {
        let mut present: HashMap<InsuredNumber, Vec<PresentAct>> = HashMap::new();
        for row in &self.rows_of_people(ACTS_POSTGRES, ACTS_SQLITE, insurer, people).await? {
            let person = PersonKey { insurer, insured: number(row)? };
            let (id, act, kind, at) = (row.text(1)?, row.text(2)?, row.text_or_null(3)?, row.big(4)?);
            let (revision, mac) = (row.big(5)?, row.blob(7)?);
            let act = act_from(&self.keys, &person, &id, &act, kind.as_deref(), (at, revision), &mac);
            let taken_by = Organization::parse(&row.text(6)?).map_err(|_| StoreError::Unreadable("consent_act"))?;
            if let Some(act) = act {
                let act = PresentAct { id, revision, act, acted_at: instant(at)?, taken_by };
                present.entry(person.insured).or_default().push(act);
            }
        }
        Ok(present)
    }

    pub(crate) async fn rows_of_people(
        &self,
        postgres: &'static str,
        sqlite: &'static str,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<Vec<Row>, StoreError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let list = self.list_of(people, InsuredNumber::as_str)?;
        let statement = if self.engine.is_postgres() { postgres } else { sqlite };
        self.engine.rows(statement, args![insurer.as_str(), &list]).await
    }

    /// A list as one argument, the way the statements of the engine take it apart.
    pub(crate) fn list_of<T>(&self, items: &[T], text: impl Fn(&T) -> &str) -> Result<String, StoreError> {
        let texts: Vec<&str> = items.iter().map(text).collect();
        if self.engine.is_postgres() {
            return Ok(texts.join(","));
        }
        serde_json::to_string(&texts).map_err(|error| StoreError::Internal(error.to_string()))
    }
}

/// Rows of a block, sealed and ready to be written. Made by a [`Sealer`], which needs no connection, so that the next
/// block is sealed while this one is on its way.
pub struct SealedBlock {
    rows: Rows,
    insurer: String,
    /// Generations of the keys it is sealed and its search tokens are made with.
    generations: (u32, i32),
    /// People whose search tokens are written anew or removed.
    stale_tokens: Vec<PersonKey>,
    /// People of whom it says 不開示.
    withheld: Vec<PersonKey>,
}

enum Rows {
    /// As the binary COPY of PostgreSQL takes them: records, people, tokens.
    Copy { records: BinaryCopy, people: BinaryCopy, tokens: BinaryCopy },
    /// For statements of many rows.
    Statements { revision: i64, recorded_at: i64, records: Vec<StatementRecord>, people: Vec<SealedPerson> },
}

struct StatementRecord {
    person: PersonKey,
    kind: Kind,
    natural_key: String,
    deleted: bool,
    sealed: SealedRecord,
}

/// Seals blocks of one insurer on any thread.
#[derive(Clone)]
pub struct Sealer {
    keyring: Keyring,
    keys: Arc<InsurerKeys>,
    postgres: bool,
}

impl Store {
    /// A sealer for an insurer.
    pub async fn sealer(&self, insurer: InsurerNumber) -> Result<Sealer, StoreError> {
        let keys = self.keys_of(insurer).await?;
        Ok(Sealer { keyring: self.keys.clone(), keys, postgres: self.engine.is_postgres() })
    }
}

impl Sealer {
    /// Seals people and records of one receipt.
    pub fn seal(
        &self,
        revision: i64,
        recorded_at: Timestamp,
        people: &[NewPerson],
        records: &[NewRecord],
    ) -> Result<SealedBlock, StoreError> {
        let renewed = |person: &&NewPerson| matches!(person.tokens, TokenChange::Replace | TokenChange::Remove);
        let stale_tokens = people.iter().filter(renewed).map(|person| person.insured.key).collect();
        let withheld =
            people.iter().filter(|person| person.insured.withheld).map(|person| person.insured.key).collect();
        let mut sealed = Vec::with_capacity(people.len());
        for person in people {
            sealed.push(SealedPerson::seal(&self.keyring, &self.keys, revision, person)?);
        }
        let rows = if self.postgres {
            let mut copy = BinaryCopy::new();
            for record in records {
                copy.record(
                    revision,
                    recorded_at,
                    record,
                    &SealedRecord::seal(&self.keys, revision, recorded_at, record)?,
                );
            }
            let (mut people, mut tokens) = (BinaryCopy::new(), BinaryCopy::new());
            for person in &sealed {
                people.person(revision, person);
                tokens.tokens(person);
            }
            Rows::Copy { records: copy, people, tokens }
        } else {
            let mut rows = Vec::with_capacity(records.len());
            for record in records {
                rows.push(StatementRecord {
                    person: record.person,
                    kind: record.kind,
                    natural_key: record.natural_key.clone(),
                    deleted: record.deleted,
                    sealed: SealedRecord::seal(&self.keys, revision, recorded_at, record)?,
                });
            }
            Rows::Statements { revision, recorded_at: recorded_at.as_microsecond(), records: rows, people: sealed }
        };
        let insurer = self.keys.owner().to_owned();
        Ok(SealedBlock { rows, insurer, generations: self.keys.generations(), stale_tokens, withheld })
    }
}

impl Tx {
    /// The sealer a block has to be sealed with once more, because the key it is sealed with was closed since; none when
    /// the block is good, which it is then until the transaction ends.
    pub async fn sealer_instead(&mut self, block: &SealedBlock) -> Result<Option<Sealer>, StoreError> {
        let keys = self.keys_of(&block.insurer).await?;
        if keys.generations() == block.generations {
            return Ok(None);
        }
        Ok(Some(Sealer { keyring: self.keys.clone(), keys, postgres: matches!(self.raw, RawTx::Postgres(_)) }))
    }

    /// Writes a sealed block. One under a key that was closed since is a conflict: its key may be gone a moment later
    /// ([`Tx::sealer_instead`]).
    pub async fn put_block(&mut self, block: &SealedBlock) -> Result<(), StoreError> {
        if self.keys_of(&block.insurer).await?.generations() != block.generations {
            return Err(StoreError::Conflict("the block is sealed under a key that is closed"));
        }
        self.drop_tokens(&block.stale_tokens).await?;
        block.withheld.iter().for_each(|person| self.note_closing(Closing::Withheld { person: *person }));
        match &block.rows {
            Rows::Copy { records, people, tokens } => {
                self.copy(COPY_PEOPLE, people).await?;
                self.copy(COPY_TOKENS, tokens).await?;
                self.copy(COPY_RECORDS, records).await
            }
            Rows::Statements { revision, recorded_at, records, people } => {
                self.insert_people(*revision, people).await?;
                self.insert_records(*revision, *recorded_at, records).await
            }
        }
    }

    /// Adds many revisions of one insurer.
    pub async fn put_records(
        &mut self,
        revision: i64,
        recorded_at: Timestamp,
        records: &[NewRecord],
    ) -> Result<(), StoreError> {
        let Some(first) = records.first() else { return Ok(()) };
        let block = self.sealer(first.person.insurer).await?.seal(revision, recorded_at, &[], records)?;
        self.put_block(&block).await
    }

    /// Adds many versions of people of one insurer, none of which is there yet.
    pub async fn put_new_people(&mut self, revision: i64, people: &[(i64, Insured)]) -> Result<(), StoreError> {
        let people: Vec<NewPerson> =
            people.iter().map(|(history, insured)| NewPerson::first(*history, insured.clone())).collect();
        let Some(first) = people.first() else { return Ok(()) };
        let block =
            self.sealer(first.insured.key.insurer).await?.seal(revision, Timestamp::UNIX_EPOCH, &people, &[])?;
        self.put_block(&block).await
    }

    /// The same one by one, over what may be there.
    pub(crate) async fn put_people(&mut self, revision: i64, people: &[NewPerson]) -> Result<(), StoreError> {
        let Some(first) = people.first() else { return Ok(()) };
        let sealer = Sealer { postgres: false, ..self.sealer(first.insured.key.insurer).await? };
        let block = sealer.seal(revision, Timestamp::UNIX_EPOCH, people, &[])?;
        self.put_block(&block).await
    }

    async fn sealer(&mut self, insurer: InsurerNumber) -> Result<Sealer, StoreError> {
        let keys = self.keys_of(insurer.as_str()).await?;
        Ok(Sealer { keyring: self.keys.clone(), keys, postgres: matches!(self.raw, RawTx::Postgres(_)) })
    }

    async fn insert_records(
        &mut self,
        revision: i64,
        recorded_at: i64,
        records: &[StatementRecord],
    ) -> Result<(), StoreError> {
        for block in records.chunks(BLOCK) {
            let mut values: Vec<Arg<'_>> = Vec::with_capacity(block.len() * 13);
            for record in block {
                let row = &record.sealed;
                values.extend_from_slice(args![
                    record.person.insurer.as_str(),
                    record.person.insured.as_str(),
                    record.kind.code(),
                    &record.natural_key,
                    revision,
                    &row.creator,
                    row.valid_from,
                    row.valid_to,
                    recorded_at,
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

    async fn insert_people(&mut self, revision: i64, people: &[SealedPerson]) -> Result<(), StoreError> {
        for block in people.chunks(BLOCK) {
            let (mut values, mut tokens): (Vec<Arg<'_>>, Vec<Arg<'_>>) = (Vec::new(), Vec::new());
            for person in block {
                let (insurer, insured) = (person.key.insurer.as_str(), person.key.insured.as_str());
                values.extend_from_slice(args![
                    insurer,
                    insured,
                    person.history_number,
                    revision,
                    person.card_insurer.as_str(),
                    person.withheld,
                    person.gone_on,
                    &person.identity,
                    &person.digest,
                    &person.mac
                ]);
                tokens.extend(person.tokens.iter().flat_map(|tokens| tokens.row(&person.key, person.generation)));
            }
            PUT_PEOPLE.run(&mut self.raw, &values).await?;
            PUT_TOKENS.run(&mut self.raw, &tokens).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, statement: &'static str, copy: &BinaryCopy) -> Result<(), StoreError> {
        let RawTx::Postgres(tx) = &mut self.raw else {
            return Err(StoreError::Internal("COPY needs PostgreSQL".to_owned()));
        };
        if copy.is_empty() {
            return Ok(());
        }
        tx.copy(statement, copy.0.chunks(COPY_PIECE).chain([&END_OF_COPY[..]])).await
    }
}

/// The number in the first column.
pub(crate) fn number(row: &Row) -> Result<InsuredNumber, StoreError> {
    InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person"))
}

/// Bytes handed to the connection at a time.
const COPY_PIECE: usize = 256 * 1024;
/// Signature and flags before the first row.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Behind the last row.
const END_OF_COPY: [u8; 2] = (-1i16).to_be_bytes();

/// The binary form of COPY: signature, flags, then per row the number of columns and each column with its length.
struct BinaryCopy(Vec<u8>);

impl BinaryCopy {
    fn new() -> Self {
        Self(COPY_HEAD.to_vec())
    }

    fn is_empty(&self) -> bool {
        self.0.len() == COPY_HEAD.len()
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

    fn record(&mut self, revision: i64, recorded_at: Timestamp, record: &NewRecord, row: &SealedRecord) {
        self.row(13);
        self.bytes(record.person.insurer.as_str().as_bytes());
        self.bytes(record.person.insured.as_str().as_bytes());
        self.bytes(record.kind.code().as_bytes());
        self.bytes(record.natural_key.as_bytes());
        self.bytes(&revision.to_be_bytes());
        self.bytes(row.creator.as_bytes());
        self.bytes(&row.valid_from.to_be_bytes());
        self.bytes(&row.valid_to.to_be_bytes());
        self.bytes(&recorded_at.as_microsecond().to_be_bytes());
        self.bytes(&[u8::from(record.deleted)]);
        self.bytes(&row.purge_after.to_be_bytes());
        self.bytes(&row.payload);
        self.bytes(&row.digest);
    }

    fn person(&mut self, revision: i64, person: &SealedPerson) {
        self.row(10);
        self.bytes(person.key.insurer.as_str().as_bytes());
        self.bytes(person.key.insured.as_str().as_bytes());
        self.bytes(&person.history_number.to_be_bytes());
        self.bytes(&revision.to_be_bytes());
        self.bytes(person.card_insurer.as_str().as_bytes());
        self.bytes(&[u8::from(person.withheld)]);
        self.maybe(person.gone_on.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
        self.bytes(&person.identity);
        self.bytes(&person.digest);
        self.bytes(&person.mac);
    }

    fn tokens(&mut self, person: &SealedPerson) {
        let Some(tokens) = &person.tokens else { return };
        self.row(8);
        self.bytes(person.key.insurer.as_str().as_bytes());
        self.bytes(person.key.insured.as_str().as_bytes());
        for token in [&tokens.kanji_sex, &tokens.kanji_birth, &tokens.kana_sex, &tokens.kana_birth] {
            self.bytes(token);
        }
        self.bytes(&i32::from(NORMALIZER_VERSION).to_be_bytes());
        self.bytes(&person.generation.to_be_bytes());
    }
}
