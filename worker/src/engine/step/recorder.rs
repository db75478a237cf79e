//! The recorder: asks the state machine what an observation means for the job, and has the answer written down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mjq_producer::contract::JobId;
use tracing::{error, warn};

use super::{
    canceller::CancellerHandle, ended_log::EndLog, follow_ups::read_follow_ups, memory_budget::MemoryBudget, planted,
    settler::SettlerHandle, upstream_log::UpstreamLog,
};
use crate::{
    engine::{
        claim::{HeldStep, Hold, SlowStart},
        poll::Paces,
    },
    ledger::{Abandoned, JobEnd, Ledger, Progress, Settled, Settlement, Step},
    lifecycle::{
        Circumstances, Ending, Next, Observation, Phase, Policy, Pressure, Ran, Record, Transition, event_of,
        first_revisit, next,
    },
};

/// Writes down the results of steps. All steps share it.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) ledger: Ledger,
    pub(crate) settler: SettlerHandle,
    pub(crate) canceller: CancellerHandle,
    pub(crate) paces: Paces,
    pub(crate) upstream_log: UpstreamLog,
    pub(crate) slow_start: SlowStart,
    /// When this pod last saw the upstream take a job, in Unix milliseconds.
    pub(crate) accepted_ms: AtomicU64,
    /// When this pod last saw the upstream show a task, in Unix milliseconds.
    pub(crate) shown_ms: AtomicU64,
    /// The memory for completed large jobs that are read for their follow-ups.
    pub(crate) memory: MemoryBudget,
    pub(crate) policy: Arc<Policy>,
    /// Whether polls have a rate, so that they may be late.
    pub(crate) polls_are_paced: bool,
    /// About how many entries the stream of progress keeps; 0 if progress is not published.
    pub(crate) progress_events: u32,
}

impl Recorder {
    /// Decides what `seen` in a step means for the job, and waits until that is written, or known to be in vain.
    pub(crate) async fn settle(&self, held: HeldStep, seen: &Observation) {
        let now_ms = self.ledger.clock().now_ms();
        // Boxed, because it is moved several times.
        let mut settlement = Box::new(self.settlement(&held.step, &held.hold, seen, now_ms));
        match settlement.transition.next {
            // Boxed, so that other steps need no room for it.
            Next::End(ending) => Box::pin(self.settle_end(held, seen, settlement, ending, now_ms)).await,
            _ => {
                planted::spoil(&self.ledger, &mut settlement, now_ms).await;
                self.settler.settle(settlement, held).await;
            }
        }
    }

    /// Completes and writes a job's last settlement. The event is written first, and only then do the log and the
    /// upstream hear of the end. A pod that lost the job does not cancel its task: the task is left to the pod that has
    /// the job.
    async fn settle_end(
        &self,
        held: HeldStep,
        seen: &Observation,
        mut settlement: Box<Settlement>,
        ending: Ending,
        now_ms: u64,
    ) {
        let step = Arc::clone(&held.step);
        // If the pod has to leave before Redis has returned the job, another pod ends it.
        let Ok(end) = self.end(&step, seen, &settlement.transition.record, ending, now_ms).await else { return };
        let logged = EndLog::of(&end.event, seen);
        settlement.end = Some(Box::new(end));
        planted::spoil(&self.ledger, &mut settlement, now_ms).await;
        let fence = settlement.fence;
        let cancelled = &settlement.transition.record;
        let cancelled = (cancelled.phase == Phase::Cancelled).then(|| cancelled.clone());
        if !self.settler.settle(settlement, held).await.is_some_and(Settled::is_written) {
            return;
        }
        logged.tell(now_ms);
        if let Some(record) = cancelled {
            self.canceller.hand_in(&step.job, fence, &record);
        }
    }

