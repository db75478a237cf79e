//! A fake producer, for unit tests of services that enqueue jobs: it needs no Redis, and keeps what it is given.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    contract::{Command, Job, JobId, MAX_JOB_BYTES},
    producer::{Enqueue, EnqueueError, checked_json},
};

/// Takes jobs and commands as a [`crate::Producer`] does, and refuses the same ones. Clones share what was taken.
///
/// ```
/// use mjq_producer::{Enqueue, EnqueueError, FakeProducer, ImagineJob};
///
/// async fn order_picture(queue: &impl Enqueue, order: u32) -> Result<(), EnqueueError> {
///     let job = ImagineJob::new("a red fox").id(&format!("order-{order}")).build().expect("a valid job");
///     queue.enqueue(&job).await.map(|_| ())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let queue = FakeProducer::default();
/// order_picture(&queue, 1842).await?;
/// assert_eq!(queue.jobs()[0].0.as_str(), "order-1842");
///
/// queue.fail_next();
/// assert!(order_picture(&queue, 1843).await.is_err());
/// # Ok::<(), EnqueueError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FakeProducer(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    jobs: Vec<(JobId, Job)>,
    commands: Vec<Command>,
    entries: u64,
    fails_next: bool,
}

impl FakeProducer {
    /// The jobs that were enqueued, in order, with their ids.
    #[must_use]
    pub fn jobs(&self) -> Vec<(JobId, Job)> {
        self.taken().jobs.clone()
    }

    /// The commands that were sent, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        self.taken().commands.clone()
    }

    /// Makes the next call fail as if Redis had not answered. Nothing of it is taken.
    pub fn fail_next(&self) {
        self.taken().fails_next = true;
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The id of the next entry of the stream, as Redis would name it.
    fn next_entry(&mut self) -> Result<JobId, EnqueueError> {
        self.entries += 1;
        let entry = JobId::new(&format!("1700000000000-{}", self.entries)).ok();
        entry.filter(|_| !std::mem::take(&mut self.fails_next)).ok_or_else(|| {
            let cause = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
            EnqueueError::Redis { stream: "fake".to_owned(), cause }
        })
    }
}

impl Enqueue for FakeProducer {
    async fn enqueue(&self, job: &Job) -> Result<JobId, EnqueueError> {
        checked_json(job, MAX_JOB_BYTES)?;
        let mut taken = self.taken();
        let entry = taken.next_entry()?;
        let id = job.id.clone().unwrap_or(entry);
        taken.jobs.push((id.clone(), job.clone()));
        Ok(id)
    }

    async fn send(&self, command: &Command) -> Result<(), EnqueueError> {
        let mut taken = self.taken();
        taken.next_entry()?;
        taken.commands.push(command.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActionJob, ImagineJob};

    #[tokio::test]
    async fn jobs_and_commands_are_kept_in_order_with_their_ids() {
        let queue = FakeProducer::default();
        let named = ImagineJob::new("a red fox").id("order-1842").build().unwrap();
        let unnamed = ImagineJob::new("a red fox").build().unwrap();

        let ids = [queue.enqueue(&named).await.unwrap(), queue.enqueue(&unnamed).await.unwrap()];
        queue.send(&Command::Cancel(ids[0].clone())).await.unwrap();

        assert_eq!(ids[0].as_str(), "order-1842");
        let kept: Vec<JobId> = queue.jobs().into_iter().map(|(id, _)| id).collect();
        assert_eq!((kept, queue.commands().len()), (ids.to_vec(), 1));
    }

    #[tokio::test]
    async fn what_a_producer_refuses_is_refused_and_a_failure_takes_nothing() {
        let queue = FakeProducer::default();
        let mut action = ActionJob::button_of("grid", "U1").id("a").build().unwrap();
        action.id = Some(JobId::new("grid").unwrap());
        let large = ImagineJob::new(&"x".repeat(MAX_JOB_BYTES)).build().unwrap();

        assert!(matches!(queue.enqueue(&action).await, Err(EnqueueError::Invalid(_))));
        assert!(matches!(queue.enqueue(&large).await, Err(EnqueueError::TooLarge { .. })));
        queue.fail_next();
        let fox = ImagineJob::new("a red fox").build().unwrap();
        assert!(matches!(queue.enqueue(&fox).await, Err(EnqueueError::Redis { .. })));
        assert!(queue.jobs().is_empty());

        assert!(queue.enqueue(&fox).await.is_ok(), "only the next one fails");
    }
}
