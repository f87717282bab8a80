//! パスキー (P-183): a second factor beside app and e-mail, as many as somebody has devices. What an authenticator says is checked in
//! `kiban_pki::passkey`; here is what is asked, of whom, for how long, and what follows.

use crate::accounts::{Lock, log_in_entry};
use crate::notices::Tell;
use crate::second_factor::recovery_codes_as_told;
use crate::{Caller, Context, Error, LoggedIn, Platform, random, random_id};
use kiban_domain::Date;
use kiban_domain::dates::day_in_japan;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_pki::passkey::{ALGORITHMS, Answer, Fault, LONGEST, Site, check_answer, read_made, text_of};
use kiban_policy::{UseCase, Way};
use kiban_store::{Account, Entry, Outcome, Passkey, PasskeyPurpose, Tx};
use serde::Serialize;

/// Minutes for which a question to a passkey is open.
pub(crate) const QUESTION_MINUTES: i64 = 5;
/// Passkeys of an account.
const MOST: usize = 10;
/// Signs of a name.
const LONGEST_NAME: usize = 40;
const TO_OTHERS: &str = "このアカウントに、パスキーはありません。ほかの第二要素を使ってください";

/// What a browser needs to have a passkey made; bytes in base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PasskeyOffer {
    /// What is to be answered, once and within five minutes.
    pub challenge: String,
    /// Host it is made for.
    pub rp_id: String,
    /// Name of the platform.
    pub rp_name: &'static str,
    /// The account, the same each time and no number of it.
    pub user_id: String,
    /// The account as a list of passkeys shows it.
    pub user_name: String,
    /// COSE numbers of the keys that are taken, the best first.
    pub algorithms: [i64; 3],
    /// Credentials the account has already.
    pub exclude: Vec<String>,
    /// Seconds it holds.
    pub seconds: i64,
}

/// What a browser needs to have a passkey used; bytes in base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PasskeyQuestion {
    /// What is to be answered, once and within five minutes.
    pub challenge: String,
    /// Host they were made for.
    pub rp_id: String,
    /// Credentials of the account.
    pub allow: Vec<String>,
    /// Seconds it holds.
    pub seconds: i64,
}

/// A passkey that was made, as the browser gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPasskey {
    /// What its owner calls it.
    pub name: String,
    /// Own password.
    pub password: String,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `attestationObject`.
    pub attestation: Vec<u8>,
}

/// The answer of a passkey, as the browser gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyAnswer {
    /// Id of the credential.
    pub credential: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// Over both.
    pub signature: Vec<u8>,
    /// Whose it is, where the authenticator says so.
    pub user_handle: Option<Vec<u8>>,
}

/// A passkey of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PasskeyLine {
    /// Its id here.
    pub passkey: String,
    /// What its owner calls it.
    pub name: String,
    /// Day it was made.
    pub made_on: Date,
    /// Day it was last used; none before the first time.
    pub last_used_on: Option<Date>,
}

/// What is wrong with a name, if anything is.
fn fault_of(name: &str) -> Option<&'static str> {
    let length = name.trim().chars().count();
    match () {
        () if length == 0 => Some("どの端末のパスキーか分かる名前を入力してください"),
        () if length > LONGEST_NAME => Some("名前は40文字以内で入力してください"),
        () if name.chars().any(char::is_control) => Some("名前に、改行などの文字は使えません"),
        () => None,
    }
}

impl Platform {
    /// What stands for an account in the lists of authenticators: nobody else can tell whose it is.
    async fn user_handle(&self, id: &StaffId) -> Result<[u8; 32], Error> {
        Ok(self.store().platform_keys().await?.digest(format!("passkey_user|{}", id.0).as_bytes()))
    }