    /// Makes the settlement, except what goes with an end.
    fn settlement(&self, step: &Step, hold: &Hold, seen: &Observation, now_ms: u64) -> Settlement {
        let transition = self.decide(step, hold, seen, now_ms);
        tell_of_pause(step, &transition);
        self.upstream_log.note(transition.pressure, &transition.record.reason);
        if matches!(step.record.phase, Phase::Polling | Phase::Held) {
            self.upstream_log.note_poll(seen);
        }
        self.slow_start.note(transition.pressure);
        if transition.pressure == Pressure::Accepted {
            self.accepted_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        if seen.shows_the_task() {
            self.shown_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        Settlement {
            job: step.job.clone(),
            fence: step.fence,
            kept_until_ms: hold.kept_until_ms(self.ledger.kept_for(), now_ms),
            job_json: step.job_json.as_ref().filter(|_| transition.pressure.may_have_cost()).cloned(),
            progress: self.progress(step, seen, &transition),
            transition,
            end: None,
        }
    }

    /// What is published of a poll that shows something new.
    fn progress(&self, step: &Step, seen: &Observation, transition: &Transition) -> Option<Box<Progress>> {
        let (before, now) = (&step.record, &transition.record);
        let is_news = (&before.task, &before.status, before.progress) != (&now.task, &now.status, now.progress);
        if self.progress_events == 0 || !is_news || now.task.is_none() || !matches!(transition.next, Next::Poll(_)) {
            return None;
        }
        let image_url = match seen {
            Observation::Running(task) | Observation::WaitsForInput(task) => task.image_url.clone(),
            _ => String::new(),
        };
        Some(Box::new(Progress { image_url, keep: self.progress_events }))
    }

    fn decide(&self, step: &Step, hold: &Hold, seen: &Observation, now_ms: u64) -> Transition {
        let pace = self.paces.of(&step.record);
        let at = Circumstances {
            now_ms,
            claimed_ms: step.claimed_ms,
            place_ms: hold.place().granted_ms(),
            jitter: rand::random(),
            fence: step.fence,
            reclaims: step.flags.reclaims,
            pace: pace.as_deref(),
            last_accepted_ms: self.accepted_ms.load(Ordering::Relaxed),
            last_shown_ms: self.shown_ms.load(Ordering::Relaxed),
            // Without a rate, no poll has to make room for others.
            polls_late: if self.polls_are_paced { self.paces.late() } else { Duration::ZERO },
            policy: &self.policy,
        };
        next(&step.record, seen, at).unwrap_or_else(|illegal| {
            error!(job.id = %step.job, "job {}: {illegal}; this is a bug, and costs the job its step", step.job);
            // It is unknown now whether a submit was sent.
            next(&step.record, &Observation::WorkerDied, at).unwrap_or_else(|_| set_aside(step))
        })
    }

    /// Makes what goes with the end of a job, whose last state is `record`.
    async fn end(
        &self,
        step: &Step,
        seen: &Observation,
        record: &Record,
        ending: Ending,
        now_ms: u64,
    ) -> Result<JobEnd, Abandoned> {
        let has_follow_ups = record.phase == Phase::Completed && step.record.has_follow_ups;
        let follow_ups =
            if has_follow_ups { read_follow_ups(&self.ledger, &self.memory, &step.job).await? } else { Vec::new() };
        let then: Vec<JobId> = follow_ups.iter().filter_map(|job| job.id.clone()).collect();
        let event = event_of(&step.job, record, ending, seen, now_ms, then);
        let ran = match seen {
            Observation::Succeeded(task) => {
                let told = self.proves_hooks(&step.record).then_some(step.flags.is_end_told);
                Ran::of(record, step.record.span, task, told, now_ms)
            }
            _ => None,
        };
        let revisit_after = first_revisit(record, ending, &self.policy);
        Ok(JobEnd { event, ran, revisit_after, follow_ups })
    }

    /// Whether the end of the job's task says something about hooks: the upstream was asked to call mjq, and has had
    /// nothing else to report of this job before.
    fn proves_hooks(&self, record: &Record) -> bool {
        let is_plain = record.earlier_tasks.is_empty() && record.inputs_used == 0;
        is_plain && self.policy.adoption.hook && !record.has_own_hook
    }
}

/// Logs a long pause. All submits or polls wait for as long as the upstream asks, and an operator will want to know
/// why.
fn tell_of_pause(step: &Step, Transition { record, pressure, .. }: &Transition) {
    const LONG: Duration = Duration::from_secs(30);
    let (what, pause) = match pressure {
        Pressure::Saturated(pause) => ("submits", *pause),
        Pressure::Throttled(pause) => ("polls", *pause),
        _ => return,
    };
    if pause >= LONG {
        let (job, seconds, reason) = (&step.job, pause.as_secs(), &record.reason);
        warn!(job.id = %job, seconds, "the upstream wants no {what} for {seconds} s, it says on job {job}: {reason}");
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
