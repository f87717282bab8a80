//! No answer without an entry (S-014). Use cases record what they look at; an answer that came before any of them did, such
//! as a wrong way, a handle of somebody else or an expired token, is recorded here by whoever sends it, once.

use crate::caller::fingerprint_bytes;
use crate::intake::may_import;
use crate::{Caller, Context, Error, Peer, Platform};
use kiban_policy::{Rule, UseCase, Writer};
use kiban_store::{Entry, Outcome};

/// An answer that is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Who asked, if somebody was logged in.
    pub caller: Option<&'a Caller>,
    /// The connection it goes to.
    pub peer: &'a Peer,
    /// Name of the use case, such as `view_kind`; ASCII without spaces.
    pub action: &'a str,
    /// HTTP status.
    pub status: u16,
    /// Code of the problem, if it is one; ASCII without spaces.
    pub problem: Option<&'a str>,
    /// Handle in the address, if it is about a person.
    pub person: Option<&'a str>,
}

/// Latest entries of an organisation among which a refused request looks for its own.
const LATEST: u32 = 50;

impl Platform {
    /// Records an answer unless its request has an entry. When this fails, the answer must not leave.
    pub async fn record_answer(&self, answered: &Answered<'_>, context: &Context) -> Result<(), Error> {
        self.watch(answered, context);
        if self.has_entry(answered, context).await? {
            return Ok(());
        }
        let outcome = match answered.status {
            ..400 => Outcome::Allowed,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        let entry = match answered.caller {
            Some(caller) => caller.entry(context, answered.action, outcome),
            None => self.entry_of_peer(answered, outcome, context),
        };
        self.store().audit().append(Entry { rule: answered.problem.map(str::to_owned), ..entry }).await?;
        context.note_entry();
        Ok(())
    }

    /// Whether the use case left an entry. One that was made may have been rolled back or never stored when the answer is a
    /// refusal of somebody logged in, so then the log itself is asked.
    async fn has_entry(&self, answered: &Answered<'_>, context: &Context) -> Result<bool, Error> {
        let Some(caller) = answered.caller.filter(|_| answered.status >= 400) else {
            return Ok(context.has_entry());
        };
        if !context.has_entry() {
            return Ok(false);
        }
        let latest = self.store().audit().of_organization(&caller.organization.to_string(), LATEST, None).await?;
        Ok(latest.iter().any(|entry| entry.request_id == context.request_id))
    }

    fn entry_of_peer(&self, answered: &Answered<'_>, outcome: Outcome, context: &Context) -> Entry {
        let organization = self.standing().bound_to(&answered.peer.fingerprint);
        Entry {
            organization: organization.map(|organization| organization.to_string()),
            certificate: fingerprint_bytes(&answered.peer.fingerprint),
            source: Some(answered.peer.source.clone()),
            ..Entry::new(context.now, &context.request_id, "tls", answered.action, outcome)
        }
    }

    /// Whether the caller may send a package at all: asked before any of it is received (T-33).
    pub fn may_send_package(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportPackage, table)?;
        caller.municipality().map(|_| ()).ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// The same for 給付実績.
    pub fn may_send_claims(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        self.claims_insurer(caller, context).map(drop)
    }

    /// The same for LIFE files.
    pub fn may_send_life(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        self.life_office(caller, context).map(drop)
    }

    /// The same for files of care plans.
    pub fn may_send_plans(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ExchangePlan, table)?;
        let class = caller.office.as_ref().map(|(_, class)| *class);
        let may = class.is_some_and(|class| may_import(kiban_domain::Kind::Cp1, Writer::Office(class), table));
        if may { Ok(()) } else { Err(Error::rule(Rule::NotWriter, table)) }
    }
}
