//! A pod: one worker after the other under one name, with a network of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{FaultProxy, WorkerProcess, free_port};

/// What every worker of a run has in common.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) queue: String,
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Where the words of workers go that are gone.
    pub(crate) log_dir: PathBuf,
}

/// A place for a worker. There is one in it except for moments.
pub(crate) struct Pod {
    name: String,
    recipe: Recipe,
    /// Between its workers and Redis.
    pub(crate) redis: FaultProxy,
    /// Between its workers and the upstream.
    pub(crate) upstream: FaultProxy,
    worker: Option<WorkerProcess>,
    admin: Option<SocketAddr>,
    generation: u32,
    deserters: Vec<String>,
}

impl Pod {
    /// Makes the place, without a worker.
    pub(crate) async fn new(
        name: String,
        recipe: Recipe,
        redis: SocketAddr,
        upstream: SocketAddr,
    ) -> anyhow::Result<Self> {
        let (redis, upstream) = (FaultProxy::before(redis).await?, FaultProxy::before(upstream).await?);
        let (worker, admin, deserters) = (None, None, Vec::new());
        Ok(Self { name, recipe, redis, upstream, worker, admin, generation: 0, deserters })
    }

    /// Starts a worker in it. The one before is gone afterwards, whatever state it was in.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.put_away();
        self.generation += 1;
        let (redis, upstream) = (self.redis.address(), self.upstream.address());
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let builder = WorkerProcess::on(&format!("redis://{redis}/"))
            .queue(&self.recipe.queue)
            .upstream(&format!("http://{upstream}"))
            .named(&format!("{}-{}", self.name, self.generation))
            .program(&self.recipe.program)
            .set("MJQ_ADMIN_ADDR", admin)
            .quiet();
        let settings = self.recipe.settings.iter();
        let builder = settings.fold(builder, |builder, (variable, value)| builder.set(variable, value));
        self.worker = Some(builder.start()?);
        self.admin = Some(admin);
        Ok(())
    }

    /// Where the worker's admin server listens.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Waits until its worker is ready.
    pub(crate) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.worker.as_mut().context("there is no worker in this pod")?.wait_ready().await
    }

    /// Kills its worker as `kill -9` does, and puts another one into its place.
    pub(crate) fn kill9(&mut self) -> anyhow::Result<()> {
        self.note_desertion();
        if let Some(worker) = &mut self.worker {
            worker.kill9()?;
        }
        self.start()
    }

    /// Asks its worker to stop and waits for that; says how long it took.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<Duration> {
        self.note_desertion();
        let Some(worker) = &mut self.worker else { return Ok(Duration::ZERO) };
        let exit = worker.terminate().await?;
        if !exit.status.success() {
            self.deserters.push(format!("{}-{} ended with {}", self.name, self.generation, exit.status));
        }
        Ok(exit.took)
    }

    /// Freezes its worker.
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.worker.as_mut().map_or(Ok(()), WorkerProcess::pause)
    }

    /// Thaws its worker.
    pub(crate) fn thaw(&mut self) -> anyhow::Result<()> {
        self.worker.as_mut().map_or(Ok(()), WorkerProcess::resume)
    }

    /// Workers that ended without having been asked to.
    pub(crate) fn deserters(&mut self) -> Vec<String> {
        self.note_desertion();
        self.deserters.clone()
    }

    /// Keeps the words of its worker in a file.
    pub(crate) fn put_away(&mut self) {
        if let Some(worker) = self.worker.take() {
            let file = self.recipe.log_dir.join(format!("{}-{}.log", self.name, self.generation));
            // Only for people who search for the cause of a failure.
            let _ = std::fs::write(file, worker.logs());
        }
    }

    fn note_desertion(&mut self) {
        if let Some(worker) = &mut self.worker
            && !worker.is_running().unwrap_or(true)
        {
            let last_words: Vec<_> = worker.logs().lines().rev().take(3).map(str::to_owned).collect();
            self.deserters.push(format!("{}-{}: {}", self.name, self.generation, last_words.join(" / ")));
        }
    }
}

/// The folder for the words of workers, empty.
pub(crate) fn fresh_log_dir(parent: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let dir = parent.join(format!("logs-{seed}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
    Ok(dir)
}
