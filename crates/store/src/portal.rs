//! 本人・代理の方の登録 and their log-ins at the person's own door (P-001, P-002, T-2, T-38).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::{Closing, InsurerKeys, Keyring, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey, Timestamp, dates};

macro_rules! grants {
    ($condition:literal) => {
        concat!(
            "SELECT insurer_number, insured_number, grant_id, role, about, code, code_until, despite_withheld, ends_on, made_by, made_at, \
             subject, bound_at, ended_at, ended_for, mac FROM portal_grant WHERE ",
            $condition
        )
    };
}
const PUT: &str = "INSERT INTO portal_grant (insurer_number, insured_number, grant_id, role, about, code, code_until, despite_withheld, ends_on,
       made_by, made_at, subject, bound_at, ended_at, ended_for, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, NULL, $14)";
/// A code binds once, of several at the same moment one.
const BIND: &str = "UPDATE portal_grant SET subject = $4, bound_at = $5, mac = $6
     WHERE insurer_number = $1 AND insured_number = $2 AND grant_id = $3 AND subject IS NULL AND ended_at IS NULL";
const END: &str = "UPDATE portal_grant SET ended_at = $4, ended_for = $5, mac = $6
     WHERE insurer_number = $1 AND insured_number = $2 AND grant_id = $3 AND ended_at IS NULL";
const OF_PERSON: &str = grants!("insurer_number = $1 AND insured_number = $2 ORDER BY made_at, grant_id");
/// Until the transaction ends, others who ask the same wait.
const LOCK: &str = "UPDATE person SET revision = revision WHERE insurer_number = $1 AND insured_number = $2";
const ONE: &str = grants!("insurer_number = $1 AND insured_number = $2 AND grant_id = $3");
const BY_SUBJECT: &str = grants!("subject = $1 ORDER BY made_at, grant_id");
const BY_CODE: &str = grants!("code = $1");
const OF_BLOCK: &str = grants!("insurer_number = $1 AND insured_number > $2 AND insured_number <= $3");
const PUT_SESSION: &str = "INSERT INTO portal_session (token, subject, birth_and_sex, name_and_birth, insurer_number, insured_number, grant_id,
       opened_at, ends_at, ended_at, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, $10)";
const SESSION: &str = "SELECT token, subject, birth_and_sex, name_and_birth, insurer_number, insured_number, grant_id, opened_at, ends_at, ended_at, mac
     FROM portal_session WHERE token = $1";
const END_SESSION: &str = "UPDATE portal_session SET ended_at = $2, mac = $3 WHERE token = $1 AND ended_at IS NULL";
const FORGET_SESSIONS: &str = "DELETE FROM portal_session WHERE ends_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT,
    BIND,
    END,
    LOCK,
    OF_PERSON,
    ONE,
    OF_BLOCK,
    BY_SUBJECT,
    BY_CODE,
    PUT_SESSION,
    SESSION,
    END_SESSION,
    FORGET_SESSIONS,
];

/// As whom somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortalRole {
    /// 本人
    Person,
    /// 家族
    Family,
    /// 法定代理人
    Legal,
    /// 任意後見人
    Voluntary,
    /// Nobody: the person wants no family to look. Only the person makes and ends it.
    FamilyRefused,
    /// Nobody: until the municipality has decided, one proxy or all of them see nothing (T-2). What it says stands in `about`.
    Blocked,
}

impl PortalRole {
    const ALL: [Self; 6] =
        [Self::Person, Self::Family, Self::Legal, Self::Voluntary, Self::FamilyRefused, Self::Blocked];

    /// The stored code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Family => "family",
            Self::Legal => "legal",
            Self::Voluntary => "voluntary",
            Self::FamilyRefused => "family_refused",
            Self::Blocked => "blocked",
        }
    }

    /// Inverse of [`PortalRole::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// Whether somebody else than the person looks.
    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Family | Self::Legal | Self::Voluntary)
    }

    /// Nobody looks by it: it keeps others from looking.
    pub(crate) fn closes(self) -> bool {
        matches!(self, Self::FamilyRefused | Self::Blocked)
    }

    /// For pages.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Person => "本人",
            Self::Family => "家族",
            Self::Legal => "法定代理人",
            Self::Voluntary => "任意後見人",
            Self::FamilyRefused => "家族には見せない",
            Self::Blocked => "代理の方の閲覧を止めている",
        }
    }
}

