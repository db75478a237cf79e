//! The event stream, as every contestant writes it: when each job's event came, and when its task had finished.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redis::{AsyncCommands, aio::MultiplexedConnection, streams::StreamRangeReply};
use serde::Deserialize;

/// The queue of every measurement.
pub(crate) const QUEUE: &str = "bench";
/// The stream that all contestants write their events to.
pub(crate) const EVENTS: &str = "mjq:{bench}:events";

/// Waits until the stream holds `count` events.
pub(crate) async fn until_events(redis: &MultiplexedConnection, count: u64, patience: Duration) -> anyhow::Result<()> {
    until(patience, async || Ok(redis.clone().xlen::<_, u64>(EVENTS).await? >= count))
        .await
        .with_context(|| format!("not all of the {count} events came"))
}

/// Waits until `fact` holds, looking every 10 ms.
pub(crate) async fn until(patience: Duration, fact: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !fact().await? {
        if began.elapsed() > patience {
            bail!("it did not come within {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// From the upstream's finish to the event's entry in the stream, in ms, for each job that tells both.
///
/// Both clocks are this machine's.
pub(crate) async fn latencies_ms(redis: &MultiplexedConnection) -> anyhow::Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Data {
        task: Task,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Task {
        finish_time: f64,
    }
    let events: StreamRangeReply = redis.clone().xrange_all(EVENTS).await?;
    let latency = |event: &redis::streams::StreamId| {
        let entry_ms: f64 = event.id.split('-').next()?.parse().ok()?;
        let data: Data = serde_json::from_str(&event.get::<String>("data")?).ok()?;
        Some(entry_ms - data.task.finish_time)
    };
    Ok(events.ids.iter().filter_map(latency).collect())
}

/// How many events are completions.
pub(crate) async fn completed(redis: &MultiplexedConnection) -> anyhow::Result<usize> {
    let events: StreamRangeReply = redis.clone().xrange_all(EVENTS).await?;
    Ok(events.ids.iter().filter(|event| event.get::<String>("type").is_some_and(|kind| kind == "completed")).count())
}
