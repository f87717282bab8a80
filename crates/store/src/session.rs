//! Log-ins, bound to the certificate they were made over, each with an access and a refresh token, and answers to repeated writes (P-164, F-4, T-31).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::office::instant;
use crate::{Keyring, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, Timestamp};
use std::collections::HashMap;

const PUT: &str = "INSERT INTO session (organization, session_id, token_digest, refresh_digest, staff_id, fingerprint, way, software, expires_at, refresh_until, ended_at, mac, opened_at, awaits_factor)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, $12, $13) ON CONFLICT DO NOTHING";
const BY_TOKEN: &str = "SELECT session_id, token_digest, refresh_digest, staff_id, fingerprint, way, software, expires_at, refresh_until, ended_at, mac, opened_at, awaits_factor
     FROM session WHERE organization = $1 AND token_digest = $2";
const BY_ID: &str = "SELECT session_id, token_digest, refresh_digest, staff_id, fingerprint, way, software, expires_at, refresh_until, ended_at, mac, opened_at, awaits_factor
     FROM session WHERE organization = $1 AND session_id = $2";
/// Of several at once with one refresh token, one finds it unused.
const RENEW: &str = "UPDATE session SET token_digest = $4, refresh_digest = $5, expires_at = $6, mac = $7
     WHERE organization = $1 AND session_id = $2 AND refresh_digest = $3 AND ended_at IS NULL";
const END: &str =
    "UPDATE session SET ended_at = $3, mac = $4 WHERE organization = $1 AND session_id = $2 AND ended_at IS NULL";
const LIVE_OF_STAFF: &str = "SELECT session_id, token_digest, refresh_digest, staff_id, fingerprint, way, software, expires_at, refresh_until, ended_at, mac, opened_at, awaits_factor
     FROM session WHERE organization = $1 AND staff_id = $2 AND ended_at IS NULL AND refresh_until > $3";
const LAST_OF: &str = "SELECT staff_id, MAX(opened_at) FROM session WHERE organization = $1 GROUP BY staff_id";
/// The newest of each account stays: the list of the accounts says when that was (P-187).
const FORGET_SESSIONS: &str = "DELETE FROM session WHERE refresh_until < $1 AND opened_at <
       (SELECT MAX(newest.opened_at) FROM session newest WHERE newest.organization = session.organization AND newest.staff_id = session.staff_id)";
const REMEMBER: &str = "INSERT INTO idempotency (organization, key_digest, request_digest, answer, recorded_at, insurer_number, insured_number)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (organization, key_digest) DO NOTHING";
const REMEMBERED: &str = "SELECT request_digest, answer, insurer_number, insured_number FROM idempotency WHERE organization = $1 AND key_digest = $2";
const FORGET: &str = "DELETE FROM idempotency WHERE recorded_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] =
    &[PUT, BY_TOKEN, BY_ID, RENEW, END, LIVE_OF_STAFF, LAST_OF, REMEMBER, REMEMBERED, FORGET, FORGET_SESSIONS];

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
    /// Random, the same for all tokens of the log-in.
    pub id: String,
    /// Whose.
    pub staff: StaffId,
    /// Certificate it is bound to.
    pub fingerprint: String,
    /// How it was opened.
    pub way: SessionWay,
    /// Name of the vendor's program.
    pub software: Option<String>,
    /// When it was opened; the epoch for one of before this was kept.
    pub opened_at: Timestamp,
    /// End of the access token.
    pub expires_at: Timestamp,
    /// End of the log-in: until then a refresh token may be used.
    pub refresh_until: Timestamp,
    /// Ended before.
    pub ended_at: Option<Timestamp>,
    /// The second factor has not come yet: good for nothing else.
    pub awaits_factor: bool,
}

/// The two tokens of a log-in, as its owner has them. Only their keyed digests are stored.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Of every request.
    pub access: &'a [u8],
    /// Good once, for the next two.
    pub refresh: &'a [u8],
}

