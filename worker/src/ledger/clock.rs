//! Redis's clock, as this process knows it.

use std::{
    sync::Mutex,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The time that Redis last told, carried on by this machine's monotonic clock.
///
/// Neither a jump of this machine's wall clock nor a difference between pods moves it.
#[derive(Debug, Default)]
pub struct RedisClock(Mutex<Option<(Instant, u64)>>);

impl RedisClock {
    /// Takes what Redis told at `asked` or a moment later.
    pub(super) fn heard(&self, asked: Instant, redis_ms: u64) {
        if let Ok(mut last) = self.0.lock() {
            *last = Some((asked, redis_ms));
        }
    }

    /// Now in Unix milliseconds. Before Redis has told, this machine's own time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self.0.lock().ok().and_then(|last| *last) {
            Some((asked, redis_ms)) => redis_ms + asked.elapsed().as_millis() as u64,
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
        }
    }
}
