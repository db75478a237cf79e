//! Pods that have nothing to do: what each of them costs Redis by being there.

use std::time::Duration;

use mjq_simulator::Knobs;

use crate::{
    contestant::{Contestant, Work},
    figures::Figures,
    stage::{Durability, Stage},
};

/// Redis alone, and then with some pods beside it.
pub(super) async fn idle() -> anyhow::Result<Figures> {
    const PODS: usize = 6;
    let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
    let alone = busy(&stage).await?;
    let (clients, bytes) = (stage.redis_info("connected_clients").await?, stage.redis_info("used_memory").await?);
    let mut workers = Vec::with_capacity(PODS);
    for _ in 0..PODS {
        workers.push(Contestant::Mjq.start(&stage, Work::Pipeline, &[]).await?);
    }
    // The first seconds are for connecting and loading scripts.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let together = busy(&stage).await?;
    let per_pod = |all: f64| all / PODS as f64;
    Ok(Figures::default()
        .lower("Redis µs per idle pod and second", per_pod((together - alone).max(0.0)) * 1e6)
        .plain("Redis alone, µs per second", alone * 1e6)
        .plain("connections per pod", per_pod(stage.redis_info("connected_clients").await? - clients))
        .plain("Redis bytes per idle pod", per_pod(stage.redis_info("used_memory").await? - bytes)))
}

/// Seconds of Redis per second, over as long as each loop of a pod takes to come round.
async fn busy(stage: &Stage) -> anyhow::Result<f64> {
    const WATCHED: Duration = Duration::from_secs(16);
    let (before, began) = (stage.redis_cpu_s().await?, std::time::Instant::now());
    tokio::time::sleep(WATCHED).await;
    Ok((stage.redis_cpu_s().await? - before) / began.elapsed().as_secs_f64())
}
