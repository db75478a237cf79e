//! The transition function: the one place that decides what an observation means for a job.

use std::time::Duration;

use mjq_producer::contract::{Code, EventType, OnCapacity, OnUnknown, TaskId};

use super::{
    Ending, Outlook, Pace, Phase, Policy, Record, Span,
    observation::{Busy, FailureClass, Observation, TaskReport},
};

/// What [`next`] may know besides the record and the observation.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Now, by Redis's clock, in Unix milliseconds.
    pub now_ms: u64,
    /// The step was claimed, by Redis's clock, in Unix milliseconds.
    pub claimed_ms: u64,
    /// 0 to 1; spreads delays.
    pub jitter: f64,
    /// The claim that the step was made under.
    pub fence: u64,
    /// Times that a lease of this job ran out, up to this claim.
    pub reclaims: u32,
    /// How long tasks of this job's class lately ran.
    pub pace: Option<&'a Pace>,
    /// How late looks are made at present, over all pods.
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
    /// It is submitted (again) after this delay.
    Submit(Duration),
    /// It is looked at after this delay.
    Poll(Duration),
    /// It has ended.
    End(Ending),
}

/// What a step told about the upstream as a whole, for the limits that all pods share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pressure {
    /// Nothing.
    #[default]
    None,
    /// A submit that was claimed at this time was not sent: its place under the rate, and its turn as a probe, are
    /// free again.
    Unsent(u64),
    /// It took a job.
    Accepted,
    /// It answered, whatever it said: it is there, and lets us in.
    Up,
    /// It is full, or asks to be left alone for this long.
    Saturated(Duration),
    /// It was looked at too often, and asks to be left alone for this long: no look of any job is claimed.
    Throttled(Duration),
    /// It does not let us in: stop submitting, and probe.
    Down,
    /// It is not there, so that a probe costs nothing: stop submitting, and probe often.
    Away,
    /// A submit's answer was lost. Many of these in a row are an upstream that is down, too.
    Lost,
}

impl Pressure {
    /// Whether it tells of a submit that may have made a task.
    #[must_use]
    pub fn may_have_cost(self) -> bool {
        matches!(self, Self::Accepted | Self::Lost)
    }
}

