//! Renewal: extends the leases of running steps.

use std::time::Duration;

use mjq_producer::contract::JobId;

use super::{Abandoned, Ledger, arg, scripts};

/// A step that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// The fence of the claim.
    pub fence: u64,
}

impl Holding {
    /// The name of this claim's lease.
    pub(super) fn lease(&self) -> String {
        lease_of(&self.job, self.fence)
    }
}

/// The name of a claim's lease.
pub(super) fn lease_of(job: &JobId, fence: u64) -> String {
    format!("{fence}:{job}")
}

/// The job of a lease.
pub(super) fn job_of(lease: &str) -> Option<JobId> {
    JobId::new(lease.split_once(':')?.1).ok()
}

impl Ledger {
    /// Renews the leases of `holdings` for `lease` from now, and returns the jobs whose leases are lost.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn renew(&self, holdings: &[Holding], lease: Duration) -> Result<Vec<JobId>, Abandoned> {
        let mut args = vec![arg(lease.as_millis())];
        args.extend(holdings.iter().map(|holding| arg(holding.lease())));
        let lost: Vec<String> = self.call(&scripts::RENEW, &args).await?;
        Ok(lost.iter().filter_map(|lease| job_of(lease)).collect())
    }
}
