//! The checker: what must be true of a world once all its jobs have ended.

use std::collections::{BTreeMap, BTreeSet};

use mjq_producer::contract::{Code, Event, JobId, OnUnknown};

use super::{ledger_model::Row, upstream::Task, world::World};
use crate::lifecycle::Moment;

/// Notes each violation as a problem, and counts what was reached.
pub(super) fn check(world: &World) {
    let ledger = world.ledger.borrow();
    let upstream = world.upstream.borrow();
    let ambiguous = world.ambiguous.borrow();
    let mut events: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &ledger.events {
        events.entry(&event.job).or_default().push(event);
    }
    for (job, row) in &ledger.jobs {
        let tasks: Vec<&Task> = upstream.tasks.iter().filter(|task| task.job == *job).collect();
        let of_job = events.get(job.as_str()).map(Vec::as_slice).unwrap_or_default();
        let check = Check { world, job, row, tasks: &tasks, is_ambiguous: ambiguous.contains(job) };
        match of_job {
            [event] => check.all(event),
            _ => world.problem(format!("{job} has {} events, and is {}", of_job.len(), row.phase)),
        }
    }
    for (name, lane) in [
        ("submit", &ledger.submit),
        ("later", &ledger.later),
        ("poll", &ledger.poll),
        ("leases", &ledger.leases),
        ("deadlines", &ledger.deadlines),
    ] {
        if lane.len() > 0 {
            world.problem(format!("{} jobs are left in {name}", lane.len()));
        }
    }
}

/// The checks of one job after its end.
struct Check<'a> {
    world: &'a World,
    job: &'a JobId,
    row: &'a Row,
    /// The tasks that the upstream made, and billed, for the job.
    tasks: &'a [&'a Task],
    is_ambiguous: bool,
}

impl Check<'_> {
    /// How late an end may come after its deadline when all trouble is over, in addition to a lease: a slow exchange, a
    /// draining pod, and a reserve.
    const SLACK_MS: u64 = 15_000;

    fn all(&self, event: &Event) {
        self.is_paid_once_or_says_so(event);
        self.agrees_with_the_upstream(event);
        self.is_in_time(event);
        self.has_a_straight_history();
        let mut tally = self.world.tally.borrow_mut();
        tally.count(event.code.as_str());
        if event.data.adopted {
            tally.count("adopted");
        }
        if event.data.possible_duplicate {
            tally.count("possible_duplicate");
        }
        if self.tasks.len() > 1 {
            tally.count("paid twice, and says so");
        }
    }

    fn is_paid_once_or_says_so(&self, event: &Event) {
        let (made, record) = (self.tasks.len(), &self.row.record);
        let data = &event.data;
        self.must(made <= data.attempts as usize, || format!("{made} tasks in {} attempts", data.attempts));
        let attempts: BTreeSet<u32> = self.tasks.iter().map(|task| task.attempt).collect();
        let ended_ms = data.timings.published_ms;
        let last_ms = self.tasks.iter().map(|task| task.made_ms).max().unwrap_or(0);
        self.must(last_ms <= ended_ms, || format!("a task was made {} ms after the end", last_ms - ended_ms));
        self.must(attempts.len() == made, || "an attempt has two tasks".to_owned());
        // A task counts as accounted for if the worker was told that it failed.
        let unaccounted = self.tasks.iter().filter(|task| !task.failure_told).count();
        self.must(unaccounted <= 1 || data.possible_duplicate, || format!("{made} tasks, in silence"));
        if record.on_unknown == OnUnknown::Fail {
            self.must(unaccounted <= 1, || format!("{made} tasks under fail"));
            self.must(!data.possible_duplicate, || "a duplicate under fail".to_owned());
        }
        let is_doubtful = data.possible_duplicate || event.code == Code::SubmitUnknown || data.adopted;
        self.must(!is_doubtful || self.is_ambiguous, || format!("{} where nothing was in doubt", event.code.as_str()));
        self.must(data.attempts <= record.max_attempts, || format!("{} attempts", data.attempts));
    }

    fn agrees_with_the_upstream(&self, event: &Event) {
        let task = self.tasks.iter().find(|task| task.id.as_str() == event.task);
        self.must(event.task.is_empty() || task.is_some(), || format!("task {} is not its own", event.task));
        if event.code == Code::Ok {
            let ended_ms = event.data.timings.finished_ms;
            self.must(task.is_some_and(|task| task.has_succeeded(ended_ms)), || "completed, and is not".to_owned());
        }
        if !self.is_ambiguous && event.task.is_empty() {
            self.must(self.tasks.is_empty(), || "a task that was never in doubt is lost".to_owned());
        }
    }

    fn is_in_time(&self, event: &Event) {
        let world = self.world;
        let due_ms =
            self.row.record.deadline_ms.max(world.calm_from_ms.get()) + world.weather.lease_ms + Self::SLACK_MS;
        let ended_ms = event.data.timings.published_ms;
        self.must(ended_ms <= due_ms, || format!("ended {} ms too late", ended_ms - due_ms));
    }

    fn has_a_straight_history(&self) {
        let timeline = &self.row.record.timeline;
        for pair in timeline.windows(2) {
            let (Moment(from_ms, from_fence, _), Moment(to_ms, to_fence, _)) = (pair[0], pair[1]);
            self.must(from_ms <= to_ms && from_fence <= to_fence, || format!("{timeline:?} goes back"));
        }
        self.must(timeline.last().is_some_and(|last| last.2 == self.row.phase), || "an end without a mark".to_owned());
        self.must(timeline.last().is_some_and(|last| last.1 <= self.row.fence), || "a fence of nobody's".to_owned());
    }

    fn must(&self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.world.problem(format!("{}: {}", self.job, problem()));
        }
    }
}
