//! The running log of one process: the batcher that makes entries durable in groups, the slots of writes, and the keeper
//! that closes segments each second and signs each minute.

use super::anchor::{self, Anchor, PublicKey, SigningKey};
use super::entry::{self, Entry, Position, StoredEntry};
use super::month::{self, Month};
use super::segment;
use super::verify::{self, VerifyReport};
use super::writer::{LEASE, Writer};
use crate::Keyring;
use crate::StoreError;
use crate::engine::{Committed, Engine, RawTx, WRITER_WAIT, args};
use crate::seal::{Clock, file_error};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Entries waiting at most; beyond that the answer is 503.
const QUEUE: usize = 1024;
/// Entries of one transaction at most.
const BATCH: usize = 256;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Age at which a segment is closed; sixty times as long until the next anchor.
    pub(super) tick: Duration,
    /// An entry waits so long in the queue, and a batch so long to begin. Nothing is given up when this is over.
    pub(super) begin: Duration,
    /// A batch that has begun is durable after so long, or its answer is withheld.
    pub(super) finish: Duration,
}

impl Pace {
    pub(super) fn of(engine: &Engine) -> Self {
        let finish = Duration::from_secs(2);
        // SQLite's one writer may be held by an import; on PostgreSQL only a database in trouble lets nobody begin.
        let begin = if engine.is_postgres() { finish } else { WRITER_WAIT };
        Self { tick: Duration::from_secs(1), begin, finish }
    }
}

/// What a process needs to keep the log.
pub struct AuditSettings {
    /// Signs the anchors.
    pub signing_key: SigningKey,
    /// Folder outside the database for anchors and lock files, best on a disk of somebody else.
    pub anchor_dir: PathBuf,
    /// Gives the present instant.
    pub clock: Clock,
}

impl std::fmt::Debug for AuditSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditSettings").field("anchor_dir", &self.anchor_dir).finish_non_exhaustive()
    }
}

/// The audit log of this process. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) keyring: Keyring,
    signing_key: SigningKey,
    pub(super) anchor_dir: PathBuf,
    clock: Clock,
    writer: Mutex<Option<Arc<Writer>>>,
    /// Opening writers, closing segments and signing happen one at a time.
    tending: tokio::sync::Mutex<()>,
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    keeper: mpsc::UnboundedSender<Message>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Last month that has its part of the log.
    months_until: Mutex<Option<Month>>,
    pace: Pace,
    /// When the last group was durable, microseconds; 0 before the first.
    durable_at: AtomicI64,
}

struct Waiting {
    entry: Entry,
    since: Instant,
    reply: oneshot::Sender<Result<Position, StoreError>>,
}

enum Message {
    /// A write or a batch was begun and not surely committed: its numbers may be empty.
    Undone {
        writer: Arc<Writer>,
        entries: Vec<StoredEntry>,
    },
    /// There is no writer: open one, and close the one that was given up.
    NeedWriter,
    Stop(oneshot::Sender<()>),
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog(..)")
    }
}

impl AuditLog {
    /// Starts the log: refuses one that is older than its outside anchor, closes what dead writers left, opens a writer and
    /// signs.
    pub(crate) async fn start(engine: Engine, keyring: Keyring, settings: AuditSettings) -> Result<Self, StoreError> {
        let pace = Pace::of(&engine);
        Self::start_paced(engine, keyring, settings, pace).await
    }

