//! The span: the least and the most time that a running task can take, judging by its progress.
//!
//! Progress tells little at once and more over time: each poll narrows the span, and what earlier polls told still
//! holds.

use serde::{Deserialize, Serialize};

/// The least and the most that a task takes, in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// The percentages that Midjourney itself shows, as seen in many bug reports of its proxies.
    const STEPS: [u64; 7] = [0, 15, 31, 46, 62, 78, 93];
    /// The slack, in percent, for upstreams with finer progress: what they show is a little old.
    const FINE: u64 = 4;

    /// What a task's progress in percent tells after `elapsed_ms`; 0 % tells nothing.
    #[must_use]
    pub fn of(elapsed_ms: u64, progress: u8) -> Option<Self> {
        let percent = u64::from(progress.min(100));
        if percent == 0 {
            return None;
        }
        // The part that is done, in thousandths of the whole task: at least `from`, and less than `below`.
        let (from, below) = match Self::STEPS.iter().position(|step| *step == percent) {
            // If the percentages are real, a step lasts until the next one. But some upstreams need a while to begin,
            // and then take equally long for each step. Either may be true.
            Some(at) => {
                let next = Self::STEPS.get(at + 1).copied().unwrap_or(100);
                ((percent * 10).min(eighths(at + 1)), (next * 10).max(eighths(at + 2)))
            }
            None => (percent * 10, (percent + Self::FINE) * 10),
        };
        Some(Self((elapsed_ms * 1000 / below.min(1000)).max(elapsed_ms), elapsed_ms * 1000 / from))
    }

    /// What is known after `seen`, if `self` was known before.
    ///
    /// If the two exclude each other, the task did not go on evenly: the latest counts.
    #[must_use]
    pub fn then(self, seen: Self) -> Self {
        let both = Self(self.0.max(seen.0), self.1.min(seen.1));
        if both.0 <= both.1 { both } else { seen }
    }
}

fn eighths(count: usize) -> u64 {
    count as u64 * 125
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_how_long_a_task_takes_at_least_and_at_most() {
        // At 31 %, with the next step at 46 %: three to four eighths of a task that was slow to begin are done.
        assert_eq!(Span::of(10_000, 31), Some(Span(20_000, 32_258)));
        // At 33 %, which is no such step.
        assert_eq!(Span::of(10_000, 33), Some(Span(27_027, 30_303)));
        assert_eq!(Span::of(10_000, 93), Some(Span(10_000, 11_428)));
        assert_eq!(Span::of(10_000, 100), Some(Span(10_000, 10_000)));
        assert_eq!(Span::of(10_000, 0), None);
        assert_eq!(Span::of(0, 15), Some(Span(0, 0)));
    }

    #[test]
    fn what_polls_before_told_still_holds() {
        assert_eq!(Span(20_000, 32_000).then(Span(24_000, 40_000)), Span(24_000, 32_000));
    }

    #[test]
    fn a_task_that_stood_still_is_judged_anew() {
        assert_eq!(Span(20_000, 32_000).then(Span(40_000, 60_000)), Span(40_000, 60_000));
    }
}
