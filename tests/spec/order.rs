//! Order: priorities first, then age, and nobody before the time that the job asks for.

use std::time::Duration;

use crate::support::{a_stack, imagine, now_ms, one_event_for_each, submitted_once, with};

#[tokio::test]
async fn jobs_are_submitted_by_priority_and_then_by_age() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).set("MJQ_UPSTREAM_MAX_OPEN", 1).await?;
    stack.simulator.knobs(|knobs| knobs.duration = Duration::from_millis(20).into());
    let priorities = ["low", "normal", "high", "low", "high", "normal"];
    for (n, priority) in priorities.into_iter().enumerate() {
        stack.xadd_job(&with(imagine(&format!("{priority}-{n}"), priority), "/options/priority", priority)).await?;
    }
    stack.xadd_job(&imagine("plain", "plain")).await?;

    stack.add_worker().await?;

    one_event_for_each(&stack, priorities.len() + 1).await?;
    let order: Vec<String> = stack.simulator.ledger().into_iter().map(|creation| creation.prompt).collect();
    assert_eq!(order, ["high", "high", "normal", "normal", "plain", "low", "low"]);
    let events: Vec<String> = stack.events().await?.iter().map(|event| event.job().to_owned()).collect();
    assert_eq!(events, ["high-2", "high-4", "normal-1", "normal-5", "plain", "low-0", "low-3"]);
    Ok(())
}

#[tokio::test]
async fn a_job_with_a_start_time_is_not_submitted_before_it_and_holds_nobody_up() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let run_at_ms = now_ms() + 5_000;

    stack.xadd_job(&with(imagine("later", "later"), "/options/run_at_ms", run_at_ms)).await?;
    stack.xadd_job(&imagine("now", "now")).await?;

    assert!(stack.event_of("now").await?.data()?["timings"]["finished_ms"].as_u64() < Some(run_at_ms));
    assert_eq!(stack.event_of("later").await?.code(), "ok");
    let created_ms = stack.simulator.ledger()[1].at_ms;
    assert!(created_ms >= run_at_ms, "{} ms too early", run_at_ms - created_ms);
    submitted_once(&stack, 2)
}
