//! The log of ends: tells how a job ended, in counters and in the log.

use mjq_producer::contract::{Code, Event};
use tracing::{info, warn};

use crate::lifecycle::Observation;

/// How a job ended; told once the end is written.
pub(super) struct EndLog {
    job: String,
    outcome: &'static str,
    code: &'static str,
    attempts: u32,
    polls: u32,
    task: String,
    /// Why the job has no result, in words.
    reason: String,
    /// When the task ended, by the upstream's clock, if it succeeded and its time is known.
    finished_ms: Option<u64>,
}

impl EndLog {
    /// The end of this event's job; `seen` is the last observation.
    pub(super) fn of(event: &Event, seen: &Observation) -> Self {
        let finished_ms = match seen {
            Observation::Succeeded(task) => Some(task.finished_ms),
            _ => None,
        };
        Self {
            job: event.job.clone(),
            outcome: event.event_type.as_str(),
            code: event.code.as_str(),
            attempts: event.data.attempts,
            polls: event.data.polls,
            task: event.task.clone(),
            reason: event.data.reason.clone(),
            finished_ms,
        }
    }

    /// Counts and logs the end. Two ends are warnings, because an operator has to look: the task of a lost submit may
    /// have been billed, and a poisonous job has killed workers.
    pub(super) fn tell(&self, now_ms: u64) {
        let Self { job, outcome, code, attempts, polls, task, reason, finished_ms } = self;
        metrics::counter!("mjq_jobs_finished_total", "outcome" => *outcome, "code" => *code).increment(1);
        // The difference is between two clocks, so an upstream whose clock is wrong shows as a strange figure, not as a
        // wrong job.
        if let Some(finished_ms) = finished_ms.filter(|at| (1..=now_ms).contains(at)) {
            metrics::histogram!("mjq_finish_to_event_seconds").record((now_ms - finished_ms) as f64 / 1000.0);
        }
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        if [Code::SubmitUnknown, Code::Poison].map(Code::as_str).contains(code) {
            warn!(job.id = %job, outcome, code, task, attempts, polls, "job {job} {outcome}: {code}{why}");
        } else {
            info!(job.id = %job, outcome, code, task, attempts, polls, "job {job} {outcome}: {code}{why}");
        }
    }
}