    pub(super) async fn start_paced(
        engine: Engine,
        keyring: Keyring,
        settings: AuditSettings,
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let AuditSettings { signing_key, anchor_dir, clock } = settings;
        std::fs::create_dir_all(&anchor_dir).map_err(|error| file_error(&anchor_dir, &error))?;
        anchor::refuse_older_log(&engine, &signing_key.public_key(), &anchor_dir).await?;
        segment::close_dead_writers(&engine, &anchor_dir, None, &clock).await?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (keeper, messages) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            engine,
            keyring,
            signing_key,
            anchor_dir,
            clock,
            writer: Mutex::new(None),
            tending: tokio::sync::Mutex::new(()),
            queue: Mutex::new(Some(queue)),
            keeper,
            tasks: Mutex::default(),
            months_until: Mutex::default(),
            pace,
            durable_at: AtomicI64::new(0),
        });
        warn(inner.make_months().await);
        inner.open_writer().await?;
        inner.anchor().await?;
        let tasks = vec![
            tokio::spawn(batch(Arc::clone(&inner), waiting)),
            tokio::spawn(keep(Arc::clone(&inner), messages, pace.tick)),
        ];
        *lock(&inner.tasks) = tasks;
        Ok(Self(inner))
    }

    /// Makes an entry durable. Unavailable: it may or may not have been stored; the caller must not answer with data.
    pub async fn append(&self, entry: Entry) -> Result<Position, StoreError> {
        self.enqueue(entry)?.wait().await
    }

    /// Hands an entry to the batcher; it is durable once [`Enqueued::wait`] says so.
    pub(super) fn enqueue(&self, entry: Entry) -> Result<Enqueued, StoreError> {
        entry.check()?;
        let (reply, answer) = oneshot::channel();
        let queue = lock(&self.0.queue).clone().ok_or_else(|| unavailable("audit log is shut down"))?;
        let waiting = Waiting { entry, since: Instant::now(), reply };
        queue.try_send(waiting).map_err(|_| unavailable("audit queue is full"))?;
        Ok(Enqueued(answer))
    }

    /// Inserts the entry of a write into the write's own transaction.
    pub(crate) async fn stage(&self, tx: &mut RawTx, entry: Entry) -> Result<Slot, StoreError> {
        entry.check()?;
        let Some(writer) = self.0.sure_writer() else {
            let _ = self.0.keeper.send(Message::NeedWriter);
            return Err(unavailable("no audit writer"));
        };
        let subjects = entry.subjects.clone();
        let stored = writer.give(entry, &self.0.keyring.audit())?;
        let slot = Slot { log: Arc::clone(&self.0), staged: Some((writer, Box::new(stored.clone()))) };
        entry::insert(tx, std::slice::from_ref(&stored)).await?;
        entry::insert_seen(tx, &stored, &subjects).await?;
        if let Err(error) = segment::refuse_closed_writer(tx, stored.position.writer).await {
            slot.unknown();
            return Err(error);
        }
        Ok(slot)
    }

    /// Closes what can be closed and signs it.
    pub async fn anchor_now(&self) -> Result<Anchor, StoreError> {
        self.0.close_segments().await?;
        self.0.anchor().await
    }

    /// The newest anchor there is, whichever process signed it.
    pub async fn newest_anchor(&self) -> Result<Option<Anchor>, StoreError> {
        anchor::newest(&self.0.engine).await
    }

    /// Whether the process is ending.
    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.0.queue).is_none()
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0.signing_key
    }

    /// Entries that wait, and how many may.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let free = lock(&self.0.queue).as_ref().map_or(QUEUE, mpsc::Sender::capacity);
        (QUEUE - free, QUEUE)
    }

    /// When the last group was durable, microseconds; none before the first.
    pub(crate) fn durable_at(&self) -> Option<i64> {
        Some(self.0.durable_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Folder outside the database.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.anchor_dir.clone()
    }

    /// The key that verifies the anchors.
    pub fn public_key(&self) -> PublicKey {
        self.0.signing_key.public_key()
    }

    /// Verifies the whole log, also what other processes wrote.
    pub async fn verify(&self) -> Result<VerifyReport, StoreError> {
        verify::verify(&self.0.engine, Some(&self.0.keyring), &self.public_key(), &self.0.anchor_dir).await
    }

    /// Takes no more entries, writes those waiting, closes the segment and signs. A segment with a write still running is
    /// left to the next start.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        drop(lock(&self.0.queue).take());
        let tasks = std::mem::take(&mut *lock(&self.0.tasks)).into_iter();
        let mut tasks = tasks.collect::<Vec<_>>();
        if tasks.is_empty() {
            return Ok(());
        }
        let _ = tasks.remove(0).await;
        let (stopped, done) = oneshot::channel();
        if self.0.keeper.send(Message::Stop(stopped)).is_ok() {
            let _ = done.await;
        }
        self.0.close_segments().await?;
        let writer = lock(&self.0.writer).take();
        if let Some(writer) = writer
            && Arc::strong_count(&writer) == 1
            && writer.state().closing.is_empty()
        {
            segment::mark(&self.0.engine, writer.id, "live", "ended").await?;
            super::writer::remove_lock(&self.0.anchor_dir, writer.id);
        }
        self.0.anchor().await.map(drop)
    }

    /// What a kill leaves behind: nothing is closed, the lock is free.
    #[cfg(test)]
    pub(super) async fn kill(self) {
        let tasks = std::mem::take(&mut *lock(&self.0.tasks));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        *lock(&self.0.writer) = None;
    }

    /// As if the last sign of life were long ago.
    #[cfg(test)]
    pub(super) fn outlast_lease(&self) {
        if let Some(writer) = self.0.writer() {
            writer.outlast_lease();
        }
    }

    #[cfg(test)]
    pub(super) fn writer_id(&self) -> i64 {
        lock(&self.0.writer).as_ref().map_or(0, |writer| writer.id)
    }
}

