//! The executor: performs one step with one HTTP exchange, and hands the observation on.
//!
//! Three kinds of steps may need a second exchange. A submit that a hook says was made already is preceded by a poll
//! (see `preparer`). A lost task is looked up by its hint, then by its `state`. A task that a list shows as ended is
//! polled once more, alone.

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant, SystemTime},
};

use mjq_producer::contract::TaskId;
use tokio::time::Instant;
use tracing::{debug, error};

use super::{
    preparer::{Preparer, Ready, waiting_task},
    recorder::Recorder,
    step_meter::StepMeter,
};
use crate::{
    engine::{
        claim::{HeldStep, Hold},
        crash_point::{self, CrashPoint},
        poll::{Finder, Poller},
        recovery::{Forgotten, RecentSubmits},
    },
    ledger::{Ledger, Step},
    lifecycle::{Act, Busy, Observation, Policy, Record},
    planted_bug::PlantedBug,
    telemetry::traces,
    upstream::Upstream,
};

/// Performs steps. All steps share it.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) ledger: Ledger,
    pub(crate) upstream: Upstream,
    pub(crate) poller: Poller,
    pub(crate) finder: Finder,
    pub(crate) recorder: Recorder,
    pub(crate) recent_submits: RecentSubmits,
    pub(crate) preparer: Preparer,
    pub(crate) policy: Arc<Policy>,
    pub(crate) lease: Duration,
    /// The longest time that one HTTP exchange takes.
    pub(crate) exchange: Duration,
    /// Whether a lost task can be looked for by its `state`.
    pub(crate) has_lookup: bool,
    pub(crate) meter: StepMeter,
}

impl Executor {
    /// How long a step may wait for Redis in all, before and after one exchange.
    const REDIS: Duration = Duration::from_secs(30);

    /// How long a step may take if an exchange takes `exchange` at most: a step may wait for Redis and make an
    /// exchange, twice. A step that takes longer hangs because of a bug, and is aborted.
    pub(crate) fn longest_step(exchange: Duration) -> Duration {
        (exchange + Self::REDIS) * 2
    }

    /// How long a submit may be prepared, if it was claimed `claimed_ago`.
    ///
    /// After half its lease, a claim may send nothing any more. And if a step is aborted, nobody knows whether it had
    /// sent its submit, so time is left for the submit itself.
    fn longest_preparation(lease: Duration, claimed_ago: Duration, exchange: Duration) -> Duration {
        (lease / 2).saturating_sub(claimed_ago).min(exchange + Self::REDIS / 2)
    }

    /// Performs `held`: acts, decides and writes the result down.
    pub(crate) async fn perform(&self, held: HeldStep) {
        let (step, hold) = (Arc::clone(&held.step), &held.hold);
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let act = self.act(&step);
        // All but the commonest act are boxed: a task's size is that of the largest future that it may wait for.
        let seen = match &act {
            Act::Submit => Box::pin(self.submit(&step, hold)).await,
            Act::Poll(task) => self.poll(&step, hold, task).await,
            Act::Adopt(hint) => Box::pin(self.adopt(&step, hold, hint.as_ref())).await,
            Act::Conclude(conclusion) => (*conclusion).into(),
        };
        let act = act_name(&act);
        self.meter.record(act, seen.name(), began.elapsed());
        debug!(job.id = %step.job, fence = step.fence, "job {}: {act} saw {}", step.job, seen.name());
        self.recorder.settle(held, &seen).await;
        if traces::are_on() {
            let (queue, job, fence) = (self.ledger.queue().as_str(), step.job.as_str(), step.fence);
            let (traceparent, observation) = (step.record.traceparent.as_str(), seen.name());
            traces::StepSpan { act, observation, queue, job, fence, traceparent, began: began_at }.end();
        }
    }

    fn act(&self, Step { record, flags, .. }: &Step) -> Act {
        match Act::of(record, flags, self.policy.max_reclaims) {
            submit @ Act::Submit => {
                let pace = self.recorder.paces.of(record);
                submit.in_time(record, pace.as_deref(), &self.policy, self.ledger.clock().now_ms())
            }
            act => act,
        }
    }

    /// Hands back a step that was claimed but not begun.
    pub(crate) async fn hand_back(&self, held: HeldStep) {
        let act = Act::of(&held.step.record, &held.step.flags, self.policy.max_reclaims);
        self.recorder.settle(held, &act.unbegun()).await;
    }

