//! Code 22 is an acceptance: the job waits upstream, is paid for, and is never submitted again.

use std::time::Duration;

use mjq_harness::Stack;
use serde_json::{Value, json};

use crate::support::{a_stack, imagine, one_event_for_each, submitted_once};

/// Texts that get lost on the way wherever somebody is careless, and 10 KB of them.
fn state(n: usize) -> String {
    let nasty = ["🦊 élan 中文", "\"quoted\" \\ {\"a\":1}", "line\nline\r\n\ttab", "nul \0 and \u{7f}\u{1b}", ""];
    let mut state = format!("job {n} {}", nasty[n % nasty.len()]);
    if n.is_multiple_of(3) {
        state.push_str(&"10 KB 🦊\n".repeat(900));
    }
    state
}

fn jobs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let request = json!({"prompt": format!("fox {n}"), "state": state(n)});
            json!({"id": format!("job-{n}"), "kind": "imagine", "request": request})
        })
        .collect()
}

/// Each of `count` jobs has completed at the first attempt, and has its state again. A refusal is not an attempt.
async fn each_came_back(stack: &Stack, count: usize) -> anyhow::Result<()> {
    let events = one_event_for_each(stack, count).await?;
    for n in 0..count {
        let event = &events[&format!("job-{n}")];
        assert_eq!((event.outcome(), event.code()), ("completed", "ok"), "{event:?}");
        assert!(event.state() == state(n), "job {n} came back with another state: {:?}", event.state());
        assert_eq!(event.data()?["attempts"], 1, "job {n}");
    }
    Ok(())
}

#[tokio::test]
async fn three_hundred_jobs_over_ten_slots_are_each_paid_once_and_come_back_with_their_state() -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| knobs.slots = 10).await?;

    stack.wire.xadd_jobs(&jobs(300)).await?;

    each_came_back(&stack, 300).await?;
    let answers = stack.simulator.stats().answers;
    assert!(answers["22"] > 200, "{answers:?}");
    submitted_once(&stack, 300)
}

#[tokio::test]
async fn the_same_holds_when_the_upstreams_line_is_short_and_it_refuses_most_with_23() -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| (knobs.slots, knobs.queue) = (10, 10));
    let stack = stack.knobs(|knobs| knobs.duration = Duration::from_millis(50).into()).await?;

    stack.wire.xadd_jobs(&jobs(300)).await?;

    each_came_back(&stack, 300).await?;
    let answers = stack.simulator.stats().answers;
    assert!(answers["22"] > 0 && answers["refused: full"] > 0, "{answers:?}");
    submitted_once(&stack, 300)
}

#[tokio::test]
async fn a_22_without_a_task_id_is_the_only_one_that_is_submitted_again() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (with_id, without_id) = ("a red fox [sim: code=22]", "a blue fox [sim: code=22 id=no]");

    stack.wire.xadd_jobs(&[imagine("with", with_id), imagine("without", without_id)]).await?;

    for job in ["with", "without"] {
        let event = stack.event_of(job).await?;
        assert_eq!((event.code(), &event.data()?["attempts"]), ("ok", &json!(1)), "{job}");
    }
    assert_eq!((stack.simulator.attempted(with_id), stack.simulator.attempted(without_id)), (1, 2));
    submitted_once(&stack, 2)
}