/// An entry on its way.
#[must_use]
pub(super) struct Enqueued(oneshot::Receiver<Result<Position, StoreError>>);

impl Enqueued {
    pub(super) async fn wait(self) -> Result<Position, StoreError> {
        self.0.await.unwrap_or_else(|_| Err(unavailable("audit log has stopped")))
    }
}

/// The place of a write's entry, until its transaction has ended. Dropped means rolled back.
#[must_use]
pub struct Slot {
    log: Arc<Inner>,
    staged: Option<(Arc<Writer>, Box<StoredEntry>)>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot(..)")
    }
}

impl Slot {
    /// Where the entry stands, once committed.
    pub fn position(&self) -> Option<Position> {
        self.staged.as_ref().map(|(_, entry)| entry.position)
    }

    /// The transaction is committed.
    pub fn committed(mut self) {
        if let Some((writer, entry)) = self.staged.take() {
            writer.settle(entry.position, None);
        }
    }

    /// The COMMIT got no clear answer: the writer is given up (decision 0006.2).
    pub fn unknown(mut self) {
        if let Some((writer, _)) = self.staged.take() {
            self.log.abandon(&writer);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((writer, entry)) = self.staged.take() {
            let _ = self.log.keeper.send(Message::Undone { writer, entries: vec![*entry] });
        }
    }
}

impl Inner {
    fn writer(&self) -> Option<Arc<Writer>> {
        lock(&self.writer).clone()
    }

    /// The writer, unless others may by now think it dead. On SQLite a long import keeps every sign of life waiting, its own
    /// entry must still be taken, and whether the writer was closed is seen surely under the one lock there is.
    fn sure_writer(&self) -> Option<Arc<Writer>> {
        let writer = self.writer()?;
        if self.engine.is_postgres() && writer.is_doubtful() {
            self.abandon(&writer);
            return None;
        }
        Some(writer)
    }

