//! The retry: an operator's new attempt at a job that failed or was cancelled.

use mjq_producer::contract::JobId;

use super::{Abandoned, Ledger, arg, kept::KeptJob, scripts};
use crate::lifecycle::{Phase, Policy};

/// A job that was not retried, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// There is no such job, or no longer.
    #[error("there is no such job, or no longer")]
    NotKnown,
    /// Only a job that failed or was cancelled can be retried.
    #[error("the job is {0}; only a job that failed or was cancelled can be retried")]
    NotEnded(Phase),
    /// Somebody else changed the job at the same moment.
    #[error("the job changed at the same moment; look at it and try again")]
    Changed,
    /// Redis did not answer.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
}

impl Ledger {
    /// Retries a job that failed or was cancelled: a new attempt, perhaps a new charge, and a new event.
    ///
    /// # Errors
    /// [`RetryError`] says why not.
    pub async fn retry(&self, job: &JobId, policy: &Policy) -> Result<(), RetryError> {
        let text = self.job_text(job).await?;
        let kept = text.as_deref().and_then(KeptJob::read).ok_or(RetryError::NotKnown)?;
        if !matches!(kept.phase, Phase::Failed | Phase::Cancelled) {
            return Err(RetryError::NotEnded(kept.phase));
        }
        let (fence, record) = (kept.fence, kept.record().ok_or(RetryError::NotKnown)?);
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = self.until_answered("time", || self.link().query(&time)).await?;
        let record = record.revive(seconds * 1000 + micros / 1000, fence, policy);
        let args = [arg(job), arg(fence), arg(record.to_text()), arg(record.deadline_ms)];
        match self.call::<u8>(&scripts::RETRY, &args).await? {
            1 => Ok(()),
            2 => Err(RetryError::Changed),
            _ => Err(RetryError::NotKnown),
        }
    }

    /// Reads the text that the ledger keeps of a job; `None` if there is no such job, or no longer.
    pub(super) async fn job_text(&self, job: &JobId) -> Result<Option<String>, Abandoned> {
        let mut command = redis::cmd("GET");
        command.arg(self.job_key("job", job));
        self.until_answered("read_job", || self.link().query(&command)).await
    }
}
