//! kill -9 and frozen workers: jobs go on within a lease, nothing is paid twice, and what nobody can know is said.

use std::time::{Duration, Instant};

use mjq_harness::{Stack, StackBuilder, WorkerProcess, eventually, eventually_within};
use redis::{AsyncCommands, streams::StreamReadReply};
use serde_json::json;

use crate::support::{FarRedis, a_stack, foxes, imagine, metric, now_ms, one_event_for_each, submitted_once, with};

const LEASE: Duration = Duration::from_secs(1);

fn a_stack_with_short_leases() -> StackBuilder {
    a_stack().set("MJQ_LEASE_MS", LEASE.as_millis())
}

async fn stale_writes(worker: &WorkerProcess) -> anyhow::Result<f64> {
    metric(worker, "mjq_settled_total", "stale").await
}

#[tokio::test]
async fn the_open_jobs_of_a_killed_worker_are_taken_over_within_its_lease_and_none_is_paid_twice() -> anyhow::Result<()>
{
    let stack = a_stack_with_short_leases().knobs(|knobs| knobs.duration = Duration::from_secs(6).into());
    let mut stack = stack.await?;
    let jobs = foxes(100);
    stack.wire.xadd_jobs(&jobs).await?;
    let worker = &stack.workers[0];
    let is_open = async |_: &Stack| Ok(metric(worker, "mjq_settled_total", "").await? >= 150.0);
    stack.eventually("all are open and polled", is_open).await?;

    stack.workers[0].kill9()?;
    let killed = Instant::now();
    stack.add_worker().await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    // The tasks themselves take six seconds, and a busy machine has its own ideas.
    assert!(killed.elapsed() < LEASE + Duration::from_secs(14), "{:?}", killed.elapsed());
    assert!(events.values().all(|event| event.code() == "ok" && event.field("status") == "SUCCESS"));
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn an_entry_that_was_read_and_never_admitted_is_found_within_a_lease() -> anyhow::Result<()> {
    let stack = a_stack_with_short_leases().await?;
    stack.xadd_job(&imagine("order-1841", "a red fox")).await?;
    stack.event_of("order-1841").await?;

    // In one act, or the worker would read it: as if it had been given to one that died.
    let jobs = stack.wire.key("jobs");
    let mut act = redis::pipe();
    act.atomic().xadd(&jobs, "*", &[("v", "1"), ("job", &imagine("order-1842", "a blue fox").to_string())]).ignore();
    act.cmd("XREADGROUP").arg(&["GROUP", "mjq", "dead", "NOACK", "STREAMS", &jobs, ">"]);
    let (read,): (StreamReadReply,) = act.query_async(&mut stack.wire.redis().await?).await?;
    assert_eq!(read.keys[0].ids.len(), 1, "it was given out");
    let began = Instant::now();

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    assert!(began.elapsed() < LEASE + Duration::from_secs(10), "{:?}", began.elapsed());
    let left: u64 = stack.wire.redis().await?.xlen(&jobs).await?;
    assert_eq!(left, 0);
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn jobs_that_a_killed_worker_had_only_read_are_not_lost() -> anyhow::Result<()> {
    const SLOTS: usize = 64;
    let mut stack = a_stack_with_short_leases().workers(2).set("MJQ_SLOTS", SLOTS).await?;
    let jobs = foxes(2_000);

    // At no chosen moment: some entries have been read and not admitted, some steps claimed and not begun.
    stack.wire.xadd_jobs(&jobs).await?;
    stack.workers[0].kill9()?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    let ended = |code: &str| events.values().filter(|event| event.code() == code).count();
    let (ok, unknown) = (ended("ok"), ended("submit_unknown"));
    assert_eq!(ok + unknown, jobs.len(), "{events:?}");
    assert!(unknown <= SLOTS, "{unknown} are not known, and the killed one had {SLOTS} slots");
    assert_eq!(stack.simulator.stats().created_again, 0);
    Ok(())
}

#[tokio::test]
async fn a_job_caught_between_intent_and_answer_ends_as_submit_unknown() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().await?;
    let prompt = "a red fox [sim: delay=30s]";
    stack.xadd_job(&with(imagine("order-1842", prompt), "/request/state", "customer 7")).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    stack.workers[0].kill9()?;
    stack.add_worker().await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code(), event.state()), ("failed", "submit_unknown", "customer 7"));
    assert_eq!((event.field("task"), &event.data()?["attempts"]), ("", &json!(1)));
    // It was paid for, and this is why it was not submitted again.
    assert_eq!((stack.simulator.created(prompt), stack.simulator.attempted(prompt)), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_job_caught_there_is_submitted_again_if_its_caller_prefers_that_to_not_knowing() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().await?;
    let prompt = "a red fox [sim: delay=30s]";
    stack.xadd_job(&with(imagine("order-1842", prompt), "/options/on_unknown", "resubmit")).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    stack.workers[0].kill9()?;
    stack.add_worker().await?;

    let event = stack.event_of("order-1842").await?;
    let data = event.data()?;
    assert_eq!((event.code(), &data["attempts"], &data["possible_duplicate"]), ("ok", &json!(2), &json!(true)));
    assert_eq!(stack.simulator.created(prompt), 2);
    Ok(())
}

