//! Buttons: an action names an earlier job and a button, or the upstream's own ids.

use std::time::Duration;

use mjq_harness::Stack;
use mjq_simulator::busiest_second;
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::support::{
    a_stack, action, imagine, job_view, metric, now_ms, one_event_for_each, submitted_once, wait_for_phase, with,
};

#[tokio::test]
async fn an_action_presses_the_button_of_an_earlier_jobs_result() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("grid", "a red fox")).await?;
    let grid = stack.event_of("grid").await?;

    let presses = [("u1", "U1", "UPSCALE"), ("v4", "v4", "VARIATION"), ("emoji", "🔄", "REROLL")];
    for (id, button, _) in presses {
        stack.xadd_job(&with(action(id, "grid", button), "/request/state", format!("state of {id}"))).await?;
    }

    for (id, button, kind) in presses {
        let event = stack.event_of(id).await?;
        assert_eq!((event.outcome(), event.field("kind")), ("completed", "action"), "{button}");
        assert_eq!(event.state(), format!("state of {id}"));
        assert_eq!(event.data()?["task"]["action"], kind, "{button}");
        let pressed = stack.simulator.ledger().into_iter().find(|creation| creation.task == event.field("task"));
        assert_eq!(pressed.and_then(|creation| creation.parent).as_deref(), Some(grid.field("task")), "{button}");
    }
    submitted_once(&stack, 4)
}

#[tokio::test]
async fn an_action_may_be_enqueued_before_its_parent_has_finished_and_even_before_its_parent() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let slow = "a red fox [sim: duration=1500ms]";

    stack.wire.xadd_jobs(&[action("early", "grid", "U2"), imagine("grid", slow), action("u1", "grid", "U1")]).await?;

    let events = one_event_for_each(&stack, 3).await?;
    assert!(events.values().all(|event| event.outcome() == "completed"), "{events:?}");
    assert_eq!(events["u1"].data()?["attempts"], 1);
    submitted_once(&stack, 3)
}

#[tokio::test]
async fn actions_that_wait_for_their_parent_use_up_no_submits() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_SUBMIT_RATE", 2).await?;
    stack.xadd_job(&imagine("grid", "a red fox [sim: duration=30s]")).await?;
    wait_for_phase(&stack, "grid", "polling").await?;
    let waiting: Vec<_> = (0..10).map(|n| action(&format!("waiting-{n}"), "grid", "U1")).collect();
    stack.wire.xadd_jobs(&waiting).await?;

    let others: Vec<_> = (0..5).map(|n| imagine(&format!("other-{n}"), &format!("fox {n}"))).collect();
    stack.wire.xadd_jobs(&others).await?;

    for n in 0..others.len() {
        assert_eq!(stack.event_of(&format!("other-{n}")).await?.code(), "ok");
    }
    assert_eq!(job_view(&stack.workers[0], "grid").await?["phase"], "polling", "they had to wait for it");
    let submits_ms = stack.simulator.arrivals().submits_ms;
    assert_eq!(submits_ms.len(), 6);
    assert!(busiest_second(&submits_ms) <= 2, "{submits_ms:?}");
    Ok(())
}

#[tokio::test]
async fn an_action_that_waits_is_claimed_once_and_submitted_when_its_parent_ends() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("grid", "a red fox [sim: duration=6s]")).await?;
    wait_for_phase(&stack, "grid", "polling").await?;
    let buttons = ["U1", "U2", "U3", "U4"];
    let waiting: Vec<_> = buttons.iter().map(|button| action(button, "grid", button)).collect();
    stack.wire.xadd_jobs(&waiting).await?;

    for button in buttons {
        assert_eq!(stack.event_of(button).await?.code(), "ok");
    }

    let claims = metric(&stack.workers[0], "mjq_steps_total", "parent_pending").await?;
    assert_eq!(claims as usize, buttons.len());
    submitted_once(&stack, 5)
}

#[tokio::test]
async fn an_action_by_task_and_custom_id_needs_no_job_of_ours() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("grid", "a red fox")).await?;
    let grid = stack.event_of("grid").await?;
    let data = grid.data()?;
    let request = |task: Value, button: usize| json!({"taskId": task, "customId": data["buttons"][button]["customId"]});

    // Callers hand on what they got: AGICTO's ids are integers, the event's are strings.
    let as_text = json!({"id": "text", "kind": "action", "request": request(grid.field("task").into(), 0)});
    let as_number =
        json!({"id": "number", "kind": "action", "request": request(grid.field("task").parse::<u64>()?.into(), 1)});
    stack.wire.xadd_jobs(&[as_text, as_number]).await?;

    for job in ["text", "number"] {
        assert_eq!(stack.event_of(job).await?.outcome(), "completed", "{job}");
    }
    submitted_once(&stack, 3)
}

