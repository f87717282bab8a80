//! Log-ins, bound to the certificate they were made over, and answers to repeated writes (P-164, F-4, T-31).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::office::instant;
use crate::{Keyring, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, Timestamp};

const PUT: &str =
    "INSERT INTO session (organization, token_digest, staff_id, fingerprint, way, software, expires_at, ended_at, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8) ON CONFLICT DO NOTHING";
const ONE: &str = "SELECT staff_id, fingerprint, way, software, expires_at, ended_at, mac FROM session WHERE organization = $1 AND token_digest = $2";
const END: &str =
    "UPDATE session SET ended_at = $3, mac = $4 WHERE organization = $1 AND token_digest = $2 AND ended_at IS NULL";
const LIVE_OF_STAFF: &str =
    "SELECT staff_id, fingerprint, way, software, expires_at, ended_at, mac, token_digest FROM session
     WHERE organization = $1 AND staff_id = $2 AND ended_at IS NULL AND expires_at > $3";
const REMEMBER: &str = "INSERT INTO idempotency (organization, key_digest, request_digest, answer, recorded_at, insurer_number, insured_number)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (organization, key_digest) DO NOTHING";
const REMEMBERED: &str = "SELECT request_digest, answer, insurer_number, insured_number FROM idempotency WHERE organization = $1 AND key_digest = $2";
const FORGET: &str = "DELETE FROM idempotency WHERE recorded_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, ONE, END, LIVE_OF_STAFF, REMEMBER, REMEMBERED, FORGET];

/// How a session was opened; decides what it may do (P-165, P-166).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionWay {
    /// A person at a screen.
    Interactive,
    /// A vendor's program on behalf of a staff member.
    Program,
}

impl SessionWay {
    fn code(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Program => "program",
        }
    }
}

/// A log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub staff: StaffId,
    /// Certificate it is bound to.
    pub fingerprint: String,
    /// How it was opened.
    pub way: SessionWay,
    /// Name of the vendor's program.
    pub software: Option<String>,
    /// End of validity.
    pub expires_at: Timestamp,
    /// Ended before.
    pub ended_at: Option<Timestamp>,
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotent {
    /// Never seen.
    New,
    /// Seen with the same request: its answer.
    Done(KeptAnswer),
    /// Seen with another request.
    OtherRequest,
}

/// The answer to a write, kept for a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptAnswer {
    /// The answer.
    pub bytes: Vec<u8>,
    /// The insurer under whose key it is sealed; absent: the platform's.
    pub insurer: Option<InsurerNumber>,
    /// The person of that insurer it is about.
    pub insured: Option<InsuredNumber>,
}

impl KeptAnswer {
    /// Number of the insurer whose keys seal it.
    pub(crate) fn owner(&self) -> String {
        self.insurer.map_or_else(|| NO_INSURER.to_owned(), |insurer| insurer.to_string())
    }

    /// Sealed with it, so that no answer is given for one about somebody else.
    pub(crate) fn purpose(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let text = |number: Option<String>| number.unwrap_or_default().into_bytes();
        let mut parts = vec![b"idempotency".to_vec(), key.to_vec()];
        if self.insurer.is_some() {
            parts.push(text(self.insurer.map(|number| number.to_string())));
            parts.push(text(self.insured.map(|number| number.to_string())));
        }
        parts
    }
}

