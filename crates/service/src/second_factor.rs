//! 第二要素 at a screen (P-183, P-184, S-005): an authenticator app or codes by e-mail (`mail_factor`), passkeys (`passkey`), and recovery codes for the day they are lost. A log-in with the right
//! password waits for the code and is good for nothing else until it comes. A vendor's program logs in by certificate and
//! password as before: the certificate is what it has, the password what its person knows, and what it may do is narrow (P-165).

use crate::accounts::{Lock, log_in_entry, new_session};
use crate::mail_factor::address_of;
use crate::passkey::PasskeyAnswer;
use crate::refresh::NewTokens;
use crate::totp::{DIGITS, base32, step_of};
use crate::{Caller, Context, Error, LoggedIn, Peer, Platform, random, random_id};
use kiban_domain::Organization;
use kiban_domain::office::{JobType, StaffId};
use kiban_pki::passkey::Site;
use kiban_policy::{UseCase, Way};
use kiban_store::{Account, Entry, Outcome, PasskeyPurpose, SecondFactor, Tx};
use serde::Serialize;
use zeroize::Zeroizing;

/// Minutes for which a log-in waits for the code.
pub(crate) const WAITING_MINUTES: i64 = 10;
/// Recovery codes of an account.
const RECOVERY_CODES: usize = 10;
/// Bytes of a secret (RFC 4226 §4).
const SECRET_BYTES: usize = 20;
/// Name in the list of an authenticator app.
const ISSUER: &str = "介護情報基盤";
pub(crate) const IS_SET: &str = "第二要素は、もう設定してあります。替えるときは、先にやめてください";

/// Of whom a second factor is asked (P-184); who has one set up is always asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactorPolicy {
    /// Of nobody who does not want it.
    Nobody,
    /// Of administrators and the operator.
    Administrators,
    /// Of everybody at a screen.
    Everybody,
}

impl FactorPolicy {
    /// As it stands in `limits.tsv`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "nobody" => Some(Self::Nobody),
            "administrators" => Some(Self::Administrators),
            "everybody" => Some(Self::Everybody),
            _ => None,
        }
    }

    fn asks(self, account: &Account) -> bool {
        let staff = &account.staff;
        let is_administrator = staff.administrator || staff.job == JobType::OperatorStaff;
        self == Self::Everybody || (self == Self::Administrators && is_administrator)
    }
}

/// A second factor about to be set up.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct FactorSetup {
    /// `otpauth://` address for the camera of the app.
    pub uri: String,
    /// The same secret for typing: base32.
    pub secret: String,
}

/// How an account stands with the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FactorState {
    /// An authenticator app is set up.
    pub totp: bool,
    /// Codes come by e-mail.
    pub mail: bool,
    /// How many passkeys there are.
    pub passkeys: usize,
    /// This installation sends mails.
    pub mail_offered: bool,
    /// Recovery codes that are left.
    pub recovery_codes_left: i64,
    /// Nothing else is open until one is set up.
    pub required: bool,
}

/// A code as typed: six digits of the app, or a recovery code.
pub(crate) fn plain(typed: &str) -> Zeroizing<String> {
    let half = |c: char| match c {
        '０'..='９' => char::from_u32(c as u32 - '０' as u32 + '0' as u32).unwrap_or(c),
        _ => c.to_ascii_uppercase(),
    };
    Zeroizing::new(typed.chars().map(half).filter(char::is_ascii_alphanumeric).collect())
}

/// Ten codes of twelve signs that are not taken for each other: 60 random bits each.
fn recovery_codes() -> Result<Vec<Zeroizing<String>>, Error> {
    const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let code = || -> Result<_, Error> {
        let bytes: [u8; 12] = random()?;
        Ok(Zeroizing::new(bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)])).collect::<String>()))
    };
    (0..RECOVERY_CODES).map(|_| code()).collect()
}

/// New recovery codes, as they are kept and as they are told.
pub(crate) fn recovery_codes_as_told() -> Result<(Vec<Zeroizing<String>>, Vec<String>), Error> {
    let codes = recovery_codes()?;
    let told = codes.iter().map(|code| grouped(code)).collect();
    Ok((codes, told))
}

