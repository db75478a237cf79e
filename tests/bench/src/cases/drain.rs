//! The drain: jobs that wait, and nothing to do for any of them.

use std::time::{Duration, Instant};

use mjq_simulator::Knobs;

use super::Variant;
use crate::{
    contestant::{ALL, ALL_AND_BARE, Contestant, ONLY_MJQ, Work},
    figures::{Figures, quantile},
    peers::ledger::claim_times_ms,
    stage::{Durability, Stage},
    stream::until,
};

pub(super) fn variants() -> Vec<Variant> {
    vec![Variant::new("20,000 jobs that do nothing", ALL_AND_BARE, |who| drain(who, 20_000))]
}

/// The backlog of a bad morning.
pub(super) fn backlog() -> Vec<Variant> {
    vec![
        Variant::new("10,000 jobs that do nothing", ALL_AND_BARE, |who| drain(who, 10_000)).once(),
        Variant::new("100,000 jobs that do nothing", ALL_AND_BARE, |who| drain(who, 100_000)).once(),
        Variant::new("claims of 100 with 10,000 admitted", ONLY_MJQ, |_| claims(10_000)),
        Variant::new("claims of 100 with 100,000 admitted", ONLY_MJQ, |_| claims(100_000)).once(),
    ]
}

/// The backlog of a very bad week.
pub(super) fn backlog_1m() -> Vec<Variant> {
    vec![
        Variant::new("claims of 100 with 1,000,000 admitted", ONLY_MJQ, |_| claims(1_000_000)).once(),
        // Beside each other in one run: the rate must not fall as the backlog grows.
        Variant::new("10,000 jobs that do nothing", ALL, |who| drain(who, 10_000)),
        Variant::new("1,000,000 jobs that do nothing", ALL, |who| drain(who, 1_000_000)).once(),
    ]
}

async fn drain(who: Contestant, jobs: usize) -> anyhow::Result<Figures> {
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    enqueue(who, &stage, jobs).await?;
    let redis_cpu = stage.redis_cpu_s().await?;
    let worker = who.start(&stage, Work::Nothing, &[]).await?;
    let began = Instant::now();
    let redis = stage.redis.clone();
    // A thousand a second is slow, and no failure: what counts is whether a contestant gets there at all.
    let patience = Duration::from_secs(60 + jobs as u64 / 1_000);
    until(patience, async || Ok(who.done(&redis).await? >= jobs as u64)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let per_thousand = 1_000.0 / jobs as f64;
    let (cpu, redis_cpu) = (worker.cpu_s()? * per_thousand, (stage.redis_cpu_s().await? - redis_cpu) * per_thousand);
    Ok(Figures::default()
        .higher("jobs per s", jobs as f64 / seconds)
        .lower("CPU s per 1,000 jobs, worker + Redis", cpu + redis_cpu)
        .lower("… of the worker", cpu)
        .lower("… of Redis", redis_cpu)
        .lower("peak RSS MiB", worker.peak_rss_mib()?))
}

async fn claims(backlog: usize) -> anyhow::Result<Figures> {
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    enqueue(Contestant::Mjq, &stage, backlog).await?;
    let times = claim_times_ms(&stage.redis_url(), backlog, 90).await?;
    let time = |q| quantile(times.clone(), q).unwrap_or(f64::NAN);
    Ok(Figures::default().lower("claim p50 ms", time(0.5)).lower("claim p99 ms", time(0.99)))
}

async fn enqueue(who: Contestant, stage: &Stage, jobs: usize) -> anyhow::Result<()> {
    const PAGE: usize = 20_000;
    let mut client = who.client(stage).await?;
    for from in (0..jobs).step_by(PAGE) {
        client.enqueue_many(from, PAGE.min(jobs - from)).await?;
    }
    Ok(())
}
