//! The pace: how long tasks take, and so when it is worth looking.
//!
//! Two things tell how long a task will run: how long others of its class lately ran, and how far
//! this one has come. Neither is exact, so a look is planned for the time by which the task has
//! ended with a certain chance, and each look sharpens the next.

use std::time::Duration;

use mjq_producer::contract::Kind;

use super::{Mode, Record, TaskReport};

/// How long tasks of one class (kind and mode) lately ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// In milliseconds, shortest first; at least [`Pace::MIN_SAMPLES`].
    sorted_ms: Vec<u64>,
}

/// Tasks that take about the same time: of one kind and one mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaceClass(Kind, Mode);

impl PaceClass {
    /// The class of a job's task.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self(record.kind, record.mode)
    }

    /// Each class there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Kind::ALL.into_iter().flat_map(|kind| [Self(kind, Mode::Fast), Self(kind, Mode::Relax)]).collect()
    }
}

impl std::fmt::Display for PaceClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0.as_str(), self.1.as_str())
    }
}

/// How long the task of a job that has just completed ran, in milliseconds.
///
/// By the upstream's clock alone where it tells both ends; else by what was seen, which is later.
#[must_use]
pub fn ran_ms(record: &Record, report: &TaskReport, now_ms: u64) -> Option<u64> {
    if report.started_ms > 0 && report.finished_ms > report.started_ms {
        return Some(report.finished_ms - report.started_ms);
    }
    (record.started_ms > 0).then(|| now_ms.saturating_sub(record.started_ms))
}

/// What is known of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headway {
    /// How long it has run.
    pub(super) elapsed_ms: u64,
    /// Percent; 0 when it tells nothing.
    pub(super) progress: u8,
}

impl Pace {
    /// How many tasks make a class known.
    pub const MIN_SAMPLES: usize = 8;
    /// How many of the latest are kept.
    pub const MAX_SAMPLES: usize = 64;

    /// Learns from how long tasks ran, in milliseconds; `None` while they are too few.
    #[must_use]
    pub fn learn(mut samples_ms: Vec<u64>) -> Option<Self> {
        if samples_ms.len() < Self::MIN_SAMPLES {
            return None;
        }
        samples_ms.sort_unstable();
        Some(Self { sorted_ms: samples_ms })
    }

    fn shortest_ms(&self) -> u64 {
        self.sorted_ms[0]
    }
}

/// When to look first at a task that starts now: just before the first of its class has ended, so
/// that its progress is as telling as it can be. `None` when nothing is known.
pub(super) fn first_look(pace: Option<&Pace>) -> Option<Duration> {
    let pace = pace?;
    let is_steady = pace.sorted_ms[pace.sorted_ms.len() * 9 / 10] * 20 < pace.shortest_ms() * 21;
    // Where all take the same time, the first look can be the last.
    let look_ms =
        if is_steady { after(pace.sorted_ms[pace.sorted_ms.len() / 2]) } else { pace.shortest_ms() * 19 / 20 };
    Some(Duration::from_millis(look_ms))
}

/// How long to wait until the next look; `None` when nothing is known.
pub(super) fn next_look(pace: Option<&Pace>, headway: Headway) -> Option<Duration> {
    let Headway { elapsed_ms, progress } = headway;
    /// With which chance a look should find the end: few looks for nothing against a short delay.
    const CHANCE: f64 = 0.4;
    let (least_ms, most_ms) = span_of(elapsed_ms, progress);
    let likely: Vec<u64> = pace
        .map(|pace| pace.sorted_ms.iter().copied().filter(|ms| (least_ms..=most_ms).contains(ms)).collect())
        .unwrap_or_default();
    let end_ms = match likely.len() {
        // Progress alone, or history that this task does not follow.
        0..3 if most_ms == u64::MAX => return None,
        0..3 => least_ms + ((most_ms - least_ms) as f64 * CHANCE) as u64,
        many => likely[((many - 1) as f64 * CHANCE) as usize],
    };
    // Early progress stretches over a wide span, late progress over next to none: a wait is never
    // long, and never tiny, against what has passed.
    let wait_ms = after(end_ms).saturating_sub(elapsed_ms).clamp(elapsed_ms / 24, elapsed_ms * 3 / 2);
    Some(Duration::from_millis(wait_ms))
}

/// Between which lengths the task's must be, judging by how far it has come.
fn span_of(elapsed_ms: u64, progress: u8) -> (u64, u64) {
    /// The steps in which Midjourney itself tells progress, as seen in many bug reports of its proxies.
    const STEPS: [u64; 8] = [0, 15, 31, 46, 62, 78, 93, 100];
    /// Others count finely, and what they tell is a little old.
    const FINE: u64 = 4;
    let percent = u64::from(progress.min(100));
    if percent == 0 {
        return (elapsed_ms, u64::MAX);
    }
    let step = STEPS.iter().position(|step| *step == percent);
    let below = step.and_then(|at| STEPS.get(at + 1)).copied().unwrap_or(percent + FINE);
    let least_ms = elapsed_ms * 100 / below.min(100);
    (least_ms.max(elapsed_ms), elapsed_ms * 100 / percent)
}

