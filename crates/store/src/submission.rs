//! 提出物 on their way to the municipality: submitted → fetched → accepted or returned (P-133, P-138, P-201).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::{InsurerKeys, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp};

const PUT: &str = "INSERT INTO submission (insurer_number, submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason,
       decided_at, natural_key, payload, digest, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL, $9, $10, $11, $12)
     ON CONFLICT DO NOTHING";
const MOVE: &str = "UPDATE submission SET state = $4, reason = $5, decided_at = $6, mac = $7,
       payload = CASE WHEN $8 THEN NULL ELSE payload END
     WHERE insurer_number = $1 AND submission_id = $2 AND state = $3";
const ONE: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac
     FROM submission WHERE insurer_number = $1 AND submission_id = $2";
const INBOX: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac
     FROM submission WHERE insurer_number = $1 AND state IN ('submitted', 'fetched') ORDER BY submitted_at, submission_id LIMIT $2";
const OF_PERSON: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac
     FROM submission WHERE insurer_number = $1 AND insured_number = $2 ORDER BY submitted_at DESC, submission_id";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, MOVE, ONE, INBOX, OF_PERSON];

/// A document about to be handed over.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    /// Random id, the receipt shown to the sender.
    pub id: String,
    /// About whom.
    pub person: PersonKey,
    /// A2, F1 or G1.
    pub kind: Kind,
    /// Sending organisation.
    pub sender: Organization,
    /// Its staff.
    pub submitted_by: StaffId,
    /// When.
    pub submitted_at: Timestamp,
    /// Natural key of the record it becomes.
    pub natural_key: String,
    /// Content as JSON.
    pub payload: Vec<u8>,
}

/// A document and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its id.
    pub id: String,
    /// About whom.
    pub person: PersonKey,
    /// A2, F1 or G1.
    pub kind: Kind,
    /// Sending organisation.
    pub sender: Organization,
    /// Its staff.
    pub submitted_by: StaffId,
    /// When.
    pub submitted_at: Timestamp,
    /// Where it stands.
    pub state: SubmissionState,
    /// When the municipality decided.
    pub decided_at: Option<Timestamp>,
    /// Natural key of the record it becomes.
    pub natural_key: String,
    /// Content as JSON; gone after the municipality accepted it (P-201: the A2 record is the formal copy).
    pub payload: Option<Vec<u8>>,
}

impl Tx {
    /// Puts a document into the municipality's inbox.
    pub async fn put_submission(&mut self, new: &NewSubmission) -> Result<(), StoreError> {
        let keys = self.keys_of(new.person.insurer.as_str()).await?;
        let (kind, sender) = (new.kind.code(), new.sender.to_string());
        let sealed = keys.seal(&aad(&new.person, &new.id, kind, &sender), &new.payload);
        let state = SubmissionState::Submitted.code();
        let mac = door(&new.person, &new.id, kind, &sender, state, &new.natural_key).mac(&self.keys);
        let added = self
            .raw
            .run(
                PUT,
                args![
                    new.person.insurer.as_str(),
                    &new.id,
                    new.person.insured.as_str(),
                    kind,
                    &sender,
                    &new.submitted_by.0,
                    new.submitted_at.as_microsecond(),
                    state,
                    &new.natural_key,
                    &sealed,
                    &keys.digest(&new.payload),
                    &mac
                ],
            )
            .await?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict("a document with this id is there already")) }
    }

    /// Moves a document to its next state; fails with a conflict when somebody else moved it first.
    pub async fn move_submission(
        &mut self,
        submission: &Submission,
        to: &SubmissionState,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(submission.person.insurer.as_str()).await?;
        let (kind, sender) = (submission.kind.code(), submission.sender.to_string());
        let reason = match to {
            SubmissionState::Returned { reason } => {
                Some(keys.seal(&aad(&submission.person, &submission.id, "reason", &sender), reason.as_bytes()))
            }
            _ => None,
        };
        let decided =
            matches!(to, SubmissionState::Accepted | SubmissionState::Returned { .. }).then_some(at.as_microsecond());
        let mac =
            door(&submission.person, &submission.id, kind, &sender, to.code(), &submission.natural_key).mac(&self.keys);
        let accepted = *to == SubmissionState::Accepted;
        let changed = self
            .raw
            .run(
                MOVE,
                args![
                    submission.person.insurer.as_str(),
                    &submission.id,
                    submission.state.code(),
                    to.code(),
                    reason.as_deref(),
                    decided,
                    &mac,
                    accepted
                ],
            )
            .await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("the document was moved meanwhile")) }
    }
}

