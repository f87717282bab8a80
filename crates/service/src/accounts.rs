//! Log-in by certificate, id and password (P-164, P-185, S-005…009), and who is behind a token. The life of an account is in
//! `account_life`, what its owner does with it in `own_account`.

use crate::caller::fingerprint_bytes;
use crate::mail_factor::Mailed;
use crate::refresh::{NewTokens, REFRESH_HOURS, TOKEN_MINUTES};
use crate::second_factor::WAITING_MINUTES;
use crate::{Caller, Config, Context, Error, Peer, Platform, random, random_id};
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use kiban_domain::office::{JobType, Office, OfficeClass, Staff, StaffId};
use kiban_domain::{Organization, Timestamp};
use kiban_policy::{Way, class_of};
use kiban_store::{Account, Entry, Outcome, Session, SessionWay, Tx};
use zeroize::Zeroizing;

/// What somebody types, or a program sends, to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct LogIn {
    /// Account within the organisation of the certificate.
    pub account: String,
    /// Password.
    pub password: String,
    /// Name of the vendor's program; `None` for a person at a screen.
    pub software: Option<String>,
}

/// How far a log-in must have come for what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The password was right; the code of the second factor may be missing.
    Code,
    /// The password may be an initial one.
    Password,
    /// A second factor that is asked for may not be set up yet.
    Factor,
    /// Nothing is missing.
    Through,
    /// And that was proven a short while ago (S-013).
    Fresh,
}

/// A session just opened.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Bearer token, 256 random bits in hexadecimal.
    pub token: String,
    /// End of its validity.
    pub expires_at: Timestamp,
    /// Good once, for the next two tokens: the id of the log-in and 256 random bits in hexadecimal.
    pub refresh_token: String,
    /// End of the log-in, which no refresh token moves.
    pub refresh_until: Timestamp,
    /// Whose it is.
    pub staff: Staff,
    /// Where they work.
    pub organization: Organization,
    /// Whether the password is an initial one: nothing but changing it is open (P-185).
    pub must_change_password: bool,
    /// Whether the code of the second factor has still to come: the token is good for it and nothing else.
    pub awaits_factor: bool,
    /// What became of the mail with that code, where it comes by e-mail.
    pub mailed: Option<Mailed>,
}

/// What is compared when there is no such account, so that it costs the same.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$a2liYW4ta2liYW4ta2li$hKkQeLhBP5rb0lhHBbkkyfJ54j5gIe2LUgEwNGWQPHo";

fn argon2id() -> Result<Argon2<'static>, Error> {
    let params = Params::new(19_456, 2, 1, None).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// argon2id hash of a password (19 MiB, two passes), as a PHC string.
pub fn hash_password(password: &str) -> Result<String, Error> {
    let salt: [u8; 16] = random()?;
    let hash = argon2id()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(hash.to_string())
}

/// Time after its last failure from which a terminal counts anew.
pub(crate) const FORGOTTEN_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How a terminal stands with an account (S-009, T-34): after a few failures it waits a minute, after each further one twice as long,
/// up to a quarter of an hour. Other terminals of the office are not concerned, so nobody locks anybody out.
pub(crate) struct Lock {
    /// Failures in a row.
    failures: i32,
    /// Seconds it still waits; 0 when it does not.
    pub(crate) seconds: u64,
}

impl Lock {
    pub(crate) fn of(state: kiban_store::LockState, config: &Config, now: Timestamp) -> Self {
        let last = state.last_failure_at.filter(|last| *last >= now - FORGOTTEN_AFTER);
        let Some(last) = last else { return Self { failures: 0, seconds: 0 } };
        let until = last.as_second() + 60 * minutes_after(state.failures, config);
        Self { failures: state.failures, seconds: u64::try_from(until - now.as_second()).unwrap_or(0) }
    }

    /// After one more failure: how many are left, and how many minutes the wait is then.
    pub(crate) fn one_more(&self, config: &Config) -> (i32, i64) {
        let failures = self.failures.saturating_add(1);
        let left = config.login_failures.saturating_sub(failures).max(0);
        (left, minutes_after(failures.max(config.login_failures), config))
    }
}

