//! Liveness: which loops are alive.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// By when each loop of this pod has to come round again. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Mutex<HashMap<&'static str, Instant>>>);

impl Liveness {
    /// A loop that comes round so much later than it meant to is stuck.
    pub const STUCK_AFTER: Duration = Duration::from_secs(60);

    /// Says that the loop `name` came round, and that it means to do so again within `period`.
    pub fn beat(&self, name: &'static str, period: Duration) {
        self.beats().insert(name, Instant::now() + period + Self::STUCK_AFTER);
    }

    /// Says that the loop `name` has ended, or waits for something that may take any time: it is not stuck.
    pub fn rest(&self, name: &'static str) {
        self.beats().remove(name);
    }

    /// The loops that are stuck.
    #[must_use]
    pub fn stuck(&self) -> Vec<&'static str> {
        let now = Instant::now();
        self.beats().iter().filter(|(_, latest)| **latest < now).map(|(name, _)| *name).collect()
    }

    fn beats(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
