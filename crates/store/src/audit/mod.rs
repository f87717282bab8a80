//! The audit log: who looked at or changed what, durable before the answer leaves, provable afterwards (P-188, S-016,
//! decision 0006.1–9, docs/audit.md).
//!
//! How it is used:
//! - a read: `log.release(unreleased, entry).await?` gives the value once its entry is durable;
//! - a refusal or anything without a value: `log.append(entry).await?`;
//! - a write: `let slot = log.stage(&mut raw_tx, entry).await?;` then, after the commit, `slot.committed()` or
//!   `slot.unknown()`; a slot that is dropped means rolled back, and its number is filled with a void;
//! - `log.about_person(…)`, `log.of_organization(…)`, `log.detail_of(&stored)` answer questions;
//! - `log.anchor_now()`, `log.verify()`, `log.proof(position)` prove; `log.shutdown()` closes the segment and signs;
//! - `kiban_store::verify_log(address, key, folder)` and `verify_proof(&proof, key)` need no running log.
//!
//! Files: `entry` what is stored · `writer` who gives numbers · `log` the running log and its tasks · `segment` closing and
//! chaining · `tree` hashes · `anchor` signatures · `verify`, `proof`, `query`, `decided` · `month`, `purge` the life of old
//! entries · `person` what proves to a person that the own list is whole.

mod anchor;
mod decided;
mod entry;
mod log;
mod month;
mod person;
mod proof;
mod purge;
mod query;
mod segment;
mod tree;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::seal::Clock;
pub use anchor::{Anchor, Head, PublicKey, SigningKey, is_signed_manifest};
pub(crate) use anchor::{Outside, by_number as anchor_by_number, is_signed, newest as newest_anchor, put_lost};
pub use decided::Decided;
pub use entry::{Cursor, Detail, Entry, Outcome, Position, StoredEntry};
pub use log::{AuditLog, AuditSettings, Slot};
pub use month::Month;
pub(crate) use month::make as make_months;
pub use person::{PersonLog, PersonMonth, PersonRefused, verify_person};
pub use proof::{Proof, ProofRefused, ShownGroup, ShownHeader, Value, verify_proof};
pub(crate) use purge::Purged;
pub use purge::{KEEP_YEARS, PurgeCertificate, PurgedMonth, first_month_kept};
pub(crate) use segment::LAST_CLOSED;
pub(crate) use verify::verify;
pub use verify::{Finding, VerifyReport};
pub(crate) use writer::lock_is_held;

use crate::StoreError;
use kiban_domain::InsuredNumber;

/// Statements on the way of a request or of the log's upkeep; none may read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&[&str]] = &[query::ALL, segment::ALL, anchor::ALL, entry::ALL, person::ALL];

/// Statements that read a month or more on purpose, made of parts.
#[cfg(test)]
pub(crate) const SLOW: &[&[&str]] = &[decided::ALL];

#[cfg(test)]
pub(crate) use person::LEAVES;

/// A value read from the store that may not leave before its audit entry is durable. Only [`AuditLog::release`] opens it.
#[must_use]
pub struct Unreleased<T>(T);

impl<T> Unreleased<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Turns the value into another, still unreleased. The function writes to nothing around it, so it cannot carry the value
    /// out:
    ///
    /// ```compile_fail,E0594
    /// fn carried_out(value: kiban_store::Unreleased<u32>) -> Option<u32> {
    ///     let mut out = None;
    ///     let _ = value.map(|value| out = Some(value));
    ///     out
    /// }
    /// ```
    pub fn map<U>(self, change: impl Fn(T) -> U) -> Unreleased<U> {
        Unreleased(change(self.0))
    }

    /// Opens a value ahead of its entry, for what an act is judged by or a list is made of. Whoever calls it makes that entry
    /// durable before anything of the value is answered; `crates/service/src/covered.rs` names the places.
    pub fn under(self, _entry: CoveredBy) -> T {
        self.0
    }

    /// Two values under one entry.
    pub fn zip<U>(self, other: Unreleased<U>) -> Unreleased<(T, U)> {
        Unreleased((self.0, other.0))
    }
}

/// What the entry of a value names of it: keys and numbers, no contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Keys of the documents that are shown.
    pub documents: Vec<String>,
    /// 被保険者番号 of others whose records were counted too.
    pub people: Vec<InsuredNumber>,
}

impl<T> Unreleased<(T, Names)> {
    /// The value, still unreleased, and what its entry names of it.
    pub fn named(self) -> (Unreleased<T>, Names) {
        let (value, names) = self.0;
        (Unreleased(value), names)
    }
}

/// The entry that covers a value opened ahead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoveredBy {
    /// The entry of a write that is judged by the value; nothing else of it is answered.
    Act,
    /// The one entry of a list, which names everybody on it.
    List,
    /// The one entry of a search, which names everybody it found.
    Search,
}

impl<T> std::fmt::Debug for Unreleased<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unreleased(..)")
    }
}

/// Proof that the entry of a pass over many people is durable: what the pass reads may be opened under it.
#[derive(Debug)]
pub struct Pass(());

impl Pass {
    /// Opens a value of this pass.
    pub fn open<T>(&self, value: Unreleased<T>) -> T {
        value.0
    }
}

impl AuditLog {
    /// Begins a pass over many people of an insurer (an export, a report): one entry covers all it reads.
    pub async fn begin_pass(&self, entry: Entry) -> Result<Pass, StoreError> {
        self.append(entry).await?;
        Ok(Pass(()))
    }

    /// Opens a value after its entry is durable; no audit, no answer.
    pub async fn release<T>(&self, value: Unreleased<T>, entry: Entry) -> Result<T, StoreError> {
        self.append(entry).await?;
        Ok(value.0)
    }

    /// Opens many values after all their entries are durable; the entries wait together, mostly for one commit.
    pub async fn release_all<T>(&self, values: Vec<(Unreleased<T>, Entry)>) -> Result<Vec<T>, StoreError> {
        let (mut values_then, mut durable) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
        for (value, entry) in values {
            values_then.push(value.0);
            durable.push(self.enqueue(entry)?);
        }
        for entry in durable {
            entry.wait().await?;
        }
        Ok(values_then)
    }
}
