//! Pause and resume: an operator stops a queue, or only its submits, for all workers at once.

use mjq_harness::Stack;
use serde_json::Value;

use crate::support::{
    Cli, a_stack, imagine, job_view, metric, one_event_for_each, submitted_once, wait_for_phase, with,
};

async fn mjq(stack: &Stack, words: &[&str]) -> anyhow::Result<String> {
    let run = Cli::on(stack, words)?.run().await?;
    assert_eq!(run.code, 0, "{run:?}");
    Ok(run.stdout)
}

fn polls(stack: &Stack) -> u64 {
    stack.simulator.stats().polls
}

/// A deadline goes on while the queue is paused: when its job has ended, the workers have looked for steps since.
async fn time_passes(stack: &Stack) -> anyhow::Result<()> {
    stack.xadd_job(&with(imagine("timer", "timer"), "/options/deadline_s", 1)).await?;
    let event = stack.event_of("timer").await?;
    assert_eq!((event.code(), stack.simulator.attempted("timer")), ("deadline_exceeded", 0));
    Ok(())
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_in_and_neither_submits_nor_polls_until_it_is_resumed() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).await?;
    stack.xadd_job(&imagine("open", "open fox [sim: duration=500ms]")).await?;
    stack.eventually("it is polled", async |stack| Ok(polls(stack) > 0)).await?;

    mjq(&stack, &["pause"]).await?;
    stack.xadd_job(&imagine("new", "new fox")).await?;
    wait_for_phase(&stack, "new", "queued").await?;
    // A poll that was under way when the pause came ends as it would have.
    let is_idle = async |stack: &Stack| Ok(metric(&stack.workers[0], "mjq_jobs", "in_step").await? == 0.0);
    stack.eventually("no step is under way", is_idle).await?;
    let polls_before = polls(&stack);
    time_passes(&stack).await?;
    assert_eq!((polls(&stack), stack.simulator.attempted("new fox")), (polls_before, 0));
    mjq(&stack, &["resume"]).await?;

    let events = one_event_for_each(&stack, 3).await?;
    assert_eq!((events["open"].code(), events["new"].code()), ("ok", "ok"));
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn while_submits_are_paused_open_tasks_are_watched_to_their_end_and_no_new_one_is_made() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).await?;
    stack.xadd_job(&imagine("open", "open fox [sim: duration=1s]")).await?;
    stack.eventually("it is open", async |stack| Ok(stack.simulator.ledger().len() == 1)).await?;

    mjq(&stack, &["pause", "--submits"]).await?;
    stack.xadd_job(&imagine("new", "new fox")).await?;

    assert_eq!(stack.event_of("open").await?.code(), "ok");
    time_passes(&stack).await?;
    assert_eq!(stack.simulator.attempted("new fox"), 0);
    assert_eq!(job_view(&stack.workers[0], "new").await?["phase"], "queued");
    mjq(&stack, &["resume", "--submits"]).await?;
    assert_eq!(stack.event_of("new").await?.code(), "ok");
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn a_pause_outlives_the_workers_that_it_holds_for() -> anyhow::Result<()> {
    let mut stack = a_stack().await?;
    mjq(&stack, &["pause", "--submits"]).await?;

    stack.workers[0].kill9()?;
    stack.workers.clear();
    stack.add_worker().await?;
    stack.xadd_job(&imagine("new", "new fox")).await?;
    time_passes(&stack).await?;

    assert_eq!(stack.simulator.attempted("new fox"), 0);
    mjq(&stack, &["resume", "--submits"]).await?;
    assert_eq!(stack.event_of("new").await?.code(), "ok");
    Ok(())
}

#[tokio::test]
async fn resuming_the_one_does_not_resume_the_other() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    mjq(&stack, &["pause"]).await?;
    mjq(&stack, &["pause", "--submits"]).await?;

    let said = mjq(&stack, &["resume"]).await?;
    stack.xadd_job(&imagine("new", "new fox")).await?;
    time_passes(&stack).await?;

    assert!(said.contains("submits are still paused"), "{said}");
    assert_eq!(stack.simulator.attempted("new fox"), 0);
    mjq(&stack, &["resume", "--submits"]).await?;
    assert_eq!(stack.event_of("new").await?.code(), "ok");
    Ok(())
}

#[tokio::test]
async fn a_pause_is_seen_on_the_dashboard_in_the_api_and_in_the_metrics_of_every_worker() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).await?;
    for (words, label, flag, banner) in [
        (vec!["pause"], "what=\"all\"", "is_paused", "Paused."),
        (vec!["pause", "--submits"], "what=\"submits\"", "are_submits_paused", "Submits are paused."),
    ] {
        assert!(mjq(&stack, &words).await?.contains("now paused"));
        assert!(mjq(&stack, &words).await?.contains("paused already"));
        for worker in &stack.workers {
            let is_told = async |_: &Stack| Ok(metric(worker, "mjq_paused", label).await? == 1.0);
            stack.eventually("the pause is told", is_told).await?;
            let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
            assert_eq!(queue["counts"]["upstream"][flag], true, "{queue}");
            assert!(worker.get("/").await?.1.contains(banner), "no {banner:?}");
        }

        let resume: Vec<&str> = ["resume"].into_iter().chain(words[1..].iter().copied()).collect();
        mjq(&stack, &resume).await?;
        for worker in &stack.workers {
            let is_told = async |_: &Stack| Ok(metric(worker, "mjq_paused", label).await? == 0.0);
            stack.eventually("its end is told", is_told).await?;
        }
    }
    Ok(())
}
