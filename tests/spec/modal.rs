//! Tasks that wait for input (MODAL): they hold nothing up, and go on with what a command brings.

use std::time::Duration;

use mjq_harness::Stack;
use mjq_simulator::{Outcome, Script, SubmitStep};
use serde_json::json;

use crate::support::{Cli, a_stack, imagine, job_view, one_event_for_each, submitted_once, wait_for_phase, with};

/// A stack with a job that is held.
async fn a_held_job() -> anyhow::Result<Stack> {
    let stack = a_stack().await?;
    stack.simulator.script("red fox", Script::ends(Outcome::Modal));
    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/request/state", "customer 7")).await?;
    wait_for_phase(&stack, "order-1842", "held").await?;
    Ok(stack)
}

/// The held job has ended with a picture of `prompt`, of the one task that it has had from the start.
async fn it_went_on_with(stack: &Stack, prompt: &str) -> anyhow::Result<()> {
    let event = stack.event_of("order-1842").await?;
    let data = event.data()?;
    assert_eq!((event.outcome(), event.code(), event.field("status")), ("completed", "ok", "SUCCESS"));
    assert_eq!((event.state(), event.field("task")), ("customer 7", stack.simulator.ledger()[0].task.as_str()));
    assert_eq!((&data["task"]["prompt"], &data["attempts"]), (&json!(prompt), &json!(1)));
    one_event_for_each(stack, 1).await?;
    submitted_once(stack, 1)
}

#[tokio::test]
async fn a_held_job_goes_on_with_the_input_that_a_modal_command_in_the_stream_brings() -> anyhow::Result<()> {
    let stack = a_held_job().await?;

    stack.xadd_job(&json!({"modal": {"job": "order-1842", "prompt": "a lighthouse, at night"}})).await?;

    it_went_on_with(&stack, "a lighthouse, at night").await
}

#[tokio::test]
async fn a_held_job_goes_on_with_the_input_of_mjq_modal() -> anyhow::Result<()> {
    let stack = a_held_job().await?;

    let run = Cli::on(&stack, &["modal", "order-1842", "--prompt", "a lighthouse, at night"])?.run().await?;

    assert_eq!(run.code, 0, "{run:?}");
    it_went_on_with(&stack, "a lighthouse, at night").await
}

#[tokio::test]
async fn an_input_without_a_prompt_lets_the_task_go_on_with_its_own() -> anyhow::Result<()> {
    let stack = a_held_job().await?;

    stack.xadd_job(&json!({"modal": {"job": "order-1842"}})).await?;

    it_went_on_with(&stack, "a red fox").await
}

#[tokio::test]
async fn a_held_job_tells_operators_what_it_waits_for() -> anyhow::Result<()> {
    let stack = a_held_job().await?;

    let shown = Cli::on(&stack, &["show", "order-1842"])?.run().await?;
    let view = job_view(&stack.workers[0], "order-1842").await?;
    let (_, page) = stack.workers[0].get("/jobs/order-1842").await?;
    let listed = Cli::on(&stack, &["jobs", "--held"])?.run().await?;
    let others = Cli::on(&stack, &["jobs", "--unknown"])?.run().await?;

    assert!(shown.stdout.contains("held") && shown.stdout.contains("MODAL"), "{shown:?}");
    assert_eq!((&view["phase"], &view["status"]), (&json!("held"), &json!("MODAL")));
    assert!(page.contains("held"), "{page}");
    assert!(listed.stdout.contains("order-1842") && others.stdout.is_empty(), "{listed:?} {others:?}");
    Ok(())
}

#[tokio::test]
async fn an_input_that_comes_before_the_task_waits_is_used_when_it_does() -> anyhow::Result<()> {
    let stack = a_stack().workers(0).set("MJQ_POLL_MAX_MS", 600_000).await?;
    stack.simulator.script("red fox", Script::ends(Outcome::Modal));
    let job = with(imagine("order-1842", "a red fox"), "/request/state", "customer 7");
    let input = json!({"modal": {"job": "order-1842", "prompt": "a lighthouse, at night"}});

    stack.wire.xadd_jobs(&[job, input]).await?;
    let mut stack = stack;
    stack.add_worker().await?;

    it_went_on_with(&stack, "a lighthouse, at night").await
}

#[tokio::test]
async fn an_input_that_the_upstream_refuses_leaves_the_job_held_for_a_better_one() -> anyhow::Result<()> {
    let stack = a_held_job().await?;
    stack.simulator.script("a forbidden word", Script::submits([SubmitStep::code(24)]));

    stack.xadd_job(&json!({"modal": {"job": "order-1842", "prompt": "a forbidden word"}})).await?;
    let refused = |stack: &Stack| stack.simulator.stats().answers.get("24").copied().unwrap_or(0);
    stack.eventually("it is refused", async |stack| Ok(refused(stack) == 1)).await?;
    wait_for_phase(&stack, "order-1842", "held").await?;
    stack.xadd_job(&json!({"modal": {"job": "order-1842", "prompt": "a lighthouse, at night"}})).await?;

    it_went_on_with(&stack, "a lighthouse, at night").await
}

#[tokio::test]
async fn an_input_for_a_job_that_has_ended_or_never_was_changes_nothing() -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| knobs.duration = Duration::from_millis(50).into()).await?;
    stack.xadd_job(&imagine("done", "a red fox")).await?;
    stack.event_of("done").await?;

    let input = |job: &str| json!({"modal": {"job": job, "prompt": "x"}});
    stack.wire.xadd_jobs(&[input("done"), input("nobody"), imagine("last", "last")]).await?;

    stack.event_of("last").await?;
    one_event_for_each(&stack, 2).await?;
    submitted_once(&stack, 2)
}
