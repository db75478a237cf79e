//! Waits until a healed world is quiet, and collects the history of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::Event;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::time::Instant;

use crate::books::Books;
use crate::history::{History, Kept, TaskSeen, Told};
use crate::world::World;

const GLANCE: Duration = Duration::from_millis(200);

/// Waits until every expected job has ended and nothing is left to do; says whether that came within `patience`.
pub(crate) async fn wait_until_quiet(world: &World, books: &Books, patience: Duration) -> anyhow::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let is_quiet = leftovers(world).await?.values().all(|count| *count == 0) && all_received(world, books).await?;
        if is_quiet {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn all_received(world: &World, books: &Books) -> anyhow::Result<bool> {
    let length: usize = world.wire.redis().await?.xlen(world.wire.key("events")).await?;
    let pages = books.open();
    let all_ended =
        pages.jobs.iter().all(|(id, asked)| asked.follows.is_some() || !asked.is_certain || pages.ended.contains(id));
    Ok(all_ended && pages.received.len() >= length)
}

/// How much lies in each private structure that should be empty in the end.
pub(crate) async fn leftovers(world: &World) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut redis = world.wire.redis().await?;
    let mut left = BTreeMap::new();
    for name in ["leases", "due:submit", "due:later", "due:poll", "deadlines"] {
        left.insert(name.to_owned(), redis.zcard(world.wire.key(name)).await?);
    }
    left.insert("jobs".to_owned(), redis.xlen(world.wire.key("jobs")).await?);
    let pending: Option<(u64, redis::Value, redis::Value, redis::Value)> =
        redis::cmd("XPENDING").arg(world.wire.key("jobs")).arg("mjq").query_async(&mut redis).await.ok();
    left.insert("jobs (pending)".to_owned(), pending.map_or(0, |(count, ..)| count));
    Ok(left)
}

/// Collects everything that the checker wants to know.
pub(crate) async fn history(world: &World, books: &Books) -> anyhow::Result<History> {
    let mut history = History { limits: world.plan.limits, ..History::default() };
    {
        let pages = books.open();
        history.jobs.clone_from(&pages.jobs);
        history.rejections.clone_from(&pages.rejections);
        history.received.clone_from(&pages.received);
        history.promises.exits_ms.clone_from(&pages.exits_ms);
    }
    history.events = world.wire.events().await?.iter().map(told).collect::<anyhow::Result<_>>()?;
    history.leftovers = leftovers(world).await?;
    let mut redis = world.wire.redis().await?;
    for id in history.jobs.keys() {
        if let Some(record) = record(&mut redis, &world.wire.key(&format!("job:{id}"))).await? {
            history.records.insert(id.clone(), record);
        }
    }
    for pod in &world.pods {
        history.deserters.extend(pod.lock().await.deserters());
    }
    let simulator = world.simulator.lock().await;
    history.creations = simulator.ledger();
    history.arrivals = simulator.arrivals();
    let stats = simulator.stats();
    (history.max_open, history.answers) = (stats.max_open, stats.answers);
    drop(simulator);
    let http = reqwest::Client::builder().no_proxy().build().context("could not make an HTTP client")?;
    for creation in &history.creations {
        history.tasks.insert(creation.task.clone(), task(&http, world, &creation.task).await?);
    }
    Ok(history)
}

fn told(event: &Event) -> anyhow::Result<Told> {
    let data = event.data()?;
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    Ok(Told {
        entry: event.entry.clone(),
        outcome: event.outcome().to_owned(),
        job: event.job().to_owned(),
        state: event.state().to_owned(),
        task: event.field("task").to_owned(),
        code: event.code().to_owned(),
        image_url: event.field("image_url").to_owned(),
        reason: data["reason"].as_str().unwrap_or_default().to_owned(),
        attempts: number(&data["attempts"]).try_into().unwrap_or(u32::MAX),
        possible_duplicate: data["possible_duplicate"].as_bool().unwrap_or(false),
        adopted: data["adopted"].as_bool().unwrap_or(false),
        enqueued_ms: number(&data["timings"]["enqueued_ms"]),
        published_ms: event.entry.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0),
    })
}

/// Reads a job's record. Its JSON is the worker's own affair: `tl` is its timeline.
async fn record(redis: &mut MultiplexedConnection, key: &str) -> anyhow::Result<Option<Kept>> {
    let fields: (Option<u64>, Option<String>, Option<String>) = redis.hmget(key, &["f", "p", "r"]).await?;
    let (Some(fence), Some(phase), Some(record)) = fields else { return Ok(None) };
    let mut record: Value = serde_json::from_str(&record).with_context(|| format!("{key} has no readable record"))?;
    let timeline = serde_json::from_value(record["tl"].take()).with_context(|| format!("{key} has no timeline"))?;
    Ok(Some(Kept { phase, fence, timeline }))
}

/// Reads how the upstream itself sees a task.
async fn task(http: &reqwest::Client, world: &World, id: &str) -> anyhow::Result<TaskSeen> {
    let url = format!("{}/sim/tasks/{id}", world.simulator_url);
    let text = http.get(&url).send().await?.text().await?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{url} says {text:?}"))?;
    let text = |field: &str| answer["task"][field].as_str().unwrap_or_default().to_owned();
    let status = text("status");
    // The simulator's own path does not know the public URL that its pictures are told by.
    let image_url = text("imageUrl").replace(&own_base(&text("imageUrl")), "http://pictures.example");
    Ok(TaskSeen { status, image_url })
}

fn own_base(url: &str) -> String {
    url.split("/image/").next().filter(|base| !base.is_empty()).unwrap_or("http://pictures.example").to_owned()
}
