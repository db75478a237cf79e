//! Hooks tell ends: while they come, hardly anybody polls; when they do not, polls find what they would have told.

use std::time::Duration;

use anyhow::ensure;
use mjq_harness::{Stack, StackBuilder};
use serde_json::Value;

use crate::support::{Recorder, a_stack_with_hooks, imagine, submitted_once, with};

const BATCH: usize = 24;
/// Each of them ends a task; a pod asks every three seconds what others have learnt.
const BATCHES: usize = 12;

/// Tasks that would be polled two or three times each.
fn a_hooked_stack() -> anyhow::Result<StackBuilder> {
    let span = "1500ms..2500ms".parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(a_stack_with_hooks()?.set("MJQ_POLL_MAX_MS", 15_000).knobs(|knobs| knobs.duration = span))
}

/// What the jobs of a batch came to.
struct Batch {
    polls_per_job: f64,
    /// From the end of a task to its event, the longest.
    latest: Duration,
}

async fn run_batch(stack: &Stack, name: &str, change: impl Fn(Value) -> Value) -> anyhow::Result<Batch> {
    let ids: Vec<String> = (0..BATCH).map(|n| format!("{name}-{n}")).collect();
    let jobs: Vec<Value> = ids.iter().map(|id| change(imagine(id, &format!("fox {id}")))).collect();
    stack.wire.xadd_jobs(&jobs).await?;
    let (mut polls, mut latest_ms) = (0, 0);
    for id in &ids {
        let event = stack.event_of(id).await?;
        let data = event.data()?;
        ensure!(event.outcome() == "completed", "{event:?}");
        polls += data["polls"].as_u64().unwrap_or_default();
        let (finished, published) = (data["task"]["finishTime"].as_u64(), data["timings"]["published_ms"].as_u64());
        latest_ms = latest_ms.max(published.unwrap_or_default().saturating_sub(finished.unwrap_or_default()));
    }
    let polls_per_job = polls as f64 / BATCH as f64;
    println!("{name}: {polls_per_job:.2} polls per job, the latest {latest_ms} ms after its end");
    Ok(Batch { polls_per_job, latest: Duration::from_millis(latest_ms) })
}

/// Runs batches until one is as it should be.
async fn until(stack: &Stack, name: &str, holds: impl Fn(&Batch) -> bool) -> anyhow::Result<Batch> {
    for n in 0..BATCHES {
        let batch = run_batch(stack, &format!("{name}{n}"), |job| job).await?;
        if holds(&batch) {
            return Ok(batch);
        }
    }
    anyhow::bail!("no batch of {BATCHES} was {name}")
}

#[tokio::test]
async fn while_hooks_come_a_job_takes_one_poll() -> anyhow::Result<()> {
    let callers = Recorder::answering("").await?;
    let stack = a_hooked_stack()?.await?;

    let first = run_batch(&stack, "unknown", |job| job).await?;
    until(&stack, "told", |batch| batch.polls_per_job <= 1.1 && batch.latest < Duration::from_secs(1)).await?;

    assert!(first.polls_per_job > 1.5, "{} polls per job before anything is known", first.polls_per_job);
    // Nobody tells us the ends of these: polls find them, as ever.
    let own = run_batch(&stack, "own", |job| with(job, "/request/notifyHook", callers.url())).await?;
    assert!(own.polls_per_job > 1.5 && own.latest < Duration::from_secs(2), "{} {:?}", own.polls_per_job, own.latest);
    submitted_once(&stack, stack.simulator.stats().created as usize)
}

#[tokio::test]
async fn when_hooks_go_missing_polls_find_the_ends_and_soon_come_as_often_as_before() -> anyhow::Result<()> {
    let stack = a_hooked_stack()?.await?;
    until(&stack, "told", |batch| batch.polls_per_job <= 1.1).await?;

    stack.simulator.knobs(|knobs| knobs.hook_loss = 1.0);

    // No task takes longer than 2.5 s: by then each is polled, told or not.
    let lost = run_batch(&stack, "lost", |job| job).await?;
    assert!(lost.latest < Duration::from_secs(5), "{:?}", lost.latest);
    until(&stack, "sought", |batch| batch.polls_per_job > 1.5 && batch.latest < Duration::from_secs(2)).await?;
    Ok(())
}