/// Minutes a terminal waits after so many failures in a row.
fn minutes_after(failures: i32, config: &Config) -> i64 {
    match u32::try_from(failures - config.login_failures) {
        Ok(beyond) => 1_i64.checked_shl(beyond.min(30)).unwrap_or(i64::MAX).min(config.login_lock_minutes),
        Err(_) => 0,
    }
}

/// Id of an account.
pub(crate) fn staff_id(organization: Organization, account: &str) -> Result<StaffId, Error> {
    let fits = !account.is_empty()
        && account.len() <= 64
        && account.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if fits {
        Ok(StaffId(format!("{organization}/{account}")))
    } else {
        Err(Error::WrongPassword { left: 0, minutes: 0 })
    }
}

impl Platform {
    /// Opens a session. A wrong account and a wrong password are one answer at one cost.
    pub async fn log_in(&self, peer: &Peer, request: LogIn, context: &Context) -> Result<LoggedIn, Error> {
        let organization = self.organization_in_standing(peer, context).await?;
        if self.standing().connector(&peer.fingerprint).is_some() {
            self.refuse_log_in(peer, organization, None, "login.connector", context).await?;
            return Err(Error::Unauthenticated("connector_certificate"));
        }
        let id = staff_id(organization, &request.account);
        let password = Zeroizing::new(request.password);
        let account = self.check_password(peer, organization, id, password, context).await?;
        let refusal = match account.initial_until {
            Some(until) if until <= context.now => Some("initial_password_expired"),
            // A program cannot change it, and nothing else is open to it.
            Some(_) if request.software.is_some() => Some("password_change_required"),
            _ => None,
        };
        if let Some(code) = refusal {
            let entry = log_in_entry(peer, organization, Some(&account.staff.id), "login", Outcome::Refused, context);
            self.store().audit().append(Entry { rule: Some(code.to_owned()), ..entry }).await?;
            return Err(Error::Unauthenticated(code));
        }
        self.open_session(peer, account, request.software, context).await
    }

    /// argon2id calls of this process since its start: what log-ins, and whoever tries them, cost (T-34).
    pub fn password_computations(&self) -> u64 {
        self.inner.passwords.computed()
    }

    /// The active account of this id and password. What does not fit is counted, and one answer at one cost, whatever it is. Of many
    /// tries at the same moment each waits for the one before, and beyond the limit none is answered, right or wrong.
    pub(crate) async fn check_password(
        &self,
        peer: &Peer,
        organization: Organization,
        id: Result<StaffId, Error>,
        password: Zeroizing<String>,
        context: &Context,
    ) -> Result<Account, Error> {
        let account = match &id {
            Ok(id) => self.store().account(id).await?.filter(|account| account.organization == organization),
            Err(_) => None,
        };
        // An account that does not exist is counted and locked like one that does.
        let lock = match &id {
            Ok(id) => self.store().lock_state(organization, id, &peer.fingerprint).await?,
            Err(_) => kiban_store::LockState::default(),
        };
        let lock = Lock::of(lock, &self.inner.config, context.now);
        if lock.seconds > 0 {
            self.refuse_log_in(peer, organization, account.as_ref(), "login.locked", context).await?;
            return Err(Error::Locked(lock.seconds));
        }
        let hash = account.as_ref().map_or(DUMMY_HASH.to_owned(), |account| account.password_hash.clone());
        let fits = self.inner.passwords.check(password, hash).await?;
        let mut tx = self.store().begin().await?;
        let lock = match &id {
            Ok(id) => tx.hold_lock_state(organization, id, &peer.fingerprint).await?,
            Err(_) => kiban_store::LockState::default(),
        };
        let lock = Lock::of(lock, &self.inner.config, context.now);
        if lock.seconds > 0 {
            drop(tx);
            self.refuse_log_in(peer, organization, account.as_ref(), "login.locked", context).await?;
            return Err(Error::Locked(lock.seconds));
        }
        if let Some(account) = account.filter(|account| fits && account.active) {
            return Ok(account);
        }
        self.count_failure(tx, peer, (organization, id.ok().as_ref()), "wrong_password", context).await?;
        let (left, minutes) = lock.one_more(&self.inner.config);
        Err(Error::WrongPassword { left, minutes })
    }