/// One registration of the person or a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalGrant {
    /// Whose information.
    pub person: PersonKey,
    /// Random id.
    pub id: String,
    /// As whom.
    pub role: PortalRole,
    /// About a proxy, JSON: name, relation, document. Empty for the person.
    pub about: Vec<u8>,
    /// Keyed digest of its one-time code, and until when that can be used.
    pub code: Option<([u8; 32], Timestamp)>,
    /// The municipality issued the code while 不開示 was set.
    pub despite_withheld: bool,
    /// Last day on which it holds.
    pub ends_on: Option<Date>,
    /// Staff of the municipality, or `portal`.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// Whose log-in, and since when.
    pub bound: Option<([u8; 32], Timestamp)>,
    /// When and why it ended.
    pub ended: Option<(Timestamp, String)>,
}

impl PortalGrant {
    /// Whether somebody may look by it today, as far as it says itself.
    pub fn is_live(&self, today: Date) -> bool {
        self.ended.is_none()
            && self.bound.is_some()
            && (self.role.is_proxy() || self.role == PortalRole::Person)
            && self.ends_on.is_none_or(|last| today <= last)
    }

    /// That the person wants no family to look.
    pub fn refusal(person: PersonKey, id: String, now: Timestamp) -> Self {
        Self {
            person,
            id,
            role: PortalRole::FamilyRefused,
            about: Vec::new(),
            code: None,
            despite_withheld: false,
            ends_on: None,
            made_by: "portal".to_owned(),
            made_at: now,
            bound: None,
            ended: None,
        }
    }

    /// The person wants no family to look, at present.
    pub fn is_refusal(&self) -> bool {
        self.role == PortalRole::FamilyRefused && self.ended.is_none()
    }

    /// Until when the one-time code can be used of a registration that nobody uses yet and nobody ended.
    pub fn waiting_code(&self) -> Option<Timestamp> {
        self.code.as_ref().filter(|_| self.bound.is_none() && self.ended.is_none()).map(|(_, until)| *until)
    }

    fn ends_on_number(&self) -> i32 {
        self.ends_on.map_or(99_991_231, dates::to_number)
    }

    /// Everything in it: who may write to the database makes nobody a proxy, and no ended one live.
    fn door(&self) -> Door {
        let (code, until) = self.code.as_ref().map(|(code, until)| (code, until.as_microsecond())).unzip();
        let (subject, bound_at) = self.bound.as_ref().map(|(subject, at)| (subject, at.as_microsecond())).unzip();
        let (ended_at, ended_for) = self.ended.as_ref().map(|(at, why)| (at.as_microsecond(), why.as_str())).unzip();
        Door::new("portal_grant")
            .text(self.person.insurer.as_str())
            .text(self.person.insured.as_str())
            .text(&self.id)
            .text(self.role.code())
            .bytes(code.map_or(&[][..], |code| code))
            .maybe_number(until)
            .flag(self.despite_withheld)
            .number(self.ends_on_number())
            .text(&self.made_by)
            .number(self.made_at.as_microsecond())
            .bytes(subject.map_or(&[][..], |subject| subject))
            .maybe_number(bound_at)
            .maybe_number(ended_at)
            .maybe_text(ended_for)
    }
}

/// A log-in at the person's door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalSession {
    /// Keyed digest of what the provider calls who logged in.
    pub subject: [u8; 32],
    /// Keyed digest of 生年月日 and 性別, to compare with the person a code is for.
    pub birth_and_sex: [u8; 32],
    /// Keyed digest of 氏名 and 生年月日, to compare with the proxy a code is for.
    pub name_and_birth: [u8; 32],
    /// Whose information is being looked at, by which registration; none before one is chosen.
    pub whose: Option<(PersonKey, String)>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends whatever is done.
    pub ends_at: Timestamp,
    /// Ended before.
    pub ended_at: Option<Timestamp>,
}

