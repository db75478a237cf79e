//! A submit whose answer was lost: its task is found again by its hook or by its `state`, and nothing else is taken for it.

use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_harness::{Stack, StackBuilder};
use mjq_simulator::{Fault, Script, SubmitStep};
use redis::AsyncCommands;
use serde_json::json;

use crate::support::{
    Recorder, a_stack, a_stack_with_hooks, creation_of, imagine, job_view, metric, now_ms, one_event_for_each, with,
};

/// One worker that the upstream's hooks reach, and that waits for them.
fn a_patient_stack() -> anyhow::Result<StackBuilder> {
    Ok(a_stack_with_hooks()?.set("MJQ_UNKNOWN_GRACE_MS", 20_000))
}

fn a_stack_with_lookup() -> StackBuilder {
    let stack = a_stack().set("MJQ_UPSTREAM_STATE", "token").set("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list");
    stack.set("MJQ_UNKNOWN_GRACE_MS", 20_000)
}

/// One job for each way in which an answer gets lost after the task was made.
fn jobs_with_lost_answers() -> Vec<serde_json::Value> {
    let losses = ["lose=after", "reset=after", "status=504 after", "body=empty after", "body=broken after"];
    let job = |(n, loss): (usize, &&str)| {
        let job = imagine(&format!("job-{n}"), &format!("fox {n} [sim: {loss}]"));
        with(job, "/request/state", format!("customer {n}"))
    };
    losses.iter().enumerate().map(job).collect()
}

/// Each of `count` jobs was completed with the one task that was made for it.
async fn each_was_adopted(stack: &Stack, count: usize) -> anyhow::Result<()> {
    let events = one_event_for_each(stack, count).await?;
    for (job, event) in &events {
        let n = job.trim_start_matches("job-");
        let data = event.data()?;
        assert_eq!((event.outcome(), event.code()), ("completed", "ok"), "{event:?}");
        assert_eq!(event.state(), format!("customer {n}"));
        assert_eq!((&data["attempts"], &data["adopted"]), (&json!(1), &json!(true)), "{event:?}");
        assert_eq!(data["possible_duplicate"], false, "{event:?}");
        assert_eq!(event.field("task"), creation_of(stack, &format!("fox {n} "))?.task, "{job}");
    }
    made_once(stack, count)
}

#[tokio::test]
async fn a_task_whose_answer_was_lost_is_adopted_when_its_hook_comes() -> anyhow::Result<()> {
    let stack = a_patient_stack()?.await?;
    let jobs = jobs_with_lost_answers();

    stack.wire.xadd_jobs(&jobs).await?;

    each_was_adopted(&stack, jobs.len()).await
}

#[tokio::test]
async fn a_task_that_was_made_although_its_submit_was_refused_is_adopted_when_its_hook_comes() -> anyhow::Result<()> {
    let stack = a_patient_stack()?.await?;
    let refusals = ["status=503 retry=2 after", "status=429 retry=2 after", "code=23 id=no after"];
    let job = |(n, refusal): (usize, &&str)| {
        let job = imagine(&format!("job-{n}"), &format!("fox {n} [sim: {refusal} duration=5s]"));
        with(job, "/request/state", format!("customer {n}"))
    };
    let jobs: Vec<_> = refusals.iter().enumerate().map(job).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    each_was_adopted(&stack, jobs.len()).await
}

