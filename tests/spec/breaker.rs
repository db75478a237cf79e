//! The breaker: an upstream that lets nobody in is left alone by all workers, until a probe finds it well again.

use mjq_harness::{Stack, WorkerProcess};
use serde_json::{Value, json};

use crate::support::{
    a_stack, action, foxes, imagine, job_view, metric, one_event_for_each, submitted_once, turned_away,
};

const SLOTS: u64 = 4;

/// Whether the worker's metrics, API and page all show the breaker open, or all show it closed.
async fn shows_breaker(worker: &WorkerProcess, is_open: bool) -> anyhow::Result<bool> {
    let metric = metric(worker, "mjq_upstream_breaker_open", "").await? == 1.0;
    let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
    let api = queue["counts"]["upstream"]["failures"].as_u64().unwrap_or(0) > 0;
    let page = worker.get("/").await?.1.contains("The upstream takes nothing.");
    Ok([metric, api, page] == [is_open; 3])
}

#[tokio::test]
async fn a_key_that_is_refused_stops_all_workers_burns_no_attempt_and_is_seen_until_a_probe_succeeds()
-> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_SLOTS", SLOTS).await?;
    stack.simulator.knobs(|knobs| knobs.key = Some("another key".to_owned()));
    let jobs = foxes(60);

    stack.wire.xadd_jobs(&jobs).await?;
    for worker in &stack.workers {
        stack.eventually("the breaker is seen", async |_| shows_breaker(worker, true).await).await?;
    }
    let is_told = stack.workers.iter().any(|worker| worker.logs().contains("the upstream does not let us in"));
    assert!(is_told, "whoever has no metrics reads it in a log");
    stack.eventually("it was probed twice", async |stack| Ok(turned_away(stack) >= 3)).await?;
    // What was under way when it opened, and since then one probe at a time for both workers together.
    assert!(turned_away(&stack) <= 2 * SLOTS + 3, "{} requests while nobody was let in", turned_away(&stack));
    assert!(stack.events().await?.is_empty());
    for n in 0..jobs.len() {
        assert_eq!(job_view(&stack.workers[1], &format!("job-{n}")).await?["attempts"], 0);
    }
    stack.simulator.knobs(|knobs| knobs.key = None);

    let events = one_event_for_each(&stack, jobs.len()).await?;
    for event in events.values() {
        assert_eq!((event.code(), event.data()?["attempts"].as_u64()), ("ok", Some(1)), "{event:?}");
    }
    for worker in &stack.workers {
        stack.eventually("it is closed", async |_| shows_breaker(worker, false).await).await?;
    }
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn one_job_that_the_upstream_turns_away_again_and_again_does_not_keep_the_others() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("turned-away", "a red fox [sim: status=403 html times=0]")).await?;
    let is_down = async |stack: &Stack| shows_breaker(&stack.workers[0], true).await;
    stack.eventually("the breaker is open", is_down).await?;

    let others: Vec<_> = (0..10).map(|n| imagine(&format!("other-{n}"), &format!("fox {n}"))).collect();
    stack.wire.xadd_jobs(&others).await?;

    for n in 0..others.len() {
        assert_eq!(stack.event_of(&format!("other-{n}")).await?.code(), "ok");
    }
    assert_eq!(job_view(&stack.workers[0], "turned-away").await?["attempts"], 0, "nor is it given up");
    submitted_once(&stack, others.len())
}

#[tokio::test]
async fn a_job_that_the_upstream_turns_away_while_it_takes_others_stops_nobody() -> anyhow::Result<()> {
    for refusal in ["status=403 html", "status=404 html", "code=9"] {
        let stack = a_stack().await?;
        let turned_away = imagine("turned-away", &format!("a bear [sim: {refusal} delay=700ms]"));
        let jobs: Vec<_> = std::iter::once(turned_away).chain(foxes(20)).collect();

        stack.wire.xadd_jobs(&jobs).await?;

        one_event_for_each(&stack, jobs.len()).await?;
        let worker = &stack.workers[0];
        assert_eq!(job_view(worker, "turned-away").await?["attempts"], 1, "{refusal}: it was taken the second time");
        assert!(!worker.logs().contains("submits wait"), "{refusal}: the breaker stayed closed");
        let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
        assert_eq!(queue["counts"]["upstream"]["limit"], Value::Null, "{refusal}: there is no limit");
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_without_the_address_of_submits_is_told_from_one_that_cannot_be_reached() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_UPSTREAM_SUBMIT_PATH", "/no/such/path/{action}").await?;
    stack.xadd_job(&imagine("a", "a red fox")).await?;

    let worker = &stack.workers[0];
    stack.eventually("the breaker is seen", async |_| shows_breaker(worker, true).await).await?;

    let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
    assert_eq!(queue["counts"]["upstream"]["cause"], "misaddressed");
    assert!(worker.logs().contains("the upstream has no such address"));
    let class = r#"endpoint="submit",class="misaddressed""#;
    assert!(metric(worker, "mjq_upstream_requests_total", class).await? >= 1.0);
    Ok(())
}

#[tokio::test]
async fn an_open_breaker_lets_open_tasks_be_watched_to_their_end() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("open", "a red fox [sim: duration=1500ms]")).await?;
    stack.eventually("it is open", async |stack| Ok(stack.simulator.ledger().len() == 1)).await?;

    stack.xadd_job(&imagine("barred", "a blue fox [sim: status=401 times=2]")).await?;
    let worker = &stack.workers[0];
    stack.eventually("the breaker is seen", async |_| shows_breaker(worker, true).await).await?;

    let first = &stack.wire.first_events(1).await?[0];
    assert_eq!((first.job(), first.code()), ("open", "ok"));
    assert_eq!(stack.event_of("barred").await?.code(), "ok");
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn a_submit_that_is_never_sent_closes_no_breaker() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("failed", "a red fox [sim: fail=\"Job Timeout\"]")).await?;
    stack.event_of("failed").await?;
    let worker = &stack.workers[0];
    stack.xadd_job(&imagine("barred", "a blue fox [sim: status=401 times=0]")).await?;
    stack.eventually("the breaker is seen", async |_| shows_breaker(worker, true).await).await?;
    stack.xadd_job(&json!({"cancel": "barred"})).await?;
    stack.event_of("barred").await?;

    stack.xadd_job(&action("orphan", "failed", "U1")).await?;

    assert_eq!(stack.event_of("orphan").await?.code(), "parent_gone");
    assert!(shows_breaker(worker, true).await?, "the upstream has not been heard of since");
    Ok(())
}
