//! The preparer: makes the request of a submit, and checks that it may be sent.
//!
//! The preparer loads the job if the claim did not bring it, finds the button that an action presses, and asks for a
//! place under the rate. If a hook has named a task for this job although its submit was refused, it polls that task
//! first. It submits nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mjq_producer::contract::{Code, Job, Kind, Request, TaskId};
use tokio::sync::SemaphorePermit;

use super::{
    memory_budget::MemoryBudget,
    request::{Press, RequestMaker, find_button},
};
use crate::{
    engine::{claim::Hold, poll::Poller},
    ledger::{Ledger, Parent, Rate, RateKind, Step},
    lifecycle::{Observation, Policy},
    upstream::Upstream,
};

/// Prepares submits. All steps share it.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) ledger: Ledger,
    pub(crate) upstream: Upstream,
    pub(crate) poller: Poller,
    pub(crate) requests: RequestMaker,
    pub(crate) policy: Arc<Policy>,
    pub(crate) lease: Duration,
    /// The memory for large jobs, of which a submit holds a few copies.
    pub(crate) memory: MemoryBudget,
    pub(crate) submit_rate: Rate,
}

/// A submit that may be sent.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) kind: Kind,
    pub(crate) body: String,
    /// Memory for a large job, held until the submit is answered.
    pub(crate) room: Option<SemaphorePermit<'a>>,
}

impl Preparer {
    /// Makes the request of a submit, and makes sure that it may be sent. Otherwise returns the observation that stands
    /// for the missing answer.
    pub(crate) async fn prepare(&self, step: &Step, hold: &Hold) -> Result<Ready<'_>, Box<Observation>> {
        if let Some(task) = waiting_task(step) {
            return self.prepare_answer(step, hold, task).await;
        }
        if let Some(task) = step.flags.new_task(&step.record)
            && let Some(seen) = self.poll_before_submit(step, task).await
        {
            return Err(Box::new(seen));
        }
        let (job, room) = self.job(step).await?;
        let press = self.press(step, &job.request).await?;
        let body = self.requests.body(&step.job, &step.record, &job.request, press.as_ref());
        self.may_submit(step, hold).await?;
        Ok(Ready { kind: job.kind, body, room })
    }

    /// Reads the step's job, within the memory for large jobs.
    async fn job(&self, step: &Step) -> Result<(Job, Option<SemaphorePermit<'_>>), Box<Observation>> {
        let mut room = None;
        let json = match &step.job_json {
            Some(json) => Some(json.clone()),
            None => {
                let bytes = self.ledger.job_bytes(&step.job).await.map_err(|_| Observation::NotBegun)?;
                room = self.room_for(bytes).await?;
                self.ledger.job_json(&step.job).await.map_err(|_| Observation::NotBegun)?
            }
        };
        match json.and_then(|json| serde_json::from_str(&json).ok()) {
            Some(job) => Ok((job, room)),
            None => Err(unsendable(Code::InvalidRequest, "the ledger's copy of the job cannot be read")),
        }
    }

    /// Whether the task that was seen is plainly not the one that was made for the step's job. `None` if that could not
    /// be told now.
    pub(crate) async fn is_anothers_task(&self, step: &Step, seen: &Observation) -> Option<bool> {
        match self.job(step).await {
            Ok((job, _room)) => Some(self.requests.is_contradicted(seen, &step.job, &step.record, &job.request)),
            Err(unread) if matches!(*unread, Observation::Unsendable { .. }) => Some(false),
            Err(_) => None,
        }
    }

    /// Makes the request of the input that a caller sent for a waiting task.
    async fn prepare_answer(&self, step: &Step, hold: &Hold, task: &TaskId) -> Result<Ready<'_>, Box<Observation>> {
        let bytes = self.ledger.input_bytes(&step.job).await.map_err(|_| Observation::NotBegun)?;
        let room = self.room_for(bytes).await?;
        let input = self.ledger.input(&step.job).await.map_err(|_| Observation::NotBegun)?;
        let input = input.ok_or_else(|| unsendable(Code::InvalidRequest, "the input cannot be read"))?;
        self.may_submit(step, hold).await?;
        Ok(Ready { kind: Kind::Modal, body: RequestMaker::modal_body(task, &input), room })
    }

    /// Polls the task that a hook has named although the submit was refused; `None` when it does not exist, or has
    /// failed.
    async fn poll_before_submit(&self, step: &Step, task: &TaskId) -> Option<Observation> {
        // The claim brought a place for a submit, not for a poll.
        if !self.poller.may_poll_alone(false).await {
            // `NotBegun` would let the job be claimed again at once, while polls may be held back for minutes.
            let reason = "a hook told of a task, and no poll was allowed in time".to_owned();
            return Some(Observation::NoVerdict { reason, retry_after: None });
        }
        match self.upstream.fetch(task).await.without_stranger() {
            // The upstream has used the task's id a second time, for another job.
            seen if self.requests.is_anothers(&seen, &step.job, &step.record) => None,
            Observation::Running(_) | Observation::Succeeded(_) | Observation::WaitsForInput(_) => {
                Some(Observation::Found(task.clone()))
            }
            blind @ Observation::NoVerdict { .. } => Some(blind),
            // A relay's cache may not have the task yet; one or two such polls prove nothing.
            Observation::Missing if !self.policy.is_lost(&step.record, self.ledger.clock().now_ms()) => {
                Some(Observation::Missing)
            }
            _ => None,
        }
    }

    /// Reserves memory for a large job or input; a small one needs none.
    async fn room_for(&self, bytes: u64) -> Result<Option<SemaphorePermit<'_>>, Observation> {
        /// After this time, the slot goes to other steps.
        const PATIENCE: Duration = Duration::from_secs(2);
        if bytes <= Ledger::SMALL_JOB as u64 {
            return Ok(None);
        }
        self.memory.room_within(bytes, PATIENCE).await.map(Some).ok_or(Observation::NoMemory)
    }

    /// Finds the button that an action presses, if the action names a button of an earlier job.
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
                if step.record.parent_may_come(self.ledger.clock().now_ms()) {
                    return Err(Box::new(Observation::ParentNotKnown));
                }
                gone(format!("job {} is not known", wanted.job))
            }
        }
    }

    /// Whether a submit may be sent now. It may wait for its place under the rate.
    async fn may_submit(&self, step: &Step, hold: &Hold) -> Result<(), Observation> {
        // Reading the job and making the request may have taken longer than the claim's place lasts.
        let has_place = self.submit_rate.count == 0 || Instant::now() < step.place_until;
        let has_place = has_place || hold.place().renew(&self.ledger, RateKind::Submit, self.submit_rate).await;
        if has_place && hold.is_fresh(self.lease) { Ok(()) } else { Err(Observation::NotBegun) }
    }
}

/// The task that the step gives its input, if the step answers a waiting task.
pub(crate) fn waiting_task(step: &Step) -> Option<&TaskId> {
    step.record.task.as_ref().filter(|_| step.record.is_answering)
}

/// The observation of a submit that cannot be made.
fn unsendable(code: Code, reason: impl Into<String>) -> Box<Observation> {
    Box::new(Observation::Unsendable { code, reason: reason.into() })
}
