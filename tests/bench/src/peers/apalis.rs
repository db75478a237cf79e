//! apalis with apalis-redis, tuned: Redis asked each 100 ms, batches of 1,000.
//!
//! `Bare` goes further than its users should: without its locks and its events it has nothing left to slow it down.
//!
//! Its fetch stops for good when about 8,000 jobs are due at once (Lua cannot unpack more), since every job passes
//! through the set of scheduled ones. So that it can be measured at all, this client moves due jobs on to the list of
//! active ones as the fetch itself would; nothing of that is counted against it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use apalis::prelude::{BackendExt, BoxDynError, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use serde_json::Value;

use super::{Peer, handler::Handler};
use crate::{contestant::Work, stage::until_abandoned, stream::QUEUE};

const ASK_INTERVAL: Duration = Duration::from_millis(100);
const BATCH: usize = 1_000;

type Storage = RedisStorage<Value>;

/// How far it is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// As its users should.
    Usual,
    /// Without locks and events.
    Bare,
}

/// The key that tells how far it is.
pub(crate) fn done_key() -> String {
    Config::default().queue(QUEUE).done_jobs_set()
}

async fn storage(redis_url: &str, tuning: Tuning) -> anyhow::Result<Storage> {
    let config = Config::default().queue(QUEUE).batch_size(BATCH).heartbeat_interval(Duration::from_secs(2));
    let config = config.missed_heartbeats(5).lock_tasks(tuning == Tuning::Usual);
    let config = config.emit_events(tuning == Tuning::Usual);
    let client = redis::Client::open(redis_url)?;
    // With the default of 500 ms a script that holds Redis for longer ends the worker.
    let patient = redis::aio::ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let connection = ConnectionManager::new_with_config(client, patient).await?;
    Ok(RedisStorage::new(connection).with_config(config))
}

/// Works until standard input closes.
pub(super) async fn run(tuning: Tuning, work: Work, redis_url: &str, upstream_url: &str) -> anyhow::Result<()> {
    let storage = storage(redis_url, tuning).await?;
    let handler = Handler::new(redis_url, upstream_url).await?;
    let perform = move |job: Value| {
        let handler = handler.clone();
        async move {
            match work {
                Work::Nothing => Ok::<(), BoxDynError>(()),
                Work::Pipeline => Ok(handler.perform(&job).await.map_err(|error| format!("{error:#}"))?),
            }
        }
    };
    let worker = WorkerBuilder::new(format!("bench-{}", std::process::id()))
        .backend(storage.poll_with_interval(ASK_INTERVAL))
        .concurrency(Peer::concurrency(work))
        .build(perform);
    println!("ready");
    tokio::select! {
        outcome = worker.run() => outcome.map_err(|error| anyhow!("{error}")).context("the worker ended"),
        () = until_abandoned() => Ok(()),
    }
}

/// Its client.
pub(crate) struct ApalisClient {
    storage: Storage,
}

impl ApalisClient {
    pub(crate) async fn connect(redis_url: &str, tuning: Tuning) -> anyhow::Result<Self> {
        Ok(Self { storage: storage(redis_url, tuning).await? })
    }

    pub(crate) async fn enqueue(&mut self, job: Value) -> anyhow::Result<()> {
        self.storage.push(job).await.map_err(|error| anyhow!("{error}"))
    }

    pub(crate) async fn enqueue_many(&mut self, jobs: Vec<Value>) -> anyhow::Result<()> {
        for batch in jobs.chunks(BATCH) {
            self.storage.push_bulk(batch.to_vec()).await.map_err(|error| anyhow!("{error}"))?;
            if jobs.len() > 5 * BATCH {
                self.activate_due().await?;
            }
        }
        Ok(())
    }

    /// Does what its fetch does with due jobs, before there are too many for it.
    async fn activate_due(&mut self) -> anyhow::Result<()> {
        let config = self.storage.get_config().clone();
        let script = redis::Script::new(
            "local due = redis.call('ZRANGE', KEYS[1], 0, 3999)
             if #due > 0 then redis.call('RPUSH', KEYS[2], unpack(due)) redis.call('ZREM', KEYS[1], unpack(due)) end
             return #due",
        );
        let mut invocation = script.key(config.scheduled_jobs_set());
        invocation.key(config.active_jobs_list());
        Ok(invocation.invoke_async::<()>(self.storage.get_connection()).await?)
    }
}
