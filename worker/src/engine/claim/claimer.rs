//! The claimer: claims as many steps as there are free slots, when there may be steps to claim.

use std::{collections::HashSet, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    room::WishForRoom,
    slot::{HeldStep, Slots},
    slow_start::SlowStart,
    stagger::Stagger,
};
use crate::{
    engine::{
        alarm::Alarm,
        crash_point::{self, CrashPoint},
        liveness::Liveness,
        poll::{ListSupport, PollBudget},
    },
    ledger::{ClaimLimits, Claimed, Ledger, UnreadableStep, Wanted},
    lifecycle::Phase,
};

/// Claims steps until the pod drains.
pub(crate) struct Claimer {
    pub(crate) ledger: Ledger,
    pub(crate) pod: String,
    pub(crate) limits: ClaimLimits,
    pub(crate) lists: ListSupport,
    pub(crate) budget: PollBudget,
    pub(crate) slots: Slots,
    pub(crate) slow_start: SlowStart,
    pub(crate) claimed: mpsc::Sender<HeldStep>,
    /// Brought forward when this pod admits a job, or puts a job back that is due soon.
    pub(crate) alarm: Alarm,
    pub(crate) stagger: Stagger,
    pub(crate) room: WishForRoom,
    pub(crate) draining: CancellationToken,
    pub(crate) liveness: Liveness,
}

impl Claimer {
    /// The longest wait between claims while slots are free: another pod may have admitted a job without this pod
    /// hearing of it.
    pub(crate) const MAX_IDLE: Duration = Duration::from_secs(1);
    /// The pause after each claim: slots that become free and steps that become due within it share the next claim.
    const GATHER: Duration = Duration::from_millis(12);

    /// Claims until the pod drains. Then the claimer's end of the channel closes, and apalis ends.
    pub(crate) async fn run(self) {
        let (mut serial, mut unreadable) = (0_u64, HashSet::new());
        while !self.draining.is_cancelled() {
            // All slots may be busy with a slow upstream for as long as exchanges may take.
            self.liveness.rest("claimer");
            tokio::select! {
                () = self.slots.wait_for_one() => {}
                () = self.draining.cancelled() => break,
            }
            self.liveness.beat("claimer", Self::MAX_IDLE);
            serial += 1;
            self.alarm.wind();
            let Some(claimed) = self.claim(serial).await else { break };
            self.room.note(claimed.submits_wait_for_room);
            if let Some(more_after) = claimed.more_after {
                let stand_back = match claimed.steps.as_slice() {
                    [] => self.stagger.stand_back(rand::random()),
                    _ => Duration::ZERO,
                };
                self.alarm.ring_within(more_after + stand_back);
            }
            if claimed.steps.iter().any(|step| step.record.phase == Phase::Submitting) {
                crash_point::come_by(CrashPoint::AfterClaim);
            }
            for step in claimed.steps {
                // The claimer claims no more steps than there are free slots, and nothing else takes a slot. The
                // channel has room for every slot, so this never waits.
                let is_submit = step.record.phase == Phase::Submitting;
                if let Some(mut held) = self.slots.hold(step) {
                    held.unanswered = is_submit.then(|| self.slow_start.begin());
                    drop(self.claimed.send(held).await);
                }
            }
            self.release(&claimed.unreadable, &mut unreadable).await;
            tokio::time::sleep(Self::GATHER).await;
            tokio::select! {
                () = self.alarm.rung() => {}
                () = self.draining.cancelled() => {}
            }
        }
        self.liveness.rest("claimer");
    }

    /// Puts steps back that this version of mjq cannot read, for about a lease; `known` holds the jobs that it met
    /// before.
    async fn release(&self, steps: &[UnreadableStep], known: &mut HashSet<String>) {
        /// Each job is logged once, unless there are more than this many.
        const MANY: usize = 10_000;
        if known.len() > MANY {
            known.clear();
        }
        for UnreadableStep { job, .. } in steps {
            if known.insert(job.clone()) {
                error!(job.id = %job, "the record of job {job} cannot be read: was it written by a later version of mjq?");
            }
        }
        // If the pod has to leave before this is done, the leases run out.
        let _ = self.ledger.release(steps, self.limits.lease).await;
    }

    async fn claim(&self, serial: u64) -> Option<Claimed> {
        let began = Instant::now();
        let polls_per_request = self.lists.polls_per_request();
        let wanted = Wanted { steps: self.slots.free(), submits: self.slow_start.room(), polls_per_request };
        let claimed = self.ledger.claim(&self.pod, &serial.to_string(), wanted, &self.limits).await.ok()?;
        if polls_per_request > 1 {
            // Steps that were taken over or are overdue were claimed without a place under the rate.
            let asked = claimed.steps.iter().filter(|step| {
                !step.flags.is_reclaimed
                    && !step.flags.is_overdue
                    && !matches!(step.record.phase, Phase::Queued | Phase::Submitting)
            });
            if let Some(step) = asked.clone().next() {
                let requests = asked.count().div_ceil(polls_per_request as usize);
                self.budget.prepay(requests, step.place_until.into());
            }
        }
        metrics::histogram!("mjq_claim_seconds").record(began.elapsed().as_secs_f64());
        Some(claimed)
    }
}