/// In groups of four, as they are written down.
fn grouped(code: &str) -> String {
    let signs: Vec<char> = code.chars().collect();
    signs.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

impl Platform {
    /// Whether somebody must set up a second factor before anything else.
    pub(crate) fn needs_factor(&self, account: &Account) -> bool {
        !account.asks_factor() && self.inner.config.second_factor.asks(account)
    }

    /// How the caller stands with the second factor.
    pub async fn factor_state(&self, caller: &Caller, context: &Context) -> Result<FactorState, Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        let id = &caller.staff.id;
        let account = self.store().account(id).await?.ok_or(Error::Unknown)?;
        let factor = self.store().second_factor(id).await?;
        let state = FactorState {
            totp: matches!(factor, Some(SecondFactor::App(_))),
            mail: matches!(factor, Some(SecondFactor::Mail(_))),
            passkeys: self.store().passkeys(caller.organization, id).await?.len(),
            mail_offered: self.sends_mail(),
            recovery_codes_left: self.store().recovery_codes_left(caller.organization, id).await?,
            required: self.needs_factor(&account),
        };
        self.store().audit().append(caller.entry(context, "factor", Outcome::Allowed)).await?;
        Ok(state)
    }

    /// What an authenticator app needs. Nothing is kept: the same log-in is offered the same secret until a code of it comes. Nothing is
    /// offered to an account that has one: its secret is told once, and it is replaced by taking it away first.
    pub async fn offer_factor(&self, caller: &Caller, context: &Context) -> Result<FactorSetup, Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        if self.store().account(&caller.staff.id).await?.is_none_or(|account| account.has_factor) {
            self.store().audit().append(caller.entry(context, "factor.offer", Outcome::Refused)).await?;
            return Err(Error::Conflict(IS_SET));
        }
        let secret = base32(&self.offered(caller).await?);
        let account = caller.staff.id.0.replace('/', "-");
        let label: String = ISSUER.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri = format!(
            "otpauth://totp/{label}:{account}?secret={secret}&issuer={label}&algorithm=SHA1&digits={DIGITS}&period=30"
        );
        self.store().audit().append(caller.entry(context, "factor.offer", Outcome::Allowed)).await?;
        Ok(FactorSetup { uri, secret })
    }

    /// The secret this log-in is offered: another one after each time it was set up.
    async fn offered(&self, caller: &Caller) -> Result<Zeroizing<Vec<u8>>, Error> {
        let id = &caller.staff.id;
        let last_step = self.store().last_step(caller.organization, id).await?;
        let text = format!("totp_offer|{}|{}|{last_step}", id.0, caller.session);
        let digest = self.store().platform_keys().await?.digest(text.as_bytes());
        Ok(Zeroizing::new(digest.iter().copied().take(SECRET_BYTES).collect()))
    }

    /// Sets up the offered secret once a code of it comes with the password; the recovery codes, told this once. Every other log-in of
    /// the account ends.
    pub async fn set_up_factor<E: From<Error>>(
        &self,
        caller: &Caller,
        proof: Result<FactorProof, E>,
        context: &Context,
    ) -> Result<Vec<String>, E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        Ok(self.put_factor(caller, proof?, context).await?)
    }

    async fn put_factor(&self, caller: &Caller, proof: FactorProof, context: &Context) -> Result<Vec<String>, Error> {
        let account = self.own_password(caller, proof.password, context).await?;
        if account.has_factor {
            self.store().audit().append(caller.entry(context, "factor.set", Outcome::Refused)).await?;
            return Err(Error::Conflict(IS_SET));
        }
        if account.has_passkey {
            self.require_fresh(caller, context).await?;
        }
        let ((codes, told), mut tx) = (recovery_codes_as_told()?, self.store().begin().await?);
        let held = self.hold_same(&mut tx, &account).await?;
        let tx = match &proof.address {
            None => self.put_app(tx, caller, &held, (&proof.code, &codes), context).await?,
            Some(address) => self.put_mail(tx, caller, &held, (address, &proof.code, &codes), context).await?,
        };
        self.commit_factor(tx, caller, "factor.set", context).await?;
        Ok(told)
    }

    async fn put_app(
        &self,
        mut tx: Tx,
        caller: &Caller,
        held: &Account,
        (code, recovery): (&str, &[Zeroizing<String>]),
        context: &Context,
    ) -> Result<Tx, Error> {
        let secret = self.offered(caller).await?;
        let Some(step) = step_of(&secret, &plain(code), context.now) else {
            let text = "アプリに出ている6けたの数字と違います。端末とスマートフォンの時計が合っているか確かめて、新しい数字を入力してください";
            return Err(Error::item("code", text));
        };
        tx.set_factor(held, Some(&SecondFactor::App(secret)), recovery).await?;
        if !tx.use_step(held.organization, &held.staff.id, step).await? {
            return Err(Error::item("code", "この数字は使いました。次の数字になるまで待ってください"));
        }
        Ok(tx)
    }

    /// The address is proven by the code that was sent to it. A wrong one counts, so that nobody guesses an address of others theirs.
    async fn put_mail(
        &self,
        mut tx: Tx,
        caller: &Caller,
        held: &Account,
        (address, code, recovery): (&str, &str, &[Zeroizing<String>]),
        context: &Context,
    ) -> Result<Tx, Error> {
        let (organization, id) = (held.organization, &held.staff.id);
        let (address, whose) = (address_of(address)?.to_string(), (organization, id, caller.peer.fingerprint.as_str()));
        if !self.use_mail_code(&mut tx, whose, (&address, &plain(code)), context).await? {
            self.count_failure(tx, &caller.peer, (organization, Some(id)), "wrong_code", context).await?;
            let text = "メールの数字と違うか、10分を過ぎています。最後に届いたメールの数字を入力するか、もう一度送ってください";
            return Err(Error::item("code", text));
        }
        let factor = SecondFactor::Mail(Zeroizing::new(address));
        tx.set_factor(held, Some(&factor), recovery).await?;
        Ok(tx)
    }

    /// Commits a change of the second factor; every other log-in of the account ends.
    pub(crate) async fn commit_factor(
        &self,
        mut tx: Tx,
        caller: &Caller,
        action: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let (organization, id) = (caller.organization, &caller.staff.id);
        let open = self.store().sessions_of(organization, id, context.now).await?;
        for session in open.iter().filter(|session| session.id != caller.session) {
            tx.end_session(organization, &session.id, context.now).await?;
        }
        tx.commit(caller.entry(context, action, Outcome::Done)).await?;
        self.inner.sessions.forget_staff(id);
        self.refresh_standing(context.now).await
    }

    /// Takes the second factor away, with the password and a code of the app, or a recovery code. Every other log-in of the account
    /// ends.
    pub async fn remove_factor<E: From<Error>>(
        &self,
        caller: &Caller,
        proof: Result<FactorProof, E>,
        context: &Context,
    ) -> Result<(), E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        Ok(self.put_no_factor(caller, proof?, context).await?)
    }

    async fn put_no_factor(&self, caller: &Caller, proof: FactorProof, context: &Context) -> Result<(), Error> {
        let account = self.own_password(caller, proof.password, context).await?;
        if !account.has_factor {
            self.store().audit().append(caller.entry(context, "factor.remove", Outcome::Refused)).await?;
            return Err(Error::Conflict("第二要素は、設定してありません"));
        }
        let whose = (caller.organization, &caller.staff.id);
        let mut tx = match &proof.passkey {
            Some((answer, site)) => self.use_passkey(caller, PasskeyPurpose::Prove, answer, site, context).await?.0,
            None => {
                let used = self.use_code(&caller.peer, whose, &proof.code, context).await;
                let text = "数字か回復コードと違います。入力を確かめてください";
                let told = |error| if matches!(error, Error::WrongCode(_)) { Error::item("code", text) } else { error };
                used.map_err(told)?.0
            }
        };
        let held = self.hold_same(&mut tx, &account).await?;
        tx.set_factor(&held, None, &[]).await?;
        self.commit_factor(tx, caller, "factor.remove", context).await
    }

    /// The caller's account, with its password.
    pub(crate) async fn own_password(
        &self,
        caller: &Caller,
        password: String,
        context: &Context,
    ) -> Result<Account, Error> {
        let (id, password) = (Ok(caller.staff.id.clone()), Zeroizing::new(password));
        let checked = self.check_password(&caller.peer, caller.organization, id, password, context).await;
        checked.map_err(|error| match error {
            Error::WrongPassword { .. } => {
                Error::item("password", "いまのパスワードが違います。入力を確かめてください")
            }
            other => other,
        })
    }

    /// The account as it is at this moment, if its password is still the one that was checked and the second factor stands as it did.
    pub(crate) async fn hold_same(&self, tx: &mut Tx, checked: &Account) -> Result<Account, Error> {
        let held = tx.hold_account(&checked.staff.id).await?;
        let same = |now: &Account| {
            let factors = (now.has_factor, now.has_passkey) == (checked.has_factor, checked.has_passkey);
            now.password_hash == checked.password_hash && factors
        };
        let held = held.filter(|now| now.active && same(now));
        held.ok_or(Error::Conflict("アカウントが、いま変わりました。ログインし直してください"))
    }

    /// Uses up a right code of the second factor, or a recovery code: the transaction in which it is used, the account as held in it, and which
    /// of them it was. A wrong one is counted like a wrong password; of many at the same moment each waits for the one before.
    pub(crate) async fn use_code(
        &self,
        peer: &Peer,
        (organization, id): (Organization, &StaffId),
        typed: &str,
        context: &Context,
    ) -> Result<(Tx, Account, &'static str), Error> {
        let code = plain(typed);
        let factor = self.store().second_factor(id).await?;
        let mut tx = self.store().begin().await?;
        let held = tx.hold_account(id).await?.filter(|now| now.active && now.asks_factor());
        let held = held.ok_or(Error::Unauthenticated("login_required"))?;
        let lock = tx.hold_lock_state(organization, id, &peer.fingerprint).await?;
        let lock = Lock::of(lock, &self.inner.config, context.now);
        if lock.seconds > 0 {
            drop(tx);
            let entry = log_in_entry(peer, organization, Some(id), "login.locked", Outcome::Refused, context);
            self.store().audit().append(entry).await?;
            return Err(Error::Locked(lock.seconds));
        }
        let step = match &factor {
            Some(SecondFactor::App(secret)) => step_of(secret, &code, context.now),
            Some(SecondFactor::Mail(_)) | None => None,
        };
        let (fits, rule) = match (step, &factor) {
            (Some(step), _) => (tx.use_step(organization, id, step).await?, "totp"),
            (None, Some(SecondFactor::Mail(address))) if code.len() == DIGITS => {
                let whose = (organization, id, peer.fingerprint.as_str());
                (self.use_mail_code(&mut tx, whose, (address, &code), context).await?, "mail_code")
            }
            (None, _) => (tx.use_recovery_code(organization, id, &code).await?, "recovery_code"),
        };
        if !fits {
            self.count_failure(tx, peer, (organization, Some(id)), "wrong_code", context).await?;
            return Err(Error::WrongCode(lock.one_more(&self.inner.config)));
        }
        Ok((tx, held, rule))
    }

    /// The second step of a log-in: the code of the app, or a recovery code, each good once. The log-in goes on under new tokens
    /// (T-31).
    pub async fn answer_factor(&self, waiting: &Caller, typed: &str, context: &Context) -> Result<LoggedIn, Error> {
        if waiting.way != Way::Interactive || !waiting.awaits_factor {
            return Err(Error::Conflict("このログインは、第二要素を待っていません"));
        }
        let (peer, id, organization) = (&waiting.peer, &waiting.staff.id, waiting.organization);
        let (tx, held, rule) = self.use_code(peer, (organization, id), typed, context).await?;
        let entry = log_in_entry(peer, organization, Some(id), "login", Outcome::Done, context);
        self.go_on((tx, held), waiting, Entry { rule: Some(rule.to_owned()), ..entry }, context).await
    }

    /// Ends a log-in that has proven more, and lets it go on under new tokens (T-31): the transaction in which that was used up, with the
    /// account as held in it.
    pub(crate) async fn go_on(
        &self,
        (mut tx, held): (Tx, Account),
        before: &Caller,
        entry: Entry,
        context: &Context,
    ) -> Result<LoggedIn, Error> {
        let (peer, id, organization) = (&before.peer, &before.staff.id, before.organization);
        let new = NewTokens::make(&random_id()?)?;
        let session = new_session(&new, peer, id, None, context.now);
        // Of two at the same moment one ends the log-in of before.
        tx.end_session(organization, &before.session, context.now)
            .await?
            .ok_or(Error::Unauthenticated("login_required"))?;
        tx.clear_terminal_failures(organization, id, &peer.fingerprint).await?;
        tx.put_session(organization, new.tokens(), &session).await?;
        tx.commit(entry).await?;
        self.inner.sessions.forget_staff(id);
        let must_change_password = held.initial_until.is_some();
        Ok(LoggedIn { must_change_password, ..new.logged_in(&session, held.staff, organization) })
    }
}

/// What is sent to set up a second factor, to take it away, or to prove oneself once more.
#[derive(Clone, PartialEq, Eq)]
pub struct FactorProof {
    /// The own password.
    pub password: String,
    /// Six digits of the app or of the mail, or a recovery code where the factor is set up already; empty where none is.
    pub code: String,
    /// To receive codes by e-mail from now on: the address this one was sent to.
    pub address: Option<String>,
    /// In place of the code, to prove oneself once more: the answer of a passkey, and where it was asked.
    pub passkey: Option<(PasskeyAnswer, Site)>,
}
