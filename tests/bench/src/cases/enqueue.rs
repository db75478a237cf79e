//! Enqueueing: one job after the other, and in batches.

use std::time::Instant;

use mjq_simulator::Knobs;

use super::Variant;
use crate::{
    contestant::{ALL, Contestant},
    figures::Figures,
    stage::{Durability, Stage},
};

pub(super) fn variants() -> Vec<Variant> {
    vec![
        Variant::new("2,000 jobs, each after the answer to the one before", ALL, one_by_one),
        Variant::new("20,000 jobs at once", ALL, batched),
    ]
}

async fn one_by_one(who: Contestant) -> anyhow::Result<Figures> {
    const JOBS: usize = 2_000;
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    let mut client = who.client(&stage).await?;
    let began = Instant::now();
    for number in 0..JOBS {
        client.enqueue(number).await?;
    }
    Ok(Figures::default().higher("jobs per s", JOBS as f64 / began.elapsed().as_secs_f64()))
}

async fn batched(who: Contestant) -> anyhow::Result<Figures> {
    const JOBS: usize = 20_000;
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    let mut client = who.client(&stage).await?;
    let (began, cpu) = (Instant::now(), stage.redis_cpu_s().await?);
    client.enqueue_many(0, JOBS).await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = stage.redis_cpu_s().await? - cpu;
    Ok(Figures::default()
        .higher("jobs per s", JOBS as f64 / seconds)
        .lower("CPU s of Redis per 1,000 jobs", cpu * 1_000.0 / JOBS as f64))
}
