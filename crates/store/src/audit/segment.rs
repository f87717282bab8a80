//! Closing segments: the entries of about a second get a Merkle root, and its header is chained to the writer's previous
//! one. Before a root is stored the entries are read back from the database and held against the leaves made when they were
//! written (T-10): what was altered in between is alarmed at once and named by the verification for ever.

use super::entry::{StoredEntry, columns};
use super::tree::{self, Hash};
use super::writer::{self, Writer};
use crate::StoreError;
use crate::engine::{Committed, Engine, RawTx, Row, args};
use crate::seal::{Clock, random_bytes, sha256};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

const ENTRIES: &str =
    concat!("SELECT ", columns!(""), " FROM audit WHERE writer = $1 AND segment = $2 ORDER BY n, insurer_number");
const SEGMENT: &str = "SELECT writer, segment, entries, leaves, root, previous, salt, closed_at, closed_late, header \
                       FROM audit_segment WHERE writer = $1 AND segment = $2";
pub(crate) const LAST_CLOSED: &str =
    "SELECT segment, header FROM audit_segment WHERE writer = $1 ORDER BY segment DESC LIMIT 1";
const LAST_USED: &str = "SELECT segment FROM audit WHERE writer = $1 ORDER BY segment DESC LIMIT 1";
const UNFINISHED: &str =
    "SELECT writer, alive_until, state FROM audit_writer WHERE state IN ('live', 'closing') ORDER BY writer";
const STATE: &str = "SELECT state FROM audit_writer WHERE writer = $1";
/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[ENTRIES, SEGMENT, LAST_CLOSED, LAST_USED, STATE];

/// What stands over a closed segment and is hashed into the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) writer: i64,
    pub(crate) segment: i32,
    pub(crate) entries: i32,
    pub(crate) root: Hash,
    pub(crate) previous: Hash,
    /// Hash of the salt, so that a header can be shown without it.
    pub(crate) salt_hash: Hash,
    pub(crate) closed_at: i64,
    pub(crate) closed_late: bool,
}

impl Header {
    pub(crate) fn hash(&self) -> Hash {
        sha256(&[
            b"kiban audit segment 1\n",
            &self.writer.to_be_bytes(),
            &self.segment.to_be_bytes(),
            &self.entries.to_be_bytes(),
            &self.root,
            &self.previous,
            &self.salt_hash,
            &self.closed_at.to_be_bytes(),
            &[u8::from(self.closed_late)],
        ])
    }
}

/// A row of `audit_segment`.
#[derive(Debug, Clone)]
pub(crate) struct StoredSegment {
    pub(crate) header: Header,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) salt: Hash,
    pub(crate) header_hash: Hash,
}

impl StoredSegment {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let hash = |column: usize| -> Result<Hash, StoreError> {
            tree::hash_from(&row.blob(column)?).ok_or(StoreError::Unreadable("audit_segment"))
        };
        let salt = hash(6)?;
        let header = Header {
            writer: row.big(0)?,
            segment: row.int(1)?,
            entries: row.int(2)?,
            root: hash(4)?,
            previous: hash(5)?,
            salt_hash: sha256(&[&salt]),
            closed_at: row.big(7)?,
            closed_late: row.boolean(8)?,
        };
        let leaves = row.blob(3)?.chunks(32).filter_map(tree::hash_from).collect();
        Ok(Self { header, leaves, salt, header_hash: hash(9)? })
    }
}

/// The entries of a segment as they are stored, by number.
pub(crate) async fn read_entries(engine: &Engine, writer: i64, segment: i32) -> Result<Vec<StoredEntry>, StoreError> {
    engine.rows(ENTRIES, args![writer, segment]).await?.iter().map(StoredEntry::from_row).collect()
}

pub(crate) async fn read_segment(
    engine: &Engine,
    writer: i64,
    segment: i32,
) -> Result<Option<StoredSegment>, StoreError> {
    engine.rows(SEGMENT, args![writer, segment]).await?.first().map(StoredSegment::from_row).transpose()
}

