//! 提出物 on their way to the municipality: submitted → fetched → accepted or returned (P-133, P-138, P-201).

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::error::readable;
use crate::many::sixteens;
use crate::office::instant;
use crate::{InsurerKeys, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp, dates};
use std::sync::Arc;

const PUT: &str = "INSERT INTO submission (insurer_number, submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason,
       decided_at, natural_key, payload, digest, mac, media, original, replaces, waits)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL, $9, $10, $11, $12, $13, $14, $15, TRUE)
     ON CONFLICT DO NOTHING";
const MOVE: &str = "UPDATE submission SET state = $4, reason = $5, decided_at = $6, waits = CASE WHEN $4 IN ('submitted', 'fetched') THEN waits END, mac = $7,
       payload = CASE WHEN $8 THEN NULL ELSE payload END, original = CASE WHEN $8 THEN NULL ELSE original END
     WHERE insurer_number = $1 AND submission_id = $2 AND state = $3";
const DROP_CONTENT: &str = "UPDATE submission SET payload = NULL, original = NULL
     WHERE insurer_number = $1 AND submission_id = $2 AND state = 'returned' AND payload IS NOT NULL";
const ONE: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac,
       media, original, replaces
     FROM submission WHERE insurer_number = $1 AND submission_id = $2";
const PAGE: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac,
       media, original, replaces
     FROM submission WHERE insurer_number = $1 AND state = $2 AND (submitted_at, submission_id) > ($3, $4)
     ORDER BY submitted_at, submission_id LIMIT $5";
const OF_PERSON: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key, payload, mac,
       media, original, replaces
     FROM submission WHERE insurer_number = $1 AND insured_number = $2 ORDER BY submitted_at DESC, submission_id";
const OF_PEOPLE: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key,
       CAST(NULL AS BYTEA), mac, NULL, CAST(NULL AS BYTEA), replaces
     FROM submission WHERE insurer_number = $1
       AND insured_number IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AND sender = $18 AND kind = $19
     ORDER BY submitted_at DESC, submission_id";
// Whether one was accepted is looked at afterwards: a person has few, and a municipality has many that were.
const OF_KIND: &str = "SELECT submission_id, insured_number, kind, sender, submitted_by, submitted_at, state, reason, decided_at, natural_key,
       CAST(NULL AS BYTEA), mac, NULL, CAST(NULL AS BYTEA), replaces
     FROM submission WHERE insurer_number = $1
       AND insured_number IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AND kind = $18
     ORDER BY submitted_at DESC, submission_id";
const PUT_ORIGINAL: &str = "INSERT INTO record_original (insurer_number, submission_id, insured_number, kind, natural_key, revision, media, content, purge_after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ORIGINAL: &str = "SELECT insured_number, kind, natural_key, revision, media, content FROM record_original
     WHERE insurer_number = $1 AND submission_id = $2";
const ORIGINALS: &str =
    "SELECT insured_number, kind, natural_key, revision, media, content, submission_id FROM record_original
     WHERE insurer_number = $1 AND submission_id > $2 ORDER BY submission_id LIMIT $3";
#[cfg(test)]
pub(crate) const ALL: &[&str] =
    &[PUT, MOVE, DROP_CONTENT, ONE, PAGE, OF_PERSON, OF_PEOPLE, OF_KIND, PUT_ORIGINAL, ORIGINAL, ORIGINALS];

/// A document as its sender handed it in, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// MIME type, such as `text/csv` or `application/json`.
    pub media: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Without the content: it may end up in a log.
impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Original").field("media", &self.media).field("bytes", &self.bytes.len()).finish()
    }
}

/// The original of an accepted document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOriginal {
    /// 受付番号
    pub id: String,
    /// About whom.
    pub person: PersonKey,
    /// A2 or F1.
    pub kind: Kind,
    /// Natural key of the record it became.
    pub natural_key: String,
    /// Its bytes.
    pub original: Original,
}

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
    /// The file or body it was read from, if there was one.
    pub original: Option<Original>,
    /// The earlier document of the same sender that it replaces, sent back or accepted.
    pub replaces: Option<String>,
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
    /// The file or body it was read from; gone with the content.
    pub original: Option<Original>,
    /// The earlier document of the same sender that it replaces.
    pub replaces: Option<String>,
}

