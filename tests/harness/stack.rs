//! Everything that one test needs for itself: a queue on a real Redis, a simulated upstream, and workers.

use std::collections::BTreeMap;
use std::pin::Pin;

use anyhow::Context;
use mjq_simulator::{Knobs, Simulator};
use serde_json::Value;

use crate::event::Event;
use crate::redis_options::RedisOptions;
use crate::redis_process::RedisProcess;
use crate::redis_server::shared_redis;
use crate::wire::Wire;
use crate::worker_process::{WorkerBuilder, WorkerProcess};
use crate::{eventually, unique_queue};

/// A running stack. All of it ends when it is dropped, except for a Redis that other tests share.
///
/// A failing test shows the lines of its workers.
pub struct Stack {
    /// The workers, in the order of their start. A killed worker keeps its place.
    pub workers: Vec<WorkerProcess>,
    /// The upstream of the workers.
    pub simulator: Simulator,
    /// The public streams of the stack's queue.
    pub wire: Wire,
    redis_url: String,
    redis: Option<RedisProcess>,
    settings: BTreeMap<String, String>,
}

/// The parts of a stack. To start the stack, await the builder.
#[must_use = "a stack starts when it is awaited"]
pub struct StackBuilder {
    workers: usize,
    knobs: Knobs,
    redis: Option<RedisOptions>,
    settings: BTreeMap<String, String>,
}

impl Stack {
    /// Begins a stack: one worker, an upstream with default knobs, a new queue on the shared Redis, quick polls.
    pub fn start() -> StackBuilder {
        let builder = StackBuilder { workers: 1, knobs: Knobs::default(), redis: None, settings: BTreeMap::new() };
        builder.set("MJQ_POLL_MIN_MS", 50).set("MJQ_POLL_MAX_MS", 200).set("MJQ_UPSTREAM_POLL_RATE", 0)
    }

    /// The URL of the stack's Redis.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The stack's private Redis, which a test may kill and restart.
    ///
    /// # Errors
    /// When the stack was started without [`StackBuilder::own_redis`].
    pub fn redis(&mut self) -> anyhow::Result<&mut RedisProcess> {
        self.redis.as_mut().context("this stack shares its Redis; start it with own_redis()")
    }

    /// A further worker with the settings of this stack, not started yet.
    #[must_use]
    pub fn another_worker(&self) -> WorkerBuilder {
        let builder = WorkerProcess::on(&self.redis_url).queue(self.wire.queue()).upstream(&self.simulator.url());
        let builder = builder.named(&format!("worker-{}", self.workers.len() + 1));
        self.settings.iter().fold(builder, |builder, (variable, value)| builder.set(variable, value))
    }

    /// Starts one more worker with the settings of this stack, and waits until it is ready.
    ///
    /// # Errors
    /// When the worker does not start.
    pub async fn add_worker(&mut self) -> anyhow::Result<&mut WorkerProcess> {
        let mut worker = self.another_worker().start()?;
        worker.wait_ready().await?;
        self.workers.push(worker);
        self.workers.last_mut().context("the worker that was just added is missing")
    }

    /// Adds one job as a client without a library would; see [`Wire::xadd_job`].
    ///
    /// # Errors
    /// When Redis refuses the job.
    pub async fn xadd_job(&self, job: &Value) -> anyhow::Result<String> {
        self.wire.xadd_job(job).await
    }

    /// Waits for the first event of a job; see [`Wire::event_of`].
    ///
    /// # Errors
    /// When no event comes in time.
    pub async fn event_of(&self, job: &str) -> anyhow::Result<Event> {
        self.wire.event_of(job).await
    }

    /// All events so far; see [`Wire::events`].
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn events(&self) -> anyhow::Result<Vec<Event>> {
        self.wire.events().await
    }

    /// Waits until `fact` holds; see [`eventually()`].
    ///
    /// # Errors
    /// When `fact` does not hold in time.
    pub async fn eventually(
        &self,
        name: &str,
        mut fact: impl AsyncFnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        eventually(name, async || fact(self).await).await
    }
}

impl StackBuilder {
    /// How many workers start. Tests that enqueue first begin with 0.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Turns the knobs of the upstream before it starts.
    pub fn knobs(mut self, turn: impl FnOnce(&mut Knobs)) -> Self {
        turn(&mut self.knobs);
        self
    }

    /// Sets an environment variable for every worker.
    pub fn set(mut self, variable: &str, value: impl ToString) -> Self {
        self.settings.insert(variable.to_owned(), value.to_string());
        self
    }

    /// Gives the stack a private Redis process that the test may kill; see [`Stack::redis`].
    pub fn own_redis(mut self, options: RedisOptions) -> Self {
        self.redis = Some(options);
        self
    }

    async fn run(self) -> anyhow::Result<Stack> {
        let redis = match self.redis {
            Some(options) => Some(RedisProcess::spawn(options).await?),
            None => None,
        };
        let redis_url = match &redis {
            Some(own) => own.url(),
            None => shared_redis().await?.url().to_owned(),
        };
        let simulator = Simulator::start(self.knobs).await.context("could not start the simulated upstream")?;
        let wire = Wire::new(&redis_url, &unique_queue());
        let mut stack = Stack { workers: Vec::new(), simulator, wire, redis_url, redis, settings: self.settings };
        // All workers start at once, because each needs a moment.
        for _ in 0..self.workers {
            let worker = stack.another_worker().start()?;
            stack.workers.push(worker);
        }
        for worker in &mut stack.workers {
            worker.wait_ready().await?;
        }
        Ok(stack)
    }
}

impl IntoFuture for StackBuilder {
    type Output = anyhow::Result<Stack>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn two_stacks_on_one_redis_do_not_see_each_other() -> anyhow::Result<()> {
        let (mine, yours) = (Stack::start().workers(0).await?, Stack::start().workers(0).await?);

        mine.xadd_job(&json!({"id": "order-1842"})).await?;

        assert_ne!(mine.wire.queue(), yours.wire.queue());
        assert_ne!(mine.simulator.url(), yours.simulator.url());
        let waiting: u32 =
            redis::cmd("XLEN").arg(yours.wire.key("jobs")).query_async(&mut yours.wire.redis().await?).await?;
        assert_eq!(waiting, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_stack_with_a_redis_of_its_own_can_restart_it() -> anyhow::Result<()> {
        let options = RedisOptions::default().append_only().set("appendfsync", "always");
        let mut stack = Stack::start().workers(0).own_redis(options).await?;
        let entry = stack.xadd_job(&json!({"id": "order-1842"})).await?;

        stack.redis()?.kill9()?;
        stack.redis()?.restart().await?;

        assert!(stack.xadd_job(&json!({"id": "order-1843"})).await? > entry);
        Ok(())
    }

    #[tokio::test]
    async fn a_shared_redis_is_not_given_out_for_killing() -> anyhow::Result<()> {
        assert!(Stack::start().workers(0).await?.redis().is_err());
        Ok(())
    }
}