#[tokio::test]
async fn a_frozen_worker_wakes_up_to_find_its_job_finished_by_another_and_its_write_refused() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: fetch=truth fetch_delay=3s]")).await?;
    stack.eventually("a poll is on its way", async |stack| Ok(stack.simulator.stats().polls == 1)).await?;

    stack.workers[0].pause()?;
    stack.add_worker().await?;
    let event = stack.event_of("order-1842").await?;
    stack.workers[0].resume()?;

    assert_eq!(event.code(), "ok");
    assert_eq!(event.data()?["reclaims"], 1);
    let frozen = &stack.workers[0];
    stack.eventually("the stale write is refused", async |_| Ok(stale_writes(frozen).await? >= 1.0)).await?;
    one_event_for_each(&stack, 1).await?;
    assert_eq!(stack.simulator.created("a red fox [sim: fetch=truth fetch_delay=3s]"), 1);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_was_frozen_in_a_submit_changes_nothing_about_what_was_said_of_it() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().await?;
    let prompt = "a red fox [sim: delay=3s]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    stack.workers[0].pause()?;
    stack.add_worker().await?;
    let event = stack.event_of("order-1842").await?;
    stack.workers[0].resume()?;

    assert_eq!(event.code(), "submit_unknown");
    let frozen = &stack.workers[0];
    stack.eventually("the stale write is refused", async |_| Ok(stale_writes(frozen).await? >= 1.0)).await?;
    one_event_for_each(&stack, 1).await?;
    submitted_once(&stack, 1)
}

/// How many of the jobs `job-0`, `job-1` … with these prompts are claimed, and have not reached the upstream.
async fn unsent_in_hand(stack: &Stack, prompts: &[String]) -> anyhow::Result<usize> {
    let leases: Vec<String> = stack.wire.redis().await?.zrange(stack.wire.key("leases"), 0, -1).await?;
    let numbers = leases.iter().filter_map(|lease| lease.split_once(":job-")?.1.parse::<usize>().ok());
    Ok(numbers.filter(|n| stack.simulator.attempted(&prompts[*n]) == 0).count())
}

#[tokio::test]
async fn frozen_workers_with_many_jobs_in_hand_submit_none_of_them_when_they_wake_up() -> anyhow::Result<()> {
    const SLOTS: usize = 50;
    /// What it was writing to its sockets in the very moment in which it froze.
    const HALF_WRITTEN: usize = 4;
    let mut stack = a_stack_with_short_leases().workers(0).set("MJQ_SLOTS", SLOTS).await?;
    // What a large job consists of is read after the claim: from afar, many are in hand that have not been sent.
    let far = FarRedis::of(&stack, Duration::from_millis(25)).await?;
    far.add_worker(&mut stack).await?;
    let prompts: Vec<String> = (0..500).map(|n| format!("fox {n} {}", "x".repeat(9_000))).collect();
    let jobs: Vec<_> = prompts.iter().enumerate().map(|(n, prompt)| imagine(&format!("job-{n}"), prompt)).collect();
    stack.wire.xadd_jobs(&jobs).await?;
    stack.eventually("it is in the middle", async |stack| Ok(stack.simulator.ledger().len() >= 100)).await?;

    let freeze = async || {
        stack.workers[0].pause()?;
        let unsent = unsent_in_hand(&stack, &prompts).await?;
        if unsent < 20 {
            stack.workers[0].resume()?;
        }
        Ok(unsent >= 20)
    };
    eventually("it is frozen with many in hand", freeze).await?;
    stack.add_worker().await?;
    let events = one_event_for_each(&stack, jobs.len()).await?;
    // Whatever was on the wire has arrived long ago.
    let arrived = stack.simulator.arrivals().submits_ms.len();
    let in_hand = events.values().filter(|event| event.code() == "submit_unknown").count();
    stack.workers[0].resume()?;
    let frozen = &stack.workers[0];
    let is_refused = async |_: &Stack| Ok(stale_writes(frozen).await? >= in_hand as f64);
    stack.eventually("all that it had in hand is refused", is_refused).await?;
    stack.xadd_job(&imagine("last", "last")).await?;

    assert_eq!(stack.event_of("last").await?.code(), "ok");
    assert!((20..=SLOTS).contains(&in_hand), "{in_hand} were in hand");
    let late = stack.simulator.arrivals().submits_ms.len() - arrived - 1;
    assert!(late <= HALF_WRITTEN, "it submitted {late} of {in_hand} when it woke up");
    assert!(events.values().all(|event| ["ok", "submit_unknown"].contains(&event.code())), "{events:?}");
    one_event_for_each(&stack, jobs.len() + 1).await?;
    assert_eq!(stack.simulator.stats().created_again, 0);
    Ok(())
}

