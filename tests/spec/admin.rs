//! What operators see: health, metrics, the API and the dashboard of a worker.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{RedisOptions, Stack};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{Recorder, a_stack, imagine, metric, one_event_for_each, with};

/// Some jobs that have ended in different ways, and one that is open.
async fn a_busy_stack() -> anyhow::Result<Stack> {
    let stack = a_stack().await?;
    let good = with(imagine("good-job", "a secret prompt"), "/request/state", "secret state");
    stack.wire.xadd_jobs(&[good, imagine("bad-job", "x [sim: fail=\"Job Timeout\"]"), imagine("no id", "x")]).await?;
    one_event_for_each(&stack, 3).await?;
    stack.xadd_job(&imagine("open-job", "y [sim: stuck=46%]")).await?;
    let worker = &stack.workers[0];
    let is_polled = async |_: &Stack| Ok(worker.get("/jobs/open-job").await?.1.contains("46 %"));
    stack.eventually("the open one is polled", is_polled).await?;
    Ok(stack)
}

#[tokio::test]
async fn a_worker_is_ready_only_while_redis_answers_and_lives_all_the_same() -> anyhow::Result<()> {
    let mut stack = a_stack().own_redis(RedisOptions::default()).await?;

    stack.redis()?.kill9()?;
    let worker = &stack.workers[0];
    let ready = async |wanted| Ok(worker.get("/readyz").await?.0 == wanted);
    stack.eventually("it is not ready", async |_| ready(503).await).await?;
    assert_eq!(worker.get("/livez").await?.0, 200);
    stack.redis()?.restart().await?;

    stack.workers[0].wait_ready().await?;
    assert_eq!(stack.workers[0].get("/livez").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_drains_is_not_ready() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let prompt = "a red fox [sim: delay=2s]";
    stack.xadd_job(&imagine("order-1842", prompt)).await?;
    stack.eventually("the submit is on its way", async |stack| Ok(stack.simulator.attempted(prompt) == 1)).await?;

    let pid = stack.workers[0].pid().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status()?.success());

    let worker = &stack.workers[0];
    let is_told = async |_: &Stack| Ok(matches!(worker.get("/readyz").await, Ok((503, _))));
    stack.eventually("it says that it is not ready", is_told).await
}

#[tokio::test]
async fn the_metrics_count_what_happened_and_pass_the_check_of_prometheus() -> anyhow::Result<()> {
    let stack = a_busy_stack().await?;
    let worker = &stack.workers[0];
    // An end is counted once Redis has said that it is written, and its event may be read before.
    let are_counted = async |_: &Stack| Ok(metric(worker, "mjq_jobs_finished_total", "").await? >= 2.0);
    stack.eventually("both ends are counted", are_counted).await?;

    let (status, text) = worker.get("/metrics").await?;

    assert_eq!(status, 200);
    for (name, labels, value) in [
        ("mjq_jobs_finished_total", "code=\"ok\"", 1.0),
        ("mjq_jobs_finished_total", "code=\"upstream_failed\"", 1.0),
        ("mjq_jobs_admitted_total", "answer=\"new\"", 3.0),
        ("mjq_jobs_admitted_total", "answer=\"malformed\"", 1.0),
        ("mjq_open_jobs", "", 1.0),
    ] {
        assert_eq!(metric(worker, name, labels).await?, value, "{name} {labels}\n{text}");
    }
    for secret in
        ["good-job", "open-job", "secret prompt", "secret state", "key-of-the-tests", &stack.simulator.ledger()[0].task]
    {
        assert!(!text.contains(secret), "{secret:?} is in the metrics");
    }
    pass_promtool(&text).await
}

