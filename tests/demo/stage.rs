//! Everything that runs for the demo: a Redis, an API and a worker. All of it ends with the stage.

use std::time::{Duration, Instant};

use anyhow::Context;
use mjq_harness::{RedisServer, WorkerProcess, mjq, unique_queue};
use mjq_producer::contract::QueueName;

use crate::screen::Screen;
use crate::upstream::{SLOTS, Upstream, UpstreamChoice};

/// The running processes.
pub(crate) struct Stage {
    // Fields are dropped in this order: nobody is left alone with nothing to talk to.
    pub(crate) worker: WorkerProcess,
    pub(crate) upstream: Upstream,
    pub(crate) redis: RedisServer,
    pub(crate) queue: QueueName,
    /// Whether the Redis is somebody's, and was here before.
    pub(crate) is_guest: bool,
}

impl Stage {
    /// How long a worker may take to stop by itself.
    const FAREWELL: Duration = Duration::from_secs(3);

    /// Starts everything, and says what it starts.
    pub(crate) async fn start(choice: &UpstreamChoice, screen: &Screen) -> anyhow::Result<Self> {
        build(screen).await?;
        let redis = RedisServer::for_demo().await?;
        let is_guest = std::env::var_os("MJQ_REDIS_URL").is_some();
        let queue = queue(is_guest)?;
        let upstream = choice.open().await?;
        let worker = WorkerProcess::on(redis.url()).queue(queue.as_str()).quiet();
        let mut worker = upstream.introduce_to(worker).start()?;
        worker.wait_ready().await.context("the worker does not start")?;
        let stage = Self { worker, upstream, redis, queue, is_guest };
        stage.introduce(screen);
        Ok(stage)
    }

    fn introduce(&self, screen: &Screen) {
        let row = |name: &str, what: &str| screen.line(&format!("  {} {what}", screen.bold(&format!("{name:9}"))));
        // Somebody's URL may hold a password.
        let redis = if self.is_guest { self.redis.origin() } else { self.redis.url() };
        row("Redis", &format!("{redis}, queue {}", self.queue));
        row(
            "API",
            &match &self.upstream {
                Upstream::Simulated(_) => {
                    format!(
                        "{}, simulated: works on {SLOTS} tasks at once, others wait in its line",
                        self.upstream.url()
                    )
                }
                Upstream::Real { .. } => format!("{}, REAL", self.upstream.url()),
            },
        );
        row("Worker", &format!("mjq worker, process {}; dashboard {}/", self.worker.pid(), self.worker.admin_url()));
    }

    /// What the worker logged last, for whoever has to find out what went wrong.
    pub(crate) fn last_worker_lines(&self) -> String {
        let logs = self.worker.logs();
        let lines: Vec<&str> = logs.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Stops everything in good order, within seconds.
    pub(crate) async fn end(mut self) {
        // A worker that does not want to go is killed when it is dropped.
        let _ = tokio::time::timeout(Self::FAREWELL, self.worker.terminate()).await;
        if self.is_guest
            && let Err(error) = forget(self.redis.url(), &self.queue).await
        {
            eprintln!("could not remove the queue {} from your Redis: {error:#}", self.queue);
        }
    }
}

/// A private Redis is ours alone; in somebody's, the demo must not meet a queue that is in use.
fn queue(is_guest: bool) -> anyhow::Result<QueueName> {
    if !is_guest {
        return Ok(QueueName::default());
    }
    unique_queue().replace("test-", "demo-").parse().context("could not name a queue")
}

/// Builds the program if it has changed. It takes a minute the first time, which should not look like a hang.
async fn build(screen: &Screen) -> anyhow::Result<()> {
    let began = Instant::now();
    let progress = screen.working("Building the mjq program if need be (a minute or two the first time) …");
    tokio::task::spawn_blocking(|| mjq().map(drop)).await.context("the build was cut off")??;
    drop(progress);
    if began.elapsed() > Duration::from_secs(3) {
        screen.line(&format!("Built the mjq program in {} s.", began.elapsed().as_secs()));
    }
    Ok(())
}

/// Removes all keys of a queue that nobody uses any more.
async fn forget(url: &str, queue: &QueueName) -> anyhow::Result<()> {
    let mut redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let pattern = format!("mjq:{{{queue}}}:*");
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(&keys).exec_async(&mut redis).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