#[tokio::test]
async fn follow_ups_are_pressed_when_their_job_has_completed() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let job = with(imagine("grid", "a red fox"), "/then", json!([{"button": "U1"}, {"button": "V2", "state": "own"}]));

    stack.xadd_job(&with(job, "/request/state", "customer 7")).await?;

    let events = one_event_for_each(&stack, 3).await?;
    let then: Vec<String> = serde_json::from_value(events["grid"].data()?["then"].clone())?;
    assert_eq!(then.len(), 2);
    for (child, action, state) in [(&then[0], "UPSCALE", "customer 7"), (&then[1], "VARIATION", "own")] {
        let event = &events[child];
        assert_eq!((event.outcome(), event.state()), ("completed", state), "{child}");
        let data = event.data()?;
        assert_eq!((&data["task"]["action"], &data["follows"]), (&json!(action), &json!("grid")), "{child}");
    }
    submitted_once(&stack, 3)
}

#[tokio::test]
async fn a_job_without_a_result_has_no_follow_ups() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let job = imagine("grid", "a red fox [sim: fail=\"Job Timeout\"]");

    stack.xadd_job(&with(job, "/then", json!([{"button": "U1"}]))).await?;
    assert_eq!(stack.event_of("grid").await?.data()?["then"], json!([]));

    stack.xadd_job(&imagine("last", "a blue fox")).await?;
    stack.event_of("last").await?;
    one_event_for_each(&stack, 2).await?;
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn an_action_without_its_parents_result_ends_as_parent_gone() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let unknown_task = json!({"taskId": "12463258", "customId": "MJ::JOB::upsample::1::0ddb"});
    let jobs = [
        imagine("failed", "a red fox [sim: fail=\"Job Timeout\"]"),
        action("of-failed", "failed", "U1"),
        json!({"id": "of-unknown-task", "kind": "action", "request": unknown_task}),
    ];

    stack.wire.xadd_jobs(&jobs).await?;

    for job in ["of-failed", "of-unknown-task"] {
        let event = stack.event_of(job).await?;
        assert_eq!((event.outcome(), event.code()), ("failed", "parent_gone"), "{job}");
        assert_eq!(event.data()?["attempts"], 0, "{job}");
    }
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn an_action_that_was_in_the_stream_for_minutes_still_waits_for_its_parent() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let old = format!("{}-0", now_ms() - 120_000);
    let early = action("early", "grid", "U1").to_string();
    let _: String = stack.wire.redis().await?.xadd(stack.wire.key("jobs"), old, &[("v", "1"), ("job", &early)]).await?;
    let is_missed = async |stack: &Stack| {
        let labels = r#"act="submit",observation="parent_not_known""#;
        Ok(metric(&stack.workers[0], "mjq_steps_total", labels).await? > 0.0)
    };
    stack.eventually("its parent is missed", is_missed).await?;

    stack.xadd_job(&imagine("grid", "a red fox")).await?;

    assert_eq!(stack.event_of("early").await?.code(), "ok");
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn an_action_whose_parent_never_comes_ends_at_its_deadline_at_the_latest() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let began_ms = now_ms();

    stack.xadd_job(&with(action("orphan", "nobody", "U1"), "/options/deadline_s", 1)).await?;

    let event = stack.event_of("orphan").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "deadline_exceeded"));
    let took_ms = now_ms() - began_ms;
    assert!((1_000..10_000).contains(&took_ms), "{took_ms} ms");
    assert_eq!(event.data()?["attempts"], 0);
    submitted_once(&stack, 0)
}

#[tokio::test]
async fn a_button_that_the_result_does_not_have_is_named_in_the_reason() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    stack.wire.xadd_jobs(&[imagine("grid", "a red fox"), action("u9", "grid", "U9")]).await?;

    let event = stack.event_of("u9").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "invalid_request"));
    assert!(event.data()?["reason"].as_str().is_some_and(|reason| reason.contains("U9")), "{event:?}");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_button_that_opens_a_window_makes_one_task_that_waits_for_input() -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| knobs.duration = Duration::from_millis(50).into()).await?;
    let zoom = with(action("zoom", "u1", "Custom Zoom"), "/options/deadline_s", 5);

    stack.wire.xadd_jobs(&[imagine("grid", "a red fox"), action("u1", "grid", "U1"), zoom]).await?;

    let event = stack.event_of("zoom").await?;
    assert_eq!((event.code(), event.field("status")), ("needs_input", "MODAL"));
    assert_eq!(event.data()?["attempts"], 1);
    submitted_once(&stack, 3)
}
