//! The server look: decides when a claim checks whether this Redis is the one that served before.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When a claim last made this check and was answered. A check in each claim would be a good part of what an empty
/// claim costs Redis.
#[derive(Debug, Default)]
pub(super) struct ServerLook(Mutex<Option<Instant>>);

impl ServerLook {
    /// The time between two checks. Without a failed call, no server replaces another in less time.
    const EVERY: Duration = Duration::from_millis(100);

    /// Whether the next claim makes the check.
    pub(super) fn is_due(&self) -> bool {
        self.last().is_none_or(|at| at.elapsed() > Self::EVERY)
    }

    /// Notes a check that was made by a claim sent at `asked`.
    pub(super) fn made(&self, asked: Instant) {
        *self.last() = Some(asked);
    }

    /// Makes the next check due, because a call has failed.
    pub(super) fn doubt(&self) {
        *self.last() = None;
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
