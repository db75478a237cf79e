//! One job, as JSON, with pictures hidden.

use mjq_producer::contract::{
    Code, Event, EventData, EventType, FollowUp, JobId, Kind, OnCapacity, OnUnknown, Options, Priority, Request, TaskId,
};
use serde::Serialize;

use crate::{
    ledger::{JobView, Place},
    lifecycle::{HistoryLine, LateSuccess, Mode, Phase},
};

/// Everything about one job. Times are Unix milliseconds by Redis's clock; 0 is "not yet".
#[derive(Debug, Serialize)]
pub(crate) struct JobBody {
    id: JobId,
    now_ms: u64,
    kind: Kind,
    phase: Phase,
    is_ended: bool,
    is_cancel_requested: bool,
    priority: Priority,
    mode: Mode,
    on_unknown: OnUnknown,
    on_capacity: OnCapacity,
    task: Option<TaskId>,
    /// The earlier tasks of the job, which failed or were given up.
    earlier_tasks: Vec<TaskId>,
    /// The upstream's last status.
    status: String,
    progress_percent: u8,
    queue_position: u32,
    attempts: u32,
    max_attempts: u32,
    refusals: u32,
    polls: u32,
    reclaims: u32,
    fence: u64,
    adopted: bool,
    possible_duplicate: bool,
    /// The last problem, in words.
    reason: String,
    enqueued_ms: u64,
    accepted_ms: u64,
    deadline_ms: u64,
    /// The job's place in the ledger, which determines its next step.
    next: Place,
    timeline: Vec<HistoryLine>,
    /// The success of the task after the job had ended without it; null when none was seen.
    late: Option<LateSuccess>,
    follows: Option<JobId>,
    /// The request's body, with pictures hidden; null when it is too large to be shown.
    request: Option<Request>,
    options: Option<Options>,
    then: Vec<FollowUp>,
    job_bytes: u64,
    /// The caller's `state`, verbatim; cut off if it has fewer than `state_bytes`.
    state: Option<String>,
    state_bytes: u64,
    /// How the job ended; null until then, and when its event is no longer kept.
    outcome: Option<OutcomeBody>,
}

#[derive(Debug, Serialize)]
struct OutcomeBody {
    #[serde(rename = "type")]
    event_type: EventType,
    code: Code,
    /// The entry of the event stream.
    entry: Option<String>,
    image_url: String,
    data: EventData,
}

impl JobBody {
    pub(crate) fn of(view: JobView) -> Self {
        let JobView { id, now_ms, phase, record, event_entry: entry, .. } = view;
        let timeline = record.history();
        let outcome =
            |Event { event_type, code, image_url, data, .. }| OutcomeBody { event_type, code, entry, image_url, data };
        let (request, options, then) = match view.job {
            Some(job) => (Some(job.request), Some(job.options), job.then),
            None => (None, None, Vec::new()),
        };
        Self {
            id,
            now_ms,
            kind: record.kind,
            phase,
            is_ended: phase.is_terminal(),
            is_cancel_requested: view.is_cancel_requested,
            priority: record.priority,
            mode: record.mode,
            on_unknown: record.on_unknown,
            on_capacity: record.on_capacity,
            task: record.task,
            earlier_tasks: record.earlier_tasks,
            status: record.status,
            progress_percent: record.progress,
            queue_position: record.queue_position,
            attempts: record.attempts,
            max_attempts: record.max_attempts,
            refusals: record.refusals,
            polls: record.polls,
            reclaims: view.reclaims,
            fence: view.fence,
            adopted: record.adopted,
            possible_duplicate: record.possible_duplicate,
            reason: record.reason,
            enqueued_ms: record.enqueued_ms,
            accepted_ms: record.accepted_ms,
            deadline_ms: record.deadline_ms,
            next: view.place,
            timeline,
            late: record.late,
            follows: record.follows,
            request,
            options,
            then,
            job_bytes: view.job_bytes,
            state: view.state,
            state_bytes: view.state_bytes,
            outcome: view.event.map(outcome),
        }
    }
}