    /// Gives a writer up for good; its segments are closed late, by whoever sees its lock free.
    fn abandon(&self, writer: &Arc<Writer>) {
        let mut current = lock(&self.writer);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, writer)) {
            tracing::error!(writer = writer.id, "audit writer given up");
            *current = None;
            let _ = self.keeper.send(Message::NeedWriter);
        }
    }

    async fn open_writer(&self) -> Result<Arc<Writer>, StoreError> {
        let _one_at_a_time = self.tending.lock().await;
        if let Some(writer) = self.writer() {
            return Ok(writer);
        }
        let writer = Arc::new(Writer::new(&self.anchor_dir)?);
        let now = (self.clock)().as_microsecond();
        let mut tx = self.engine.begin().await?;
        tx.run(
            "INSERT INTO audit_writer (writer, opened_at, alive_until, state) VALUES ($1, $2, $3, 'live')",
            args![writer.id, now, now + LEASE.as_micros() as i64],
        )
        .await?;
        if tx.commit().await == Committed::Unknown {
            return Err(unavailable("audit writer not surely opened"));
        }
        *lock(&self.writer) = Some(Arc::clone(&writer));
        Ok(writer)
    }

    pub(super) async fn close_segments(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.tending.lock().await;
        let Some(writer) = self.writer() else { return Ok(()) };
        writer.state().roll()?;
        match segment::close_waiting(&self.engine, &writer, &self.clock).await {
            Err(error @ StoreError::Conflict(_)) => {
                self.abandon(&writer);
                Err(error)
            }
            other => other,
        }
    }

    async fn anchor(&self) -> Result<Anchor, StoreError> {
        let _one_at_a_time = self.tending.lock().await;
        anchor::anchor(&self.engine, &self.signing_key, &self.anchor_dir, (self.clock)().as_microsecond()).await
    }

    /// Makes the months of the log that will be needed; when that fails, entries still find a place.
    async fn make_months(&self) -> Result<(), StoreError> {
        let now = (self.clock)();
        if lock(&self.months_until).is_none_or(|until| until < Month::of(now).plus(month::AHEAD)) {
            let until = month::make_ahead(&self.engine, now).await?;
            *lock(&self.months_until) = Some(until);
        }
        Ok(())
    }

    /// Shows that the writer lives, makes months, closes what dead ones left, signs.
    pub(super) async fn each_minute(&self) -> Result<(), StoreError> {
        if let Some(writer) = self.writer() {
            let until = (self.clock)().as_microsecond() + LEASE.as_micros() as i64;
            let mut tx = self.engine.begin().await?;
            tx.run("UPDATE audit_writer SET alive_until = $2 WHERE writer = $1", args![writer.id, until]).await?;
            if tx.commit().await == Committed::Done {
                writer.renew();
            }
        }
        warn(self.make_months().await);
        self.close_dead().await?;
        self.anchor().await.map(drop)
    }

    async fn close_dead(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.tending.lock().await;
        let own = self.writer().map(|writer| writer.id);
        segment::close_dead_writers(&self.engine, &self.anchor_dir, own, &self.clock).await.map(drop)
    }
}

/// Takes what waits, makes it durable in one transaction, answers, and takes what waits by then.
async fn batch(inner: Arc<Inner>, mut queue: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let (ready, late): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|w| w.since.elapsed() < inner.pace.begin);
        for late in late {
            let _ = late.reply.send(Err(unavailable("audit log is too slow")));
        }
        if ready.is_empty() {
            continue;
        }
        let writer = match inner.sure_writer() {
            Some(writer) => Ok(writer),
            None => tokio::time::timeout(inner.pace.begin, inner.open_writer())
                .await
                .unwrap_or(Err(unavailable("database is too slow"))),
        };
        match writer {
            Ok(writer) => write_batch(&inner, &writer, ready).await,
            Err(error) => refuse(ready.into_iter().map(|waiting| waiting.reply), &error),
        }
    }
}

async fn write_batch(inner: &Inner, writer: &Arc<Writer>, batch: Vec<Waiting>) {
    // Begun before any number is given: entries that wait in vain harm no other's.
    let begun = tokio::time::timeout(inner.pace.begin, inner.engine.begin_batch()).await;
    let mut tx = match begun.unwrap_or(Err(unavailable("the database lets nobody begin"))) {
        Ok(tx) => tx,
        Err(error) => return refuse(batch.into_iter().map(|waiting| waiting.reply), &error),
    };
    let mut rows = Vec::with_capacity(batch.len());
    let mut replies = Vec::with_capacity(batch.len());
    let mut lists = Vec::new();
    for Waiting { entry, reply, .. } in batch {
        let subjects = entry.subjects.clone();
        match writer.give(entry, &inner.keyring.audit()) {
            Ok(row) => {
                if !subjects.is_empty() {
                    lists.push((rows.len(), subjects));
                }
                rows.push(row);
                replies.push(reply);
            }
            Err(error) => refuse([reply], &error),
        }
    }
    let until = tokio::time::Instant::now() + inner.pace.finish;
    let inserted = tokio::time::timeout_at(until, insert_batch(&mut tx, writer.id, &rows, &lists)).await;
    match inserted.unwrap_or(Err(unavailable("audit log is too slow"))) {
        Ok(true) => {}
        Ok(false) => {
            drop(tx);
            inner.abandon(writer);
            return refuse(replies, &segment::taken_for_dead());
        }
        Err(error) => {
            // Never committed: the numbers are filled, the writer lives on.
            drop(tx);
            let _ = inner.keeper.send(Message::Undone { writer: Arc::clone(writer), entries: rows });
            return refuse(replies, &error);
        }
    }
    match tokio::time::timeout_at(until, tx.commit()).await {
        Ok(Committed::Done) => {
            inner.durable_at.store((inner.clock)().as_microsecond(), Ordering::Relaxed);
            for (row, reply) in rows.iter().zip(replies) {
                writer.settle(row.position, None);
                let _ = reply.send(Ok(row.position));
            }
        }
        Ok(Committed::Unknown) | Err(_) => {
            inner.abandon(writer);
            refuse(replies, &StoreError::Unknown);
        }
    }
}

