//! Waits: how long a caller waits, in real time, before it tries again.
//!
//! This is the only place that calls the `backoff` crate. `lifecycle/policy.rs` decides how long a *job* waits: a job's
//! number of tries is kept in its record, and a simulation has to come to the same result.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};

/// Waits that grow. Each is up to a fifth shorter or longer, so that callers do not all come back at the same moment.
pub(crate) struct Waits {
    growing: ExponentialBackoff,
    longest: Duration,
}

impl Waits {
    const FIRST: Duration = Duration::from_millis(50);
    const SPREAD: f64 = 0.2;

    /// The waits between tries of a call that Redis does not answer: each is half a second at most. The pod gives the
    /// call up only when it has to leave.
    ///
    /// All work has to resume within seconds after Redis is back, and each pod has to report within the time for which
    /// pods then wait for each other.
    pub(crate) fn of_a_call() -> Self {
        Self::new(1.7, Duration::from_millis(500), None)
    }

    /// The waits of a hook that came while its job is in a step; they end after half a minute.
    pub(crate) fn of_a_hook() -> Self {
        Self::new(2.0, Duration::from_secs(20), Some(Duration::from_secs(30)))
    }

    fn new(factor: f64, longest: Duration, in_all: Option<Duration>) -> Self {
        let growing = ExponentialBackoffBuilder::new()
            .with_initial_interval(Self::FIRST)
            .with_multiplier(factor)
            .with_randomization_factor(Self::SPREAD)
            .with_max_interval(longest.div_f64(1.0 + Self::SPREAD))
            .with_max_elapsed_time(in_all)
            .build();
        Self { growing, longest }
    }

    /// The next wait; `None` when the total time is used up.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        self.growing.next_backoff()
    }

    /// The next wait of a caller that never gives up.
    pub(crate) fn next_or_longest(&mut self) -> Duration {
        self.next().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_soon_made_again_and_never_waits_for_longer_than_half_a_second() {
        let mut waits = Waits::of_a_call();
        let waits: Vec<Duration> = (0..40).map(|_| waits.next_or_longest()).collect();

        let first = Duration::from_millis(40)..=Duration::from_millis(61);
        assert!(first.contains(&waits[0]), "{waits:?}");
        assert!(waits[2] > waits[0] && waits[5..].iter().all(|wait| *wait > 2 * waits[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(501)), "{waits:?}");
        assert_ne!(waits[38], waits[39], "they are spread");
    }
}
