//! The transition function: the one place that decides what an observation means for a job.
//!
//! This file has the table. The decisions for its pairs are in `submit`, `poll` and `unknown`, by what was observed.

mod poll;
mod submit;
mod unknown;

use std::time::Duration;

use mjq_producer::contract::{Code, EventType, TaskId};

use self::submit::{INPUT_LOST, INPUT_REFUSED};
use super::{Ending, Outlook, Pace, Phase, Policy, Record, observation::Observation};

/// What [`next`] may know besides the record and the observation.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The present time by Redis's clock, in Unix milliseconds.
    pub now_ms: u64,
    /// When the step was claimed, by Redis's clock, in Unix milliseconds.
    pub claimed_ms: u64,
    /// When the step was granted its place under the rate of submits, by Redis's clock, in Unix milliseconds; 0 if it
    /// has none.
    pub place_ms: u64,
    /// 0 to 1; spreads delays.
    pub jitter: f64,
    /// The fence of the claim under which the step was made.
    pub fence: u64,
    /// How often a lease of this job ran out, up to this claim.
    pub reclaims: u32,
    /// How long tasks of this job's class lately ran.
    pub pace: Option<&'a Pace>,
    /// When this pod last saw the upstream take a job, in Unix milliseconds; 0 is never.
    pub last_accepted_ms: u64,
    /// When this pod last saw the upstream show a task, in Unix milliseconds; 0 is never.
    pub last_shown_ms: u64,
    /// How late polls are at present, over all pods.
    pub polls_late: Duration,
    /// The settings.
    pub policy: &'a Policy,
}

/// What becomes of a job.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The record from now on.
    pub record: Record,
    /// Its next step, or its end.
    pub next: Next,
    /// What the step told about the upstream as a whole.
    pub pressure: Pressure,
}

/// A job's next step, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The job is submitted (again) after this delay.
    Submit(Duration),
    /// The job is submitted when its parent has ended, or after this delay at the latest.
    AfterParent(Duration),
    /// The task is polled, or looked for, after this delay.
    Poll(Duration),
    /// The job has ended.
    End(Ending),
}

/// What a step told about the upstream as a whole, for the limits that all pods share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pressure {
    /// Nothing.
    #[default]
    None,
    /// A submit was not sent: its place under the rate, and its turn as a probe, are free again.
    Unsent {
        /// When the submit was claimed, by Redis's clock, in Unix milliseconds.
        claimed_ms: u64,
        /// When its place was granted; 0 if it has none.
        place_ms: u64,
    },
    /// The upstream took a job.
    Accepted,
    /// The upstream answered something: it is there, and lets us in.
    Up,
    /// The task of a lost submit was found: the upstream had taken the job.
    Found,
    /// The upstream is full, or asks for a pause of this length.
    Saturated(Duration),
    /// The upstream got too many polls, and asks for a pause of this length: no pod claims polls meanwhile.
    Throttled(Duration),
    /// The upstream does not let us in: submits stop, and probes go.
    Down {
        /// When the submit that shows this was claimed, by Redis's clock, in Unix milliseconds.
        claimed_ms: u64,
    },
    /// The upstream is not there, so a probe costs nothing: submits stop, and probes go often.
    Away {
        /// When the submit that shows this was claimed.
        claimed_ms: u64,
    },
    /// The upstream has no such address: submits stop, and probes go as often as for `Away`.
    Misaddressed {
        /// When the submit was claimed.
        claimed_ms: u64,
    },
    /// A submit's answer was lost. If many are lost in a row, the upstream counts as down, too.
    Lost {
        /// When the submit was claimed.
        claimed_ms: u64,
    },
}

impl Pressure {
    /// Whether this comes from a submit that may have made a task.
    #[must_use]
    pub fn may_have_cost(self) -> bool {
        matches!(self, Self::Accepted | Self::Lost { .. })
    }
}

