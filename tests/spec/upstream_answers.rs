//! What the upstream may answer to a submit or a poll, and what becomes of the job: one table for each kind of answer.
//!
//! Each job carries a script for the simulator in its prompt, so that one stack runs a whole table.

use std::time::Duration;

use anyhow::Context;
use mjq_harness::{Stack, eventually_within, unique_queue};
use mjq_simulator::{Answer, Coded, Fault, Odds, Script, SubmitStep, WithId};
use serde_json::json;

use crate::support::{
    a_stack, creation_of, foxes, imagine, metric, one_event_for_each, submitted_once, turned_away, with,
};

/// One row: the script, the code that the job ends with, `data.attempts`, and the tasks that were created.
type Row = (&'static str, &'static str, u64, usize);

/// Runs a table on a stack, and gives how often each row was submitted.
async fn run(stack: &Stack, rows: &[Row]) -> anyhow::Result<Vec<usize>> {
    let prompt = |n: usize| format!("fox {n} [sim: {}]", rows[n].0);
    for n in 0..rows.len() {
        stack.xadd_job(&imagine(&format!("job-{n}"), &prompt(n))).await?;
    }
    let events = one_event_for_each(stack, rows.len()).await?;
    for (n, (marker, code, attempts, created)) in rows.iter().enumerate() {
        let event = &events[&format!("job-{n}")];
        let told = (event.code(), event.data()?["attempts"].as_u64(), stack.simulator.created(&prompt(n)));
        assert_eq!(told, (*code, Some(*attempts), *created), "{marker}: {event:?}");
        assert_eq!(event.outcome(), if *code == "ok" { "completed" } else { "failed" }, "{marker}");
        let reason = event.data()?["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(reason.is_empty(), *code == "ok", "{marker}: {reason}");
    }
    Ok((0..rows.len()).map(|n| stack.simulator.attempted(&prompt(n))).collect())
}

#[tokio::test]
async fn what_was_accepted_is_polled_and_never_submitted_again() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let rows = [
        ("code=1", "ok", 1, 1),
        ("code=22", "ok", 1, 1),
        ("code=21", "ok", 1, 1),
        ("code=1 desc=\"error: queue full\"", "ok", 1, 1),
    ];

    let attempted = run(&stack, &rows).await?;

    assert_eq!(attempted, [1, 1, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn what_was_refused_for_good_ends_at_once_with_its_code_and_without_an_attempt() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let rows = [
        ("code=24", "banned_prompt", 0, 0),
        ("code=4", "invalid_request", 0, 0),
        ("code=4 desc=\"可能包含敏感词\"", "banned_prompt", 0, 0),
        ("status=413", "too_large", 0, 0),
        ("status=413 html", "too_large", 0, 0),
        ("status=400", "invalid_request", 0, 0),
        ("status=422", "invalid_request", 0, 0),
    ];

    let attempted = run(&stack, &rows).await?;

    assert_eq!(attempted, [1; 7]);
    Ok(())
}

#[tokio::test]
async fn a_task_that_a_relay_shows_by_its_own_upstreams_id_is_known_after_half_a_minute() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let rows = [
        ("fetch=renumbered fetch_times=0", "ok"),
        ("fetch=renumbered fetch_times=0 duration=2s fail=\"no idea\"", "upstream_failed"),
        // A cache or a router that mixes tasks up.
        ("fetch=renumbered fetch_times=3", "ok"),
    ];

    for (n, (script, _)) in rows.iter().enumerate() {
        stack.xadd_job(&imagine(&format!("job-{n}"), &format!("fox {n} [sim: {script}]"))).await?;
    }
    let have_ended = async || Ok(stack.events().await?.len() == rows.len());
    eventually_within(Duration::from_secs(90), "all have ended", have_ended).await?;

    for (n, (script, code)) in rows.iter().enumerate() {
        assert_eq!(stack.event_of(&format!("job-{n}")).await?.code(), *code, "{script}");
    }
    assert_eq!(stack.simulator.stats().created, 3);
    Ok(())
}

#[tokio::test]
async fn a_token_tells_at_once_that_a_task_under_another_id_is_the_jobs_own() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_STATE", "token").await?;

    stack.xadd_job(&imagine("order-1842", "a fox [sim: fetch=renumbered fetch_times=0]")).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!((event.code(), event.data()?["polls"].as_u64()), ("ok", Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_banned_word_in_the_prompt_is_told_with_the_word() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    stack.xadd_job(&imagine("order-1842", "a nude fox")).await?;

    let event = stack.event_of("order-1842").await?;
    assert_eq!(event.code(), "banned_prompt");
    assert!(event.data()?["reason"].as_str().is_some_and(|reason| reason.contains("nude")), "{event:?}");
    submitted_once(&stack, 0)
}

#[tokio::test]
async fn a_submit_whose_answer_tells_nothing_ends_as_submit_unknown_and_is_never_repeated() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let mut rows = Vec::new();
    for (before, after) in [
        ("status=500", "status=500 after"),
        ("status=502 html", "status=502 html after"),
        ("status=504", "status=504 html after"),
        ("status=408", "status=408 after"),
        ("body=empty", "body=empty after"),
        ("body=broken", "body=broken after"),
        ("body=html", "body=html after"),
        ("body=half", "body=half after"),
        ("lose=before", "lose=after"),
        ("reset=before", "reset=after"),
        ("code=5 desc=\"do_request_failed\"", "code=4 after desc=\"do_request_failed\""),
    ] {
        rows.extend([(before, "submit_unknown", 1, 0), (after, "submit_unknown", 1, 1)]);
    }
    rows.push(("code=1 id=no", "submit_unknown", 1, 0));

    let attempted = run(&stack, &rows).await?;

    assert_eq!(attempted, vec![1; rows.len()]);
    Ok(())
}

#[tokio::test]
async fn an_id_in_an_answer_that_says_too_little_is_polled_and_its_task_adopted() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let attempted = run(&stack, &[("code=77 id=new", "ok", 1, 1), ("code=9 id=new", "ok", 1, 1)]).await?;

    assert_eq!(attempted, [1, 1]);
    for event in stack.events().await? {
        assert_eq!(event.data()?["adopted"], true, "{event:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_submit_without_an_answer_in_time_ends_as_submit_unknown() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_TIMEOUT_MS", 1_500).await?;

    let attempted =
        run(&stack, &[("hang=before", "submit_unknown", 1, 0), ("hang=after", "submit_unknown", 1, 1)]).await?;

    assert_eq!(attempted, [1, 1]);
    Ok(())
}

#[tokio::test]
async fn who_asks_for_it_gets_an_unknown_submit_repeated_and_is_told_that_it_may_be_paid_twice() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (before, after) = ("a red fox [sim: lose=before]", "a blue fox [sim: lose=after]");

    for (id, prompt) in [("before", before), ("after", after)] {
        stack.xadd_job(&with(imagine(id, prompt), "/options/on_unknown", "resubmit")).await?;
    }

    for job in ["before", "after"] {
        let event = stack.event_of(job).await?;
        let data = event.data()?;
        assert_eq!((event.code(), &data["attempts"], &data["possible_duplicate"]), ("ok", &json!(2), &json!(true)));
    }
    // From here nobody can tell these two apart; that is why the flag says "possible".
    assert_eq!((stack.simulator.created(before), stack.simulator.created(after)), (1, 2));
    one_event_for_each(&stack, 2).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_upstream_is_asked_again_without_burning_an_attempt() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let rows = [
        ("code=23 times=2", "ok", 1, 1),
        ("code=3 desc=\"无可用的账号实例\"", "ok", 1, 1),
        ("code=3 desc=\"账号不可用\"", "ok", 1, 1),
        ("code=9 desc=\"提交失败，队列已满，请稍后重试\"", "ok", 1, 1),
        ("code=30", "ok", 1, 1),
        ("code=22 id=no", "ok", 1, 1),
        ("status=429", "ok", 1, 1),
        ("status=503 html", "ok", 1, 1),
        ("code=4 desc=\"get_channel_info_failed\"", "ok", 1, 1),
    ];

    let attempted = run(&stack, &rows).await?;

    assert_eq!(attempted, [3, 2, 2, 2, 2, 2, 2, 2, 2]);
    submitted_once(&stack, rows.len())
}