#[tokio::test]
async fn a_job_that_kills_its_workers_again_and_again_ends_as_poison() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().set("MJQ_MAX_RECLAIMS", 1).await?;
    let polls = |stack: &Stack| stack.simulator.stats().polls;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: fetch=hang fetch_times=0]")).await?;

    for deaths in 1..=2 {
        stack.eventually("a poll is on its way", async |stack| Ok(polls(stack) >= deaths)).await?;
        let last = stack.workers.len() - 1;
        stack.workers[last].kill9()?;
        stack.add_worker().await?;
    }

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code(), &event.data()?["attempts"]), ("failed", "poison", &json!(1)));
    assert_eq!(stack.simulator.stats().created, 1);
    Ok(())
}

#[tokio::test]
async fn a_job_that_a_later_version_wrote_waits_for_a_worker_that_can_read_it() -> anyhow::Result<()> {
    let stack = a_stack_with_short_leases().await?;
    let (mut redis, job) = (stack.wire.redis().await?, stack.wire.key("job:order-1842"));
    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/options/run_at_ms", now_ms() + 1_500)).await?;
    let is_admitted = async |stack: &Stack| Ok(stack.wire.redis().await?.exists(&job).await?);
    stack.eventually("it is admitted", is_admitted).await?;
    let readable: String = redis.get(&job).await?;
    let later = r#"{"k":"hologram","#;
    let _: () = redis.set(&job, readable.replacen('{', later, 1)).await?;

    let worker = &stack.workers[0];
    let is_met = async |_: &Stack| Ok(worker.logs().contains("the record of job order-1842 cannot be read"));
    stack.eventually("the worker meets it", is_met).await?;
    let is_released = async |stack: &Stack| {
        let text: String = stack.wire.redis().await?.get(&job).await?;
        Ok(text.starts_with("3 queued "))
    };
    stack.eventually("the worker has put it back twice", is_released).await?;
    // From here on it is read again, as by a worker of the later version.
    let text: String = redis.get(&job).await?;
    let _: () = redis.set(&job, text.replacen(later, "{", 1)).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), &event.data()?["attempts"], &event.data()?["reclaims"]), ("ok", &json!(1), &json!(0)));
    assert_eq!(worker.logs().matches("cannot be read").count(), 1, "it is logged once");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_killed_worker_is_forgotten_in_the_end_and_a_live_one_is_not() -> anyhow::Result<()> {
    let mut stack = a_stack_with_short_leases().await?;
    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;
    stack.event_of("order-1842").await?;
    let live = async |stack: &Stack| {
        let beats: Vec<String> = stack.wire.redis().await?.hkeys(stack.wire.key("workers")).await?;
        anyhow::Ok(beats)
    };
    let dead = live(&stack).await?;
    assert_eq!(dead.len(), 1);

    stack.workers[0].kill9()?;
    stack.add_worker().await?;
    stack.xadd_job(&imagine("order-1843", "a blue fox")).await?;
    stack.event_of("order-1843").await?;
    assert_eq!(live(&stack).await?.len(), 2);

    let is_gone = async |stack: &Stack| Ok(!live(stack).await?.contains(&dead[0]));
    eventually_within(Duration::from_secs(60), "the dead one is gone", async || is_gone(&stack).await).await?;
    assert_eq!(live(&stack).await?.len(), 1);
    stack.xadd_job(&imagine("order-1844", "a green fox")).await?;
    assert_eq!(stack.event_of("order-1844").await?.code(), "ok");
    submitted_once(&stack, 3)
}
