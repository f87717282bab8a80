//! One lease per insurer for whoever works on its packages (decision 0006.15, 35): compare-and-set, with a fence number
//! that every write under it checks.

use crate::engine::args;
use crate::{Store, StoreError, Tx};
use kiban_domain::{InsurerNumber, Timestamp};

const TAKE: &str = "INSERT INTO import_lease (insurer_number, holder, fence, lease_until) VALUES ($1, $2, 1, $3)
     ON CONFLICT (insurer_number) DO UPDATE SET holder = excluded.holder, fence = import_lease.fence + 1, lease_until = excluded.lease_until
       WHERE import_lease.lease_until < $4
     RETURNING fence";
const HOLD: &str = "UPDATE import_lease SET lease_until = $4 WHERE insurer_number = $1 AND holder = $2 AND fence = $3";
const HELD: &str = "SELECT 1 FROM import_lease WHERE insurer_number = $1 AND lease_until >= $2";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[TAKE, HOLD, HELD];

/// How long a lease lasts without being held on to, in seconds.
pub const LEASE_SECONDS: i64 = 20;

/// A lease that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Of which insurer.
    pub insurer: InsurerNumber,
    holder: String,
    fence: i64,
}

impl Tx {
    /// Takes the lease of an insurer if nobody holds it. `holder` is random.
    pub async fn take_lease(
        &mut self,
        insurer: InsurerNumber,
        holder: &str,
        now: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let values = args![insurer.as_str(), holder, until(now), now.as_microsecond()];
        let rows = self.raw.rows(TAKE, values).await?;
        let lease = |fence| Lease { insurer, holder: holder.to_owned(), fence };
        rows.first().map(|row| row.big(0).map(lease)).transpose()
    }

    /// Holds on to a lease in the transaction of a write: when somebody else has taken it meanwhile, the write is a conflict.
    pub async fn hold_lease(&mut self, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        self.set_lease(lease, until(now)).await
    }

    /// Gives a lease back.
    pub async fn give_lease_back(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.set_lease(lease, 0).await
    }

    async fn set_lease(&mut self, lease: &Lease, until: i64) -> Result<(), StoreError> {
        let values = args![lease.insurer.as_str(), &lease.holder, lease.fence, until];
        let held = self.raw.run(HOLD, values).await?;
        if held == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict("another process works on the packages of the insurer"))
        }
    }
}

impl Store {
    /// Whether somebody works on the packages of an insurer.
    pub async fn is_leased(&self, insurer: InsurerNumber, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self.engine.rows(HELD, args![insurer.as_str(), now.as_microsecond()]).await?;
        Ok(!rows.is_empty())
    }
}

fn until(now: Timestamp) -> i64 {
    now.as_microsecond() + LEASE_SECONDS * 1_000_000
}
