//! Figures of this process and its database for those who watch over the platform: how long the audit log waits, how far the
//! outside anchor is behind, whether the months are there. Counts and ages only; nothing of anybody.

use crate::audit::{Month, Outside};
use crate::engine::{Engine, args};
use crate::{Store, StoreError};
use kiban_domain::Timestamp;

const RECEIPTS: &str = "SELECT COUNT(*), MIN(received_at) FROM receipt WHERE state = 'received'";
const CERTIFICATES: &str = "SELECT COUNT(*), COUNT(revoked_at), SUM(CASE WHEN revoked_at IS NULL AND not_after > $1 THEN 1 ELSE 0 END) FROM certificate";
const HAS_MONTH: &str = "SELECT 1 WHERE to_regclass('audit_' || $1) IS NOT NULL";
const STANDBYS: &str = "SELECT CASE WHEN current_setting('synchronous_standby_names') = '' THEN -1 ELSE \
     (SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) END";

/// Months of the log that must be there besides the present one: the alarm comes more than a month ahead (F-14).
const MONTHS_AHEAD: i32 = 2;

/// What is measured when somebody asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// Audit entries that wait for a commit, and how many may.
    pub audit_waiting: (usize, usize),
    /// Seconds since the last group of audit entries was durable; none before the first.
    pub audit_durable_age: Option<f64>,
    /// Seconds since the newest anchor outside the database was signed; none when there is no file.
    pub outside_anchor_age: Option<f64>,
    /// Months of the log without a part of their own, of this one and the next two.
    pub months_missing: u32,
    /// Packages received and not yet applied, and the age of the oldest in seconds.
    pub intake: (i64, f64),
    /// Connections that write: open, and of these idle. None on SQLite.
    pub connections: Option<(u32, usize)>,
    /// Synchronous standbys that follow; none where none is configured.
    pub standbys: Option<i64>,
    /// Certificates ever bound, revoked, and good now.
    pub certificates: (i64, i64, i64),
    /// Seconds the clock is from the database's.
    pub clock_drift: f64,
}

impl Store {
    /// Measures now. Each figure that cannot be read is an error: whoever watches must see that.
    pub async fn measures(&self, now: Timestamp) -> Result<Measures, StoreError> {
        let age = |at: i64| seconds(now.as_microsecond() - at);
        let folder = self.audit.folder();
        let outside = tokio::task::spawn_blocking(move || Outside::new(&folder).newest()).await;
        let outside = outside.map_err(|_| StoreError::Internal("anchor file task".to_owned()))??;
        let receipts = self.engine.rows(RECEIPTS, args![]).await?;
        let receipts = receipts.first().ok_or(StoreError::Unreadable("receipt"))?;
        let certificates = self.engine.rows(CERTIFICATES, args![now.as_microsecond()]).await?;
        let certificates = certificates.first().ok_or(StoreError::Unreadable("certificate"))?;
        let (connections, standbys, months_missing) = match &self.engine {
            Engine::Sqlite { .. } => (None, None, 0),
            Engine::Postgres { write, .. } => {
                let standbys = self.engine.rows(STANDBYS, args![]).await?;
                let standbys = standbys.first().map_or(Ok(-1), |row| row.big(0))?;
                let months = missing_months(&self.engine, now).await?;
                (Some((write.size(), write.num_idle())), (standbys >= 0).then_some(standbys), months)
            }
        };
        Ok(Measures {
            audit_waiting: self.audit.waiting(),
            audit_durable_age: self.audit.durable_at().map(age),
            outside_anchor_age: outside.map(|anchor| age(anchor.at)),
            months_missing,
            intake: (receipts.big(0)?, receipts.big_or_null(1)?.map_or(0.0, age)),
            connections,
            standbys,
            certificates: (
                certificates.big(0)?,
                certificates.big(1)?,
                certificates.big_or_null(2)?.unwrap_or_default(),
            ),
            clock_drift: seconds(self.clock_drift(now).await?.0),
        })
    }
}

async fn missing_months(engine: &Engine, now: Timestamp) -> Result<u32, StoreError> {
    let mut missing = 0;
    for ahead in 0..=MONTHS_AHEAD {
        let month = Month::of(now).plus(ahead).number().to_string();
        missing += u32::from(engine.rows(HAS_MONTH, args![&month]).await?.is_empty());
    }
    Ok(missing)
}

fn seconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1_000_000.0
}
