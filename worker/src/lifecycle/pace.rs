//! The pace: how long tasks take, and so when to poll them.
//!
//! Two things tell how long a task will run: how long others of its class lately ran, and how far this one has come.
//! Neither is exact. So a poll is planned for the time at which the task has ended with a certain chance, and each poll
//! makes the next estimate better.

use std::time::Duration;

use mjq_producer::contract::Kind;

use super::{HookTrust, Mode, Ran, Record, Span};

/// How long tasks of one class (kind and mode) lately ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The times that tasks ran, in milliseconds, shortest first; at least [`Pace::MIN_SAMPLES`].
    sorted_ms: Vec<u64>,
    /// Whether hooks reliably tell the ends of such tasks.
    hooks: HookTrust,
}

/// A class of tasks that take about the same time: one kind and one mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaceClass(Kind, Mode);

impl PaceClass {
    /// The class of a job's task.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self(record.kind, record.mode)
    }

    /// All classes.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Kind::ALL.into_iter().flat_map(|kind| Mode::ALL.map(|mode| Self(kind, mode))).collect()
    }
}

impl std::fmt::Display for PaceClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0.as_str(), self.1.as_str())
    }
}

/// What is known of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headway {
    /// How long it has run.
    pub(super) elapsed_ms: u64,
    /// Its progress in percent; `None` if the upstream tells none.
    pub(super) progress: Option<u8>,
    /// The least and the most that the whole task takes, by all progress seen so far.
    pub(super) span: Option<Span>,
}

/// A poll that is planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlannedPoll {
    /// How long to wait before the poll.
    pub(super) wait: Duration,
    /// The estimated chance, 0 to 1, that the poll finds the task's end.
    pub(super) chance: f64,
}

impl Pace {
    /// How many ended tasks a class needs to be known.
    pub const MIN_SAMPLES: usize = 8;
    /// How many of the latest runs are kept.
    pub const MAX_SAMPLES: usize = 64;

    /// Learns from the runs of tasks, latest first; `None` if they are too few.
    #[must_use]
    pub fn learn(latest: &[Ran]) -> Option<Self> {
        if latest.len() < Self::MIN_SAMPLES {
            return None;
        }
        let mut sorted_ms: Vec<u64> = latest.iter().map(|ran| ran.ms).collect();
        sorted_ms.sort_unstable();
        let told: Vec<bool> = latest.iter().filter_map(|ran| ran.told).collect();
        Some(Self { sorted_ms, hooks: HookTrust::learn(&told) })
    }

    /// Whether hooks reliably tell the ends of such tasks.
    #[must_use]
    pub fn hooks(&self) -> HookTrust {
        self.hooks
    }

    /// What nine of ten tasks did not exceed, in milliseconds.
    #[must_use]
    pub fn usual_ms(&self) -> u64 {
        self.quantile_ms(0.9)
    }

    fn shortest_ms(&self) -> u64 {
        self.sorted_ms[0]
    }

    fn quantile_ms(&self, share: f64) -> u64 {
        self.sorted_ms[((self.sorted_ms.len() - 1) as f64 * share) as usize]
    }
}

/// When to first poll a task that starts now: just before the shortest run of its class would end, when its progress
/// tells most. `None` if nothing is known.
pub(super) fn plan_first_poll(pace: Option<&Pace>) -> Option<PlannedPoll> {
    let pace = pace?;
    let is_steady = pace.quantile_ms(0.9) * 20 < pace.shortest_ms() * 21;
    // If all tasks of the class take the same time, the first poll can be the last.
    let poll_ms = if is_steady { after(pace.quantile_ms(0.5)) } else { pace.shortest_ms() * 19 / 20 };
    Some(PlannedPoll::at(poll_ms, 0, &pace.sorted_ms))
}

/// When to first poll a task whose end a hook will tell: late, only in case the hook gets lost.
pub(super) fn last_resort(pace: &Pace) -> PlannedPoll {
    PlannedPoll::at(after(pace.quantile_ms(0.95)), 0, &pace.sorted_ms)
}

/// How long to wait until the next poll; `None` if nothing is known.
///
/// If the end can come at any time within a long span, the wait is half of the span, or 325 ms plus 15 % of the elapsed
/// time, whichever is less: a poll that finds the task running still narrows the span.
pub(super) fn plan_next_poll(pace: Option<&Pace>, headway: Headway) -> Option<PlannedPoll> {
    /// The chance with which a poll should find the end: a balance of few vain polls and a short delay.
    const CHANCE: f64 = 0.5;
    /// How many likely runs are enough to rely on.
    const FEW: usize = 3;
    let Headway { elapsed_ms, progress, span } = headway;
    let span = span.filter(|span| span.1 >= elapsed_ms);
    let (least_ms, most_ms) = span.map_or((elapsed_ms, u64::MAX), |Span(least, most)| (least.max(elapsed_ms), most));
    let stride_ms = 325 + elapsed_ms * 3 / 20;
    let likely: Vec<u64> = pace
        .map(|pace| pace.sorted_ms.iter().copied().filter(|ms| (least_ms..=most_ms).contains(ms)).collect())
        .unwrap_or_default();
    let end_ms = match (span, likely.len()) {
        (_, FEW..) => likely[((likely.len() - 1) as f64 * CHANCE) as usize].min(likely[0] + stride_ms),
        // There is only progress, or the task does not follow the history.
        (Some(_), _) => least_ms + (((most_ms - least_ms) as f64 * CHANCE) as u64).min(stride_ms),
        (None, _) => return pace.is_none().then(|| unseen_headway(elapsed_ms, progress)).flatten(),
    };
    // Early progress says little, and late progress leaves next to no span. So the wait is kept neither very long nor
    // tiny, compared to the elapsed time.
    let wait_ms = after(end_ms).saturating_sub(elapsed_ms).clamp(elapsed_ms / 32, elapsed_ms * 7);
    let poll_ms = elapsed_ms + wait_ms;
    if likely.len() >= FEW {
        return Some(PlannedPoll::at(poll_ms, elapsed_ms, &likely));
    }
    let chance = poll_ms.saturating_sub(least_ms) as f64 / (most_ms - least_ms).max(1) as f64;
    Some(PlannedPoll { wait: Duration::from_millis(wait_ms), chance: chance.min(1.0) })
}

