//! The meter: CPU that a worker and its Redis spend between two moments.

use std::time::Instant;

use crate::{contestant::Worker, stage::Stage};

/// Counts from its start on.
pub(crate) struct Meter<'a> {
    stage: &'a Stage,
    worker: &'a Worker,
    started: Instant,
    worker_before: f64,
    redis_before: f64,
}

/// What was spent, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Time that passed.
    pub(crate) seconds: f64,
    /// CPU of the worker.
    pub(crate) worker: f64,
    /// CPU of Redis, its background threads included.
    pub(crate) redis: f64,
}

impl<'a> Meter<'a> {
    pub(crate) async fn start(stage: &'a Stage, worker: &'a Worker) -> anyhow::Result<Self> {
        let (worker_before, redis_before) = (worker.cpu_s()?, stage.redis_cpu_s().await?);
        Ok(Self { stage, worker, started: Instant::now(), worker_before, redis_before })
    }

    pub(crate) async fn read(&self) -> anyhow::Result<Spent> {
        let seconds = self.started.elapsed().as_secs_f64();
        let worker = self.worker.cpu_s()? - self.worker_before;
        Ok(Spent { seconds, worker, redis: self.stage.redis_cpu_s().await? - self.redis_before })
    }
}

impl Spent {
    pub(crate) fn worker_percent(self) -> f64 {
        self.worker * 100.0 / self.seconds
    }

    pub(crate) fn redis_percent(self) -> f64 {
        self.redis * 100.0 / self.seconds
    }
}
