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

impl Ledger {
    /// Tells Redis of steps that `pod` has under way. Returns for each whether Redis had lost the claim; it then
    /// has it again, with a new lease.
    ///
    /// `is_all` says that the pod has nothing more to tell. Once all pods have said so, claims go on after another
    /// server has come into charge.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn reassert(
        &self,
        pod: &str,
        steps: &[Asserted],
        lease: Duration,
        is_all: bool,
    ) -> Result<Vec<bool>, Abandoned> {
        let mut args = vec![arg(pod), arg(lease.as_millis()), arg(u8::from(is_all)), arg(self.0.pods_seen.most())];
        for Asserted { step, kept_until_ms } in steps {
            let Step { job, fence, record, .. } = &**step;
            args.extend([arg(job), arg(fence), arg(kept_until_ms)]);
            args.extend([arg(record.phase), arg(record.to_text()), arg(record.deadline_ms)]);
        }
        let restored: Vec<u8> = self.call(&scripts::REASSERT, &args).await?;
        Ok(restored.into_iter().map(|restored| restored == 1).collect())
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
