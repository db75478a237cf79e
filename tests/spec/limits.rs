//! Order and limits: rates and open tasks over all pods, priorities, times, deadlines, cancels.

use std::time::Duration;

use mjq_harness::{Stack, eventually_within};
use mjq_simulator::busiest_second;
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::support::{a_stack, imagine, metric, now_ms, one_event_for_each, submitted_once, wait_for_phase, with};

#[tokio::test]
async fn no_second_holds_more_submits_or_polls_than_allowed_however_many_workers_there_are() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_UPSTREAM_SUBMIT_RATE", 10).set("MJQ_UPSTREAM_POLL_RATE", 10).await?;
    let jobs: Vec<_> = (0..30).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let arrivals = stack.simulator.arrivals();
    assert_eq!(arrivals.submits_ms.len(), 30);
    for (what, arrivals_ms) in [("submits", &arrivals.submits_ms), ("polls", &arrivals.polls_ms)] {
        let most = busiest_second(arrivals_ms);
        assert!(most <= 10, "a second with {most} {what}: {arrivals_ms:?}");
        let took_ms = arrivals_ms.iter().max().zip(arrivals_ms.iter().min()).map_or(0, |(last, first)| last - first);
        // Nor is the allowance left unused: thirty need two full seconds, not many more.
        assert!(took_ms < 15_000, "{} {what} took {took_ms} ms", arrivals_ms.len());
    }
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn no_more_tasks_are_open_than_allowed_however_many_workers_there_are() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_UPSTREAM_MAX_OPEN", 5).await?;
    let jobs: Vec<_> = (0..40).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let most = stack.simulator.stats().max_open;
    assert!((2..=5).contains(&most), "{most} tasks were open at once");
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_soon_asked_for_one_job_at_a_time_and_less_and_less_often()
-> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_SLOTS", 64).await?;
    let jobs: Vec<_> =
        (0..200).map(|n| imagine(&format!("job-{n}"), &format!("fox {n} [sim: status=429 times=0]"))).collect();
    stack.wire.xadd_jobs(&jobs).await?;

    // One submit after each of three pauses, and each pause longer than the one before.
    let is_asked_less_often = async |stack: &Stack| {
        let arrivals_ms = stack.simulator.arrivals().submits_ms;
        let pauses_ms: Vec<u64> = arrivals_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let is_longer = |pair: &[u64]| pair[0] >= 900 && pair[1] >= pair[0] * 3 / 2;
        Ok(pauses_ms.windows(3).any(|three| three.windows(2).all(is_longer)))
    };
    stack.eventually("it is asked for one job at a time, less and less often", is_asked_less_often).await?;

    let arrivals = stack.simulator.arrivals().submits_ms.len();
    assert!(arrivals < 128, "{arrivals} submits until then: one for each slot");
    Ok(())
}

#[tokio::test]
async fn a_refusal_while_long_tasks_are_open_does_not_keep_all_others_until_those_end() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let long: Vec<_> =
        (0..5).map(|n| imagine(&format!("long-{n}"), &format!("owl {n} [sim: duration=600s]"))).collect();
    stack.wire.xadd_jobs(&long).await?;
    for n in 0..long.len() {
        wait_for_phase(&stack, &format!("long-{n}"), "polling").await?;
    }
    let refused = "a bear [sim: status=429 times=1]";
    stack.xadd_job(&imagine("refused-once", refused)).await?;
    let is_refused = async |stack: &Stack| Ok(stack.simulator.attempted(refused) > 0);
    stack.eventually("it is refused", is_refused).await?;

    let jobs: Vec<_> = (0..20).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect();
    stack.wire.xadd_jobs(&jobs).await?;

    // Ten quiet seconds come first.
    let have_ended = async || Ok(stack.events().await?.len() == jobs.len() + 1);
    eventually_within(Duration::from_secs(120), "all others end", have_ended).await?;
    assert!(stack.events().await?.iter().all(|event| event.code() == "ok" && !event.job().starts_with("long")));
    Ok(())
}

#[tokio::test]
async fn jobs_that_are_always_refused_do_not_keep_those_behind_them() -> anyhow::Result<()> {
    for refusal in
        ["status=429", "status=503", "code=3 desc=\"无可用的账号实例\"", "status=404 html", "status=403 html"]
    {
        let stack = a_stack().await?;
        let bad = |n: usize| imagine(&format!("bad-{n}"), &format!("bear {n} [sim: {refusal} times=0]"));
        let good = |n: usize| imagine(&format!("good-{n}"), &format!("fox {n}"));
        let jobs: Vec<_> = (0..5).map(bad).chain((0..40).map(good)).collect();

        stack.wire.xadd_jobs(&jobs).await?;

        let what = format!("{refusal}: the good ones end");
        // Each of them may stop the others for some seconds, once.
        let have_ended = async || Ok(stack.events().await?.len() == 40);
        eventually_within(Duration::from_secs(120), &what, have_ended).await?;
        assert!(stack.events().await?.iter().all(|event| event.code() == "ok"), "{refusal}");
    }
    Ok(())
}

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
    let ledger = stack.simulator.ledger();
    let task = ledger.iter().find(|creation| creation.prompt.contains("red")).map(|it| it.task.clone());
    let task = task.unwrap_or_default();

    stack.wire.xadd_jobs(&[json!({"cancel": "open"}), json!({"cancel": "done"})]).await?;

    assert_eq!(stack.event_of("open").await?.code(), "cancelled");
    stack.eventually("the task is cancelled", async |stack| Ok(stack.simulator.is_cancelled(&task))).await?;
    // The first time was refused; nothing is asked about the other job, nor after an agreement.
    let worker = &stack.workers[0];
    let is_noted = async |_: &Stack| {
        let (_, job) = worker.get("/api/v1/jobs/open").await?;
        let job: Value = serde_json::from_str(&job)?;
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

#[tokio::test]
async fn events_of_finished_jobs_are_kept_until_each_group_has_read_them() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let jobs: Vec<Value> = (0..50).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect();
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
