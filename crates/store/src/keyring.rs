//! The data keys: which there are, when they end, who has them open (decision 0006.21–24).
//!
//! Each insurer has keys for sealing (`seal`), for search tokens (`index`) and for digests (`digest`); the platform itself
//! (`000000`) also one for the audit log (`audit`) and one for the door MACs (`door`). A sealing key ends after so many
//! messages or after a year; the next write then seals under a new generation. Every process looks at most a minute later
//! whether another one has changed keys, before it writes; what it cannot open yet makes it look at once.

use crate::engine::{Committed, Engine, RawTx, Row, args};
use crate::master::{MasterKey, OneKey};
use crate::seal::{Aes, Clock, MacKey, SealKeys, generation_of, key_of, push_part, random_key};
use crate::{NO_INSURER, StoreError};
use kiban_domain::Timestamp;
use kiban_domain::insured::NORMALIZER_VERSION;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const READ: &str = "SELECT generation, wrapped, closed_at, created_at FROM data_key WHERE insurer_number = $1 AND purpose = $2 ORDER BY generation";
const PUT: &str = "INSERT INTO data_key (insurer_number, purpose, generation, wrapped, created_at, closed_at, messages)
     VALUES ($1, $2, $3, $4, $5, NULL, 0) ON CONFLICT DO NOTHING";
const CLOSE: &str =
    "UPDATE data_key SET closed_at = $3 WHERE insurer_number = $1 AND purpose = $2 AND closed_at IS NULL";
const NEWEST: &str =
    "SELECT generation FROM data_key WHERE insurer_number = $1 AND purpose = $2 ORDER BY generation DESC LIMIT 1";
const COUNT: &str =
    "UPDATE data_key SET messages = messages + $4 WHERE insurer_number = $1 AND purpose = $2 AND generation = $3
     RETURNING messages, created_at, closed_at";
const STATE: &str = "SELECT epoch, master_id, normalizer FROM key_state WHERE id = 1";
const HOLD_STATE: &str = "SELECT epoch, master_id, normalizer FROM key_state WHERE id = 1 FOR SHARE";
const CLAIM: &str = "INSERT INTO key_state (id, epoch, master_id, normalizer)
     VALUES (1, 1, $1, COALESCE((SELECT min(version) FROM person_token), $2)) ON CONFLICT DO NOTHING";
const HOLD: &str = "UPDATE key_state SET epoch = epoch WHERE id = 1";
pub(crate) const CHANGED: &str = "UPDATE key_state SET epoch = epoch + 1 WHERE id = 1";
const CHANGE_MASTER: &str = "UPDATE key_state SET master_id = $2 WHERE id = 1 AND master_id = $1";
const ALL_KEYS: &str =
    "SELECT insurer_number, purpose, generation, wrapped FROM data_key ORDER BY insurer_number, purpose, generation";
const REWRAP: &str = "UPDATE data_key SET wrapped = $4 WHERE insurer_number = $1 AND purpose = $2 AND generation = $3";
const ANY_KEY: &str = "SELECT 1 FROM data_key LIMIT 1";
const LIVE: &str = "SELECT generation FROM data_key
     WHERE insurer_number = $1 AND (purpose = 'seal' AND generation = $2 OR purpose = 'index' AND generation = $3) AND closed_at IS NULL";
/// Until the transaction ends the rows may be closed, but not removed.
const HOLD_LIVE: &str = "SELECT generation FROM data_key
     WHERE insurer_number = $1 AND (purpose = 'seal' AND generation = $2 OR purpose = 'index' AND generation = $3) AND closed_at IS NULL
     FOR KEY SHARE";
/// Everybody with keys, and everybody with something sealed, in case their keys are gone.
const OWNERS_OF_ALL: &str = "SELECT insurer_number FROM data_key UNION SELECT insurer_number FROM receipt_counter
     UNION SELECT insurer_number FROM person ORDER BY 1";
const OWNERS: &str = "SELECT DISTINCT insurer_number FROM data_key WHERE purpose = 'seal' ORDER BY insurer_number";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    READ,
    PUT,
    CLOSE,
    NEWEST,
    COUNT,
    STATE,
    CLAIM,
    HOLD,
    CHANGED,
    CHANGE_MASTER,
    ALL_KEYS,
    REWRAP,
    ANY_KEY,
    LIVE,
    OWNERS_OF_ALL,
    OWNERS,
];

/// Locks that only PostgreSQL knows; on SQLite there is one writer.
#[cfg(test)]
pub(crate) const ALL_POSTGRES: &[&str] = &[HOLD_STATE, HOLD_LIVE];

