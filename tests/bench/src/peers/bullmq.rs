//! bullmq-official: one worker with as many handlers as jobs may wait at once.

use anyhow::Context;
use bullmq::options::RedisConnectionOptions;
use bullmq::{BulkJob, Error, Job, Queue, QueueOptions, Worker, WorkerOptions, worker};
use serde_json::Value;

use super::{Peer, handler::Handler};
use crate::{contestant::Work, stage::until_abandoned, stream::QUEUE};

/// The key that tells how far it is.
pub(crate) const COMPLETED: &str = "bull:bench:completed";

fn connection(redis_url: &str) -> RedisConnectionOptions {
    RedisConnectionOptions { url: redis_url.to_owned(), ..RedisConnectionOptions::default() }
}

/// Works until standard input closes.
pub(super) async fn run(work: Work, redis_url: &str, upstream_url: &str) -> anyhow::Result<()> {
    let handler = Handler::new(redis_url, upstream_url).await?;
    let perform = move |job: Job, _: worker::CancellationToken| {
        let handler = handler.clone();
        async move {
            if work == Work::Pipeline {
                let outcome = handler.perform(job.data()).await;
                outcome.map_err(|error| Error::InvalidConfig(format!("{error:#}")))?;
            }
            Ok(Value::Null)
        }
    };
    let options = WorkerOptions {
        connection: connection(redis_url),
        concurrency: Peer::concurrency(work),
        ..WorkerOptions::default()
    };
    let _worker = Worker::with_options(QUEUE, perform, options).await.context("the worker did not start")?;
    println!("ready");
    until_abandoned().await;
    Ok(())
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
