//! 第二要素 by e-mail (P-183): a code of six digits to an address that the account's owner has proven by such a code. It is good for ten
//! minutes, once, for five tries, and at the terminal it was asked for; the next one there takes its place. Kept is only a keyed digest, over
//! the address too.

use crate::accounts::log_in_entry;
use crate::mail::{Address, Mailer};
use crate::second_factor::IS_SET;
use crate::{Caller, Context, Error, Peer, Platform, random};
use kiban_domain::Organization;
use kiban_domain::office::StaffId;
use kiban_policy::{UseCase, Way};
use kiban_store::{Entry, Outcome, SecondFactor, Tx};
use zeroize::Zeroizing;

/// Minutes for which a code is good.
const CODE_MINUTES: i64 = 10;
/// Tries of one code, beside those of the terminal.
const TRIES: i32 = 5;
const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// In the log.
const ACTION: &str = "factor.mail";
const NO_MAIL: &str = "この基盤では、メールの数字を使えません。認証アプリか回復コードを使ってください";

/// What became of the mail at a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailed {
    /// Handed to the mail server.
    Sent,
    /// The mail server did not take it.
    Failed,
    /// As many as may be were sent for this terminal within the hour.
    TooMany,
}

impl Mailed {
    /// Stable word for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::TooMany => "too_many",
        }
    }

    /// From an attempt; what else went wrong is no answer to it.
    pub fn of(sent: Result<(), Error>) -> Result<Self, Error> {
        match sent {
            Ok(()) => Ok(Self::Sent),
            Err(Error::NotMailed | Error::Conflict(NO_MAIL)) => Ok(Self::Failed),
            Err(Error::Quota(..)) => Ok(Self::TooMany),
            Err(error) => Err(error),
        }
    }
}

/// An address as it is kept and compared.
pub(crate) fn address_of(text: &str) -> Result<Address, Error> {
    let address = text.trim().parse::<Address>().ok().filter(|_| text.len() <= 254 && text.is_ascii());
    address.ok_or_else(|| Error::item("address", "メールアドレスの形ではありません。半角で入力してください"))
}

/// Six digits, each number as likely as the others.
fn six_digits() -> Result<Zeroizing<String>, Error> {
    let bytes: [u8; 8] = random()?;
    Ok(Zeroizing::new(format!("{:06}", u64::from_be_bytes(bytes) % 1_000_000)))
}

/// What is digested: a code is good for its account and the address it went to.
fn code_text(id: &StaffId, address: &Address, code: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("mail_code|{}|{address}|{code}", id.0))
}

/// Whose code it is, and at which terminal it can be used.
type Whose<'a> = (Organization, &'a StaffId, &'a str);

fn whose(caller: &Caller) -> Whose<'_> {
    (caller.organization, &caller.staff.id, &caller.peer.fingerprint)
}

impl Platform {
    /// Gives this process what sends mails. Once; a second is not taken.
    pub fn seat_mailer(&self, mailer: Mailer) {
        let _ = self.inner.mailer.set(mailer);
    }

    /// Whether this installation sends mails.
    pub fn sends_mail(&self) -> bool {
        self.inner.mailer.get().is_some()
    }

    /// Whether the mail server takes a connection and the log-in, or of what kind the failure was; none where no mails are sent.
    pub async fn mail_answers(&self) -> Option<Result<(), String>> {
        match self.inner.mailer.get() {
            Some(mailer) => Some(mailer.answers().await),
            None => None,
        }
    }

    /// Whether the codes of somebody's second factor come by e-mail.
    pub async fn factor_is_mail(&self, caller: &Caller) -> Result<bool, Error> {
        Ok(matches!(self.store().second_factor(&caller.staff.id).await?, Some(SecondFactor::Mail(_))))
    }