    async fn submit(&self, step: &Step, hold: &Hold) -> Observation {
        // The preparation waits no longer than this, even for Redis: a submit that has not left by then has not begun.
        let left = Self::longest_preparation(self.lease, step.claimed_at.elapsed(), self.exchange);
        let Ready { kind, body, room } = match tokio::time::timeout(left, self.preparer.prepare(step, hold)).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(seen)) => return *seen,
            Err(_) => return Observation::NotBegun,
        };
        if waiting_task(step).is_some() {
            return self.upstream.submit(kind, body).await;
        }
        let sending = match self.recent_submits.begin(step) {
            Ok(sending) => sending,
            Err(forgotten) => return self.remember(step, forgotten).await,
        };
        crash_point::come_by(CrashPoint::BeforePost);
        let seen = crash_point::in_exchange(self.upstream.submit(kind, body)).await;
        drop(room);
        sending.saw(&seen);
        crash_point::come_by(CrashPoint::AfterAnswer);
        match seen {
            Observation::Accepted { queue_position: 1.., .. } if PlantedBug::ResubmitOn22.is_planted() => {
                Observation::Refused { busy: Busy::WithoutId, retry_after: None, reason: String::new() }
            }
            seen => seen,
        }
    }

    /// Returns what was seen of a submit that Redis has forgotten, instead of making it again.
    async fn remember(&self, step: &Step, forgotten: Forgotten) -> Observation {
        let (job, fence) = (&step.job, step.fence);
        error!(job.id = %job, fence, "redis has forgotten that job {job} was submitted: suspected_rollback");
        // The count is only shown, so a failure does not matter.
        let _ = self.ledger.note_rollback().await;
        forgotten.seen().await
    }

    async fn poll(&self, step: &Step, hold: &Hold, task: &TaskId) -> Observation {
        if !hold.is_fresh(self.lease) {
            return Observation::NotBegun;
        }
        // A single poll may show a task, or parts of it, that a list leaves out.
        let is_last = step.flags.is_overdue;
        let Record { missing, incomplete_ms, alias, .. } = &step.record;
        let alone = is_last || missing.is_some() || incomplete_ms.is_some() || alias.is_some();
        let poll = self.poller.poll(task, alone, has_poll_place(step));
        let left = self.policy.time_for_a_poll(&step.record, self.ledger.clock().now_ms());
        let seen = if left > self.exchange {
            poll.await
        } else {
            // Boxed, because it is rare.
            let poll = Box::pin(tokio::time::timeout(left, poll));
            poll.await.unwrap_or_else(|_| Observation::NoVerdict {
                reason: "the upstream did not answer before the deadline".to_owned(),
                retry_after: None,
            })
        };
        self.preparer.requests.recognise(seen, &step.job, &step.record, self.ledger.clock().now_ms())
    }

    async fn adopt(&self, step: &Step, hold: &Hold, hint: Option<&TaskId>) -> Observation {
        if hint.is_none() && !self.has_lookup {
            return Observation::NotFound;
        }
        if !hold.is_fresh(self.lease) {
            return Observation::NotBegun;
        }
        let mut has_place = has_poll_place(step);
        if let Some(task) = hint {
            if !self.poller.may_poll_alone(std::mem::take(&mut has_place)).await {
                return Observation::NotBegun;
            }
            // The hint is not believed: the task exists only if the upstream shows it.
            match self.upstream.fetch(task).await.without_stranger() {
                seen if self.preparer.requests.is_anothers(&seen, &step.job, &step.record) => {
                    return Observation::NotFound;
                }
                seen if seen.shows_the_task() => return self.found(step, task, &seen).await,
                Observation::Missing if self.has_lookup => {}
                Observation::Missing => return Observation::NotFound,
                other => return other,
            }
        }
        let token = self.preparer.requests.last_token(&step.job, &step.record);
        let may_fetch = async {
            // The search may have waited for a list that other steps asked for.
            let has_place = has_place && has_poll_place(step);
            hold.is_fresh(self.lease) && self.poller.may_poll_alone(has_place).await
        };
        self.finder.find(&token, may_fetch).await
    }

    /// Says whether a task that exists is the job's. A hook that names it is proof. An id in a lost answer may be that of
    /// any task.
    async fn found(&self, step: &Step, task: &TaskId, seen: &Observation) -> Observation {
        let is_lead = step.flags.new_task(&step.record).is_none() && !step.record.is_answering;
        match is_lead.then_some(self.preparer.is_anothers_task(step, seen)) {
            None => Observation::Found(task.clone()),
            Some(is_anothers) => match is_anothers.await {
                Some(false) => Observation::Found(task.clone()),
                Some(true) => Observation::NotFound,
                None => Observation::NotBegun,
            },
        }
    }
}

/// Whether the claim brought a place under the rate of polls that still lasts. Steps that were taken over or are
/// overdue are claimed without asking for a place.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_is_prepared_while_its_claim_is_fresh_and_never_so_long_that_its_step_is_aborted() {
        let seconds = Duration::from_secs;
        let left =
            |lease, ago, exchange| Executor::longest_preparation(seconds(lease), seconds(ago), seconds(exchange));

        assert_eq!(left(15, 0, 30), Duration::from_millis(7500));
        assert_eq!(left(15, 5, 30), Duration::from_millis(2500));
        assert_eq!(left(15, 60, 30), Duration::ZERO);
        for exchange in [1, 30, 600] {
            for lease in [1, 15, 600, 86_400] {
                let in_all = left(lease, 0, exchange) + seconds(exchange);
                assert!(in_all + Executor::REDIS <= Executor::longest_step(seconds(exchange)), "{lease} {exchange}");
            }
        }
    }
}
