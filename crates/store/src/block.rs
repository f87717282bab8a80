//! A block of an insurer's people with everything about them, for passes over a whole municipality: exports, reports,
//! statistics. One block is in memory at a time; a damaged row is left out and counted, and closes nothing but itself.
//!
//! What a pass reads leaves only under the entry it began with (`Pass`).

use crate::assignment::Columns;
use crate::consent::stored_consent;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::person::standing_versions;
use crate::record::{newest_first, open_row};
use crate::{PersonHeader, Store, StoreError, StoredConsent, StoredRecord, Unreleased};
use kiban_domain::assignment::Assignment;
use kiban_domain::insured::Insured;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, PersonKey};
use std::collections::HashMap;

pub(crate) const PEOPLE: &str = "SELECT DISTINCT insured_number FROM person
     WHERE insurer_number = $1 AND insured_number > $2 ORDER BY insured_number LIMIT $3";
const VERSIONS: &str = "SELECT history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac, lifts, insured_number FROM person
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3
     ORDER BY insured_number, history_number DESC, revision DESC";
const RECORDS: &str = "SELECT natural_key, revision, creator, valid_from, valid_to, recorded_at, deleted, payload, digest, kind, insured_number
     FROM record WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 AND $4 LIKE '%,' || kind || ',%'";
const CONSENTS: &str =
    "SELECT act_id, act, kind, acted_at, recorded_at, revision, taken_by, detail, mac, insured_number FROM consent_act
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 ORDER BY acted_at, act_id";
const OFFICES: &str = "SELECT office_number, identity_check, registered_by, registered_at, viewable_until, plan_maker, confirmed, ended_at,
       end_reason, mac, insured_number FROM assignment
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3";
const LOOKS: &str = "SELECT action, kind, outcome, organization, count(*) FROM audit
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 AND at >= $4 AND at < $5
     GROUP BY action, kind, outcome, organization";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PEOPLE, VERSIONS, RECORDS, CONSENTS, OFFICES, LOOKS];

/// One person of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockPerson {
    /// What is known before anything is opened.
    pub header: PersonHeader,
    /// Who it is.
    pub insured: Insured,
    /// Every version before the present one, newest first; those of receipts that are not applied do not count.
    pub earlier: Vec<(PersonHeader, Insured)>,
    /// Records of the kinds asked for, every revision, kind by kind, newest first.
    pub records: Vec<StoredRecord>,
    /// 同意 acts, oldest first.
    pub consents: Vec<StoredConsent>,
    /// An act was altered outside the platform: nothing counts as consented.
    pub consent_damaged: bool,
    /// 担当事業所登録, live or not.
    pub assignments: Vec<Assignment>,
}

/// People next to each other in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Who is in it; rows whose MAC fails or that cannot be opened are left out.
    pub people: Vec<BlockPerson>,
    /// Rows left out.
    pub damaged: u64,
    /// The last number looked at: the next block begins behind it. `None`: there is nobody left.
    pub last: Option<InsuredNumber>,
}

/// What was done with data of a block's people, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookCount {
    /// 操作
    pub action: String,
    /// 情報種別
    pub kind: Option<String>,
    /// 結果
    pub outcome: String,
    /// 機関番号
    pub organization: Option<String>,
    /// How often.
    pub count: i64,
}

