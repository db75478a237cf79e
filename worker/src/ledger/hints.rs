//! Hints: what hooks say about tasks, and the secret that signs the addresses of hooks.

use mjq_producer::contract::{JobId, TaskId};

use super::{Abandoned, Ledger, arg, args::Args, scripts};

/// What an upstream told of a job's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskHint {
    /// The job.
    pub job: JobId,
    /// The task, which helps if its id is not known; `None` when none could be read.
    pub task: Option<TaskId>,
    /// Whether the task goes on: then it is looked at only if it was being looked for.
    pub goes_on: bool,
    /// When the job came that the hint is about, Unix milliseconds. A later job with the same id does not get the hint.
    /// `None` if the source of the hint does not know it.
    pub enqueued_ms: Option<u64>,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hinted {
    /// The job's next look is now.
    Moved,
    /// The job has ended at its deadline, and its task is looked at once more, now.
    RevisitMoved,
    /// A step is under way, and may have seen less than the hook tells: it is to be hinted again.
    UnderWay,
    /// There is nothing to look at.
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
    /// The secret that all pods of this queue sign hook addresses with; `fresh` becomes it if there is none.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn hook_secret(&self, fresh: &str) -> Result<String, Abandoned> {
        self.call(&scripts::HOOK_SECRET, &[arg(fresh)]).await
    }

    /// Moves the next looks at these jobs to now, because hooks said so. Returns what became of each hint.
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