    async fn open_session(
        &self,
        peer: &Peer,
        account: Account,
        software: Option<String>,
        context: &Context,
    ) -> Result<LoggedIn, Error> {
        let new = NewTokens::make(&random_id()?)?;
        let awaits_factor = account.asks_factor() && software.is_none();
        let mut session = new_session(&new, peer, &account.staff.id, software, context.now);
        if awaits_factor {
            session.expires_at = context.now + jiff::SignedDuration::from_mins(WAITING_MINUTES);
            session = Session { awaits_factor, refresh_until: session.expires_at, ..session };
        }
        let mut tx = self.store().begin().await?;
        // Disabled since its password was compared, given another one or a second factor: no session outlives the act.
        let same = |now: Account| {
            let factors = (now.has_factor, now.has_passkey) == (account.has_factor, account.has_passkey);
            now.active && now.password_hash == account.password_hash && factors
        };
        if !tx.hold_account(&account.staff.id).await?.is_some_and(same) {
            let entry =
                log_in_entry(peer, account.organization, Some(&account.staff.id), "login", Outcome::Refused, context);
            tx.commit(Entry { rule: Some("wrong_password".to_owned()), ..entry }).await?;
            return Err(Error::WrongPassword { left: 0, minutes: 0 });
        }
        // Who knows the password only, a program too, must not guess codes for ever: there the right code begins anew.
        if !account.asks_factor() {
            tx.clear_terminal_failures(account.organization, &account.staff.id, &peer.fingerprint).await?;
        }
        tx.put_session(account.organization, new.tokens(), &session).await?;
        let action = if awaits_factor { "login.half" } else { "login" };
        tx.commit(log_in_entry(peer, account.organization, Some(&account.staff.id), action, Outcome::Done, context))
            .await?;
        let must_change_password = account.initial_until.is_some();
        let mailed = match awaits_factor {
            true => self.mail_at_log_in(peer, (account.organization, &account.staff.id), context).await?,
            false => None,
        };
        Ok(LoggedIn {
            must_change_password,
            awaits_factor,
            mailed,
            ..new.logged_in(&session, account.staff, account.organization)
        })
    }

    /// Counts a wrong password or code in the transaction that holds the count.
    pub(crate) async fn count_failure(
        &self,
        mut tx: Tx,
        peer: &Peer,
        (organization, id): (Organization, Option<&StaffId>),
        rule: &str,
        context: &Context,
    ) -> Result<(), Error> {
        if let Some(id) = id {
            let since = context.now - FORGOTTEN_AFTER;
            tx.count_login_failure(organization, id, &peer.fingerprint, context.now, since).await?;
        }
        let entry = log_in_entry(peer, organization, id, "login", Outcome::Refused, context);
        tx.commit(Entry { rule: Some(rule.to_owned()), ..entry }).await?;
        Ok(())
    }

    async fn refuse_log_in(
        &self,
        peer: &Peer,
        organization: Organization,
        account: Option<&Account>,
        action: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let id = account.map(|account| &account.staff.id);
        self.store().audit().append(log_in_entry(peer, organization, id, action, Outcome::Refused, context)).await?;
        Ok(())
    }

    /// The organisation behind a connection, if its certificate is in good standing at this moment.
    pub fn organization_of(&self, peer: &Peer, context: &Context) -> Result<Organization, Error> {
        let standing = self.standing();
        if !standing.is_fresh(context.now) {
            return Err(Error::Unavailable("the standing map is older than 60 s".to_owned()));
        }
        standing.organization(&peer.fingerprint, context.now).map_err(Error::Unauthenticated)
    }