/// An observation that cannot be made of a job in this phase. It is a bug, and leaves the job unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{observation} cannot be observed of a job that is {phase}")]
pub struct Illegal {
    /// The job's phase.
    pub phase: Phase,
    /// The observation's name.
    pub observation: &'static str,
}

/// Decides what `seen` means for the job in `record`.
///
/// # Errors
/// [`Illegal`] for an impossible pair; each is listed below.
pub fn next(record: &Record, seen: &Observation, at: Circumstances<'_>) -> Result<Transition, Illegal> {
    use Observation as O;
    use Phase as P;
    let mut decision = Decision { record: record.clone(), at, pressure: Pressure::None };
    decision.record.survived_reclaims = at.reclaims;
    let is_put_back = matches!(seen, O::NotBegun | O::TooLate | O::ParentPending | O::ParentNotKnown | O::NoMemory);
    if record.phase == P::Submitting && !is_put_back {
        // The ledger recorded the intent with the claim; the timeline gets it now.
        decision.record.enter(P::Submitting, at.claimed_ms, at.fence);
    }
    let next = match (record.phase, seen) {
        (P::Submitting, O::Accepted { task, queue_position }) => decision.accepted(task, *queue_position),
        (P::Submitting, O::Refused { busy, retry_after, reason }) => decision.refused(*busy, *retry_after, reason),
        (P::Submitting, O::Denied { code, reason }) => decision.denied(*code, reason),
        (P::Submitting, O::Unsendable { code, reason }) => decision.unsendable(*code, reason),
        (P::Submitting, O::Unanswered { reason, lead }) => decision.unanswered(reason, lead.as_ref()),
        (P::Submitting, O::Found(task)) => decision.found_before_submit(task),
        (P::Submitting, O::NoVerdict { reason, retry_after }) => decision.not_told_before_submit(reason, *retry_after),
        (P::Submitting, O::Missing) => decision.missing_before_submit(),
        (P::Submitting, O::WorkerDied) => decision.left_unknown("the worker died between intent and answer"),
        (P::Submitting, O::ParentPending) => decision.parent_pending(),
        (P::Submitting, O::ParentNotKnown) => decision.parent_not_known(),
        (P::Submitting, O::NoMemory) => decision.no_memory(),
        (P::Submitting, O::TooLate) => decision.too_late(),
        (P::Submitting | P::Queued, O::NotBegun) => decision.not_begun(),
        (P::Submitting | P::Queued, O::DeadlinePassed) => decision.end_at_deadline(),
        (P::Submitting | P::Queued, O::CancelRequested) => decision.cancelled(),
        (P::Submitting | P::Queued, O::Poisoned) => decision.poisoned(),

        (P::Held, O::InputGiven(inputs)) => decision.input_given(*inputs),
        (P::Polling | P::Held, O::Running(task)) => decision.running(task),
        (P::Polling | P::Held, O::Succeeded(task)) => decision.succeeded(task),
        (P::Polling | P::Held, O::TaskFailed(task, class)) => decision.task_failed(task, *class),
        (P::Polling | P::Held, O::WaitsForInput(task)) => decision.waits_for_input(task),
        (P::Polling | P::Held, O::Missing) => decision.missing(),
        (P::Polling | P::Held, O::NoVerdict { reason, retry_after }) => decision.no_verdict(reason, *retry_after),
        (P::Polling | P::Held, O::Stranger { id, .. }) => decision.stranger(id, seen.reason()),
        (P::Polling | P::Held, O::NotBegun) => decision.not_polled(),
        (P::Polling | P::Held, O::DeadlinePassed) => decision.end_at_deadline(),
        (P::Polling | P::Held, O::CancelRequested) => decision.cancelled(),
        (P::Polling | P::Held, O::Poisoned) => decision.poisoned(),

        (P::Unknown, O::Found(task)) => decision.found_after_all(task),
        (P::Unknown, O::NotFound) => decision.still_unknown(),
        (P::Unknown, O::NoVerdict { retry_after, .. }) => decision.not_told(*retry_after),
        (P::Unknown, O::NotBegun) => decision.not_looked_for(),
        (P::Unknown, O::DeadlinePassed) => decision.give_up_unknown(),
        (P::Unknown, O::Poisoned) => decision.poisoned(),
        (P::Unknown, O::CancelRequested) => decision.cancelled(),

        // Impossible pairs. Each is listed, so that the compiler asks for a decision on each new phase or observation.
        (P::Polling | P::Held, O::Found(_) | O::NotFound)
        | (P::Queued | P::Submitting | P::Polling | P::Unknown, O::InputGiven(_))
        | (
            P::Queued | P::Polling | P::Held | P::Unknown,
            O::Accepted { .. }
            | O::Refused { .. }
            | O::Denied { .. }
            | O::Unsendable { .. }
            | O::Unanswered { .. }
            | O::WorkerDied
            | O::ParentPending
            | O::ParentNotKnown
            | O::NoMemory
            | O::TooLate,
        )
        | (P::Queued | P::Submitting | P::Unknown, O::Stranger { .. })
        | (
            P::Queued | P::Submitting,
            O::Running(_) | O::Succeeded(_) | O::TaskFailed(..) | O::WaitsForInput(_) | O::NotFound,
        )
        | (P::Queued, O::Found(_) | O::Missing | O::NoVerdict { .. })
        | (P::Unknown, O::Running(_) | O::Succeeded(_) | O::TaskFailed(..) | O::WaitsForInput(_) | O::Missing)
        | (P::Completed | P::Failed | P::Cancelled, _) => {
            return Err(Illegal { phase: record.phase, observation: seen.name() });
        }
    };
    Ok(decision.finish(next))
}