/// A log-in as it is stored.
struct StoredSession {
    session: Session,
    token: [u8; 32],
    refresh: [u8; 32],
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
    /// Opens a session; only the keyed digests of its tokens are stored.
    pub async fn put_session(
        &mut self,
        organization: Organization,
        tokens: Tokens<'_>,
        session: &Session,
    ) -> Result<(), StoreError> {
        let session = Session { ended_at: None, ..session.clone() };
        let stored = self.stored(tokens, session).await?;
        let organization = organization.to_string();
        let mac = stored.door(&organization).mac(&self.keys);
        let StoredSession { session, token, refresh } = &stored;
        let added = self
            .raw
            .run(
                PUT,
                args![
                    &organization,
                    &session.id,
                    token,
                    refresh,
                    &session.staff.0,
                    &session.fingerprint,
                    session.way.code(),
                    session.software.as_deref(),
                    session.expires_at.as_microsecond(),
                    session.refresh_until.as_microsecond(),
                    &mac,
                    session.opened_at.as_microsecond(),
                    session.awaits_factor
                ],
            )
            .await?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict("the token is in use")) }
    }

    /// Gives a session that was read a moment ago new tokens in place of its own, which are good for nothing from then on;
    /// the keyed digest of the access token that is replaced. `None`: the refresh token is not the one that has not been
    /// used, or the session has ended.
    pub async fn renew_session(
        &mut self,
        organization: Organization,
        used: &[u8],
        tokens: Tokens<'_>,
        session: &Session,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let before = self.open_session(organization, &session.id).await?;
        let used = self.keys_of(NO_INSURER).await?.digest(used);
        let stored = self.stored(tokens, session.clone()).await?;
        let organization = organization.to_string();
        let mac = stored.door(&organization).mac(&self.keys);
        let StoredSession { session, token, refresh } = &stored;
        let expires_at = session.expires_at.as_microsecond();
        let args = args![&organization, &session.id, &used, token, refresh, expires_at, &mac];
        let renewed = self.raw.run(RENEW, args).await? == 1;
        Ok(before.filter(|_| renewed).map(|before| before.token))
    }

    /// Ends a session; one that has ended, or whose MAC fails, stays as it is. The keyed digest of its access token if it
    /// ends now.
    pub async fn end_session(
        &mut self,
        organization: Organization,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(mut stored) = self.open_session(organization, id).await? else { return Ok(None) };
        let organization = organization.to_string();
        stored.session.ended_at = Some(now);
        let mac = stored.door(&organization).mac(&self.keys);
        let ended = self.raw.run(END, args![&organization, id, now.as_microsecond(), &mac]).await? == 1;
        Ok(ended.then_some(stored.token))
    }

    /// A session that has not ended.
    async fn open_session(
        &mut self,
        organization: Organization,
        id: &str,
    ) -> Result<Option<StoredSession>, StoreError> {
        let organization = organization.to_string();
        let rows = self.raw.rows(BY_ID, args![&organization, id]).await?;
        let stored = first_session(&self.keys, &organization, &rows)?;
        Ok(stored.filter(|stored| stored.session.ended_at.is_none()))
    }

    async fn stored(&mut self, tokens: Tokens<'_>, session: Session) -> Result<StoredSession, StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        Ok(StoredSession { session, token: keys.digest(tokens.access), refresh: keys.digest(tokens.refresh) })
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
            if let Some(mut stored) = session_row(&self.keys, &organization, row)? {
                stored.session.ended_at = Some(now);
                let mac = stored.door(&organization).mac(&self.keys);
                ended += self.raw.run(END, args![&organization, &stored.session.id, now_at, &mac]).await?;
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
    /// Takes the log-ins away that were over before an instant, whether somebody ended them or not, but for the newest of each account;
    /// how many.
    pub async fn forget_sessions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET_SESSIONS, args![before.as_microsecond()]).await
    }

    /// Forgets the answers remembered before an instant; how many.
    pub async fn forget_answers(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// The session of an access token of an organisation; `None` also when its MAC fails.
    pub async fn session(&self, organization: Organization, token: &[u8]) -> Result<Option<Session>, StoreError> {
        let digest = self.keys.keys_of(NO_INSURER).await?.digest(token);
        let organization = organization.to_string();
        let rows = self.engine.rows(BY_TOKEN, args![&organization, &digest]).await?;
        let stored = first_session(&self.keys, &organization, &rows)?;
        Ok(stored.map(|stored| stored.session))
    }

    /// The session of this id; `None` also when its MAC fails.
    pub async fn session_of_id(&self, organization: Organization, id: &str) -> Result<Option<Session>, StoreError> {
        let organization = organization.to_string();
        let rows = self.engine.rows(BY_ID, args![&organization, id]).await?;
        let stored = first_session(&self.keys, &organization, &rows)?;
        Ok(stored.map(|stored| stored.session))
    }

    /// The log-ins of an account that have not ended, the newest first; one whose MAC fails is none.
    pub async fn sessions_of(
        &self,
        organization: Organization,
        staff: &StaffId,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let organization = organization.to_string();
        let rows = self.engine.rows(LIVE_OF_STAFF, args![&organization, &staff.0, now.as_microsecond()]).await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(session_row(&self.keys, &organization, row)?.map(|stored| stored.session));
        }
        found.sort_by_key(|session| std::cmp::Reverse(session.opened_at));
        Ok(found)
    }

    /// When each account of an organisation that ever logged in did so last.
    pub async fn last_log_ins(&self, organization: Organization) -> Result<HashMap<StaffId, Timestamp>, StoreError> {
        let rows = self.engine.rows(LAST_OF, args![&organization.to_string()]).await?;
        rows.iter().map(|row| Ok((StaffId(row.text(0)?), instant(row.big(1)?)?))).collect()
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

/// The row of [`BY_TOKEN`] or [`BY_ID`]; `None` also when its MAC fails.
fn first_session(keys: &Keyring, organization: &str, rows: &[Row]) -> Result<Option<StoredSession>, StoreError> {
    rows.first().map_or(Ok(None), |row| session_row(keys, organization, row))
}

/// A row of those; `None` when its MAC fails.
fn session_row(keys: &Keyring, organization: &str, row: &Row) -> Result<Option<StoredSession>, StoreError> {
    let digest = |column| -> Result<[u8; 32], StoreError> {
        row.blob(column)?.try_into().map_err(|_| StoreError::Unreadable("session"))
    };
    let session = Session {
        id: row.text(0)?,
        staff: StaffId(row.text(3)?),
        fingerprint: row.text(4)?,
        way: if row.text(5)? == "interactive" { SessionWay::Interactive } else { SessionWay::Program },
        software: row.text_or_null(6)?,
        opened_at: instant(row.big(11)?)?,
        expires_at: instant(row.big(7)?)?,
        refresh_until: instant(row.big(8)?)?,
        ended_at: row.big_or_null(9)?.map(instant).transpose()?,
        awaits_factor: row.boolean(12)?,
    };
    let stored = StoredSession { session, token: digest(1)?, refresh: digest(2)? };
    let fits = stored.door(organization).fits(keys, &row.blob(10)?);
    Ok(fits.then_some(stored))
}

impl StoredSession {
    /// Whose session it is, its tokens, how long it lasts, and its end once it has ended.
    fn door(&self, organization: &str) -> Door {
        let session = &self.session;
        let door = Door::new("session")
            .text(organization)
            .text(&session.id)
            .bytes(&self.token)
            .bytes(&self.refresh)
            .text(&session.staff.0)
            .text(&session.fingerprint)
            .text(session.way.code())
            .maybe_text(session.software.as_deref())
            .number(session.expires_at.as_microsecond())
            .number(session.refresh_until.as_microsecond())
            .maybe_number(session.ended_at.map(Timestamp::as_microsecond));
        // Added later: a log-in of before keeps its MAC.
        let door = match session.opened_at.as_microsecond() {
            0 => door,
            opened => door.text("opened").number(opened),
        };
        if session.awaits_factor { door.text("awaits_factor") } else { door }
    }
}