#[tokio::test]
async fn a_hook_that_somebody_made_up_adopts_nothing_and_the_genuine_one_does() -> anyhow::Result<()> {
    // The upstream's own hooks go to the recorder, so that the test decides what reaches the worker.
    let upstreams = Recorder::answering("{}").await?;
    let stack = a_stack().set("MJQ_HOOK_URL", upstreams.url()).set("MJQ_UNKNOWN_GRACE_MS", 6_000).await?;
    stack.wire.xadd_jobs(&["forged", "genuine"].map(|id| imagine(id, &format!("{id} fox [sim: lose=after]")))).await?;
    let is_there =
        async |_: &Stack| Ok(hook_to("forged", &upstreams).is_ok() && hook_to("genuine", &upstreams).is_ok());
    stack.eventually("both hooks were sent", is_there).await?;

    let (path, body) = hook_to("forged", &upstreams)?;
    let (address, signature) = path.rsplit_once('/').context("a hook without a signature")?;
    let (before, enqueued_ms) = address.rsplit_once('/').context("a hook without a time")?;
    let other = if &signature[10..11] == "A" { "E" } else { "A" };
    let inverted = format!("{}{other}{}", &signature[..10], &signature[11..]);
    let (others_path, others_body) = hook_to("genuine", &upstreams)?;
    let others_signature = others_path.rsplit('/').next().context("a hook without a signature")?;
    let forgeries = [
        format!("{address}/{inverted}"),
        format!("{address}/{}", &signature[..20]),
        format!("{address}/{others_signature}"),
        // A signature is for one attempt of one job, which came at one time.
        format!("/hooks/forged/2/{enqueued_ms}/{signature}"),
        format!("{before}/1{enqueued_ms}/{signature}"),
        format!("{before}/{signature}"),
        format!("{before}/none"),
    ];
    for forgery in &forgeries {
        assert_eq!(post(&stack, forgery, &body).await?, 404, "{forgery}");
    }
    assert_eq!(post(&stack, &others_path, &others_body).await?, 200);

    let events = one_event_for_each(&stack, 2).await?;
    assert_eq!((events["forged"].code(), events["forged"].field("task")), ("submit_unknown", ""));
    assert_eq!((events["genuine"].code(), &events["genuine"].data()?["adopted"]), ("ok", &json!(true)));
    assert_eq!(metric(&stack.workers[0], "mjq_hooks_total", "forged").await?, forgeries.len() as f64);
    made_once(&stack, 2)
}

#[tokio::test]
async fn a_genuine_hook_that_names_a_task_which_the_upstream_does_not_show_adopts_nothing() -> anyhow::Result<()> {
    let upstreams = Recorder::answering("{}").await?;
    let stack = a_stack().set("MJQ_HOOK_URL", upstreams.url()).set("MJQ_UNKNOWN_GRACE_MS", 1_500).await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: lose=after]")).await?;
    stack.eventually("the hook was sent", async |_| Ok(hook_to("order-1842", &upstreams).is_ok())).await?;
    let (path, _) = hook_to("order-1842", &upstreams)?;

    let status = post(&stack, &path, br#"{"id": "9999999999999999", "status": "SUCCESS"}"#).await?;

    assert_eq!(status, 200);
    assert_eq!(stack.event_of("order-1842").await?.code(), "submit_unknown");
    made_once(&stack, 1)
}

#[tokio::test]
async fn a_late_hook_about_an_earlier_job_with_the_same_id_tells_nothing_about_the_present_one() -> anyhow::Result<()> {
    let upstreams = Recorder::answering("{}").await?;
    let stack = a_stack().set("MJQ_HOOK_URL", upstreams.url()).await?;
    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;
    let first = stack.event_of("order-1842").await?;
    stack.eventually("its hook was sent", async |_| Ok(hook_to("order-1842", &upstreams).is_ok())).await?;
    let (path, body) = hook_to("order-1842", &upstreams)?;
    // As the sweep does when the retention is over.
    let keys = ["job", "request", "more"].map(|kind| stack.wire.key(&format!("{kind}:order-1842")));
    let _: u64 = stack.wire.redis().await?.del(&keys).await?;

    let prompt = "a blue fox [sim: status=503 retry=2]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("it was refused", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;
    assert_eq!(post(&stack, &path, &body).await?, 200);

    let both_ended = async |stack: &Stack| Ok(stack.events().await?.len() == 2);
    stack.eventually("the second job has ended", both_ended).await?;
    let second = stack.events().await?.remove(1);
    assert_eq!((second.code(), second.field("task")), ("ok", creation_of(&stack, "a blue fox")?.task.as_str()));
    assert_eq!((first.code(), &second.data()?["adopted"]), ("ok", &json!(false)), "{second:?}");
    made_once(&stack, 2)
}

