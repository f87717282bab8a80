//! One attempt to log in: what ties the browser that leaves for the provider to the one that comes back (T-37).
//!
//! Nothing is stored when it begins, so a flood of beginnings costs nothing. The browser keeps a random text in a cookie; state, nonce and
//! the verifier of PKCE are keyed digests of it, so that only the same browser can bring the state back, and the other two never
//! leave the platform before they must. Coming back is counted in the store: an attempt is finished once, in whatever process.

use super::entry_of_nobody;
use crate::quota::Counts;
use crate::{Context, Error, Platform, random};
use kiban_domain::insured::Sex;
use kiban_domain::{Date, Timestamp, dates};
use kiban_store::{Entry, Outcome};
use std::fmt::Write as _;

/// How long somebody may take at the provider, in seconds.
const TIME: i64 = 600;

/// What is secret of one attempt.
pub struct LogInAttempt {
    /// Value of the browser's cookie: when it began and 256 random bits.
    pub cookie: String,
    /// `state`, 64 hexadecimal digits.
    pub state: String,
    /// `nonce`, 64 hexadecimal digits.
    pub nonce: String,
    /// Verifier of PKCE (RFC 7636), 64 hexadecimal digits.
    pub verifier: String,
}

/// Who somebody is, as the provider says it over a token of its own that was checked.
#[derive(Clone)]
pub struct PersonClaims {
    /// The provider.
    pub issuer: String,
    /// Its name for this person, the same each time.
    pub subject: String,
    /// 氏名
    pub name: Option<String>,
    /// 住所
    pub address: Option<String>,
    /// 生年月日
    pub birth: Option<Date>,
    /// 性別
    pub sex: Option<Sex>,
}

impl Platform {
    /// Begins an attempt.
    pub async fn begin_person_log_in(&self, context: &Context) -> Result<LogInAttempt, Error> {
        let random: [u8; 32] = random()?;
        self.attempt_of(format!("{:x}.{}", context.now.as_second(), hex(&random))).await
    }

    /// The attempt of a browser that comes back with this state; it is over with this. A cookie that is missing or too old, the
    /// state of another browser and an attempt that was finished before are all refused, on the record; the first three, which anybody
    /// can send, are only counted.
    pub async fn resume_person_log_in(
        &self,
        cookie: Option<&str>,
        state: Option<&str>,
        network: &str,
        context: &Context,
    ) -> Result<LogInAttempt, Error> {
        let Some((cookie, began_at)) = cookie.and_then(|cookie| Some((cookie, began_at(cookie, context.now)?))) else {
            return Err(self.count_refused_log_in("oidc:no_attempt", network, context));
        };
        let attempt = self.attempt_of(cookie.to_owned()).await?;
        if state != Some(attempt.state.as_str()) {
            return Err(self.count_refused_log_in("oidc:state", network, context));
        }
        let finished = self.store().platform_keys().await?.digest(format!("portal|finished|{cookie}").as_bytes());
        let mut tx = self.store().begin().await?;
        let times = tx.add_mismatch(&finished, dates::day_in_japan(began_at)).await?;
        let entry = entry_of_nobody(network, "portal.callback", Outcome::Done, context);
        if times > 1 {
            tx.commit(Entry { outcome: Outcome::Refused, rule: Some("oidc:replayed".to_owned()), ..entry }).await?;
            return Err(Error::Unauthenticated("person_log_in"));
        }
        tx.commit(entry).await?;
        Ok(attempt)
    }

    /// Records why nobody is logged in, and what is answered: the same for every reason.
    pub async fn refuse_person_log_in(
        &self,
        reason: &'static str,
        network: &str,
        context: &Context,
    ) -> Result<Error, Error> {
        let entry = entry_of_nobody(network, "portal.login", Outcome::Refused, context);
        self.store().audit().append(Entry { rule: Some(reason.to_owned()), ..entry }).await?;
        Ok(Error::Unauthenticated("person_log_in"))
    }

    /// The same of somebody who needs nothing to be refused: nothing is written now, what was counted is recorded once a minute with
    /// the requests that were turned away.
    pub fn count_refused_log_in(&self, reason: &'static str, network: &str, context: &Context) -> Error {
        context.note_entry();
        self.count_refused(Counts::PortalReturn(reason), network);
        Error::Unauthenticated("person_log_in")
    }

    async fn attempt_of(&self, cookie: String) -> Result<LogInAttempt, Error> {
        let keys = self.store().platform_keys().await?;
        let derive = |what: &str| hex(&keys.digest(format!("portal|{what}|{cookie}").as_bytes()));
        let (state, nonce, verifier) = (derive("state"), derive("nonce"), derive("verifier"));
        Ok(LogInAttempt { state, nonce, verifier, cookie })
    }
}

/// When an attempt began, if it may still be finished.
fn began_at(cookie: &str, now: Timestamp) -> Option<Timestamp> {
    let (seconds, random) = cookie.split_once('.')?;
    let seconds = i64::from_str_radix(seconds, 16).ok()?;
    let is_ours = random.len() == 64 && random.bytes().all(|b| b.is_ascii_hexdigit());
    let age = now.as_second().checked_sub(seconds)?;
    (is_ours && (-60..=TIME).contains(&age)).then(|| Timestamp::from_second(seconds).ok())?
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
