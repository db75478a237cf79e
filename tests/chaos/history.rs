//! The history of a run: what was asked, what was billed, what was told, and what was left behind.
//!
//! The checker judges a history and nothing else, so a run can be judged again, and the checker can be tested
//! without one.

use std::collections::{BTreeMap, BTreeSet};

use mjq_simulator::{Arrivals, Creation};
use serde::Serialize;

/// Everything that the checker needs to know about a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Each job that a producer asked for, by id.
    pub(crate) jobs: BTreeMap<String, Asked>,
    /// Entries that had to be rejected, by id and code.
    pub(crate) rejections: BTreeMap<(String, &'static str), Bounds>,
    /// The whole event stream, in order.
    pub(crate) events: Vec<Told>,
    /// Events that consumers dealt with, by stream entry, and whom they were about.
    pub(crate) received: BTreeMap<String, String>,
    /// The upstream's bill.
    pub(crate) creations: Vec<Creation>,
    /// How the upstream's tasks ended.
    pub(crate) tasks: BTreeMap<String, TaskSeen>,
    /// The ledger's records of jobs that were asked for.
    pub(crate) records: BTreeMap<String, Kept>,
    /// What lies in the private structures after quiescence, by key. Nothing should.
    pub(crate) leftovers: BTreeMap<String, u64>,
    /// Events that were in the stream, reached no consumer and are gone: the job, by stream entry.
    pub(crate) vanished: BTreeMap<String, String>,
    /// Every key of Redis after quiescence.
    pub(crate) keys: BTreeMap<String, KeySeen>,
    /// Jobs that the sweeper will find when their time has passed.
    pub(crate) swept_in_time: BTreeSet<String>,
    /// What Redis held before the first job.
    pub(crate) memory_before_bytes: u64,
    /// What it holds after the last, finished jobs included.
    pub(crate) memory_after_bytes: u64,
    /// What is left of that without the finished jobs.
    pub(crate) memory_without_jobs_bytes: u64,
    /// When arrivals could not be timed, from and to, Unix milliseconds: a frozen worker was thawed and sent what it had in
    /// its hands, or the run itself had to wait for the machine and saw late what came in time.
    pub(crate) untimed_ms: Vec<(u64, u64)>,
    /// When requests arrived upstream.
    pub(crate) arrivals: Arrivals,
    /// How often submits were answered in which way.
    pub(crate) answers: BTreeMap<String, u64>,
    /// What the workers were told to keep.
    pub(crate) limits: Limits,
    /// What the preset promises beside the invariants.
    pub(crate) promises: Promises,
    /// Workers that ended without having been asked to, with their last words.
    pub(crate) deserters: Vec<String>,
}

/// A job as its producer asked for it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Asked {
    /// What has to come back.
    pub(crate) state: String,
    /// Whether paying twice is allowed when nobody can know.
    pub(crate) may_resubmit: bool,
    /// When it has to be over, counted from the moment that it came, in milliseconds.
    pub(crate) deadline_ms: u64,
    /// Whether Redis said that it took the job. If not, it may exist even so.
    pub(crate) is_certain: bool,
    /// The job that has to complete before this one exists.
    pub(crate) follows: Option<String>,
}

/// How often something has to happen.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Bounds {
    /// Not less often.
    pub(crate) least: u32,
    /// Not more often.
    pub(crate) most: u32,
}

/// One event, as it lies in the stream.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Told {
    pub(crate) entry: String,
    /// `completed`, `failed`, `cancelled` or `rejected`.
    pub(crate) outcome: String,
    pub(crate) job: String,
    pub(crate) state: String,
    pub(crate) task: String,
    pub(crate) code: String,
    pub(crate) image_url: String,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) possible_duplicate: bool,
    pub(crate) adopted: bool,
    /// Unix milliseconds by Redis's clock.
    pub(crate) enqueued_ms: u64,
    /// The stream entry's time, Unix milliseconds by Redis's clock.
    pub(crate) published_ms: u64,
}