/// The next poll of a task that shows 0 %, before any other of its class has ended.
///
/// Such a task is assumed to need at least four times as long again as it has run. An upstream that always shows 0 %
/// misleads only about its first tasks: once some have ended, history counts.
fn unseen_headway(elapsed_ms: u64, progress: Option<u8>) -> Option<PlannedPoll> {
    /// A task that has run for longer gets the usual waits.
    const BEGINNING_MS: u64 = 16_000;
    let is_beginning = progress == Some(0) && elapsed_ms < BEGINNING_MS;
    is_beginning.then(|| PlannedPoll { wait: Duration::from_millis(elapsed_ms * 4), chance: 0.0 })
}

impl PlannedPoll {
    /// A poll at `poll_ms` after the task's start. `elapsed_ms` have passed, and `lengths_ms` are the likely run times.
    fn at(poll_ms: u64, elapsed_ms: u64, lengths_ms: &[u64]) -> Self {
        let ended = lengths_ms.iter().filter(|ms| **ms <= poll_ms).count();
        let chance = ended as f64 / lengths_ms.len().max(1) as f64;
        Self { wait: Duration::from_millis(poll_ms.saturating_sub(elapsed_ms)), chance }
    }
}

/// A moment after `end_ms`, because a poll just before the end is in vain.
fn after(end_ms: u64) -> u64 {
    end_ms + end_ms / 100 + 25
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pace(lengths_ms: impl IntoIterator<Item = u64>) -> Option<Pace> {
        Pace::learn(&lengths_ms.into_iter().map(|ms| Ran { ms, told: None }).collect::<Vec<_>>())
    }

    fn at(elapsed_ms: u64, progress: u8) -> Headway {
        Headway { elapsed_ms, progress: Some(progress), span: Span::of(elapsed_ms, progress) }
    }

    #[test]
    fn a_class_is_known_from_its_eighth_task_on() {
        assert_eq!(pace([2000; 7]), None);
        assert!(pace([2000; 8]).is_some());
    }

    #[test]
    fn where_all_tasks_take_the_same_time_the_first_poll_finds_the_end() {
        let poll = plan_first_poll(pace([2000; 20]).as_ref()).unwrap();

        assert_eq!((poll.wait, poll.chance), (MS(2045), 1.0));
    }

    #[test]
    fn where_they_differ_the_first_poll_is_just_before_the_first_can_end() {
        let poll = plan_first_poll(pace((0..20).map(|n| 1500 + n * 100)).as_ref()).unwrap();

        assert_eq!((poll.wait, poll.chance), (MS(1425), 0.0));
    }

    #[test]
    fn where_somebody_tells_the_end_the_first_poll_is_made_when_it_should_long_have_been_told() {
        let poll = last_resort(&pace((0..64).map(|n| 25_000 + n * 500)).unwrap());

        assert!(poll.wait > MS(54_000) && poll.chance > 0.9, "{poll:?}");
    }

    #[test]
    fn progress_narrows_down_when_the_end_comes() {
        // At 31 % after 10 s, with the next step at 46 %, the whole task takes between 20 s and 32 s.
        let coarse = plan_next_poll(None, at(10_000, 31)).unwrap();
        // At 33 %, which is no such step, the whole task takes between 27 s and 30 s.
        let fine = plan_next_poll(None, at(10_000, 33)).unwrap();

        assert!((MS(10_000)..MS(15_000)).contains(&coarse.wait), "{coarse:?}");
        assert!(coarse.chance < 0.5, "{coarse:?}");
        assert!((MS(17_000)..MS(19_500)).contains(&fine.wait), "{fine:?}");
    }

    #[test]
    fn what_early_progress_says_is_not_relied_on_for_long() {
        let poll = plan_next_poll(None, at(500, 1)).unwrap();

        assert_eq!(poll.wait, MS(3_500), "at 1 % it seems to take ten seconds at least");
    }

    #[test]
    fn a_task_that_says_nought_per_cent_while_nothing_else_is_known_has_hardly_begun() {
        assert_eq!(plan_next_poll(None, at(2000, 0)).map(|poll| poll.wait), Some(MS(8000)));
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(plan_first_poll(None), None);
        assert_eq!(plan_next_poll(None, Headway { elapsed_ms: 2000, progress: None, span: None }), None);
        assert_eq!(plan_next_poll(None, at(20_000, 0)), None, "an upstream that tells no more than that");
        assert_eq!(plan_next_poll(pace([2000; 20]).as_ref(), at(9000, 0)), None, "it outlives all others");
    }
}