impl Store {
    /// One document.
    pub async fn submission(&self, insurer: InsurerNumber, id: &str) -> Result<Option<Submission>, StoreError> {
        let rows = self.engine.rows(ONE, args![insurer.as_str(), id]).await?;
        let keys = self.keys.keys_of(insurer.as_str()).await?;
        rows.first().map_or(Ok(None), |row| self.submission_row(insurer, row, &keys))
    }

    /// What waits for the municipality, oldest first.
    pub async fn inbox(&self, insurer: InsurerNumber, limit: i32) -> Result<Vec<Submission>, StoreError> {
        let rows = self.engine.rows(INBOX, args![insurer.as_str(), limit]).await?;
        self.submissions(insurer, &rows).await
    }

    /// Every document about a person, latest first.
    pub async fn submissions_about(&self, person: PersonKey) -> Result<Vec<Submission>, StoreError> {
        let rows = self.engine.rows(OF_PERSON, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        self.submissions(person.insurer, &rows).await
    }

    /// Those whose MAC fits and that can be read.
    async fn submissions(&self, insurer: InsurerNumber, rows: &[Row]) -> Result<Vec<Submission>, StoreError> {
        let keys = self.keys.keys_of(insurer.as_str()).await?;
        rows.iter()
            .filter_map(|row| readable("submission", self.submission_row(insurer, row, &keys)).transpose())
            .collect()
    }

    fn submission_row(
        &self,
        insurer: InsurerNumber,
        row: &Row,
        keys: &InsurerKeys,
    ) -> Result<Option<Submission>, StoreError> {
        let unreadable = || StoreError::Unreadable("submission");
        let (id, kind, sender, state) = (row.text(0)?, row.text(2)?, row.text(3)?, row.text(6)?);
        let person = PersonKey { insurer, insured: InsuredNumber::parse(&row.text(1)?).map_err(|_| unreadable())? };
        if !door(&person, &id, &kind, &sender, &state, &row.text(9)?).fits(&self.keys, &row.blob(11)?) {
            return Ok(None);
        }
        let open = |what: &str, sealed: Option<Vec<u8>>| {
            sealed.map(|sealed| keys.open(&aad(&person, &id, what, &sender), &sealed)).transpose()
        };
        let reason = open("reason", row.blob_or_null(7)?)?;
        let payload = open(&kind, row.blob_or_null(10)?)?;
        let state = match (state.as_str(), reason) {
            ("submitted", _) => SubmissionState::Submitted,
            ("fetched", _) => SubmissionState::Fetched,
            ("accepted", _) => SubmissionState::Accepted,
            ("returned", Some(reason)) => {
                SubmissionState::Returned { reason: String::from_utf8(reason).map_err(|_| unreadable())? }
            }
            _ => return Err(unreadable()),
        };
        Ok(Some(Submission {
            kind: Kind::parse(&kind).ok_or_else(unreadable)?,
            sender: Organization::parse(&sender).map_err(|_| unreadable())?,
            submitted_by: StaffId(row.text(4)?),
            submitted_at: instant(row.big(5)?)?,
            decided_at: row.big_or_null(8)?.map(instant).transpose()?,
            natural_key: row.text(9)?,
            id,
            person,
            state,
            payload,
        }))
    }
}

fn aad<'a>(person: &'a PersonKey, id: &'a str, kind: &'a str, sender: &'a str) -> [&'a [u8]; 6] {
    [
        b"submission",
        person.insurer.as_str().as_bytes(),
        person.insured.as_str().as_bytes(),
        id.as_bytes(),
        kind.as_bytes(),
        sender.as_bytes(),
    ]
}

fn door(person: &PersonKey, id: &str, kind: &str, sender: &str, state: &str, natural_key: &str) -> Door {
    Door::new("submission")
        .text(person.insurer.as_str())
        .text(person.insured.as_str())
        .text(id)
        .text(kind)
        .text(sender)
        .text(state)
        .text(natural_key)
}
