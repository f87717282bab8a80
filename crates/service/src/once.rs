//! Idempotency-Key: a write sent again under its key is answered as it was the first time and done once (decision 0006.34,
//! F-4, I-5).
//!
//! The answer is remembered, sealed, in the transaction of the effect itself, so either both are there or neither. What
//! had no effect leaves its key free. A key belongs to one staff member on one terminal, and to one request: method,
//! address and body.
//!
//! An answer about a person is sealed under the key of the person's insurer, and given again only to somebody whom the
//! person still concerns; that it was given, or refused, is recorded with the person. Contents of documents are not
//! remembered at all: fetching one again is decided, read and recorded anew.

use crate::{Caller, Context, Error, ItemFault, Platform};
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey};
use kiban_store::{Entry, Idempotent, KeptAnswer, Outcome, Tx};
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
    /// Done, and may be done again: it has no more effect.
    Repeatable,
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

impl Context {
    /// The same request, of which this part is not done under its key.
    pub(crate) fn without_key(&self) -> Self {
        let mut plain = self.clone();
        plain.once = None;
        plain
    }

    pub(crate) fn has_key(&self) -> bool {
        self.once.is_some()
    }
}

/// Parts with their lengths, so that no two lists give the same bytes.
pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
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
    /// the right with it. An answer that says something about a person needs that the person still concerns the caller.
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
        let remembered = serde_json::from_slice(&answer.bytes).map_err(|error| Error::Internal(error.to_string()))?;
        let about = answer.insurer.zip(answer.insured).map(|(insurer, insured)| PersonKey { insurer, insured });
        match remembered {
            Remembered::Repeatable => Ok(Once::Now(Some(running))),
            Remembered::Done(answer) => {
                self.answer_again(caller, about, !answer.is_null(), context).await?;
                Ok(Once::Before(answer))
            }
            Remembered::NotMatched => {
                self.answer_again(caller, about, false, context).await?;
                Err(Error::NotMatched)
            }
            Remembered::TooMany(seconds) => {
                self.answer_again(caller, about, false, context).await?;
                Err(Error::TooMany(seconds))
            }
        }
    }

    /// Records that an answer is given again. One that says something about a person is refused, like that of a person
    /// nobody may know of, when the person does not concern the caller any more.
    async fn answer_again(
        &self,
        caller: &Caller,
        about: Option<PersonKey>,
        says_something: bool,
        context: &Context,
    ) -> Result<(), Error> {
        let allowed = match about.filter(|_| says_something) {
            Some(person) => self.case(caller, person, context).await?.still_concerns_caller(),
            None => true,
        };
        let outcome = if allowed { Outcome::Allowed } else { Outcome::Refused };
        let entry = match about {
            Some(person) => caller.entry_about(context, person, "answered_before", outcome),
            None => caller.entry(context, "answered_before", outcome),
        };
        self.store().audit().append(Entry { rule: Some("idempotency_key".to_owned()), ..entry }).await?;
        if allowed { Ok(()) } else { Err(Error::Unknown) }
    }

    /// How many writes under a key this process is doing at the moment.
    pub fn writes_under_way(&self) -> usize {
        self.inner.running_keys.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Commits a write with its entry, and with its answer if it came under a key: an answer about the person of the entry.
    pub(crate) async fn commit(
        &self,
        tx: Tx,
        entry: Entry,
        answer: &impl Serialize,
        context: &Context,
    ) -> Result<(), Error> {
        let (answer, about) = (done(answer)?, about(&entry));
        self.commit_answer(tx, vec![entry], answer, about, context).await
    }

    /// Records an answer without an effect of its own, and remembers it if it came under a key.
    pub(crate) async fn record(&self, entry: Entry, answer: &impl Serialize, context: &Context) -> Result<(), Error> {
        if context.once.is_some() {
            return self.commit(self.store().begin().await?, entry, answer, context).await;
        }
        Ok(self.store().audit().append(entry).await.map(drop)?)
    }

    /// The same as [`Self::commit`] with an answer about several people, kept under the key of an insurer, and an entry for
    /// each of them.
    pub(crate) async fn commit_under(
        &self,
        insurer: InsurerNumber,
        tx: Tx,
        entries: Vec<Entry>,
        answer: &impl Serialize,
        context: &Context,
    ) -> Result<(), Error> {
        self.commit_answer(tx, entries, done(answer)?, (Some(insurer), None), context).await
    }

    /// Commits what has no more effect when it is done again: no answer is remembered, only that the key is taken.
    pub(crate) async fn commit_repeatable(&self, mut tx: Tx, entry: Entry, context: &Context) -> Result<(), Error> {
        if let Some(once) = &context.once {
            let answer = kept(&Remembered::Repeatable, about(&entry))?;
            tx.remember_unless_known(once.organization, &once.key, &once.request, &answer, context.now).await?;
        }
        Ok(tx.commit(entry).await?)
    }

    /// Commits what a refusal counts, with its entry; gives the refusal back.
    pub(crate) async fn commit_refusal(&self, tx: Tx, entry: Entry, refusal: Error, context: &Context) -> Error {
        let answer = match &refusal {
            Error::TooMany(seconds) => Remembered::TooMany(*seconds),
            _ => Remembered::NotMatched,
        };
        let about = about(&entry);
        self.commit_answer(tx, vec![entry], answer, about, context).await.err().unwrap_or(refusal)
    }

    async fn commit_answer(
        &self,
        mut tx: Tx,
        entries: Vec<Entry>,
        answer: Remembered,
        about: About,
        context: &Context,
    ) -> Result<(), Error> {
        if let Some(once) = &context.once {
            let answer = kept(&answer, about)?;
            tx.remember(once.organization, &once.key, &once.request, &answer, context.now).await?;
        }
        Ok(tx.commit_all(entries).await?)
    }
}

/// Insurer and person an answer is about.
type About = (Option<InsurerNumber>, Option<InsuredNumber>);

/// The person of an entry, who is also the one its answer is about.
fn about(entry: &Entry) -> About {
    let insurer = entry.insurer.as_deref().and_then(|text| InsurerNumber::parse(text).ok());
    let insured = entry.insured.as_deref().and_then(|text| InsuredNumber::parse(text).ok());
    if insurer.is_some() && insured.is_some() { (insurer, insured) } else { (None, None) }
}

fn done(answer: &impl Serialize) -> Result<Remembered, Error> {
    let answer = serde_json::to_value(answer).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Remembered::Done(answer))
}

fn kept(answer: &Remembered, (insurer, insured): About) -> Result<KeptAnswer, Error> {
    let bytes = serde_json::to_vec(answer).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(KeptAnswer { bytes, insurer, insured })
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
