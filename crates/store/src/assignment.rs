//! 担当事業所登録 and 意見書作成依頼: the rows that let an office or hospital view a person (P-048, P-100…112).

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::many::ManyRows;
use crate::office::instant;
use crate::{Closing, Keyring, Store, StoreError, Tx};
use kiban_domain::assignment::{Assignment, EndReason, IdentityCheck};
use kiban_domain::office::StaffId;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, PersonKey, dates};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const INSERT: &str = "INSERT INTO assignment (insurer_number, insured_number, office_number, identity_check, registered_by, registered_at,
       viewable_until, plan_maker, confirmed, ended_at, end_reason, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
const REPLACE: &str = "UPDATE assignment SET identity_check = $4, registered_by = $5, registered_at = $6, viewable_until = $7, plan_maker = $8,
       confirmed = $9, ended_at = $10, end_reason = $11, mac = $12
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3 AND mac = $13";
const ONE: &str = "SELECT office_number, identity_check, registered_by, registered_at, viewable_until, plan_maker, confirmed, ended_at,
       end_reason, mac FROM assignment WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const PUT_MEMBER: &str = "INSERT INTO office_person (office_number, insurer_number, insured_number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const OF_PERSON: &str = "SELECT office_number, identity_check, registered_by, registered_at, viewable_until, plan_maker, confirmed, ended_at,
       end_reason, mac FROM assignment WHERE insurer_number = $1 AND insured_number = $2 ORDER BY registered_at, office_number";
const OF_OFFICE: &str = "SELECT insurer_number, insured_number FROM office_person
     WHERE office_number = $1 AND (insurer_number, insured_number) > ($2, $3) ORDER BY insurer_number, insured_number LIMIT $4";
const PUT_REQUEST: &str = "INSERT INTO opinion_request (insurer_number, insured_number, natural_key, office_number, requested_on, applied_on, revision, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (insurer_number, insured_number, natural_key) DO UPDATE SET office_number = excluded.office_number,
       requested_on = excluded.requested_on, applied_on = excluded.applied_on, revision = excluded.revision, mac = excluded.mac";
const END_REQUEST: &str =
    "DELETE FROM opinion_request WHERE insurer_number = $1 AND insured_number = $2 AND natural_key = $3";
const REQUESTED: &str =
    "SELECT office_number FROM opinion_request WHERE insurer_number = $1 AND insured_number = $2 AND natural_key = $3";
static PUT_REQUESTS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT_REQUEST));
static PUT_MEMBERS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT_MEMBER));
#[cfg(test)]
pub(crate) const ALL: &[&str] =
    &[INSERT, REPLACE, ONE, PUT_MEMBER, OF_PERSON, OF_OFFICE, PUT_REQUEST, END_REQUEST, REQUESTED];

/// 意見書作成依頼 of an A5 record to a hospital (P-048).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpinionRequest {
    /// About whom.
    pub person: PersonKey,
    /// Natural key of the A5 record.
    pub natural_key: String,
    /// The hospital asked.
    pub office: OfficeNumber,
    /// 意見書依頼日
    pub requested_on: Date,
    /// 申請日
    pub applied_on: Date,
}

impl Tx {
    /// Registers an office for a person (`before` is `None`), or changes the registration that was read as `before`. When
    /// somebody else wrote it meanwhile this is a conflict and nothing changes. A row whose MAC fails counts as none.
    pub async fn change_assignment(&mut self, new: &Assignment, before: Option<&Assignment>) -> Result<(), StoreError> {
        let stood = match before {
            Some(before) => Some(Columns::of(before).door(&before.person).mac(&self.keys).to_vec()),
            None => self.damaged_mac(new).await?,
        };
        let (row, person) = (Columns::of(new), &new.person);
        let mac = row.door(person).mac(&self.keys);
        let mut values = args![
            person.insurer.as_str(),
            person.insured.as_str(),
            &row.office,
            &row.check,
            &row.registered_by,
            row.registered_at,
            row.viewable_until,
            row.plan_maker.as_deref(),
            row.confirmed,
            row.ended_at,
            row.end_reason.as_deref(),
            &mac
        ]
        .to_vec();
        let changed = match &stood {
            Some(stood) => {
                values.push(stood.into());
                self.raw.run(REPLACE, &values).await?
            }
            None => self.raw.run(INSERT, &values).await?,
        };
        if changed != 1 {
            return Err(StoreError::Conflict("the registration was changed meanwhile"));
        }
        self.raw.run(PUT_MEMBER, args![&row.office, person.insurer.as_str(), person.insured.as_str()]).await?;
        if new.ended.is_some() || before.is_some_and(|before| new.viewable_until < before.viewable_until) {
            let (person, office, ended) = (new.person, new.office, new.ended);
            self.note_closing(Closing::Assignment { person, office, viewable_until: row.viewable_until, ended });
        }
        Ok(())
    }