/// What only the owner of the database may do (roles.rs).
#[cfg(test)]
pub(crate) const OF_THE_OWNER: &[&str] = &[CHANGE_MASTER, REWRAP];

/// A process looks so often, before it writes, whether keys were changed elsewhere.
const LOOK: Duration = Duration::from_secs(60);

/// When a sealing key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLimits {
    /// Messages sealed under one generation; a quarter of what AES-GCM with random nonces bears is the default.
    pub messages: i64,
    /// Life of a generation, in days.
    pub days: i64,
    /// A generation that is closed, and under which nothing is sealed any more, is kept so many seconds longer: other
    /// processes may not have heard that it is closed.
    pub grace_seconds: i64,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { messages: 1 << 30, days: 365, grace_seconds: 600 }
    }
}

impl KeyLimits {
    /// How many messages are sealed before they are counted in the database.
    fn block(&self) -> u64 {
        (self.messages / 1024).clamp(1, 1 << 16).unsigned_abs()
    }

    fn life(&self) -> i64 {
        self.days.saturating_mul(86_400_000_000)
    }

    /// Whether a generation is over.
    fn is_over(&self, messages: i64, created_at: i64, now: i64) -> bool {
        messages >= self.messages || now >= created_at.saturating_add(self.life())
    }

    /// Instant (microseconds) before which a generation must have been closed to be retired now.
    pub(crate) fn retire_before(&self, now: Timestamp) -> i64 {
        now.as_microsecond().saturating_sub(self.grace_seconds.saturating_mul(1_000_000))
    }
}

/// The data keys of all insurers, opened as they are needed. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Ring>);

struct Ring {
    engine: Engine,
    clock: Clock,
    limits: KeyLimits,
    master: RwLock<Arc<Master>>,
    master_path: PathBuf,
    insurers: RwLock<HashMap<String, Arc<InsurerKeys>>>,
    door: MacKey,
    audit: RwLock<Arc<SealKeys>>,
    /// State of the keys in the database as it was last seen, and when.
    epoch: AtomicI64,
    looked: Mutex<Instant>,
    /// A block of messages waits to be counted.
    uncounted: Arc<AtomicBool>,
    /// When the first of the open generations ends, microseconds.
    first_end: AtomicI64,
    tending: tokio::sync::Mutex<()>,
    /// Keys that were replaced while messages under them were not yet counted.
    replaced: Mutex<Vec<Held>>,
}

/// A master key ready for use.
struct Master {
    aes: Aes,
    id: String,
}