impl PortalSession {
    fn door(&self, token: &[u8; 32]) -> Door {
        let (insurer, insured, grant) = self.columns();
        Door::new("portal_session")
            .bytes(token)
            .bytes(&self.subject)
            .bytes(&self.birth_and_sex)
            .bytes(&self.name_and_birth)
            .maybe_text(insurer)
            .maybe_text(insured)
            .maybe_text(grant)
            .number(self.opened_at.as_microsecond())
            .number(self.ends_at.as_microsecond())
            .maybe_number(self.ended_at.map(Timestamp::as_microsecond))
    }

    fn columns(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        match &self.whose {
            Some((person, grant)) => (Some(person.insurer.as_str()), Some(person.insured.as_str()), Some(grant)),
            None => (None, None, None),
        }
    }
}

impl Tx {
    /// The registrations for an insured, as [`Store::portal_grants`] gives them; until this transaction ends, no other one that asks so
    /// goes on.
    pub async fn lock_portal_grants(&mut self, person: PersonKey) -> Result<Vec<PortalGrant>, StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        self.raw.run(LOCK, args![insurer, insured]).await?;
        let rows = self.raw.rows(OF_PERSON, args![insurer, insured]).await?;
        grant_rows(&self.keys, &rows).await
    }

    /// Adds a registration; `ended` is not looked at.
    pub async fn put_portal_grant(&mut self, grant: &PortalGrant) -> Result<(), StoreError> {
        let grant = PortalGrant { ended: None, ..grant.clone() };
        let (insurer, insured) = (grant.person.insurer.as_str(), grant.person.insured.as_str());
        let keys = self.keys_of(insurer).await?;
        let about = with_aad(insurer, &grant.id, |aad| keys.seal(aad, &grant.about));
        let mac = grant.door().mac(&self.keys);
        let (code, until) = grant.code.as_ref().map(|(code, until)| (code.as_slice(), until.as_microsecond())).unzip();
        let (subject, bound_at) = grant.bound.as_ref().map(|(s, at)| (s.as_slice(), at.as_microsecond())).unzip();
        let args = args![
            insurer,
            insured,
            &grant.id,
            grant.role.code(),
            &about,
            code,
            until,
            grant.despite_withheld,
            grant.ends_on_number(),
            &grant.made_by,
            grant.made_at.as_microsecond(),
            subject,
            bound_at,
            &mac
        ];
        self.raw.run(PUT, args).await?;
        if grant.role.closes() {
            self.note_closing(Closing::ProxyRefusal {
                person: grant.person,
                role: grant.role.code().to_owned(),
                about: String::from_utf8_lossy(&grant.about).into_owned(),
                grant: grant.id,
                made_by: grant.made_by,
                made_at: grant.made_at,
            });
        }
        Ok(())
    }

    /// Binds a registration that was read a moment ago to a log-in; false when another was faster or it has ended.
    pub async fn bind_portal_grant(
        &mut self,
        grant: &PortalGrant,
        subject: [u8; 32],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let bound = PortalGrant { bound: Some((subject, now)), ..grant.clone() };
        let mac = bound.door().mac(&self.keys);
        let (insurer, insured) = (grant.person.insurer.as_str(), grant.person.insured.as_str());
        let args = args![insurer, insured, &grant.id, &subject, now.as_microsecond(), &mac];
        Ok(self.raw.run(BIND, args).await? == 1)
    }

    /// Ends a registration that was read a moment ago; false when it had ended.
    pub async fn end_portal_grant(
        &mut self,
        grant: &PortalGrant,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let ended = PortalGrant { ended: Some((now, why.to_owned())), ..grant.clone() };
        let mac = ended.door().mac(&self.keys);
        let (insurer, insured) = (grant.person.insurer.as_str(), grant.person.insured.as_str());
        let args = args![insurer, insured, &grant.id, now.as_microsecond(), why, &mac];
        let is_ended = self.raw.run(END, args).await? == 1;
        // The end of a refusal or a block opens.
        if is_ended && !grant.role.closes() {
            let (person, grant, why) = (grant.person, grant.id.clone(), why.to_owned());
            self.note_closing(Closing::Proxy { person, grant, why, at: now });
        }
        Ok(is_ended)
    }

    /// Opens a log-in; only the keyed digest of its token is stored.
    pub async fn put_portal_session(&mut self, token: &[u8], session: &PortalSession) -> Result<(), StoreError> {
        let token = self.keys_of(NO_INSURER).await?.digest(token);
        let session = PortalSession { ended_at: None, ..session.clone() };
        let mac = session.door(&token).mac(&self.keys);
        let (insurer, insured, grant) = session.columns();
        let (opened_at, ends_at) = (session.opened_at.as_microsecond(), session.ends_at.as_microsecond());
        let args = args![
            &token,
            &session.subject,
            &session.birth_and_sex,
            &session.name_and_birth,
            insurer,
            insured,
            grant,
            opened_at,
            ends_at,
            &mac
        ];
        self.raw.run(PUT_SESSION, args).await.map(drop)
    }

    /// Ends a log-in; one that has ended stays as it is.
    pub async fn end_portal_session(
        &mut self,
        token: &[u8],
        session: &PortalSession,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let token = self.keys_of(NO_INSURER).await?.digest(token);
        let ended = PortalSession { ended_at: Some(now), ..session.clone() };
        let mac = ended.door(&token).mac(&self.keys);
        self.raw.run(END_SESSION, args![&token, now.as_microsecond(), &mac]).await.map(drop)
    }

    /// Takes the log-ins away that ended at the latest before an instant, whatever was done; how many.
    pub async fn forget_portal_sessions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET_SESSIONS, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// Every registration for an insured, in the order they were made. One whose MAC fails is left out, and where it kept others from looking
    /// it still does, from all of them.
    pub async fn portal_grants(&self, person: PersonKey) -> Result<Vec<PortalGrant>, StoreError> {
        let rows = self.engine.rows(OF_PERSON, args![person.insurer.as_str(), person.insured.as_str()]).await?;
        grant_rows(&self.keys, &rows).await
    }

    /// The registrations of the people of an insurer after one number up to another, ended ones too, for a pass over a municipality.
    pub async fn portal_grants_between(
        &self,
        insurer: InsurerNumber,
        after: Option<InsuredNumber>,
        last: InsuredNumber,
    ) -> Result<Vec<PortalGrant>, StoreError> {
        let after = after.map(|number| number.to_string()).unwrap_or_default();
        let rows = self.engine.rows(OF_BLOCK, args![insurer.as_str(), &after, last.as_str()]).await?;
        grant_rows(&self.keys, &rows).await
    }

    /// One registration.
    pub async fn portal_grant(&self, person: PersonKey, id: &str) -> Result<Option<PortalGrant>, StoreError> {
        let rows = self.engine.rows(ONE, args![person.insurer.as_str(), person.insured.as_str(), id]).await?;
        Ok(grant_rows(&self.keys, &rows).await?.into_iter().next())
    }

    /// The registrations a log-in is bound to.
    pub async fn portal_grants_of(&self, subject: &[u8; 32]) -> Result<Vec<PortalGrant>, StoreError> {
        let rows = self.engine.rows(BY_SUBJECT, args![subject]).await?;
        grant_rows(&self.keys, &rows).await
    }

    /// The registration a one-time code was issued for, by its keyed digest.
    pub async fn portal_grant_of_code(&self, code: &[u8; 32]) -> Result<Option<PortalGrant>, StoreError> {
        let rows = self.engine.rows(BY_CODE, args![code]).await?;
        Ok(grant_rows(&self.keys, &rows).await?.into_iter().next())
    }

    /// The log-in of a token; `None` also when its MAC fails.
    pub async fn portal_session(&self, token: &[u8]) -> Result<Option<PortalSession>, StoreError> {
        let token = self.keys.keys_of(NO_INSURER).await?.digest(token);
        let rows = self.engine.rows(SESSION, args![&token]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let whose = match (row.text_or_null(4)?, row.text_or_null(5)?, row.text_or_null(6)?) {
            (Some(insurer), Some(insured), Some(grant)) => Some((person_of(&insurer, &insured)?, grant)),
            _ => None,
        };
        let session = PortalSession {
            subject: digest(row, 1)?,
            birth_and_sex: digest(row, 2)?,
            name_and_birth: digest(row, 3)?,
            whose,
            opened_at: instant(row.big(7)?)?,
            ends_at: instant(row.big(8)?)?,
            ended_at: row.big_or_null(9)?.map(instant).transpose()?,
        };
        Ok(session.door(&token).fits(&self.keys, &row.blob(10)?).then_some(session))
    }
}

