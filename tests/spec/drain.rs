//! SIGTERM: a worker hands back what it has not begun, finishes what it has, and is gone within seconds.

use std::process::Command;
use std::time::Duration;

use mjq_harness::Stack;

use crate::support::{a_stack, foxes, imagine, one_event_for_each, submitted_once};

/// What the promise allows besides one exchange with the upstream.
const PROMISE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_under_load_is_gone_in_time_and_another_finishes_all() -> anyhow::Result<()> {
    let exchange = Duration::from_millis(500);
    let stack = a_stack().knobs(|knobs| knobs.latency = exchange.into()).set("MJQ_SLOTS", 50);
    let mut stack = stack.await?;
    stack.wire.xadd_jobs(&foxes(300)).await?;
    stack.eventually("it is in the middle", async |stack| Ok(stack.simulator.ledger().len() >= 60)).await?;

    let exit = stack.workers[0].terminate().await?;
    let events_then = stack.events().await?.len();
    stack.add_worker().await?;

    assert!(exit.status.success(), "{:?}", exit.status);
    assert!(exit.took < PROMISE + exchange, "it took {:?}", exit.took);
    assert!(events_then < 300, "it went on to the end");
    let events = one_event_for_each(&stack, 300).await?;
    for (job, event) in &events {
        let data = event.data()?;
        assert_eq!((event.code(), &data["attempts"], &data["reclaims"]), ("ok", &1.into(), &0.into()), "{job}");
    }
    submitted_once(&stack, 300)
}

#[tokio::test]
async fn four_workers_replaced_one_after_the_other_under_load_lose_nothing_and_pay_nothing_twice() -> anyhow::Result<()>
{
    let stack = a_stack().workers(2).knobs(|knobs| knobs.latency = Duration::from_millis(50).into());
    let mut stack = stack.set("MJQ_SLOTS", 20).await?;
    stack.wire.xadd_jobs(&foxes(600)).await?;

    for turn in 0..4 {
        let enough = 60 * (turn + 1);
        stack.eventually("some more are done", async |stack| Ok(stack.events().await?.len() >= enough)).await?;
        stack.add_worker().await?;
        let exit = stack.workers[turn].terminate().await?;
        assert!(exit.status.success() && exit.took < PROMISE, "{exit:?}");
    }

    let events = one_event_for_each(&stack, 600).await?;
    assert!(events.values().all(|event| event.code() == "ok"));
    submitted_once(&stack, 600)
}

#[tokio::test]
async fn an_idle_worker_stops_at_once_on_sigterm_and_on_sigint() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(2).await?;

    let exit = stack.workers[0].terminate().await?;
    let pid = stack.workers[1].pid().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status()?.success());
    let interrupted = stack.workers[1].exited(PROMISE).await?;

    assert!(exit.status.success() && exit.took < PROMISE, "{exit:?}");
    assert!(interrupted.success(), "{interrupted:?}");
    Ok(())
}

#[tokio::test]
async fn open_tasks_do_not_keep_a_worker_from_stopping() -> anyhow::Result<()> {
    let mut stack = a_stack().await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: duration=6s]")).await?;
    stack.eventually("it is open", async |stack| Ok(stack.simulator.stats().polls > 0)).await?;

    let exit = stack.workers[0].terminate().await?;
    assert_eq!(stack.events().await?.len(), 0, "it waited for the picture");
    stack.add_worker().await?;

    assert!(exit.status.success() && exit.took < PROMISE, "{exit:?}");
    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_worker_stops_in_time_even_when_redis_is_away() -> anyhow::Result<()> {
    let mut stack: Stack = a_stack().own_redis(mjq_harness::RedisOptions::default()).await?;
    stack.redis()?.kill9()?;

    let exit = stack.workers[0].terminate().await?;

    assert!(exit.status.success() && exit.took < PROMISE, "{exit:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_log_nobody_reads_works_on_and_stops_in_time() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).await?;
    let mut worker = stack.another_worker().set("MJQ_LOG", "trace").unread().start()?;
    worker.wait_ready().await?;
    stack.workers.push(worker);
    // A pipe holds 64 KiB, and a job says more than 2 of them.
    let jobs = foxes(100);

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let exit = stack.workers[0].terminate().await?;
    assert!(exit.status.success() && exit.took < PROMISE, "{exit:?}");
    submitted_once(&stack, jobs.len())
}
