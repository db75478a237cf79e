//! Liveness: which loops still make progress.
//!
//! A loop that must not hang beats in each round, and rests while it waits for something that may take any time: a free
//! slot, or something to do. Loops that wait for the upstream are not watched: there is no time by which the upstream
//! has to answer. Calls to Redis are repeated until Redis answers, so all loops hang while it is away; `admin::Health`
//! makes allowance for that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time from which each loop of this pod counts as stuck, unless it beats before. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Mutex<HashMap<&'static str, Instant>>>);

impl Liveness {
    /// A loop whose beat is overdue by more than this is stuck.
    pub const STUCK_AFTER: Duration = Duration::from_secs(60);

    /// Says that the loop `name` began a round, and that it means to begin the next one within `period`.
    pub fn beat(&self, name: &'static str, period: Duration) {
        self.beats().insert(name, Instant::now() + period + Self::STUCK_AFTER);
    }

    /// Says that the loop `name` has ended, or waits for something that may take any time, so that it does not count as
    /// stuck.
    pub fn rest(&self, name: &'static str) {
        self.beats().remove(name);
    }

    /// The loops that are stuck.
    #[must_use]
    pub fn stuck(&self) -> Vec<&'static str> {
        let now = Instant::now();
        self.beats().iter().filter(|(_, latest)| **latest < now).map(|(name, _)| *name).collect()
    }

    /// The loops that have to beat: all that do not rest.
    #[cfg(test)]
    pub(super) fn watched(&self) -> Vec<&'static str> {
        self.beats().keys().copied().collect()
    }

    fn beats(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
