//! Polls in numbers: how many polls a task costs, and how long after a task's end a poll sees it.
//!
//! The decisions are the real ones. Tasks, the rate of polls and the poll lane are simulated, without Redis, chance or
//! real time.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::*;

/// How an upstream reports progress.
#[derive(Debug, Clone, Copy)]
enum Tells {
    /// In Midjourney's steps; each step lasts in proportion to its share of the percentage.
    Steps,
    /// In Midjourney's steps. The run has eight equal parts, and no progress is shown in the first one.
    LateSteps,
    /// In whole percent.
    Percent,
    /// 0 % until the end.
    Nought,
    /// No progress at all.
    Nothing,
}

impl Tells {
    fn progress(self, elapsed_ms: u64, length_ms: u64) -> Option<u8> {
        const STEPS: [u8; 7] = [0, 15, 31, 46, 62, 78, 93];
        let percent = (elapsed_ms * 100 / length_ms) as u8;
        match self {
            Self::Steps => STEPS.into_iter().rfind(|step| *step <= percent),
            Self::LateSteps => Some(STEPS[((elapsed_ms * 8 / length_ms) as usize).saturating_sub(1)]),
            Self::Percent => Some(percent),
            Self::Nought => Some(0),
            Self::Nothing => None,
        }
    }
}

/// One simulation.
#[derive(Clone)]
struct Play {
    policy: Policy,
    tells: Tells,
    /// The lengths of earlier tasks.
    before_ms: Vec<u64>,
    /// For each task, its begin and its length.
    tasks_ms: Vec<(u64, u64)>,
    /// Polls per second over all pods; 0 means no limit.
    rate: u64,
    /// Whether pods take into account how late polls are, and leave out unlikely ones.
    spares: bool,
}

/// The result of a simulation.
#[derive(Debug)]
struct Seen {
    polls_per_task: f64,
    /// The time from the end of each task until a poll saw it, shortest first.
    late_ms: Vec<u64>,
}

impl Seen {
    fn quantile_ms(&self, share: f64) -> u64 {
        self.late_ms[(self.late_ms.len() as f64 * share) as usize]
    }
}

impl Play {
    /// `count` tasks of `shortest` to `longest` ms that begin `apart_ms` from each other. Their lengths are in no
    /// order.
    fn of(count: u64, shortest: u64, longest: u64, apart_ms: u64) -> Self {
        let length = |n: u64| shortest + (n * 7919 % count) * (longest - shortest) / count;
        Self {
            policy: Policy::default(),
            tells: Tells::LateSteps,
            before_ms: Vec::new(),
            tasks_ms: (0..count).map(|n| (n * apart_ms, length(n))).collect(),
            rate: 0,
            spares: true,
        }
    }

    fn telling(self, tells: Tells) -> Self {
        Self { tells, ..self }
    }

    fn with_poll_min(mut self, poll_min: Duration) -> Self {
        self.policy.poll_min = poll_min;
        self
    }

    /// Adds as many earlier tasks as pods remember.
    fn with_history(mut self) -> Self {
        self.before_ms = self.tasks_ms.iter().map(|(_, length_ms)| *length_ms).take(Pace::MAX_SAMPLES).collect();
        self
    }

    fn at_rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    fn run(&self) -> Seen {
        /// How often pods ask Redis for what other pods have learnt.
        const ASK_EVERY_MS: u64 = 3_000;
        let mut ended: Vec<Ran> = self.before_ms.iter().map(|ms| Ran { ms: *ms, told: None }).collect();
        let (mut pace, mut polls_late, mut asked_ms) = (Pace::learn(&ended), Duration::ZERO, 0);
        let mut records: Vec<Record> = self.tasks_ms.iter().map(|_| an_imagine_job().record).collect();
        let mut lane: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut begins = self.tasks_ms.iter().map(|task| task.0).enumerate().peekable();
        let (mut free_ms, mut polls, mut late_ms) = (0, 0_u32, Vec::new());
        loop {
            let due_ms = lane.peek().map(|Reverse((due_ms, _))| *due_ms);
            let poll_ms = due_ms.map_or(u64::MAX, |due_ms| due_ms.max(free_ms));
            let (now_ms, task, seen) = match begins.next_if(|(_, begins_ms)| *begins_ms <= poll_ms) {
                Some((task, begins_ms)) => {
                    records[task].phase = Phase::Submitting;
                    (begins_ms, task, accepted(0))
                }
                None => {
                    let Some(Reverse((due_ms, task))) = lane.pop() else { break };
                    polls += 1;
                    free_ms = poll_ms + 1000_u64.checked_div(self.rate).unwrap_or(0);
                    if poll_ms >= asked_ms + ASK_EVERY_MS {
                        asked_ms = poll_ms;
                        let latest: Vec<Ran> = ended.iter().rev().take(Pace::MAX_SAMPLES).copied().collect();
                        pace = Pace::learn(&latest);
                        polls_late = Duration::from_millis(if self.spares { poll_ms - due_ms } else { 0 });
                    }
                    let (begins_ms, length_ms) = self.tasks_ms[task];
                    let elapsed_ms = poll_ms - begins_ms;
                    if elapsed_ms >= length_ms {
                        late_ms.push(elapsed_ms - length_ms);
                        ended.push(Ran { ms: length_ms, told: None });
                        continue;
                    }
                    let progress = self.tells.progress(elapsed_ms, length_ms);
                    (poll_ms, task, Observation::Running(TaskReport { progress, ..report("IN_PROGRESS") }))
                }
            };
            let at = Circumstances {
                now_ms: START_MS + now_ms,
                claimed_ms: START_MS + now_ms,
                place_ms: 0,
                // Any irregular order will do.
                jitter: ((task * 37 + polls as usize * 31) % 100) as f64 / 100.0,
                fence: 1,
                reclaims: 0,
                pace: pace.as_ref(),
                last_accepted_ms: 0,
                last_shown_ms: 0,
                polls_late,
                policy: &self.policy,
            };
            let Transition { record, next: Next::Poll(delay), .. } = next(&records[task], &seen, at).unwrap() else {
                panic!("it goes on")
            };
            records[task] = record;
            lane.push(Reverse((now_ms + delay.as_millis() as u64, task)));
        }
        late_ms.sort_unstable();
        Seen { polls_per_task: f64::from(polls) / self.tasks_ms.len() as f64, late_ms }
    }

