//! The outcome: the event that tells how a job ended.

use mjq_producer::contract::{Code, Event, EventData, EventType, JobId, Malformed, Timings};
use serde_json::value::RawValue;

use super::{Observation, Record};

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Completed, failed or cancelled.
    pub event_type: EventType,
    /// `ok`, or the reason.
    pub code: Code,
}

/// Makes the one event of an ended job.
///
/// `state` is left empty: the ledger fills in the kept one. `then` are the follow-ups that are enqueued in the same
/// moment.
#[must_use]
pub fn event_of(
    job: &JobId,
    record: &Record,
    ending: Ending,
    seen: &Observation,
    now_ms: u64,
    then: Vec<JobId>,
) -> Event {
    let report = seen.report();
    let is_completed = ending.event_type == EventType::Completed;
    Event {
        event_type: ending.event_type,
        job: job.to_string(),
        kind: record.kind.as_str().to_owned(),
        state: String::new(),
        task: record.task.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: record.status.clone(),
        code: ending.code,
        // A preview is no result, and neither is a picture that the caller sent to be described.
        image_url: report
            .filter(|_| is_completed && record.kind.gives_image())
            .map(|task| task.image_url.clone())
            .unwrap_or_default(),
        data: EventData {
            task: report.and_then(|task| RawValue::from_string(task.raw.as_deref()?.to_owned()).ok()),
            buttons: report.and_then(|task| task.buttons.clone()),
            reason: record.reason.clone(),
            attempts: record.attempts,
            polls: record.polls,
            reclaims: record.survived_reclaims,
            adopted: record.adopted,
            possible_duplicate: record.possible_duplicate,
            earlier_tasks: record.earlier_tasks.iter().map(ToString::to_string).collect(),
            timings: Timings {
                enqueued_ms: record.enqueued_ms,
                accepted_ms: record.accepted_ms,
                finished_ms: now_ms,
                published_ms: now_ms,
            },
            follows: record.follows.clone(),
            then,
        },
    }
}

/// Makes the event of an entry that never became a job; `None` if neither its id nor its state can be read.
///
/// `entry_job` is the stream entry's id, which serves as the job's id if the entry names none.
#[must_use]
pub fn rejection(malformed: &Malformed, entry_job: &JobId, enqueued_ms: u64, now_ms: u64) -> Option<Event> {
    let job = match &malformed.id {
        Some(id) => id.clone(),
        None if malformed.id_is_absent => entry_job.to_string(),
        None => String::new(),
    };
    if job.is_empty() && malformed.state.is_none() {
        return None;
    }
    let kind = malformed.kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default();
    let state = malformed.state.clone().unwrap_or_default();
    Some(rejected(job, kind, state, Code::Malformed, &malformed.reason, enqueued_ms, now_ms))
}

/// Makes the event of an entry whose id belongs to a job with another body.
#[must_use]
pub fn conflict(job: &JobId, kind: &str, state: String, enqueued_ms: u64, now_ms: u64) -> Event {
    let reason = "the id belongs to a job with another body";
    rejected(job.to_string(), kind.to_owned(), state, Code::Conflict, reason, enqueued_ms, now_ms)
}

fn rejected(
    job: String,
    kind: String,
    state: String,
    code: Code,
    reason: &str,
    enqueued_ms: u64,
    now_ms: u64,
) -> Event {
    Event {
        event_type: EventType::Rejected,
        job,
        kind,
        state,
        task: String::new(),
        status: String::new(),
        code,
        image_url: String::new(),
        data: EventData {
            reason: reason.to_owned(),
            timings: Timings { enqueued_ms, accepted_ms: 0, finished_ms: now_ms, published_ms: now_ms },
            ..EventData::default()
        },
    }
}
