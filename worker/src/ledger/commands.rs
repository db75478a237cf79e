//! Commands about one job.

use mjq_producer::contract::{JobId, ModalInput};

use super::{Abandoned, Ledger, arg, scripts};

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandAnswer {
    /// The job's next step obeys it.
    Taken,
    /// The job had ended before.
    Ended,
    /// There is no such job.
    NotKnown,
}

impl CommandAnswer {
    fn read(answer: u8) -> Self {
        match answer {
            1 => Self::Taken,
            2 => Self::Ended,
            _ => Self::NotKnown,
        }
    }
}

impl Ledger {
    /// Marks a job to be cancelled; its next step, which is now, ends it.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn cancel(&self, job: &JobId) -> Result<CommandAnswer, Abandoned> {
        self.call(&scripts::CANCEL, &[arg(job)]).await.map(CommandAnswer::read)
    }

    /// Gives the input that a job's task waits for. `entry` tells one input from the same one again.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn give_input(&self, entry: &str, input: &ModalInput) -> Result<CommandAnswer, Abandoned> {
        // Strings only: there is nothing that serde_json refuses.
        let json = serde_json::to_vec(input).unwrap_or_default();
        self.call(&scripts::MODAL, &[arg(&input.job), arg(entry), json]).await.map(CommandAnswer::read)
    }

    /// Reads the latest input that was given for a job.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn input(&self, job: &JobId) -> Result<Option<ModalInput>, Abandoned> {
        let mut command = redis::cmd("HGET");
        command.arg(self.job_key("more", job)).arg("modal");
        let json: Option<String> = self.until_answered("read_input", || self.link().query(&command)).await?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }
}