#[tokio::test]
async fn an_upstream_that_fails_inside_is_asked_again_a_limited_number_of_times() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_MAX_ATTEMPTS", 3).await?;

    let attempted = run(&stack, &[("code=9", "ok", 1, 1), ("code=9 times=0", "attempts_exhausted", 0, 0)]).await?;

    assert_eq!(attempted, [2, 3]);
    Ok(())
}

#[tokio::test]
async fn retry_after_is_honoured_for_the_whole_upstream_in_seconds_and_as_a_date() -> anyhow::Result<()> {
    for (form, shortest_ms) in [("2", 2_000), ("date:3", 2_000)] {
        let stack = a_stack().await?;
        let (slowed, other) = (format!("a red fox [sim: status=429 retry={form}]"), "a blue fox");

        stack.xadd_job(&imagine("slowed", &slowed)).await?;
        stack.eventually("the first submit", async |stack| Ok(stack.simulator.attempted(&slowed) == 1)).await?;
        // The other one comes when the worker has written down what the first was told.
        let worker = &stack.workers[0];
        let is_told = async |_: &Stack| Ok(metric(worker, "mjq_settled_total", "").await? >= 1.0);
        stack.eventually("the refusal is written down", is_told).await?;
        stack.xadd_job(&imagine("other", other)).await?;

        let events = one_event_for_each(&stack, 2).await?;
        assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
        let arrivals_ms = stack.simulator.arrivals().submits_ms;
        assert_eq!(arrivals_ms.len(), 3);
        let gap_ms = arrivals_ms[1] - arrivals_ms[0];
        assert!(gap_ms >= shortest_ms, "asked again after {gap_ms} ms, not after {form}");
        assert_eq!(events["slowed"].data()?["attempts"], 1);
        submitted_once(&stack, 2)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_polled_too_often_is_left_alone_by_all_jobs() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_POLL_MIN_MS", 50).set("MJQ_POLL_MAX_MS", 100).await?;
    stack.simulator.knobs(|knobs| knobs.duration = Duration::from_secs(4).into());
    let others: Vec<_> = (0..5).map(|n| imagine(&format!("other-{n}"), &format!("fox {n}"))).collect();
    stack.wire.xadd_jobs(&others).await?;
    let is_polled = async |stack: &Stack| Ok(stack.simulator.arrivals().polls_ms.len() >= 10);
    stack.eventually("they are polled all the time", is_polled).await?;

    stack.xadd_job(&imagine("throttled", "a red fox [sim: fetch=429 retry=2]")).await?;

    let events = one_event_for_each(&stack, 6).await?;
    assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
    let mut polls_ms = stack.simulator.arrivals().polls_ms;
    polls_ms.sort_unstable();
    let longest_gap_ms = polls_ms.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    assert!(longest_gap_ms >= 1_900, "nobody stopped for longer than {longest_gap_ms} ms");
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_stops_the_upstream_and_not_the_jobs() -> anyhow::Result<()> {
    // One after the other: how many would leave together before the first refusal is a matter of luck.
    let stack = a_stack().set("MJQ_SLOTS", 1).await?;
    stack.simulator.knobs(|knobs| knobs.key = Some("another key".to_owned()));
    let jobs = foxes(40);

    stack.wire.xadd_jobs(&jobs).await?;
    stack.eventually("two probes", async |stack| Ok(turned_away(stack) >= 3)).await?;
    assert!(turned_away(&stack) < 6, "{} requests while nobody was let in", turned_away(&stack));
    assert_eq!(stack.events().await?.len(), 0);
    stack.simulator.knobs(|knobs| knobs.key = None);

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert!(events.values().all(|event| event.code() == "ok"));
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn a_key_that_is_replaced_in_its_file_lets_the_jobs_in() -> anyhow::Result<()> {
    let file = std::env::temp_dir().join(format!("mjq-spec-key-{}", unique_queue()));
    std::fs::write(&file, "the old key\n")?;
    let stack = a_stack().set("MJQ_UPSTREAM_KEY", "").set("MJQ_UPSTREAM_KEY_FILE", file.display()).await?;
    stack.simulator.knobs(|knobs| knobs.key = Some("the new key".to_owned()));
    stack.xadd_job(&imagine("order-1842", "fox")).await?;
    stack.eventually("the old key is refused", async |stack| Ok(turned_away(stack) >= 1)).await?;

    std::fs::write(&file, "the new key\n")?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    Ok(std::fs::remove_file(&file)?)
}

#[tokio::test]
async fn an_exhausted_quota_stops_the_upstream_and_not_the_jobs() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let rows = [("code=4 desc=\"quota_not_enough\"", "ok", 1, 1), ("status=403", "ok", 1, 1)];
    let attempted = run(&stack, &rows).await?;

    assert_eq!(attempted, [2, 2]);
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn jobs_wait_for_an_upstream_that_is_not_there() -> anyhow::Result<()> {
    let mut stack = a_stack().await?;
    stack.simulator.pause().await;

    let jobs = foxes(20);
    stack.wire.xadd_jobs(&jobs).await?;
    let worker = &stack.workers[0];
    let is_refused = async |_: &Stack| Ok(metric(worker, "mjq_steps_total", "refused").await? >= 1.0);
    stack.eventually("a submit finds nobody", is_refused).await?;
    stack.simulator.resume().await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    for event in events.values() {
        assert_eq!((event.code(), &event.data()?["attempts"]), ("ok", &json!(1)), "{event:?}");
    }
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn an_upscale_that_exists_already_is_adopted_with_its_own_task() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("first", "a red fox")).await?;
    let first = stack.event_of("first").await?;
    let existing = Answer::Code(Coded { code: 21, id: WithId::Existing, ..Coded::default() });
    stack.simulator.script("fox", Script::submits([SubmitStep { answer: existing, ..SubmitStep::default() }]));

    stack.xadd_job(&imagine("again", "a red fox")).await?;

    let again = stack.event_of("again").await?;
    assert_eq!((again.code(), again.field("task")), ("ok", first.field("task")));
    assert_eq!(stack.simulator.created("a red fox"), 1);
    Ok(())
}

#[tokio::test]
async fn a_poll_that_tells_nothing_is_made_again_until_the_task_is_seen() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let rows =
        ["html", "500", "502", "empty", "broken", "half", "close", "reset", "unknown", "404", "401", "403", "429"];
    let prompt = |sight: &str| format!("fox [sim: fetch={sight} fetch_times=3]");

    for sight in rows {
        stack.xadd_job(&imagine(sight, &prompt(sight))).await?;
    }
    stack.xadd_job(&imagine("slow", "slow fox [sim: fetch_delay=800ms]")).await?;

    let events = one_event_for_each(&stack, rows.len() + 1).await?;
    for (sight, event) in &events {
        let data = event.data()?;
        assert_eq!((event.code(), &data["attempts"]), ("ok", &json!(1)), "{sight}: {event:?}");
        let polls = data["polls"].as_u64().context("no polls")?;
        assert!(polls >= 4 || sight == "slow", "{sight}: {polls} polls");
    }
    submitted_once(&stack, rows.len() + 1)
}

#[tokio::test]
async fn a_poll_without_an_answer_in_time_is_made_again() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_TIMEOUT_MS", 1_000).await?;

    stack.xadd_job(&imagine("order-1842", "a red fox [sim: fetch=hang]")).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn an_upstream_that_goes_away_with_tasks_open_finds_them_polled_when_it_is_back() -> anyhow::Result<()> {
    let mut stack = a_stack().knobs(|knobs| knobs.duration = Duration::from_secs(1).into()).await?;
    let jobs = foxes(20);
    stack.wire.xadd_jobs(&jobs).await?;
    stack.eventually("all are open", async |stack| Ok(stack.simulator.ledger().len() == 20)).await?;
    // An answer that is lost on the way back would be another story.
    let worker = &stack.workers[0];
    let is_accepted = async |_: &Stack| Ok(metric(worker, "mjq_steps_total", "accepted").await? >= 20.0);
    stack.eventually("all answers arrived", is_accepted).await?;

    stack.simulator.pause().await;
    let worker = &stack.workers[0];
    let is_blind = async |_: &Stack| Ok(metric(worker, "mjq_steps_total", "no_verdict").await? >= 1.0);
    stack.eventually("a poll finds nobody", is_blind).await?;
    stack.simulator.resume().await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert!(events.values().all(|event| event.code() == "ok"));
    submitted_once(&stack, jobs.len())
}

/// What all pods know about the upstream, from the API.
async fn upstream_of(stack: &Stack) -> anyhow::Result<serde_json::Value> {
    let (_, body) = stack.workers[0].get("/api/v1/queue").await?;
    Ok(serde_json::from_str::<serde_json::Value>(&body)?["counts"]["upstream"].take())
}

#[tokio::test]
async fn an_upstream_that_loses_one_answer_after_another_is_not_fed_the_whole_backlog() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).await?;
    let lost = SubmitStep::fault(Fault::Close).after_creation();
    stack.simulator.knobs(|knobs| knobs.submit_faults = vec![Odds { rate: 1.0, step: lost }]);
    let jobs = foxes(400);
    stack.wire.xadd_jobs(&jobs).await?;

    let is_open = async |stack: &Stack| Ok(!upstream_of(stack).await?["cause"].is_null());
    stack.eventually("the breaker is open", is_open).await?;
    // Time enough for a probe, and for all the others if they were let through.
    let is_probed = async |stack: &Stack| Ok(upstream_of(stack).await?["failures"].as_u64() >= Some(2));
    stack.eventually("a probe was lost, too", is_probed).await?;
    assert_eq!(upstream_of(&stack).await?["cause"], "lost");
    let (_, page) = stack.workers[0].get("/").await?;
    assert!(page.contains("the answers to many submits in a row were lost"), "{page}");
    let submitted = stack.simulator.stats().created;
    // Either worker begins with 16, and goes on with 4, although each has 256 slots.
    assert!((20..45).contains(&submitted), "{submitted} were submitted");

    stack.simulator.knobs(|knobs| knobs.submit_faults.clear());

    let events = one_event_for_each(&stack, jobs.len()).await?;
    let unknown = events.values().filter(|event| event.code() == "submit_unknown").count() as u64;
    let ok = events.values().filter(|event| event.code() == "ok").count() as u64;
    assert!((20..45).contains(&unknown) && unknown + ok == 400, "{unknown} unknown, {ok} ok");
    let upstream = upstream_of(&stack).await?;
    assert_eq!((&upstream["cause"], &upstream["lost_in_a_row"]), (&serde_json::Value::Null, &json!(0)));
    submitted_once(&stack, 400)
}

