//! Redis comes back without its last writes, as after a power cut under `everysec`: what the workers still know is
//! written again, nothing is submitted a second time in silence, and operators are told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mjq_harness::{RedisOptions, Stack, StackBuilder};
use mjq_simulator::Span;
use serde_json::Value;

use crate::support::{
    Cli, a_stack, foxes, imagine, metric, now_ms, one_event_for_each, submitted_once, wait_for_phase, with,
};

fn a_stack_of_its_own() -> StackBuilder {
    a_stack().own_redis(RedisOptions::default().append_only().set("appendfsync", "always"))
}

/// What Redis had on its disk at some moment.
struct Snapshot(PathBuf);

impl Snapshot {
    /// Keeps what Redis has written up to now.
    fn take(stack: &mut Stack) -> anyhow::Result<Self> {
        let redis = stack.redis()?;
        // Nothing may be written while the files are copied.
        redis.pause()?;
        let copy = Self(redis.dir().join("snapshot"));
        copy_files(&redis.dir().join("appendonlydir"), &copy.0)?;
        redis.resume()?;
        Ok(copy)
    }

    /// Lets Redis die and come back as it was then.
    async fn come_back(&self, stack: &mut Stack) -> anyhow::Result<()> {
        let redis = stack.redis()?;
        redis.kill9()?;
        let dir = redis.dir().join("appendonlydir");
        fs::remove_dir_all(&dir)?;
        copy_files(&self.0, &dir)?;
        redis.restart().await
    }
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Whether metrics, API, dashboard and doctor all tell of a suspected rollback.
async fn is_told(stack: &Stack) -> anyhow::Result<bool> {
    let worker = &stack.workers[0];
    let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
    let doctor = Cli::on(stack, &["doctor"])?.set("MJQ_UPSTREAM_URL", &stack.simulator.url()).run().await?;
    Ok(metric(worker, "mjq_suspected_rollbacks", "").await? >= 1.0
        && queue["counts"]["totals"]["suspected_rollback"].as_u64() >= Some(1)
        && worker.get("/").await?.1.contains("Redis had lost what it knew")
        && doctor.stdout.contains("had lost what it knew"))
}

/// The one job has ended once and was submitted once. Another one runs meanwhile: time enough for what should not come.
async fn nothing_happened_twice_and_it_is_told(stack: &Stack) -> anyhow::Result<()> {
    stack.xadd_job(&imagine("last", "last")).await?;
    stack.event_of("last").await?;
    one_event_for_each(stack, 2).await?;
    submitted_once(stack, 2)?;
    stack.eventually("it is told everywhere", is_told).await
}

#[tokio::test]
async fn an_answer_that_comes_after_redis_has_forgotten_the_submit_is_written_down_and_reported() -> anyhow::Result<()>
{
    let mut stack = a_stack_of_its_own().await?;
    let prompt = "a red fox [sim: delay=3s]";
    // Redis remembers the pause, too: nobody asks for the job again before the answer has come.
    assert_eq!(Cli::on(&stack, &["pause", "--submits"])?.run().await?.code, 0);
    stack.xadd_job(&with(imagine("order-1842", prompt), "/request/state", "customer 7")).await?;
    wait_for_phase(&stack, "order-1842", "queued").await?;
    let before = Snapshot::take(&mut stack)?;
    assert_eq!(Cli::on(&stack, &["resume", "--submits"])?.run().await?.code, 0);
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.created(prompt) == 1)).await?;

    before.come_back(&mut stack).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), event.state()), ("ok", "customer 7"));
    assert_eq!(Cli::on(&stack, &["resume", "--submits"])?.run().await?.code, 0);
    nothing_happened_twice_and_it_is_told(&stack).await
}

#[tokio::test]
async fn a_job_whose_submit_redis_has_forgotten_is_not_submitted_again_while_its_answer_is_awaited()
-> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    let prompt = "a red fox [sim: delay=4s]";
    stack.xadd_job(&with(imagine("order-1842", prompt), "/options/run_at_ms", now_ms() + 4_000)).await?;
    wait_for_phase(&stack, "order-1842", "queued").await?;
    let before = Snapshot::take(&mut stack)?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.created(prompt) == 1)).await?;

    before.come_back(&mut stack).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    nothing_happened_twice_and_it_is_told(&stack).await
}

#[tokio::test]
async fn a_job_whose_acceptance_redis_has_forgotten_is_not_submitted_again_in_silence() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    let prompt = "a red fox [sim: duration=3s]";
    stack.xadd_job(&with(imagine("order-1842", prompt), "/options/run_at_ms", now_ms() + 4_000)).await?;
    wait_for_phase(&stack, "order-1842", "queued").await?;
    let before = Snapshot::take(&mut stack)?;
    wait_for_phase(&stack, "order-1842", "polling").await?;

    before.come_back(&mut stack).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    nothing_happened_twice_and_it_is_told(&stack).await
}

#[tokio::test]
async fn a_job_that_redis_has_forgotten_altogether_ends_with_its_callers_state_and_its_follow_ups() -> anyhow::Result<()>
{
    let mut stack = a_stack_of_its_own().await?;
    stack.xadd_job(&imagine("first", "first")).await?;
    stack.event_of("first").await?;
    let before = Snapshot::take(&mut stack)?;
    let job = with(imagine("order-1842", "a red fox [sim: duration=3s]"), "/request/state", "customer 7");
    stack.xadd_job(&with(job, "/then", serde_json::json!([{ "button": "U1" }]))).await?;
    wait_for_phase(&stack, "order-1842", "polling").await?;

    before.come_back(&mut stack).await?;

    for id in ["order-1842", "order-1842.then.0"] {
        let event = stack.event_of(id).await?;
        assert_eq!((event.code(), event.state()), ("ok", "customer 7"), "{id}");
    }
    one_event_for_each(&stack, 3).await?;
    submitted_once(&stack, 3)
}

#[tokio::test]
async fn what_one_pod_has_submitted_and_redis_has_forgotten_no_other_pod_submits_again() -> anyhow::Result<()> {
    const JOBS: usize = 150;
    let stack = a_stack_of_its_own().workers(3).set("MJQ_UPSTREAM_SUBMIT_RATE", 40).knobs(|knobs| {
        knobs.latency = Duration::from_millis(250).into();
        knobs.duration = Span::between(Duration::from_millis(200), Duration::from_secs(3));
    });
    let mut stack = stack.await?;
    let jobs = foxes(JOBS);
    stack.wire.xadd_jobs(&jobs).await?;
    let made = |count: u64| async move |stack: &Stack| Ok(stack.simulator.stats().created >= count);
    stack.eventually("some are submitted", made(20)).await?;
    let before = Snapshot::take(&mut stack)?;
    // About a second later: some are under way, some accepted, some completed.
    stack.eventually("more are submitted", made(60)).await?;

    before.come_back(&mut stack).await?;

    let events = one_event_for_each(&stack, JOBS).await?;
    assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
    let stats = stack.simulator.stats();
    assert_eq!((stats.created, stats.created_again), (JOBS as u64, 0), "{stats:?}");
    stack.eventually("it is told everywhere", is_told).await
}
