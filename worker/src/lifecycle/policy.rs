//! The policy: how long to wait, how often to try, when to give up.
//!
//! All delays of a job's steps come from here. Jitter is an argument, so the same arguments give the same delay.

use std::time::Duration;

use mjq_producer::contract::{OnCapacity, OnUnknown};

use super::{
    HookTrust, Mode, Pace, Record,
    pace::{self, Headway, PlannedPoll},
};

/// The settings that the state machine goes by.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The shortest time between two polls of one task.
    pub poll_min: Duration,
    /// The longest time between two polls of one task.
    pub poll_max: Duration,
    /// The first and the longest delay after a refusal.
    pub refusal_delay: (Duration, Duration),
    /// The default of `options.on_unknown`.
    pub on_unknown: OnUnknown,
    /// The default of `options.on_capacity`.
    pub on_capacity: OnCapacity,
    /// How long mjq tries to find the task of a lost answer.
    pub unknown_grace: Duration,
    /// The ways in which the task of a lost answer can be found again.
    pub adoption: AdoptionRoutes,
    /// The mode of jobs whose request names none.
    pub mode: Mode,
    /// The default of `options.deadline_s` for a fast job.
    pub fast_deadline: Duration,
    /// The default of `options.deadline_s` for a relaxed job.
    pub relax_deadline: Duration,
    /// The default of `options.max_attempts`.
    pub max_attempts: u32,
    /// How many leases of one job may run out in a row.
    pub max_reclaims: u32,
    /// How many polls must say "unknown task" before the task counts as lost, and the time between the first and the
    /// last.
    pub lost_after: (u32, Duration),
    /// How long after a job's end without its task that task is still polled.
    pub revisit_for: Duration,
}

/// What is known, besides the job's record, when its next poll is planned.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// How long tasks of this job's class lately ran.
    pub pace: Option<&'a Pace>,
    /// How late polls are at present.
    pub polls_late: Duration,
    /// 0 to 1; spreads delays.
    pub jitter: f64,
}

/// The ways in which the task of a lost answer can be found again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdoptionRoutes {
    /// A hook URL is configured, so requests without a hook of their own carry it.
    pub hook: bool,
    /// The upstream lists tasks with their `state`, and mjq's token is in it.
    pub lookup: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            poll_min: Duration::from_secs(1),
            poll_max: Duration::from_secs(15),
            refusal_delay: (Duration::from_secs(1), Duration::from_secs(60)),
            on_unknown: OnUnknown::Fail,
            on_capacity: OnCapacity::Fail,
            unknown_grace: Duration::from_secs(120),
            adoption: AdoptionRoutes::default(),
            mode: Mode::Fast,
            fast_deadline: Duration::from_secs(15 * 60),
            relax_deadline: Duration::from_secs(60 * 60),
            max_attempts: 5,
            max_reclaims: 5,
            lost_after: (Self::LOST_POLLS, Duration::from_secs(180)),
            revisit_for: Self::REVISIT_FOR,
        }
    }
}

impl Policy {
    /// How long after its deadline a job waits for its last poll.
    pub(super) const LAST_POLL: Duration = Duration::from_secs(10);
    /// How many polls must say "unknown task": a relay's cache or a replica may not have the task yet once or twice.
    pub const LOST_POLLS: u32 = 5;
    /// A task that takes longer than this after the job's end is hardly worth a poll any more.
    pub const REVISIT_FOR: Duration = Duration::from_secs(3600);
    /// The shortest and the longest delay before the next submit of a job for which the pod had no memory.
    pub(super) const NO_MEMORY_DELAY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
    /// The factor by which each refusal lengthens the next delay.
    const REFUSAL_FACTOR: f64 = 1.6;
    /// The delay before the first poll while nothing is known of the task's class. It suits pictures, which take half a
    /// minute or more.
    const FIRST_POLL: Duration = Duration::from_secs(2);
    /// This delay as a number of shortest spacings, used if that is sooner.
    const FIRST_SPACINGS: u32 = 10;
    /// How much longer the first poll waits for each task before this one, if code 22 tells how many there are.
    const QUEUE_PLACE: Duration = Duration::from_millis(250);
    /// The factor by which polls are further apart while hooks tell the ends.
    const THINNED: u32 = 4;