/// Closes the writer's waiting segments in order, as far as their transactions have ended. Repeating is harmless.
pub(crate) async fn close_waiting(engine: &Engine, writer: &Writer, clock: &Clock) -> Result<(), StoreError> {
    loop {
        let (number, salt, leaves, fixed, previous) = {
            let state = writer.state();
            match state.closing.front() {
                Some(front) if front.unsettled == 0 => {
                    (front.number, front.salt, front.leaves.clone(), front.header.clone(), state.previous)
                }
                _ => return Ok(()),
            }
        };
        let header = match fixed {
            Some(header) => header,
            None => {
                alarm_if_altered(engine, writer.id, number, &salt, &leaves).await?;
                let header = Header {
                    writer: writer.id,
                    segment: number,
                    entries: leaves.len() as i32,
                    root: tree::root(&leaves),
                    previous,
                    salt_hash: sha256(&[&salt]),
                    closed_at: clock().as_microsecond(),
                    closed_late: false,
                };
                if let Some(front) = writer.state().closing.front_mut() {
                    front.header = Some(header.clone());
                }
                header
            }
        };
        store(engine, &header, &leaves, &salt).await?;
        let mut state = writer.state();
        state.closing.pop_front();
        state.previous = header.hash();
    }
}

async fn alarm_if_altered(
    engine: &Engine,
    writer: i64,
    segment: i32,
    salt: &Hash,
    leaves: &[Hash],
) -> Result<(), StoreError> {
    let stored = read_entries(engine, writer, segment).await?;
    let read_back: Vec<Hash> = stored.iter().map(|entry| tree::leaf(entry, salt)).collect();
    if read_back != leaves {
        let n = read_back.iter().zip(leaves).position(|(a, b)| a != b).unwrap_or(read_back.len().min(leaves.len()));
        tracing::error!(
            writer,
            segment,
            n,
            "audit entry altered between writing and sealing; run `kiban audit verify`"
        );
    }
    Ok(())
}

/// Stores a closed segment. When one is there already it must be the same.
async fn store(engine: &Engine, header: &Header, leaves: &[Hash], salt: &Hash) -> Result<(), StoreError> {
    let hash = header.hash();
    let mut tx = engine.begin().await?;
    tx.run(
        "INSERT INTO audit_segment (writer, segment, entries, leaves, root, previous, salt, closed_at, closed_late, header) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        args![
            header.writer, header.segment, header.entries, leaves.as_flattened(), &header.root, &header.previous, salt,
            header.closed_at, header.closed_late, &hash,
        ],
    )
    .await?;
    let there = tx
        .rows(
            "SELECT header FROM audit_segment WHERE writer = $1 AND segment = $2",
            args![header.writer, header.segment],
        )
        .await?;
    if there.first().map(|row| row.blob(0)).transpose()?.as_deref() != Some(hash.as_slice()) {
        return Err(StoreError::Conflict("audit segment closed by somebody else"));
    }
    match tx.commit().await {
        Committed::Done => Ok(()),
        Committed::Unknown => Err(StoreError::Unavailable("segment not surely closed".to_owned())),
    }
}

/// Refuses to commit an entry of a writer that others have begun to close. Asked in the entry's own transaction, after its
/// INSERT: either this sees `closing`, or the one who closes sees this transaction and waits for it.
pub(crate) async fn refuse_closed_writer(tx: &mut RawTx, writer: i64) -> Result<(), StoreError> {
    if is_live(tx, writer).await? { Ok(()) } else { Err(taken_for_dead()) }
}

/// Whether a writer may still commit; asked like [`refuse_closed_writer`].
pub(crate) async fn is_live(tx: &mut RawTx, writer: i64) -> Result<bool, StoreError> {
    let state = tx.rows(STATE, args![writer]).await?.first().map(|row| row.text(0)).transpose()?;
    Ok(state.as_deref() == Some("live"))
}

pub(crate) fn taken_for_dead() -> StoreError {
    StoreError::Unavailable("this audit writer was taken for dead".to_owned())
}