impl Tx {
    /// Opens a session; only the keyed digest of the token is stored.
    pub async fn put_session(
        &mut self,
        organization: Organization,
        token: &[u8],
        session: &Session,
    ) -> Result<(), StoreError> {
        let digest = self.keys_of(NO_INSURER).await?.digest(token);
        let organization = organization.to_string();
        let session = Session { ended_at: None, ..session.clone() };
        let mac = session_door(&organization, &digest, &session).mac(&self.keys);
        let added = self
            .raw
            .run(
                PUT,
                args![
                    &organization,
                    &digest,
                    &session.staff.0,
                    &session.fingerprint,
                    session.way.code(),
                    session.software.as_deref(),
                    session.expires_at.as_microsecond(),
                    &mac
                ],
            )
            .await?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict("the token is in use")) }
    }

    /// Ends a session; one that has ended, or whose MAC fails, stays as it is.
    pub async fn end_session(
        &mut self,
        organization: Organization,
        token: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let digest = self.keys_of(NO_INSURER).await?.digest(token);
        let organization = organization.to_string();
        let rows = self.raw.rows(ONE, args![&organization, &digest]).await?;
        let session =
            rows.first().map(|row| session_row(&self.keys, &organization, &digest, row)).transpose()?.flatten();
        if let Some(session) = session {
            let ended = Session { ended_at: Some(now), ..session };
            let mac = session_door(&organization, &digest, &ended).mac(&self.keys);
            self.raw.run(END, args![&organization, &digest, now.as_microsecond(), &mac]).await?;
        }
        Ok(())
    }

    /// Ends the sessions of an account; how many. One whose MAC fails is none.
    pub async fn end_sessions_of(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (organization, now_at) = (organization.to_string(), now.as_microsecond());
        let rows = self.raw.rows(LIVE_OF_STAFF, args![&organization, &staff.0, now_at]).await?;
        let mut ended = 0;
        for row in &rows {
            let digest: [u8; 32] = row.blob(7)?.try_into().map_err(|_| StoreError::Unreadable("session"))?;
            if let Some(session) = session_row(&self.keys, &organization, &digest, row)? {
                let session = Session { ended_at: Some(now), ..session };
                let mac = session_door(&organization, &digest, &session).mac(&self.keys);
                ended += self.raw.run(END, args![&organization, &digest, now_at, &mac]).await?;
            }
        }
        Ok(ended)
    }

    /// Remembers the answer to a write under the caller's key, sealed under the key of the insurer it concerns.
    pub async fn remember(
        &mut self,
        organization: Organization,
        key: &[u8],
        request: &[u8],
        answer: &KeptAnswer,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let new = self.remember_unless_known(organization, key, request, answer, now).await?;
        if new { Ok(()) } else { Err(StoreError::Conflict("the idempotency key is in use")) }
    }

    /// The same for what may be done again under its key; whether the key was new.
    pub async fn remember_unless_known(
        &mut self,
        organization: Organization,
        key: &[u8],
        request: &[u8],
        answer: &KeptAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        let (key, request) = (keys.digest(key), keys.digest(request));
        let purpose = answer.purpose(&key);
        let purpose: Vec<&[u8]> = purpose.iter().map(Vec::as_slice).collect();
        let sealed = self.keys_of(&answer.owner()).await?.seal(&purpose, &answer.bytes);
        let (insurer, insured) =
            (answer.insurer.map(|number| number.to_string()), answer.insured.map(|number| number.to_string()));
        let (organization, now) = (organization.to_string(), now.as_microsecond());
        let args = args![&organization, &key, &request, &sealed, now, insurer.as_deref(), insured.as_deref()];
        Ok(self.raw.run(REMEMBER, args).await? == 1)
    }
}

impl Tx {
    /// Forgets the answers remembered before an instant; how many.
    pub async fn forget_answers(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// The session of a token of an organisation; `None` also when its MAC fails.
    pub async fn session(&self, organization: Organization, token: &[u8]) -> Result<Option<Session>, StoreError> {
        let digest = self.keys.keys_of(NO_INSURER).await?.digest(token);
        let organization = organization.to_string();
        let rows = self.engine.rows(ONE, args![&organization, &digest]).await?;
        rows.first().map_or(Ok(None), |row| session_row(&self.keys, &organization, &digest, row))
    }

    /// What is known of an idempotency key of a caller.
    pub async fn remembered(
        &self,
        organization: Organization,
        key: &[u8],
        request: &[u8],
    ) -> Result<Idempotent, StoreError> {
        let keys = self.keys.keys_of(NO_INSURER).await?;
        let (key, request) = (keys.digest(key), keys.digest(request));
        let rows = self.engine.rows(REMEMBERED, args![&organization.to_string(), &key]).await?;
        let Some(row) = rows.first() else { return Ok(Idempotent::New) };
        if row.blob(0)? != request {
            return Ok(Idempotent::OtherRequest);
        }
        let unreadable = |_| StoreError::Unreadable("idempotency");
        let insurer = row.text_or_null(2)?.map(|text| InsurerNumber::parse(&text)).transpose().map_err(unreadable)?;
        let insured = row.text_or_null(3)?.map(|text| InsuredNumber::parse(&text)).transpose().map_err(unreadable)?;
        let kept = KeptAnswer { bytes: Vec::new(), insurer, insured };
        let purpose = kept.purpose(&key);
        let purpose: Vec<&[u8]> = purpose.iter().map(Vec::as_slice).collect();
        let bytes = self.keys.keys_for(&kept.owner(), &rows, &[1]).await?.open(&purpose, &row.blob(1)?)?;
        Ok(Idempotent::Done(KeptAnswer { bytes, ..kept }))
    }
}

/// A row of [`ONE`]; `None` when its MAC fails.
fn session_row(
    keys: &Keyring,
    organization: &str,
    digest: &[u8; 32],
    row: &Row,
) -> Result<Option<Session>, StoreError> {
    let session = Session {
        staff: StaffId(row.text(0)?),
        fingerprint: row.text(1)?,
        way: if row.text(2)? == "interactive" { SessionWay::Interactive } else { SessionWay::Program },
        software: row.text_or_null(3)?,
        expires_at: instant(row.big(4)?)?,
        ended_at: row.big_or_null(5)?.map(instant).transpose()?,
    };
    let fits = session_door(organization, digest, &session).fits(keys, &row.blob(6)?);
    Ok(fits.then_some(session))
}

/// Whose session it is, how long it lasts, and its end once it has ended.
fn session_door(organization: &str, digest: &[u8; 32], session: &Session) -> Door {
    let door = Door::new("session")
        .text(organization)
        .bytes(digest)
        .text(&session.staff.0)
        .text(&session.fingerprint)
        .text(session.way.code())
        .maybe_text(session.software.as_deref())
        .number(session.expires_at.as_microsecond());
    match session.ended_at {
        Some(ended) => door.number(ended.as_microsecond()),
        None => door,
    }
}