const UNREADABLE: StoreError = StoreError::Unreadable("portal_grant");

async fn grant_rows(keyring: &Keyring, rows: &[Row]) -> Result<Vec<PortalGrant>, StoreError> {
    let mut grants = Vec::with_capacity(rows.len());
    for row in rows {
        let keys = keyring.keys_for(&row.text(0)?, std::slice::from_ref(row), &[4]).await?;
        match readable("portal_grant", grant_row(keyring, &keys, row))? {
            Some(grant) => grants.push(grant),
            None => grants.extend(damaged_refusal(row)?),
        }
    }
    Ok(grants)
}

/// A refusal or a block that somebody wrote into by hand goes on closing: as one of every proxy that nobody has ended.
fn damaged_refusal(row: &Row) -> Result<Option<PortalGrant>, StoreError> {
    let Some(role) = PortalRole::parse(&row.text(3)?).filter(|role| role.closes()) else { return Ok(None) };
    Ok(Some(PortalGrant {
        person: person_of(&row.text(0)?, &row.text(1)?)?,
        id: row.text(2)?,
        role,
        about: Vec::new(),
        code: None,
        despite_withheld: false,
        ends_on: None,
        made_by: row.text(9)?,
        made_at: instant(row.big(10)?).unwrap_or(Timestamp::UNIX_EPOCH),
        bound: None,
        ended: None,
    }))
}

