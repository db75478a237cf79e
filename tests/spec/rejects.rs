//! What cannot be read is rejected with a reason, and harms no neighbour.

use std::collections::BTreeMap;

use mjq_harness::{Event, Stack};
use redis::AsyncCommands;
use redis::streams::StreamRangeReply;
use serde_json::json;

use crate::support::{a_stack, imagine, one_event_for_each, submitted_once};

/// The entries that were kept because they could not be read: their reasons and texts by the entry's id.
async fn kept(stack: &Stack) -> anyhow::Result<BTreeMap<String, (String, Vec<u8>)>> {
    let entries: StreamRangeReply = stack.wire.redis().await?.xrange_all(stack.wire.key("rejected")).await?;
    let read = entries.ids.iter().map(|entry| {
        let text = || anyhow::Ok(entry.get::<Vec<u8>>("job").unwrap_or_default());
        Ok((entry.get("entry").unwrap_or_default(), (entry.get("reason").unwrap_or_default(), text()?)))
    });
    read.collect()
}

#[tokio::test]
async fn an_entry_that_names_itself_gets_a_rejected_event_and_its_neighbours_go_on() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let long_id = "x".repeat(129);
    let long_id_job = imagine(&long_id, "x").to_string();
    // The entry, the job and the state that its event is expected to carry, and a word of the reason.
    let entries = [
        (r#"{"id":"kind","kind":"dream","request":{"prompt":"x","state":"s1"}}"#, "kind", "s1", "one of `imagine`"),
        (r#"{"id":"no-kind","request":{"prompt":"x","state":"s2"}}"#, "no-kind", "s2", "kind"),
        (r#"{"id":"bad id","kind":"imagine","request":{"prompt":"x"}}"#, "bad id", "", "id"),
        (long_id_job.as_str(), long_id.as_str(), "", "id"),
        (r#"{"id":"","kind":"imagine","request":{"prompt":"x","state":"s3"}}"#, "", "s3", "id"),
        (r#"{"id":7,"kind":"imagine","request":{"prompt":"x","state":"s4"}}"#, "", "s4", "id must be a string"),
        (r#"{"id":"no-prompt","kind":"imagine","request":{"state":"s5"}}"#, "no-prompt", "s5", "prompt"),
        (r#"{"id":"empty-prompt","kind":"imagine","request":{"prompt":""}}"#, "empty-prompt", "", "prompt"),
        (r#"{"id":"prompt","kind":"imagine","request":{"prompt":[1]}}"#, "prompt", "", "prompt"),
        (r#"{"id":"state","kind":"imagine","request":{"prompt":"x","state":7}}"#, "state", "", "state"),
        (r#"{"id":"request","kind":"imagine","request":[]}"#, "request", "", "request"),
        (r#"{"id":"no-request","kind":"imagine"}"#, "no-request", "", "request"),
        (r#"{"id":"no-button","kind":"action","request":{"job":"a"}}"#, "no-button", "", "button"),
        (
            r#"{"id":"options","kind":"imagine","request":{"prompt":"x"},"options":7}"#,
            "options",
            "",
            "options must be an object",
        ),
        (
            r#"{"id":"deadline","kind":"imagine","request":{"prompt":"x"},"options":{"deadline_s":0}}"#,
            "deadline",
            "",
            "deadline_s",
        ),
    ];

    for (n, (json, ..)) in entries.iter().enumerate() {
        stack.xadd_job(&imagine(&format!("neighbour-{n}"), &format!("fox {n}"))).await?;
        stack.wire.xadd_fields(&[("v", b"1"), ("job", json.as_bytes())]).await?;
    }

    let events = stack.wire.first_events(2 * entries.len()).await?;
    let kept = kept(&stack).await?;
    for (json, job, state, reason) in entries {
        let is_its = |event: &&Event| event.outcome() == "rejected" && (event.job(), event.state()) == (job, state);
        let event = events.iter().find(is_its).ok_or_else(|| anyhow::anyhow!("no event of {json}: {events:?}"))?;
        assert_eq!(event.code(), "malformed", "{json}");
        let told = event.data()?["reason"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(reason), "{json}: {told}");
        assert!(kept.values().any(|(_, text)| text == json.as_bytes()), "{json} was not kept");
    }
    for n in 0..entries.len() {
        assert_eq!(stack.event_of(&format!("neighbour-{n}")).await?.outcome(), "completed");
    }
    submitted_once(&stack, entries.len())
}

#[tokio::test]
async fn a_rejected_entry_without_an_id_is_called_after_its_stream_entry() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let entry = stack.xadd_job(&json!({"kind": "imagine", "request": {}})).await?;

    let event = stack.event_of(&entry).await?;
    assert_eq!((event.outcome(), event.code(), event.field("kind")), ("rejected", "malformed", "imagine"));
    Ok(())
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_at_all_is_kept_with_its_reason() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_MAX_JOB_BYTES", "100 KiB").await?;
    let deep = "[".repeat(60_000);
    let deep_inside = format!(r#"{{"id":"deep","kind":"imagine","request":{{"prompt":"x","x":{}"#, "[".repeat(60_000));
    let too_large = imagine("too-large", &"x".repeat(200_000)).to_string();
    let unreadable: &[(&[u8], &str)] = &[
        (b"nonsense", "JSON"),
        (b"", "JSON"),
        (b"null", "object"),
        (b"[1]", "object"),
        (b"\"id\"", "object"),
        (b"{\"id\":\"cut", "JSON"),
        (b"\xff\xfe\x00\x01binary", "UTF-8"),
        (b"\x1f\x8b\x08\x00\x00", "UTF-8"),
        (br#"{"id":"nul","kind":"imagine","request":{"prompt":"#, "JSON"),
        (deep.as_bytes(), "JSON"),
        (deep_inside.as_bytes(), "JSON"),
        (too_large.as_bytes(), "102400"),
        (br#"{"cancel":"a b"}"#, "cancel"),
        (br#"{"modal":7}"#, "modal must be an object"),
    ];

    let mut entries = Vec::new();
    for (n, (text, reason)) in unreadable.iter().enumerate() {
        stack.xadd_job(&imagine(&format!("neighbour-{n}"), &format!("fox {n}"))).await?;
        entries.push((stack.wire.xadd_fields(&[("v", b"1"), ("job", text)]).await?, text, reason));
    }
    let without_job = stack.wire.xadd_fields(&[("v", b"1"), ("task", b"{}")]).await?;

    stack.eventually("all are kept", async |stack| Ok(kept(stack).await?.len() > entries.len())).await?;
    let kept = kept(&stack).await?;
    for (entry, text, reason) in entries {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]);
        let (told, kept) = kept.get(&entry).ok_or_else(|| anyhow::anyhow!("{shown} was not kept"))?;
        assert!(told.contains(reason), "{shown}: {told}");
        // Of a huge one only the beginning.
        assert!(text.starts_with(kept) && kept.len() >= text.len().min(1_000), "{shown}");
    }
    assert!(kept[&without_job].0.contains("job"), "{:?}", kept[&without_job]);
    for n in 0..unreadable.len() {
        assert_eq!(stack.event_of(&format!("neighbour-{n}")).await?.outcome(), "completed");
    }
    submitted_once(&stack, unreadable.len())
}

#[tokio::test]
async fn fields_and_groups_may_be_called_anything_and_hold_nobody_up() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let mut redis = stack.wire.redis().await?;
    let mut group = redis::cmd("XGROUP");
    group.arg("CREATE").arg(stack.wire.key("events")).arg(b"caf\xe9").arg("$").arg("MKSTREAM");
    group.query_async::<()>(&mut redis).await?;
    for (id, name) in [("odd-1", b"\xff\xfe".as_slice()), ("odd-2", b"\xe9tat")] {
        stack.xadd_job(&imagine(&format!("before-{id}"), &format!("fox before {id}"))).await?;
        let mut add = redis::cmd("XADD");
        let job = imagine(id, &format!("fox {id}")).to_string();
        add.arg(stack.wire.key("jobs")).arg("*").arg(name).arg("1").arg("v").arg("1").arg("job").arg(job);
        add.query_async::<String>(&mut redis).await?;
    }
    stack.xadd_job(&imagine("last", "fox last")).await?;

    let events = one_event_for_each(&stack, 5).await?;

    assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
    submitted_once(&stack, 5)
}

#[tokio::test]
async fn an_entry_of_another_version_is_rejected_and_one_without_a_version_is_read() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    for (id, version) in [("next", "2"), ("odd", "one"), ("empty", "")] {
        let job = imagine(id, &format!("fox {id}")).to_string();
        stack.wire.xadd_fields(&[("v", version.as_bytes()), ("job", job.as_bytes())]).await?;
    }
    stack.wire.xadd_fields(&[("job", imagine("none", "fox none").to_string().as_bytes())]).await?;

    for id in ["next", "odd", "empty"] {
        let event = stack.event_of(id).await?;
        assert_eq!((event.outcome(), event.code()), ("rejected", "malformed"), "{id}");
    }
    assert_eq!(stack.event_of("none").await?.outcome(), "completed");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_rejected_id_is_free_for_a_job_that_can_be_read() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    stack.xadd_job(&json!({"id": "order-1842", "kind": "imagine", "request": {}})).await?;
    assert_eq!(stack.event_of("order-1842").await?.outcome(), "rejected");
    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;

    let events = stack.wire.first_events(2).await?;
    assert_eq!((events[1].job(), events[1].outcome()), ("order-1842", "completed"));
    Ok(())
}
