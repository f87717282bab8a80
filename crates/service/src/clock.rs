//! Whether this process's clock can be believed (decision 0006.30, S-017).

use crate::{Error, Platform};
use kiban_domain::Timestamp;
use kiban_store::ClockDrift;
use std::sync::atomic::Ordering;

impl Platform {
    /// Holds the process's clock, read a moment ago as `now`, against the database's; called at the start and every two
    /// seconds. The log tells when an alarm begins and when it ends.
    pub async fn compare_clocks(&self, now: Timestamp) -> Result<ClockDrift, Error> {
        let drift = self.store().clock_drift(now).await?;
        let before = ClockDrift(self.inner.clock_drift.swap(drift.0, Ordering::Relaxed));
        let level = |drift: ClockDrift| (drift.is_alarming(), drift.is_refused());
        if level(drift) != level(before) {
            let (drift_ms, refused) = (drift.0 / 1_000, drift.is_refused());
            if drift.is_alarming() {
                tracing::error!(drift_ms, refused, "this clock is not the database's; check the time service (NTP)");
            } else {
                tracing::warn!(drift_ms, "this clock agrees with the database's again");
            }
        }
        Ok(drift)
    }

    /// What the last comparison said.
    pub fn clock_drift(&self) -> ClockDrift {
        ClockDrift(self.inner.clock_drift.load(Ordering::Relaxed))
    }
}
