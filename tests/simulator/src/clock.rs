//! The simulator's only clock: epoch milliseconds that never run backwards.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: u64,
}

impl Clock {
    /// Reads the wall clock once, and counts from there independently of it.
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_ms: whole_ms(since_epoch) }
    }

    /// The time now, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.began_ms + whole_ms(self.began.elapsed())
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
