//! The producer: puts jobs and commands into the queue.

use redis::{Cmd, RedisError};

use crate::{
    LinkError, RedisLink,
    contract::{Command, Job, JobId, QueueName, RequestError, VERSION},
};

/// Puts jobs into one queue. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Producer {
    link: RedisLink,
    stream: String,
}

/// A job could not be enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The Redis URL cannot be used.
    #[error("the Redis URL cannot be used")]
    Url(#[from] LinkError),
    /// The job lacks something or has it wrong; nothing was sent.
    #[error("the job is not valid")]
    Invalid(#[from] RequestError),
    /// Redis did not answer. The job may be enqueued even so; enqueueing it again is harmless when it has an id.
    #[error("could not enqueue into {stream}")]
    Redis {
        /// The job stream.
        stream: String,
        /// What Redis or the network said.
        #[source]
        cause: RedisError,
    },
}

impl Producer {
    /// How many entries one round trip carries.
    const BATCH: usize = 500;

    /// Connects to a plain, TLS, Sentinel or Cluster URL, for one queue.
    ///
    /// # Errors
    /// [`EnqueueError::Url`] if the URL cannot be used, [`EnqueueError::Redis`] if nobody answers there.
    pub async fn connect(redis_url: &str, queue: &QueueName) -> Result<Self, EnqueueError> {
        let producer = Self::new(RedisLink::open(redis_url)?, queue);
        let ping: Result<String, _> = producer.link.query(&redis::cmd("PING")).await;
        ping.map(|_| ()).map_err(|cause| producer.error(cause))?;
        Ok(producer)
    }

    /// Takes a link that is there already.
    #[must_use]
    pub fn new(link: RedisLink, queue: &QueueName) -> Self {
        Self { link, stream: queue.jobs_stream() }
    }

    /// Enqueues one job and returns its id: its own, else the stream entry's.
    ///
    /// # Errors
    /// [`EnqueueError::Invalid`] before anything is sent; [`EnqueueError::Redis`] if Redis did not answer.
    pub async fn enqueue(&self, job: &Job) -> Result<JobId, EnqueueError> {
        job.validate()?;
        let entry: String = self.link.query(&self.xadd(&job_json(job))).await.map_err(|cause| self.error(cause))?;
        self.id_of(job, &entry)
    }

    /// Enqueues many jobs, 500 to a round trip, and returns their ids in order.
    ///
    /// All are checked before the first is sent.
    ///
    /// # Errors
    /// As [`Producer::enqueue`]. After [`EnqueueError::Redis`] some of them may be enqueued.
    pub async fn enqueue_many(&self, jobs: &[Job]) -> Result<Vec<JobId>, EnqueueError> {
        jobs.iter().try_for_each(Job::validate)?;
        let mut ids = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(Self::BATCH) {
            let mut pipeline = redis::pipe();
            for job in batch {
                pipeline.add_command(self.xadd(&job_json(job)));
            }
            let entries: Vec<String> = self.link.pipeline(&pipeline).await.map_err(|cause| self.error(cause))?;
            for (job, entry) in batch.iter().zip(&entries) {
                ids.push(self.id_of(job, entry)?);
            }
        }
        Ok(ids)
    }

    /// Sends a command about a job.
    ///
    /// # Errors
    /// [`EnqueueError::Redis`] if Redis did not answer. Sending a command again is harmless.
    pub async fn send(&self, command: &Command) -> Result<(), EnqueueError> {
        let json = serde_json::to_string(command).unwrap_or_default();
        let entry: Result<String, _> = self.link.query(&self.xadd(&json)).await;
        entry.map(|_| ()).map_err(|cause| self.error(cause))
    }

    fn xadd(&self, json: &str) -> Cmd {
        let mut command = redis::cmd("XADD");
        command.arg(&self.stream).arg("*").arg("v").arg(VERSION).arg("job").arg(json);
        command
    }

    fn id_of(&self, job: &Job, entry: &str) -> Result<JobId, EnqueueError> {
        match &job.id {
            Some(id) => Ok(id.clone()),
            // Redis names entries like 1700000000000-0, which is always a job id.
            None => JobId::new(entry).map_err(|_| {
                self.error((redis::ErrorKind::UnexpectedReturnType, "XADD did not answer with an entry id").into())
            }),
        }
    }

    fn error(&self, cause: RedisError) -> EnqueueError {
        EnqueueError::Redis { stream: self.stream.clone(), cause }
    }
}

fn job_json(job: &Job) -> String {
    // Strings, numbers and JSON that was read before: there is nothing here that serde_json refuses.
    serde_json::to_string(job).unwrap_or_default()
}
