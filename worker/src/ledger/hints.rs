//! Hints: what hooks say about tasks, and the secret that signs the addresses of hooks.

use mjq_producer::contract::{JobId, TaskId};

use super::{Abandoned, Ledger, arg, args::Args, scripts};

/// What a hook told of a job's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskHint {
    /// The job.
    pub job: JobId,
    /// The task's id, for a job that does not know it; `None` if the hook's could not be read.
    pub task: Option<TaskId>,
    /// Whether the task goes on: then mjq polls it only if it was looking for it.
    pub goes_on: bool,
    /// When the job of the hint was enqueued, Unix milliseconds. A later job with the same id does not get the hint.
    /// `None` if the source of the hint does not know the time.
    pub enqueued_ms: Option<u64>,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hinted {
    /// The next poll of the job's task is due now.
    Moved,
    /// The job has ended without its task, and the revisit of the task is due now.
    RevisitMoved,
    /// A step is under way, and may have seen less than the hook tells: the hint has to be sent again.
    UnderWay,
    /// There is nothing to poll.
    Nothing,
}

impl Hinted {
    fn read(answer: u8) -> Self {
        match answer {
            1 => Self::Moved,
            2 => Self::RevisitMoved,
            3 => Self::UnderWay,
            _ => Self::Nothing,
        }
    }
}

impl Ledger {
    /// The secret with which all pods of this queue sign hook addresses. If there is none yet, it becomes `fresh`.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn hook_secret(&self, fresh: &str) -> Result<String, Abandoned> {
        self.call(&scripts::HOOK_SECRET, &[arg(fresh)]).await
    }

    /// Makes the next polls of these jobs' tasks due now, because hooks said so. Returns what became of each hint.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn hint(&self, hints: &[TaskHint]) -> Result<Vec<Hinted>, Abandoned> {
        let mut args = Args::default();
        for hint in hints {
            args.push_text(hint.job.as_str());
            args.push_text(hint.task.as_ref().map(TaskId::as_str).unwrap_or_default());
            args.push(u8::from(hint.goes_on));
            args.push(hint.enqueued_ms.map(|ms| ms.to_string()).unwrap_or_default());
        }
        let answers: Vec<u8> = self.call_with(&scripts::HINT, &args).await?;
        Ok(answers.into_iter().map(Hinted::read).collect())
    }
}
