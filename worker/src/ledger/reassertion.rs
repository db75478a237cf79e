//! The reassertion: a pod reports the steps that it holds, to a Redis that may have lost its last writes.

use std::{sync::Arc, time::Duration};

use mjq_producer::contract::{Job, JobId};

use super::{
    Abandoned, Ledger, Step, arg,
    kept::{KeptAt, kept_request},
    scripts,
};
use crate::lifecycle::Record;

/// A step that a pod says it has under way.
#[derive(Debug, Clone)]
pub struct Asserted {
    /// The step.
    pub step: Arc<Step>,
    /// Until when the record of its job cannot have been swept, by Redis's clock, Unix milliseconds.
    pub kept_until_ms: u64,
}

/// The gate that keeps claims back until each pod has said what it holds.
///
/// Each loss of writes closes another gate. A gate is named by the time at which it was closed, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate(pub(super) u64);

impl Gate {
    /// No gate is closed.
    pub const OPEN: Self = Self(0);
}

impl Ledger {
    /// Tells Redis which steps `pod` has under way. Returns the gate that is closed, and for each step whether Redis
    /// had lost the claim. Redis then has the claim again, with a new lease.
    ///
    /// `told` is the gate that was closed when the pod began its report, if the report is complete; else
    /// [`Gate::OPEN`]. Claims go on once all pods have completed a report for the closed gate. If the returned gate
    /// differs from `told`, what the pod told before may be lost.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn reassert(
        &self,
        pod: &str,
        steps: &[Asserted],
        lease: Duration,
        told: Gate,
    ) -> Result<(Gate, Vec<bool>), Abandoned> {
        let mut args = vec![arg(pod), arg(lease.as_millis()), arg(told.0), arg(self.0.pods_seen.most())];
        for Asserted { step, kept_until_ms } in steps {
            let Step { job, fence, record, .. } = &**step;
            args.extend([arg(job), arg(fence), arg(kept_until_ms)]);
            args.extend([arg(record.phase), arg(record.to_text()), arg(record.deadline_ms)]);
        }
        let reply: Vec<u64> = self.call(&scripts::REASSERT, &args).await?;
        let mut reply = reply.into_iter();
        let gate = Gate(reply.next().unwrap_or_default());
        self.note_told(gate);
        Ok((gate, reply.map(|restored| restored == 1).collect()))
    }

    /// Restores requests that Redis may have lost: the jobs as they were enqueued, which hold the caller's `state` and
    /// the follow-ups. Requests that Redis still has stay as they are.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn restore_requests<'a>(
        &self,
        jobs: impl Iterator<Item = (&'a JobId, &'a Record, &'a str)>,
    ) -> Result<(), Abandoned> {
        let mut args = Vec::new();
        for (id, record, json) in jobs {
            let Ok(job) = serde_json::from_str::<Job>(json) else { continue };
            let state = job.request.state().unwrap_or_default();
            let text = kept_request(&job, record, &state, KeptAt::Inline, json);
            args.extend([arg(id), arg(text)]);
        }
        if args.is_empty() {
            return Ok(());
        }
        self.call::<u64>(&scripts::RESTORE, &args).await.map(|_| ())
    }
}