    /// The same, and a refusal is recorded: on an open connection this is the first to notice a revocation.
    pub(crate) async fn organization_in_standing(&self, peer: &Peer, context: &Context) -> Result<Organization, Error> {
        let result = self.organization_of(peer, context);
        if let Err(Error::Unauthenticated(reason)) = result {
            context.note_entry();
            let bound = self.standing().bound_to(&peer.fingerprint);
            let entry = Entry {
                organization: bound.map(|organization| organization.to_string()),
                certificate: fingerprint_bytes(&peer.fingerprint),
                source: Some(peer.source.clone()),
                rule: Some(reason.to_owned()),
                ..Entry::new(context.now, &context.request_id, "tls", "standing.refused", Outcome::Refused)
            };
            self.store().audit().append(entry).await?;
        }
        result
    }

    /// The caller behind a token: certificate, session, account and office are all checked again on every request, and that the
    /// log-in has come the whole way.
    pub async fn authenticate(&self, peer: Peer, token: &str, context: &Context) -> Result<Caller, Error> {
        self.authenticate_at(Stage::Through, peer, token, context).await
    }

    /// The same for what is open before: the code of the second factor, changing an initial password (P-185), setting up a second
    /// factor that is asked for.
    pub async fn authenticate_at(
        &self,
        stage: Stage,
        peer: Peer,
        token: &str,
        context: &Context,
    ) -> Result<Caller, Error> {
        let (caller, account) = self.identify(peer, token, context).await?;
        if caller.awaits_factor && stage > Stage::Code {
            return Err(Error::Unauthenticated("second_factor_required"));
        }
        if account.initial_until.is_some() && stage > Stage::Password {
            return Err(Error::Unauthenticated("password_change_required"));
        }
        if caller.way == Way::Interactive && stage > Stage::Factor && self.needs_factor(&account) {
            return Err(Error::Unauthenticated("second_factor_setup_required"));
        }
        if stage > Stage::Through {
            self.require_fresh(&caller, context).await?;
        }
        Ok(caller)
    }

    /// Whether somebody has an initial password.
    pub fn must_change_password(&self, caller: &Caller) -> bool {
        self.has_initial_password(&caller.staff.id)
    }

    pub(crate) fn has_initial_password(&self, staff: &StaffId) -> bool {
        self.standing().account(staff).is_some_and(|account| account.initial_until.is_some())
    }

    async fn identify(&self, peer: Peer, token: &str, context: &Context) -> Result<(Caller, Account), Error> {
        let organization = self.organization_in_standing(&peer, context).await?;
        let session = self.session(organization, token, context).await?;
        let Some(session) = session.filter(|s| s.ended_at.is_none() && s.expires_at > context.now) else {
            return Err(Error::Unauthenticated("login_required"));
        };
        if session.fingerprint != peer.fingerprint {
            let entry =
                log_in_entry(&peer, organization, Some(&session.staff), "session.binding", Outcome::Refused, context);
            self.store().audit().append(entry).await?;
            return Err(Error::Unauthenticated("binding"));
        }
        let standing = self.standing();
        let Some(account) = standing.account(&session.staff).filter(|account| account.active) else {
            let entry = log_in_entry(
                &peer,
                organization,
                Some(&session.staff),
                "standing.staff_left",
                Outcome::Refused,
                context,
            );
            self.store().audit().append(entry).await?;
            return Err(Error::Unauthenticated("login_required"));
        };
        let office = self.office_in_standing(organization, context)?;
        let way = match (session.way, organization) {
            (SessionWay::Interactive, _) => Way::Interactive,
            (SessionWay::Program, Organization::Municipality(_)) => Way::CityProgram,
            (SessionWay::Program, _) => Way::VendorProgram,
        };
        let caller = Caller {
            organization,
            office,
            staff: account.staff.clone(),
            way,
            peer,
            software: session.software,
            session: session.id,
            opened_at: session.opened_at,
            awaits_factor: session.awaits_factor,
            may_export: true,
        };
        Ok((caller, account.clone()))
    }

