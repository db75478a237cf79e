//! The executor: performs one step. It makes one HTTP exchange at the most, and writes down what it saw.

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant, SystemTime},
};

use mjq_producer::contract::{Code, Event, FollowUp, Job, JobId, Kind, Options, Request, TaskId};
use serde_json::json;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use tracing::{debug, error, info};

use super::{
    canceller::CancellerHandle,
    crash_point::{self, CrashPoint},
    pacer::Paces,
    place, planted,
    poller::Poller,
    recall::{Forgotten, Recall},
    request::{Press, RequestMaker, find_button},
    settler::SettlerHandle,
    slot::{HeldStep, Hold},
};
use crate::{
    ledger::{Ledger, Paced, Parent, Rate, Settled, Settlement, Step},
    lifecycle::{
        Act, Busy, Circumstances, Next, Observation, Phase, Policy, Pressure, Ran, Record, Transition, event_of,
        first_revisit, next,
    },
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
    pub(super) settler: SettlerHandle,
    pub(super) recall: Recall,
    pub(super) canceller: CancellerHandle,
    pub(super) paces: Paces,
    pub(super) requests: RequestMaker,
    pub(super) policy: Arc<Policy>,
    pub(super) lease: Duration,
    /// KiB of large jobs that submits may still hold at once.
    pub(super) room_for_large: Semaphore,
    pub(super) submit_rate: Rate,
    /// Whether looks may be late for want of a place under their rate.
    pub(super) polls_are_paced: bool,
    /// Whether a lost task can be looked for by its `state`.
    pub(super) has_lookup: bool,
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
        metrics::counter!("mjq_steps_total", "act" => act, "observation" => seen.name()).increment(1);
        metrics::histogram!("mjq_step_seconds", "act" => act).record(began.elapsed().as_secs_f64());
        debug!(job.id = %step.job, fence = step.fence, "job {}: {act} saw {}", step.job, seen.name());
        self.settle(step, hold, &seen).await;
        if traces::are_on() {
            let (queue, job, fence) = (self.ledger.queue().as_str(), step.job.as_str(), step.fence);
            let (traceparent, observation) = (step.record.traceparent.as_str(), seen.name());
            traces::StepSpan { act, observation, queue, job, fence, traceparent, began: began_at }.end();
        }
    }

    /// Puts a step back that was claimed and not begun.
    pub(super) async fn hand_back(&self, held: HeldStep) {
        let act = Act::of(&held.step.record, &held.step.flags, self.policy.max_reclaims);
        self.settle(&held.step, &held.hold, &act.unbegun()).await;
    }

    async fn submit(&self, step: &Step, hold: &Hold) -> Observation {
        if let (true, Some(task)) = (step.record.is_answering, &step.record.task) {
            return self.answer(step, hold, task).await;
        }
        let mut _room = None;
        let json = match &step.job_json {
            Some(json) => Some(json.clone()),
            None => {
                _room = self.room_for(&step.job).await;
                if _room.is_none() || !self.may_begin(step, hold) {
                    return Observation::NotBegun;
                }
                match self.ledger.job_json(&step.job).await {
                    Ok(json) => json,
                    Err(_) => return Observation::NotBegun,
                }
            }
        };
        let Some(job) = json.and_then(|json| serde_json::from_str::<Job>(&json).ok()) else {
            let reason = "the ledger's copy of the job cannot be read".to_owned();
            return Observation::Denied { code: Code::InvalidRequest, reason };
        };
        let press = match self.press(step, &job.request).await {
            Ok(press) => press,
            Err(seen) => return *seen,
        };
        let body = self.requests.body(&step.job, &step.record, &job.request, press.as_ref());
        if !self.may_submit(step, hold).await {
            return Observation::NotBegun;
        }
        let sending = match self.recall.begin(step) {
            Ok(sending) => sending,
            Err(forgotten) => return self.remember(step, forgotten).await,
        };
        crash_point::come_by(CrashPoint::BeforePost);
        let seen = crash_point::in_exchange(self.upstream.submit(job.kind, body)).await;
        sending.saw(&seen);
        crash_point::come_by(CrashPoint::AfterAnswer);
        match seen {
            Observation::Accepted { queue_position: 1.., .. } if PlantedBug::ResubmitOn22.is_planted() => {
                Observation::Refused { busy: Busy::WithoutId, retry_after: None, reason: String::new() }
            }
            seen => seen,
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

    /// Gives a waiting task the input that somebody sent.
    async fn answer(&self, step: &Step, hold: &Hold, task: &TaskId) -> Observation {
        let Ok(input) = self.ledger.input(&step.job).await else { return Observation::NotBegun };
        let Some(input) = input else {
            let reason = "the input cannot be read".to_owned();
            return Observation::Denied { code: Code::InvalidRequest, reason };
        };
        if !self.may_submit(step, hold).await {
            return Observation::NotBegun;
        }
        self.upstream.submit(Kind::Modal, RequestMaker::modal_body(task, &input)).await
    }

    /// Finds the button that an action presses, when it names one of an earlier job.
    async fn press(&self, step: &Step, request: &Request) -> Result<Option<Press>, Box<Observation>> {
        let is_action = step.record.kind == Kind::Action;
        let Some(wanted) = is_action.then(|| request.parent_button()).flatten() else {
            return Ok(None);
        };
        let gone = |reason: String| Err(Box::new(Observation::Denied { code: Code::ParentGone, reason }));
        match self.ledger.parent(&wanted.job).await.map_err(|_| Box::new(Observation::NotBegun))? {
            Parent::Completed { task, buttons } => match find_button(buttons.as_deref(), &wanted) {
                Some(custom_id) => Ok(Some(Press { task, custom_id })),
                None => {
                    let reason = format!("job {} has no button {}", wanted.job, wanted.button);
                    Err(Box::new(Observation::Denied { code: Code::InvalidRequest, reason }))
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
        self.poller.look(task, step.record.missing.is_some(), has_poll_place(step)).await
    }

    /// Whether a submit may be sent now. It may wait for its place under the rate.
    async fn may_submit(&self, step: &Step, hold: &Hold) -> bool {
        // What had to be read and made may have taken longer than the place lasts that came with the claim.
        let has_place = self.submit_rate.count == 0 || StdInstant::now() < step.place_until;
        (has_place || place::ask(&self.ledger, Paced::Submit, self.submit_rate).await) && self.may_begin(step, hold)
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
            // A hook is only a hint: the task is there when the upstream shows it.
            return match self.upstream.fetch(task).await {
                Observation::Running(_)
                | Observation::Succeeded(_)
                | Observation::TaskFailed(..)
                | Observation::WaitsForInput(_) => Observation::Found(task.clone()),
                Observation::Missing => Observation::NotFound,
                other => other,
            };
        }
        self.upstream.find_by_state(&self.requests.token(&step.job, &step.record, step.record.attempts)).await
    }

    async fn settle(&self, step: &Step, hold: &Hold, seen: &Observation) {
        let pace = self.paces.of(&step.record);
        let at = Circumstances {
            now_ms: self.ledger.clock().now_ms(),
            claimed_ms: step.claimed_ms,
            jitter: rand::random(),
            fence: step.fence,
            reclaims: step.flags.reclaims,
            pace: pace.as_deref(),
            // Without a rate there is nobody to make room for.
            polls_late: if self.polls_are_paced { self.paces.late() } else { Duration::ZERO },
            policy: &self.policy,
        };
        let transition = match next(&step.record, seen, at) {
            Ok(transition) => transition,
            Err(illegal) => {
                error!(job.id = %step.job, "job {}: {illegal}; this is a bug, and the job is left as it is", step.job);
                set_aside(step)
            }
        };
        let mut settlement = self.settlement(step, seen, transition, at.now_ms).await;
        settlement.is_recent = hold.is_recent(self.ledger.retention());
        planted::spoil(&self.ledger, &mut settlement, at.now_ms).await;
        let end = settlement.event.as_ref().map(|event| End::of(event, seen));
        let fence = settlement.fence;
        let cancelled = &settlement.transition.record;
        let cancelled = (cancelled.phase == Phase::Cancelled).then(|| cancelled.clone());
        let settled = self.settler.settle(settlement).await;
        // The end and its event come first; whoever lost the job leaves its task to the one who has it.
        let is_written = settled.is_some_and(Settled::is_written);
        if let Some(end) = end.filter(|_| is_written) {
            end.tell(at.now_ms);
        }
        if let Some(record) = cancelled.filter(|_| is_written) {
            self.canceller.hand_in(&step.job, fence, &record);
        }
    }

    async fn settlement(&self, step: &Step, seen: &Observation, transition: Transition, now_ms: u64) -> Settlement {
        let job_json = step.job_json.as_ref().filter(|_| transition.pressure.may_have_cost()).cloned();
        let Next::End(ending) = transition.next else {
            let (job, fence) = (step.job.clone(), step.fence);
            return Settlement {
                job,
                fence,
                is_recent: false,
                transition,
                ran_ms: None,
                event: None,
                revisit_after: None,
                follow_ups: Vec::new(),
                job_json,
            };
        };
        let completed = transition.record.phase == Phase::Completed;
        let follow_ups =
            if completed && step.record.has_follow_ups { Box::pin(self.follow_ups(step)).await } else { Vec::new() };
        let then: Vec<JobId> = follow_ups.iter().filter_map(|job| job.id.clone()).collect();
        let event = event_of(&step.job, &transition.record, ending, seen, now_ms, then);
        let ran_ms = match seen {
            Observation::Succeeded(task) => {
                let told = self.proves_hooks(&step.record).then_some(step.flags.is_end_told);
                Ran::of(&transition.record, task, told, now_ms)
            }
            _ => None,
        };
        let revisit_after = first_revisit(&transition.record, ending, &self.policy);
        let (job, fence, is_recent) = (step.job.clone(), step.fence, false);
        let event = Some(event);
        Settlement { job, fence, is_recent, transition, ran_ms, event, revisit_after, follow_ups, job_json }
    }

    /// Whether the end of the job's task says something about hooks: the upstream was asked to call us, and has
    /// had nothing else to tell of this job before.
    fn proves_hooks(&self, record: &Record) -> bool {
        let is_plain = record.earlier_tasks.is_empty() && record.inputs_used == 0;
        is_plain && self.policy.adoption.hook && !record.has_own_hook
    }

    /// The jobs that follow a completed one: each presses a button of its result.
    async fn follow_ups(&self, step: &Step) -> Vec<Job> {
        let json = self.ledger.job_json(&step.job).await.ok().flatten();
        let Some(job) = json.and_then(|json| serde_json::from_str::<Job>(&json).ok()) else { return Vec::new() };
        let state = job.request.state();
        let child = |(position, follow_up): (usize, &FollowUp)| {
            let mut request = json!({ "job": step.job, "button": follow_up.button });
            if let Some(state) = follow_up.state.as_ref().or(state.as_ref()) {
                request["state"] = state.as_str().into();
            }
            Some(Job {
                id: Some(step.job.follow_up(position)),
                kind: Kind::Action,
                request: Request::from_json(request.to_string()).ok()?,
                options: Options { run_at_ms: 0, ..job.options.clone() },
                then: Vec::new(),
                trace: job.trace.clone(),
            })
        };
        job.then.iter().enumerate().filter_map(child).collect()
    }
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

/// Puts a job back for a while, unchanged.
fn set_aside(step: &Step) -> Transition {
    const WHILE: Duration = Duration::from_secs(5);
    let next = match step.record.phase {
        Phase::Queued | Phase::Submitting => Next::Submit(WHILE),
        _ => Next::Poll(WHILE),
    };
    Transition { record: step.record.clone(), next, pressure: Pressure::None }
}

/// How a job ended, for counters and the log, once it is written.
struct End {
    job: String,
    outcome: &'static str,
    code: &'static str,
    attempts: u32,
    polls: u32,
    /// When the task ended by the upstream's clock, if it succeeded and tells.
    finished_ms: Option<u64>,
}

impl End {
    fn of(event: &Event, seen: &Observation) -> Self {
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
            finished_ms,
        }
    }

    fn tell(&self, now_ms: u64) {
        let Self { job, outcome, code, attempts, polls, finished_ms } = self;
        metrics::counter!("mjq_jobs_finished_total", "outcome" => *outcome, "code" => *code).increment(1);
        // By two clocks; an upstream whose clock is wrong shows as a strange figure, not as a wrong job.
        if let Some(finished_ms) = finished_ms.filter(|at| (1..=now_ms).contains(at)) {
            metrics::histogram!("mjq_finish_to_event_seconds").record((now_ms - finished_ms) as f64 / 1000.0);
        }
        info!(job.id = %job, outcome, code, attempts, polls, "job {job} {outcome}: {code}");
    }
}
