//! Memory of Redis: bytes per job, open and finished, beyond what the job itself brought.

use std::time::Duration;

use mjq_simulator::{Knobs, Span};
use redis::{AsyncCommands, streams::StreamRangeReply};

use super::Variant;
use crate::{
    contestant::{ALL, Contestant, Work, payload_bytes},
    figures::Figures,
    stage::{Durability, Stage},
    stream::{EVENTS, until, until_events},
};

const JOBS: usize = 5_000;

pub(super) fn variants() -> Vec<Variant> {
    vec![
        Variant::new("5,000 open jobs", ALL, open).once(),
        Variant::new("5,000 finished jobs, without what their events hold of the upstream: task object, and its buttons once more", ALL, finished).once(),
    ]
}

async fn open(who: Contestant) -> anyhow::Result<Figures> {
    let (stage, before, _worker) = enqueued(who, Duration::from_secs(3_600)).await?;
    until(Duration::from_secs(60), async || Ok(stage.upstream.seen().await?.created >= JOBS as u64)).await?;
    figures(who, &stage, before, 0.0).await
}

async fn finished(who: Contestant) -> anyhow::Result<Figures> {
    let (stage, before, _worker) = enqueued(who, Duration::from_millis(100)).await?;
    until_events(&stage.redis, JOBS as u64, Duration::from_secs(60)).await?;
    let events: StreamRangeReply = stage.redis.clone().xrange_count(EVENTS, "-", "+", 1_000).await?;
    let data = events.ids.iter().filter_map(|event| event.get::<String>("data")).map(|data| upstream_bytes(&data));
    let bytes = data.sum::<usize>() as f64 / events.ids.len().max(1) as f64;
    figures(who, &stage, before, bytes).await
}

async fn enqueued(who: Contestant, task: Duration) -> anyhow::Result<(Stage, f64, crate::contestant::Worker)> {
    let knobs = Knobs { slots: JOBS, queue: JOBS, duration: Span::exactly(task), ..Knobs::default() };
    let stage = Stage::set(&knobs, Durability::Off).await?;
    let worker = who.start(&stage, Work::Pipeline, &[]).await?;
    let before = stage.redis_info("used_memory").await?;
    who.client(&stage).await?.enqueue_many(0, JOBS).await?;
    Ok((stage, before, worker))
}

async fn figures(who: Contestant, stage: &Stage, before: f64, event: f64) -> anyhow::Result<Figures> {
    // Buffers of clients shrink within two seconds, and the last settle may be on its way.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bytes = (stage.redis_info("used_memory").await? - before) / JOBS as f64;
    let payload = payload_bytes(who, JOBS / 2)? as f64 + event;
    Ok(Figures::default()
        .lower("bytes per job without payload", bytes - payload)
        .plain("bytes per job", bytes)
        .plain("payload: the job, and what the upstream said", payload))
}

/// The upstream's own words in an event: the task object, and the buttons that mjq's contract shows beside it.
fn upstream_bytes(data: &str) -> usize {
    #[derive(serde::Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        task: &'a serde_json::value::RawValue,
        #[serde(borrow, default)]
        buttons: Option<&'a serde_json::value::RawValue>,
    }
    let of = |data: Data<'_>| data.task.get().len() + data.buttons.map_or(0, |buttons| buttons.get().len());
    serde_json::from_str::<Data<'_>>(data).map_or(0, of)
}
