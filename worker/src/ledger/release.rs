//! The release: a step that this pod has claimed and cannot read goes back into its lane.

use std::time::Duration;

use super::{Abandoned, Ledger, args::Args, scripts};

/// A claimed step whose job this version of mjq cannot read, most likely because a later version has written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableStep {
    /// The job's id, as the ledger has it.
    pub job: String,
    /// The claim's fence, as the ledger has it.
    pub fence: String,
    /// When the step was claimed, by Redis's clock, in Unix milliseconds.
    pub claimed_ms: u64,
}

impl Ledger {
    /// Puts `steps` of one claim back into their lanes, where another pod can claim them after `delay`. Otherwise the
    /// lease of a submit would run out, and the next pod would have to assume that it was sent.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. Their leases then run out.
    pub async fn release(&self, steps: &[UnreadableStep], delay: Duration) -> Result<(), Abandoned> {
        let Some(UnreadableStep { claimed_ms, .. }) = steps.first() else { return Ok(()) };
        let mut args = Args::default();
        args.push(delay.as_millis());
        args.push(claimed_ms);
        for UnreadableStep { job, fence, .. } in steps {
            args.push_text(job);
            args.push_text(fence);
        }
        self.call_with::<u64>(&scripts::RELEASE, &args).await.map(|_| ())
    }
}
