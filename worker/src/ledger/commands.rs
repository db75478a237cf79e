//! Commands about one job, and hints about one.

use mjq_producer::contract::{JobId, TaskId};

use super::{Abandoned, Ledger, arg, scripts};

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAnswer {
    /// The job's next step ends it.
    Marked,
    /// It had ended before.
    Ended,
    /// There is no such job.
    NotKnown,
}

impl Ledger {
    /// Marks a job to be cancelled; its next step, which is now, ends it.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn cancel(&self, job: &JobId) -> Result<CancelAnswer, Abandoned> {
        Ok(match self.call::<u8>(&scripts::CANCEL, &[arg(job)]).await? {
            1 => CancelAnswer::Marked,
            2 => CancelAnswer::Ended,
            _ => CancelAnswer::NotKnown,
        })
    }

    /// Moves a job's next look to now, because a hook said so; `task` helps if its id is not known.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn hint(&self, job: &JobId, task: Option<&TaskId>) -> Result<bool, Abandoned> {
        let task = task.map(TaskId::as_str).unwrap_or_default();
        self.call(&scripts::HINT, &[arg(job), arg(task)]).await
    }
}
