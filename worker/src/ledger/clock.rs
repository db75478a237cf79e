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
    /// The time that Redis told, and when its answer arrived.
    told: Option<(Instant, u64)>,
    /// When Redis last answered anything.
    answered: Option<Instant>,
    /// The last answer before a silence that no claim has reported to Redis yet.
    before_silence: Option<Instant>,
}

impl RedisClock {
    /// A gap between answers that counts as a silence: even an idle pod hears from Redis about once a second.
    const SILENCE: Duration = Duration::from_millis(1500);

    /// Takes the time that Redis has told. Redis reads its clock when it begins a call, which may have waited for long
    /// before.
    pub(super) fn heard(&self, redis_ms: u64) {
        self.known().told = Some((Instant::now(), redis_ms));
    }

    /// Notes that Redis has answered a call.
    pub(super) fn answered(&self) {
        let now = Instant::now();
        let mut known = self.known();
        if known.answered.is_some_and(|answered| now.duration_since(answered) >= Self::SILENCE) {
            known.before_silence = known.before_silence.or(known.answered);
        }
        known.answered = Some(now);
    }

    /// The time of Redis's last answer, in Unix milliseconds by Redis's clock; 0 before the first answer. After a
    /// silence, this is the last answer before it until [`Self::silence_is_told`], because other calls may still be
    /// waiting.
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

    /// Notes that a claim has told Redis of the silence.
    pub(super) fn silence_is_told(&self) {
        self.known().before_silence = None;
    }

    /// The present time in Unix milliseconds, by Redis's clock. Before Redis has told its time, by this machine's
    /// clock.
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
            // Moves the answer into the past.
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