impl Store {
    /// The next `limit` people behind `after`, with their records of these kinds.
    pub async fn block(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        limit: i32,
        kinds: &[Kind],
    ) -> Result<Unreleased<Block>, StoreError> {
        let from = after.map(|number| number.to_string()).unwrap_or_default();
        let rows = self.engine.rows(PEOPLE, args![insurer.as_str(), &from, limit]).await?;
        let mut block = Block::default();
        let Some(last) = rows.last() else { return Ok(Unreleased::new(block)) };
        let to = last.text(0)?;
        block.last = Some(number(&to)?);
        let mut records = self.records_of_block(insurer, &from, &to, kinds, &mut block.damaged).await?;
        let mut consents: HashMap<InsuredNumber, (Vec<StoredConsent>, bool)> = HashMap::new();
        let rows = self.engine.rows(CONSENTS, args![insurer.as_str(), &from, &to]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[7]).await?;
        for row in &rows {
            let person = person_of(insurer, row, 9)?;
            let acts = consents.entry(person.insured).or_default();
            match readable("consent_act", stored_consent(&self.keys, &keys, &person, row))? {
                Some(act) => acts.0.push(act),
                None => acts.1 = true,
            }
        }
        let mut assignments: HashMap<InsuredNumber, Vec<Assignment>> = HashMap::new();
        for row in &self.engine.rows(OFFICES, args![insurer.as_str(), &from, &to]).await? {
            let person = person_of(insurer, row, 10)?;
            let opened = Columns::read(row, 0)?.open(&self.keys, &person, &row.blob(9)?);
            assignments.entry(person.insured).or_default().extend(readable("assignment", opened)?);
        }
        let open = self.open_receipts(insurer).await?;
        let versions = self.engine.rows(VERSIONS, args![insurer.as_str(), &from, &to]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &versions, &[5]).await?;
        for of_person in versions.chunk_by(|a, b| a.text(9).ok() == b.text(9).ok()) {
            let of_person: Vec<&Row> = of_person.iter().collect();
            let Some(first) = of_person.first() else { continue };
            let person = person_of(insurer, first, 9)?;
            let opened = standing_versions(&self.keys, &keys, &person, &of_person, &open);
            let Some(standing) = readable("person", opened)? else {
                block.damaged += 1;
                continue;
            };
            // Only in a package that is not applied yet: there is nobody.
            let mut versions = standing.into_iter();
            let Some((header, insured)) = versions.next() else { continue };
            let (acts, damaged) = consents.remove(&person.insured).unwrap_or_default();
            block.people.push(BlockPerson {
                header,
                insured,
                earlier: versions.collect(),
                records: records.remove(&person.insured).unwrap_or_default(),
                consents: acts,
                consent_damaged: damaged,
                assignments: assignments.remove(&person.insured).unwrap_or_default(),
            });
        }
        Ok(Unreleased::new(block))
    }

    async fn records_of_block(
        &self,
        insurer: InsurerNumber,
        from: &str,
        to: &str,
        kinds: &[Kind],
        damaged: &mut u64,
    ) -> Result<HashMap<InsuredNumber, Vec<StoredRecord>>, StoreError> {
        let mut records: HashMap<InsuredNumber, Vec<StoredRecord>> = HashMap::new();
        if kinds.is_empty() {
            return Ok(records);
        }
        let wanted = format!(",{},", kinds.iter().map(|kind| kind.code()).collect::<Vec<_>>().join(","));
        let rows = self.engine.rows(RECORDS, args![insurer.as_str(), from, to, &wanted]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[7]).await?;
        for row in &rows {
            let person = person_of(insurer, row, 10)?;
            let kind = Kind::parse(&row.text(9)?).ok_or(StoreError::Unreadable("record"))?;
            match readable("record", open_row(&keys, &person, kind, row).map(Some))? {
                Some(record) => records.entry(person.insured).or_default().push(record),
                None => *damaged += 1,
            }
        }
        for of_person in records.values_mut() {
            newest_first(of_person);
            of_person.sort_by_key(|record| record.header.kind);
        }
        Ok(records)
    }

    /// What was done with data of the people behind `after` up to `last`, between two instants in microseconds.
    pub async fn looks_of_block(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        last: InsuredNumber,
        (from, until): (i64, i64),
    ) -> Result<Vec<LookCount>, StoreError> {
        let after = after.map(|number| number.to_string()).unwrap_or_default();
        let rows = self.engine.rows(LOOKS, args![insurer.as_str(), &after, last.as_str(), from, until]).await?;
        rows.iter()
            .map(|row| {
                Ok(LookCount {
                    action: row.text(0)?,
                    kind: row.text_or_null(1)?,
                    outcome: row.text(2)?,
                    organization: row.text_or_null(3)?,
                    count: row.big(4)?,
                })
            })
            .collect()
    }
}

fn number(text: &str) -> Result<InsuredNumber, StoreError> {
    InsuredNumber::parse(text).map_err(|_| StoreError::Unreadable("person"))
}

fn person_of(insurer: InsurerNumber, row: &Row, column: usize) -> Result<PersonKey, StoreError> {
    Ok(PersonKey { insurer, insured: number(&row.text(column)?)? })
}