/// An observation that cannot be made of a job in this phase. It is a bug, and changes nothing.
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
/// [`Illegal`] for a pair that cannot be; each such pair is listed below.
pub fn next(record: &Record, seen: &Observation, at: Circumstances<'_>) -> Result<Transition, Illegal> {
    use Observation as O;
    use Phase as P;
    let mut job = Step { record: record.clone(), at, pressure: Pressure::None };
    job.record.survived_reclaims = at.reclaims;
    if record.phase == P::Submitting && !matches!(seen, O::NotBegun | O::ParentPending) {
        // The ledger wrote the intent down with the claim; the timeline gets it now.
        job.record.enter(P::Submitting, at.claimed_ms, at.fence);
    }
    let next = match (record.phase, seen) {
        (P::Submitting, O::Accepted { task, queue_position }) => job.accepted(task, *queue_position),
        (P::Submitting, O::Refused { busy, retry_after, reason }) => job.refused(*busy, *retry_after, reason),
        (P::Submitting, O::Denied { code, reason }) => job.denied(*code, reason),
        (P::Submitting, O::Unsendable { code, reason }) => job.unsendable(*code, reason),
        (P::Submitting, O::Unanswered { reason }) => job.lost(reason),
        (P::Submitting, O::Found(task)) => job.found_before_submit(task),
        (P::Submitting, O::NoVerdict { reason, retry_after }) => job.not_told_before_submit(reason, *retry_after),
        (P::Submitting, O::Missing) => job.missing_before_submit(),
        (P::Submitting, O::WorkerDied) => job.unanswered("the worker died between intent and answer"),
        (P::Submitting, O::ParentPending) => job.parent_pending(),
        (P::Submitting | P::Queued, O::NotBegun) => job.not_begun(),
        (P::Submitting | P::Queued, O::DeadlinePassed) => job.late(),
        (P::Submitting | P::Queued, O::CancelRequested) => job.cancelled(),
        (P::Submitting | P::Queued, O::Poisoned) => job.poisoned(),

        (P::Held, O::InputGiven(inputs)) => job.input_given(*inputs),
        (P::Polling | P::Held, O::Running(task)) => job.running(task),
        (P::Polling | P::Held, O::Succeeded(task)) => job.succeeded(task),
        (P::Polling | P::Held, O::TaskFailed(task, class)) => job.task_failed(task, *class),
        (P::Polling | P::Held, O::WaitsForInput(task)) => job.waits_for_input(task),
        (P::Polling | P::Held, O::Missing) => job.missing(),
        (P::Polling | P::Held, O::NoVerdict { reason, retry_after }) => job.no_verdict(reason, *retry_after),
        (P::Polling | P::Held, O::NotBegun) => job.not_looked_at(),
        (P::Polling | P::Held, O::DeadlinePassed) => job.late(),
        (P::Polling | P::Held, O::CancelRequested) => job.cancelled(),
        (P::Polling | P::Held, O::Poisoned) => job.poisoned(),

        (P::Unknown, O::Found(task)) => job.found(task),
        (P::Unknown, O::NotFound) => job.still_unknown(),
        (P::Unknown, O::NoVerdict { retry_after, .. }) => job.not_told(*retry_after),
        (P::Unknown, O::NotBegun) => job.not_looked_for(),
        (P::Unknown, O::DeadlinePassed) => job.give_up_unknown(),
        (P::Unknown, O::Poisoned) => job.poisoned(),
        (P::Unknown, O::CancelRequested) => job.cancelled(),

        // What no step can see: each pair is listed, so that a new phase or observation has to be thought about.
        (P::Polling | P::Held, O::Found(_) | O::NotFound)
        | (P::Queued | P::Submitting | P::Polling | P::Unknown, O::InputGiven(_))
        | (
            P::Polling | P::Held | P::Unknown,
            O::Accepted { .. }
            | O::Refused { .. }
            | O::Denied { .. }
            | O::Unsendable { .. }
            | O::Unanswered { .. }
            | O::WorkerDied
            | O::ParentPending,
        )
        | (
            P::Queued,
            O::Accepted { .. }
            | O::Refused { .. }
            | O::Denied { .. }
            | O::Unsendable { .. }
            | O::Unanswered { .. }
            | O::WorkerDied
            | O::ParentPending,
        )
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
    Ok(job.finish(next))
}

/// A transition in the making.
struct Step<'a> {
    record: Record,
    at: Circumstances<'a>,
    pressure: Pressure,
}

