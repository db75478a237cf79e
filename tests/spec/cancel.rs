//! Cancels: a job ends where it is, paid or unpaid, and its task is left alone, or cancelled where upstreams can.

use mjq_harness::Stack;
use redis::AsyncCommands;
use redis::streams::{StreamReadOptions, StreamReadReply};
use serde_json::{Value, json};

use crate::support::{a_stack, creation_of, imagine, job_view, now_ms, one_event_for_each, submitted_once, with};

#[tokio::test]
async fn a_waiting_job_is_cancelled_unpaid() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let later = with(imagine("waiting", "a red fox"), "/options/run_at_ms", now_ms() + 3_600_000);

    stack.xadd_job(&with(later, "/request/state", "customer 7")).await?;
    stack.xadd_job(&json!({"cancel": "waiting"})).await?;

    let event = stack.event_of("waiting").await?;
    assert_eq!((event.outcome(), event.code(), event.state()), ("cancelled", "cancelled", "customer 7"));
    assert_eq!((event.field("task"), &event.data()?["attempts"]), ("", &json!(0)));
    submitted_once(&stack, 0)
}

#[tokio::test]
async fn a_cancel_that_waited_for_minutes_reaches_its_job_that_a_dead_pod_had_been_given() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).set("MJQ_LEASE_MS", 1_000).await?;
    let (mut redis, key, old_ms) = (stack.wire.redis().await?, stack.wire.key("jobs"), now_ms() - 120_000);
    let waiting = with(imagine("waiting", "a red fox"), "/options/run_at_ms", now_ms() + 3_600_000);
    for (n, entry) in [waiting, json!({"cancel": "waiting"})].into_iter().enumerate() {
        let fields = [("v", "1".to_owned()), ("job", entry.to_string())];
        let _: String = redis.xadd(&key, format!("{old_ms}-{n}"), &fields).await?;
    }
    redis.xgroup_create::<_, _, _, ()>(&key, "mjq", "0").await?;
    let dead = StreamReadOptions::default().group("mjq", "mjq").noack().count(1);
    let given: StreamReadReply = redis.xread_options(&[&key], &[">"], &dead).await?;
    assert_eq!(given.keys[0].ids.len(), 1);

    stack.add_worker().await?;

    assert_eq!(stack.event_of("waiting").await?.code(), "cancelled");
    submitted_once(&stack, 0)
}

#[tokio::test]
async fn an_open_job_is_cancelled_and_no_longer_polled() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("open", "a red fox [sim: stuck=46%]")).await?;
    stack.eventually("it is open", async |stack| Ok(stack.simulator.stats().polls > 0)).await?;

    stack.xadd_job(&json!({"cancel": "open"})).await?;

    let event = stack.event_of("open").await?;
    let task = stack.simulator.ledger()[0].task.clone();
    assert_eq!((event.outcome(), event.code(), event.field("task")), ("cancelled", "cancelled", task.as_str()));
    assert_eq!(event.data()?["attempts"], 1);
    let polls = stack.simulator.polls(&task);
    // Another job lives and ends meanwhile: time enough for polls that should not come.
    stack.xadd_job(&imagine("other", "a blue fox [sim: duration=500ms]")).await?;
    stack.event_of("other").await?;
    assert_eq!(stack.simulator.polls(&task), polls);
    one_event_for_each(&stack, 2).await?;
    Ok(())
}

#[tokio::test]
async fn the_upstream_is_asked_to_cancel_the_task_of_a_cancelled_job_after_its_event_is_out() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_CANCEL_PATH", "/mj/task/{id}/cancel").await?;
    stack.simulator.knobs(|knobs| knobs.cancel_refusals = 1);
    stack.wire.xadd_jobs(&[imagine("open", "a red fox [sim: stuck=46%]"), imagine("done", "done")]).await?;
    stack.event_of("done").await?;
    stack.eventually("it is open", async |stack| Ok(stack.simulator.ledger().len() == 2)).await?;
    let task = creation_of(&stack, "red")?.task;

    stack.wire.xadd_jobs(&[json!({"cancel": "open"}), json!({"cancel": "done"})]).await?;

    assert_eq!(stack.event_of("open").await?.code(), "cancelled");
    stack.eventually("the task is cancelled", async |stack| Ok(stack.simulator.is_cancelled(&task))).await?;
    // The first time was refused; nothing is asked about the other job, nor after an agreement.
    let worker = &stack.workers[0];
    let is_noted = async |_: &Stack| {
        let job = job_view(worker, "open").await?;
        let note = job["timeline"].as_array().and_then(|lines| lines.last()).map(|line| line["note"].clone());
        Ok(note == Some(json!(format!("the upstream cancels task {task}"))))
    };
    stack.eventually("the job's timeline says so", is_noted).await?;
    assert_eq!(stack.simulator.stats().requests.get("cancel"), Some(&2));
    one_event_for_each(&stack, 2).await?;
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn an_upstream_that_does_not_cancel_holds_up_nobody() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_CANCEL_PATH", "/mj/task/{id}/cancel").await?;
    stack.simulator.knobs(|knobs| knobs.cancel_refusals = 1_000);
    let jobs: Vec<Value> = (0..20).map(|n| imagine(&format!("open-{n}"), &format!("{n} [sim: stuck=46%]"))).collect();
    stack.wire.xadd_jobs(&jobs).await?;
    stack.eventually("all are open", async |stack| Ok(stack.simulator.ledger().len() == 20)).await?;

    let cancels: Vec<Value> = (0..20).map(|n| json!({"cancel": format!("open-{n}")})).collect();
    stack.wire.xadd_jobs(&cancels).await?;
    stack.xadd_job(&imagine("other", "other")).await?;

    assert_eq!(stack.event_of("other").await?.code(), "ok");
    one_event_for_each(&stack, 21).await?;
    submitted_once(&stack, 21)
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_or_for_nobody_changes_nothing() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("done", "a red fox")).await?;
    stack.event_of("done").await?;

    stack.wire.xadd_jobs(&[json!({"cancel": "done"}), json!({"cancel": "nobody"}), imagine("last", "last")]).await?;

    stack.event_of("last").await?;
    let events = one_event_for_each(&stack, 2).await?;
    assert!(events.values().all(|event| event.outcome() == "completed"));
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn a_cancel_while_the_submit_is_on_its_way_does_not_lose_the_task() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let prompt = "a red fox [sim: delay=700ms]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    stack.xadd_job(&json!({"cancel": "order-1842"})).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), event.field("task")), ("cancelled", stack.simulator.ledger()[0].task.as_str()));
    assert_eq!(event.data()?["attempts"], 1);
    submitted_once(&stack, 1)
}
