//! Idempotency-Key: a write sent again under its key is answered as it was the first time and done once (decision 0006.34,
//! F-4, I-5).
//!
//! The answer is remembered, sealed, in the transaction of the effect itself, so either both are there or neither. What
//! had no effect leaves its key free. A key belongs to one staff member on one terminal, and to one request: method,
//! address and body.

use crate::{Caller, Context, Error, ItemFault, Platform};
use kiban_domain::Organization;
use kiban_store::{Entry, Idempotent, Outcome, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A key as sent, made the caller's own.
#[derive(Debug)]
pub(crate) struct OnceKey {
    organization: Organization,
    /// Certificate, staff and key.
    key: Vec<u8>,
    /// Method, address and body.
    request: Vec<u8>,
}

/// What was answered, if what was asked had an effect.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Remembered {
    /// Done, with this answer.
    Done(Value),
    /// The four items did not match; the mismatch was counted.
    NotMatched,
    /// Too many mismatches; seconds after which to try again.
    TooMany(u64),
}

/// What is to be done about a write.
pub enum Once {
    /// It was done before: this was answered.
    Before(Value),
    /// It is to be done; until this is dropped nobody else does it under the same key.
    Now(Option<Running>),
}

/// Keys of writes that are being done in this process.
#[derive(Default)]
pub(crate) struct RunningKeys(Arc<Mutex<HashSet<Vec<u8>>>>);

/// A write that is being done.
pub struct Running {
    key: Vec<u8>,
    keys: Arc<Mutex<HashSet<Vec<u8>>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Longest key.
const LONGEST: usize = 64;

impl Context {
    /// The same request under a key its caller gave it. `request`: method, address and body.
    pub fn under_key(&self, caller: &Caller, key: &str, request: &[&[u8]]) -> Result<Self, Error> {
        if key.is_empty() || key.len() > LONGEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = "半角の英数字と記号で64文字までにしてください（例: 36文字の UUID）";
            return Err(Error::Invalid(vec![ItemFault::new("Idempotency-Key", text)]));
        }
        let (certificate, staff) = (caller.peer.fingerprint.as_bytes(), caller.staff.id.0.as_bytes());
        let key = joined(&[certificate, staff, key.as_bytes()]);
        let (organization, request) = (caller.organization, joined(request));
        let mut keyed = self.clone();
        keyed.once = Some(Arc::new(OnceKey { organization, key, request }));
        Ok(keyed)
    }
}

/// Parts with their lengths, so that no two lists give the same bytes.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
}

/// What an upload sends, whatever the boundary of its form: SHA-256 of names and contents.
pub fn digest_of_files(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in files.iter().flat_map(|(name, content)| [name.as_bytes(), content]) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finish().as_ref().to_vec()
}

impl Platform {
    /// Whether the write of this context was done before. Asked before any right is looked at: what was done may have taken
    /// the right with it, and the same caller has read the same answer before.
    pub async fn once(&self, caller: &Caller, context: &Context) -> Result<Once, Error> {
        let Some(once) = &context.once else { return Ok(Once::Now(None)) };
        let running = self.inner.running_keys.start(once).ok_or(Error::Conflict(
            "同じ Idempotency-Key の要求をまだ処理しています。終わってから、同じ内容をもう一度送ってください",
        ))?;
        let answer = match self.store().remembered(once.organization, &once.key, &once.request).await? {
            Idempotent::New => return Ok(Once::Now(Some(running))),
            Idempotent::OtherRequest => {
                let text =
                    "この Idempotency-Key は別の内容の要求に使われています。新しい操作には新しいキーを付けてください";
                return Err(Error::Invalid(vec![ItemFault::new("Idempotency-Key", text)]));
            }
            Idempotent::Done(answer) => answer,
        };
        let entry = Entry {
            rule: Some("idempotency_key".to_owned()),
            ..caller.entry(context, "answered_before", Outcome::Allowed)
        };
        self.store().audit().append(entry).await?;
        match serde_json::from_slice(&answer).map_err(|error| Error::Internal(error.to_string()))? {
            Remembered::Done(answer) => Ok(Once::Before(answer)),
            Remembered::NotMatched => Err(Error::NotMatched),
            Remembered::TooMany(seconds) => Err(Error::TooMany(seconds)),
        }
    }

    /// How many writes under a key this process is doing at the moment.
    pub fn writes_under_way(&self) -> usize {
        self.inner.running_keys.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Commits a write with its entry, and with its answer if it came under a key.
    pub(crate) async fn commit(
        &self,
        tx: Tx,
        entry: Entry,
        answer: &impl Serialize,
        context: &Context,
    ) -> Result<(), Error> {
        let answer = serde_json::to_value(answer).map_err(|error| Error::Internal(error.to_string()))?;
        self.commit_answer(tx, entry, Remembered::Done(answer), context).await
    }

    /// Records an answer without an effect of its own, and remembers it if it came under a key.
    pub(crate) async fn record(&self, entry: Entry, answer: &impl Serialize, context: &Context) -> Result<(), Error> {
        if context.once.is_some() {
            return self.commit(self.store().begin().await?, entry, answer, context).await;
        }
        Ok(self.store().audit().append(entry).await.map(drop)?)
    }

    /// Commits what a refusal counts, with its entry; gives the refusal back.
    pub(crate) async fn commit_refusal(&self, tx: Tx, entry: Entry, refusal: Error, context: &Context) -> Error {
        let answer = match &refusal {
            Error::TooMany(seconds) => Remembered::TooMany(*seconds),
            _ => Remembered::NotMatched,
        };
        self.commit_answer(tx, entry, answer, context).await.err().unwrap_or(refusal)
    }

    async fn commit_answer(
        &self,
        mut tx: Tx,
        entry: Entry,
        answer: Remembered,
        context: &Context,
    ) -> Result<(), Error> {
        if let Some(once) = &context.once {
            let answer = serde_json::to_vec(&answer).map_err(|error| Error::Internal(error.to_string()))?;
            tx.remember(once.organization, &once.key, &once.request, &answer, context.now).await?;
        }
        Ok(tx.commit(entry).await?)
    }
}

impl RunningKeys {
    /// `None` while somebody else does it.
    fn start(&self, once: &OnceKey) -> Option<Running> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(once.key.clone());
        new.then(|| Running { key: once.key.clone(), keys: Arc::clone(&self.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_free_again_when_its_write_is_over() {
        let once = |key: &str| OnceKey {
            organization: Organization::Operator,
            key: joined(&[b"certificate", b"staff", key.as_bytes()]),
            request: Vec::new(),
        };
        let keys = RunningKeys::default();
        let first = keys.start(&once("a"));
        assert!(first.is_some() && keys.start(&once("a")).is_none() && keys.start(&once("b")).is_some());
        drop(first);
        assert!(keys.start(&once("a")).is_some());
        assert_ne!(joined(&[b"a", b"bc"]), joined(&[b"ab", b"c"]));
    }
}
