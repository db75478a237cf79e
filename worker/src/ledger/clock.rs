//! Redis's clock, as this process knows it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
    /// The last answer before a silence of which Redis has not been told yet.
    before_silence: Option<Instant>,
}

impl RedisClock {
    /// A pod that has nothing to do hears of Redis about once a second.
    const SILENCE: Duration = Duration::from_millis(1500);

    /// Takes what Redis has told, now or a moment ago: it looks at its clock when it gets to a call, which may have
    /// waited for long.
    pub(super) fn heard(&self, redis_ms: u64) {
        self.known().told = Some((Instant::now(), redis_ms));
    }

    /// Takes note that Redis has answered something.
    pub(super) fn answered(&self) {
        let now = Instant::now();
        let mut known = self.known();
        if known.answered.is_some_and(|answered| now.duration_since(answered) >= Self::SILENCE) {
            known.before_silence = known.before_silence.or(known.answered);
        }
        known.answered = Some(now);
    }

    /// The time of Redis's last answer, in Unix milliseconds by its own clock; 0 before the first. After a silence, this stays the
    /// last answer before the silence until [`Self::silence_is_told`], because other calls may still be waiting.
    pub(super) fn last_answer_ms(&self) -> u64 {
        let known = self.known();
        let since = |(told, redis_ms): (Instant, u64)| match known.before_silence.or(known.answered) {
            Some(answered) if answered < told => {
                redis_ms.saturating_sub(told.duration_since(answered).as_millis() as u64)
            }
            Some(answered) => redis_ms + answered.duration_since(told).as_millis() as u64,
            None => redis_ms,
        };
        known.told.map_or(0, since)
    }

    /// A claim has told Redis of the silence.
    pub(super) fn silence_is_told(&self) {
        self.known().before_silence = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_call_is_answered_first_after_a_silence_the_next_claim_tells_of_it() {
        let clock = RedisClock::default();
        let answered = Instant::now();
        {
            let mut known = clock.known();
            known.told = Some((answered, 1_000_000));
            // As if it had been long ago.
            known.answered = answered.checked_sub(RedisClock::SILENCE * 2);
        }

        clock.answered();
        clock.answered();
        let told_ms = clock.last_answer_ms();
        clock.silence_is_told();

        assert_eq!(told_ms, 1_000_000 - 3_000);
        assert!(clock.last_answer_ms() >= 1_000_000);
    }

    #[test]
    fn before_redis_has_told_the_time_nothing_is_told_of_it() {
        let clock = RedisClock::default();
        clock.answered();

        assert_eq!(clock.last_answer_ms(), 0);
    }
}