    /// Checks that there are at most `polls` per task, and the time from end to poll: its median and its 99th
    /// percentile.
    fn costs(&self, polls: f64, half_ms: u64, most_ms: u64) {
        let seen = self.run();
        let (half, most) = (seen.quantile_ms(0.5), seen.quantile_ms(0.99));
        let told = format!("{:?}: polls {:.2}, p50 {half} ms, p99 {most} ms", self.tells, seen.polls_per_task);
        println!("{told}");
        assert!(seen.polls_per_task <= polls && half <= half_ms && most <= most_ms, "{told}");
    }
}

#[test]
fn a_burst_of_long_tasks_without_history_takes_five_polls_each() {
    let burst = || Play::of(500, 25_000, 60_000, 1);

    burst().telling(Tells::LateSteps).costs(5.4, 1_400, 5_000);
    burst().telling(Tells::Steps).costs(5.4, 1_500, 6_000);
    burst().telling(Tells::Percent).costs(5.4, 1_500, 3_000);
}

#[test]
fn a_burst_of_tasks_of_a_minute_takes_seven_polls_each_at_most() {
    for tells in [Tells::LateSteps, Tells::Steps, Tells::Percent] {
        Play::of(2_000, 60_000, 60_001, 2).telling(tells).costs(7.0, 3_000, 3_500);
    }
}

#[test]
fn long_tasks_of_a_known_class_take_four_polls_each() {
    for tells in [Tells::LateSteps, Tells::Steps, Tells::Percent] {
        Play::of(500, 25_000, 60_000, 500).telling(tells).with_history().costs(4.0, 1_400, 5_000);
    }
}

#[test]
fn short_tasks_are_seen_in_time_with_three_polls_even_when_none_has_ended_before() {
    let short = || Play::of(600, 1_500, 3_500, 1).with_poll_min(Duration::from_millis(100));
    for tells in [Tells::LateSteps, Tells::Steps] {
        short().telling(tells).costs(3.0, 250, 600);
        short().telling(tells).with_history().costs(3.0, 250, 600);
    }
}

#[test]
fn short_tasks_are_seen_as_soon_as_the_usual_distance_between_polls_allows() {
    for (tells, half_ms) in [(Tells::LateSteps, 440), (Tells::Steps, 550)] {
        Play::of(1_000, 1_500, 3_500, 1).telling(tells).costs(2.0, 500, 1_050);
        Play::of(1_000, 1_500, 3_500, 1).telling(tells).with_history().costs(3.0, half_ms, 1_050);
    }
}

#[test]
fn an_upstream_that_tells_no_progress_is_polled_more_often_until_its_tasks_are_known() {
    for (tells, polls) in [(Tells::Nought, 9.0), (Tells::Nothing, 20.0)] {
        Play::of(500, 25_000, 60_000, 1).telling(tells).costs(polls, 3_000, 9_000);
    }
}

/// Median and 99th percentile of the time from end to poll, if unlikely polls are left out, and if they are not.
fn with_and_without_room(play: Play) -> [(u64, u64); 2] {
    let plays = [Play { spares: true, ..play.clone() }, Play { spares: false, ..play }];
    plays.map(|play| {
        let seen = play.run();
        let (half, most) = (seen.quantile_ms(0.5), seen.quantile_ms(0.99));
        let (count, rate) = (play.tasks_ms.len(), play.rate);
        let polls = seen.polls_per_task;
        println!("{count} tasks, {rate}/s, spares: {}: {polls:.2} polls, p50 {half} ms, p99 {most} ms", play.spares);
        (half, most)
    })
}

#[test]
fn a_budget_that_is_a_little_short_goes_to_the_polls_that_find_ends() {
    /// With 10 polls per second, this allows 2.5, 2 and 1.7 polls per task.
    const APART_MS: [u64; 3] = [250, 200, 166];
    for apart_ms in APART_MS {
        let play = Play::of(1_500, 25_000, 60_000, apart_ms).with_history().at_rate(10);

        let [(half, most), (half_before, most_before)] = with_and_without_room(play);

        assert!(half * 100 <= half_before * 93 && most <= most_before, "tasks every {apart_ms} ms");
    }
}

#[test]
fn a_budget_that_suffices_is_spent_as_planned() {
    let play = Play::of(1_500, 25_000, 60_000, 500).with_history().at_rate(10);

    let [(half, most), (half_before, most_before)] = with_and_without_room(play);

    assert!(half <= half_before + 100 && most <= most_before + 500);
}

#[test]
fn a_burst_that_is_far_beyond_the_budget_is_seen_no_later_for_it() {
    for (count, rate, percent) in [(500, 10, 107), (500, 20, 90), (200, 10, 85)] {
        let play = Play::of(count, 25_000, 60_000, 1).at_rate(rate);

        let [(half, most), (half_before, most_before)] = with_and_without_room(play);

        assert!(half * 100 <= half_before * percent, "{count} tasks under {rate} polls per second");
        assert!(most * 100 <= most_before * 105, "{count} tasks under {rate} polls per second");
    }
}
