//! Waiting: a worker with nothing to do, and one with a hundred thousand tasks that are not done yet.

use std::time::Duration;

use mjq_simulator::{Knobs, Span};

use super::Variant;
use crate::{
    contestant::{ALL, Contestant, ONLY_MJQ, Settings, Work, Worker},
    figures::Figures,
    stage::{Durability, Stage},
    stream::until,
};

pub(super) fn variants() -> Vec<Variant> {
    vec![Variant::new("an idle worker", ALL, idle).once()]
}

/// Open tasks by the hundred thousand.
pub(super) fn open_100k() -> Vec<Variant> {
    vec![Variant::new("100,000 open tasks, polls in lists", ONLY_MJQ, many_open).once()]
}

async fn idle(who: Contestant) -> anyhow::Result<Figures> {
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    let worker = who.start(&stage, Work::Pipeline, &[]).await?;
    watch(&stage, &worker, Duration::from_secs(10)).await
}

async fn many_open(who: Contestant) -> anyhow::Result<Figures> {
    const JOBS: usize = 100_000;
    const SETTINGS: Settings = &[
        ("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition"),
        ("MJQ_POLL_MIN_MS", "10000"),
        ("MJQ_POLL_MAX_MS", "10000"),
    ];
    let duration = Span::exactly(Duration::from_secs(3_600));
    let stage =
        Stage::set(&Knobs { slots: JOBS, queue: JOBS, duration, ..Knobs::default() }, Durability::EverySecond).await?;
    let worker = who.start(&stage, Work::Pipeline, SETTINGS).await?;
    let mut client = who.client(&stage).await?;
    for from in (0..JOBS).step_by(10_000) {
        client.enqueue_many(from, 10_000).await?;
    }
    until(Duration::from_secs(600), async || Ok(stage.upstream.seen().await?.created >= JOBS as u64)).await?;
    // Until the wave of submits has passed.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let polls = stage.upstream.seen().await?.polls;
    let seconds = Duration::from_secs(30);
    let figures = watch(&stage, &worker, seconds).await?;
    let polls = (stage.upstream.seen().await?.polls - polls) as f64 / seconds.as_secs_f64();
    Ok(figures.plain("polls per s", polls))
}

async fn watch(stage: &Stage, worker: &Worker, time: Duration) -> anyhow::Result<Figures> {
    let (cpu, redis_cpu) = (worker.cpu_s()?, stage.redis_cpu_s().await?);
    tokio::time::sleep(time).await;
    let share = |seconds: f64| seconds * 100.0 / time.as_secs_f64();
    Ok(Figures::default()
        .lower("worker, % of a core", share(worker.cpu_s()? - cpu))
        .lower("Redis, % of a core", share(stage.redis_cpu_s().await? - redis_cpu))
        .lower("RSS MiB", worker.rss_mib()?))
}
