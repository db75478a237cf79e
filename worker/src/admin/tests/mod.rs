//! The views and the server, on a real Redis and over HTTP.

mod logs;
mod stage;

use std::time::{Duration, Instant};

use anyhow::Context;
use mjq_harness::{RedisOptions, RedisProcess, eventually, shared_redis};
use mjq_producer::contract::{Code, JobId, ModalInput};
use serde_json::json;

use self::{
    logs::Logs,
    stage::{Stage, accepted, report, running, succeeded},
};
use crate::{
    ledger::{Paused, Place},
    lifecycle::{Busy, FailureClass, Observation, Phase, Policy},
};

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(600);

async fn stage() -> anyhow::Result<Stage> {
    Stage::start(shared_redis().await?.url()).await
}

fn imagine(id: &str, options: &str) -> String {
    format!(r#"{{"id":"{id}","kind":"imagine","request":{{"prompt":"a cat","state":"s-{id}"}},"options":{options}}}"#)
}

#[tokio::test]
async fn each_job_is_counted_where_it_stands() -> anyhow::Result<()> {
    let stage = stage().await?;
    for id in ["done", "broken", "open"] {
        stage.admit(&imagine(id, "{}")).await?;
    }
    stage.play(&accepted("t1"), NOW).await?;
    stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;
    stage.play(&accepted("t2"), NOW).await?;
    let failure = Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream);
    stage.play(&failure, NOW).await?;
    stage.play(&accepted("t3"), LATER).await?;
    stage.admit(&imagine("waiting", "{}")).await?;
    let held = stage.claim().await?;
    stage.admit(&imagine("low", r#"{"priority":"low"}"#)).await?;
    stage.admit(&imagine("high", r#"{"priority":"high"}"#)).await?;
    stage.admit(&imagine("tomorrow", r#"{"run_at_ms":4000000000000}"#)).await?;
    stage.add_to_stream(&imagine("arriving", "{}")).await?;
    stage.reject("{", "the job is not JSON").await?;

    let counts = stage.ledger.counts().await?;

    assert_eq!(held.job.as_str(), "waiting");
    let lanes = (counts.arrived, counts.queued, counts.delayed, counts.polling, counts.in_step);
    assert_eq!(lanes, (1, 2, 1, 1, 1));
    assert_eq!((counts.open, counts.ended, counts.rejected, counts.events), (5, 2, 1, 2));
    assert_eq!((counts.total("completed"), counts.total("failed"), counts.total("rejected")), (1, 1, 1));
    let low = stage.ledger.job(&JobId::new("low")?).await?.map(|job| job.record.enqueued_ms);
    assert_eq!(Some(counts.oldest_waiting_ms), low, "priority does not hide age");
    let (status, queue) = stage.get_json("/api/v1/queue").await?;
    assert_eq!((status, &queue["counts"]["queued"]), (200, &json!(2)));
    let (_, metrics) = stage.get("/metrics").await?;
    assert!(metrics.contains("mjq_redis_up 1"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_refused_job_waits_and_one_that_is_to_come_later_does_not() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("tomorrow", r#"{"run_at_ms":4000000000000}"#)).await?;
    assert_eq!(stage.ledger.counts().await?.oldest_waiting_ms, 0);

    stage.admit(&imagine("refused", "{}")).await?;
    let refused = Observation::Refused { busy: Busy::Saturated, retry_after: None, reason: "full".to_owned() };
    stage.play(&refused, LATER).await?;

    let enqueued_ms = stage.ledger.job(&JobId::new("refused")?).await?.map(|job| job.record.enqueued_ms);
    let counts = stage.ledger.counts().await?;
    assert_eq!((counts.delayed, Some(counts.oldest_waiting_ms)), (2, enqueued_ms));
    Ok(())
}

#[tokio::test]
async fn whoever_bears_the_token_cancels_retries_pauses_and_resumes_and_nobody_else_does() -> anyhow::Result<()> {
    let (stage, token) = (stage().await?, Some(Stage::TOKEN));
    for id in ["broken", "open"] {
        stage.admit(&imagine(id, "{}")).await?;
    }
    stage.play(&accepted("t1"), NOW).await?;
    stage.play(&Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream), NOW).await?;

    for path in ["jobs/open/cancel", "jobs/broken/retry", "pause", "resume"] {
        for wrong in [None, Some("guess"), Some("")] {
            let (status, body) = stage.post(&format!("/api/v1/{path}"), wrong).await?;
            assert_eq!((status, &body["error"]), (401, &json!("wrong_token")), "{path} with {wrong:?}");
        }
        assert_eq!(stage.get(&format!("/api/v1/{path}")).await?.0, 405, "{path} is no link");
    }
    let untouched = stage.ledger.counts().await?;
    assert_eq!((untouched.ended, untouched.upstream.is_paused), (1, false));

    let (status, body) = stage.post("/api/v1/pause?submits=true", token).await?;
    assert_eq!((status, &body["has_changed"]), (200, &json!(true)), "{body}");
    assert!(stage.ledger.counts().await?.upstream.are_submits_paused);
    let (_, body) = stage.post("/api/v1/resume?submits=true", token).await?;
    assert_eq!(body["has_changed"], true, "{body}");
    assert!(!stage.ledger.counts().await?.upstream.are_submits_paused);

    let (status, body) = stage.post("/api/v1/jobs/broken/retry", token).await?;
    assert_eq!((status, &body["phase"]), (200, &json!("queued")), "{body}");
    assert_eq!(stage.post("/api/v1/jobs/broken/retry", token).await?.0, 409, "it waits already");
    let (status, body) = stage.post("/api/v1/jobs/open/cancel", token).await?;
    assert_eq!((status, &body["is_cancel_requested"]), (200, &json!(true)), "{body}");
    assert_eq!(stage.get_json("/api/v1/jobs/open").await?.1["is_cancel_requested"], true);
    assert_eq!(stage.post("/api/v1/jobs/nobody/cancel", token).await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn each_act_leaves_a_line_that_says_what_was_done_and_from_where() -> anyhow::Result<()> {
    let (stage, token, logs) = (stage().await?, Some(Stage::TOKEN), Logs::default());
    stage.admit(&imagine("broken", "{}")).await?;
    stage.admit(&imagine("open", "{}")).await?;
    stage.play(&accepted("t1"), NOW).await?;
    stage.play(&Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream), NOW).await?;

    // The server runs on the thread of its test, so its log lines are captured.
    let listening = logs.listen();
    assert_eq!(stage.post("/api/v1/jobs/open/cancel", Some("guess")).await?.0, 401);
    for path in ["jobs/open/cancel", "jobs/broken/retry", "pause", "pause?submits=true", "resume"] {
        assert_eq!(stage.post(&format!("/api/v1/{path}"), token).await?.0, 200, "{path}");
    }
    assert_eq!(stage.post("/api/v1/resume", token).await?.0, 200);
    drop(listening);

    let lines: Vec<String> = logs.lines().into_iter().filter(|line| line.contains("over HTTP")).collect();
    for (line, told) in lines.iter().zip([
        "job open: cancel",
        "job broken: retry",
        "pause of the queue",
        "pause of submits",
        "resume of the queue",
        "nothing changed",
    ]) {
        assert!(line.contains("INFO") && line.contains(told) && line.contains("from 127.0.0.1:"), "{told}: {line}");
    }
    assert_eq!(lines.len(), 6, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn what_has_ended_is_swept_in_its_time_and_what_was_tried_once_more_is_not() -> anyhow::Result<()> {
    let stage = stage().await?;
    let failure = Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream);
    let done = succeeded("https://cdn.example.org/1.png");
    for (id, seen) in [("done", done), ("broken", failure.clone()), ("again", failure)] {
        stage.admit(&imagine(id, "{}")).await?;
        stage.play(&accepted("t"), NOW).await?;
        stage.play(&seen, NOW).await?;
    }
    let again = JobId::new("again")?;
    let end = stage.ledger.job(&again).await?.and_then(|job| job.event_entry);
    stage.ledger.retry(&again, &Policy::default()).await?;
    assert_eq!(stage.ledger.counts().await?.ended, 2);
    // A job can be listed twice: when one call settles several jobs, or when the clock goes back.
    let mut list = redis::cmd("XADD");
    list.arg(stage.ledger.key("ended")).arg("*").arg("jobs").arg("again");
    let _: String = stage.ledger.link().query(&list).await?;

    assert_eq!(stage.with_retention(Duration::from_secs(3600)).sweep().await?, 0, "it is too early");
    // Redis removes events in whole nodes of the stream.
    assert!(stage.with_retention(Duration::ZERO).sweep().await? >= 3);

    for id in ["done", "broken"] {
        assert!(stage.ledger.job(&JobId::new(id)?).await?.is_none(), "{id}");
    }
    let counts = stage.ledger.counts().await?;
    assert_eq!((counts.open, counts.queued, counts.ended, counts.failed), (1, 1, 0, 0));
    let job = stage.ledger.job(&again).await?.context("it is kept")?;
    assert_eq!((job.phase, job.event_entry, end.is_some()), (Phase::Queued, None, true));
    stage.play(&accepted("t2"), NOW).await?;
    stage.play(&succeeded("https://cdn.example.org/2.png"), NOW).await?;
    let (_, listed) = stage.get_json("/api/v1/jobs").await?;
    assert_eq!(listed["ended"][0]["id"], "again", "{listed}");
    Ok(())
}

#[tokio::test]
async fn what_ended_after_an_event_from_the_future_is_swept_in_its_time() -> anyhow::Result<()> {
    let stage = stage().await?;
    // The clock of Redis was ahead when this event came.
    let mut ahead = redis::cmd("XADD");
    ahead.arg(stage.ledger.queue().events_stream()).arg("9000000000000-0").arg("v").arg(1);
    let _: String = stage.ledger.link().query(&ahead).await?;
    for id in ["first", "second"] {
        stage.admit(&imagine(id, "{}")).await?;
        stage.play(&accepted("t"), NOW).await?;
        stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;
    }

    assert_eq!(stage.with_retention(Duration::from_secs(3600)).sweep().await?, 0, "it is too early");
    assert!(stage.with_retention(Duration::ZERO).sweep().await? >= 2);

    assert_eq!(stage.ledger.counts().await?.ended, 0);
    assert!(stage.ledger.job(&JobId::new("second")?).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_sweep_goes_on_through_all_calls_that_ended_something() -> anyhow::Result<()> {
    let stage = stage().await?;
    // Each job ends by a call of its own, and so has its own entry in the list. A sweep reads few entries at a time.
    for number in 0..40 {
        stage.admit(&imagine(&number.to_string(), "{}")).await?;
        stage.play(&accepted("t"), NOW).await?;
        stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;
    }
    let again = stage.admit(&imagine("again", "{}")).await?;
    for _ in 0..2 {
        stage.play(&accepted("t"), NOW).await?;
        stage.play(&Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream), NOW).await?;
        stage.ledger.retry(&again, &Policy::default()).await?;
    }
    stage.play(&accepted("t"), NOW).await?;
    stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;
    let (_, listed) = stage.get_json("/api/v1/jobs?limit=4").await?;
    let latest = listed["ended"].as_array().context("a list")?.iter().filter_map(|job| job["id"].as_str());
    let latest: Vec<&str> = latest.collect();
    assert_eq!((latest, stage.ledger.counts().await?.ended), (vec!["again", "39", "38", "37"], 41));

    // Nobody should delete a record by hand, but somebody will. Its request is swept all the same; only its count
    // stays.
    let deleted: u64 = stage.ledger.link().query(redis::cmd("DEL").arg(stage.ledger.key("job:0"))).await?;
    assert_eq!(deleted, 1);

    assert!(stage.with_retention(Duration::ZERO).sweep().await? >= 41);

    for family in ["job", "request"] {
        let keys = stage.ledger.key(&format!("{family}:*"));
        let kept: Vec<String> = stage.ledger.link().query(redis::cmd("KEYS").arg(keys)).await?;
        assert_eq!(kept, Vec::<String>::new());
    }
    assert_eq!(stage.ledger.counts().await?.ended, 1);
    Ok(())
}

#[tokio::test]
async fn a_completed_job_keeps_no_input_and_a_failed_one_keeps_it_for_its_retry() -> anyhow::Result<()> {
    let stage = stage().await?;
    let failed = Observation::TaskFailed(report("FAILURE", 0, "", None), FailureClass::Upstream);
    for (id, end, is_kept) in [("good", succeeded("http://example.org/a.png"), false), ("bad", failed, true)] {
        let job = stage.admit(&format!(r#"{{"id":"{id}","kind":"imagine","request":{{"prompt":"cat"}}}}"#)).await?;
        stage.play(&accepted("1"), NOW).await?;
        let entry = stage.add_to_stream("a command").await?;
        let input = ModalInput { job: job.clone(), prompt: None, mask_base64: Some("iVBOR".to_owned()) };
        stage.ledger.give_input(&entry, &input).await?;

        stage.play(&end, NOW).await?;

        assert_eq!(stage.ledger.input(&job).await?.is_some(), is_kept, "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_jobs_view_tells_its_whole_story() -> anyhow::Result<()> {
    let stage = stage().await?;
    let png = format!("data:image/png;base64,iVBOR{}", "A".repeat(164_000));
    let state = r#"order "7" 😀\n"#;
    let request = json!({ "prompt": "a <b>cat</b>", "base64Array": [png], "state": state });
    let id = stage.admit(&json!({ "id": "a", "kind": "imagine", "request": request }).to_string()).await?;
    stage.play(&accepted("1748339029401828"), NOW).await?;
    stage.play(&running(46), NOW).await?;
    stage.play(&succeeded("https://cdn.example.org/a.png?ex=1&is=2"), NOW).await?;

    let (status, job) = stage.get_json("/api/v1/jobs/a").await?;

    assert_eq!(status, 200);
    assert_eq!(job["phase"], "completed");
    assert_eq!(job["state"], state);
    assert_eq!(job["request"]["base64Array"], json!(["<image, 123 KB>"]));
    assert_eq!(job["task"], "1748339029401828");
    assert_eq!(job["outcome"]["code"], "ok");
    assert_eq!(job["outcome"]["image_url"], "https://cdn.example.org/a.png?ex=1&is=2");
    assert_eq!(job["next"]["lane"], "ended");
    let phases: Vec<_> = job["timeline"].as_array().into_iter().flatten().map(|moment| &moment["phase"]).collect();
    assert_eq!(phases, ["queued", "submitting", "polling", "completed"]);
    let view = stage.ledger.job(&id).await?.map(|view| (view.phase, view.event.map(|event| event.code)));
    assert_eq!(view, Some((Phase::Completed, Some(Code::Ok))));

    let (status, page) = stage.get("/jobs/a").await?;
    assert_eq!(status, 200);
    for wanted in [
        "https://cdn.example.org/a.png?ex=1&amp;is=2",
        "a &lt;b&gt;cat&lt;/b&gt;",
        "&lt;image, 123 KB&gt;",
        "U1",
        "🔄",
        "order &quot;7&quot; 😀",
        // The page is live, because the job can be retried.
        r#"data-live="10000""#,
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in\n{page}");
    }
    Ok(())
}

#[tokio::test]
async fn an_open_job_tells_what_comes_next() -> anyhow::Result<()> {
    let stage = stage().await?;
    for id in ["first", "second", "third"] {
        stage.admit(&imagine(id, "{}")).await?;
    }
    let id = |id: &str| JobId::new(id);
    let place = async |name: &str| anyhow::Ok(stage.ledger.job(&id(name)?).await?.map(|job| job.place));

    assert_eq!(place("third").await?, Some(Place::Submit { before: Some(2) }));
    let step = stage.claim().await?;
    assert!(matches!(place("first").await?, Some(Place::InStep { .. })));
    stage.settle(step, &accepted("1"), LATER).await?;
    assert!(matches!(place("first").await?, Some(Place::Poll { .. })));
    let (_, page) = stage.get("/jobs/first").await?;
    assert!(page.contains("next poll in ") && page.contains(r#"data-live="2000""#), "{page}");
    assert!(page.contains(r#"http-equiv="refresh" content="2""#), "{page}");
    assert_eq!(stage.get_json("/api/v1/jobs/first").await?.1["next"]["lane"], "poll");

    stage.ledger.pause(Paused::All, true).await?;

    assert!(stage.get("/jobs/first").await?.1.contains("next poll after the pause"));
    assert_eq!(stage.ledger.paused().await?, Some(Paused::All));
    Ok(())
}

#[tokio::test]
async fn polls_that_tell_nothing_are_told_with_the_upstreams_words() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("open", "{}")).await?;
    stage.play(&accepted("1"), NOW).await?;
    assert!(!stage.get("/").await?.1.contains("Polls tell nothing"));

    let reason = "HTTP 401: \u{202e}no <key>".to_owned();
    stage.play(&Observation::NoVerdict { reason, retry_after: None }, LATER).await?;

    let (_, page) = stage.get("/").await?;
    assert!(page.contains("Polls tell nothing."), "{page}");
    // Once in the banner, and once below the next step.
    assert_eq!(page.matches(r#"<span dir="auto">HTTP 401: \u{202e}no &lt;key&gt;</span>"#).count(), 2, "{page}");
    Ok(())
}

#[tokio::test]
async fn a_breaker_that_cannot_close_because_of_a_pause_promises_no_try() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("barred", "{}")).await?;
    let barred = Observation::Refused { busy: Busy::Barred, retry_after: None, reason: "HTTP 401".to_owned() };
    stage.play(&barred, LATER).await?;
    let takes_nothing = async || {
        let (_, page) = stage.get("/").await?;
        let (_, banner) = page.split_once("The upstream takes nothing.").context("it is open")?;
        anyhow::Ok(banner.split("</div>").next().unwrap_or_default().to_owned())
    };
    assert!(takes_nothing().await?.contains("it does not let us in; the next "));

    stage.ledger.pause(Paused::Submits, true).await?;

    let is_told = async || Ok(takes_nothing().await?.ends_with("it does not let us in."));
    eventually("the pause is told", is_told).await
}

#[tokio::test]
async fn jobs_that_stand_still_are_listed_until_they_go_on() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("stuck", "{}")).await?;
    stage.play(&accepted("1"), NOW).await?;
    stage.play(&Observation::WaitsForInput(report("MODAL", 0, "", None)), NOW).await?;
    let held = async || -> anyhow::Result<(usize, u64)> {
        let (_, jobs) = stage.get_json("/api/v1/jobs").await?;
        Ok((jobs["held"].as_array().map_or(0, Vec::len), stage.ledger.counts().await?.held))
    };

    assert_eq!(held().await?, (1, 1));
    let (_, page) = stage.get("/").await?;
    assert!(page.contains("Held and unknown jobs"), "{page}");
    let (_, metrics) = stage.get("/metrics").await?;
    assert!(metrics.contains(r#"mjq_standing_jobs{phase="held"} 1"#), "{metrics}");

    stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;

    assert_eq!(held().await?, (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_lists_show_what_is_open_what_ended_and_what_failed() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("good", "{}")).await?;
    stage.play(&accepted("1"), NOW).await?;
    stage.play(&succeeded("https://cdn.example.org/1.png"), NOW).await?;
    stage.admit(&imagine("bad", "{}")).await?;
    let reason = "the word <i>blood</i> is not allowed".to_owned();
    stage.play(&Observation::Denied { code: Code::BannedPrompt, reason }, NOW).await?;
    stage.admit(&imagine("open", "{}")).await?;
    stage.play(&accepted("2"), LATER).await?;
    stage.reject("<script>alert(1)</script>", "the job is not JSON").await?;

    let (status, jobs) = stage.get_json("/api/v1/jobs?limit=5").await?;

    let ids = |list: &str| -> Vec<String> {
        let jobs = jobs[list].as_array().into_iter().flatten();
        let mut ids: Vec<String> = jobs.filter_map(|job| Some(job["id"].as_str()?.to_owned())).collect();
        // Jobs that were enqueued in the same millisecond have no order.
        ids.sort_unstable();
        ids
    };
    assert_eq!(status, 200);
    assert_eq!(ids("open"), ["open"]);
    assert_eq!(ids("ended"), ["bad", "good"]);
    assert_eq!(ids("failures"), ["bad"]);
    assert_eq!(jobs["failures"][0]["code"], "banned_prompt");
    let (_, rejected) = stage.get_json("/api/v1/rejected").await?;
    assert_eq!(rejected["rejected"][0]["reason"], "the job is not JSON");
    let (status, page) = stage.get("/").await?;
    assert_eq!(status, 200);
    assert!(page.contains("the word &lt;i&gt;blood&lt;/i&gt; is not allowed"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    Ok(())
}

#[tokio::test]
async fn of_a_long_line_the_jobs_that_come_next_are_listed() -> anyhow::Result<()> {
    let stage = stage().await?;
    for number in 1..=9 {
        stage.admit(&imagine(&format!("bulk-{number}"), "{}")).await?;
    }
    stage.admit(&imagine("urgent", r#"{"priority":"high"}"#)).await?;

    let (_, jobs) = stage.get_json("/api/v1/jobs?limit=3").await?;

    let open = jobs["open"].as_array().context("a list")?.iter().filter_map(|job| job["id"].as_str());
    let mut open: Vec<&str> = open.collect();
    // Jobs that were enqueued in the same millisecond have no order.
    open.sort_unstable();
    assert_eq!(open, ["bulk-1", "bulk-2", "urgent"]);
    assert_eq!(stage.claim().await?.job.as_str(), "urgent");
    assert_eq!(stage.claim().await?.job.as_str(), "bulk-1");
    Ok(())
}

#[tokio::test]
async fn workers_are_listed_until_they_say_goodbye() -> anyhow::Result<()> {
    let stage = stage().await?;
    // A claim tells the ledger Redis's time.
    let _ = stage.claim().await;
    let now_ms = stage.ledger.clock().now_ms();
    for (pod, seen_ms) in [("pod-a", now_ms), ("pod-b", now_ms - 60_000)] {
        let beat =
            json!({ "seen_ms": seen_ms, "started_ms": 1, "slots": 256, "busy": 7, "version": "0.1.0", "host": "h" });
        stage.ledger.show_worker(pod, &beat.to_string()).await?;
    }

    let (_, answer) = stage.get_json("/api/v1/workers").await?;

    let live: Vec<_> =
        answer["workers"].as_array().into_iter().flatten().map(|pod| (&pod["name"], &pod["is_live"])).collect();
    assert_eq!(live, [(&json!("pod-a"), &json!(true)), (&json!("pod-b"), &json!(false))]);
    assert!(stage.get("/").await?.1.contains("7 of 256"));
    Ok(())
}

#[tokio::test]
async fn what_is_not_known_is_404_with_words() -> anyhow::Result<()> {
    let stage = stage().await?;

    for (path, error) in [
        ("/api/v1/jobs/nobody", "not_known"),
        ("/api/v1/jobs/%3Cscript%3E", "not_known"),
        ("/api/v1/nothing", "no_such_path"),
        ("/api/v1/", "no_such_path"),
        ("/api/v1", "no_such_path"),
        ("/api/v2/jobs", "no_such_path"),
    ] {
        let (status, body) = stage.get_json(path).await?;
        assert_eq!((status, &body["error"]), (404, &json!(error)), "{path}");
    }
    assert_eq!(stage.get("/jobs/nobody").await?.0, 404);
    let (status, page) = stage.get("/jobs?id=%3Cscript%3E").await?;
    assert_eq!(status, 404);
    assert!(page.contains("a job id must be"), "{page}");
    let (status, page) = stage.get("/nothing").await?;
    assert!(status == 404 && page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    for path in ["/hooks", "/hooks/", "/hooks/a/b", "/hooks/a/b/c/d"] {
        assert_eq!(stage.get(path).await?, (404, String::new()), "{path} tells the internet nothing");
    }
    Ok(())
}

#[tokio::test]
async fn a_question_with_a_typo_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let (stage, token) = (stage().await?, Some(Stage::TOKEN));
    stage.admit(&imagine("open", "{}")).await?;

    for path in ["pause?submit=true", "resume?submits=true&all=1", "pause?submits=true&submits=false"] {
        let (status, body) = stage.post(&format!("/api/v1/{path}"), token).await?;
        assert_eq!((status, &body["error"]), (400, &json!("bad_parameter")), "{path}: {body}");
        assert!(body["message"].as_str().unwrap().contains("`submits`"), "{path}: {body}");
    }
    assert_eq!(stage.post("/api/v1/pause?submits=yes", token).await?.1["error"], "bad_scope");
    assert_eq!(stage.post("/api/v1/jobs/open/cancel?dry_run=true", token).await?.0, 400);
    let upstream = stage.ledger.counts().await?.upstream;
    assert!(!upstream.is_paused && !upstream.are_submits_paused);
    assert_eq!(stage.get_json("/api/v1/jobs/open").await?.1["is_cancel_requested"], false);

    for path in ["jobs?failed=true", "jobs?phase=bogus", "rejected?limits=5"] {
        let (status, body) = stage.get_json(&format!("/api/v1/{path}")).await?;
        assert_eq!((status, &body["error"]), (400, &json!("bad_parameter")), "{path}: {body}");
        assert!(body["message"].as_str().unwrap().contains("`limit`"), "{path}: {body}");
    }
    for limit in ["many", "", "0", "-1", "201", "99999999"] {
        let (status, body) = stage.get_json(&format!("/api/v1/jobs?limit={limit}")).await?;
        assert_eq!((status, &body["error"]), (400, &json!("bad_limit")), "{limit}: {body}");
    }
    for limit in [1, 200] {
        assert_eq!(stage.get_json(&format!("/api/v1/jobs?limit={limit}")).await?.0, 200, "{limit}");
    }
    Ok(())
}

#[tokio::test]
async fn a_search_leads_to_the_job() -> anyhow::Result<()> {
    let stage = stage().await?;
    for id in ["order-1842", ".."] {
        stage.admit(&imagine(id, "{}")).await?;
    }

    for search in ["/jobs?id=order-1842", "/jobs?id=+order-1842+", "/jobs?id=.."] {
        let (status, page) = stage.get(search).await?;
        assert_eq!(status, 200, "{search}");
        assert!(page.contains("Timeline"), "{search}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn of_a_very_long_state_only_the_beginning_is_read() -> anyhow::Result<()> {
    const MIB: usize = 1024 * 1024;
    let stage = stage().await?;
    for (id, length, whole) in [("long", 3 * MIB, false), ("short", 100, true)] {
        let state = "ü".repeat(length / 2);
        stage
            .admit(&format!(r#"{{"id":"{id}","kind":"imagine","request":{{"prompt":"x","state":"{state}"}}}}"#))
            .await?;

        let (status, body) = stage.get_json(&format!("/api/v1/jobs/{id}")).await?;

        let shown = body["state"].as_str().unwrap_or_default();
        assert_eq!((status, body["state_bytes"].as_u64()), (200, Some(length as u64)), "{id}");
        assert!(state.starts_with(shown) && !shown.is_empty() && shown.len() <= MIB, "{id}: {}", shown.len());
        assert_eq!(shown.len() == length, whole, "{id}");
        let (_, page) = stage.get(&format!("/jobs/{id}")).await?;
        assert_eq!(page.contains("ü …"), !whole, "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_is_ready_while_redis_answers_and_it_was_not_told_to_stop() -> anyhow::Result<()> {
    let stage = stage().await?;
    assert_eq!(stage.get_json("/readyz").await?.1["ledger_works"], false, "nothing was called yet");
    let _ = stage.claim().await;

    assert_eq!(stage.get("/readyz").await?.0, 200);
    stage.health.set_draining();
    let (status, body) = stage.get_json("/readyz").await?;

    assert_eq!((status, &body["redis_answers"], &body["is_taking_work"]), (503, &json!(true), &json!(false)));
    assert_eq!(stage.get("/livez").await?.0, 200);
    assert!(stage.get("/").await?.1.contains("This pod is stopping"));
    Ok(())
}

#[tokio::test]
async fn a_refused_act_that_nobody_waits_for_any_more_leaves_the_pod_ready() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.admit(&imagine("order-1842", "{}")).await?;
    let mut command = redis::cmd("LPUSH");
    command.arg(stage.ledger.key("marked")).arg("no set");
    stage.ledger.link().query::<u64>(&command).await?;

    let (cancelled, ready) = tokio::join!(stage.post("/api/v1/jobs/order-1842/cancel", Some(Stage::TOKEN)), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.get_json("/readyz").await
    });
    let (status, body) = ready?;
    assert!(status == 503 && body["denials"][0].as_str().unwrap().contains("WRONGTYPE"), "{body}");
    assert_eq!(cancelled?.0, 503);

    assert_eq!(stage.get("/readyz").await?.0, 200, "the act was given up");
    Ok(())
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_within_seconds() -> anyhow::Result<()> {
    let mut redis = RedisProcess::spawn(RedisOptions::default()).await?;
    let stage = Stage::start(&redis.url()).await?;
    stage.admit(&imagine("a", "{}")).await?;
    assert_eq!(stage.get("/readyz").await?.0, 200);
    redis.pause()?;

    let began = Instant::now();
    eventually("the pod is not ready", async || Ok(stage.get("/readyz").await?.0 == 503)).await?;
    let (page_status, page) = stage.get("/").await?;
    let (api_status, body) = stage.get_json("/api/v1/jobs/a").await?;
    let (_, metrics) = stage.get("/metrics").await?;

    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((page_status, api_status, &body["error"]), (503, 503, &json!("redis_away")));
    assert!(page.contains("Redis does not answer") && page.contains(r#"http-equiv="refresh""#), "{page}");
    assert!(metrics.contains("# HELP mjq_redis_up "));
    assert_eq!(stage.get("/livez").await?.0, 200);
    redis.resume()?;
    eventually("the pod is ready again", async || Ok(stage.get("/readyz").await?.0 == 200)).await
}

#[tokio::test]
async fn a_browser_runs_nothing_but_what_the_page_brought() -> anyhow::Result<()> {
    let stage = stage().await?;

    let policy = stage.header("/", "content-security-policy").await?;

    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(stage.header("/metrics", "x-content-type-options").await?, "nosniff");
    Ok(())
}

#[tokio::test]
async fn a_browser_that_keeps_its_connection_does_not_keep_the_pod() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let address = stage.base.trim_start_matches("http://").to_owned();
    let _idle = tokio::net::TcpStream::connect(address).await?;
    stage.get("/livez").await?;

    let began = Instant::now();
    stage.shutdown.cancel();
    (&mut stage.served).await?;

    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    Ok(())
}