#[tokio::test]
async fn a_hook_after_a_refusal_that_names_another_jobs_task_does_not_keep_the_job_from_its_submit()
-> anyhow::Result<()> {
    let upstreams = Recorder::answering("{}").await?;
    let stack = a_stack().set("MJQ_HOOK_URL", upstreams.url()).set("MJQ_UPSTREAM_STATE", "token").await?;
    stack.xadd_job(&imagine("order-1841", "a red fox")).await?;
    let others = stack.event_of("order-1841").await?;
    let prompt = "a blue fox [sim: status=503 retry=2 after]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("its hook was sent", async |_| Ok(hook_to("order-1842", &upstreams).is_ok())).await?;
    let (path, _) = hook_to("order-1842", &upstreams)?;

    let body = format!(r#"{{"id": "{}", "status": "IN_PROGRESS"}}"#, others.field("task"));
    assert_eq!(post(&stack, &path, body.as_bytes()).await?, 200);

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), &event.data()?["adopted"]), ("ok", &json!(false)), "{event:?}");
    assert_ne!(event.field("task"), others.field("task"));
    Ok(())
}

#[tokio::test]
async fn a_hook_of_an_earlier_attempt_does_not_take_the_place_of_the_present_task() -> anyhow::Result<()> {
    let upstreams = Recorder::answering("{}").await?;
    let stack = a_stack().set("MJQ_HOOK_URL", upstreams.url()).set("MJQ_UNKNOWN_GRACE_MS", 200).await?;
    let prompt = "a red fox [sim: lose=after duration=4s]";
    stack.xadd_job(&with(imagine("order-1842", prompt), "/options/on_unknown", "resubmit")).await?;
    stack.eventually("it was submitted again", async |stack| Ok(stack.simulator.created(prompt) == 2)).await?;
    let tasks: Vec<String> = stack.simulator.ledger().into_iter().map(|task| task.task).collect();
    let is_polled = async |stack: &Stack| Ok(stack.simulator.polls(&tasks[1]).is_some_and(|(polls, _)| polls > 0));
    stack.eventually("the second task is polled", is_polled).await?;
    let (path, _) = hook_to("order-1842/1", &upstreams)?;

    let body = format!(r#"{{"id": "{}", "status": "SUCCESS"}}"#, tasks[0]);
    assert_eq!(post(&stack, &path, body.as_bytes()).await?, 200);

    let event = stack.event_of("order-1842").await?;
    let data = event.data()?;
    assert_eq!((event.code(), event.field("task")), ("ok", tasks[1].as_str()));
    assert_eq!((&data["attempts"], &data["possible_duplicate"]), (&json!(2), &json!(true)));
    assert_eq!(data["adopted"], false);
    assert_eq!(stack.simulator.polls(&tasks[0]), Some((0, 0)));
    Ok(())
}

#[tokio::test]
async fn a_callers_own_hook_is_called_as_it_was_written_and_mjq_adds_none() -> anyhow::Result<()> {
    let callers = Recorder::answering("{}").await?;
    let stack = a_patient_stack()?.await?;
    let hook = format!("{}/own?order=1842&name=%20x", callers.url());

    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/request/notifyHook", hook)).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    let has_come = async |_: &Stack| {
        let calls = callers.requests();
        Ok(calls.iter().any(|call| {
            call.head.starts_with("POST /own?order=1842&name=%20x HTTP/") && body_has(&call.body, "SUCCESS")
        }))
    };
    stack.eventually("the caller hears of the end", has_come).await?;
    assert_eq!(metric(&stack.workers[0], "mjq_hooks_total", "").await?, 0.0);
    made_once(&stack, 1)
}

#[tokio::test]
async fn a_job_with_a_hook_of_its_callers_own_cannot_be_adopted_by_hook_and_says_so_at_once() -> anyhow::Result<()> {
    let callers = Recorder::answering("{}").await?;
    let stack = a_patient_stack()?.await?;
    let job = imagine("order-1842", "a red fox [sim: lose=after]");
    let began_ms = now_ms();

    stack.xadd_job(&with(job, "/request/notifyHook", format!("{}/own", callers.url()))).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), &event.data()?["attempts"]), ("submit_unknown", &json!(1)));
    assert!(now_ms() - began_ms < 10_000, "it waited for a hook that goes elsewhere");
    made_once(&stack, 1)
}

#[tokio::test]
async fn a_task_whose_answer_was_lost_is_adopted_by_the_state_that_the_upstream_lists() -> anyhow::Result<()> {
    let stack = a_stack_with_lookup().await?;
    let jobs = jobs_with_lost_answers();

    stack.wire.xadd_jobs(&jobs).await?;

    each_was_adopted(&stack, jobs.len()).await
}