    /// The MAC of the row in the place of a new registration, if there is one and it fails: what is not believed may be
    /// written over.
    async fn damaged_mac(&mut self, new: &Assignment) -> Result<Option<Vec<u8>>, StoreError> {
        let (person, office) = (&new.person, new.office);
        let key = args![person.insurer.as_str(), person.insured.as_str(), office.as_str()];
        let rows = self.raw.rows(ONE, key).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mac = row.blob(9)?;
        let fits = Columns::read(row, 0)?.door(person).fits(&self.keys, &mac);
        Ok((!fits).then_some(mac))
    }

    /// Records that the municipality asked a hospital for an opinion (P-048). `natural_key` is the 履歴番号 of the A5 record
    /// that says so: a correction of that record replaces what was known from it.
    pub async fn put_opinion_request(
        &mut self,
        person: PersonKey,
        natural_key: &str,
        office: OfficeNumber,
        requested_on: Date,
        applied_on: Date,
        revision: i64,
    ) -> Result<(), StoreError> {
        let natural_key = natural_key.to_owned();
        let request = OpinionRequest { person, natural_key, office, requested_on, applied_on };
        self.put_opinion_requests(revision, std::slice::from_ref(&request)).await
    }

    /// Records many of them; of two of one record the later counts.
    pub async fn put_opinion_requests(&mut self, revision: i64, requests: &[OpinionRequest]) -> Result<(), StoreError> {
        // One statement must not touch a row twice.
        let last: BTreeMap<_, _> = requests.iter().map(|r| ((r.person, &r.natural_key), r)).collect();
        let mut rows = Vec::with_capacity(last.len());
        for request in last.values() {
            let (requested, applied) = (dates::to_number(request.requested_on), dates::to_number(request.applied_on));
            let (key, office) = (&request.natural_key, request.office.as_str());
            let mac = request_door(&request.person, key, office, requested, applied, revision).mac(&self.keys);
            rows.push((*request, requested, applied, mac));
        }
        let (mut values, mut members): (Vec<Arg<'_>>, Vec<Arg<'_>>) = (Vec::new(), Vec::new());
        for (request, requested, applied, mac) in &rows {
            let person = &request.person;
            let (insurer, insured, office) =
                (person.insurer.as_str(), person.insured.as_str(), request.office.as_str());
            let key = &request.natural_key;
            values.extend_from_slice(args![insurer, insured, key, office, *requested, *applied, revision, mac]);
            // The hospital finds the person in its list (membership only, decision 0006.14).
            members.extend_from_slice(args![office, insurer, insured]);
        }
        PUT_REQUESTS.run(&mut self.raw, &values).await?;
        PUT_MEMBERS.run(&mut self.raw, &members).await?;
        Ok(())
    }

    /// Takes back the request of an A5 record that was deleted, or that no longer names a hospital; nothing happens when
    /// there is none.
    pub async fn end_opinion_request(&mut self, person: PersonKey, natural_key: &str) -> Result<(), StoreError> {
        let key = args![person.insurer.as_str(), person.insured.as_str(), natural_key];
        if self.raw.run(END_REQUEST, key).await? > 0 {
            self.note_closing(Closing::Opinion { person, natural_key: natural_key.to_owned() });
        }
        Ok(())
    }
}

