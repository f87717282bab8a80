//! The process's clock held against the database's: times in the audit log and closing days depend on it (decision 0006.30,
//! S-017). On SQLite both are clocks of one host.

use crate::engine::args;
use crate::{Store, StoreError};
use kiban_domain::Timestamp;
use std::time::Instant;

const POSTGRES: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
const SQLITE: &str = "SELECT CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)";
/// SQLite tells milliseconds.
const GRAIN: i64 = 1_000;
const SECOND: i64 = 1_000_000;

/// How far the process's clock is from the database's, in microseconds; positive when it is ahead. What the question itself
/// took is not counted as drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockDrift(pub i64);

impl ClockDrift {
    /// More than one second: an alarm (S-017).
    pub fn is_alarming(self) -> bool {
        self.0.saturating_abs() > SECOND
    }

    /// More than thirty seconds: nothing is served.
    pub fn is_refused(self) -> bool {
        self.0.saturating_abs() > 30 * SECOND
    }
}

impl Store {
    /// Holds `now`, taken a moment ago from the process's clock, against the database's clock.
    pub async fn clock_drift(&self, now: Timestamp) -> Result<ClockDrift, StoreError> {
        let asked = Instant::now();
        let rows = self.engine.rows(if self.engine.is_postgres() { POSTGRES } else { SQLITE }, args![]).await?;
        let took = i64::try_from(asked.elapsed().as_micros()).unwrap_or(i64::MAX);
        let database = rows.first().ok_or(StoreError::Internal("the database tells no time".to_owned()))?.big(0)?;
        Ok(drift(now.as_microsecond(), took, database))
    }
}

/// The database answered at some moment between `now` and `now + took`; the distance of its time from that span.
fn drift(now: i64, took: i64, database: i64) -> ClockDrift {
    let (earliest, latest) = (now.saturating_sub(GRAIN), now.saturating_add(took));
    ClockDrift(if database < earliest {
        earliest.saturating_sub(database)
    } else {
        latest.saturating_sub(database).min(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_drift_and_a_wrong_clock_is() {
        assert_eq!(drift(100 * SECOND, 5 * SECOND, 103 * SECOND), ClockDrift(0));
        assert_eq!(drift(100 * SECOND, SECOND, 111 * SECOND), ClockDrift(-10 * SECOND));
        assert_eq!(drift(100 * SECOND, SECOND, 90 * SECOND), ClockDrift(10 * SECOND - GRAIN));
    }

    #[test]
    fn one_second_is_an_alarm_and_thirty_stop_everything() {
        let levels = [1, -1, 2, -2, 30, -30, 31, -31].map(|s| ClockDrift(s * SECOND));
        let levels = levels.map(|drift| (drift.is_alarming(), drift.is_refused()));
        let (quiet, alarm, stop) = ((false, false), (true, false), (true, true));
        assert_eq!(levels, [quiet, quiet, alarm, alarm, alarm, alarm, stop, stop]);
    }
}
