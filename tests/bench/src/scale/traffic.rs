//! Traffic: when jobs come, and what they are.

use std::f64::consts::TAU;

use super::{dice::Dice, polls::SpanMs};

/// A kind of job, among the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    /// Of all jobs, 0 to 1.
    pub(super) share: f64,
    pub(super) span_ms: SpanMs,
    /// What the worker gives it when the producer says nothing.
    pub(super) usual_deadline_s: u64,
}

/// Fast ones, relaxed ones, and some that take an hour, whose producer says so.
pub(super) const MIX: [Sort; 3] = [
    Sort { share: 0.80, span_ms: (25_000, 90_000), usual_deadline_s: 15 * 60 },
    Sort { share: 0.18, span_ms: (120_000, 600_000), usual_deadline_s: 60 * 60 },
    Sort { share: 0.02, span_ms: (3_000_000, 3_600_000), usual_deadline_s: 2 * 60 * 60 },
];

pub(super) const DAY_S: u64 = 86_400;

/// How many jobs come in each second: more in the afternoon, fewer on weekends, and twice as many now and then.
pub(super) struct Arrivals {
    mean: f64,
    bursts: Vec<u64>,
    dice: Dice,
}

const BURSTS_PER_DAY: f64 = 1.5;
const BURST_S: u64 = 600;

impl Arrivals {
    /// `mean` jobs per second over `days`, which begin with a Monday.
    pub(super) fn new(mean: f64, days: u64, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = (days as f64 * BURSTS_PER_DAY) as usize;
        let bursts = (0..count).map(|_| dice.below((days * DAY_S - BURST_S) as usize) as u64).collect();
        // What the bursts add is taken off the rest.
        let mean = mean / (1.0 + BURSTS_PER_DAY * BURST_S as f64 / DAY_S as f64);
        Self { mean, bursts, dice }
    }

    /// The jobs of one second.
    pub(super) fn at(&mut self, second: u64) -> u32 {
        let (day, hour) = (second / DAY_S, (second % DAY_S) as f64 / 3_600.0);
        let of_day = 1.0 + 0.5 * ((hour - 15.0) / 24.0 * TAU).cos();
        // Five days at 1.1 and two at 0.75 are seven at 1.
        let of_week = if day % 7 < 5 { 1.1 } else { 0.75 };
        let bursts = self.bursts.iter().filter(|from| (**from..**from + BURST_S).contains(&second)).count();
        self.dice.arrivals(self.mean * of_day * of_week * (1.0 + bursts as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_all_jobs() {
        assert!((MIX.iter().map(|sort| sort.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn whole_weeks_come_to_their_mean() {
        let mut arrivals = Arrivals::new(100.0, 14, 3);
        let sum: u64 = (0..14 * DAY_S).map(|second| u64::from(arrivals.at(second))).sum();

        assert!((sum as f64 / (14 * DAY_S) as f64 / 100.0 - 1.0).abs() < 0.02, "{sum}");
    }

    #[test]
    fn afternoons_are_busier_than_nights() {
        let mut arrivals = Arrivals::new(100.0, 1, 3);
        let mut hour = |from: u64| (from * 3_600..(from + 1) * 3_600).map(|s| u64::from(arrivals.at(s))).sum::<u64>();

        assert!(hour(15) > 2 * hour(3));
    }
}
