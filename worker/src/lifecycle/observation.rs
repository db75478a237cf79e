//! Observations: all facts from outside that the state machine learns.

use std::time::Duration;

use mjq_producer::contract::{Code, TaskId};
use serde_json::value::RawValue;

/// What a step saw.
#[derive(Debug, Clone)]
pub enum Observation {
    // What a submit sees.
    /// The upstream took the job: code 1, 22 or 21 with a task id.
    Accepted {
        /// The upstream's handle.
        task: TaskId,
        /// How many tasks are before this one, if the upstream queued it.
        queue_position: u32,
    },
    /// The upstream did not take the job, but might take it later.
    Refused {
        /// Why the upstream did not take it.
        busy: Busy,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
        /// The upstream's words.
        reason: String,
    },
    /// The upstream did not take the job and never will.
    Denied {
        /// The refusal, as a code.
        code: Code,
        /// The upstream's words.
        reason: String,
    },
    /// The submit can never be made: nothing was sent, so this tells nothing of the upstream.
    Unsendable {
        /// Why not, as a code.
        code: Code,
        /// Why not, in words.
        reason: String,
    },
    /// The request left, and no answer tells whether the upstream took the job.
    Unanswered {
        /// What came instead.
        reason: String,
        /// An id in the answer that may be the new task's: a poll of it will tell.
        lead: Option<TaskId>,
    },
    /// The job that this one acts upon has not ended.
    ParentPending,
    /// The job that this one acts upon is not known yet.
    ParentNotKnown,
    /// The job is large, and the pod has no memory for it while it submits others.
    NoMemory,

    // What a poll sees.
    /// The task goes on.
    Running(TaskReport),
    /// The task has its result.
    Succeeded(TaskReport),
    /// The task failed.
    TaskFailed(TaskReport, FailureClass),
    /// The task waits for input (status MODAL).
    WaitsForInput(TaskReport),
    /// The upstream does not know the task. Also seen before a submit, if a hook had named a task.
    Missing,
    /// The poll told nothing: no answer, or no readable one.
    NoVerdict {
        /// What came instead.
        reason: String,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer to a poll shows a task under another id than was asked for. The task is another job's, or, if the
    /// relay has numbers of its own, the job's own: see [`Alias`](super::Alias).
    Stranger {
        /// The id that the task has there.
        id: TaskId,
        /// The `state` that the task has there; empty if it has none.
        state: String,
        /// What the answer means if the task is the job's own.
        seen: Box<Observation>,
    },
    /// A task was found for a job whose submit's answer was lost.
    Found(TaskId),
    /// No task was found for a job whose submit's answer was lost.
    NotFound,

    // What the engine sees.
    /// The step was claimed but not begun: nothing left this process.
    NotBegun,
    /// The worker that had claimed the submit died: nobody knows whether the request left.
    WorkerDied,
    /// The job's deadline passed while it waited.
    DeadlinePassed,
    /// The deadline is so near that the task could hardly end before it, so nothing was sent.
    TooLate,
    /// Someone asked to cancel the job.
    CancelRequested,
    /// Someone gave the input that the task waits for: the job's n-th input.
    InputGiven(u32),
    /// Workers died on this job more often than is allowed.
    Poisoned,
}

impl Observation {
    const STRANGER: &str = "the answer shows another task";

    /// Whether the observation shows the task that was asked for, in whatever state.
    #[must_use]
    pub fn shows_the_task(&self) -> bool {
        self.report().is_some()
    }

    /// What a poll showed of the task, if it showed the task.
    #[must_use]
    pub fn report(&self) -> Option<&TaskReport> {
        match self {
            Self::Running(task) | Self::Succeeded(task) | Self::TaskFailed(task, _) | Self::WaitsForInput(task) => {
                Some(task)
            }
            _ => None,
        }
    }

    /// Turns a task under another id into what it is until it is recognised: no verdict.
    #[must_use]
    pub fn without_stranger(self) -> Self {
        match self {
            Self::Stranger { .. } => Self::NoVerdict { reason: Self::STRANGER.to_owned(), retry_after: None },
            seen => seen,
        }
    }

    /// The words about a refusal, or about an answer without a verdict; empty if there are none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused { reason, .. }
            | Self::Denied { reason, .. }
            | Self::Unsendable { reason, .. }
            | Self::Unanswered { reason, .. }
            | Self::NoVerdict { reason, .. } => reason,
            Self::Stranger { .. } => Self::STRANGER,
            _ => "",
        }
    }

    /// The observation's name, for logs and for the table of illegal pairs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::Denied { .. } => "denied",
            Self::Unsendable { .. } => "unsendable",
            Self::Unanswered { .. } => "unanswered",
            Self::ParentPending => "parent_pending",
            Self::ParentNotKnown => "parent_not_known",
            Self::NoMemory => "no_memory",
            Self::Running(_) => "running",
            Self::Succeeded(_) => "succeeded",
            Self::TaskFailed(..) => "task_failed",
            Self::WaitsForInput(_) => "waits_for_input",
            Self::Missing => "missing",
            Self::NoVerdict { .. } => "no_verdict",
            Self::Stranger { .. } => "stranger",
            Self::Found(_) => "found",
            Self::NotFound => "not_found",
            Self::NotBegun => "not_begun",
            Self::WorkerDied => "worker_died",
            Self::DeadlinePassed => "deadline_passed",
            Self::TooLate => "too_late",
            Self::CancelRequested => "cancel_requested",
            Self::InputGiven(_) => "input_given",
            Self::Poisoned => "poisoned",
        }
    }
}

/// Why an upstream did not take a job that it might take later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The upstream is full or wants fewer requests: 23, queue full, no account, 429, 503.
    Saturated,
    /// The upstream does not let us in: 401, 403, quota. This stops all submits, and does not end the job.
    Barred,
    /// Nobody answers there: connection refused, no such host, TLS failure.
    Unreachable,
    /// A server answers there, but not for this address: no such route, a redirect, another host.
    Misaddressed,
    /// The upstream answered 22 without a task id: only this 22 is submitted again.
    WithoutId,
    /// The upstream failed inside, and says that it made no task (code 9). Limited like attempts.
    Fault,
}

/// What the upstream shows of a task.
#[derive(Debug, Clone, Default)]
pub struct TaskReport {
    /// `SUCCESS`, `IN_PROGRESS` …, always in capitals, whatever the upstream writes.
    pub status: String,
    /// The progress in percent, 0 to 100; `None` if none can be read.
    pub progress: Option<u8>,
    /// The picture; empty when there is none.
    pub image_url: String,
    /// Why the task failed, in the upstream's words.
    pub fail_reason: String,
    /// The kind of failure, if the task is shown as failed in all but its status. Only for running tasks.
    pub seems_failed: Option<FailureClass>,
    /// The buttons below the result, verbatim.
    pub buttons: Option<Box<RawValue>>,
    /// When the task began to run, by the upstream's clock, Unix milliseconds; 0 if the upstream does not tell.
    pub started_ms: u64,
    /// When the task finished, by the upstream's clock, Unix milliseconds; 0 if the upstream does not tell.
    pub finished_ms: u64,
    /// The whole task object as JSON, verbatim.
    pub raw: Option<Box<str>>,
}

/// Why a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The upstream refused the prompt or a picture, and would refuse it again.
    Banned,
    /// A parameter or link was wrong, and would be wrong again.
    Invalid,
    /// The upstream lacked capacity: a time-out, an internal error, no account. A new task may go through.
    Capacity,
    /// Any other failure; nobody knows whether a new task would succeed.
    Upstream,
}
