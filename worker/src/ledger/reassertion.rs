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

/// The gate that keeps claims back until each pod has said what it holds: which one it is, or that it is open.
///
/// Each loss of writes closes another one. It is named by the time at which it was closed, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate(pub(super) u64);

impl Gate {
    /// No gate is closed.
    pub const OPEN: Self = Self(0);
}

impl Ledger {
    /// Tells Redis of steps that `pod` has under way. Returns the gate that is closed, and for each step whether Redis
    /// had lost the claim; it then has it again, with a new lease.
    ///
    /// `told` is the gate that was closed when the pod began to tell all that it now has told; [`Gate::OPEN`] if it has
    /// not told all. Once all pods have told the gate that is closed, claims go on. If another gate is returned than
    /// was `told`, what was told before may be lost.
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

    /// Restores what Redis may have lost of jobs beside their records: the jobs as they were enqueued, from which
    /// come the caller's `state` and the follow-ups. What Redis still has stays as it is.
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