    /// The caller's passkeys, the oldest first.
    pub async fn passkeys(&self, caller: &Caller, context: &Context) -> Result<Vec<PasskeyLine>, Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        let found = self.store().passkeys(caller.organization, &caller.staff.id).await?;
        self.store().audit().append(caller.entry(context, "passkeys", Outcome::Allowed)).await?;
        let line = |passkey: Passkey| PasskeyLine {
            passkey: passkey.id,
            name: passkey.name,
            made_on: day_in_japan(passkey.made_at),
            last_used_on: passkey.used_at.map(day_in_japan),
        };
        Ok(found.into_iter().map(line).collect())
    }

    /// Whether whoever waits for the second factor, or proves it again, may do so by a passkey.
    pub fn has_passkey(&self, caller: &Caller) -> bool {
        self.standing().account(&caller.staff.id).is_some_and(|account| account.has_passkey)
    }

    /// Whether an app or codes by e-mail are set up beside the recovery codes.
    pub fn has_code_factor(&self, caller: &Caller) -> bool {
        self.standing().account(&caller.staff.id).is_some_and(|account| account.has_factor)
    }

    /// Whether nothing else is open to somebody before a second factor is set up.
    pub fn must_set_up_factor(&self, caller: &Caller) -> bool {
        self.standing().account(&caller.staff.id).is_some_and(|account| self.needs_factor(account))
    }

    /// Asks for a new passkey. Beside a second factor that is there, only after it was proven a short while ago.
    pub async fn offer_passkey(&self, caller: &Caller, site: &Site, context: &Context) -> Result<PasskeyOffer, Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        self.fresh_beside_others(caller, context).await?;
        let id = &caller.staff.id;
        let known = self.store().passkeys(caller.organization, id).await?;
        if known.len() >= MOST {
            self.store().audit().append(caller.entry(context, "passkey.offer", Outcome::Refused)).await?;
            return Err(Error::Conflict("パスキーは10個までです。使っていないものを削除してください"));
        }
        let mut tx = self.store().begin().await?;
        let whose = (caller.organization, caller.session.as_str());
        let challenge = tx.ask_passkey(whose, PasskeyPurpose::Make, random()?, context.now).await?;
        tx.commit(caller.entry(context, "passkey.offer", Outcome::Done)).await?;
        Ok(PasskeyOffer {
            challenge: text_of(&challenge),
            rp_id: site.rp_id.clone(),
            rp_name: "介護情報基盤",
            user_id: text_of(&self.user_handle(id).await?),
            user_name: id.0.clone(),
            algorithms: ALGORITHMS,
            exclude: known.iter().map(|passkey| text_of(&passkey.credential)).collect(),
            seconds: 60 * QUESTION_MINUTES,
        })
    }

    async fn fresh_beside_others(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let account = self.store().account(&caller.staff.id).await?.ok_or(Error::Unknown)?;
        if account.asks_factor() { self.require_fresh(caller, context).await } else { Ok(()) }
    }

    /// Takes a passkey that was made for the open question; recovery codes, told this once, where it is the first second factor. Every
    /// other log-in of the account ends.
    pub async fn add_passkey<E: From<Error>>(
        &self,
        caller: &Caller,
        new: Result<NewPasskey, E>,
        site: &Site,
        context: &Context,
    ) -> Result<Vec<String>, E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        Ok(self.put_passkey(caller, new?, site, context).await?)
    }

    async fn put_passkey(
        &self,
        caller: &Caller,
        new: NewPasskey,
        site: &Site,
        context: &Context,
    ) -> Result<Vec<String>, Error> {
        self.fresh_beside_others(caller, context).await?;
        if let Some(text) = fault_of(&new.name) {
            return Err(Error::item("name", text));
        }
        let account = self.own_password(caller, new.password, context).await?;
        let mut tx = self.store().begin().await?;
        let held = self.hold_same(&mut tx, &account).await?;
        let known = tx.passkeys(&held).await?;
        let read = match self.take_challenge(&mut tx, caller, PasskeyPurpose::Make, context).await? {
            Some(challenge) => read_made(site, &challenge, &new.client_data, &new.attestation),
            None => Err(Fault::Challenge),
        };
        let made = match read {
            Ok(made) if known.len() < MOST && known.iter().all(|passkey| passkey.credential != made.credential) => made,
            other => {
                let fault = other.err();
                let entry = caller.entry(context, "passkey.add", Outcome::Refused);
                let rule = fault.map_or("passkey_known", Fault::code).to_owned();
                tx.commit(Entry { rule: Some(rule), ..entry }).await?;
                return Err(Error::item("passkey", why_not_made(fault)));
            }
        };
        let passkey = Passkey {
            id: random_id()?,
            name: new.name.trim().to_owned(),
            credential: made.credential,
            key: made.key,
            counter: made.counter,
            made_at: context.now,
            used_at: None,
        };
        tx.put_passkey(&held, &passkey).await?;
        let mut told = Vec::new();
        if !held.asks_factor() {
            let (codes, as_told) = recovery_codes_as_told()?;
            tx.set_recovery_codes(&held, &codes).await?;
            told = as_told;
        }
        self.commit_factor(tx, caller, "passkey.add", context).await?;
        Ok(told)
    }

    /// Takes one of the caller's passkeys away; with the last second factor the recovery codes go too. Every other log-in of the account
    /// ends.
    pub async fn remove_passkey(&self, caller: &Caller, passkey: &str, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        self.fresh_beside_others(caller, context).await?;
        let mut tx = self.store().begin().await?;
        let held = tx.hold_account(&caller.staff.id).await?.filter(|held| held.active).ok_or(Error::Unknown)?;
        let is_last = tx.passkeys(&held).await?.iter().all(|known| known.id == passkey);
        if !tx.drop_passkey(&held, passkey, is_last).await? {
            drop(tx);
            self.store().audit().append(caller.entry(context, "passkey.remove", Outcome::Refused)).await?;
            return Err(Error::Unknown);
        }
        if is_last && !held.has_factor {
            tx.set_recovery_codes(&held, &[]).await?;
        }
        self.commit_factor(tx, caller, "passkey.remove", context).await
    }

    /// Asks the caller's passkeys: for the second step of a log-in that waits for it, otherwise to prove it again.
    pub async fn ask_passkey(&self, caller: &Caller, site: &Site, context: &Context) -> Result<PasskeyQuestion, Error> {
        if caller.way != Way::Interactive {
            return Err(Error::Unknown);
        }
        let known = self.store().passkeys(caller.organization, &caller.staff.id).await?;
        if known.is_empty() {
            self.store().audit().append(caller.entry(context, "passkey.ask", Outcome::Refused)).await?;
            return Err(Error::Conflict(TO_OTHERS));
        }
        let purpose = if caller.awaits_factor { PasskeyPurpose::LogIn } else { PasskeyPurpose::Prove };
        let whose = (caller.organization, caller.session.as_str());
        let mut tx = self.store().begin().await?;
        let challenge = tx.ask_passkey(whose, purpose, random()?, context.now).await?;
        tx.commit(caller.entry(context, "passkey.ask", Outcome::Done)).await?;
        Ok(PasskeyQuestion {
            challenge: text_of(&challenge),
            rp_id: site.rp_id.clone(),
            allow: known.iter().map(|passkey| text_of(&passkey.credential)).collect(),
            seconds: 60 * QUESTION_MINUTES,
        })
    }

    /// The second step of a log-in by a passkey. The log-in goes on under new tokens (T-31).
    pub async fn answer_passkey(
        &self,
        waiting: &Caller,
        answer: &PasskeyAnswer,
        site: &Site,
        context: &Context,
    ) -> Result<LoggedIn, Error> {
        if waiting.way != Way::Interactive || !waiting.awaits_factor {
            return Err(Error::Conflict("このログインは、第二要素を待っていません"));
        }
        let (tx, held) = self.use_passkey(waiting, PasskeyPurpose::LogIn, answer, site, context).await?;
        let (peer, id, organization) = (&waiting.peer, &waiting.staff.id, waiting.organization);
        let entry = log_in_entry(peer, organization, Some(id), "login", Outcome::Done, context);
        self.go_on((tx, held), waiting, Entry { rule: Some("passkey".to_owned()), ..entry }, context).await
    }

    async fn take_challenge(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        purpose: PasskeyPurpose,
        context: &Context,
    ) -> Result<Option<[u8; 32]>, Error> {
        let since = context.now - jiff::SignedDuration::from_mins(QUESTION_MINUTES);
        let whose = (caller.organization, caller.session.as_str());
        Ok(tx.take_passkey_challenge(whose, purpose, since).await?)
    }

    /// Uses up the open question with an answer of one of the account's passkeys: the transaction in which that is, with the account as held
    /// in it. What does not fit is counted like a wrong code, and the question is used up all the same.
    pub(crate) async fn use_passkey(
        &self,
        caller: &Caller,
        purpose: PasskeyPurpose,
        answer: &PasskeyAnswer,
        site: &Site,
        context: &Context,
    ) -> Result<(Tx, Account), Error> {
        let (peer, organization, id) = (&caller.peer, caller.organization, &caller.staff.id);
        let handle = self.user_handle(id).await?;
        let mut tx = self.store().begin().await?;
        let held = tx.hold_account(id).await?.filter(|held| held.active && held.has_passkey);
        let held = held.ok_or(Error::Conflict(TO_OTHERS))?;
        let lock = tx.hold_lock_state(organization, id, &peer.fingerprint).await?;
        let lock = Lock::of(lock, &self.inner.config, context.now);
        if lock.seconds > 0 {
            drop(tx);
            let entry = log_in_entry(peer, organization, Some(id), "login.locked", Outcome::Refused, context);
            self.store().audit().append(entry).await?;
            return Err(Error::Locked(lock.seconds));
        }
        let known = tx.passkeys(&held).await?.into_iter().find(|passkey| passkey.credential == answer.credential);
        let known = known.filter(|_| answer.user_handle.as_ref().is_none_or(|told| told[..] == handle));
        let challenge = self.take_challenge(&mut tx, caller, purpose, context).await?;
        let (passkey, checked) = match (known, challenge) {
            (None, _) => (None, Err("passkey_unknown")),
            (known, None) => (known, Err(Fault::Challenge.code())),
            (Some(passkey), Some(challenge)) => {
                let PasskeyAnswer { client_data, authenticator_data, signature, .. } = answer;
                let said = Answer { client_data, authenticator_data, signature };
                let checked = check_answer(site, &challenge, (&passkey.key, passkey.counter), said);
                (Some(passkey), checked.map_err(Fault::code))
            }
        };
        match (passkey, checked) {
            (Some(passkey), Ok(counter)) => {
                let used = Passkey { counter, used_at: Some(context.now), ..passkey };
                tx.put_passkey(&held, &used).await?;
                Ok((tx, held))
            }
            (passkey, checked) => {
                let rule = checked.err().unwrap_or("passkey_unknown");
                if let Some(passkey) = passkey.filter(|_| rule == Fault::Counter.code()) {
                    self.tell_of_copy(&mut tx, caller, &passkey, context).await?;
                }
                self.count_failure(tx, peer, (organization, Some(id)), rule, context).await?;
                Err(Error::WrongPasskey(lock.one_more(&self.inner.config), rule))
            }
        }
    }

    /// Tells the administrators that there may be a copy of a passkey; once a day.
    async fn tell_of_copy(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        passkey: &Passkey,
        context: &Context,
    ) -> Result<(), Error> {
        let (to, staff) = (caller.organization, &caller.staff.id);
        let facts = serde_json::json!({ "staff": staff, "passkey": passkey.id, "source": caller.peer.source });
        let once = format!("{}|{}", passkey.id, day_in_japan(context.now));
        let kind = NoticeKind::PasskeyCopied;
        let tell = Tell { to, administrators: true, kind, about: None, facts, once: &once };
        self.tell(tx, tell, context).await
    }
}

fn why_not_made(fault: Option<Fault>) -> &'static str {
    match fault {
        None => "この端末のパスキーは、もう登録してあります。別の端末で作ってください",
        Some(Fault::Challenge) => "時間が過ぎたか、もう使った答えです。もう一度「パスキーを作る」を押してください",
        Some(Fault::Origin | Fault::Host) => {
            "この基盤のアドレスで作ったパスキーではありません。画面を開き直して作ってください"
        }
        Some(Fault::NotPresent | Fault::NotVerified) => {
            "端末での本人の確認（PIN・指・顔）がありません。確認のできる端末で作ってください"
        }
        Some(Fault::Key) => "この端末のパスキーの種類は使えません。別の端末で作ってください",
        Some(_) => "パスキーを読めませんでした。もう一度作ってください",
    }
}

/// Longest text of what a browser sends of a passkey, in base64url.
pub const LONGEST_PASSKEY_TEXT: usize = LONGEST / 3 * 4 + 4;