impl Tx {
    /// Puts a document into the municipality's inbox; a conflict when one of the same sender and natural key waits there, also
    /// one that is being put at this moment.
    pub async fn put_submission(&mut self, new: &NewSubmission) -> Result<(), StoreError> {
        let keys = self.keys_of(new.person.insurer.as_str()).await?;
        let (kind, sender) = (new.kind.code(), new.sender.to_string());
        let sealed = keys.seal(&aad(&new.person, &new.id, kind, &sender), &new.payload);
        let state = SubmissionState::Submitted.code();
        let mac = door(&new.person, &new.id, kind, &sender, state, &new.natural_key).mac(&self.keys);
        let media = new.original.as_ref().map(|original| original.media.as_str());
        let original = new
            .original
            .as_ref()
            .map(|original| keys.seal(&aad(&new.person, &new.id, &original.media, &sender), &original.bytes));
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
                    &mac,
                    media,
                    original.as_deref(),
                    new.replaces.as_deref()
                ],
            )
            .await?;
        if added == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict("this document is there, or another of its key waits"))
        }
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

    /// Takes the content of a returned document away, once another one replaces it or nobody handed it in again in time (P-201);
    /// false when it is gone already.
    pub async fn drop_returned_content(&mut self, insurer: InsurerNumber, id: &str) -> Result<bool, StoreError> {
        Ok(self.raw.run(DROP_CONTENT, args![insurer.as_str(), id]).await? == 1)
    }

    /// Keeps the bytes of an accepted document beside the record it became: together the formal copy (P-201).
    pub async fn keep_original(
        &mut self,
        submission: &Submission,
        revision: i64,
        purge_after: Date,
    ) -> Result<(), StoreError> {
        let Some(original) = &submission.original else { return Ok(()) };
        let keys = self.keys_of(submission.person.insurer.as_str()).await?;
        let (person, kind) = (&submission.person, submission.kind.code());
        let (key, media) = (submission.natural_key.as_str(), original.media.as_str());
        let aad = original_aad(person, &submission.id, kind, key, revision, media);
        let sealed = keys.seal(&aad.iter().map(Vec::as_slice).collect::<Vec<_>>(), &original.bytes);
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let purge = dates::to_number(purge_after);
        let row = args![insurer, &submission.id, insured, kind, key, revision, media, &sealed, purge];
        self.raw.run(PUT_ORIGINAL, row).await?;
        Ok(())
    }
}

impl Store {
    /// One document.
    pub async fn submission(&self, insurer: InsurerNumber, id: &str) -> Result<Option<Submission>, StoreError> {
        let rows = self.engine.rows(ONE, args![insurer.as_str(), id]).await?;
        let keys = self.submission_keys(insurer, &rows).await?;
        rows.first().map_or(Ok(None), |row| self.submission_row(insurer, row, &keys))
    }