    /// The deadline of a job that does not set one.
    #[must_use]
    pub fn deadline(&self, mode: Mode) -> Duration {
        match mode {
            Mode::Fast => self.fast_deadline,
            Mode::Relax => self.relax_deadline,
        }
    }

    /// Whether the task of a lost answer could be found for this job.
    #[must_use]
    pub fn can_adopt(&self, record: &Record) -> bool {
        (self.adoption.hook && !record.has_own_hook) || self.adoption.lookup || record.lead.is_some()
    }

    /// Whether a submit comes too late: the job has waited, and in the time that is left its task would hardly end. It
    /// would be paid for, and nobody would get its picture.
    ///
    /// A job that has waited for less than a quarter of its time is submitted in any case. What is known of its class may
    /// be wrong by now, and only submits can show it.
    #[must_use]
    pub fn is_too_late(&self, record: &Record, pace: &Pace, now_ms: u64) -> bool {
        let (whole_ms, left_ms) = (record.whole_ms(), record.deadline_ms.saturating_sub(now_ms));
        let has_waited = left_ms < whole_ms - whole_ms / 4;
        // An end is seen a moment after it came.
        let needed_ms = pace.usual_ms() / 20 * 21 + self.poll_min.as_millis() as u64;
        has_waited && left_ms < needed_ms && !record.is_answering
    }

    /// How long a poll of a job's task may take: it must not keep the job from ending in time.
    #[must_use]
    pub fn time_for_a_poll(&self, record: &Record, now_ms: u64) -> Duration {
        let left = Duration::from_millis(record.deadline_ms.saturating_sub(now_ms));
        // The last poll comes after the deadline.
        left + Self::LAST_POLL
    }

    /// The delay before a refused job is submitted again: longer with each refusal.
    ///
    /// `jitter` is 0 to 1 and spreads the delay over ±20 %.
    #[must_use]
    pub fn after_refusal(&self, refusals: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let (first, longest) = self.refusal_delay;
        let delay = exponential(first, longest, Self::REFUSAL_FACTOR, refusals);
        spread(delay, jitter).max(retry_after.unwrap_or_default())
    }

    /// The delay before a job is submitted again whose submit failed inside the upstream. There are few tries, so each
    /// waits three times as long as the one before: together they outlast a short outage.
    #[must_use]
    pub fn after_fault(&self, faults: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let (first, longest) = self.refusal_delay;
        spread(exponential(first, longest, 3.0, faults), jitter).max(retry_after.unwrap_or_default())
    }

    /// The delay before the next submit of a job for which the pod had no memory: a share of the time that the job has
    /// `waited`, so that many such jobs leave room for others between their tries.
    #[must_use]
    pub fn after_no_memory(&self, waited: Duration, jitter: f64) -> Duration {
        let (shortest, longest) = Self::NO_MEMORY_DELAY;
        spread((waited / 8).clamp(shortest, longest), jitter)
    }

    /// The delay before the first poll of a task that was just accepted.
    ///
    /// If the class has a history, see [`Pace`]; the delay may then be a few times the longest spacing of polls.
    #[must_use]
    pub fn first_poll(&self, record: &Record, outlook: Outlook<'_>) -> Duration {
        /// The longest first delay, as a multiple of the longest spacing of polls.
        const LONGEST: u32 = 4;
        let Outlook { pace, jitter, .. } = outlook;
        let is_told = self.is_told_by_hook(record, pace);
        let poll = pace.filter(|_| is_told).map(pace::last_resort).or_else(|| pace::plan_first_poll(pace));
        if let Some(poll) = poll.filter(|_| record.queue_position == 0) {
            let longest = self.poll_max.max(self.poll_min) * LONGEST;
            return poll.wait.clamp(self.poll_min, longest) + self.lateness(poll.chance, outlook);
        }
        let usual = Self::FIRST_POLL.min(self.poll_min * Self::FIRST_SPACINGS).max(self.poll_min);
        let queue = Self::QUEUE_PLACE * record.queue_position;
        // A small jitter is enough: submits are already apart, and so are the polls after them.
        let delay = (usual + queue).mul_f64(1.0 + jitter / 50.0) * if is_told { Self::THINNED } else { 1 };
        self.within_bounds(delay) + self.lateness(0.0, outlook)
    }

