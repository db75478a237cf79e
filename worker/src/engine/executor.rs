//! The executor: performs one step. It makes one HTTP exchange, and hands on what it saw. (A submit of
//! which a hook gives reason to think that it was made already comes after a look.)

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant, SystemTime},
};

use mjq_producer::contract::{Code, Job, JobId, Kind, Request, TaskId};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use tracing::{debug, error};

use super::{
    crash_point::{self, CrashPoint},
    place,
    poller::Poller,
    recall::{Forgotten, Recall},
    request::{Press, RequestMaker, find_button},
    scribe::Scribe,
    slot::{HeldStep, Hold},
    step_meter::StepMeter,
};
use crate::{
    ledger::{Ledger, Parent, Rate, RateKind, Step},
    lifecycle::{Act, Busy, Observation, Policy},
    planted_bug::PlantedBug,
    telemetry::traces,
    upstream::Upstream,
};

/// Performs steps. It is shared by all of them.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) ledger: Ledger,
    pub(super) upstream: Upstream,
    pub(super) poller: Poller,
    pub(super) scribe: Scribe,
    pub(super) recall: Recall,
    pub(super) requests: RequestMaker,
    pub(super) policy: Arc<Policy>,
    pub(super) lease: Duration,
    /// KiB of large jobs that submits may still hold at once.
    pub(super) room_for_large: Semaphore,
    pub(super) submit_rate: Rate,
    /// Whether a lost task can be looked for by its `state`.
    pub(super) has_lookup: bool,
    pub(super) meter: StepMeter,
}

/// A submit that may be sent.
struct Ready<'a> {
    kind: Kind,
    body: String,
    /// Held until it is answered.
    _room: Option<SemaphorePermit<'a>>,
}

impl Executor {
    /// How much of large jobs the submits of one pod hold at once, in KiB; a larger one goes alone.
    pub(super) const LARGE_KIB: usize = 16 * 1024;
    /// How long an action waits for a parent that the ledger does not know (yet).
    const PARENT_MAY_COME: Duration = Duration::from_secs(30);

    /// Performs `held`: acts, decides, writes down.
    pub(super) async fn perform(&self, held: HeldStep) {
        let HeldStep { step, hold, .. } = &held;
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let act = Act::of(&step.record, &step.flags, self.policy.max_reclaims);
        // Boxed but for the commonest: a task has room for the largest of what it may wait for.
        let seen = match &act {
            Act::Submit => Box::pin(self.submit(step, hold)).await,
            Act::Poll(task) => self.poll(step, hold, task).await,
            Act::Adopt(hint) => Box::pin(self.adopt(step, hint.as_ref())).await,
            Act::Conclude(conclusion) => (*conclusion).into(),
        };
        let act = act_name(&act);
        self.meter.record(act, seen.name(), began.elapsed());
        debug!(job.id = %step.job, fence = step.fence, "job {}: {act} saw {}", step.job, seen.name());
        self.scribe.settle(step, hold, &seen).await;
        if traces::are_on() {
            let (queue, job, fence) = (self.ledger.queue().as_str(), step.job.as_str(), step.fence);
            let (traceparent, observation) = (step.record.traceparent.as_str(), seen.name());
            traces::StepSpan { act, observation, queue, job, fence, traceparent, began: began_at }.end();
        }
    }

    /// Puts a step back that was claimed and not begun.
    pub(super) async fn hand_back(&self, held: HeldStep) {
        let act = Act::of(&held.step.record, &held.step.flags, self.policy.max_reclaims);
        self.scribe.settle(&held.step, &held.hold, &act.unbegun()).await;
    }

