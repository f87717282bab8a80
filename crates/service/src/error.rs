//! What a use case answers when it does not do what was asked, by meaning (decision 0001). Where existence is secret the
//! answer is [`Error::Unknown`], the same for an unknown number, a blank cell, another office's person (P-041).

use crate::intake::ReportedProblem;
use crate::start::not_started;
use kiban_domain::Date;
use kiban_domain::municipality::StartState;
use kiban_policy::{Explanation, Rule};
use kiban_store::StoreError;
use serde::Serialize;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was sent cannot be used; each item with what to do.
    #[error("{} items cannot be used", .0.len())]
    Invalid(Vec<ItemFault>),
    /// No such thing, or none the caller may know of.
    #[error("unknown")]
    Unknown,
    /// The four items do not fit anybody (P-106: never which of them).
    #[error("the four items do not match")]
    NotMatched,
    /// A rule is against it, and the caller may be told which.
    #[error("refused by {}", .0.rule.code())]
    Refused(Box<Refusal>),
    /// Account or password do not fit: failures that are left before this terminal waits, and minutes it waits then.
    #[error("wrong account or password")]
    WrongPassword {
        /// Failures left; 0 when the next log-in waits.
        left: i32,
        /// Minutes it waits then; 0 when that is not told.
        minutes: i64,
    },
    /// The code of the second factor does not fit, or was used: failures left and minutes, as with a password.
    #[error("wrong code")]
    WrongCode((i32, i64)),
    /// The answer of a passkey does not fit: failures left and minutes, as with a password, and the rule.
    #[error("a passkey was refused by {1}")]
    WrongPasskey((i32, i64), &'static str),
    /// This terminal waits after failed log-ins with the account; seconds.
    #[error("locked")]
    Locked(u64),
    /// No valid log-in; the code says what to do (`login_required`, `binding`, `certificate`).
    #[error("not authenticated: {0}")]
    Unauthenticated(&'static str),
    /// Too many attempts; seconds after which to try again.
    #[error("too many attempts")]
    TooMany(u64),
    /// The organisation did this as often as it may; what, in Japanese, and seconds after which to try again.
    #[error("a limit was reached")]
    Quota(&'static str, u64),
    /// It was changed meanwhile, or is in a state that does not allow it.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// A mail was not sent; what it was for can be asked for again.
    #[error("the mail server did not take a mail")]
    NotMailed,
    /// The database or the audit log does not answer; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A commit was sent and no clear answer came; ask again with the same idempotency key.
    #[error("outcome unknown")]
    OutcomeUnknown,
    /// Files that cannot be taken, with every problem of them.
    #[error("{} problems of files", .0.len())]
    Files(Vec<ReportedProblem>),
    /// The addressee cannot be sent anything yet; what to do instead, in Japanese.
    #[error("the addressee is not connected")]
    NotConnected(&'static str),
    /// The insurer is 未定: its data is not taken before somebody opens it (P-131). What to do, in Japanese.
    #[error("the insurer is not opened")]
    NotOpened(&'static str),
    /// A fault of the platform.
    #[error("internal: {0}")]
    Internal(String),
}

/// One item that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemFault {
    /// Name of the item in the request.
    pub item: String,
    /// What is wrong and what to do, in Japanese.
    pub message: String,
}

impl ItemFault {
    /// A fault of an item.
    pub fn new(item: impl Into<String>, message: impl Into<String>) -> Self {
        Self { item: item.into(), message: message.into() }
    }
}

/// A refusal that may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// P-number of the rule.
    pub requirement: String,
    /// Why, in Japanese.
    pub reason: String,
    /// What to do next, in Japanese.
    pub next: String,
    /// Start of use of the municipality, when that is the reason (P-150).
    pub start: Option<StartState>,
}

impl Error {
    /// A refusal in the words of an explanation: told or blind.
    pub(crate) fn from_explanation(explanation: Explanation) -> Self {
        match explanation.disclosure {
            kiban_policy::Disclosure::Blind => Self::Unknown,
            kiban_policy::Disclosure::Told => Self::Refused(Box::new(Refusal {
                rule: explanation.rule,
                requirement: explanation.requirement,
                reason: explanation.reason,
                next: explanation.next,
                start: None,
            })),
        }
    }

    /// A refusal by a rule that may be told.
    pub(crate) fn rule(rule: Rule, table: &kiban_policy::SharingTable) -> Self {
        let reason = table.reason(rule);
        Self::Refused(Box::new(Refusal {
            rule,
            requirement: reason.requirement.clone(),
            reason: reason.reason.clone(),
            next: reason.next.clone(),
            start: None,
        }))
    }

    /// Says of a municipality that has not started when it will (P-150). Any other error stays as it is.
    pub(crate) fn with_start(mut self, start: StartState, today: Date) -> Self {
        if let Self::Refused(refusal) = &mut self
            && refusal.rule == Rule::NotStarted
            && let Some(sentence) = not_started(start, today)
        {
            refusal.reason = format!("{}。{sentence}", refusal.reason);
            refusal.start = Some(start);
        }
        self
    }

    /// One item that cannot be used.
    pub(crate) fn item(item: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![ItemFault::new(item, message)])
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) | StoreError::File(text) | StoreError::Unsafe(text) => {
                Self::Unavailable(text)
            }
            StoreError::Unknown => Self::OutcomeUnknown,
            StoreError::Conflict(what) => Self::Conflict(what),
            other => Self::Internal(other.to_string()),
        }
    }
}