/// A transition in the making.
struct Decision<'a> {
    record: Record,
    at: Circumstances<'a>,
    pressure: Pressure,
}

impl Decision<'_> {
    fn count_attempt(&mut self) {
        self.record.attempts += 1;
        // The upstream may have taken the lost attempt before, too.
        self.record.possible_duplicate |= self.record.unknown_ms > 0;
    }

    fn begin_polling(&mut self, task: &TaskId) {
        let record = &mut self.record;
        record.task = Some(task.clone());
        record.accepted_ms = self.at.now_ms;
        (record.refusals, record.refused_ms, record.polls_refused_ms) = (0, 0, 0);
        record.missing = None;
        record.lead = None;
        record.reason.clear();
        record.status.clear();
        record.progress = 0;
        record.span = None;
        // A task with no other before it runs at once.
        record.started_ms = if record.queue_position == 0 { self.at.now_ms } else { 0 };
        self.enter(Phase::Polling);
    }

    /// The pressure of a submit that was not sent.
    fn unsent(&self) -> Pressure {
        Pressure::Unsent { claimed_ms: self.at.claimed_ms, place_ms: self.at.place_ms }
    }

    fn outlook(&self) -> Outlook<'_> {
        let Circumstances { pace, polls_late, jitter, .. } = self.at;
        Outlook { pace, polls_late, jitter }
    }

    fn count_missing(&mut self) {
        let (count, first_ms) = self.record.missing.unwrap_or((0, self.at.now_ms));
        self.record.missing = Some((count + 1, first_ms));
    }

    fn may_wait_for_last_poll(&self) -> bool {
        self.at.now_ms < self.record.deadline_ms.saturating_add(Policy::LAST_POLL.as_millis() as u64)
    }

    /// Obeys a pause that the upstream asks for after a poll. The pause concerns all polls. But if the upstream has
    /// shown another task since it first refused this one, it concerns only polls of this task.
    fn leave_alone(&mut self, retry_after: Option<Duration>) {
        /// One answer must not stop all polls for longer: deadlines go on.
        const LONGEST: Duration = Duration::from_secs(120);
        let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) else { return };
        if self.record.polls_refused_ms == 0 {
            self.record.polls_refused_ms = self.at.now_ms;
        }
        if self.at.last_shown_ms <= self.record.polls_refused_ms {
            self.pressure = Pressure::Throttled(pause.min(LONGEST));
        }
    }

    fn cancelled(&mut self) -> Next {
        "cancelled on request".clone_into(&mut self.record.reason);
        self.end(Phase::Cancelled, Code::Cancelled)
    }

    fn poisoned(&mut self) -> Next {
        // For the payer it matters more that the upstream may have taken the job.
        let code = if self.record.phase == Phase::Unknown { Code::SubmitUnknown } else { Code::Poison };
        "workers died on this job again and again".clone_into(&mut self.record.reason);
        self.end(Phase::Failed, code)
    }

    fn end_at_deadline(&mut self) -> Next {
        if self.record.phase == Phase::Held {
            // The reason must say why the given inputs did not help.
            let about_input = |note: &&str| [INPUT_REFUSED, INPUT_LOST].iter().any(|begin| note.starts_with(begin));
            let notes: Vec<&str> = self.record.notes.iter().map(|note| note.1.as_str()).collect();
            let why = notes.iter().rev().find(|note| about_input(note)).map(|note| format!("; {note}"));
            self.record.reason = format!("the task waited for input until the deadline{}", why.unwrap_or_default());
            return self.end(Phase::Failed, Code::NeedsInput);
        }
        let record = &mut self.record;
        // If the upstream never took the job, nothing was charged: the reason distinguishes a long line from a slow
        // upstream.
        let was_taken = record.attempts > 0 || record.task.is_some() || record.unknown_ms > 0;
        match (was_taken, record.reason.is_empty()) {
            (true, false) => {}
            (true, true) => "the deadline passed".clone_into(&mut record.reason),
            (false, true) => "the deadline passed before the job was submitted".clone_into(&mut record.reason),
            (false, false) => record.reason.insert_str(0, "the deadline passed before the upstream took the job: "),
        }
        self.end(Phase::Failed, Code::DeadlineExceeded)
    }

    fn poll_again(&mut self, delay: impl Fn(&Self) -> Duration) -> Next {
        if self.is_overdue() { self.end_at_deadline() } else { Next::Poll(delay(self)) }
    }

    fn is_overdue(&self) -> bool {
        self.at.now_ms >= self.record.deadline_ms
    }

    fn enter(&mut self, phase: Phase) {
        self.record.enter(phase, self.at.now_ms, self.at.fence);
    }

    fn end(&mut self, phase: Phase, mut code: Code) -> Next {
        self.enter(phase);
        self.record.span = None;
        let fate_is_unknown = self.record.unknown_ms > 0 && self.record.task.is_none();
        if fate_is_unknown && code != Code::SubmitUnknown {
            // Whatever ended the job, an earlier submit may have been taken and billed.
            self.record.reason.push_str("; an earlier submit's answer was lost");
            if phase == Phase::Failed {
                code = Code::SubmitUnknown;
            }
        }
        let event_type = match phase {
            Phase::Completed => EventType::Completed,
            Phase::Cancelled => EventType::Cancelled,
            _ => EventType::Failed,
        };
        Next::End(Ending { event_type, code })
    }

    fn finish(mut self, next: Next) -> Transition {
        // No step is planned beyond the deadline: the step at the deadline ends the job.
        let left = Duration::from_millis(self.record.deadline_ms.saturating_sub(self.at.now_ms));
        let next = match next {
            Next::Submit(_) | Next::AfterParent(_) if self.is_overdue() => self.end_at_deadline(),
            Next::Submit(delay) => Next::Submit(delay.min(left)),
            Next::AfterParent(delay) => Next::AfterParent(delay.min(left)),
            Next::Poll(delay) => Next::Poll(delay.min(left)),
            end @ Next::End(_) => end,
        };
        Transition { record: self.record, next, pressure: self.pressure }
    }
}
