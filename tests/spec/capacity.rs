//! Tasks that fail upstream for want of capacity: one event as for any failure, or another task where that is wanted.

use mjq_harness::Stack;
use serde_json::{Value, json};

use crate::support::{Cli, a_stack, imagine, one_event_for_each, submitted_once, with};

/// The first `times` tasks of the job fail with these words.
fn failing(stack: &Stack, job: &str, times: u32, words: &str) -> anyhow::Result<()> {
    let script = format!("uses={times} fail=\"{words}\"").parse().map_err(anyhow::Error::msg)?;
    stack.simulator.script(job, script);
    Ok(())
}

fn resubmitting(id: &str, max_attempts: u32) -> Value {
    with(with(imagine(id, id), "/options/on_capacity", "resubmit"), "/options/max_attempts", max_attempts)
}

#[tokio::test]
async fn a_task_that_failed_for_want_of_capacity_ends_its_job_unless_another_is_wanted() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    failing(&stack, "order-1842", 1, "Job Timeout")?;

    stack.xadd_job(&imagine("order-1842", "order-1842")).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "upstream_failed"));
    assert_eq!(event.data()?.get("earlier_tasks"), None);
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn where_it_is_wanted_a_new_task_is_asked_for_and_each_charge_is_counted() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    failing(&stack, "order-1842", 2, "[Internal error] Something went wrong")?;

    stack.xadd_job(&with(resubmitting("order-1842", 3), "/request/state", "customer 7")).await?;

    let event = stack.event_of("order-1842").await?;
    let tasks: Vec<String> = stack.simulator.ledger().into_iter().map(|creation| creation.task).collect();
    assert_eq!((event.code(), event.state(), tasks.len()), ("ok", "customer 7", 3));
    assert_eq!(event.field("task"), tasks[2]);
    let data = event.data()?;
    assert_eq!((&data["attempts"], &data["possible_duplicate"]), (&json!(3), &json!(false)));
    assert_eq!(data["earlier_tasks"], json!(tasks[..2]));
    let run = Cli::on(&stack, &["show", "order-1842"])?.run().await?;
    assert!(tasks.iter().all(|task| run.stdout.contains(task)), "{}", run.stdout);
    assert!(run.stdout.contains("failed for want of capacity"), "{}", run.stdout);
    one_event_for_each(&stack, 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_whose_attempts_are_used_up_for_want_of_capacity_ends_as_attempts_exhausted() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_ON_CAPACITY", "resubmit").set("MJQ_MAX_ATTEMPTS", 2).await?;
    failing(&stack, "order-1842", 9, "任务超时")?;

    stack.xadd_job(&imagine("order-1842", "order-1842")).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code(), event.field("status")), ("failed", "attempts_exhausted", "FAILURE"));
    let data = event.data()?;
    assert_eq!((&data["attempts"], &data["reason"]), (&json!(2), &json!("任务超时")));
    assert_eq!(data["earlier_tasks"].as_array().map(Vec::len), Some(1));
    assert_eq!(stack.simulator.created("order-1842"), 2);
    Ok(())
}

#[tokio::test]
async fn a_task_that_failed_for_its_content_or_for_nobody_knows_what_is_never_paid_again() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    for (id, words, code) in [
        ("banned", "[Banned prompt detected] Sorry! Our AI moderator thinks", "banned_prompt"),
        ("invalid", "[Invalid parameter] Invalid value", "invalid_request"),
        ("riddle", "a riddle", "upstream_failed"),
    ] {
        failing(&stack, id, 9, words)?;
        stack.xadd_job(&resubmitting(id, 3)).await?;
        assert_eq!(stack.event_of(id).await?.code(), code, "{words}");
    }
    stack.xadd_job(&with(resubmitting("cancelled", 3), "/request/prompt", "x [sim: cancel]")).await?;
    assert_eq!(stack.event_of("cancelled").await?.code(), "upstream_failed");
    submitted_once(&stack, 4)
}