    /// The delay before the next poll of a running task that shows `progress`, if it shows any.
    ///
    /// With progress or a history, see [`Pace`]. Otherwise it is a share of the time waited so far, so that the wait is
    /// never much longer than needed: a third in the first ten seconds, when hardly any picture is ready, then an
    /// eighth. If hooks tell ends, it is longer.
    #[must_use]
    pub fn next_poll(&self, record: &Record, progress: Option<u8>, now_ms: u64, outlook: Outlook<'_>) -> Duration {
        let Outlook { pace, jitter, .. } = outlook;
        let elapsed_ms = now_ms.saturating_sub(record.started_ms);
        let headway = Headway { elapsed_ms, progress, span: record.span };
        let poll = pace::plan_next_poll(pace, headway).filter(|_| record.started_ms > 0).unwrap_or_else(|| {
            let waited = Duration::from_millis(now_ms.saturating_sub(record.accepted_ms));
            let share = if waited < Duration::from_secs(10) { waited / 3 } else { waited / 8 };
            PlannedPoll { wait: spread(share, jitter), chance: 0.0 }
        });
        let thinned = if self.is_told_by_hook(record, pace) { Self::THINNED } else { 1 };
        self.within_bounds(poll.wait * thinned) + self.lateness(poll.chance, outlook)
    }

    /// Whether a hook of ours will very likely tell the task's end.
    fn is_told_by_hook(&self, record: &Record, pace: Option<&Pace>) -> bool {
        let has_hook = self.adoption.hook && !record.has_own_hook;
        has_hook && pace.is_some_and(|pace| pace.hooks() == HookTrust::Earned)
    }

    /// How much later a poll is planned while polls are late, because all pods together want more than the rate allows.
    ///
    /// The lane is served in the order of planned times. So a poll that will hardly find an end makes room for those
    /// that will: it is put off by the present lateness. In `tests/polls.rs` this takes up to a third off the time
    /// until an end is seen. Beyond half of `poll_max` it would only delay the unluckiest tasks.
    fn lateness(&self, chance: f64, outlook: Outlook<'_>) -> Duration {
        outlook.polls_late.min(self.poll_max / 2).mul_f64(1.0 - chance.clamp(0.0, 1.0))
    }

    /// The delay before the next poll after one that told nothing.
    #[must_use]
    pub fn after_blind_poll(&self, blind_polls: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let delay = exponential(self.poll_min, self.poll_max, 1.5, blind_polls);
        self.within_bounds(spread(delay, jitter)).max(retry_after.unwrap_or_default())
    }

    /// Whether the upstream has said often enough, over a long enough time, that it does not know the job's task.
    #[must_use]
    pub fn is_lost(&self, record: &Record, now_ms: u64) -> bool {
        let (enough, over) = self.lost_after;
        record.missing.is_some_and(|(count, first_ms)| {
            count >= enough && now_ms.saturating_sub(first_ms) >= over.as_millis() as u64
        })
    }

    /// The delay before an unknown task is polled again: often enough to fit `lost_after`.
    #[must_use]
    pub fn after_missing(&self, jitter: f64) -> Duration {
        let (polls, over) = self.lost_after;
        // Most such tasks only show up late, so the delay is not longer than for other tasks.
        self.within_bounds(spread(over / polls.max(1), jitter))
    }

    /// The delay before the next try at finding the task of a lost answer.
    #[must_use]
    pub fn next_adoption(&self, waited: Duration, jitter: f64) -> Duration {
        let delay = self.within_bounds(spread(waited / 4, jitter));
        delay.min(self.unknown_grace.saturating_sub(waited)).max(Duration::from_millis(1))
    }

    fn within_bounds(&self, delay: Duration) -> Duration {
        delay.clamp(self.poll_min, self.poll_max)
    }
}

/// The delay after `times` tries, each `factor` longer than the one before. The job keeps the number of tries, so
/// another pod continues where this one stopped.
pub(super) fn exponential(first: Duration, longest: Duration, factor: f64, times: u32) -> Duration {
    let reached = first.as_secs_f64() * factor.powf(times.into());
    Duration::from_secs_f64(reached.min(longest.as_secs_f64()))
}

