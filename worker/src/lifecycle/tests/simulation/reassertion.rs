//! The model of `scripts/reassert.lua` and `scripts/prelude/server.lua`: what pods report to a Redis that has lost its
//! last writes.

use std::collections::BTreeSet;

use mjq_producer::contract::JobId;

use super::{
    ledger_model::{ClaimedStep, LedgerModel, Row, lease_of},
    sabotage::Sabotage,
};

/// The ledger's knowledge of the server on which it runs, and of the pods that have reported their claims.
#[derive(Debug, Default, Clone)]
pub(super) struct Reassertion {
    /// The server in charge. A restored snapshot does not change it.
    pub(super) server: u64,
    known: Option<u64>,
    gate_ms: u64,
    /// When the gate was closed; this time is also the gate's name.
    gated_ms: u64,
    reported: BTreeSet<String>,
    /// The pods that have registered, and have not ended.
    pub(super) pods: BTreeSet<String>,
}

impl LedgerModel {
    const GATE_MS: u64 = 8_000;

    /// The time until which nothing is claimed.
    pub(super) fn server_gate(&mut self, now_ms: u64) -> u64 {
        let reassertion = &mut self.reassertion;
        if reassertion.known != Some(reassertion.server) {
            if reassertion.known.is_some() {
                (reassertion.gate_ms, reassertion.gated_ms) = (now_ms + Self::GATE_MS, now_ms);
            }
            reassertion.known = Some(reassertion.server);
            reassertion.reported.clear();
        }
        if self.sabotage == Some(Sabotage::NoGate) { 0 } else { reassertion.gate_ms }
    }

    /// Whether a claim is newer than everything that the ledger knows of the job.
    pub(super) fn has_forgotten(&self, job: &JobId, fence: u64, is_recent: bool) -> bool {
        // If the job ended under the claim before, its event exists. A retry leaves out a fence, so it is not affected.
        let has_ended = |row: &Row| row.phase.is_terminal() && row.last + 1 == fence;
        self.jobs.get(job).map_or(is_recent, |row| row.last < fence && !has_ended(row))
    }

    /// Returns the closed gate (0 for none), and for each step whether the ledger had forgotten it.
    pub(super) fn reassert(
        &mut self,
        pod: &str,
        steps: &[(ClaimedStep, bool)],
        lease_ms: u64,
        told: u64,
        now_ms: u64,
    ) -> (u64, Vec<bool>) {
        let gate = if self.server_gate(now_ms) > now_ms { self.reassertion.gated_ms } else { 0 };
        let mut restored = Vec::new();
        for (ClaimedStep { job, fence, record, .. }, is_recent) in steps {
            let lease = lease_of(job, *fence);
            let is_leased = self.is_leased(job, *fence);
            if is_leased {
                self.leases.add(&lease, now_ms + lease_ms);
            }
            let is_lost = !is_leased && self.has_forgotten(job, *fence, *is_recent);
            restored.push(is_lost);
            if !is_lost {
                continue;
            }
            self.leave_lanes(job);
            let row = self.jobs.entry(job.clone()).or_insert_with(|| Row::new(record.clone(), ""));
            let forgotten = lease_of(job, row.last + 1);
            (row.fence, row.last, row.phase, row.record) = (*fence, fence - 1, record.phase, record.clone());
            pod.clone_into(&mut row.holder);
            self.leases.remove(&forgotten);
            self.leases.add(&lease, now_ms + lease_ms);
            self.deadlines.add(job, record.deadline_ms);
            self.restored += 1;
        }
        let reassertion = &mut self.reassertion;
        if gate != 0 && gate == told {
            reassertion.reported.insert(pod.to_owned());
            if reassertion.pods.is_subset(&reassertion.reported) {
                reassertion.gate_ms = 0;
            }
        }
        (gate, restored)
    }
}
