//! Open tasks by the ten thousand, none of which ends: what it costs to take them on, and then to wait for them.

use std::time::Duration;

use mjq_simulator::{Knobs, Span};

use super::Variant;
use crate::{
    contestant::{Contestant, ONLY_MJQ, Settings, Work},
    figures::Figures,
    meter::Meter,
    stage::{Durability, Stage},
    stream::until,
};

pub(super) fn open_50k() -> Vec<Variant> {
    vec![Variant::new("50,000 open tasks, polls in lists", ONLY_MJQ, |who| many_open(who, 50_000)).once()]
}

pub(super) fn open_100k() -> Vec<Variant> {
    vec![Variant::new("100,000 open tasks, polls in lists", ONLY_MJQ, |who| many_open(who, 100_000)).once()]
}

/// One poll per task each 10 s, as a worker's poll interval would have it for tasks of minutes.
const SETTINGS: Settings = &[
    ("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition"),
    ("MJQ_POLL_MIN_MS", "10000"),
    ("MJQ_POLL_MAX_MS", "10000"),
];

async fn many_open(who: Contestant, jobs: usize) -> anyhow::Result<Figures> {
    const PAGE: usize = 10_000;
    const WATCHED: Duration = Duration::from_secs(30);
    let duration = Span::exactly(Duration::from_secs(3_600));
    let knobs = Knobs { slots: jobs, queue: jobs, duration, ..Knobs::default() };
    let stage = Stage::set(&knobs, Durability::EverySecond).await?;
    let worker = who.start(&stage, Work::Pipeline, SETTINGS).await?;

    let meter = Meter::start(&stage, &worker).await?;
    let mut client = who.client(&stage).await?;
    for from in (0..jobs).step_by(PAGE) {
        client.enqueue_many(from, PAGE.min(jobs - from)).await?;
    }
    until(Duration::from_secs(600), async || Ok(stage.upstream.seen().await?.created >= jobs as u64)).await?;
    let taking_on = meter.read().await?;

    // Until the last task has had its first poll: from here on each second has its share of them.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (seen, meter) = (stage.upstream.seen().await?, Meter::start(&stage, &worker).await?);
    tokio::time::sleep(WATCHED).await;
    let waiting = meter.read().await?;
    let seen_then = stage.upstream.seen().await?;
    let polls = (seen_then.polls - seen.polls) as f64;
    let requests = (seen_then.total() - seen.total()).max(1) as f64;

    let thousands = jobs as f64 / 1_000.0;
    Ok(Figures::default()
        .lower("worker, % of a core", waiting.worker_percent())
        .lower("Redis, % of a core", waiting.redis_percent())
        .plain("polls per s", polls / waiting.seconds)
        .plain("polls per request", polls / requests)
        .plain("CPU µs per poll, worker", waiting.worker * 1e6 / polls.max(1.0))
        .lower("RSS MiB", worker.rss_mib()?)
        .lower("peak RSS MiB", worker.peak_rss_mib()?)
        .lower("until all are submitted s", taking_on.seconds)
        .lower("… CPU s of the worker per 1,000 jobs", taking_on.worker / thousands)
        .lower("… CPU s of Redis per 1,000 jobs", taking_on.redis / thousands))
}