/// Asks `promtool check metrics`, where there is one.
async fn pass_promtool(metrics: &str) -> anyhow::Result<()> {
    let mut promtool = tokio::process::Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = promtool.spawn() else {
        eprintln!("promtool is not on the PATH: the metrics were not checked by it");
        return Ok(());
    };
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(metrics.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_dashboard_and_the_api_show_the_queue_and_each_job() -> anyhow::Result<()> {
    let stack = a_busy_stack().await?;
    let worker = &stack.workers[0];

    let (status, overview) = worker.get("/").await?;
    assert_eq!(status, 200);
    for shown in ["good-job", "bad-job", "open-job", "upstream_failed"] {
        assert!(overview.contains(shown), "no {shown} on the dashboard:\n{overview}");
    }
    for (job, shown) in [("good-job", "completed"), ("bad-job", "Job Timeout"), ("open-job", "46 %")] {
        let (status, page) = worker.get(&format!("/jobs/{job}")).await?;
        assert_eq!(status, 200, "{job}");
        assert!(page.contains(shown), "no {shown} on the page of {job}:\n{page}");
        let (status, json) = worker.get(&format!("/api/v1/jobs/{job}")).await?;
        assert_eq!(status, 200, "{job}");
        let json: Value = serde_json::from_str(&json)?;
        assert!(json.to_string().contains(job), "{json}");
    }
    for path in ["/api/v1/queue", "/api/v1/jobs", "/api/v1/workers", "/api/v1/rejected"] {
        let (status, json) = worker.get(path).await?;
        assert_eq!(status, 200, "{path}");
        serde_json::from_str::<Value>(&json).with_context(|| format!("{path} gives no JSON"))?;
    }
    for path in ["/jobs/nobody", "/api/v1/jobs/nobody", "/nowhere"] {
        assert_eq!(worker.get(path).await?.0, 404, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_dashboard_shows_what_callers_wrote_as_text_and_never_as_a_page() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let script = "<script>alert(1)</script>";
    let job = with(imagine("order-1842", &format!("{script} [sim: fail=\"{script}\"]")), "/request/state", script);

    stack.xadd_job(&job).await?;
    stack.event_of("order-1842").await?;

    for path in ["/", "/jobs/order-1842"] {
        let (status, page) = stack.workers[0].get(path).await?;
        assert_eq!(status, 200, "{path}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is not shown on {path}\n{page}");
        assert!(!page.contains("<script>alert"), "{path}\n{page}");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_tells_of_each_end_and_of_no_secret() -> anyhow::Result<()> {
    let mut stack = a_busy_stack().await?;

    assert!(stack.workers[0].terminate().await?.status.success());

    let log = stack.workers[0].logs();
    for told in ["good-job", "bad-job", "upstream_failed"] {
        assert!(log.contains(told), "no {told} in the log");
    }
    let task = stack.simulator.ledger()[0].task.clone();
    for secret in ["secret prompt", "secret state", "key-of-the-tests", "/image/", &format!("/image/{task}")] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn two_workers_know_of_each_other_and_forget_who_left() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(2).await?;
    let count = async |stack: &Stack| {
        let json: Value = serde_json::from_str(&stack.workers[0].get("/api/v1/workers").await?.1)?;
        let list = json.as_array().or_else(|| json["workers"].as_array()).map_or(0, Vec::len);
        anyhow::Ok(list)
    };

    stack.eventually("both are listed", async |stack| Ok(count(stack).await? == 2)).await?;
    stack.workers[1].terminate().await?;

    mjq_harness::eventually_within(Duration::from_secs(60), "one is listed", async || Ok(count(&stack).await? == 1))
        .await
}

/// Whether `bytes` hold `part`.
fn hold(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn each_step_is_a_span_of_its_callers_trace() -> anyhow::Result<()> {
    const TRACE: [u8; 16] = *b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c";
    let collector = Recorder::answering("{}").await?;
    let stack =
        a_stack().set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", 100).await?;
    let trace = serde_json::json!({ "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });

    stack.xadd_job(&with(imagine("traced", "a red fox"), "/trace", trace)).await?;
    stack.xadd_job(&imagine("alone", "a blue fox")).await?;

    one_event_for_each(&stack, 2).await?;
    let is_told = async |_: &Stack| {
        let spans: Vec<_> = collector.requests().into_iter().filter(|it| it.head.contains("/v1/traces")).collect();
        let is_told = |part: &[u8]| spans.iter().any(|it| hold(&it.body, part));
        Ok(is_told(&TRACE)
            && ["traced", "alone", "submit", "accepted", "poll", "succeeded"].iter().all(|it| is_told(it.as_bytes())))
    };
    stack.eventually("submit and poll are told", is_told).await
}