impl Master {
    fn of(key: &OneKey) -> Result<Self, StoreError> {
        Ok(Self { aes: Aes::new(key.bytes())?, id: key.id() })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    /// Opens the platform's own keys, creating them in an empty database. A master key that did not wrap the keys found
    /// there is refused (F-24).
    pub(crate) async fn open(
        engine: &Engine,
        master: MasterKey,
        clock: Clock,
        limits: KeyLimits,
    ) -> Result<Self, StoreError> {
        let (epoch, id) = state(engine).await?;
        let fitting = Master::of(fitting(&master, &id).ok_or(WRONG_MASTER)?)?;
        let source = Source { engine, master: &fitting, clock: &clock };
        if id.is_empty() {
            source.claim().await?;
        }
        let door = source.load(NO_INSURER, "door").await?;
        let audit = source.load(NO_INSURER, "audit").await?;
        let uncounted = Arc::new(AtomicBool::new(false));
        let door = newest_mac(&door)?;
        let first = SealKeys::new(NO_INSURER, "audit", &audit, limits.block(), &uncounted)?;
        let ends = first.created_at().saturating_add(limits.life());
        Ok(Self(Arc::new(Ring {
            engine: engine.clone(),
            door,
            audit: RwLock::new(Arc::new(first)),
            master: RwLock::new(Arc::new(fitting)),
            master_path: master.path().to_owned(),
            clock,
            limits,
            insurers: RwLock::default(),
            epoch: AtomicI64::new(epoch),
            looked: Mutex::new(Instant::now()),
            uncounted,
            first_end: AtomicI64::new(ends),
            tending: tokio::sync::Mutex::new(()),
            replaced: Mutex::default(),
        })))
    }

    /// The keys of an insurer, created at first use in a transaction of their own: not to be called while the caller has a
    /// transaction open, see [`Keyring::keys_within`].
    pub async fn keys_of(&self, insurer_number: &str) -> Result<Arc<InsurerKeys>, StoreError> {
        if let Some(keys) = self.known_keys(insurer_number) {
            return Ok(keys);
        }
        let master = self.master();
        let keys = match self.load_keys(&master, insurer_number).await {
            Err(StoreError::Unreadable(_)) => {
                let changed = self.changed_master().await?;
                self.load_keys(&changed, insurer_number).await?
            }
            other => other?,
        };
        Ok(self.keep(insurer_number, keys))
    }

    /// The keys that open the sealed values in some columns of these rows. A generation made elsewhere a moment ago is read.
    pub(crate) async fn keys_for(
        &self,
        insurer_number: &str,
        rows: &[Row],
        columns: &[usize],
    ) -> Result<Arc<InsurerKeys>, StoreError> {
        let mut newest = 0;
        for row in rows {
            for column in columns {
                newest = newest.max(row.bytes_or_null(*column)?.and_then(generation_of).unwrap_or(0));
            }
        }
        self.keys_up_to(insurer_number, newest).await
    }

    /// The keys that open values of generations up to this one.
    pub(crate) async fn keys_up_to(&self, insurer_number: &str, newest: u32) -> Result<Arc<InsurerKeys>, StoreError> {
        let keys = self.keys_of(insurer_number).await?;
        if newest <= keys.seal.newest() {
            return Ok(keys);
        }
        self.forget(insurer_number);
        self.keys_of(insurer_number).await
    }

    async fn load_keys(&self, master: &Master, insurer_number: &str) -> Result<InsurerKeys, StoreError> {
        let source = Source { engine: &self.0.engine, master, clock: &self.0.clock };
        let seal = source.load(insurer_number, "seal").await?;
        let index = source.load(insurer_number, "index").await?;
        self.opened(insurer_number, &seal, &index, &source.load(insurer_number, "digest").await?)
    }

    fn opened(
        &self,
        insurer_number: &str,
        seal: &[DataKey],
        index: &[DataKey],
        digest: &[DataKey],
    ) -> Result<InsurerKeys, StoreError> {
        InsurerKeys::of(insurer_number, seal, index, digest, (self.0.limits.block(), &self.0.uncounted))
    }

    /// The keys of an insurer inside a running transaction, and whether this transaction made them. Made keys are kept
    /// only by the caller, because the transaction may still be rolled back.
    pub(crate) async fn keys_within(
        &self,
        tx: &mut RawTx,
        insurer_number: &str,
    ) -> Result<(Arc<InsurerKeys>, bool), StoreError> {
        if let Some(keys) = self.known_keys(insurer_number) {
            return Ok((keys, false));
        }
        let (seal, made_seal) = match self.load_within(tx, insurer_number, "seal").await {
            Err(StoreError::Unreadable(_)) => {
                self.changed_master().await?;
                self.load_within(tx, insurer_number, "seal").await?
            }
            other => other?,
        };
        let (index, made_index) = self.load_within(tx, insurer_number, "index").await?;
        let (digest, made_digest) = self.load_within(tx, insurer_number, "digest").await?;
        let keys = self.opened(insurer_number, &seal, &index, &digest)?;
        if made_seal || made_index || made_digest {
            return Ok((Arc::new(keys), true));
        }
        Ok((self.keep(insurer_number, keys), false))
    }

    /// Whether new values may be sealed and search tokens made with these keys; until the transaction ends nobody removes
    /// their generations. A process that has not heard yet that one is closed is told so here.
    pub(crate) async fn hold(&self, tx: &mut RawTx, keys: &InsurerKeys) -> Result<bool, StoreError> {
        let held = if matches!(tx, RawTx::Postgres(_)) { HOLD_LIVE } else { LIVE };
        let generation = i32::try_from(keys.sealing()).unwrap_or(i32::MAX);
        Ok(tx.rows(held, args![keys.owner(), generation, keys.index_generation()]).await?.len() == 2)
    }

    async fn load_within(
        &self,
        tx: &mut RawTx,
        insurer_number: &str,
        purpose: &'static str,
    ) -> Result<(Vec<DataKey>, bool), StoreError> {
        let master = self.master();
        let mut rows = tx.rows(READ, args![insurer_number, purpose]).await?;
        let made = rows.is_empty() && make_first(tx, &master, &self.0.clock, insurer_number, purpose).await?;
        if rows.is_empty() {
            rows = tx.rows(READ, args![insurer_number, purpose]).await?;
        }
        let keys: Result<Vec<_>, _> =
            rows.iter().map(|row| unwrap_key(&master.aes, insurer_number, purpose, row)).collect();
        Ok((keys?, made))
    }

    fn known_keys(&self, insurer_number: &str) -> Option<Arc<InsurerKeys>> {
        read(&self.0.insurers).get(insurer_number).map(Arc::clone)
    }

    fn keep(&self, insurer_number: &str, keys: InsurerKeys) -> Arc<InsurerKeys> {
        self.adopt(insurer_number, Arc::new(keys))
    }

    /// Keys that a transaction made and committed are everybody's.
    pub(crate) fn adopt(&self, insurer_number: &str, keys: Arc<InsurerKeys>) -> Arc<InsurerKeys> {
        let ends = keys.seal.created_at().saturating_add(self.0.limits.life());
        self.0.first_end.fetch_min(ends, Ordering::Relaxed);
        Arc::clone(write(&self.0.insurers).entry(insurer_number.to_owned()).or_insert(keys))
    }

    /// Keys changed: they are read again when they are needed next.
    pub(crate) fn forget(&self, insurer_number: &str) {
        let keys = write(&self.0.insurers).remove(insurer_number);
        self.replace(keys.into_iter().map(Held::Insurer));
    }

    /// What was sealed under these keys is still to be counted.
    fn replace(&self, keys: impl Iterator<Item = Held>) {
        lock(&self.0.replaced).extend(keys.filter(|held| held.seal().uncounted() > 0));
    }

    /// The key of the codes that rows which open a door carry (decision 0006.31).
    pub(crate) fn door(&self) -> &MacKey {
        &self.0.door
    }

    pub(crate) fn audit(&self) -> Arc<SealKeys> {
        Arc::clone(&read(&self.0.audit))
    }

    /// The audit keys that open this value.
    pub(crate) async fn audit_for(&self, sealed: &[u8]) -> Result<Arc<SealKeys>, StoreError> {
        if generation_of(sealed).is_some_and(|newer| newer > self.audit().newest()) {
            self.read_audit_keys().await?;
        }
        Ok(self.audit())
    }

    pub(crate) async fn read_audit_keys(&self) -> Result<(), StoreError> {
        let master = self.master();
        let source = Source { engine: &self.0.engine, master: &master, clock: &self.0.clock };
        let keys = source.load(NO_INSURER, "audit").await?;
        let keys = SealKeys::new(NO_INSURER, "audit", &keys, self.0.limits.block(), &self.0.uncounted)?;
        self.0.first_end.fetch_min(keys.created_at().saturating_add(self.0.limits.life()), Ordering::Relaxed);
        let before = std::mem::replace(&mut *write(&self.0.audit), Arc::new(keys));
        self.replace(std::iter::once(Held::Audit(before)));
        Ok(())
    }

    pub(crate) fn limits(&self) -> KeyLimits {
        self.0.limits
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    fn master(&self) -> Arc<Master> {
        Arc::clone(&read(&self.0.master))
    }

    /// Id of the master key this process wraps with.
    pub(crate) fn master_id(&self) -> String {
        self.master().id.clone()
    }

    /// The master key was changed while this process ran: its file is read again.
    async fn changed_master(&self) -> Result<Arc<Master>, StoreError> {
        let (_, id) = state(&self.0.engine).await?;
        if id == self.master_id() {
            return Err(WRONG_MASTER);
        }
        let found = MasterKey::load(&self.0.master_path)?;
        let found = fitting(&found, &id).ok_or_else(|| {
            StoreError::Unsafe(format!(
                "主鍵が変わりました。新しい主鍵のファイルを {} に置いて、もう一度起動してください",
                self.0.master_path.display()
            ))
        })?;
        let master = Arc::new(Master::of(found)?);
        *write(&self.0.master) = Arc::clone(&master);
        Ok(master)
    }

    /// Whether `Store::tend_keys` has something to do; costs nothing.
    pub(crate) fn wants_tending(&self) -> bool {
        self.wants_counting() || lock(&self.0.looked).elapsed() > LOOK
    }

    /// Whether messages wait to be counted or a generation is over.
    pub(crate) fn wants_counting(&self) -> bool {
        self.0.uncounted.load(Ordering::Relaxed)
            || self.now().as_microsecond() >= self.0.first_end.load(Ordering::Relaxed)
    }

    /// Whatever was sealed is counted at the next occasion, however little it is.
    pub(crate) fn count_soon(&self) {
        self.0.uncounted.store(true, Ordering::Relaxed);
    }

    /// One at a time; `None` when another task of this process is at it.
    pub(crate) fn try_tending(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.0.tending.try_lock().ok()
    }

    /// Looks whether keys were changed elsewhere.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let (epoch, id) = state(&self.0.engine).await?;
        if id != self.master_id() {
            self.changed_master().await?;
        }
        if self.0.epoch.swap(epoch, Ordering::Relaxed) != epoch {
            let keys = std::mem::take(&mut *write(&self.0.insurers));
            self.replace(keys.into_values().map(Held::Insurer));
            self.0.first_end.store(i64::MAX, Ordering::Relaxed);
            self.read_audit_keys().await?;
        }
        *lock(&self.0.looked) = began;
        Ok(())
    }

    /// Adds what was sealed to the counts in the database and starts new generations where one is over; whose.
    pub(crate) async fn count(&self, tx: &mut RawTx) -> Result<Counted, StoreError> {
        self.0.uncounted.store(false, Ordering::Relaxed);
        tx.run(HOLD, args![]).await?;
        let now = self.now();
        let mut all = lock(&self.0.replaced).clone();
        all.push(Held::Audit(self.audit()));
        all.extend(read(&self.0.insurers).values().cloned().map(Held::Insurer));
        let mut counted = Counted::default();
        let mut first_end = i64::MAX;
        for held in all {
            let (insurer, purpose) = (held.seal().owner().to_owned(), held.purpose());
            let keys = held.seal();
            let (fresh, ends) = (keys.uncounted(), keys.created_at().saturating_add(self.0.limits.life()));
            if fresh == 0 && ends > now.as_microsecond() {
                first_end = first_end.min(ends);
                continue;
            }
            let generation = i32::try_from(keys.sealing()).unwrap_or(i32::MAX);
            let rows = tx.rows(COUNT, args![&insurer, purpose, generation, fresh as i64]).await?;
            let is_over = match rows.first() {
                Some(row) => {
                    let over = self.0.limits.is_over(row.big(0)?, row.big(1)?, now.as_microsecond());
                    over && row.big_or_null(2)?.is_none()
                }
                None => false,
            };
            if is_over {
                self.new_generation(tx, &insurer, purpose).await?;
                counted.renewed.push((insurer, purpose));
            } else if ends > now.as_microsecond() {
                first_end = first_end.min(ends);
            }
            counted.done.push((held, fresh));
        }
        self.0.first_end.store(first_end, Ordering::Relaxed);
        Ok(counted)
    }

    /// Counting failed: it is tried again in a minute, and nobody waits for it meanwhile.
    pub(crate) fn count_later(&self) {
        let later = self.now().as_microsecond().saturating_add(LOOK.as_micros() as i64);
        self.0.uncounted.store(false, Ordering::Relaxed);
        self.0.first_end.store(later, Ordering::Relaxed);
    }

    /// Closes the newest generation and makes another.
    pub(crate) async fn new_generation(
        &self,
        tx: &mut RawTx,
        insurer_number: &str,
        purpose: &str,
    ) -> Result<(), StoreError> {
        let master = self.master();
        // First of all, as everywhere: two who change keys wait for each other instead of for ever.
        tx.run(CHANGED, args![]).await?;
        hold_master(tx, &master).await?;
        tx.run(CLOSE, args![insurer_number, purpose, self.now().as_microsecond()]).await?;
        let rows = tx.rows(NEWEST, args![insurer_number, purpose]).await?;
        let next = 1 + rows.first().map_or(Ok(0), |row| row.int(0))?;
        if !make(tx, &master, self.now(), insurer_number, purpose, next).await? {
            return Err(StoreError::Conflict("another process made a new key at the same time"));
        }
        Ok(())
    }

    /// What this process seals from now on is under the new generations.
    pub(crate) async fn use_new(&self, renewed: &[(String, &'static str)]) -> Result<(), StoreError> {
        for (insurer, purpose) in renewed {
            match *purpose {
                "audit" => self.read_audit_keys().await?,
                _ => self.forget(insurer),
            }
        }
        Ok(())
    }

    /// Everybody who has a sealing key: insurers and the platform itself.
    pub(crate) async fn owners(&self) -> Result<Vec<String>, StoreError> {
        owners_in(&self.0.engine).await
    }

    /// Wraps every data key with the successor of the master key; how many. Nothing is changed when the database belongs to
    /// the successor already.
    pub(crate) async fn rewrap(&self, tx: &mut RawTx, master: &MasterKey) -> Result<Option<u64>, StoreError> {
        let Some(next) = master.successor() else { return Ok(None) };
        let (next, current) = (Master::of(next)?, Master::of(master.current())?);
        // The first statement, so that whoever makes a key at this moment is done or sees the change.
        if tx.run(CHANGE_MASTER, args![&current.id, &next.id]).await? == 0 {
            let rows = tx.rows(STATE, args![]).await?;
            let id = rows.first().map(|row| row.text(1)).transpose()?.unwrap_or_default();
            return if id == next.id { Ok(None) } else { Err(WRONG_MASTER) };
        }
        let mut count = 0;
        for row in tx.rows(ALL_KEYS, args![]).await? {
            let (insurer, purpose, generation) = (row.text(0)?, row.text(1)?, row.int(2)?);
            let aad = wrap_aad(&insurer, &purpose, generation.unsigned_abs());
            let plain = Zeroizing::new(current.aes.open(&aad, &row.blob(3)?).ok_or(WRONG_MASTER)?);
            let wrapped = next.aes.seal(1, &aad, &plain);
            count += tx.run(REWRAP, args![&insurer, &purpose, generation, &wrapped]).await?;
        }
        Ok(Some(count))
    }

    /// After [`Keyring::rewrap`] was committed.
    pub(crate) fn use_successor(&self, master: &MasterKey) -> Result<(), StoreError> {
        if let Some(next) = master.successor() {
            *write(&self.0.master) = Arc::new(Master::of(next)?);
        }
        Ok(())
    }
}

/// What [`Keyring::count`] did, to be settled once it is committed.
#[derive(Default)]
pub(crate) struct Counted {
    /// Owner and purpose of each new generation.
    pub(crate) renewed: Vec<(String, &'static str)>,
    done: Vec<(Held, u64)>,
}

impl Counted {
    pub(crate) fn settle(&self, keys: &Keyring) {
        self.done.iter().for_each(|(held, fresh)| held.seal().settle(*fresh));
        lock(&keys.0.replaced).retain(|held| held.seal().uncounted() > 0);
    }
}

/// A sealing key in use.
#[derive(Clone)]
enum Held {
    Audit(Arc<SealKeys>),
    Insurer(Arc<InsurerKeys>),
}

impl Held {
    fn seal(&self) -> &SealKeys {
        match self {
            Self::Audit(keys) => keys,
            Self::Insurer(keys) => &keys.seal,
        }
    }

    fn purpose(&self) -> &'static str {
        match self {
            Self::Audit(_) => "audit",
            Self::Insurer(_) => "seal",
        }
    }
}

/// The open keys of one insurer.
pub struct InsurerKeys {
    seal: SealKeys,
    /// Newest first; more than one only while tokens are computed anew.
    index: Vec<(u32, MacKey)>,
    digest: MacKey,
}

impl fmt::Debug for InsurerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InsurerKeys(..)")
    }
}

impl InsurerKeys {
    fn of(
        insurer_number: &str,
        seal: &[DataKey],
        index: &[DataKey],
        digest: &[DataKey],
        (block, uncounted): (u64, &Arc<AtomicBool>),
    ) -> Result<Self, StoreError> {
        Ok(Self {
            seal: SealKeys::new(insurer_number, "seal", seal, block, uncounted)?,
            index: index.iter().rev().map(|key| (key.generation, MacKey::new(&key.bytes))).collect(),
            digest: newest_mac(digest)?,
        })
    }