impl Store {
    /// Every registration of a person, ended ones included; rows whose MAC fails are left out.
    pub async fn assignments(&self, person: PersonKey) -> Result<Vec<Assignment>, StoreError> {
        let rows = self.engine.rows(OF_PERSON, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        let mut assignments = Vec::with_capacity(rows.len());
        for row in &rows {
            assignments.extend(Columns::read(row, 0)?.open(&self.keys, &person, &row.blob(9)?)?);
        }
        Ok(assignments)
    }

    /// Whether an A5 record asks a hospital for an opinion here.
    pub async fn has_opinion_request(&self, person: PersonKey, natural_key: &str) -> Result<bool, StoreError> {
        let key = args![person.insurer.as_str(), person.insured.as_str(), natural_key];
        Ok(!self.engine.rows(REQUESTED, key).await?.is_empty())
    }

    /// People an office is or was registered for, in key order after `after`.
    pub async fn people_of_office(
        &self,
        office: OfficeNumber,
        after: Option<PersonKey>,
        limit: i32,
    ) -> Result<Vec<PersonKey>, StoreError> {
        let (insurer, insured) =
            after.map_or((String::new(), String::new()), |key| (key.insurer.to_string(), key.insured.to_string()));
        let rows = self.engine.rows(OF_OFFICE, args![office.as_str(), &insurer, &insured, limit]).await?;
        let unreadable = |_| StoreError::Unreadable("office_person");
        rows.iter()
            .map(|row| {
                Ok(PersonKey {
                    insurer: InsurerNumber::parse(&row.text(0)?).map_err(unreadable)?,
                    insured: InsuredNumber::parse(&row.text(1)?).map_err(unreadable)?,
                })
            })
            .collect()
    }
}

/// An assignment as it is stored.
pub(crate) struct Columns {
    pub(crate) office: String,
    pub(crate) check: String,
    pub(crate) registered_by: String,
    pub(crate) registered_at: i64,
    pub(crate) viewable_until: i32,
    pub(crate) plan_maker: Option<String>,
    pub(crate) confirmed: bool,
    pub(crate) ended_at: Option<i64>,
    pub(crate) end_reason: Option<String>,
}

impl Columns {
    fn of(assignment: &Assignment) -> Self {
        Self {
            office: assignment.office.to_string(),
            check: code_of(&assignment.check),
            registered_by: assignment.registered_by.0.clone(),
            registered_at: assignment.registered_at.as_microsecond(),
            viewable_until: dates::to_number(assignment.viewable_until),
            plan_maker: assignment.plan_maker.as_ref().map(|staff| staff.0.clone()),
            confirmed: assignment.confirmed_by_municipality,
            ended_at: assignment.ended.map(|(at, _)| at.as_microsecond()),
            end_reason: assignment.ended.map(|(_, reason)| code_of(&reason)),
        }
    }

    /// Reads the nine columns in the order of `OF_PERSON`.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            office: row.text(first)?,
            check: row.text(first + 1)?,
            registered_by: row.text(first + 2)?,
            registered_at: row.big(first + 3)?,
            viewable_until: row.int(first + 4)?,
            plan_maker: row.text_or_null(first + 5)?,
            confirmed: row.boolean(first + 6)?,
            ended_at: row.big_or_null(first + 7)?,
            end_reason: row.text_or_null(first + 8)?,
        })
    }

    pub(crate) fn door(&self, person: &PersonKey) -> Door {
        Door::new("assignment")
            .text(person.insurer.as_str())
            .text(person.insured.as_str())
            .text(&self.office)
            .text(&self.check)
            .text(&self.registered_by)
            .number(self.registered_at)
            .number(self.viewable_until)
            .maybe_text(self.plan_maker.as_deref())
            .flag(self.confirmed)
            .maybe_number(self.ended_at)
            .maybe_text(self.end_reason.as_deref())
    }

    /// The assignment, if the MAC fits.
    pub(crate) fn open(self, keys: &Keyring, person: &PersonKey, mac: &[u8]) -> Result<Option<Assignment>, StoreError> {
        if !self.door(person).fits(keys, mac) {
            return Ok(None);
        }
        let unreadable = || StoreError::Unreadable("assignment");
        let ended = match (self.ended_at, &self.end_reason) {
            (Some(at), Some(reason)) => Some((instant(at)?, from_code::<EndReason>(reason).ok_or_else(unreadable)?)),
            _ => None,
        };
        Ok(Some(Assignment {
            person: *person,
            office: OfficeNumber::parse(&self.office).map_err(|_| unreadable())?,
            check: from_code::<IdentityCheck>(&self.check).ok_or_else(unreadable)?,
            registered_by: StaffId(self.registered_by),
            registered_at: instant(self.registered_at)?,
            viewable_until: dates::from_number(self.viewable_until).map_err(|_| unreadable())?,
            plan_maker: self.plan_maker.map(StaffId),
            confirmed_by_municipality: self.confirmed,
            ended,
        }))
    }
}

/// The snake_case code under which a plain enum is stored.
fn code_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn from_code<T: serde::de::DeserializeOwned>(code: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(code.to_owned())).ok()
}

pub(crate) fn request_door(
    person: &PersonKey,
    natural_key: &str,
    office: &str,
    requested_on: i32,
    applied_on: i32,
    revision: i64,
) -> Door {
    Door::new("opinion_request")
        .text(person.insurer.as_str())
        .text(person.insured.as_str())
        .text(natural_key)
        .text(office)
        .number(requested_on)
        .number(applied_on)
        .number(revision)
}
