//! Observations: every fact that the outside tells the state machine.

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
        /// Tasks before this one, when the upstream queued it.
        queue_position: u32,
    },
    /// The upstream did not take the job, and might later.
    Refused {
        /// Why not.
        busy: Busy,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// Its words.
        reason: String,
    },
    /// The upstream did not take the job and never will.
    Denied {
        /// Which refusal.
        code: Code,
        /// Its words.
        reason: String,
    },
    /// The submit cannot be made and never will be: nothing was sent, so that it tells nothing of the upstream.
    Unsendable {
        /// Why not, as a code.
        code: Code,
        /// And in words.
        reason: String,
    },
    /// The request left and no answer came that tells anything.
    Unanswered {
        /// What came instead.
        reason: String,
        /// The id in it that may be the new task's: a look at it will tell.
        lead: Option<TaskId>,
    },
    /// The job that this one acts upon is open.
    ParentPending,
    /// The job that this one acts upon is not known yet.
    ParentNotKnown,
    /// The job is large, and the pod has no memory for it while others are being submitted.
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
    /// The upstream does not know the task that it was asked for. Also seen before a submit, when a hook had named a task.
    Missing,
    /// The poll told nothing: no answer, or none that can be read.
    NoVerdict {
        /// What came instead.
        reason: String,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer to a look shows a task under another id than was asked for. It is somebody else's, or, where a relay
    /// has numbers of its own, the very one: see [`Alias`](super::Alias).
    Stranger {
        /// The id that it has there.
        id: TaskId,
        /// The `state` that it has there; empty when it has none.
        state: String,
        /// What it would say of the job's task.
        seen: Box<Observation>,
    },
    /// A task was found for a job whose submit's answer was lost.
    Found(TaskId),
    /// No task was found for a job whose submit's answer was lost.
    NotFound,

    // What the engine sees.
    /// The step was claimed and not begun: nothing left this process.
    NotBegun,
    /// The worker that had claimed the submit died: whether the request left, nobody knows.
    WorkerDied,
    /// The job's deadline passed while it waited.
    DeadlinePassed,
    /// Someone asked to cancel the job.
    CancelRequested,
    /// Someone gave the input that the task waits for: the job's n-th.
    InputGiven(u32),
    /// Workers died on this job more often than is allowed.
    Poisoned,
}

impl Observation {
    const STRANGER: &str = "the answer shows another task";

    /// Whether it shows the task that was asked for, however that fares.
    #[must_use]
    pub fn shows_the_task(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Succeeded(_) | Self::TaskFailed(..) | Self::WaitsForInput(_))
    }

    /// Takes a task under another id for what it is at first: no verdict.
    #[must_use]
    pub fn without_stranger(self) -> Self {
        match self {
            Self::Stranger { .. } => Self::NoVerdict { reason: Self::STRANGER.to_owned(), retry_after: None },
            seen => seen,
        }
    }

    /// The upstream's words about a refusal or about an answer without a verdict; empty where there are none.
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
            Self::CancelRequested => "cancel_requested",
            Self::InputGiven(_) => "input_given",
            Self::Poisoned => "poisoned",
        }
    }
}

/// Why an upstream did not take a job that it might take later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It is full or wants fewer requests: 23, queue full, no account, 429, 503.
    Saturated,
    /// It does not let us in: 401, 403, quota. Stops the upstream, not the job.
    Barred,
    /// Nobody answers there: connection refused, no such host, TLS failure.
    Unreachable,
    /// A server answers there, but not for this address: no such route, a redirect, another host.
    Misaddressed,
    /// It answered 22 without a task id: the one 22 that is submitted again.
    WithoutId,
    /// It failed inside, and says that it made no task (code 9). Limited like attempts.
    Fault,
}

/// What the upstream shows of a task.
#[derive(Debug, Clone, Default)]
pub struct TaskReport {
    /// `SUCCESS`, `IN_PROGRESS` …, in capitals whatever the upstream writes.
    pub status: String,
    /// Percent, 0 to 100; `None` when there is none that can be read.
    pub progress: Option<u8>,
    /// The picture; empty when there is none.
    pub image_url: String,
    /// Why it failed, in the upstream's words.
    pub fail_reason: String,
    /// What kind of failure it is, where the task is shown as failed in all but its status: of a running task only.
    pub seems_failed: Option<FailureClass>,
    /// The buttons below the result, verbatim.
    pub buttons: Option<Box<RawValue>>,
    /// The upstream's clock when the task began to run, Unix milliseconds; 0 when it does not tell.
    pub started_ms: u64,
    /// The upstream's clock when the task finished, Unix milliseconds; 0 when it does not tell.
    pub finished_ms: u64,
    /// The whole task object, verbatim: JSON.
    pub raw: Option<Box<str>>,
}

/// What kind of failure a failed task met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The prompt or a picture was refused. The same one would be refused again.
    Banned,
    /// A parameter or link was wrong. The same one would be wrong again.
    Invalid,
    /// The upstream lacked capacity: a time-out, an internal error, no account. A new task may go through.
    Capacity,
    /// Anything else; whether a new task would fare better, nobody knows.
    Upstream,
}