    /// Seals a value to everything in `aad`: purpose, insured, kind, natural key, revision, creator, validity …
    pub fn seal(&self, aad: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.seal.seal(aad, plain)
    }

    /// Opens a sealed value; any altered byte and any other `aad` is [`StoreError::Unreadable`].
    pub fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal.open(aad, sealed)
    }

    /// HMAC-SHA256 of a content, comparable within this insurer only; a bare hash of so few values would be guessed.
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        self.digest.sign("digest", &[bytes])
    }

    /// 128-bit blind index of a normalised text, such as kanji name + birth (disaster search).
    pub fn token(&self, purpose: &str, text: &str) -> [u8; 16] {
        self.tokens(purpose, text).next().unwrap_or_default()
    }

    /// The same under every index key in use, the newest first.
    pub(crate) fn tokens(&self, purpose: &str, text: &str) -> impl Iterator<Item = [u8; 16]> {
        self.index.iter().map(move |(_, key)| {
            let mut token = [0; 16];
            token.copy_from_slice(&key.sign(purpose, &[text.as_bytes()])[..16]);
            token
        })
    }

    /// Generation of the key that new tokens are made with.
    pub(crate) fn index_generation(&self) -> i32 {
        self.index.first().map_or(0, |(generation, _)| i32::try_from(*generation).unwrap_or(i32::MAX))
    }

    /// Generation under which new values are sealed.
    pub(crate) fn sealing(&self) -> u32 {
        self.seal.sealing()
    }

    /// Generations with which values are sealed and search tokens made.
    pub(crate) fn generations(&self) -> (u32, i32) {
        (self.sealing(), self.index_generation())
    }

    /// Whose keys they are.
    pub(crate) fn owner(&self) -> &str {
        self.seal.owner()
    }
}