    /// The caller behind the certificate of an unattended program: the certificate is all it has, checked on every request
    /// (P-165). Its acts stand in the log under the name of its terminal.
    pub async fn authenticate_connector(&self, peer: Peer, context: &Context) -> Result<Caller, Error> {
        let organization = self.organization_in_standing(&peer, context).await?;
        let standing = self.standing();
        let (row, connector) = standing.connector(&peer.fingerprint).ok_or(Error::Unauthenticated("login_required"))?;
        let job = match organization {
            Organization::Municipality(_) => JobType::MunicipalOfficer,
            _ => JobType::Clerk,
        };
        let id = StaffId(format!("{organization}/connector:{}", row.serial));
        let staff = Staff {
            id,
            name: format!("接続プログラム {}", row.terminal),
            job,
            care_manager: None,
            administrator: false,
        };
        let office = self.office_in_standing(organization, context)?;
        let may_export = connector.may_export;
        Ok(Caller {
            organization,
            office,
            staff,
            way: Way::Connector,
            peer,
            software: None,
            session: String::new(),
            opened_at: context.now,
            awaits_factor: false,
            may_export,
        })
    }

    pub(crate) fn office_in_standing(
        &self,
        organization: Organization,
        context: &Context,
    ) -> Result<Option<(Office, OfficeClass)>, Error> {
        let Some(number) = organization.office() else { return Ok(None) };
        let table = self.table_at(context.now)?;
        let office = self.standing().office(number).cloned().ok_or(Error::Unauthenticated("office_inactive"))?;
        let class = class_of(&office.service_types, office.is_hospital, table);
        Ok(Some((office, class)))
    }

    /// Ends a session with both its tokens.
    pub async fn log_out(&self, caller: &Caller, token: &str, context: &Context) -> Result<(), Error> {
        let session = self.store().session(caller.organization, token.as_bytes()).await?;
        let mut tx = self.store().begin().await?;
        if let Some(session) = session {
            tx.end_session(caller.organization, &session.id, context.now).await?;
        }
        let committed = tx.commit(caller.entry(context, "logout", Outcome::Done)).await;
        let digest = self.store().platform_keys().await?.digest(token.as_bytes());
        self.inner.sessions.forget(&(caller.organization, digest));
        Ok(committed?)
    }

    /// The session of a token, as it was at most two seconds ago.
    async fn session(
        &self,
        organization: Organization,
        token: &str,
        context: &Context,
    ) -> Result<Option<Session>, Error> {
        let key = (organization, self.store().platform_keys().await?.digest(token.as_bytes()));
        if let Some(session) = self.inner.sessions.get(&key, context.now) {
            return Ok(Some(session));
        }
        let session = self.store().session(organization, token.as_bytes()).await?;
        if let Some(session) = session.as_ref().filter(|session| session.ended_at.is_none()) {
            self.inner.sessions.put(key, session.clone(), context.now);
        }
        Ok(session)
    }
}

/// A log-in that begins now.
pub(crate) fn new_session(
    new: &NewTokens,
    peer: &Peer,
    staff: &StaffId,
    software: Option<String>,
    now: Timestamp,
) -> Session {
    Session {
        id: new.id.clone(),
        staff: staff.clone(),
        fingerprint: peer.fingerprint.clone(),
        way: if software.is_some() { SessionWay::Program } else { SessionWay::Interactive },
        software,
        opened_at: now,
        expires_at: now + jiff::SignedDuration::from_mins(TOKEN_MINUTES),
        refresh_until: now + jiff::SignedDuration::from_hours(REFRESH_HOURS),
        ended_at: None,
        awaits_factor: false,
    }
}

pub(crate) fn log_in_entry(
    peer: &Peer,
    organization: Organization,
    staff: Option<&StaffId>,
    action: &str,
    outcome: Outcome,
    context: &Context,
) -> Entry {
    context.note_entry();
    Entry {
        organization: Some(organization.to_string()),
        staff: staff.map(|staff| staff.0.clone()),
        certificate: fingerprint_bytes(&peer.fingerprint),
        source: Some(peer.source.clone()),
        ..Entry::new(context.now, &context.request_id, "tls", action, outcome)
    }
}
