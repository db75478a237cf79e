//! Retry: an operator lets an ended job be tried once more. It keeps its id, its history and its counts, and ends again.

use mjq_harness::{Event, Stack};
use mjq_simulator::{Outcome, Script};
use serde_json::{Value, json};

use crate::support::{Cli, a_stack, imagine, job_view, with};

async fn retry(stack: &Stack, job: &str) -> anyhow::Result<i32> {
    Ok(Cli::on(stack, &["retry", job])?.run().await?.code)
}

/// A job that fails the first time, and its event.
async fn a_failed_job(stack: &Stack) -> anyhow::Result<Event> {
    stack.simulator.script("red fox", Script::ends(Outcome::Failure("Job Timeout".to_owned())).uses(1));
    let job = with(imagine("order-1842", "a red fox"), "/request/state", "customer 7");
    let job = with(job, "/options", json!({"max_attempts": 1, "deadline_s": 7200}));
    stack.xadd_job(&job).await?;
    stack.event_of("order-1842").await
}

/// Both events of a retried job.
async fn both_events(stack: &Stack) -> anyhow::Result<[Event; 2]> {
    stack.wire.first_events(2).await?;
    let events: Vec<Event> = stack.events().await?.into_iter().filter(|event| event.job() == "order-1842").collect();
    events.try_into().map_err(|events: Vec<Event>| anyhow::anyhow!("{} events: {events:?}", events.len()))
}

#[tokio::test]
async fn a_failed_job_is_submitted_once_more_and_a_second_event_tells_how_that_ended() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    a_failed_job(&stack).await?;

    assert_eq!(retry(&stack, "order-1842").await?, 0);

    let [first, second] = both_events(&stack).await?;
    assert_eq!((first.outcome(), first.code()), ("failed", "upstream_failed"));
    assert_eq!((second.outcome(), second.code(), second.state()), ("completed", "ok", "customer 7"));
    assert_ne!(first.field("task"), second.field("task"));
    assert_eq!((&first.data()?["attempts"], &second.data()?["attempts"]), (&json!(1), &json!(2)));
    // Each attempt was a charge, as the command's help says, and no more than that.
    assert_eq!((stack.simulator.created("a red fox"), stack.simulator.attempted("a red fox")), (2, 2));
    assert_eq!(stack.simulator.stats().polls_after_end, 0);
    Ok(())
}

#[tokio::test]
async fn a_retried_job_keeps_its_history_under_rising_fences() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    a_failed_job(&stack).await?;
    let before = job_view(&stack.workers[0], "order-1842").await?;

    retry(&stack, "order-1842").await?;
    both_events(&stack).await?;

    let after = job_view(&stack.workers[0], "order-1842").await?;
    let moments = |view: &Value| view["timeline"].as_array().cloned().unwrap_or_default();
    let (early, all) = (moments(&before), moments(&after));
    assert_eq!(all[..early.len()], early[..]);
    let phases: Vec<&str> = all.iter().filter_map(|moment| moment["phase"].as_str()).collect();
    assert_eq!(phases, ["queued", "submitting", "polling", "failed", "queued", "submitting", "polling", "completed"]);
    let again_ms = all.get(4).and_then(|moment| moment["at_ms"].as_u64());
    assert_eq!(after["deadline_ms"].as_u64(), again_ms.map(|ms| ms + 7_200_000), "its own deadline, from then on");
    let fences: Vec<u64> = all.iter().filter_map(|moment| moment["fence"].as_u64()).collect();
    assert!(fences.is_sorted() && fences[4] > fences[3], "{fences:?}");
    Ok(())
}

#[tokio::test]
async fn a_retried_job_has_as_long_as_its_workers_gave_it_and_not_what_the_operators_settings_say() -> anyhow::Result<()>
{
    let stack = a_stack().set("MJQ_DEADLINE_FAST", "2h").await?;
    stack.simulator.script("red fox", Script::ends(Outcome::Failure("Job Timeout".to_owned())).uses(1));
    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;
    stack.event_of("order-1842").await?;

    retry(&stack, "order-1842").await?;
    both_events(&stack).await?;

    let view = job_view(&stack.workers[0], "order-1842").await?;
    assert_eq!(view["deadline_ms"].as_u64(), view["timeline"][4]["at_ms"].as_u64().map(|ms| ms + 7_200_000), "{view}");
    Ok(())
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_says_that_there_may_be_two_tasks() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: lose=after]")).await?;
    assert_eq!(stack.event_of("order-1842").await?.code(), "submit_unknown");

    retry(&stack, "order-1842").await?;

    let [first, second] = both_events(&stack).await?;
    let (first, data) = (first.data()?, second.data()?);
    assert_eq!((second.code(), &data["attempts"]), ("ok", &json!(2)));
    assert_eq!((&first["possible_duplicate"], &data["possible_duplicate"]), (&json!(false), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn a_cancelled_job_and_one_that_was_too_late_can_be_retried_with_a_new_deadline() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.simulator.script("fox", Script { stuck: Some("46%".to_owned()), ..Script::default() }.uses(2));
    let late = with(imagine("late", "a late fox"), "/options/deadline_s", 1);
    stack.wire.xadd_jobs(&[imagine("cancelled", "a cancelled fox"), late]).await?;
    stack.eventually("both are open", async |stack| Ok(stack.simulator.ledger().len() == 2)).await?;
    stack.xadd_job(&json!({"cancel": "cancelled"})).await?;
    assert_eq!(stack.event_of("cancelled").await?.code(), "cancelled");
    assert_eq!(stack.event_of("late").await?.code(), "deadline_exceeded");

    for job in ["cancelled", "late"] {
        assert_eq!(retry(&stack, job).await?, 0);
    }

    let events = stack.wire.first_events(4).await?;
    let mut ended: Vec<_> = events[2..].iter().map(|event| (event.job(), event.code())).collect();
    ended.sort_unstable();
    assert_eq!(ended, [("cancelled", "ok"), ("late", "ok")]);
    Ok(())
}

#[tokio::test]
async fn a_job_that_is_open_completed_or_unknown_is_not_retried() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.wire.xadd_jobs(&[imagine("done", "a red fox"), imagine("open", "a fox [sim: stuck=46%]")]).await?;
    assert_eq!(stack.event_of("done").await?.code(), "ok");
    stack.eventually("both are there", async |stack| Ok(stack.simulator.ledger().len() == 2)).await?;

    for job in ["done", "open", "nobody"] {
        assert_ne!(retry(&stack, job).await?, 0, "{job}");
    }

    stack.xadd_job(&imagine("last", "last")).await?;
    stack.event_of("last").await?;
    assert_eq!((stack.events().await?.len(), stack.simulator.stats().created), (2, 3));
    Ok(())
}

#[tokio::test]
async fn a_job_that_is_retried_twice_at_once_is_submitted_once() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    a_failed_job(&stack).await?;

    let (one, other) = tokio::try_join!(retry(&stack, "order-1842"), retry(&stack, "order-1842"))?;

    assert!(one == 0 || other == 0, "{one} {other}");
    both_events(&stack).await?;
    assert_eq!(stack.simulator.created("a red fox"), 2);
    Ok(())
}