#[tokio::test]
async fn answers_that_are_lost_now_and_then_do_not_stop_the_others() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_SLOTS", 1).await?;
    let prompt =
        |n: usize| if n.is_multiple_of(2) { format!("fox {n} [sim: status=504 html]") } else { format!("fox {n}") };
    let jobs: Vec<_> = (0..60).map(|n| imagine(&format!("job-{n}"), &prompt(n))).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert_eq!(events.values().filter(|event| event.code() == "ok").count(), 30);
    assert!(upstream_of(&stack).await?["lost_in_a_row"].as_u64() <= Some(1));
    let arrivals_ms = stack.simulator.arrivals().submits_ms;
    // Were each lost answer to open the breaker, there would be thirty; a busy machine may make one.
    let pauses = arrivals_ms.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) >= 900).count();
    assert!(pauses < 5, "nothing was submitted for {pauses} seconds");
    Ok(())
}

#[tokio::test]
async fn a_task_that_stays_unknown_is_lost_after_as_long_as_the_operator_says_and_five_polls() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_LOST_MS", 1_000).await?;
    let began = std::time::Instant::now();
    stack.xadd_job(&imagine("lost", "a red fox [sim: fetch=unknown fetch_times=0]")).await?;
    // It shows again before its time is over.
    stack.xadd_job(&imagine("late", "a blue fox [sim: fetch=unknown fetch_times=2]")).await?;

    let event = stack.event_of("lost").await?;
    assert_eq!((event.outcome(), event.code()), ("failed", "upstream_lost"));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let task = creation_of(&stack, "red")?.task;
    assert_eq!(event.field("task"), task);
    assert!(stack.simulator.polls(&task).is_some_and(|(polls, _)| polls >= 5));
    assert_eq!(stack.event_of("late").await?.code(), "ok");
    submitted_once(&stack, 2)
}