const WRONG_MASTER: StoreError = StoreError::Unreadable(
    "data_key: the master key file does not belong to this database, or the key row was altered",
);

/// A data key out of its wrapping.
pub(crate) struct DataKey {
    pub(crate) generation: u32,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
    pub(crate) is_open: bool,
    pub(crate) created_at: i64,
}

/// Where keys come from.
struct Source<'a> {
    engine: &'a Engine,
    master: &'a Master,
    clock: &'a Clock,
}

impl Source<'_> {
    /// All generations of a key, oldest first. The first is made when there is none; of two processes that make it at the
    /// same time one wins and both read the winner's.
    async fn load(&self, insurer_number: &str, purpose: &'static str) -> Result<Vec<DataKey>, StoreError> {
        let mut rows = self.engine.rows(READ, args![insurer_number, purpose]).await?;
        if rows.is_empty() {
            // Bounded: while the caller has a transaction open on SQLite this would wait for itself.
            let begun = tokio::time::timeout(Duration::from_secs(2), self.engine.begin()).await;
            let mut tx = begun.map_err(|_| StoreError::Unavailable("no writer for a new key".to_owned()))??;
            make_first(&mut tx, self.master, self.clock, insurer_number, purpose).await?;
            if tx.commit().await == Committed::Unknown {
                return Err(StoreError::Unavailable("a new key may not be stored".to_owned()));
            }
            rows = self.engine.rows(READ, args![insurer_number, purpose]).await?;
        }
        rows.iter().map(|row| unwrap_key(&self.master.aes, insurer_number, purpose, row)).collect()
    }

    /// The first start of a new database: it belongs to this master key from now on. One that has keys said so when its schema
    /// was brought up to date; if it does not say so any more, somebody removed the row.
    async fn claim(&self) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        if tx.run(CLAIM, args![&self.master.id, i32::from(NORMALIZER_VERSION)]).await? == 1
            && !tx.rows(ANY_KEY, args![]).await?.is_empty()
        {
            return Err(StoreError::Unsafe(
                "the row of key_state is gone although there are keys: restore it from a backup (docs/keys.md)"
                    .to_owned(),
            ));
        }
        hold_master(&mut tx, self.master).await?;
        match tx.commit().await {
            Committed::Done => Ok(()),
            Committed::Unknown => Err(StoreError::Unknown),
        }
    }
}

