//! Keys that nobody but mjq should write, and somebody has: the job that it hits may be lost, its neighbours are not.

use std::time::Duration;

use mjq_harness::Stack;
use serde_json::{Value, json};

use crate::support::{Cli, a_stack, imagine, metric, one_event_for_each, submitted_once};

/// Does this to Redis, key names beginning within the queue.
async fn write(stack: &Stack, command: &str, key: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut redis = stack.wire.redis().await?;
    let _: redis::Value = redis::cmd(command).arg(stack.wire.key(key)).arg(words).query_async(&mut redis).await?;
    Ok(())
}

fn jobs(name: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| imagine(&format!("{name}-{n}"), &format!("{name} {n}"))).collect()
}

/// A stack with so many open tasks, called `open-…`, which take a while.
async fn with_open_tasks(count: usize) -> anyhow::Result<Stack> {
    let stack = a_stack().knobs(|knobs| knobs.duration = Duration::from_secs(4).into()).await?;
    stack.wire.xadd_jobs(&jobs("open", count)).await?;
    stack.eventually("all are open", async |stack| Ok(stack.simulator.stats().created == count as u64)).await?;
    Ok(stack)
}

/// Pauses the queue until `resume`: a step that is under way would write its job anew.
async fn pause(stack: &Stack) -> anyhow::Result<()> {
    Cli::on(stack, &["pause"])?.run().await?;
    let is_idle = async |stack: &Stack| Ok(metric(&stack.workers[0], "mjq_jobs", "in_step").await? == 0.0);
    stack.eventually("no step is under way", is_idle).await
}

async fn resume(stack: &Stack) -> anyhow::Result<()> {
    Cli::on(stack, &["resume"])?.run().await.map(|_| ())
}

#[tokio::test]
async fn a_job_that_cannot_be_read_holds_up_no_other() -> anyhow::Result<()> {
    for junk in ["garbage", "", "99999999999999999999999999 polling {}"] {
        let stack = with_open_tasks(20).await?;

        pause(&stack).await?;
        write(&stack, "SET", "job:open-3", &[junk]).await?;
        resume(&stack).await?;
        stack.wire.xadd_jobs(&jobs("later", 5)).await?;

        let events = one_event_for_each(&stack, 24).await?;
        assert!(events.values().all(|event| event.code() == "ok") && !events.contains_key("open-3"), "{junk}");
    }
    Ok(())
}

#[tokio::test]
async fn keys_of_jobs_that_somebody_has_made_something_else_of_hold_up_no_other() -> anyhow::Result<()> {
    let stack = with_open_tasks(20).await?;

    pause(&stack).await?;
    for (key, command, words) in [
        ("job:open-1", "HSET", &["a", "stranger's"][..]),
        ("request:open-2", "HSET", &["a", "stranger's"]),
        ("request:open-3", "SET", &["a b c"]),
        ("more:open-4", "SET", &["a stranger's"]),
        ("more:open-5", "SADD", &["a stranger's"]),
        ("marked", "SADD", &["open-1", "open-2", "open-3", "open-4", "open-5"]),
    ] {
        if key != "marked" {
            write(&stack, "DEL", key, &[]).await?;
        }
        write(&stack, command, key, words).await?;
    }
    resume(&stack).await?;
    // A cancel has to write into what is not there any more.
    stack.xadd_job(&json!({ "cancel": "open-5" })).await?;
    stack.wire.xadd_jobs(&jobs("later", 5)).await?;

    let events = one_event_for_each(&stack, 24).await?;
    let codes = |code: &str| events.values().filter(|event| event.code() == code).count();
    assert_eq!((codes("ok"), codes("cancelled")), (23, 1));
    assert!(!events.contains_key("open-1"), "nothing is left of it");
    assert_eq!(events["open-2"].state(), "");
    Ok(())
}

#[tokio::test]
async fn a_job_that_has_a_task_is_not_submitted_however_often_it_is_put_among_those_that_are_to_be()
-> anyhow::Result<()> {
    let stack = with_open_tasks(6).await?;

    write(&stack, "ZADD", "due:submit", &["1", "open-1"]).await?;
    write(&stack, "ZADD", "due:later", &["1", "open-2"]).await?;

    one_event_for_each(&stack, 6).await?;
    write(&stack, "ZADD", "due:submit", &["1", "open-1"]).await?;
    stack.xadd_job(&imagine("last", "last")).await?;
    one_event_for_each(&stack, 7).await?;
    submitted_once(&stack, 7)
}

#[tokio::test]
async fn a_key_that_somebody_has_made_something_else_of_is_named_and_costs_no_job() -> anyhow::Result<()> {
    for key in ["due:submit", "deadlines", "marked", "leases", "held", "upstream"] {
        let stack = a_stack().await?;
        write(&stack, "SET", key, &["a stranger's"]).await?;

        stack.wire.xadd_jobs(&jobs("order", 20)).await?;
        let worker = &stack.workers[0];
        let is_named = async |_: &Stack| {
            let (status, body) = worker.get("/readyz").await?;
            Ok(status == 503 && body.contains("WRONGTYPE"))
        };
        stack.eventually("it is named", is_named).await?;
        write(&stack, "DEL", key, &[]).await?;

        let events = one_event_for_each(&stack, 20).await?;
        assert!(events.values().all(|event| event.code() == "ok"), "{key}");
        submitted_once(&stack, 20)?;
    }
    Ok(())
}
