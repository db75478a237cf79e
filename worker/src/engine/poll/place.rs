//! Places under a rate, for requests whose claim was granted none, or too long ago.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::ledger::{Grant, Ledger, Rate, RateKind};

/// How long a request may wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// The place that a request has under a rate: when it was granted, by Redis's clock, in Unix milliseconds; 0 is none.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU64);

impl Place {
    /// The place that was granted at this time.
    pub(crate) fn of(granted_ms: u64) -> Self {
        Self(AtomicU64::new(granted_ms))
    }

    /// When it was granted.
    pub(crate) fn granted_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks for a place in exchange for this one until there is one; `false` when there is none in time.
    pub(crate) async fn renew(&self, ledger: &Ledger, kind: RateKind, rate: Rate) -> bool {
        let latest = Instant::now() + PATIENCE;
        loop {
            // From here on it counts as gone: if the answer does not come, nobody knows.
            match ledger.grant(kind, rate, self.0.swap(0, Ordering::Relaxed)).await {
                Ok(Grant::Place { until, granted_ms }) => {
                    self.0.store(granted_ms, Ordering::Relaxed);
                    // A place that was long in coming may be somebody else's by now.
                    return Instant::now() < until;
                }
                Ok(Grant::After(wait)) if Instant::now() + wait < latest => tokio::time::sleep(wait).await,
                Ok(Grant::After(_)) | Err(_) => return false,
            }
        }
    }
}