/// A database from before it said to which master key it belongs, in the step that lets it say so: it must be this one.
/// The key of its door MACs; none for a database without keys, which its first start claims.
pub(crate) async fn claim_from_before(
    tx: &mut RawTx,
    master: Option<&MasterKey>,
) -> Result<Option<MacKey>, StoreError> {
    let Some((master, door)) = keys_from_before(tx, master).await? else { return Ok(None) };
    tx.run(CLAIM, args![&master.id, i32::from(NORMALIZER_VERSION)]).await?;
    Ok(Some(door))
}

/// The key of the door MACs of a database from before a step that gives MACs; none for one without keys.
pub(crate) async fn door_from_before(tx: &mut RawTx, master: Option<&MasterKey>) -> Result<Option<MacKey>, StoreError> {
    Ok(keys_from_before(tx, master).await?.map(|(_, door)| door))
}

async fn keys_from_before(tx: &mut RawTx, master: Option<&MasterKey>) -> Result<Option<(Master, MacKey)>, StoreError> {
    if tx.rows(ANY_KEY, args![]).await?.is_empty() {
        return Ok(None);
    }
    let master = master.ok_or_else(|| {
        StoreError::Unsafe(
            "この版への更新には主鍵が要ります。kiban migrate に --home で主鍵のある設置フォルダーを指定してください"
                .to_owned(),
        )
    })?;
    let master = Master::of(master.current())?;
    let mut keys = Vec::new();
    for row in tx.rows(READ, args![NO_INSURER, "door"]).await? {
        keys.push(unwrap_key(&master.aes, NO_INSURER, "door", &row)?);
    }
    let door = newest_mac(&keys)?;
    Ok(Some((master, door)))
}

