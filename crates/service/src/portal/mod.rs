//! The person's own door: who logged in at the outside provider, which insured that is, and what they then see and do
//! (P-001, P-002, P-110). `attempt` ties the way to the provider and back together, `binding` finds the insured, `session` is the
//! log-in, `grants` what the municipality registers, `me` and `looks` what is seen and done.

mod attempt;
mod binding;
mod blocks;
mod city;
mod earlier;
mod grants;
mod looks;
mod me;
mod session;

pub(crate) use binding::Unmatched;

pub use attempt::{LogInAttempt, PersonClaims};
pub use blocks::{BlockMade, ProxyBlock};
pub use earlier::EarlierNumber;
pub use grants::{PortalCode, PortalDesk, PortalGrantView, ProxyAsk};
pub use looks::{LOOK_DAYS, MyLook};
pub use me::{MyConsent, MyOffice};
pub use session::{AtPortal, PortalChoice, PortalNext};

use crate::Context;
use crate::caller::Asks;
use kiban_domain::{Organization, Timestamp};
use kiban_store::{Entry, Outcome, PortalGrant, PortalRole};

/// Somebody who looks at one insured's information by a registration that was checked for this request.
#[derive(Debug, Clone)]
pub struct Looking {
    pub(crate) network: String,
    /// Since when this log-in is open.
    pub(crate) since: Timestamp,
    pub(crate) grant: PortalGrant,
}

impl Looking {
    /// Whether it is somebody else than the person.
    pub fn is_proxy(&self) -> bool {
        self.grant.role.is_proxy()
    }

    /// Whether it is the person.
    pub fn is_person(&self) -> bool {
        self.grant.role == PortalRole::Person
    }

    /// As whom, for the strip on the page.
    pub fn role_name(&self) -> &'static str {
        self.grant.role.name_ja()
    }

    /// An entry about the one who is being looked at.
    pub(crate) fn entry(&self, context: &Context, action: &str, outcome: Outcome) -> Entry {
        session::about(&self.grant, entry_of_nobody(&self.network, action, outcome, context))
    }
}

impl Asks for Looking {
    fn organization(&self) -> Option<Organization> {
        None
    }

    fn entry_about(
        &self,
        context: &Context,
        _person: kiban_domain::PersonKey,
        action: &str,
        outcome: Outcome,
    ) -> Entry {
        self.entry(context, action, outcome)
    }
}

/// Who looks, as the log names it: `person`, or a proxy by registration.
pub(crate) fn who(grant: &PortalGrant) -> String {
    if grant.role.is_proxy() { format!("proxy:{}", grant.id) } else { "person".to_owned() }
}

/// An entry of this door before anybody is known behind it. `network` is where the request comes from.
pub(crate) fn entry_of_nobody(network: &str, action: &str, outcome: Outcome, context: &Context) -> Entry {
    context.note_entry();
    Entry {
        source: (!network.is_empty()).then(|| network.to_owned()),
        ..Entry::new(context.now, &context.request_id, "portal", action, outcome)
    }
}
