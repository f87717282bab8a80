//! 無操作での終了 (S-013): a log-in at a screen ends when nobody asked for anything for a quarter of an hour. This process remembers the
//! last request of each log-in; what it has not seen itself it asks the log, where every answer of every server stands, so
//! nothing more is written for it.

use crate::caller::fingerprint_bytes;
use crate::{Caller, Context, Error, Peer, Platform, Stage};
use kiban_domain::Timestamp;
use kiban_policy::{UseCase, Way};
use kiban_store::Outcome;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Log-ins remembered; beyond that the log is asked again.
const MOST: usize = 20_000;
/// Minutes before the end at which a page says so.
const WARNING_MINUTES: i64 = 2;

/// The last request of each log-in, by its id.
#[derive(Default)]
pub(crate) struct LastSeen(Mutex<HashMap<String, Timestamp>>);

impl LastSeen {
    fn since(&self, session: &str, since: Timestamp) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(session).is_some_and(|at| *at >= since)
    }

    fn note(&self, session: &str, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(session.to_owned(), now);
    }
}

impl Platform {
    /// The caller behind the token of a screen: like [`Platform::authenticate_at`], and somebody has been there a short while ago.
    pub async fn authenticate_at_screen(
        &self,
        stage: Stage,
        peer: Peer,
        token: &str,
        context: &Context,
    ) -> Result<Caller, Error> {
        let caller = self.authenticate_at(stage, peer, token, context).await?;
        let since = context.now - jiff::SignedDuration::from_mins(self.inner.config.idle_minutes);
        if caller.way == Way::Interactive && !self.was_there(&caller, since).await? {
            let mut tx = self.store().begin().await?;
            tx.end_session(caller.organization, &caller.session, context.now).await?;
            tx.commit(caller.entry(context, "session.idle", Outcome::Done)).await?;
            self.inner.sessions.forget_staff(&caller.staff.id);
            return Err(Error::Unauthenticated("idle"));
        }
        self.inner.last_seen.note(&caller.session, context.now);
        Ok(caller)
    }

    /// Minutes without a request after which this log-in ends, where there is time to say so before; 0 where there is not, or where it ends
    /// otherwise.
    pub fn idle_warning(&self, caller: &Caller) -> i64 {
        let minutes = self.inner.config.idle_minutes;
        if minutes > WARNING_MINUTES && !caller.awaits_factor { minutes } else { 0 }
    }

    /// Somebody said that they are still there.
    pub async fn stay(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        self.store().audit().append(caller.entry(context, "session.stay", Outcome::Done)).await?;
        Ok(())
    }

    async fn was_there(&self, caller: &Caller, since: Timestamp) -> Result<bool, Error> {
        if caller.opened_at >= since || self.inner.last_seen.since(&caller.session, since) {
            return Ok(true);
        }
        let Some(certificate) = fingerprint_bytes(&caller.peer.fingerprint) else { return Ok(false) };
        let (organization, staff) = (caller.organization.to_string(), &caller.staff.id.0);
        Ok(self.store().audit().was_active(&organization, staff, &certificate, since).await?)
    }
}