/// Everybody who has a sealing key in a database.
pub(crate) async fn owners_in(engine: &Engine) -> Result<Vec<String>, StoreError> {
    engine.rows(OWNERS, args![]).await?.iter().map(|row| row.text(0)).collect()
}

/// Everybody of whom there is anything in a database, with or without keys.
pub(crate) async fn everybody_in(engine: &Engine) -> Result<Vec<String>, StoreError> {
    engine.rows(OWNERS_OF_ALL, args![]).await?.iter().map(|row| row.text(0)).collect()
}

/// The keys of an owner as they are in a database that is not served.
pub(crate) struct FoundKeys {
    /// To open values; none when no key for sealing comes out of its wrapping.
    pub(crate) seal: Option<SealKeys>,
    /// Generations of sealing keys that are there.
    pub(crate) generations: Vec<u32>,
    /// One of them is open for sealing.
    pub(crate) is_sealing: bool,
    /// Purpose and generation of keys that do not come out of their wrapping.
    pub(crate) broken: Vec<(&'static str, u32)>,
}

pub(crate) async fn keys_in(engine: &Engine, master: &MasterKey, owner: &str) -> Result<FoundKeys, StoreError> {
    let masters = master.candidates().map(|key| Aes::new(key.bytes())).collect::<Result<Vec<_>, _>>()?;
    let mut found = FoundKeys { seal: None, generations: Vec::new(), is_sealing: false, broken: Vec::new() };
    let mut seal = Vec::new();
    for purpose in ["seal", "index", "digest", "audit", "door"] {
        for row in engine.rows(READ, args![owner, purpose]).await? {
            let generation = u32::try_from(row.int(0)?).map_err(|_| WRONG_MASTER)?;
            let key = masters.iter().find_map(|master| unwrap_key(master, owner, purpose, &row).ok());
            let (is_seal, is_open) = (purpose == "seal", row.big_or_null(2)?.is_none());
            if is_seal {
                found.generations.push(generation);
                found.is_sealing |= is_open;
            }
            match key {
                // To open values any generation will do.
                Some(key) if is_seal => seal.push(DataKey { is_open: true, ..key }),
                Some(_) => {}
                None => found.broken.push((purpose, generation)),
            }
        }
    }
    if !seal.is_empty() {
        found.seal = Some(SealKeys::new(owner, "seal", &seal, u64::MAX, &Arc::default())?);
    }
    Ok(found)
}

/// Epoch of the keys and id of the master key; no id before the first start.
async fn state(engine: &Engine) -> Result<(i64, String), StoreError> {
    let rows = engine.rows(STATE, args![]).await?;
    rows.first().map_or(Ok((1, String::new())), |row| Ok((row.big(0)?, row.text(1)?)))
}

/// The key the database belongs to; while it does not say, that of the file.
fn fitting<'a>(master: &'a MasterKey, id: &str) -> Option<&'a OneKey> {
    if id.is_empty() { Some(master.current()) } else { master.candidates().find(|key| key.id() == id) }
}

