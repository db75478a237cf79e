//! The reasserter: after a restart or a failover of Redis, reports what this pod knows, in case Redis lost its last
//! writes.
//!
//! A Redis that has forgotten a submit would give the job out once more. So each pod reports which steps it holds and
//! how its latest submits ended. Until all pods have reported, or the wait for a missing pod is over, Redis grants no
//! claims (`scripts/prelude/server.lua`). A report changes nothing that Redis still knows.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mjq_producer::{RedisLink, contract::JobId};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    engine::{alarm::Alarm, claim::Slots, liveness::Liveness},
    ledger::{Abandoned, Asserted, Gate, Ledger, Settled, Settlement},
};

/// Reports this pod's claims and latest submits to Redis when the pod starts, and after each outage.
pub(crate) struct Reasserter {
    pub(crate) ledger: Ledger,
    pub(crate) pod: String,
    pub(crate) slots: Slots,
    pub(crate) submits: LatestSubmits,
    pub(crate) lease: Duration,
    /// The claimer's alarm: claims may go on after the report.
    pub(crate) alarm: Alarm,
    pub(crate) liveness: Liveness,
}

/// The settlements of this pod's latest submits that Redis has acknowledged. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatestSubmits(Arc<Mutex<VecDeque<(Instant, Settlement)>>>);

impl Reasserter {
    /// The most steps or submits that one call reports: a script must not hold Redis for long, and everything has to be
    /// reported within seconds.
    const BATCH: usize = 128;
    /// How far back before an outage this pod reports, because Redis may have lost writes that it had acknowledged by
    /// then. With an append-only file it loses a second or two; a replica that is promoted may have been cut off for
    /// minutes.
    const REACH: Duration = Duration::from_secs(600);

    /// Reports at the start and after each outage, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut outages = self.ledger.outages();
        loop {
            outages.mark_unchanged();
            // A record whose retention is over must not be restored, so settlements that could be so old are not
            // reported.
            let reach = Self::REACH.min(self.ledger.kept_for() / 2);
            let since = Instant::now().checked_sub(reach).unwrap_or_else(Instant::now);
            let testified = self.testify(since).await;
            self.liveness.rest("reasserter");
            if testified.is_err() {
                return;
            }
            self.alarm.ring_within(Duration::ZERO);
            match stop.run_until_cancelled(outages.changed()).await {
                Some(Ok(())) => {}
                _ => return,
            }
        }
    }

    /// Reports the steps that are under way, and the submits settled `since` then; repeats the report if Redis lost
    /// writes again meanwhile.
    async fn testify(&self, since: Instant) -> Result<(), Abandoned> {
        self.beat();
        let (mut gate, _) = self.ledger.reassert(&self.pod, &[], self.lease, Gate::OPEN).await?;
        loop {
            self.tell_all(since).await?;
            self.beat();
            let (closed, _) = self.ledger.reassert(&self.pod, &[], self.lease, gate).await?;
            if closed == gate || closed == Gate::OPEN {
                return Ok(());
            }
            gate = closed;
        }
    }

    async fn tell_all(&self, since: Instant) -> Result<(), Abandoned> {
        let submits = self.submits.since(since);
        // The held steps come first: a job that is back in its lane may be claimed a moment later.
        for steps in self.slots.under_way(self.ledger.kept_for(), self.ledger.clock().now_ms()).chunks(Self::BATCH) {
            self.beat();
            let (_, restored) = self.ledger.reassert(&self.pod, steps, self.lease, Gate::OPEN).await?;
            for (Asserted { step, .. }, _) in steps.iter().zip(restored).filter(|(_, restored)| *restored) {
                tell(&step.job, step.fence, "is being worked on");
            }
            let jobs = steps.iter().map(|Asserted { step, .. }| (&step.job, &step.record, step.job_json.as_deref()));
            self.ledger.restore_requests(jobs.filter_map(|(id, record, json)| Some((id, record, json?)))).await?;
        }
        for submits in submits.chunks(Self::BATCH) {
            self.beat();
            // The requests come before the settlements: if a job has ended, its event bears the caller's state, which
            // is read from the request.
            self.ledger.restore_requests(submits.iter().filter_map(Settlement::enqueued)).await?;
            let settled = self.ledger.settle(submits).await?;
            for (submit, _) in submits.iter().zip(settled).filter(|(_, settled)| *settled == Settled::Restored) {
                tell(&submit.job, submit.fence, "was submitted");
            }
        }
        Ok(())
    }

    fn beat(&self) {
        self.liveness.beat("reasserter", RedisLink::RESPONSE_TIMEOUT);
    }
}

fn tell(job: &JobId, fence: u64, what: &str) {
    error!(job.id = %job, fence, "redis had lost that job {job} {what}, and knows it again: suspected_rollback");
}

impl LatestSubmits {
    /// The most settlements that are kept: some megabytes, and about a minute of a busy pod.
    const CAPACITY: usize = 4096;

    /// Keeps the written settlement of a submit that may have made a task.
    pub(crate) fn keep(&self, settlement: Settlement) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == Self::CAPACITY {
            latest.pop_front();
        }
        latest.push_back((Instant::now(), settlement));
    }

    /// The settlements since `moment`. Of each job only the last is returned, which holds its current state.
    fn since(&self, moment: Instant) -> Vec<Settlement> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut jobs = HashSet::new();
        let recent = latest.iter().rev().take_while(|(at, _)| *at >= moment);
        recent.filter(|(_, it)| jobs.insert(&it.job)).map(|(_, settlement)| settlement.clone()).collect()
    }
}
