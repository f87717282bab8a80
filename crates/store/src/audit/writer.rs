//! A writer: the run of this process that gives numbers to entries. Numbers, times and leaves live in memory; the database
//! is never asked for the next one (decision 0006.3). After a commit without a clear answer a writer is abandoned, never
//! continued.

use super::entry::{Entry, Position, StoredEntry};
use super::segment::Header;
use super::tree::{self, Hash};
use crate::StoreError;
use crate::seal::{SealKeys, file_error, hex, random_bytes};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries of a full segment.
pub(crate) const SEGMENT_ENTRIES: usize = 1024;
/// How long a writer counts as alive after its last sign of life, when its lock file cannot be seen.
pub(crate) const LEASE: Duration = Duration::from_secs(180);
/// A writer that could not give a sign of life for so long gives itself up, well before others do.
const SELF_DOUBT: Duration = Duration::from_secs(120);

pub(crate) struct Writer {
    pub(crate) id: i64,
    /// Held while the process and every entry on its way live; a lock that can be taken means a dead writer.
    _lock: LockFile,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) open: OpenSegment,
    /// Full or old segments waiting for their last slots, oldest first.
    pub(crate) closing: VecDeque<OpenSegment>,
    /// Header of the last closed segment; zeros before the first.
    pub(crate) previous: Hash,
    last_at: i64,
    renewed: Instant,
}

pub(crate) struct OpenSegment {
    pub(crate) number: i32,
    pub(crate) salt: Hash,
    pub(crate) leaves: Vec<Hash>,
    /// Entries whose transaction has not ended.
    pub(crate) unsettled: usize,
    /// Fixed at the first attempt to close, so that a second attempt is the same.
    pub(crate) header: Option<Header>,
}

impl OpenSegment {
    fn new(number: i32) -> Result<Self, StoreError> {
        Ok(Self { number, salt: random_bytes()?, leaves: Vec::new(), unsettled: 0, header: None })
    }
}

impl Writer {
    /// A new writer, not yet known to the database.
    pub(crate) fn new(folder: &Path) -> Result<Self, StoreError> {
        let id = i64::from_be_bytes(random_bytes()?) & i64::MAX;
        let state = State {
            open: OpenSegment::new(0)?,
            closing: VecDeque::new(),
            previous: tree::HOLE,
            last_at: 0,
            renewed: Instant::now(),
        };
        Ok(Self { id, _lock: LockFile::take(folder, id)?, state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an entry its place. Its time is never before that of the entry before it (F-16).
    pub(crate) fn give(&self, entry: Entry, keys: &SealKeys) -> Result<StoredEntry, StoreError> {
        let mut state = self.state();
        if state.open.leaves.len() >= SEGMENT_ENTRIES {
            state.roll()?;
        }
        state.last_at = state.last_at.max(entry.at);
        let at = state.last_at;
        let segment = &mut state.open;
        let position = Position { writer: self.id, segment: segment.number, n: segment.leaves.len() as i32 };
        let stored = StoredEntry::new(entry, position, at, keys);
        segment.leaves.push(tree::leaf(&stored, &segment.salt));
        segment.unsettled += 1;
        Ok(stored)
    }

    /// The transaction of an entry has ended and the entry is there; `void` when something else stands in its place.
    pub(crate) fn settle(&self, position: Position, void: Option<&StoredEntry>) {
        let mut state = self.state();
        let State { open, closing, .. } = &mut *state;
        let Some(segment) = closing.iter_mut().chain([open]).find(|s| s.number == position.segment) else { return };
        segment.unsettled = segment.unsettled.saturating_sub(1);
        if let (Some(void), Some(leaf)) = (void, segment.leaves.get_mut(position.n as usize)) {
            *leaf = tree::leaf(void, &segment.salt);
        }
    }

    pub(crate) fn renew(&self) {
        self.state().renewed = Instant::now();
    }

    #[cfg(test)]
    pub(crate) fn outlast_lease(&self) {
        let long_ago = Instant::now().checked_sub(LEASE);
        self.state().renewed = long_ago.unwrap_or_else(Instant::now);
    }

    /// Whether others may by now think this writer dead.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.state().renewed.elapsed() > SELF_DOUBT
    }
}

impl State {
    /// Moves the open segment to those waiting to be closed, when it has an entry.
    pub(crate) fn roll(&mut self) -> Result<(), StoreError> {
        if !self.open.leaves.is_empty() {
            let next = OpenSegment::new(self.open.number + 1)?;
            self.closing.push_back(std::mem::replace(&mut self.open, next));
        }
        Ok(())
    }
}

/// A file locked as long as the writer lives, on the host it lives on. Killing the process frees the lock.
struct LockFile {
    _file: File,
}

impl LockFile {
    fn take(folder: &Path, writer: i64) -> Result<Self, StoreError> {
        let path = lock_path(folder, writer);
        let file = File::create(&path).map_err(|error| file_error(&path, &error))?;
        file.try_lock().map_err(|error| StoreError::File(format!("{}: {error}", path.display())))?;
        Ok(Self { _file: file })
    }
}

fn lock_path(folder: &Path, writer: i64) -> PathBuf {
    folder.join(format!("writer-{}.lock", hex(&writer.to_be_bytes())))
}

/// Whether the writer's lock file is here and nobody holds it.
pub(crate) fn lock_is_free(folder: &Path, writer: i64) -> bool {
    File::open(lock_path(folder, writer)).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether the writer's lock file is here and somebody holds it.
pub(crate) fn lock_is_held(folder: &Path, writer: i64) -> bool {
    File::open(lock_path(folder, writer)).is_ok_and(|file| file.try_lock().is_err())
}

pub(crate) fn remove_lock(folder: &Path, writer: i64) {
    // Left behind it does no harm.
    let _ = fs::remove_file(lock_path(folder, writer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_seen_dead_on_its_host_the_moment_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::new(folder.path()).unwrap();
        let id = writer.id;
        assert!(!lock_is_free(folder.path(), id));
        drop(writer);
        assert!(lock_is_free(folder.path(), id));
        assert!(!lock_is_free(folder.path(), id + 1), "an unknown writer may live elsewhere");
    }
}