/// How a task looks to the upstream itself.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TaskSeen {
    pub(crate) status: String,
    pub(crate) image_url: String,
    /// When it ended, Unix milliseconds; 0 while it is open.
    pub(crate) finished_ms: u64,
}

/// A key of Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KeySeen {
    /// Whether it goes by itself.
    pub(crate) expires: bool,
    /// How many entries it has, where that counts.
    pub(crate) length: u64,
}

/// The ledger's record of a job.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Kept {
    pub(crate) phase: String,
    pub(crate) fence: u64,
    /// When (Unix milliseconds), under which fence, into which phase.
    pub(crate) timeline: Vec<(u64, u64, String)>,
}

/// What the workers were told to keep; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Limits {
    /// Submits in any second.
    pub(crate) submits_per_second: u32,
    /// Polls in any second, a list of many tasks counted once.
    pub(crate) polls_per_second: u32,
    /// Tasks open upstream.
    pub(crate) max_open: u32,
    /// How much later than its deadline a job may end: faults take their time.
    pub(crate) deadline_slack_ms: u64,
}

/// What a preset promises beside the invariants.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Promises {
    /// All events are there no later than this, Unix milliseconds; 0 is no such promise.
    pub(crate) finished_by_ms: u64,
    /// How long each worker took to end when it was asked to, in milliseconds.
    pub(crate) exits_ms: Vec<u64>,
    /// How long it may take; 0 is no such promise.
    pub(crate) longest_exit_ms: u64,
    /// Whether no submit may end in doubt.
    pub(crate) knows_everything: bool,
}

impl History {
    /// Whether a job must have ended: Redis took it, or the one that it follows has completed.
    pub(crate) fn is_expected(&self, id: &str, asked: &Asked) -> bool {
        match &asked.follows {
            None => asked.is_certain,
            Some(parent) => self.terminal_events(parent).any(|event| event.outcome == "completed" && event.job != *id),
        }
    }

    /// The terminal events of a job: those that do not reject another entry with its id.
    pub(crate) fn terminal_events<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Told> {
        self.events.iter().filter(move |event| event.job == id && event.outcome != "rejected")
    }

    /// The terminal events by job, for those who look at all of them.
    pub(crate) fn events_by_job(&self) -> BTreeMap<&str, Vec<&Told>> {
        let mut by_job: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.outcome != "rejected") {
            by_job.entry(&event.job).or_default().push(event);
        }
        by_job
    }

    /// The bill by job.
    pub(crate) fn creations_by_job(&self) -> BTreeMap<&str, Vec<&Creation>> {
        let mut by_job: BTreeMap<&str, Vec<&Creation>> = BTreeMap::new();
        for creation in &self.creations {
            if let Some(job) = job_of(creation) {
                by_job.entry(job).or_default().push(creation);
            }
        }
        by_job
    }
}

/// The prompt by which the bill tells a job.
pub(crate) fn prompt_of(job: &str) -> String {
    format!("a lighthouse #{job}# in a storm")
}

/// The job that a creation was made for: its id stands in the prompt, in mjq's token, or in front of the state.
pub(crate) fn job_of(creation: &Creation) -> Option<&str> {
    if creation.custom_id.is_none()
        && let Some(job) = creation.prompt.split('#').nth(1)
    {
        return Some(job);
    }
    let state = creation.state.as_deref()?;
    match token_in(state) {
        Some((job, _)) => Some(job),
        None => state.split_whitespace().next(),
    }
}

/// The attempt that a creation was made by, when mjq's token tells it.
pub(crate) fn attempt_of(creation: &Creation) -> Option<&str> {
    token_in(creation.state.as_deref()?).map(|(_, attempt)| attempt)
}

/// The job and the attempt in mjq's token: `mjq:<queue>:<job>:<attempt>:<when the job came>`.
fn token_in(state: &str) -> Option<(&str, &str)> {
    let (_queue, token) = state.strip_prefix("mjq:")?.split_once(':')?;
    let (token, _came) = token.rsplit_once(':')?;
    token.rsplit_once(':')
}
