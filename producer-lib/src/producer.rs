//! The producer: puts jobs and commands into the queue.

use redis::{Cmd, RedisError};

use crate::{
    LinkError, RedisLink, RedisTopology,
    contract::{Command, Job, JobId, MAX_JOB_BYTES, QueueName, RequestError, VERSION},
};

/// Puts jobs into one queue. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Producer {
    link: RedisLink,
    stream: String,
    max_job_bytes: usize,
}

/// A job in the form in which it is sent.
struct Outgoing {
    /// The job's id; without one, the stream entry's id becomes the job's.
    id: Option<JobId>,
    json: String,
}

/// A job could not be enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The Redis URL cannot be used.
    #[error("the Redis URL cannot be used")]
    Url(#[from] LinkError),
    /// A field of the job is missing or wrong. Nothing was sent.
    #[error("the job is not valid")]
    Invalid(#[from] RequestError),
    /// The job is larger than workers take, and a worker could not even read its id. Nothing was sent.
    #[error("the job has {bytes} bytes; at most {max_bytes} are taken")]
    TooLarge {
        /// The size of the job's JSON.
        bytes: usize,
        /// The largest size that is sent.
        max_bytes: usize,
    },
    /// Redis did not answer. The job may be enqueued all the same. It is harmless to enqueue a job again if it has an
    /// id.
    #[error("could not enqueue into {stream}")]
    Redis {
        /// The job stream.
        stream: String,
        /// What Redis or the network said.
        #[source]
        cause: RedisError,
    },
}

/// Puts jobs and commands into a queue: a [`Producer`] does, and in unit tests a [`crate::FakeProducer`].
pub trait Enqueue {
    /// Enqueues one job and returns its id. See [`Producer::enqueue`].
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    fn enqueue(&self, job: &Job) -> impl Future<Output = Result<JobId, EnqueueError>> + Send;

    /// Sends a command about a job. See [`Producer::send`].
    ///
    /// # Errors
    /// As [`Producer::send`].
    fn send(&self, command: &Command) -> impl Future<Output = Result<(), EnqueueError>> + Send;
}

impl Enqueue for Producer {
    async fn enqueue(&self, job: &Job) -> Result<JobId, EnqueueError> {
        Self::enqueue(self, job).await
    }

    async fn send(&self, command: &Command) -> Result<(), EnqueueError> {
        Self::send(self, command).await
    }
}

/// The JSON of a job that may be sent.
pub(crate) fn checked_json(job: &Job, max_bytes: usize) -> Result<String, EnqueueError> {
    job.validate()?;
    // Strings, numbers and JSON that was read before: there is nothing here that serde_json refuses.
    let json = serde_json::to_string(job).unwrap_or_default();
    match json.len() {
        bytes if bytes > max_bytes => Err(EnqueueError::TooLarge { bytes, max_bytes }),
        _ => Ok(json),
    }
}

impl Producer {
    /// How many entries one round trip carries at most.
    const BATCH: usize = 500;
    /// How many bytes one round trip carries at most, except for a single larger job. A round trip has to end in time.
    const BATCH_BYTES: usize = 4 << 20;

    /// Connects to a plain, TLS, Sentinel or Cluster URL, for one queue.
    ///
    /// # Errors
    /// [`EnqueueError::Url`] if the URL cannot be used, [`EnqueueError::Redis`] if Redis does not answer there.
    pub async fn connect(redis_url: &str, queue: &QueueName) -> Result<Self, EnqueueError> {
        let producer = Self::new(RedisLink::open(redis_url)?, queue);
        let ping: Result<String, _> = producer.link.query(&redis::cmd("PING")).await;
        ping.map(|_| ()).map_err(|cause| producer.error(cause))?;
        Ok(producer)
    }

    /// Makes a producer from an existing link.
    #[must_use]
    pub fn new(link: RedisLink, queue: &QueueName) -> Self {
        Self { link, stream: queue.jobs_stream(), max_job_bytes: MAX_JOB_BYTES }
    }

    /// Sets the most bytes of JSON that a job may have. Needed if the workers' `MJQ_MAX_JOB_BYTES` is not 10 MiB.
    #[must_use]
    pub fn with_max_job_bytes(self, max_job_bytes: usize) -> Self {
        Self { max_job_bytes, ..self }
    }

    /// Enqueues one job and returns its id: the job's own id, else a random one on a Cluster, else the stream entry's
    /// id.
    ///
    /// A Cluster's client sends a command again after it has lost a connection. A job that has its own id is still one
    /// job if it arrives twice.
    ///
    /// # Errors
    /// [`EnqueueError::Invalid`] and [`EnqueueError::TooLarge`] before anything is sent; [`EnqueueError::Redis`] if
    /// Redis did not answer.
    pub async fn enqueue(&self, job: &Job) -> Result<JobId, EnqueueError> {
        let Outgoing { id, json } = self.outgoing(job)?;
        let entry: String = self.link.query(&self.xadd(&json)).await.map_err(|cause| self.error(cause))?;
        self.id_of(id, &entry)
    }

    /// Enqueues many jobs, up to 500 and 4 MiB per round trip, and returns their ids in order.
    ///
    /// All are checked before the first is sent.
    ///
    /// # Errors
    /// As [`Producer::enqueue`]. After [`EnqueueError::Redis`] some of the jobs may be enqueued.
    pub async fn enqueue_many(&self, jobs: &[Job]) -> Result<Vec<JobId>, EnqueueError> {
        let outgoing: Vec<Outgoing> = jobs.iter().map(|job| self.outgoing(job)).collect::<Result<_, _>>()?;
        let mut ids = Vec::with_capacity(jobs.len());
        while ids.len() < jobs.len() {
            let (from, mut bytes) = (ids.len(), 0);
            let mut pipeline = redis::pipe();
            for Outgoing { json, .. } in outgoing[from..].iter().take(Self::BATCH) {
                bytes += json.len();
                if bytes > Self::BATCH_BYTES && !pipeline.is_empty() {
                    break;
                }
                pipeline.add_command(self.xadd(json));
            }
            let entries: Vec<String> = self.link.pipeline(&pipeline).await.map_err(|cause| self.error(cause))?;
            for (outgoing, entry) in outgoing[from..].iter().zip(&entries) {
                ids.push(self.id_of(outgoing.id.clone(), entry)?);
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

    /// Prepares a job for sending, if it is valid.
    fn outgoing(&self, job: &Job) -> Result<Outgoing, EnqueueError> {
        if job.id.is_some() || self.link.topology() != RedisTopology::Cluster {
            return Ok(Outgoing { id: job.id.clone(), json: checked_json(job, self.max_job_bytes)? });
        }
        let id = Some(self.random_id()?);
        let json = checked_json(&Job { id: id.clone(), ..job.clone() }, self.max_job_bytes)?;
        Ok(Outgoing { id, json })
    }

    /// A random id of 32 hex digits.
    fn random_id(&self) -> Result<JobId, EnqueueError> {
        let mut bytes = [0; 16];
        let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
        let text = format!("{:032x}", u128::from_be_bytes(bytes));
        filled.ok().and_then(|()| JobId::new(&text).ok()).ok_or_else(|| {
            self.error((redis::ErrorKind::Client, "the operating system gave no random bytes for the job's id").into())
        })
    }

    fn xadd(&self, json: &str) -> Cmd {
        let mut command = redis::cmd("XADD");
        command.arg(&self.stream).arg("*").arg("v").arg(VERSION).arg("job").arg(json);
        command
    }

    fn id_of(&self, id: Option<JobId>, entry: &str) -> Result<JobId, EnqueueError> {
        match id {
            Some(id) => Ok(id),
            // Redis names entries like 1700000000000-0. Such a name is always a valid job id.
            None => JobId::new(entry).map_err(|_| {
                self.error((redis::ErrorKind::UnexpectedReturnType, "XADD did not answer with an entry id").into())
            }),
        }
    }

    fn error(&self, cause: RedisError) -> EnqueueError {
        EnqueueError::Redis { stream: self.stream.clone(), cause }
    }
}