    /// Documents in one state, oldest first, after the given time and id.
    pub async fn inbox_page(
        &self,
        insurer: InsurerNumber,
        state: &str,
        after: Option<(Timestamp, &str)>,
        limit: i32,
    ) -> Result<Vec<Submission>, StoreError> {
        let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.as_microsecond(), id));
        let rows = self.engine.rows(PAGE, args![insurer.as_str(), state, at, id, limit]).await?;
        self.submissions(insurer, &rows).await
    }

    /// What waits for the municipality, oldest first.
    pub async fn inbox(&self, insurer: InsurerNumber, limit: i32) -> Result<Vec<Submission>, StoreError> {
        let mut waiting = self.inbox_page(insurer, "submitted", None, limit).await?;
        waiting.extend(self.inbox_page(insurer, "fetched", None, limit).await?);
        waiting.sort_by(|a, b| (a.submitted_at, &a.id).cmp(&(b.submitted_at, &b.id)));
        waiting.truncate(limit.max(0) as usize);
        Ok(waiting)
    }

    /// The bytes an accepted document was handed in with.
    pub async fn kept_original(&self, insurer: InsurerNumber, id: &str) -> Result<Option<Original>, StoreError> {
        let rows = self.engine.rows(ORIGINAL, args![insurer.as_str(), id]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[5]).await?;
        let kept = rows.first().map(|row| kept_original(insurer, id.to_owned(), row, &keys)).transpose()?;
        Ok(kept.map(|kept| kept.original))
    }

    /// The originals kept for an insurer, in the order of their 受付番号 after the given one; with the number of those that
    /// cannot be opened, and the last 受付番号 looked at.
    pub async fn kept_originals(
        &self,
        insurer: InsurerNumber,
        after: &str,
        limit: i32,
    ) -> Result<(Vec<KeptOriginal>, u64, Option<String>), StoreError> {
        let rows = self.engine.rows(ORIGINALS, args![insurer.as_str(), after, limit]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[5]).await?;
        let (mut kept, mut damaged, mut last) = (Vec::with_capacity(rows.len()), 0, None);
        for row in &rows {
            let id = row.text(6)?;
            last = Some(id.clone());
            match readable("record_original", kept_original(insurer, id, row, &keys).map(Some))? {
                Some(one) => kept.push(one),
                None => damaged += 1,
            }
        }
        Ok((kept, damaged, last))
    }

    /// Every document about a person, latest first.
    pub async fn submissions_about(&self, person: PersonKey) -> Result<Vec<Submission>, StoreError> {
        let rows = self.engine.rows(OF_PERSON, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        self.submissions(person.insurer, &rows).await
    }

    /// The documents of one kind that a sender handed in about these people, latest first, without their contents.
    pub async fn submissions_of(
        &self,
        sender: Organization,
        kind: Kind,
        people: &[PersonKey],
    ) -> Result<Vec<Submission>, StoreError> {
        let (sender, mut found) = (sender.to_string(), Vec::new());
        for (insurer, numbers) in sixteens(people) {
            let mut args = vec![Arg::from(insurer.as_str())];
            args.extend(numbers.iter().map(|number| Arg::from(number.as_str())));
            args.extend([Arg::from(&sender), Arg::from(kind.code())]);
            let rows = self.engine.rows(OF_PEOPLE, &args).await?;
            found.extend(self.submissions(insurer, &rows).await?);
        }
        Ok(found)
    }

    /// The documents of one kind about these people that their municipality has accepted, latest first, without their contents.
    pub async fn accepted_submissions(&self, kind: Kind, people: &[PersonKey]) -> Result<Vec<Submission>, StoreError> {
        let mut found = Vec::new();
        for (insurer, numbers) in sixteens(people) {
            let mut args = vec![Arg::from(insurer.as_str())];
            args.extend(numbers.iter().map(|number| Arg::from(number.as_str())));
            args.push(Arg::from(kind.code()));
            let rows = self.engine.rows(OF_KIND, &args).await?;
            let of_kind = self.submissions(insurer, &rows).await?.into_iter();
            found.extend(of_kind.filter(|one| one.state == SubmissionState::Accepted));
        }
        Ok(found)
    }

    async fn submission_keys(&self, insurer: InsurerNumber, rows: &[Row]) -> Result<Arc<InsurerKeys>, StoreError> {
        self.keys.keys_for(insurer.as_str(), rows, &[7, 10, 13]).await
    }

    /// Those whose MAC fits and that can be read.
    async fn submissions(&self, insurer: InsurerNumber, rows: &[Row]) -> Result<Vec<Submission>, StoreError> {
        let keys = self.submission_keys(insurer, rows).await?;
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
        let original = match (row.text_or_null(12)?, row.blob_or_null(13)?) {
            (Some(media), sealed @ Some(_)) => open(&media, sealed)?.map(|bytes| Original { media, bytes }),
            _ => None,
        };
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
            original,
            replaces: row.text_or_null(14)?,
        }))
    }
}

fn kept_original(
    insurer: InsurerNumber,
    id: String,
    row: &Row,
    keys: &InsurerKeys,
) -> Result<KeptOriginal, StoreError> {
    let unreadable = || StoreError::Unreadable("record_original");
    let insured = InsuredNumber::parse(&row.text(0)?).map_err(|_| unreadable())?;
    let (person, kind, media) = (PersonKey { insurer, insured }, row.text(1)?, row.text(4)?);
    let natural_key = row.text(2)?;
    let aad = original_aad(&person, &id, &kind, &natural_key, row.big(3)?, &media);
    let bytes = keys.open(&aad.iter().map(Vec::as_slice).collect::<Vec<_>>(), &row.blob(5)?)?;
    let kind = Kind::parse(&kind).ok_or_else(unreadable)?;
    Ok(KeptOriginal { id, person, kind, natural_key, original: Original { media, bytes } })
}

pub(crate) fn aad<'a>(person: &'a PersonKey, id: &'a str, kind: &'a str, sender: &'a str) -> [&'a [u8]; 6] {
    [
        b"submission",
        person.insurer.as_str().as_bytes(),
        person.insured.as_str().as_bytes(),
        id.as_bytes(),
        kind.as_bytes(),
        sender.as_bytes(),
    ]
}

pub(crate) fn original_aad(
    person: &PersonKey,
    id: &str,
    kind: &str,
    natural_key: &str,
    revision: i64,
    media: &str,
) -> [Vec<u8>; 8] {
    [
        b"record_original".to_vec(),
        person.insurer.as_str().into(),
        person.insured.as_str().into(),
        id.into(),
        kind.into(),
        natural_key.into(),
        revision.to_be_bytes().to_vec(),
        media.into(),
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