    /// Sends a code to an address that its owner wants to receive the codes of the second factor at.
    pub async fn offer_mail<E: From<Error>>(
        &self,
        caller: &Caller,
        address: Result<String, E>,
        context: &Context,
    ) -> Result<(), E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        let address = address_of(&address?)?;
        let account = self.store().account(&caller.staff.id).await.map_err(Error::from)?;
        if account.is_none_or(|account| account.has_factor) {
            let refused = caller.entry(context, ACTION, Outcome::Refused);
            self.store().audit().append(refused).await.map_err(Error::from)?;
            return Err(Error::Conflict(IS_SET).into());
        }
        let entry = caller.entry(context, ACTION, Outcome::Done);
        Ok(self.mail_code(entry, whose(caller), &address, context).await?)
    }

    /// Sends another code to somebody whose codes come by e-mail: to log in, or to prove it again.
    pub async fn send_code(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if caller.way != Way::Interactive {
            return Err(Error::Unknown);
        }
        let Some(SecondFactor::Mail(address)) = self.store().second_factor(&caller.staff.id).await? else {
            self.store().audit().append(caller.entry(context, ACTION, Outcome::Refused)).await?;
            return Err(Error::Conflict("このアカウントの数字は、メールでは送りません"));
        };
        self.mail_code(caller.entry(context, ACTION, Outcome::Done), whose(caller), &address_of(&address)?, context)
            .await
    }

    /// Sends the first code to somebody whose password was right; none to whom codes come otherwise. That it could not be sent ends
    /// nothing: there are recovery codes, and it can be asked for again.
    pub(crate) async fn mail_at_log_in(
        &self,
        peer: &Peer,
        (organization, id): (Organization, &StaffId),
        context: &Context,
    ) -> Result<Option<Mailed>, Error> {
        let Some(SecondFactor::Mail(address)) = self.store().second_factor(id).await? else { return Ok(None) };
        let entry = log_in_entry(peer, organization, Some(id), ACTION, Outcome::Done, context);
        let sent = match address_of(&address) {
            Ok(address) => self.mail_code(entry, (organization, id, &peer.fingerprint), &address, context).await,
            Err(error) => Err(error),
        };
        // The log-in stands already, and whoever it is has recovery codes.
        Ok(Some(Mailed::of(sent).unwrap_or_else(|error| {
            tracing::warn!(%error, request_id = context.request_id, "a mail was not sent at a log-in");
            Mailed::Failed
        })))
    }

    /// Keeps the digest of a new code, then sends it; each with its entry.
    async fn mail_code(
        &self,
        entry: Entry,
        whose: Whose<'_>,
        address: &Address,
        context: &Context,
    ) -> Result<(), Error> {
        let not_done = |outcome, rule: &str| Entry { outcome, rule: Some(rule.to_owned()), ..entry.clone() };
        let Some(mailer) = self.inner.mailer.get() else {
            self.store().audit().append(not_done(Outcome::Refused, "no_mail")).await?;
            return Err(Error::Conflict(NO_MAIL));
        };
        let code = six_digits()?;
        let text = code_text(whose.1, address, &code);
        let (hour, most) = (context.now - HOUR, self.inner.config.mail_codes);
        let mut tx = self.store().begin().await?;
        if !tx.put_mail_code(whose, &text, context.now, (hour, most)).await? {
            drop(tx);
            self.store().audit().append(not_done(Outcome::Refused, "mail_limit")).await?;
            return Err(Error::Quota(
                "この端末から1時間に送れるメールの数を超えました。急ぐときは、回復コードを使ってください",
                3_600,
            ));
        }
        tx.commit(entry.clone()).await?;
        if let Err(fault) = mailer.send(address, &code, context.now).await {
            tracing::warn!(fault, request_id = context.request_id, "a mail was not sent");
            self.store().audit().append(not_done(Outcome::Failed, "not_mailed")).await?;
            return Err(Error::NotMailed);
        }
        Ok(())
    }

    /// Uses up the code that was sent to this address for this terminal; false when it is another one, too old or tried too often.
    pub(crate) async fn use_mail_code(
        &self,
        tx: &mut Tx,
        whose: Whose<'_>,
        (address, code): (&str, &str),
        context: &Context,
    ) -> Result<bool, Error> {
        let since = context.now - jiff::SignedDuration::from_mins(CODE_MINUTES);
        let text = code_text(whose.1, &address_of(address)?, code);
        Ok(tx.use_mail_code(whose, &text, (since, TRIES)).await?)
    }
}