#[tokio::test]
async fn a_task_is_looked_for_by_state_even_if_its_worker_died_before_the_answer() -> anyhow::Result<()> {
    let mut stack = a_stack_with_lookup().set("MJQ_LEASE_MS", 1_000).await?;
    let prompt = "fox 0 [sim: delay=30s]";
    stack.xadd_job(&with(imagine("job-0", prompt), "/request/state", "customer 0")).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.created(prompt) == 1)).await?;

    stack.workers[0].kill9()?;
    stack.add_worker().await?;

    each_was_adopted(&stack, 1).await
}

#[tokio::test]
async fn a_task_that_a_frozen_worker_hears_of_too_late_is_adopted_by_the_others() -> anyhow::Result<()> {
    // Nobody else tells of the task: no hook comes, and no lookup is made.
    let stack = a_stack().knobs(|knobs| knobs.hooks = false).set("MJQ_HOOK_URL", "http://127.0.0.1:1");
    let mut stack = stack.set("MJQ_UNKNOWN_GRACE_MS", 20_000).set("MJQ_LEASE_MS", 1_000).await?;
    let prompt = "a red fox [sim: delay=3s]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    stack.workers[0].pause()?;
    stack.add_worker().await?;
    let is_unknown = async |stack: &Stack| {
        Ok(job_view(&stack.workers[1], "order-1842").await.is_ok_and(|view| view["phase"] == "unknown"))
    };
    stack.eventually("the other worker has taken it over", is_unknown).await?;
    stack.workers[0].resume()?;

    let event = stack.event_of("order-1842").await?;
    let data = event.data()?;
    assert_eq!((event.code(), &data["attempts"], &data["adopted"]), ("ok", &json!(1), &json!(true)), "{event:?}");
    assert_eq!(event.field("task"), creation_of(&stack, prompt)?.task);
    assert!(stack.workers[0].logs().contains(&format!("accepted it as task {}", event.field("task"))));
    one_event_for_each(&stack, 1).await?;
    made_once(&stack, 1)
}

#[tokio::test]
async fn a_task_of_another_job_with_the_same_prompt_is_not_adopted() -> anyhow::Result<()> {
    let stack = a_stack_with_lookup().set("MJQ_UNKNOWN_GRACE_MS", 1_500).await?;
    // The first submit vanishes without a trace, the second one makes a task.
    stack.simulator.script("a red fox", Script::submits([SubmitStep::fault(Fault::Close)]).uses(1));
    stack.xadd_job(&imagine("vanished", "a red fox")).await?;
    stack.eventually("it vanished", async |stack| Ok(stack.simulator.attempted("a red fox") == 1)).await?;

    stack.xadd_job(&imagine("made", "a red fox")).await?;

    let events = one_event_for_each(&stack, 2).await?;
    assert_eq!((events["made"].code(), events["vanished"].code()), ("ok", "submit_unknown"));
    assert_eq!(events["vanished"].field("task"), "");
    made_once(&stack, 1)
}

/// The address and the body of the last hook for `job` that reached the recorder.
fn hook_to(job: &str, recorder: &Recorder) -> anyhow::Result<(String, Vec<u8>)> {
    let start = format!("POST /hooks/{job}/");
    let hooks = recorder.requests();
    let hook = hooks.into_iter().rfind(|hook| hook.head.starts_with(&start)).context("no hook has come")?;
    let path = hook.head.split(' ').nth(1).context("a request without a path")?.to_owned();
    Ok((path, hook.body))
}

/// The upstream has made, and billed, `count` tasks, none of them twice.
///
/// A task that has ended when it is adopted is polled twice: to see that it is there, and for its result.
fn made_once(stack: &Stack, count: usize) -> anyhow::Result<()> {
    let stats = stack.simulator.stats();
    ensure!((stats.created, stats.created_again) == (count as u64, 0), "{} tasks, {stats:?}", stats.created);
    Ok(())
}

/// Posts to the first worker, as the upstream does.
async fn post(stack: &Stack, path: &str, body: &[u8]) -> anyhow::Result<u16> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let url = format!("{}{path}", stack.workers[0].admin_url());
    Ok(client.post(url).body(body.to_vec()).send().await?.status().as_u16())
}

fn body_has(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}