/// Refuses a transaction in which keys are wrapped by another master key than the database belongs to; until its end the
/// master key cannot be changed.
async fn hold_master(tx: &mut RawTx, master: &Master) -> Result<(), StoreError> {
    let held = if matches!(tx, RawTx::Postgres(_)) { HOLD_STATE } else { STATE };
    let rows = tx.rows(held, args![]).await?;
    let id = rows.first().map(|row| row.text(1)).transpose()?;
    if id.as_deref() == Some(&master.id) {
        return Ok(());
    }
    Err(WRONG_MASTER)
}

/// Makes the first generation of a key; false when another process made it first.
async fn make_first(
    tx: &mut RawTx,
    master: &Master,
    clock: &Clock,
    insurer_number: &str,
    purpose: &str,
) -> Result<bool, StoreError> {
    hold_master(tx, master).await?;
    make(tx, master, clock(), insurer_number, purpose, 1).await
}

async fn make(
    tx: &mut RawTx,
    master: &Master,
    now: Timestamp,
    insurer_number: &str,
    purpose: &str,
    generation: i32,
) -> Result<bool, StoreError> {
    let fresh = random_key()?;
    let wrapped = master.aes.seal(1, &wrap_aad(insurer_number, purpose, generation.unsigned_abs()), &fresh[..]);
    Ok(tx.run(PUT, args![insurer_number, purpose, generation, &wrapped, now.as_microsecond()]).await? == 1)
}

fn unwrap_key(master: &Aes, insurer_number: &str, purpose: &str, row: &Row) -> Result<DataKey, StoreError> {
    let generation = u32::try_from(row.int(0)?).map_err(|_| WRONG_MASTER)?;
    let plain = master.open(&wrap_aad(insurer_number, purpose, generation), &row.blob(1)?).ok_or(WRONG_MASTER)?;
    let bytes = key_of(&Zeroizing::new(plain)).ok_or(WRONG_MASTER)?;
    Ok(DataKey { generation, bytes, is_open: row.big_or_null(2)?.is_none(), created_at: row.big(3)? })
}

fn wrap_aad(insurer_number: &str, purpose: &str, generation: u32) -> Vec<u8> {
    let mut aad = Vec::new();
    [b"wrap".as_slice(), insurer_number.as_bytes(), purpose.as_bytes(), &generation.to_be_bytes()]
        .iter()
        .for_each(|part| push_part(&mut aad, part));
    aad
}

fn newest_mac(keys: &[DataKey]) -> Result<MacKey, StoreError> {
    let newest = keys.iter().rfind(|key| key.is_open).or(keys.last()).ok_or(StoreError::Unreadable("data_key"))?;
    Ok(MacKey::new(&newest.bytes))
}

fn read<T>(value: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    value.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(value: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    value.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
