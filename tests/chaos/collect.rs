//! Waits until a healed world is quiet, and collects the history of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{Event, Wire};
use redis::{
    AsyncCommands,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamRangeReply},
};
use serde_json::Value;
use tokio::time::Instant;

use crate::books::Books;
use crate::history::{History, Kept, KeySeen, TaskSeen, Told};
use crate::world::World;

/// The families of keys that jobs have.
pub(crate) const JOB_FAMILIES: [&str; 5] = ["job", "request", "more", "large", "shown"];

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
        history.vanished.clone_from(&pages.vanished);
        history.untimed_ms.clone_from(&pages.untimed_ms);
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
    history.answers = simulator.stats().answers;
    drop(simulator);
    for creation in &history.creations {
        history.tasks.insert(creation.task.clone(), task(world, &creation.task).await?);
    }
    Ok(history)
}

/// How much memory Redis uses for what it keeps and does.
pub(crate) async fn memory_bytes(wire: &Wire) -> anyhow::Result<u64> {
    let mut redis = wire.redis().await?;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|bytes| bytes.trim().parse().ok()).context("Redis does not say how much memory it uses")
}

/// Takes the census of all keys, and then the finished jobs away, to see what is left without them.
///
/// Called when all workers and consumers are gone, since their connections need memory, too.
pub(crate) async fn census(world: &World, history: &mut History) -> anyhow::Result<()> {
    let wire = &world.wire;
    history.memory_before_bytes = world.memory_before_bytes;
    history.memory_after_bytes = memory_bytes(wire).await?;
    let mut redis = wire.redis().await?;
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(500).query_async(&mut redis).await?;
        for key in keys {
            /// The answer of PTTL about a key that has expired since it was listed.
            const GONE: i64 = -2;
            let lives_ms: i64 = redis.pttl(&key).await?;
            if lives_ms == GONE {
                continue;
            }
            let length = if key.contains("}:rate:") { redis.llen(&key).await? } else { 0 };
            history.keys.insert(key, KeySeen { expires: lives_ms >= 0, length });
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let listed: StreamRangeReply = redis.xrange_all(wire.key("ended")).await?;
    let jobs = |entry: &StreamId| entry.get::<String>("jobs").unwrap_or_default();
    let jobs = listed.ids.iter().map(jobs).collect::<Vec<_>>().join(" ");
    history.swept_in_time = jobs.split_whitespace().map(str::to_owned).collect();
    let ended = ["events", "ended", "failed", "late", "rejected", "totals"].map(|name| wire.key(name));
    let families = JOB_FAMILIES.map(|family| wire.key(&format!("{family}:")));
    let is_of_a_job = |key: &String| families.iter().any(|family| key.starts_with(family));
    let of_jobs = history.keys.keys().filter(|key| is_of_a_job(key) || ended.contains(key));
    for keys in of_jobs.collect::<Vec<_>>().chunks(500) {
        let _: u64 = redis.del(keys).await?;
    }
    // What was freed is still to be swept up, and the table of keys to shrink.
    tokio::time::sleep(Duration::from_secs(1)).await;
    history.memory_without_jobs_bytes = memory_bytes(wire).await?;
    Ok(())
}

pub(crate) fn told(event: &Event) -> anyhow::Result<Told> {
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

/// Reads a job's text: the fence of its next claim, its phase, its record, and the entry of its event on a line of its own.
/// The record's JSON is the worker's own affair: `e` is when it came, and `tl` its timeline.
async fn record(redis: &mut MultiplexedConnection, key: &str) -> anyhow::Result<Option<Kept>> {
    let text: Option<String> = redis.get(key).await?;
    let Some(text) = text else { return Ok(None) };
    let mut words = text.lines().next().unwrap_or_default().splitn(3, ' ');
    let (Some(next), Some(phase), Some(record)) = (words.next(), words.next(), words.next()) else {
        anyhow::bail!("{key} has no readable text")
    };
    let fence = next.parse::<u64>().with_context(|| format!("{key} has no fence"))? - 1;
    let phase = phase.to_owned();
    let record: Value = serde_json::from_str(record).with_context(|| format!("{key} has no readable record"))?;
    let timeline = timeline(record["e"].as_u64().unwrap_or(0), record["tl"].as_str().unwrap_or_default());
    Ok(Some(Kept { phase, fence, timeline: timeline.with_context(|| format!("{key} has no timeline"))? }))
}

/// Reads `<fence><letter of the phase><ms since the last one>`, again and again. Differences are zigzag numbers.
fn timeline(came_ms: u64, text: &str) -> Option<Vec<(u64, u64, String)>> {
    let mut at_ms = came_ms;
    let moments = text.split(' ').map(|moment| {
        let (fence, rest) = moment.split_at(moment.find(|c: char| c.is_ascii_alphabetic())?);
        let (letter, after) = rest.split_at(1);
        let after: u64 = after.parse().ok()?;
        at_ms = at_ms.wrapping_add((after >> 1) ^ 0_u64.wrapping_sub(after & 1));
        Some((at_ms, fence.parse().ok()?, phase_of(letter)?.to_owned()))
    });
    moments.collect()
}

fn phase_of(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "q" => "queued",
        "s" => "submitting",
        "p" => "polling",
        "u" => "unknown",
        "h" => "held",
        "c" => "completed",
        "f" => "failed",
        "x" => "cancelled",
        _ => return None,
    })
}

/// Reads how the upstream itself sees a task.
pub(crate) async fn task(world: &World, id: &str) -> anyhow::Result<TaskSeen> {
    let url = format!("{}/sim/tasks/{id}", world.simulator_url);
    let text = world.http.get(&url).send().await?.text().await?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{url} says {text:?}"))?;
    let text = |field: &str| answer["task"][field].as_str().unwrap_or_default().to_owned();
    let status = text("status");
    // The simulator's own path does not know the public URL that its pictures are told by.
    let image_url = text("imageUrl").replace(&own_base(&text("imageUrl")), "http://pictures.example");
    let finished_ms = answer["task"]["finishTime"].as_u64().unwrap_or(0);
    Ok(TaskSeen { status, image_url, finished_ms })
}

fn own_base(url: &str) -> String {
    url.split("/image/").next().filter(|base| !base.is_empty()).unwrap_or("http://pictures.example").to_owned()
}
