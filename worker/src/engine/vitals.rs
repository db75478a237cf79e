//! Vitals: which loops are alive.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When each loop of this pod last came round. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<Mutex<HashMap<&'static str, Instant>>>);

impl Vitals {
    /// A loop that did not come round for this long is stuck.
    pub const STUCK_AFTER: Duration = Duration::from_secs(60);

    /// Says that the loop `name` came round.
    pub fn beat(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
    }

    /// The loops that are stuck.
    #[must_use]
    pub fn stuck(&self) -> Vec<&'static str> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().filter(|(_, beat)| beat.elapsed() > Self::STUCK_AFTER).map(|(name, _)| *name).collect()
    }
}
