//! Redis's clock, as this process knows it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The time that Redis last told, carried on by this machine's monotonic clock.
///
/// Neither a jump of this machine's wall clock nor a difference between pods moves it.
#[derive(Debug, Default)]
pub struct RedisClock(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What Redis told, and when its answer was here.
    told: Option<(Instant, u64)>,
    /// When Redis last answered anything.
    answered: Option<Instant>,
}

impl RedisClock {
    /// Takes what Redis has told, now or a moment ago: it looks at its clock when it gets to a call, which may have
    /// waited for long.
    pub(super) fn heard(&self, redis_ms: u64) {
        self.known().told = Some((Instant::now(), redis_ms));
    }

    /// Takes note that Redis has answered something.
    pub(super) fn answered(&self) {
        self.known().answered = Some(Instant::now());
    }

    /// When Redis last answered anything, in its own Unix milliseconds; 0 before it has told the time.
    pub(super) fn last_answer_ms(&self) -> u64 {
        let known = self.known();
        let since = |(told, redis_ms): (Instant, u64)| {
            let answered = known.answered.unwrap_or(told).max(told);
            redis_ms + answered.duration_since(told).as_millis() as u64
        };
        known.told.map_or(0, since)
    }

    /// Now in Unix milliseconds. Before Redis has told, this machine's own time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self.known().told {
            Some((told, redis_ms)) => redis_ms + told.elapsed().as_millis() as u64,
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