/// `None` when the MAC fails.
fn grant_row(keyring: &Keyring, keys: &InsurerKeys, row: &Row) -> Result<Option<PortalGrant>, StoreError> {
    let (insurer, id) = (row.text(0)?, row.text(2)?);
    let pair = |digest: Option<[u8; 32]>, at: Option<Timestamp>| digest.zip(at);
    let at = |column| -> Result<Option<Timestamp>, StoreError> { row.big_or_null(column)?.map(instant).transpose() };
    let last = row.int(8)?;
    let sealed = row.blob(4)?;
    let grant = PortalGrant {
        person: person_of(&insurer, &row.text(1)?)?,
        role: PortalRole::parse(&row.text(3)?).ok_or(UNREADABLE)?,
        about: with_aad(&insurer, &id, |aad| keys.open(aad, &sealed))?,
        code: pair(maybe_digest(row, 5)?, at(6)?),
        despite_withheld: row.boolean(7)?,
        ends_on: if last == 99_991_231 { None } else { Some(dates::from_number(last).map_err(|_| UNREADABLE)?) },
        made_by: row.text(9)?,
        made_at: instant(row.big(10)?)?,
        bound: pair(maybe_digest(row, 11)?, at(12)?),
        ended: at(13)?.zip(row.text_or_null(14)?),
        id,
    };
    Ok(grant.door().fits(keyring, &row.blob(15)?).then_some(grant))
}

fn person_of(insurer: &str, insured: &str) -> Result<PersonKey, StoreError> {
    Ok(PersonKey {
        insurer: InsurerNumber::parse(insurer).map_err(|_| UNREADABLE)?,
        insured: InsuredNumber::parse(insured).map_err(|_| UNREADABLE)?,
    })
}

fn digest(row: &Row, column: usize) -> Result<[u8; 32], StoreError> {
    row.blob(column)?.try_into().map_err(|_| UNREADABLE)
}

fn maybe_digest(row: &Row, column: usize) -> Result<Option<[u8; 32]>, StoreError> {
    row.blob_or_null(column)?.map(|bytes| bytes.try_into().map_err(|_| UNREADABLE)).transpose()
}

/// What is sealed of a registration is bound to insurer and id.
pub(crate) fn with_aad<T>(insurer: &str, id: &str, seal: impl FnOnce(&[&[u8]]) -> T) -> T {
    seal(&[b"portal_grant", insurer.as_bytes(), id.as_bytes()])
}