/// False when the writer was taken for dead and may not commit any more.
async fn insert_batch(
    tx: &mut RawTx,
    writer: i64,
    rows: &[StoredEntry],
    lists: &[(usize, Vec<String>)],
) -> Result<bool, StoreError> {
    entry::insert(tx, rows).await?;
    for (row, subjects) in lists {
        entry::insert_seen(tx, &rows[*row], subjects).await?;
    }
    segment::is_live(tx, writer).await
}

fn refuse(replies: impl IntoIterator<Item = oneshot::Sender<Result<Position, StoreError>>>, error: &StoreError) {
    tracing::warn!(%error, "audit entries not durable, their answers are withheld");
    for reply in replies {
        let _ = reply.send(Err(StoreError::Unavailable(format!("audit: {error}"))));
    }
}

/// Settles writes, closes segments each second, signs each minute.
async fn keep(inner: Arc<Inner>, mut messages: mpsc::UnboundedReceiver<Message>, pace: Duration) {
    let mut voids = JoinSet::new();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + pace, pace);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    let mut months = JoinSet::new();
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Undone { writer, entries }) => {
                    voids.spawn(fill(Arc::clone(&inner), writer, entries));
                }
                Some(Message::NeedWriter) => {
                    warn(inner.open_writer().await.map(drop));
                    warn(inner.close_dead().await);
                }
                Some(Message::Stop(done)) => {
                    while months.join_next().await.is_some() {}
                    while voids.join_next().await.is_some() {}
                    let _ = done.send(());
                    return;
                }
                None => return,
            },
            _ = tick.tick() => {
                while voids.try_join_next().is_some() {}
                ticks += 1;
                warn(inner.close_segments().await);
                if ticks.is_multiple_of(60) {
                    warn(inner.each_minute().await);
                }
                // Beside, because a month of a large city takes its time.
                while months.try_join_next().is_some() {}
                if ticks % 3_600 == 60 && months.is_empty() {
                    let (log, now) = (AuditLog(Arc::clone(&inner)), (inner.clock)());
                    months.spawn(async move { warn(log.sign_months(now).await.map(drop)) });
                }
            }
        }
    }
}

/// Fills the numbers of a write that was rolled back, or finds that it was not.
async fn fill(inner: Arc<Inner>, writer: Arc<Writer>, entries: Vec<StoredEntry>) {
    let voids: Vec<_> = entries.iter().map(StoredEntry::void).collect();
    match store_voids(&inner.engine, writer.id, &voids).await {
        Ok(filled) => {
            for (void, filled) in voids.iter().zip(filled) {
                writer.settle(void.position, filled.then_some(void));
            }
        }
        Err(error) => {
            tracing::warn!(%error, "numbers of a rolled back write not filled");
            inner.abandon(&writer);
        }
    }
}

async fn store_voids(engine: &Engine, writer: i64, voids: &[StoredEntry]) -> Result<Vec<bool>, StoreError> {
    let mut tx = engine.begin().await?;
    let mut filled = Vec::with_capacity(voids.len());
    for void in voids {
        filled.push(entry::insert_void(&mut tx, void).await?);
    }
    segment::refuse_closed_writer(&mut tx, writer).await?;
    match tx.commit().await {
        Committed::Done => Ok(filled),
        Committed::Unknown => Err(StoreError::Unknown),
    }
}

fn warn(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "audit log upkeep failed, tried again soon");
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
