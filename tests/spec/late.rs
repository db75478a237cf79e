//! After the deadline: the job has ended, its task goes on, and what it comes to is written on the job.

use mjq_harness::Stack;
use serde_json::Value;

use crate::support::{
    Cli, a_stack, a_stack_with_hooks, creation_of, imagine, job_view, metric, one_event_for_each, submitted_once, with,
};

/// A job with a deadline of one second whose task takes longer.
async fn overdue(stack: &Stack, id: &str, words: &str) -> anyhow::Result<String> {
    let prompt = format!("{id} [sim: {words}]");
    stack.xadd_job(&with(imagine(id, &prompt), "/options/deadline_s", 1)).await?;
    assert_eq!(stack.event_of(id).await?.code(), "deadline_exceeded");
    Ok(creation_of(stack, &prompt)?.task)
}

/// Waits until the late success of `job` is on it, and shows the job.
async fn with_late_success(stack: &Stack, job: &str) -> anyhow::Result<Value> {
    let is_seen = async |stack: &Stack| Ok(!job_view(&stack.workers[0], job).await?["late"].is_null());
    stack.eventually(&format!("the late success of {job} is seen"), is_seen).await?;
    job_view(&stack.workers[0], job).await
}

#[tokio::test]
async fn a_late_success_is_recorded_on_the_job_and_is_no_second_event() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_MAX_OPEN", 1).await?;
    let task = overdue(&stack, "order-1842", "duration=2500ms").await?;
    // The task that goes on holds no place.
    stack.xadd_job(&imagine("other", "other")).await?;
    stack.event_of("other").await?;

    let job = with_late_success(&stack, "order-1842").await?;

    assert_eq!((job["phase"].as_str(), job["outcome"]["code"].as_str()), (Some("failed"), Some("deadline_exceeded")));
    let late = &job["late"];
    assert_eq!((late["task"].as_str(), late["status"].as_str()), (Some(task.as_str()), Some("SUCCESS")));
    let image_url = late["image_url"].as_str().unwrap_or_default().to_owned();
    assert!(image_url.starts_with("http"), "{late}");
    let last = job["timeline"].as_array().and_then(|lines| lines.last()).cloned().unwrap_or_default();
    assert!(last["note"].as_str().is_some_and(|note| note.starts_with("late success")), "{last}");
    let run = Cli::on(&stack, &["show", "order-1842"])?.run().await?;
    assert!(run.stdout.contains("late ") && run.stdout.contains(&image_url), "{}", run.stdout);
    let (_, page) = stack.workers[0].get("/jobs/order-1842").await?;
    assert!(page.contains("late success"), "{page}");
    one_event_for_each(&stack, 2).await?;
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn after_a_late_failure_the_task_is_polled_no_more() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let task = overdue(&stack, "order-1842", "duration=1500ms fail=\"Job Timeout\"").await?;
    let worker = &stack.workers[0];
    let is_seen = async |_: &Stack| Ok(metric(worker, "mjq_revisits_total", "task_failed").await? >= 1.0);
    stack.eventually("the late failure is seen", is_seen).await?;
    let polls = stack.simulator.polls(&task);

    // Another such job is polled twice meanwhile.
    overdue(&stack, "other", "duration=3s").await?;
    with_late_success(&stack, "other").await?;

    assert_eq!(stack.simulator.polls(&task), polls);
    assert_eq!(job_view(&stack.workers[0], "order-1842").await?["late"], Value::Null);
    one_event_for_each(&stack, 2).await?;
    Ok(())
}

#[tokio::test]
async fn a_retry_ends_the_polls_of_the_task_before() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.simulator.script("order-1842", "uses=1 duration=20s".parse().map_err(anyhow::Error::msg)?);
    stack.xadd_job(&with(imagine("order-1842", "order-1842"), "/options/deadline_s", 2)).await?;
    assert_eq!(stack.event_of("order-1842").await?.code(), "deadline_exceeded");
    let task = stack.simulator.ledger()[0].task.clone();
    let polls = stack.simulator.polls(&task);

    let run = Cli::on(&stack, &["retry", "order-1842"])?.run().await?;

    assert_eq!(run.code, 0, "{}", run.stderr);
    stack.eventually("it has ended again", async |stack| Ok(stack.events().await?.len() == 2)).await?;
    overdue(&stack, "other", "duration=2500ms").await?;
    with_late_success(&stack, "other").await?;
    assert_eq!(stack.simulator.polls(&task), polls);
    let job = job_view(&stack.workers[0], "order-1842").await?;
    assert_eq!((job["phase"].as_str(), &job["late"]), (Some("completed"), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_hook_about_a_task_that_outlived_its_job_brings_the_poll_forward() -> anyhow::Result<()> {
    let stack = a_stack_with_hooks()?.await?;
    stack.simulator.knobs(|knobs| knobs.hook_only_terminal = true);
    let job = imagine("order-1842", "a red fox [sim: duration=6s]");
    stack.xadd_job(&with(job, "/options/deadline_s", 5)).await?;
    assert_eq!(stack.event_of("order-1842").await?.code(), "deadline_exceeded");

    let job = with_late_success(&stack, "order-1842").await?;

    let after_ms =
        job["late"]["at_ms"].as_u64().zip(job["deadline_ms"].as_u64()).map(|(seen, deadline)| seen - deadline);
    // Without the hook, the first poll comes five seconds after the deadline.
    assert!(after_ms.is_some_and(|ms| ms < 4_500), "{after_ms:?}");
    Ok(())
}
