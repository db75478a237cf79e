//! Idling: what a worker costs that has nothing to do.

use std::time::Duration;

use mjq_simulator::Knobs;

use super::Variant;
use crate::{
    contestant::{ALL, Contestant, Work},
    figures::Figures,
    meter::Meter,
    stage::{Durability, Stage},
};

pub(super) fn variants() -> Vec<Variant> {
    vec![Variant::new("an idle worker", ALL, idle).once()]
}

async fn idle(who: Contestant) -> anyhow::Result<Figures> {
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    let worker = who.start(&stage, Work::Pipeline, &[]).await?;
    let meter = Meter::start(&stage, &worker).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let spent = meter.read().await?;
    Ok(Figures::default()
        .lower("worker, % of a core", spent.worker_percent())
        .lower("Redis, % of a core", spent.redis_percent())
        .lower("RSS MiB", worker.rss_mib()?))
}