impl Step<'_> {
    /// The longest delay while the upstream cannot be reached.
    const AWAY: Duration = Duration::from_secs(5);
    /// How long after its deadline a job waits for its last look, where nobody may look.
    const LAST_LOOK: Duration = Duration::from_secs(10);

    fn accepted(&mut self, task: &TaskId, queue_position: u32) -> Next {
        self.pressure = Pressure::Accepted;
        if !std::mem::take(&mut self.record.is_answering) {
            self.count_attempt();
        }
        self.record.queue_position = queue_position;
        self.begin_polling(task);
        Next::Poll(self.at.policy.first_poll(&self.record, self.outlook()))
    }

    fn count_attempt(&mut self) {
        self.record.attempts += 1;
        // The upstream may have taken the attempt before, too.
        self.record.possible_duplicate |= self.record.unknown_ms > 0;
    }

    fn begin_polling(&mut self, task: &TaskId) {
        let record = &mut self.record;
        record.task = Some(task.clone());
        record.accepted_ms = self.at.now_ms;
        record.refusals = 0;
        record.missing = None;
        record.reason.clear();
        record.status.clear();
        record.progress = 0;
        record.span = None;
        // A task that nobody waits before runs at once.
        record.started_ms = if record.queue_position == 0 { self.at.now_ms } else { 0 };
        self.enter(Phase::Polling);
    }

    fn refused(&mut self, busy: Busy, retry_after: Option<Duration>, reason: &str) -> Next {
        if busy == Busy::WithoutId && self.record.is_answering {
            // It took the input of a task that is known.
            return self.unanswered(reason);
        }
        reason.clone_into(&mut self.record.reason);
        let mut delay = self.at.policy.after_refusal(self.record.refusals, retry_after, self.at.jitter);
        self.record.refusals += 1;
        match busy {
            Busy::Saturated | Busy::WithoutId => self.pressure = self.saturated(retry_after),
            Busy::Barred => self.pressure = Pressure::Down,
            Busy::Unreachable => {
                self.pressure = Pressure::Away;
                // The breaker sees to it that there are few; this one is not to be late when the upstream is back.
                delay = delay.min(Self::AWAY.max(retry_after.unwrap_or_default()));
            }
            Busy::Fault => {
                self.pressure = self.saturated(retry_after);
                delay = self.at.policy.after_fault(self.record.faults, retry_after, self.at.jitter);
                self.record.faults += 1;
                if self.record.attempts + self.record.faults >= self.record.max_attempts {
                    return self.end(Phase::Failed, Code::AttemptsExhausted);
                }
            }
        }
        self.enter(Phase::Queued);
        Next::Submit(delay)
    }

    /// All submits are made slower; and none is made for as long as the upstream asks, within reason.
    fn saturated(&self, retry_after: Option<Duration>) -> Pressure {
        /// One answer must not stop everybody for longer. The job that it was given to waits for as long as it says.
        const LONGEST: Duration = Duration::from_secs(600);
        Pressure::Saturated(retry_after.unwrap_or_default().min(LONGEST))
    }

    fn denied(&mut self, code: Code, reason: &str) -> Next {
        self.pressure = Pressure::Up;
        self.hopeless(code, reason)
    }

    fn unsendable(&mut self, code: Code, reason: &str) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        self.hopeless(code, reason)
    }

    /// To submit the same again would come to the same.
    fn hopeless(&mut self, code: Code, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if self.record.is_answering && code != Code::ParentGone {
            // The input was wrong, not the task: it still waits for a better one.
            self.record.is_answering = false;
            self.enter(Phase::Held);
            return Next::Poll(self.at.policy.poll_max);
        }
        self.end(Phase::Failed, code)
    }

    fn parent_pending(&mut self) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        self.enter(Phase::Queued);
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.enqueued_ms));
        Next::Submit((waited / 8).clamp(self.at.policy.poll_min, self.at.policy.poll_max))
    }

    fn not_begun(&mut self) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        self.enter(Phase::Queued);
        Next::Submit(Duration::ZERO)
    }

    fn input_given(&mut self, inputs: u32) -> Next {
        self.record.inputs_used = inputs;
        self.record.is_answering = true;
        self.enter(Phase::Queued);
        Next::Submit(Duration::ZERO)
    }

    fn lost(&mut self, reason: &str) -> Next {
        self.pressure = Pressure::Lost;
        self.unanswered(reason)
    }

    fn unanswered(&mut self, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if std::mem::take(&mut self.record.is_answering) {
            // The task is known: whether it got its input, a look at it will tell.
            self.enter(Phase::Polling);
            return Next::Poll(self.at.policy.poll_min);
        }
        self.count_attempt();
        self.record.unknown_ms = self.at.now_ms;
        self.enter(Phase::Unknown);
        self.still_unknown()
    }

    fn still_unknown(&mut self) -> Next {
        let policy = self.at.policy;
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.unknown_ms));
        if policy.can_adopt(&self.record) && waited < policy.unknown_grace && !self.is_late() {
            return Next::Poll(policy.next_adoption(waited, self.at.jitter));
        }
        self.give_up_unknown()
    }

    fn give_up_unknown(&mut self) -> Next {
        let may_resubmit = self.record.on_unknown == OnUnknown::Resubmit
            && self.record.attempts < self.record.max_attempts
            && !self.is_late();
        if !may_resubmit {
            return self.end(Phase::Failed, Code::SubmitUnknown);
        }
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_refusal(self.record.attempts, None, self.at.jitter))
    }

    fn found(&mut self, task: &TaskId) -> Next {
        self.record.adopted = true;
        // Its fate is known now.
        self.record.unknown_ms = 0;
        self.begin_polling(task);
        Next::Poll(Duration::ZERO)
    }

    /// A submit that was refused, or given up, has made a task all the same: a hook told which, and the upstream shows it.
    fn found_before_submit(&mut self, task: &TaskId) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        if self.record.unknown_ms == 0 {
            self.count_attempt();
        }
        self.found(task)
    }

    /// A hook told of a task, and a look at it told nothing: to submit now might pay twice.
    fn not_told_before_submit(&mut self, reason: &str, retry_after: Option<Duration>) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        reason.clone_into(&mut self.record.reason);
        let delay = self.at.policy.after_refusal(self.record.refusals, retry_after, self.at.jitter);
        self.record.refusals += 1;
        self.enter(Phase::Queued);
        Next::Submit(delay)
    }

    /// A hook told of a task that the upstream does not show, or not yet: to submit now might pay twice. Once the task
    /// counts as lost, the job is submitted.
    fn missing_before_submit(&mut self) -> Next {
        self.pressure = Pressure::Unsent(self.at.claimed_ms);
        self.count_missing();
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_missing(self.at.jitter))
    }

    fn running(&mut self, task: &TaskReport) -> Next {
        self.saw(task);
        self.narrow_down(task);
        self.enter(Phase::Polling);
        self.poll_again(|job| job.at.policy.next_poll(&job.record, task.progress, job.at.now_ms, job.outlook()))
    }

    fn outlook(&self) -> Outlook<'_> {
        let Circumstances { pace, polls_late, jitter, .. } = self.at;
        Outlook { pace, polls_late, jitter }
    }

    /// Judges by the task's progress how long it will take.
    fn narrow_down(&mut self, task: &TaskReport) {
        let record = &mut self.record;
        let elapsed_ms = self.at.now_ms.saturating_sub(record.started_ms);
        let seen = task.progress.filter(|_| record.started_ms > 0).and_then(|percent| Span::of(elapsed_ms, percent));
        if let Some(seen) = seen {
            record.span = Some(record.span.map_or(seen, |known| known.then(seen)));
        }
    }

    fn succeeded(&mut self, task: &TaskReport) -> Next {
        /// Some relays say SUCCESS before they have the picture; what they show is up to 15 s old.
        const IMAGE_MAY_COME_MS: u64 = 20_000;
        self.saw(task);
        let lacks_image = task.image_url.is_empty() && self.record.kind.gives_image();
        if lacks_image && !self.is_late() {
            let since_ms = *self.record.imageless_ms.get_or_insert(self.at.now_ms);
            let waited_ms = self.at.now_ms.saturating_sub(since_ms);
            if waited_ms < IMAGE_MAY_COME_MS {
                // A held task that has succeeded no longer waits for input.
                self.enter(Phase::Polling);
                let delay = Duration::from_millis(waited_ms / 2);
                return Next::Poll(delay.clamp(self.at.policy.poll_min, self.at.policy.poll_max));
            }
        }
        self.end(Phase::Completed, Code::Ok)
    }

    fn task_failed(&mut self, task: &TaskReport, class: FailureClass) -> Next {
        self.saw(task);
        self.record.reason.clone_from(&task.fail_reason);
        let code = match class {
            FailureClass::Banned => Code::BannedPrompt,
            FailureClass::Invalid => Code::InvalidRequest,
            FailureClass::Capacity if self.record.on_capacity == OnCapacity::Resubmit && !self.is_late() => {
                if self.record.attempts + self.record.faults < self.record.max_attempts {
                    return self.ask_for_another_task();
                }
                Code::AttemptsExhausted
            }
            FailureClass::Capacity | FailureClass::Upstream => Code::UpstreamFailed,
        };
        self.end(Phase::Failed, code)
    }

    fn ask_for_another_task(&mut self) -> Next {
        let record = &mut self.record;
        let task = record.task.as_ref().map(ToString::to_string).unwrap_or_default();
        let words = format!("task {task} failed for want of capacity ({}): another one is asked for", record.reason);
        record.note(self.at.now_ms, &words);
        record.leave_task();
        // What was answered to the task before is the answer to this one, too.
        record.inputs_used = 0;
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_refusal(self.record.attempts, None, self.at.jitter))
    }

    fn waits_for_input(&mut self, task: &TaskReport) -> Next {
        self.saw(task);
        self.enter(Phase::Held);
        // Nothing moves until somebody answers; a modal command brings the next look forward.
        self.poll_again(|job| job.at.policy.poll_max)
    }

    fn missing(&mut self) -> Next {
        self.record.polls += 1;
        self.count_missing();
        if self.at.policy.is_lost(&self.record, self.at.now_ms) {
            "the upstream no longer knows the task".clone_into(&mut self.record.reason);
            return self.end(Phase::Failed, Code::UpstreamLost);
        }
        self.poll_again(|job| job.at.policy.after_missing(job.at.jitter))
    }

    fn count_missing(&mut self) {
        let (count, first_ms) = self.record.missing.unwrap_or((0, self.at.now_ms));
        self.record.missing = Some((count + 1, first_ms));
    }

    /// No limit keeps a job from its end: one that is overdue waits for its last look, but not for long.
    fn not_looked_at(&mut self) -> Next {
        if self.may_be_looked_at() { Next::Poll(Duration::ZERO) } else { self.late() }
    }

    fn not_looked_for(&mut self) -> Next {
        if self.may_be_looked_at() { Next::Poll(Duration::ZERO) } else { self.give_up_unknown() }
    }

    fn may_be_looked_at(&self) -> bool {
        self.at.now_ms < self.record.deadline_ms.saturating_add(Self::LAST_LOOK.as_millis() as u64)
    }

    fn no_verdict(&mut self, reason: &str, retry_after: Option<Duration>) -> Next {
        reason.clone_into(&mut self.record.reason);
        self.leave_alone(retry_after);
        self.record.polls += 1;
        let blind_polls = self.record.blind_polls;
        self.record.blind_polls += 1;
        self.poll_again(|job| job.at.policy.after_blind_poll(blind_polls, retry_after, job.at.jitter))
    }

    fn not_told(&mut self, retry_after: Option<Duration>) -> Next {
        self.leave_alone(retry_after);
        self.still_unknown()
    }

    /// Takes the upstream's wish for a pause after a look for what it is: about all looks, not about one job.
    fn leave_alone(&mut self, retry_after: Option<Duration>) {
        /// Nobody may stop all looks for longer with one answer: deadlines go on.
        const LONGEST: Duration = Duration::from_secs(120);
        if let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) {
            self.pressure = Pressure::Throttled(pause.min(LONGEST));
        }
    }

    fn cancelled(&mut self) -> Next {
        "cancelled on request".clone_into(&mut self.record.reason);
        self.end(Phase::Cancelled, Code::Cancelled)
    }

    fn poisoned(&mut self) -> Next {
        // That the upstream may have taken it matters more to whoever pays.
        let code = if self.record.phase == Phase::Unknown { Code::SubmitUnknown } else { Code::Poison };
        "workers died on this job again and again".clone_into(&mut self.record.reason);
        self.end(Phase::Failed, code)
    }

    fn late(&mut self) -> Next {
        if self.record.phase == Phase::Held {
            "the task waited for input until the deadline".clone_into(&mut self.record.reason);
            return self.end(Phase::Failed, Code::NeedsInput);
        }
        if self.record.reason.is_empty() {
            "the deadline passed".clone_into(&mut self.record.reason);
        }
        self.end(Phase::Failed, Code::DeadlineExceeded)
    }

    fn saw(&mut self, task: &TaskReport) {
        let record = &mut self.record;
        record.polls += 1;
        record.blind_polls = 0;
        record.missing = None;
        record.reason.clear();
        task.status.clone_into(&mut record.status);
        if let Some(progress) = task.progress {
            record.progress = progress;
        }
        if record.started_ms == 0 && (record.progress > 0 || task.started_ms > 0) {
            // The upstream's clock is believed only as far as it agrees with what was seen. A task may well
            // have begun a moment before its acceptance was heard of.
            let may_be_true = (record.enqueued_ms..=self.at.now_ms).contains(&task.started_ms);
            record.started_ms = if may_be_true { task.started_ms.max(record.accepted_ms) } else { self.at.now_ms };
        }
    }

    fn poll_again(&mut self, delay: impl Fn(&Self) -> Duration) -> Next {
        if self.is_late() { self.late() } else { Next::Poll(delay(self)) }
    }

    fn is_late(&self) -> bool {
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
            // Whatever ended the job: an earlier submit may have been taken, and billed.
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
        // No step is planned beyond the deadline: the one at the deadline ends the job.
        let left = Duration::from_millis(self.record.deadline_ms.saturating_sub(self.at.now_ms));
        let next = match next {
            Next::Submit(_) if self.is_late() => self.late(),
            Next::Submit(delay) => Next::Submit(delay.min(left)),
            Next::Poll(delay) => Next::Poll(delay.min(left)),
            end @ Next::End(_) => end,
        };
        Transition { record: self.record, next, pressure: self.pressure }
    }
}