    async fn submit(&self, step: &Step, hold: &Hold) -> Observation {
        // After half its lease a claim may send nothing any more. So nothing is waited for any longer, a Redis that is
        // away least of all: what has not left by then has not begun.
        let left = (self.lease / 2).saturating_sub(step.claimed_at.elapsed());
        let Ready { kind, body, _room } = match tokio::time::timeout(left, self.prepare(step, hold)).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(seen)) => return *seen,
            Err(_) => return Observation::NotBegun,
        };
        if waiting_task(step).is_some() {
            return self.upstream.submit(kind, body).await;
        }
        let sending = match self.recall.begin(step) {
            Ok(sending) => sending,
            Err(forgotten) => return self.remember(step, forgotten).await,
        };
        crash_point::come_by(CrashPoint::BeforePost);
        let seen = crash_point::in_exchange(self.upstream.submit(kind, body)).await;
        sending.saw(&seen);
        crash_point::come_by(CrashPoint::AfterAnswer);
        match seen {
            Observation::Accepted { queue_position: 1.., .. } if PlantedBug::ResubmitOn22.is_planted() => {
                Observation::Refused { busy: Busy::WithoutId, retry_after: None, reason: String::new() }
            }
            seen => seen,
        }
    }

    /// Makes the request of a submit, and sees to it that it may be sent; else says what is seen instead of an answer.
    async fn prepare(&self, step: &Step, hold: &Hold) -> Result<Ready<'_>, Box<Observation>> {
        if let Some(task) = waiting_task(step) {
            return self.prepare_answer(step, hold, task).await;
        }
        if let Some(task) = step.flags.new_task(&step.record)
            && let Some(seen) = self.look_before_submit(step, task).await
        {
            return Err(Box::new(seen));
        }
        let mut _room = None;
        let json = match &step.job_json {
            Some(json) => Some(json.clone()),
            None => {
                _room = self.room_for(&step.job).await;
                if _room.is_none() {
                    return Err(Box::new(Observation::NotBegun));
                }
                self.ledger.job_json(&step.job).await.map_err(|_| Observation::NotBegun)?
            }
        };
        let Some(job) = json.and_then(|json| serde_json::from_str::<Job>(&json).ok()) else {
            return Err(unsendable(Code::InvalidRequest, "the ledger's copy of the job cannot be read"));
        };
        let press = self.press(step, &job.request).await?;
        let body = self.requests.body(&step.job, &step.record, &job.request, press.as_ref());
        self.may_submit(step, hold).await?;
        Ok(Ready { kind: job.kind, body, _room })
    }

    /// The same for the input that somebody sent for a waiting task.
    async fn prepare_answer(&self, step: &Step, hold: &Hold, task: &TaskId) -> Result<Ready<'_>, Box<Observation>> {
        let input = self.ledger.input(&step.job).await.map_err(|_| Observation::NotBegun)?;
        let input = input.ok_or_else(|| unsendable(Code::InvalidRequest, "the input cannot be read"))?;
        self.may_submit(step, hold).await?;
        Ok(Ready { kind: Kind::Modal, body: RequestMaker::modal_body(task, &input), _room: None })
    }

    /// Looks whether the task is there that a hook has told of, although a submit was refused; `None` when it is not, or
    /// has failed.
    async fn look_before_submit(&self, step: &Step, task: &TaskId) -> Option<Observation> {
        // The claim came with a place for a submit, not for a look.
        if !self.poller.may_look_alone(false).await {
            return Some(Observation::NotBegun);
        }
        match self.upstream.fetch(task).await {
            Observation::Running(_) | Observation::Succeeded(_) | Observation::WaitsForInput(_) => {
                Some(Observation::Found(task.clone()))
            }
            blind @ Observation::NoVerdict { .. } => Some(blind),
            // Once or twice, a relay's cache may not have it yet.
            Observation::Missing if !self.policy.is_lost(&step.record, self.ledger.clock().now_ms()) => {
                Some(Observation::Missing)
            }
            _ => None,
        }
    }

    /// Waits for room for a large job, of which a submit holds a few copies; `None` when there is none for now.
    async fn room_for(&self, job: &JobId) -> Option<SemaphorePermit<'_>> {
        /// Then others have their turn, with this slot.
        const PATIENCE: Duration = Duration::from_secs(2);
        let kib = (self.ledger.job_bytes(job).await.ok()? / 1024 + 1).min(Self::LARGE_KIB as u64);
        let room = self.room_for_large.acquire_many(kib as u32);
        tokio::time::timeout(PATIENCE, room).await.ok()?.ok()
    }

    /// Takes what was seen of a submit that Redis has forgotten, instead of making it again.
    async fn remember(&self, step: &Step, forgotten: Forgotten) -> Observation {
        let (job, fence) = (&step.job, step.fence);
        error!(job.id = %job, fence, "redis has forgotten that job {job} was submitted: suspected_rollback");
        // Nothing depends on the count.
        let _ = self.ledger.note_rollback().await;
        forgotten.seen().await
    }

    /// Finds the button that an action presses, when it names one of an earlier job.
    async fn press(&self, step: &Step, request: &Request) -> Result<Option<Press>, Box<Observation>> {
        let is_action = step.record.kind == Kind::Action;
        let Some(wanted) = is_action.then(|| request.parent_button()).flatten() else {
            return Ok(None);
        };
        let gone = |reason: String| Err(unsendable(Code::ParentGone, reason));
        match self.ledger.parent(&wanted.job).await.map_err(|_| Observation::NotBegun)? {
            Parent::Completed { task, buttons } => match find_button(buttons.as_deref(), &wanted) {
                Some(custom_id) => Ok(Some(Press { task, custom_id })),
                None => {
                    let reason = format!("job {} has no button {}", wanted.job, wanted.button);
                    Err(unsendable(Code::InvalidRequest, reason))
                }
            },
            Parent::Open => Err(Box::new(Observation::ParentPending)),
            Parent::Ended => gone(format!("job {} ended without a result", wanted.job)),
            Parent::NotKnown => {
                let waited_ms = self.ledger.clock().now_ms().saturating_sub(step.record.enqueued_ms);
                if Duration::from_millis(waited_ms) < Self::PARENT_MAY_COME {
                    return Err(Box::new(Observation::ParentPending));
                }
                gone(format!("job {} is not known", wanted.job))
            }
        }
    }

    async fn poll(&self, step: &Step, hold: &Hold, task: &TaskId) -> Observation {
        if !self.may_begin(step, hold) {
            return Observation::NotBegun;
        }
        // What a list leaves out, the task itself may show.
        let is_last = step.flags.is_overdue;
        let alone = is_last || step.record.missing.is_some() || step.record.imageless_ms.is_some();
        self.poller.look(task, alone, has_poll_place(step)).await
    }

    /// Whether a submit may be sent now. It may wait for its place under the rate.
    async fn may_submit(&self, step: &Step, hold: &Hold) -> Result<(), Observation> {
        // What had to be read and made may have taken longer than the place lasts that came with the claim.
        let has_place = self.submit_rate.count == 0 || StdInstant::now() < step.place_until;
        let has_place = has_place || place::ask(&self.ledger, RateKind::Submit, self.submit_rate).await;
        if has_place && self.may_begin(step, hold) { Ok(()) } else { Err(Observation::NotBegun) }
    }

    /// Whether the step's claim is fresh enough to send anything.
    fn may_begin(&self, step: &Step, hold: &Hold) -> bool {
        // After half its lease a claim may be gone before the answer is here: a frozen pod would
        // submit what another has submitted since.
        !hold.is_lost() && step.claimed_at.elapsed() < self.lease / 2
    }

    async fn adopt(&self, step: &Step, hint: Option<&TaskId>) -> Observation {
        if hint.is_none() && !self.has_lookup {
            return Observation::NotFound;
        }
        if !self.poller.may_look_alone(has_poll_place(step)).await {
            return Observation::NotBegun;
        }
        if let Some(task) = hint {
            // It is only a hint: the task is there when the upstream shows it.
            match self.upstream.fetch(task).await {
                Observation::Running(_)
                | Observation::Succeeded(_)
                | Observation::TaskFailed(..)
                | Observation::WaitsForInput(_) => return Observation::Found(task.clone()),
                Observation::Missing if self.has_lookup && self.poller.may_look_alone(false).await => {}
                Observation::Missing => return Observation::NotFound,
                other => return other,
            }
        }
        self.upstream.find_by_state(&self.requests.token(&step.job, &step.record, step.record.attempts)).await
    }
}

/// The task that the step gives its input, if it does.
fn waiting_task(step: &Step) -> Option<&TaskId> {
    step.record.task.as_ref().filter(|_| step.record.is_answering)
}

/// What is seen of a submit that cannot be made.
fn unsendable(code: Code, reason: impl Into<String>) -> Box<Observation> {
    Box::new(Observation::Unsendable { code, reason: reason.into() })
}

/// Whether the claim came with a place under the rate of polls that still lasts. What was taken over, or has to end,
/// was given out without asking for one.
fn has_poll_place(step: &Step) -> bool {
    let asked = !step.flags.is_reclaimed && !step.flags.is_overdue;
    asked && StdInstant::now() < step.place_until
}

fn act_name(act: &Act) -> &'static str {
    match act {
        Act::Submit => "submit",
        Act::Poll(_) => "poll",
        Act::Adopt(_) => "adopt",
        Act::Conclude(_) => "conclude",
    }
}
