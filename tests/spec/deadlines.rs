//! Deadlines: the caller's or the operator's, a job ends with it, and says what was seen of its task by then.

use std::time::Duration;

use serde_json::json;

use crate::support::{a_stack, foxes, imagine, now_ms, one_event_for_each, submitted_once, with};

#[tokio::test]
async fn a_stuck_task_ends_its_job_at_the_deadline_with_what_was_seen_of_it() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let began_ms = now_ms();

    stack.xadd_job(&with(imagine("stuck", "fox [sim: stuck=46%]"), "/options/deadline_s", 1)).await?;

    let event = stack.event_of("stuck").await?;
    assert_eq!((event.outcome(), event.code(), event.field("status")), ("failed", "deadline_exceeded", "IN_PROGRESS"));
    assert_eq!((event.field("task"), event.field("image_url")), (stack.simulator.ledger()[0].task.as_str(), ""));
    let data = event.data()?;
    assert_eq!((&data["attempts"], &data["task"]["progress"]), (&json!(1), &json!("46%")));
    let took_ms = now_ms() - began_ms;
    assert!((1_000..5_000).contains(&took_ms), "{took_ms} ms");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_job_that_could_not_be_submitted_by_its_deadline_ends_unpaid() -> anyhow::Result<()> {
    let mut stack = a_stack().await?;
    stack.simulator.pause().await;

    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/options/deadline_s", 1)).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "deadline_exceeded"));
    assert_eq!(event.data()?["attempts"], 0);
    submitted_once(&stack, 0)
}

#[tokio::test]
async fn a_deadline_of_the_operator_holds_for_jobs_that_have_none() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_DEADLINE_FAST", "1s").set("MJQ_DEADLINE_RELAX", "60m").await?;
    let relaxed = with(imagine("relaxed", "b [sim: duration=1500ms]"), "/request/model", "mj-relax");

    stack.wire.xadd_jobs(&[imagine("fast", "a [sim: stuck=0%]"), relaxed]).await?;

    assert_eq!(stack.event_of("fast").await?.code(), "deadline_exceeded");
    assert_eq!(stack.event_of("relaxed").await?.code(), "ok");
    Ok(())
}

#[tokio::test]
async fn what_could_not_end_in_time_any_more_is_not_paid_for() -> anyhow::Result<()> {
    let stack =
        a_stack().set("MJQ_UPSTREAM_MAX_OPEN", 10).knobs(|knobs| knobs.duration = Duration::from_secs(1).into());
    let stack = stack.await?;
    // In 8 s there is time for some 80 of them.
    let jobs: Vec<_> = foxes(120).into_iter().map(|job| with(job, "/options/deadline_s", 8)).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    let unpaid = events.values().filter(|event| event.code() == "deadline_exceeded").count();
    assert!(unpaid > 0, "all ended in time");
    for event in events.values() {
        let data = event.data()?;
        assert_eq!(event.code() == "ok", data["attempts"] == 1, "paid for in vain: {event:?}");
    }
    submitted_once(&stack, jobs.len() - unpaid)
}

#[tokio::test]
async fn a_poll_that_is_never_answered_keeps_no_job_from_ending() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_TIMEOUT_MS", 120_000).await?;

    stack.xadd_job(&with(imagine("hangs", "fox [sim: fetch=hang fetch_times=0]"), "/options/deadline_s", 1)).await?;

    let event = stack.event_of("hangs").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "deadline_exceeded"));
    submitted_once(&stack, 1)
}
