//! Connections for statements that stand alone. A pool of our own because sqlx's asks the server "are you there?" before
//! and after each use: three round trips for one question. Here a connection that answered a moment ago is taken to be
//! there; one that turns out not to be is thrown away with all its idle neighbours and the question asked once more.

use crate::StoreError;
use sqlx::{ConnectOptions as _, Connection};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Waiting for a place, or for a new connection, at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is asked before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// At most `size` connections, the one used last first.
#[derive(Debug)]
pub(crate) struct Readers<C: Connection> {
    options: C::Options,
    idle: Mutex<Vec<(C, Instant)>>,
    places: Semaphore,
    size: u32,
}

/// A connection taken out. Dropped without [`Taken::give_back`] it is closed: a question that was cut in the middle leaves
/// nothing that the next one could read.
pub(crate) struct Taken<'a, C: Connection> {
    pub(crate) connection: C,
    /// Whether it was idle before, so that a failure may be its age and not the database's.
    pub(crate) is_used: bool,
    readers: &'a Readers<C>,
    _place: SemaphorePermit<'a>,
}

impl<C: Connection> Readers<C> {
    pub(crate) fn new(options: C::Options, size: u32) -> Self {
        Self { options, idle: Mutex::default(), places: Semaphore::new(size as usize), size }
    }

    pub(crate) async fn take(&self) -> Result<Taken<'_, C>, StoreError> {
        let waited = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let place =
            waited.map_err(|_| unavailable("no free connection"))?.map_err(|_| unavailable("store is closed"))?;
        while let Some((mut connection, since)) = { self.idle().pop() } {
            if since.elapsed() < FRESH || connection.ping().await.is_ok() {
                return Ok(Taken { connection, is_used: true, readers: self, _place: place });
            }
        }
        let opened = tokio::time::timeout(PATIENCE, self.options.connect()).await;
        let connection = opened.map_err(|_| unavailable("database does not answer"))??;
        Ok(Taken { connection, is_used: false, readers: self, _place: place })
    }

    /// Throws every idle connection away.
    pub(crate) fn forget(&self) {
        self.idle().clear();
    }

    /// Waits for those taken and closes all.
    pub(crate) async fn close(&self) {
        let _all = self.places.acquire_many(self.size).await;
        self.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for (connection, _) in idle {
            let _ = connection.close().await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(C, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connection> Taken<'_, C> {
    pub(crate) fn give_back(self) {
        self.readers.idle().push((self.connection, Instant::now()));
    }
}

/// Whether an error says that the connection is gone, not that the question was wrong.
pub(crate) fn is_gone(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // 57P0x: the server is shutting down or has ended this session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