/// A moment after something ends: a look that comes a moment before is a look for nothing.
fn after(end_ms: u64) -> u64 {
    end_ms + end_ms / 100 + 25
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_class_is_known_from_its_eighth_task_on() {
        assert_eq!(Pace::learn(vec![2000; 7]), None);
        assert!(Pace::learn(vec![2000; 8]).is_some());
    }

    #[test]
    fn where_all_tasks_take_the_same_time_the_first_look_finds_the_end() {
        let pace = Pace::learn(vec![2000; 20]);

        assert_eq!(first_look(pace.as_ref()), Some(MS(2045)));
    }

    #[test]
    fn where_they_differ_the_first_look_is_just_before_the_first_can_end() {
        let pace = Pace::learn((0..20).map(|n| 1500 + n * 100).collect());

        assert_eq!(first_look(pace.as_ref()), Some(MS(1425)));
    }

    #[test]
    fn progress_narrows_down_when_the_end_comes() {
        // At 31 % after 10 s, where the next step is 46 %, the whole takes between 21 s and 32 s.
        let coarse = next_look(None, Headway { elapsed_ms: 10_000, progress: 31 }).unwrap();
        // At 33 %, which is no such step, between 27 s and 30 s.
        let fine = next_look(None, Headway { elapsed_ms: 10_000, progress: 33 }).unwrap();

        assert!((MS(12_000)..MS(20_000)).contains(&coarse), "{coarse:?}");
        assert_eq!(fine, MS(15_000), "no wait is longer than one and a half times what has passed");
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(first_look(None), None);
        assert_eq!(next_look(None, Headway { elapsed_ms: 10_000, progress: 0 }), None);
        let all_over = Pace::learn(vec![2000; 20]);
        assert_eq!(next_look(all_over.as_ref(), Headway { elapsed_ms: 9000, progress: 0 }), None);
    }

    /// Plays a task that reports progress in the usual steps, and says at how many looks and how late
    /// its end was seen.
    fn play(length_ms: u64, pace: Option<&Pace>, min_ms: u64, max_ms: u64) -> (u32, u64) {
        let mut elapsed_ms = first_look(pace).unwrap_or(MS(1000)).as_millis() as u64;
        elapsed_ms = elapsed_ms.clamp(min_ms, max_ms);
        for looks in 1.. {
            if elapsed_ms >= length_ms {
                return (looks, elapsed_ms - length_ms);
            }
            let share = elapsed_ms * 100 / length_ms;
            let progress = [0, 15, 31, 46, 62, 78, 93].into_iter().rfind(|step| *step <= share).unwrap() as u8;
            let wait = next_look(pace, Headway { elapsed_ms, progress });
            let wait_ms =
                wait.map_or(elapsed_ms / if elapsed_ms < 10_000 { 3 } else { 8 }, |wait| wait.as_millis() as u64);
            elapsed_ms += wait_ms.clamp(min_ms, max_ms);
        }
        unreachable!("a task ends")
    }

    fn looks_and_delays(lengths_ms: &[u64], pace: Option<&Pace>, min_ms: u64) -> (f64, u64, u64) {
        let played: Vec<(u32, u64)> = lengths_ms.iter().map(|ms| play(*ms, pace, min_ms, 15_000)).collect();
        let looks: u32 = played.iter().map(|(looks, _)| looks).sum();
        let mut late: Vec<u64> = played.iter().map(|(_, late)| *late).collect();
        late.sort_unstable();
        (f64::from(looks) / played.len() as f64, late[late.len() / 2], late[late.len() * 99 / 100])
    }

    #[test]
    fn tasks_of_half_a_minute_to_a_minute_are_seen_in_time_with_few_looks() {
        let lengths: Vec<u64> = (0..200).map(|n| 25_000 + n * 175).collect();
        let pace = Pace::learn(lengths.iter().copied().step_by(4).collect());

        let (looks, half, most) = looks_and_delays(&lengths, pace.as_ref(), 1000);
        assert!(looks <= 4.5 && half <= 1500, "looks {looks}, p50 {half} ms, p99 {most} ms");

        let (looks, half, most) = looks_and_delays(&lengths, None, 1000);
        assert!(looks <= 10.0 && half <= 1500, "of the first ones: looks {looks}, p50 {half} ms, p99 {most} ms");
    }

    #[test]
    fn short_tasks_are_seen_in_time_with_few_looks_even_when_none_has_ended_before() {
        let lengths: Vec<u64> = (0..200).map(|n| 1500 + n * 10).collect();
        let pace = Pace::learn(lengths.iter().copied().step_by(4).collect());

        for pace in [None, pace.as_ref()] {
            let (looks, half, most) = looks_and_delays(&lengths, pace, 50);

            assert!(looks <= 3.1 && half <= 250 && most <= 600, "looks {looks}, p50 {half} ms, p99 {most} ms");
        }
    }
}
