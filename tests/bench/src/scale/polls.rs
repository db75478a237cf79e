//! Polls: tasks played through the real planner, to know how often each is polled and when its end is seen.

use std::time::Duration;

use mjq_producer::contract::TaskId;
use mjq_worker::lifecycle::{Circumstances, Next, Observation, Pace, Phase, Policy, Ran, Record, TaskReport, next};

use super::dice::Dice;
use crate::contestant::job;

/// A task, as its pod saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Play {
    pub(super) polls: u32,
    /// From the acceptance to the poll that saw the end.
    pub(super) seen_ms: u64,
}

/// How long tasks of one class run, in ms: anything from the first to the last.
pub(super) type SpanMs = (u64, u64);

/// The steps in which progress is told, each for an eighth of the run, after an eighth without any.
const PROGRESS: [u8; 8] = [0, 0, 15, 31, 46, 62, 78, 93];

/// Plays `count` tasks that run as long as `span_ms` says, in a class that is known by its latest 64, or not yet.
pub(super) fn plays(
    span_ms: SpanMs,
    is_known: bool,
    count: usize,
    policy: &Policy,
    dice: &mut Dice,
) -> anyhow::Result<Vec<Play>> {
    let mut length = || span_ms.0 + dice.roll() % (span_ms.1 - span_ms.0 + 1);
    let lengths: Vec<u64> = (0..count).map(|_| length()).collect();
    let samples = if is_known { Pace::MAX_SAMPLES } else { 0 };
    let latest: Vec<Ran> = (0..samples).map(|_| Ran { ms: length(), told: None }).collect();
    let pace = Pace::learn(&latest);
    lengths.into_iter().map(|ms| play(ms, pace.as_ref(), policy, dice.share())).collect()
}

/// Polls per job on average, and seconds from acceptance to the poll that saw the end.
pub(super) fn averages(plays: &[Play]) -> (f64, f64) {
    let count = plays.len().max(1) as f64;
    let polls: f64 = plays.iter().map(|play| f64::from(play.polls)).sum();
    let seen: f64 = plays.iter().map(|play| play.seen_ms as f64).sum();
    (polls / count, seen / count / 1_000.0)
}

fn play(length_ms: u64, pace: Option<&Pace>, policy: &Policy, jitter: f64) -> anyhow::Result<Play> {
    const ACCEPTED_MS: u64 = 1_730_621_826_000;
    let policy = Policy { fast_deadline: Duration::from_secs(86_400), ..policy.clone() };
    let mut record = Record::admit(&job(0)?, ACCEPTED_MS, &policy);
    record.phase = Phase::Submitting;
    let task = TaskId::new("1730621826053455");
    let mut seen = Observation::Accepted { task, queue_position: 0 };
    let mut elapsed_ms = 0;
    for polls in 0.. {
        let now_ms = ACCEPTED_MS + elapsed_ms;
        let at = Circumstances {
            now_ms,
            claimed_ms: now_ms,
            place_ms: 0,
            jitter,
            fence: 1,
            reclaims: 0,
            pace,
            last_accepted_ms: 0,
            last_shown_ms: 0,
            polls_late: Duration::ZERO,
            policy: &policy,
        };
        let transition = next(&record, &seen, at)?;
        let Next::Poll(delay) = transition.next else { anyhow::bail!("a running task has no next poll") };
        record = transition.record;
        elapsed_ms += delay.as_millis() as u64;
        if elapsed_ms >= length_ms {
            return Ok(Play { polls: polls + 1, seen_ms: elapsed_ms });
        }
        let progress = PROGRESS[(elapsed_ms * PROGRESS.len() as u64 / length_ms) as usize];
        let status = if progress == 0 { "SUBMITTED" } else { "IN_PROGRESS" }.to_owned();
        let report = TaskReport { status, progress: Some(progress), started_ms: ACCEPTED_MS, ..TaskReport::default() };
        seen = Observation::Running(report);
    }
    unreachable!("each poll is later than the one before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_a_minute_take_a_handful_of_polls_and_their_end_is_seen_soon() -> anyhow::Result<()> {
        let plays = plays((55_000, 65_000), true, 200, &Policy::default(), &mut Dice::new(1))?;
        let (polls, seen_s) = averages(&plays);

        assert!((1.0..6.0).contains(&polls), "{polls}");
        assert!((60.0..64.0).contains(&seen_s), "{seen_s}");
        Ok(())
    }

    #[test]
    fn no_end_is_seen_before_it_is_there() -> anyhow::Result<()> {
        for play in plays((600_000, 600_000), true, 50, &Policy::default(), &mut Dice::new(2))? {
            assert!(play.seen_ms >= 600_000, "{play:?}");
        }
        Ok(())
    }
}
