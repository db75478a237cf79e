//! Task ids are opaque strings, `state` comes back byte for byte, and each member of the family is understood.

use mjq_simulator::{Dialect, IdStyle};
use serde_json::{Value, json};

use crate::support::{a_stack, action, creation_of, imagine, one_event_for_each, submitted_once, with};

/// Runs jobs of every sort against one dialect, with ids of each style.
async fn speaks(dialect: Dialect) -> anyhow::Result<()> {
    let stack = a_stack().knobs(|knobs| knobs.dialect = dialect).await?;
    let styles = [IdStyle::Integer, IdStyle::Digits16, IdStyle::Digits17, IdStyle::LeadingZero, IdStyle::Prefixed];
    let mut count = 0;

    for (n, style) in styles.into_iter().enumerate() {
        stack.simulator.knobs(|knobs| knobs.id_style = Some(style));
        let prompt = |rest: &str| format!("fox {n} {rest}");
        let state = "é🦊 ".repeat(200);
        let jobs = [
            with(imagine(&format!("grid-{n}"), &prompt("")), "/request/state", state.as_str()),
            action(&format!("u1-{n}"), &format!("grid-{n}"), "U1"),
            imagine(&format!("failing-{n}"), &prompt("[sim: fail=\"Job Timeout\"]")),
            imagine(&format!("late-{n}"), &prompt("[sim: fetch=unknown fetch_times=3]")),
        ];
        stack.wire.xadd_jobs(&jobs).await?;
        count += jobs.len();
        let events = one_event_for_each(&stack, count).await?;
        for (job, code) in [("grid", "ok"), ("u1", "ok"), ("failing", "upstream_failed"), ("late", "ok")] {
            let event = &events[&format!("{job}-{n}")];
            assert_eq!(event.code(), code, "{dialect:?} {style:?} {event:?}");
            let is_known = stack.simulator.ledger().iter().any(|creation| creation.task == event.field("task"));
            assert!(is_known, "{dialect:?} {style:?}: {} is no task", event.field("task"));
        }
        assert_eq!(events[&format!("grid-{n}")].state(), state);
    }
    submitted_once(&stack, count)
}

#[tokio::test]
async fn agicto_is_understood_whatever_its_ids_look_like() -> anyhow::Result<()> {
    speaks(Dialect::Agicto).await
}

#[tokio::test]
async fn the_java_original_is_understood_whatever_its_ids_look_like() -> anyhow::Result<()> {
    speaks(Dialect::Java).await
}

#[tokio::test]
async fn the_csharp_successor_is_understood_whatever_its_ids_look_like() -> anyhow::Result<()> {
    speaks(Dialect::CSharp).await
}

#[tokio::test]
async fn the_new_api_relay_is_understood_whatever_its_ids_look_like() -> anyhow::Result<()> {
    speaks(Dialect::NewApi).await
}

#[tokio::test]
async fn each_dialects_way_to_say_full_and_no_such_parent_is_understood() -> anyhow::Result<()> {
    for dialect in [Dialect::Agicto, Dialect::Java, Dialect::CSharp, Dialect::NewApi] {
        let stack = a_stack().knobs(|knobs| (knobs.dialect, knobs.slots, knobs.queue) = (dialect, 1, 0)).await?;
        let unknown = json!({"taskId": "12463258", "customId": "MJ::JOB::upsample::1::0ddb"});

        // Three for one place: at least one is refused, whatever the order.
        let jobs = ["a", "b", "c"].map(|id| imagine(id, &format!("fox {id} [sim: duration=500ms]")));
        stack.wire.xadd_jobs(&jobs).await?;
        stack.xadd_job(&json!({"id": "orphan", "kind": "action", "request": unknown})).await?;

        let events = one_event_for_each(&stack, 4).await?;
        for job in ["a", "b", "c"] {
            assert_eq!((events[job].code(), &events[job].data()?["attempts"]), ("ok", &json!(1)), "{dialect:?} {job}");
        }
        assert_eq!(events["orphan"].code(), "parent_gone", "{dialect:?}");
        let answers = stack.simulator.stats().answers;
        assert!(answers["refused: full"] > 0, "{dialect:?} {answers:?}");
        submitted_once(&stack, 3)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_state_comes_back_byte_for_byte_however_it_was_written() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let long = "x".repeat(10_240);
    // As it stands in the producer's JSON, and as the event must carry it.
    let states = [
        (r#""""#, ""),
        ("null", ""),
        (r#"" ""#, " "),
        (r#""a\u0000b\u0000""#, "a\0b\0"),
        (r#""\ud83e\udd8a\u00e9""#, "🦊é"),
        (r#""🦊é中文\u200d""#, "🦊é中文\u{200d}"),
        (r#""line\nline\r\n\ttab\u2028""#, "line\nline\r\n\ttab\u{2028}"),
        (r#""\"quoted\" \\ \/ {\"a\":[1]}""#, r#""quoted" \ / {"a":[1]}"#),
        (r#""\u001b[31mred\u007f\ufffd\uffff""#, "\u{1b}[31mred\u{7f}\u{fffd}\u{ffff}"),
        (r#""e\u0301 is not \u00e9""#, "e\u{301} is not é"),
        (r#""%s %n ${x} '; -- </script>""#, "%s %n ${x} '; -- </script>"),
        (&format!("\"{long}\""), long.as_str()),
    ];

    for (n, (json, _)) in states.iter().enumerate() {
        let job = format!(r#"{{"id":"job-{n}","kind":"imagine","request":{{"prompt":"fox {n}","state":{json}}}}}"#);
        stack.wire.xadd_fields(&[("v", b"1"), ("job", job.as_bytes())]).await?;
    }

    let events = one_event_for_each(&stack, states.len()).await?;
    for (n, (json, state)) in states.iter().enumerate() {
        assert_eq!(events[&format!("job-{n}")].state(), *state, "{json}");
        assert_eq!(events[&format!("job-{n}")].outcome(), "completed", "{json}");
    }
    submitted_once(&stack, states.len())
}

#[tokio::test]
async fn the_upstream_sees_the_callers_state_unless_it_is_longer_than_upstreams_take() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (short, long) = ("é".repeat(255), "é".repeat(256));

    for (id, state) in [("short", &short), ("long", &long)] {
        stack.xadd_job(&with(imagine(id, id), "/request/state", state.as_str())).await?;
    }

    let events = one_event_for_each(&stack, 2).await?;
    assert_eq!((events["short"].state(), events["long"].state()), (short.as_str(), long.as_str()));
    assert_eq!((creation_of(&stack, "short")?.state, creation_of(&stack, "long")?.state), (Some(short), None));
    Ok(())
}

#[tokio::test]
async fn with_a_token_the_upstream_sees_mjqs_own_state_and_the_caller_gets_its_own_back() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_STATE", "token").await?;

    stack.xadd_job(&with(imagine("order-1842", "a red fox"), "/request/state", "customer 7")).await?;

    assert_eq!(stack.event_of("order-1842").await?.state(), "customer 7");
    let seen = stack.simulator.ledger()[0].state.clone().unwrap_or_default();
    assert!(seen.contains("order-1842") && !seen.contains("customer"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn ids_may_have_every_documented_character_and_length() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let ids = ["0".to_owned(), "-._:".to_owned(), "Aa9:order.1-2_3".to_owned(), "x".repeat(128)];
    let jobs: Vec<Value> = ids.iter().map(|id| imagine(id, &format!("fox {id}"))).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, ids.len()).await?;
    assert!(ids.iter().all(|id| events[id].outcome() == "completed"));
    submitted_once(&stack, ids.len())
}