/// Spreads `delay` over ±20 %, so that jobs that were delayed together do not come back together.
fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::Entry;

    use super::*;
    use crate::lifecycle::{Ran, Span};

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn each_refusal_makes_the_next_delay_longer_up_to_the_longest() {
        let policy = Policy::default();
        let delays: Vec<Duration> = (0..20).map(|n| policy.after_refusal(n, None, 0.5)).collect();

        assert_eq!(delays[0], S(1));
        assert_eq!(delays[1], Duration::from_millis(1600));
        assert!(delays.is_sorted());
        assert_eq!(delays[19], S(60));
    }

    #[test]
    fn the_upstreams_wish_for_a_pause_is_honoured() {
        let policy = Policy::default();

        assert_eq!(policy.after_refusal(0, Some(S(90)), 0.5), S(90));
        assert_eq!(policy.after_blind_poll(0, Some(S(90)), 0.5), S(90));
    }

    #[test]
    fn jitter_spreads_by_a_fifth_and_polls_stay_in_bounds() {
        let policy = Policy::default();

        assert_eq!(policy.after_refusal(0, None, 0.0), Duration::from_millis(800));
        assert_eq!(policy.after_refusal(0, None, 1.0), Duration::from_millis(1200));
        assert_eq!(policy.after_refusal(0, None, 0.5), S(1));
        assert_eq!(policy.first_poll(&queued_behind(10_000), outlook(None)), S(15));
    }

    #[test]
    fn the_first_poll_is_early_where_the_settings_are_eager_and_never_before_two_polls_may_be_made() {
        for (poll_min, first) in [(50, 505), (100, 1010), (200, 2020), (1000, 2020), (5000, 5050)] {
            let policy = Policy { poll_min: Duration::from_millis(poll_min), ..Policy::default() };

            let delay = policy.first_poll(&queued_behind(0), outlook(None));

            assert_eq!(delay.as_millis(), first, "poll_min {poll_min} ms");
        }
    }

    #[test]
    fn where_hooks_tell_the_ends_a_task_is_left_alone_until_it_has_very_likely_ended() {
        let policy = Policy { adoption: AdoptionRoutes { hook: true, lookup: false }, ..Policy::default() };
        let pace = pace_told_by_hooks(Some(true));
        let mut record = queued_behind(0);

        let first = policy.first_poll(&record, outlook(pace.as_ref()));
        assert!((S(55)..S(60)).contains(&first), "tasks take 25 to 56.5 s: {first:?}");

        record.started_ms = 1;
        let next = policy.next_poll(&record, Some(93), 30_001, outlook(pace.as_ref()));
        assert!((S(5)..=S(15)).contains(&next), "the usual distance, four times: {next:?}");

        record.has_own_hook = true;
        let own = policy.first_poll(&record, outlook(pace.as_ref()));
        assert!(own < S(25), "a caller's own hook tells us nothing: {own:?}");
        for told in [Some(false), None] {
            let pace = pace_told_by_hooks(told);
            assert_eq!(policy.first_poll(&queued_behind(0), outlook(pace.as_ref())), own, "{told:?}");
        }
    }

    #[test]
    fn while_polls_are_late_one_that_will_hardly_find_an_end_makes_room() {
        let policy = Policy::default();
        let late = |polls_late: Duration| Outlook { polls_late, ..outlook(None) };
        let mut record = queued_behind(0);

        let in_time = policy.first_poll(&record, late(Duration::ZERO));
        assert_eq!(policy.first_poll(&record, late(S(7))), in_time + S(7));
        assert_eq!(policy.first_poll(&record, late(S(700))), in_time + S(15) / 2, "not for ever");

        (record.started_ms, record.span) = (1, Some(Span(40_000, 41_000)));
        let in_time = policy.next_poll(&record, Some(93), 40_001, late(Duration::ZERO));
        let likely = policy.next_poll(&record, Some(93), 40_001, late(S(10)));
        assert!(likely - in_time < S(1), "it will find the end: {likely:?}");
    }

    fn queued_behind(queue_position: u32) -> Record {
        let json = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        Record { queue_position, ..Record::admit(&job, 1, &Policy::default()) }
    }

    fn outlook(pace: Option<&Pace>) -> Outlook<'_> {
        Outlook { pace, polls_late: Duration::ZERO, jitter: 0.5 }
    }

    fn pace_told_by_hooks(told: Option<bool>) -> Option<Pace> {
        let runs: Vec<Ran> = (0..64).map(|n| Ran { ms: 25_000 + n * 500, told }).collect();
        Pace::learn(&runs)
    }
}
