//! kill -9: what it costs, in time and in tasks that are paid for twice.

use std::time::{Duration, Instant};

use mjq_simulator::{Knobs, Span};

use super::Variant;
use crate::{
    contestant::{ALL_STYLES, Contestant, Work},
    figures::Figures,
    stage::{Durability, Stage},
    stream::{until, until_events},
};

pub(super) fn variants() -> Vec<Variant> {
    vec![Variant::new("200 open tasks that end while nobody polls them", ALL_STYLES, kill).once()]
}

async fn kill(who: Contestant) -> anyhow::Result<Figures> {
    const JOBS: u64 = 200;
    let duration = Span::exactly(Duration::from_secs(3));
    let stage = Stage::set(&Knobs { slots: 10_000, duration, ..Knobs::default() }, Durability::EverySecond).await?;
    let mut first = who.start(&stage, Work::Pipeline, &[]).await?;
    who.client(&stage).await?.enqueue_many(0, JOBS as usize).await?;
    until(Duration::from_secs(30), async || Ok(stage.upstream.seen().await?.created >= JOBS)).await?;
    // In the middle of their time, when each handler waits for its task.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    first.kill9().await?;
    let killed = Instant::now();
    let _second = who.start(&stage, Work::Pipeline, &[]).await?;
    until_events(&stage.redis, JOBS, Duration::from_secs(150)).await?;
    let twice = stage.upstream.seen().await?.created - JOBS;
    Ok(Figures::default()
        .lower("kill to the last event s", killed.elapsed().as_secs_f64())
        .lower("tasks paid for twice", twice as f64))
}
