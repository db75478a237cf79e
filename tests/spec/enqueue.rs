//! Anyone can enqueue with one Redis command, and the id makes it safe to do so again.

use mjq_harness::Stack;
use redis::AsyncCommands;
use serde_json::json;

use crate::support::{Recorder, a_stack, imagine, one_event_for_each, submitted_once, with};

#[tokio::test]
async fn a_job_added_by_one_xadd_ends_with_one_event_that_tells_everything() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let job = with(imagine("order-1842", "a red fox"), "/request/state", "customer 7");
    stack.xadd_job(&job).await?;

    let event = stack.event_of("order-1842").await?;
    let creation = &stack.simulator.ledger()[0];
    for (field, value) in [
        ("v", "1"),
        ("type", "completed"),
        ("job", "order-1842"),
        ("kind", "imagine"),
        ("state", "customer 7"),
        ("task", creation.task.as_str()),
        ("status", "SUCCESS"),
        ("code", "ok"),
    ] {
        assert_eq!(event.field(field), value, "{field}");
    }
    let data = event.data()?;
    assert_eq!((&data["attempts"], &data["reclaims"], &data["reason"]), (&json!(1), &json!(0), &json!("")));
    assert_eq!((&data["adopted"], &data["possible_duplicate"]), (&json!(false), &json!(false)));
    assert_eq!(data["task"]["prompt"], "a red fox");
    assert_eq!(data["buttons"], data["task"]["buttons"]);
    assert_eq!(data["buttons"].as_array().map(Vec::len), Some(9));
    let polls = stack.simulator.polls(&creation.task).map(|(polls, _)| polls);
    assert_eq!(data["polls"].as_u64(), polls.map(u64::from));
    let time = |name: &str| data["timings"][name].as_u64().unwrap_or_default();
    assert!(0 < time("enqueued_ms") && time("enqueued_ms") <= time("accepted_ms"), "{data}");
    assert!(time("accepted_ms") <= time("finished_ms") && time("finished_ms") <= time("published_ms"), "{data}");
    let picture = reqwest::get(event.field("image_url")).await?;
    assert!(picture.bytes().await?.starts_with(b"\x89PNG"));
    one_event_for_each(&stack, 1).await?;
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_job_without_an_id_is_called_after_its_stream_entry() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let entry = stack.xadd_job(&json!({"kind": "imagine", "request": {"prompt": "a red fox"}})).await?;

    assert_eq!(stack.event_of(&entry).await?.outcome(), "completed");
    Ok(())
}

#[tokio::test]
async fn the_same_id_with_the_same_body_is_one_job_before_and_after_its_end() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let again = json!({"request": {"prompt": "a red fox"}, "kind": "imagine", "id": "order-1842", "trace": {}});

    stack.wire.xadd_jobs(&[imagine("order-1842", "a red fox"), again.clone()]).await?;
    stack.event_of("order-1842").await?;
    stack.wire.xadd_jobs(&[again, imagine("last", "a blue fox")]).await?;

    stack.event_of("last").await?;
    one_event_for_each(&stack, 2).await?;
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_conflict_that_leaves_the_first_job_alone() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let other = with(imagine("order-1842", "a blue fox"), "/request/state", "the other's");

    stack.wire.xadd_jobs(&[imagine("order-1842", "a red fox"), other]).await?;

    let events = stack.wire.first_events(2).await?;
    let conflict = events.iter().find(|event| event.outcome() == "rejected");
    let conflict = conflict.ok_or_else(|| anyhow::anyhow!("no rejected event in {events:?}"))?;
    assert_eq!((conflict.job(), conflict.code(), conflict.state()), ("order-1842", "conflict", "the other's"));
    assert!(events.iter().any(|event| event.job() == "order-1842" && event.outcome() == "completed"), "{events:?}");
    assert_eq!((stack.simulator.created("a red fox"), stack.simulator.created("a blue fox")), (1, 0));
    Ok(())
}

#[tokio::test]
async fn an_admitted_job_no_longer_stands_in_the_job_stream() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;
    stack.event_of("order-1842").await?;

    assert_eq!(stack.wire.redis().await?.xlen::<_, u32>(stack.wire.key("jobs")).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_idle_worker_takes_a_new_job_at_once() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let mut quickest_ms = u64::MAX;

    // One after the other, so that each meets an idle worker; the best of them, since the machine may be busy.
    for n in 0..5 {
        stack.xadd_job(&imagine(&format!("job-{n}"), &format!("fox {n}"))).await?;
        let timings = stack.event_of(&format!("job-{n}")).await?.data()?["timings"].clone();
        let accepted_ms = timings["accepted_ms"].as_u64().unwrap_or_default();
        quickest_ms = quickest_ms.min(accepted_ms - timings["enqueued_ms"].as_u64().unwrap_or_default());
    }

    // Whoever asked only once a second would need half of one on average.
    assert!(quickest_ms < 200, "{quickest_ms} ms from the stream to the upstream");
    Ok(())
}

#[tokio::test]
async fn the_upstream_gets_the_request_byte_for_byte_with_the_key() -> anyhow::Result<()> {
    let upstream = Recorder::answering(r#"{"code":24,"description":"no"}"#).await?;
    let mut stack = Stack::start().workers(0).await?;
    let worker = stack.another_worker().upstream(upstream.url()).start()?;
    stack.workers.push(worker);
    let request =
        r#"{ "prompt":"caf\u00e9 \ud83e\udd8a","n":1.50, "big":12345678901234567890123,"x":{"b":1,"a":[ ]} }"#;

    let job = format!(r#"{{"id":"order-1842","later":[1],"kind":"imagine","request":{request}}}"#);
    stack.wire.xadd_fields(&[("v", b"1"), ("job", job.as_bytes())]).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "banned_prompt");
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(String::from_utf8_lossy(&requests[0].body), request);
    let head = requests[0].head.to_lowercase();
    assert!(head.starts_with("post /mj/submit/imagine http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer key-of-the-tests\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    Ok(())
}
