//! Places under a rate, for requests whose claim brought no place, or brought it too long ago.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::ledger::{Grant, Ledger, Rate, RateKind};

/// How long a request may wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// The place that a request has under a rate: the time at which it was granted, by Redis's clock, in Unix milliseconds;
/// 0 means no place.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU64);

impl Place {
    /// A place that was granted at this time.
    pub(crate) fn of(granted_ms: u64) -> Self {
        Self(AtomicU64::new(granted_ms))
    }

    /// When the place was granted.
    pub(crate) fn granted_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks for a new place in exchange for this one until Redis grants it; `false` when no place comes in time.
    pub(crate) async fn renew(&self, ledger: &Ledger, kind: RateKind, rate: Rate) -> bool {
        let latest = Instant::now() + PATIENCE;
        loop {
            // From here on the old place counts as gone: if no answer comes, nobody knows whether Redis took it back.
            match ledger.grant(kind, rate, self.0.swap(0, Ordering::Relaxed)).await {
                Ok(Grant::Place { until, granted_ms }) => {
                    self.0.store(granted_ms, Ordering::Relaxed);
                    // A place whose grant took long to arrive may have passed to another request by now.
                    return Instant::now() < until;
                }
                Ok(Grant::After(wait)) if Instant::now() + wait < latest => tokio::time::sleep(wait).await,
                Ok(Grant::After(_)) | Err(_) => return false,
            }
        }
    }
}
