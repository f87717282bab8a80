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
pub use anchor::{Anchor, Head, PublicKey, SigningKey};
pub use decided::Decided;
pub use entry::{Cursor, Detail, Entry, Outcome, Position, StoredEntry};
pub use log::{AuditLog, AuditSettings, Slot};
pub use month::Month;
pub(crate) use month::make as make_months;
pub use person::{PersonLog, PersonMonth, PersonRefused, verify_person};
pub use proof::{Proof, ProofRefused, ShownGroup, ShownHeader, Value, verify_proof};
pub use purge::{KEEP_YEARS, PurgeCertificate, PurgedMonth, first_month_kept};
pub(crate) use verify::verify;
pub use verify::{Finding, VerifyReport};
pub(crate) use writer::lock_is_held;

use crate::StoreError;

/// Statements on the way of a request or of the log's upkeep; none may read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&[&str]] = &[query::ALL, segment::ALL, anchor::ALL, entry::ALL, person::ALL];

/// A value read from the store that may not leave before its audit entry is durable. Only [`AuditLog::release`] opens it.
#[must_use]
pub struct Unreleased<T>(T);

impl<T> Unreleased<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Turns the value into another, still unreleased. The function must not carry it out.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Unreleased<U> {
        Unreleased(change(self.0))
    }

    /// Two values under one entry.
    pub fn zip<U>(self, other: Unreleased<U>) -> Unreleased<(T, U)> {
        Unreleased((self.0, other.0))
    }
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
