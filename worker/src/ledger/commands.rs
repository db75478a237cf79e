//! Commands about one job.

use mjq_producer::contract::{JobId, ModalInput};

use super::{Abandoned, Ledger, arg, scripts};

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandAnswer {
    /// The job's next step will obey the command.
    Taken,
    /// The job had ended before.
    Ended,
    /// The command's entry is no longer in the stream: the command was obeyed before.
    Before,
    /// There is no such job. The command's entry is still in the stream.
    NotKnown,
}

impl CommandAnswer {
    fn read(answer: u8) -> Self {
        match answer {
            1 => Self::Taken,
            2 => Self::Ended,
            3 => Self::Before,
            _ => Self::NotKnown,
        }
    }
}

impl Ledger {
    /// Marks a job to be cancelled. Its next step, due now, ends it. `entry` is the stream entry of the command, if
    /// there is one; it leaves the stream in the same act.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn cancel(&self, job: &JobId, entry: Option<&str>) -> Result<CommandAnswer, Abandoned> {
        self.call(&scripts::CANCEL, &[arg(job), arg(entry.unwrap_or_default())]).await.map(CommandAnswer::read)
    }

    /// Gives the input that a job's task waits for. `entry`, which brought the input, leaves the stream in the same
    /// act.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn give_input(&self, entry: &str, input: &ModalInput) -> Result<CommandAnswer, Abandoned> {
        // An input consists of strings, which serde_json always accepts.
        let json = serde_json::to_vec(input).unwrap_or_default();
        self.call(&scripts::MODAL, &[arg(&input.job), arg(entry), json]).await.map(CommandAnswer::read)
    }

    /// How many bytes the latest input that was given for a job has.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn input_bytes(&self, job: &JobId) -> Result<u64, Abandoned> {
        let mut command = redis::cmd("HSTRLEN");
        command.arg(self.job_key("more", job)).arg("modal");
        self.until_answered("read_input_size", || self.link().query(&command)).await
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::{RedisLink, contract::Entry};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        ledger::Admission,
        lifecycle::{Policy, Record},
    };

    async fn a_ledger() -> anyhow::Result<Ledger> {
        let link = RedisLink::open(mjq_harness::shared_redis().await?.url())?;
        let retention = Duration::from_secs(3600);
        Ok(Ledger::new(link, mjq_harness::unique_queue().parse()?, retention, CancellationToken::new()))
    }

    async fn add(ledger: &Ledger, json: &str) -> anyhow::Result<String> {
        let mut add = redis::cmd("XADD");
        add.arg(ledger.queue().jobs_stream()).arg("*").arg("v").arg(1).arg("job").arg(json);
        Ok(ledger.link().query(&add).await?)
    }

    async fn admit(ledger: &Ledger, job: &str) -> anyhow::Result<JobId> {
        let json = format!(r#"{{"id":"{job}","kind":"imagine","request":{{"prompt":"a red fox"}}}}"#);
        let entry = add(ledger, &json).await?;
        let Entry::Job(job) = Entry::read(None, Some(json.as_bytes()), 1 << 20)? else { anyhow::bail!("no job") };
        let (id, record) = (job.id.clone().unwrap(), Record::admit(&job, 1, &Policy::default()));
        ledger.admit(&[Admission { entry, id: id.clone(), json, job: *job, record }], true).await?;
        Ok(id)
    }

    async fn left(ledger: &Ledger) -> anyhow::Result<u64> {
        Ok(ledger.link().query(redis::cmd("XLEN").arg(ledger.queue().jobs_stream())).await?)
    }

    #[tokio::test]
    async fn an_input_that_is_read_again_does_not_replace_a_later_one() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let job = admit(&ledger, "a").await?;
        let input = |prompt: &str| ModalInput { job: job.clone(), prompt: Some(prompt.to_owned()), mask_base64: None };
        let (first, second) = (add(&ledger, "1").await?, add(&ledger, "2").await?);

        assert_eq!(ledger.give_input(&first, &input("first")).await?, CommandAnswer::Taken);
        assert_eq!(ledger.give_input(&second, &input("second")).await?, CommandAnswer::Taken);
        // Another pod had read the first command as well.
        assert_eq!(ledger.give_input(&first, &input("first")).await?, CommandAnswer::Before);

        assert_eq!(ledger.input(&job).await?, Some(input("second")));
        assert_eq!(left(&ledger).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_command_leaves_the_stream_as_it_is_obeyed_and_waits_there_for_its_job() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let (job, entry) = (JobId::new("a")?, add(&ledger, "1").await?);

        assert_eq!(ledger.cancel(&job, Some(&entry)).await?, CommandAnswer::NotKnown);
        assert_eq!(left(&ledger).await?, 1);
        admit(&ledger, "a").await?;

        assert_eq!(ledger.cancel(&job, Some(&entry)).await?, CommandAnswer::Taken);
        assert_eq!(left(&ledger).await?, 0);
        assert_eq!(ledger.cancel(&job, None).await?, CommandAnswer::Taken, "over HTTP no entry brings it");
        Ok(())
    }
}
