//! A task is polled until it ends, its end becomes the job's, and the event of it stays until all have read it.

use std::time::Duration;

use mjq_harness::Stack;
use mjq_simulator::{Outcome, Script};
use redis::AsyncCommands;

use crate::support::{a_stack, foxes, imagine, metric, one_event_for_each, submitted_once, with};

#[tokio::test]
async fn each_way_in_which_a_task_can_end_has_its_code() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let fails = |reason: &str| Script::ends(Outcome::Failure(reason.to_owned()));
    let runs_as = |word: &str| Script { running_status: Some(word.to_owned()), ..Script::default() };
    let ends = [
        ("success", Script::default(), "completed", "ok", "SUCCESS"),
        ("without-picture", Script::ends(Outcome::NoImage), "completed", "ok", "SUCCESS"),
        ("cancelled", Script::ends(Outcome::Cancel), "failed", "upstream_failed", "CANCEL"),
        ("timeout", fails("Job Timeout"), "failed", "upstream_failed", "FAILURE"),
        ("banned", fails("[Banned prompt detected] Sorry!"), "failed", "banned_prompt", "FAILURE"),
        ("sensitive", fails("可能包含敏感词"), "failed", "banned_prompt", "FAILURE"),
        ("parameter", fails("[Invalid parameter] Invalid value"), "failed", "invalid_request", "FAILURE"),
        ("running", runs_as("RUNNING"), "completed", "ok", "SUCCESS"),
        ("odd-word", runs_as("unknown"), "completed", "ok", "SUCCESS"),
    ];

    for (id, script, ..) in &ends {
        stack.simulator.script(&format!("fox {id}"), script.clone());
        stack.xadd_job(&imagine(id, &format!("fox {id}"))).await?;
    }

    let events = one_event_for_each(&stack, ends.len()).await?;
    for (id, _, outcome, code, status) in &ends {
        let event = &events[*id];
        assert_eq!((event.outcome(), event.code(), event.field("status")), (*outcome, *code, *status), "{id}");
        assert_eq!(event.data()?["attempts"], 1, "{id}");
        assert_eq!(event.field("image_url").is_empty(), *code != "ok" || *id == "without-picture", "{event:?}");
    }
    assert_eq!(events["timeout"].data()?["reason"], "Job Timeout");
    // Where the picture never comes, its end is told more than once.
    assert_eq!(stack.simulator.stats().created, ends.len() as u64);
    assert_eq!(stack.simulator.stats().created_again, 0);
    Ok(())
}

#[tokio::test]
async fn a_preview_is_never_published_as_the_picture() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.simulator.script("fox", Script::default().lasting(Duration::from_secs(2)));

    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;

    let event = stack.event_of("order-1842").await?;
    let task = &event.data()?["task"];
    assert!(event.data()?["polls"].as_u64() > Some(1), "nobody polled while there were previews");
    assert_eq!((task["status"].as_str(), task["progress"].as_str()), (Some("SUCCESS"), Some("100%")));
    assert_eq!(event.field("image_url"), task["imageUrl"]);
    assert!(event.field("image_url").ends_with(".png"), "{}", event.field("image_url"));
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_task_is_seen_within_the_spacing_of_the_polls_by_a_worker_with_nothing_else_to_do()
-> anyhow::Result<()> {
    let stack = a_stack().await?;
    let mut quickest_ms = u64::MAX;

    // One after the other, so that nobody else's steps keep the worker awake; the best, since the machine may be busy.
    for n in 0..5 {
        stack.xadd_job(&imagine(&format!("job-{n}"), &format!("fox {n} [sim: duration=300ms]"))).await?;
        let data = stack.event_of(&format!("job-{n}")).await?.data()?;
        let finished_ms = data["task"]["finishTime"].as_u64().unwrap_or_default();
        quickest_ms =
            quickest_ms.min(data["timings"]["published_ms"].as_u64().unwrap_or_default().saturating_sub(finished_ms));
    }

    // The polls are 50 to 200 ms apart.
    assert!(quickest_ms < 250, "{quickest_ms} ms from the upstream's end to the event");
    Ok(())
}

#[tokio::test]
async fn a_task_that_waits_for_input_ends_its_job_as_needs_input_at_the_deadline() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.simulator.script("fox", Script::ends(Outcome::Modal));

    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/options/deadline_s", 1)).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.outcome(), event.code(), event.field("status")), ("failed", "needs_input", "MODAL"));
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_batch_of_polls_in_one_request_completes_jobs_as_single_polls_do() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition").await?;
    let jobs = foxes(100);

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert!(events.values().all(|event| event.outcome() == "completed" && !event.field("image_url").is_empty()));
    let requests = stack.simulator.stats().requests;
    assert!(requests["list-by-condition"] < 60, "{requests:?}");
    assert_eq!(requests.get("fetch"), None, "{requests:?}");
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn an_upstream_without_batches_is_polled_one_by_one_even_when_batches_are_asked_for() -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| knobs.list_by_condition = false);
    let stack = stack.set("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition").await?;
    let jobs = foxes(10);

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert!(events.values().all(|event| event.outcome() == "completed"));
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn events_of_finished_jobs_are_kept_until_each_group_has_read_them() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let jobs = foxes(50);
    let mut redis = stack.wire.redis().await?;
    let _: () = redis.xgroup_create_mkstream(stack.wire.key("events"), "slow", "0").await?;

    stack.wire.xadd_jobs(&jobs).await?;
    one_event_for_each(&stack, jobs.len()).await?;

    let worker = &stack.workers[0];
    let is_counted = async |_: &Stack| Ok(metric(worker, "mjq_jobs_finished_total", "completed").await? >= 50.0);
    stack.eventually("the worker has counted them", is_counted).await?;
    assert_eq!(redis.xlen::<_, usize>(stack.wire.key("events")).await?, jobs.len());
    Ok(())
}