/// Closes the segments of every writer that is dead: killed processes, and writers abandoned by this one.
pub(crate) async fn close_dead_writers(
    engine: &Engine,
    folder: &Path,
    own: Option<i64>,
    clock: &Clock,
) -> Result<usize, StoreError> {
    let now = clock().as_microsecond();
    let mut dead = Vec::new();
    for row in engine.rows(UNFINISHED, args![]).await? {
        let (id, is_closing) = (row.big(0)?, row.text(2)? == "closing");
        if Some(id) != own && (is_closing || row.big(1)? < now || writer::lock_is_free(folder, id)) {
            // From here on it takes no more entries, even if it is not dead but was asleep.
            mark(engine, id, "live", "closing").await?;
            dead.push(id);
        }
    }
    if !dead.is_empty() {
        wait_for_running_inserts(engine).await?;
    }
    for id in &dead {
        close_late(engine, *id, clock).await?;
        writer::remove_lock(folder, *id);
    }
    Ok(dead.len())
}

async fn close_late(engine: &Engine, writer: i64, clock: &Clock) -> Result<(), StoreError> {
    let closed = engine.rows(LAST_CLOSED, args![writer]).await?;
    let (mut next, mut previous) = match closed.first() {
        Some(row) => (row.int(0)? + 1, tree::hash_from(&row.blob(1)?).ok_or(StoreError::Unreadable("audit_segment"))?),
        None => (0, tree::HOLE),
    };
    let last = engine.rows(LAST_USED, args![writer]).await?;
    let last = last.first().map(|row| row.int(0)).transpose()?.unwrap_or(-1);
    while next <= last {
        previous = close_one_late(engine, writer, next, previous, clock).await?;
        next += 1;
    }
    mark(engine, writer, "closing", "ended").await
}

/// A number without an entry becomes a hole: given away and not written when the process died, and never answered.
async fn close_one_late(
    engine: &Engine,
    writer: i64,
    segment: i32,
    previous: Hash,
    clock: &Clock,
) -> Result<Hash, StoreError> {
    let entries = read_entries(engine, writer, segment).await?;
    let count = entries.last().map_or(0, |entry| entry.position.n as usize + 1);
    if count > writer::SEGMENT_ENTRIES {
        return Err(StoreError::Unreadable("audit: a number beyond the end of a segment"));
    }
    let salt: Hash = random_bytes()?;
    let mut leaves = vec![tree::HOLE; count];
    for entry in &entries {
        leaves[entry.position.n as usize] = tree::leaf(entry, &salt);
    }
    let header = Header {
        writer,
        segment,
        entries: count as i32,
        root: tree::root(&leaves),
        previous,
        salt_hash: sha256(&[&salt]),
        closed_at: clock().as_microsecond(),
        closed_late: true,
    };
    match store(engine, &header, &leaves, &salt).await {
        Ok(()) => Ok(header.hash()),
        // Another process was faster; its header is as good.
        Err(StoreError::Conflict(_)) => {
            let theirs = read_segment(engine, writer, segment).await?;
            theirs.map(|segment| segment.header_hash).ok_or(StoreError::Unreadable("audit_segment"))
        }
        Err(error) => Err(error),
    }
}

/// Moves a writer on; harmless when it was moved already.
pub(crate) async fn mark(engine: &Engine, writer: i64, from: &'static str, to: &'static str) -> Result<(), StoreError> {
    let mut tx = engine.begin().await?;
    tx.run("UPDATE audit_writer SET state = $3 WHERE writer = $1 AND state = $2", args![writer, from, to]).await?;
    match tx.commit().await {
        Committed::Done => Ok(()),
        Committed::Unknown => Err(StoreError::Unavailable("state of an audit writer".to_owned())),
    }
}

/// A killed process may leave a transaction that PostgreSQL is still committing. All that have inserted into `audit` when we
/// come must have ended before a dead writer's entries are counted; later ones see that the writer is closing. (On SQLite
/// our own BEGIN waits for them.)
async fn wait_for_running_inserts(engine: &Engine) -> Result<(), StoreError> {
    if !engine.is_postgres() {
        return Ok(());
    }
    let first = running_inserts(engine).await?;
    for _ in 0..250 {
        if first.is_disjoint(&running_inserts(engine).await?) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(StoreError::Unavailable("old transactions still write to the audit log".to_owned()))
}

async fn running_inserts(engine: &Engine) -> Result<HashSet<String>, StoreError> {
    const SQL: &str = "SELECT virtualtransaction FROM pg_locks WHERE relation = 'audit'::regclass AND mode = 'RowExclusiveLock' \
                       AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    engine.rows(SQL, args![]).await?.iter().map(|row| row.text(0)).collect()
}
