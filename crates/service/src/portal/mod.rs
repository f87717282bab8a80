//! The person's own door: who logged in at the outside provider, which insured that is, and what they then see and do
//! (P-001, P-002, P-110).

mod attempt;

pub use attempt::{LogInAttempt, PersonClaims};

use crate::Context;
use kiban_store::{Entry, Outcome};

/// An entry of this door before anybody is known behind it. `network` is where the request comes from.
pub(crate) fn entry_of_nobody(network: &str, action: &str, outcome: Outcome, context: &Context) -> Entry {
    context.note_entry();
    Entry {
        source: (!network.is_empty()).then(|| network.to_owned()),
        ..Entry::new(context.now, &context.request_id, "portal", action, outcome)
    }
}
