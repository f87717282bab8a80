//! Limits of an hour without a row for which everybody waits: a process takes permits from the counter in the store a block
//! at a time and hands them out from memory. What was taken counts as used, so that a limit is never exceeded, whatever the
//! number of processes and of requests at the same moment; what a process holds when it ends is lost, at most a block.

use kiban_store::{StoreError, Tx};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// A block is this part of the limit, so that a process that holds one keeps little from the others.
const PART_OF_LIMIT: i32 = 16;
/// And at most so many.
const MOST: i32 = 64;

/// What this process holds.
#[derive(Default)]
pub(crate) struct Permits {
    pools: Mutex<HashMap<[u8; 32], OfHour>>,
}

/// The hour and what is held for it.
type OfHour = (i64, Arc<Turn<Pool>>);

/// Permits of one subject (a keyed digest) in one hour.
#[derive(Default)]
pub(crate) struct Pool {
    left: i32,
    /// The store has none left in this hour.
    is_used_up: bool,
}

/// One permit, if there is one.
pub(crate) enum Permit {
    Given,
    None,
    /// This process has none: the next block is taken in the caller's transaction. Meanwhile the others wait for it.
    Take(OwnedMutexGuard<Pool>),
}

impl Permits {
    /// A permit out of memory, or the turn to take the next block. Asked before a transaction begins. `hour` is part of what the
    /// subject stands for; the subjects of past hours are forgotten.
    pub(crate) async fn permit(&self, subject: [u8; 32], hour: i64) -> Permit {
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|_, (of, _)| *of + 1 >= hour);
            Arc::clone(&pools.entry(subject).or_insert_with(|| (hour, Arc::default())).1)
        };
        let mut pool = pool.lock_owned().await;
        if pool.left > 0 {
            pool.left -= 1;
            Permit::Given
        } else if pool.is_used_up {
            Permit::None
        } else {
            Permit::Take(pool)
        }
    }
}

/// A block that was taken in a transaction. It counts once that is committed ([`Taken::keep`]); dropped, it never was.
pub(crate) struct Taken {
    pool: OwnedMutexGuard<Pool>,
    many: i32,
}

impl Taken {
    /// Takes the next block of a subject whose limit in the hour this is.
    pub(crate) async fn take(
        pool: OwnedMutexGuard<Pool>,
        tx: &mut Tx,
        (subject, day): (&[u8; 32], kiban_domain::Date),
        limit: i32,
    ) -> Result<Self, StoreError> {
        let block = (limit / PART_OF_LIMIT).clamp(1, MOST);
        let before = tx.add_mismatches(subject, day, block).await? - block;
        Ok(Self { pool, many: limit.saturating_sub(before).clamp(0, block) })
    }

    /// Whether there was nothing left.
    pub(crate) fn is_nothing(&self) -> bool {
        self.many == 0
    }

    /// The transaction is committed: one is used, the rest is for the next ones.
    pub(crate) fn keep(mut self) {
        self.pool.left = (self.many - 1).max(0);
        self.pool.is_used_up = self.many == 0;
    }
}
