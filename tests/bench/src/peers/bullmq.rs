//! bullmq-official, in its two styles: one worker whose handlers wait for their tasks, or one whose jobs do.

use std::time::SystemTime;

use anyhow::Context;
use bullmq::options::RedisConnectionOptions;
use bullmq::{BulkJob, Error, Job, Queue, QueueOptions, Worker, WorkerOptions, worker};
use serde_json::Value;

use super::{
    Peer,
    handler::{Handler, POLL_INTERVAL},
};
use crate::{contestant::Work, stage::until_abandoned, stream::QUEUE};

/// The key that tells how far it is.
pub(crate) const COMPLETED: &str = "bull:bench:completed";

/// Where a job waits for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// In the handler, which polls until the task has ended.
    Await,
    /// Among the delayed jobs: the handler submits or polls once, and puts the job there until the next poll.
    Snooze,
}

impl Style {
    fn concurrency(self, work: Work) -> usize {
        match self {
            Self::Await => Peer::concurrency(work),
            // No handler waits for a task: as many as mjq has slots.
            Self::Snooze => 256,
        }
    }
}

fn connection(redis_url: &str) -> RedisConnectionOptions {
    RedisConnectionOptions { url: redis_url.to_owned(), ..RedisConnectionOptions::default() }
}

/// Works until standard input closes.
pub(super) async fn run(style: Style, work: Work, redis_url: &str, upstream_url: &str) -> anyhow::Result<()> {
    let handler = Handler::new(redis_url, upstream_url).await?;
    let perform = move |job: Job, _: worker::CancellationToken| {
        let handler = handler.clone();
        async move {
            match (work, style) {
                (Work::Nothing, _) => {}
                (Work::Pipeline, Style::Await) => handler.perform(job.data()).await.map_err(failed)?,
                (Work::Pipeline, Style::Snooze) => step(&handler, job).await?,
            }
            Ok(Value::Null)
        }
    };
    let options = WorkerOptions {
        connection: connection(redis_url),
        concurrency: style.concurrency(work),
        ..WorkerOptions::default()
    };
    let _worker = Worker::with_options(QUEUE, perform, options).await.context("the worker did not start")?;
    println!("ready");
    until_abandoned().await;
    Ok(())
}

/// Submits the job or polls its task, and unless that has ended puts the job aside until the next poll.
async fn step(handler: &Handler, mut job: Job) -> Result<(), Error> {
    match job.data()["task"].as_str() {
        Some(task) => {
            if handler.poll(job.data(), task).await.map_err(failed)? {
                return Ok(());
            }
        }
        None => {
            let task = handler.submit(&job.data()["request"]).await.map_err(failed)?;
            let mut data = job.data().clone();
            data["task"] = task.into();
            job.update_data(data).await?;
        }
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    job.move_to_delayed((now + POLL_INTERVAL).as_millis() as u64).await?;
    Err(Error::Delayed)
}

fn failed(error: anyhow::Error) -> Error {
    Error::InvalidConfig(format!("{error:#}"))
}

/// Its client.
pub(crate) struct BullmqClient(Queue);

impl BullmqClient {
    pub(crate) async fn connect(redis_url: &str) -> anyhow::Result<Self> {
        let options = QueueOptions { connection: connection(redis_url), ..QueueOptions::default() };
        Ok(Self(Queue::with_options(QUEUE, options).await?))
    }

    pub(crate) async fn enqueue(&mut self, job: Value) -> anyhow::Result<()> {
        self.0.add("imagine", job).await?;
        Ok(())
    }

    pub(crate) async fn enqueue_many(&mut self, jobs: Vec<Value>) -> anyhow::Result<()> {
        for batch in jobs.chunks(500) {
            self.0.add_bulk(batch.iter().map(|job| BulkJob::new("imagine", job)).collect()).await?;
        }
        Ok(())
    }
}
