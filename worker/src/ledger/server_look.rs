//! The server look: when a claim asks whether the Redis that answers is the one that served before.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When the last one was made, in a call that was answered. One in each claim would be a good part of what an empty
/// claim costs Redis.
#[derive(Debug, Default)]
pub(super) struct ServerLook(Mutex<Option<Instant>>);

impl ServerLook {
    /// No server takes another's place in less, and without a call that fails.
    const EVERY: Duration = Duration::from_millis(100);

    /// Whether the next claim makes one.
    pub(super) fn is_due(&self) -> bool {
        self.last().is_none_or(|at| at.elapsed() > Self::EVERY)
    }

    /// Takes note of one that was asked for at `asked`.
    pub(super) fn made(&self, asked: Instant) {
        *self.last() = Some(asked);
    }

    /// Makes the next one due: a call has failed.
    pub(super) fn doubt(&self) {
        *self.last() = None;
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
