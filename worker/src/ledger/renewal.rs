//! Renewal: a step that runs keeps its job.

use std::time::Duration;

use mjq_producer::contract::JobId;

use super::{Abandoned, Ledger, arg, scripts};

/// A step that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// The claim that it is held under.
    pub fence: u64,
}

impl Ledger {
    /// Lengthens the leases of `holdings` to `lease` from now, and returns the jobs that are lost.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn renew(&self, holdings: &[Holding], lease: Duration) -> Result<Vec<JobId>, Abandoned> {
        let mut args = vec![arg(lease.as_millis())];
        for Holding { job, fence } in holdings {
            args.extend([arg(job), arg(fence)]);
        }
        let lost: Vec<String> = self.call(&scripts::RENEW, &args).await?;
        Ok(lost.iter().filter_map(|id| JobId::new(id).ok()).collect())
    }
}
