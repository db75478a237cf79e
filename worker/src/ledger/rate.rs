//! The rates: how many requests per second all pods may make together.
//!
//! A request has a place under its rate once Redis has granted one, with a claim or by a call of its own. A place holds
//! for a moment only, because the places of the next window are granted to others.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use mjq_producer::closed_set;

use super::{Abandoned, Ledger, arg, scripts};

/// At most `count` requests in any `window`; a count of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of requests.
    pub count: u32,
    /// The length of the window.
    pub window: Duration,
}

closed_set! {
    /// The kind of requests that a rate limits.
    pub enum RateKind {
        /// Submits.
        Submit = "submit",
        /// Requests that poll tasks.
        Poll = "poll",
    }
}

/// The answer to a call for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// A place was granted.
    Place {
        /// When the place ends: the request must leave before.
        until: Instant,
        /// When it was granted, by Redis's clock, in Unix milliseconds.
        granted_ms: u64,
    },
    /// No place was granted; there may be one after this time.
    After(Duration),
}

/// The distance to Redis: the shortest of the latest round trips. Longer ones were held up on their way.
#[derive(Debug, Default)]
pub(super) struct RoundTrip(Mutex<VecDeque<Duration>>);

impl Rate {
    /// A request arrives upstream some time after its grant, because of this process and the network. So the first
    /// request of a window may arrive this much late, while the first of the next window is on time.
    pub const MARGIN: Duration = Duration::from_millis(100);
    /// How old a grant may be when its request is sent, beyond Redis's usual round trip. The rest of the margin is for
    /// the way to the upstream.
    pub const FRESH: Duration = Duration::from_millis(75);

    /// Reads a setting in requests per second; 0 is no limit.
    #[must_use]
    pub fn per_second(rate: f64) -> Self {
        if rate <= 0.0 {
            return Self { count: 0, window: Duration::ZERO };
        }
        // Rounded up, so that the window is a second or longer, and no second holds more than the next whole number.
        let count = rate.ceil();
        Self { count: count as u32, window: Duration::from_secs_f64(count / rate) + Self::MARGIN }
    }

    /// The window in milliseconds, plus Redis's round trip, because a granted place holds longer by that time.
    pub(super) fn window_ms(&self, round_trip: Duration) -> u128 {
        (self.window + round_trip).as_millis()
    }

    /// The end of a place that was granted by a call made at `asked`.
    pub(super) fn place_until(asked: Instant, round_trip: Duration) -> Instant {
        asked + round_trip + Self::FRESH
    }
}

impl RoundTrip {
    /// How many round trips are remembered.
    const LATEST: usize = 16;

    /// Notes a round trip.
    pub(super) fn took(&self, time: Duration) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.truncate(Self::LATEST - 1);
        latest.push_front(time);
    }

    /// The shortest of the latest round trips; zero before the first.
    pub(super) fn least(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().min().copied().unwrap_or_default()
    }
}

impl Ledger {
    /// Asks for the place of one request beyond those that claims were granted. The caller gives up its place that was
    /// granted at `own_ms`, by Redis's clock; 0 if it has none. A lost answer costs a place.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn grant(&self, kind: RateKind, rate: Rate, mut own_ms: u64) -> Result<Grant, Abandoned> {
        let round_trip = self.0.round_trip.least();
        self.until_answered(scripts::GRANT.name(), || {
            // The old place is given up in the first try only. A try whose answer was lost may have given it up
            // already, and another step of the same claim may have a place of the same time.
            let own_ms = std::mem::take(&mut own_ms);
            let args = [arg(kind.as_str()), arg(rate.count), arg(rate.window_ms(round_trip)), arg(own_ms)];
            async move {
                let asked = Instant::now();
                let (wait_ms, granted_ms): (u64, u64) =
                    scripts::GRANT.run(&self.0.link, &self.0.prefix, &args.as_slice()).await?;
                self.0.round_trip.took(asked.elapsed());
                Ok(match wait_ms {
                    0 => Grant::Place { until: Rate::place_until(asked, round_trip), granted_ms },
                    wait_ms => Grant::After(Duration::from_millis(wait_ms)),
                })
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_in_a_window() {
        let seconds = |s| Duration::from_secs_f64(s) + Rate::MARGIN;

        assert_eq!(Rate::per_second(0.0).count, 0);
        assert_eq!(Rate::per_second(10.0), Rate { count: 10, window: seconds(1.0) });
        assert_eq!(Rate::per_second(0.5), Rate { count: 1, window: seconds(2.0) });
        assert_eq!(Rate::per_second(2.5), Rate { count: 3, window: seconds(1.2) });
    }

    #[test]
    fn redis_is_as_far_away_as_its_quickest_answer_of_late() {
        let round_trip = RoundTrip::default();
        assert_eq!(round_trip.least(), Duration::ZERO);

        for ms in [1, 120, 100, 900] {
            round_trip.took(Duration::from_millis(ms));
        }
        assert_eq!(round_trip.least(), Duration::from_millis(1));

        for _ in 0..15 {
            round_trip.took(Duration::from_millis(110));
        }
        assert_eq!(round_trip.least(), Duration::from_millis(110), "the route has changed");
    }
}
