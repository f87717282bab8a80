//! 同意 acts: insert-only, each under a MAC (P-066, P-071, S-032).

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::many::ManyRows;
use crate::office::instant;
use crate::{Closing, InsurerKeys, Keyring, Store, StoreError, Tx};
use kiban_domain::consent::{ConsentAct, ConsentRecord};
use kiban_domain::{Kind, PersonKey, Timestamp};
use std::sync::LazyLock;

const PUT: &str = "INSERT INTO consent_act (insurer_number, insured_number, act_id, act, kind, acted_at, recorded_at, revision, taken_by, detail, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
static PUT_MANY: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT));
const OF_PERSON: &str =
    "SELECT act_id, act, kind, acted_at, recorded_at, revision, taken_by, detail, mac FROM consent_act
     WHERE insurer_number = $1 AND insured_number = $2 ORDER BY acted_at DESC, act_id";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, OF_PERSON];

/// A consent act as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// Its id.
    pub act_id: String,
    /// When the platform recorded it.
    pub recorded_at: Timestamp,
    /// Receipt that wrote it.
    pub revision: i64,
    /// The act.
    pub record: ConsentRecord,
}

impl Tx {
    /// Adds an act; the same id again changes nothing. True when it was new.
    pub async fn put_consent(
        &mut self,
        act_id: &str,
        revision: i64,
        recorded_at: Timestamp,
        record: &ConsentRecord,
    ) -> Result<bool, StoreError> {
        let act = (act_id.to_owned(), record.clone());
        Ok(self.put_consents(revision, recorded_at, std::slice::from_ref(&act)).await? == 1)
    }

    /// Adds many acts, each with its id; how many of them were new.
    pub async fn put_consents(
        &mut self,
        revision: i64,
        recorded_at: Timestamp,
        acts: &[(String, ConsentRecord)],
    ) -> Result<u64, StoreError> {
        let mut sealed: Vec<Sealed> = Vec::with_capacity(acts.len());
        for (act_id, record) in acts {
            if Closing::is_closed_by(record.act) {
                let (act_id, record) = (act_id.clone(), Box::new(record.clone()));
                self.note_closing(Closing::Consent { act_id, recorded_at, record });
            }
            let keys = self.keys_of(record.person.insurer.as_str()).await?;
            let detail = serde_json::to_vec(record).map_err(|error| StoreError::Internal(error.to_string()))?;
            let detail = keys.seal(&consent_aad(&record.person, act_id), &detail);
            let ((act, kind), acted_at) = (act_code(record.act), record.acted_at.as_microsecond());
            let mac = consent_door(&record.person, act_id, act, kind, acted_at, revision).mac(&self.keys);
            sealed.push((record.taken_by.to_string(), detail, mac));
        }
        let mut values: Vec<Arg<'_>> = Vec::with_capacity(acts.len() * 11);
        for ((act_id, record), (taken_by, detail, mac)) in acts.iter().zip(&sealed) {
            let (act, kind) = act_code(record.act);
            values.extend_from_slice(args![
                record.person.insurer.as_str(),
                record.person.insured.as_str(),
                act_id,
                act,
                kind,
                record.acted_at.as_microsecond(),
                recorded_at.as_microsecond(),
                revision,
                taken_by,
                detail,
                mac
            ]);
        }
        PUT_MANY.run(&mut self.raw, &values).await
    }
}

/// Organisation that took it, sealed detail, MAC.
type Sealed = (String, Vec<u8>, [u8; 32]);

impl Store {
    /// All acts of a person, latest first; rows whose MAC fails are left out, and the person's facts then show no consent.
    pub async fn consents(&self, person: PersonKey) -> Result<Vec<StoredConsent>, StoreError> {
        let rows = self.engine.rows(OF_PERSON, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        let keys = self.keys.keys_for(person.insurer.as_str(), &rows, &[7]).await?;
        let mut acts = Vec::with_capacity(rows.len());
        for row in &rows {
            acts.extend(stored_consent(&self.keys, &keys, &person, row)?);
        }
        Ok(acts)
    }
}

/// An act from the columns of `OF_PERSON`; `None` when its MAC fails.
pub(crate) fn stored_consent(
    keyring: &Keyring,
    keys: &InsurerKeys,
    person: &PersonKey,
    row: &Row,
) -> Result<Option<StoredConsent>, StoreError> {
    let (act_id, act, kind) = (row.text(0)?, row.text(1)?, row.text_or_null(2)?);
    let (acted_at, revision) = (row.big(3)?, row.big(5)?);
    let door = consent_door(person, &act_id, &act, kind.as_deref(), acted_at, revision);
    if !door.fits(keyring, &row.blob(8)?) {
        return Ok(None);
    }
    let detail = keys.open(&consent_aad(person, &act_id), &row.blob(7)?)?;
    let record = serde_json::from_slice(&detail).map_err(|_| StoreError::Unreadable("consent_act"))?;
    Ok(Some(StoredConsent { act_id, recorded_at: instant(row.big(4)?)?, revision, record }))
}

fn act_code(act: ConsentAct) -> (&'static str, Option<&'static str>) {
    match act {
        ConsentAct::Given => ("given", None),
        ConsentAct::Withdrawn => ("withdrawn", None),
        ConsentAct::KindRefused(kind) => ("kind_refused", Some(kind.code())),
        ConsentAct::KindAllowed(kind) => ("kind_allowed", Some(kind.code())),
        ConsentAct::NotObtainable => ("not_obtainable", None),
    }
}

/// An act from its clear columns; `None` when its MAC fails or it cannot be read, and then the person counts as not
/// having consented at all, because the damaged act may have been a withdrawal.
pub(crate) fn act_from(
    keys: &Keyring,
    person: &PersonKey,
    act_id: &str,
    act: &str,
    kind: Option<&str>,
    (acted_at, revision): (i64, i64),
    mac: &[u8],
) -> Option<ConsentAct> {
    if !consent_door(person, act_id, act, kind, acted_at, revision).fits(keys, mac) {
        return None;
    }
    let kind = kind.map(Kind::parse);
    match (act, kind) {
        ("given", None) => Some(ConsentAct::Given),
        ("withdrawn", None) => Some(ConsentAct::Withdrawn),
        ("kind_refused", Some(Some(kind))) => Some(ConsentAct::KindRefused(kind)),
        ("kind_allowed", Some(Some(kind))) => Some(ConsentAct::KindAllowed(kind)),
        ("not_obtainable", None) => Some(ConsentAct::NotObtainable),
        _ => None,
    }
}

pub(crate) fn consent_aad<'a>(person: &'a PersonKey, act_id: &'a str) -> [&'a [u8]; 4] {
    [b"consent", person.insurer.as_str().as_bytes(), person.insured.as_str().as_bytes(), act_id.as_bytes()]
}

/// The revision is in it: moved to a receipt that is not applied, a withdrawal would be hidden.
fn consent_door(person: &PersonKey, act_id: &str, act: &str, kind: Option<&str>, acted_at: i64, revision: i64) -> Door {
    Door::new("consent_act")
        .text(person.insurer.as_str())
        .text(person.insured.as_str())
        .text(act_id)
        .text(act)
        .maybe_text(kind)
        .number(acted_at)
        .number(revision)
}
