//! A worker that is told to stop while its way to Redis is broken: it is gone in time, and nothing is paid twice.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{Exit, FaultProxy, Network, Stack, WorkerProcess};
use serde_json::json;

/// What the promise allows besides one exchange with the upstream.
const PROMISE: Duration = Duration::from_secs(3);
const EXCHANGE: Duration = Duration::from_millis(400);
const JOBS: usize = 60;

/// Stops a worker in the middle of its work, `network` being what lies between it and Redis by then.
async fn stopped_behind(network: Network) -> anyhow::Result<(Stack, Exit)> {
    let stack = Stack::start().workers(0).set("MJQ_LEASE_MS", 2000).set("MJQ_SLOTS", 20);
    let stack = stack.knobs(|knobs| (knobs.latency, knobs.slots, knobs.queue) = (EXCHANGE.into(), 1000, 1000)).await?;
    let redis = stack.redis_url().trim_start_matches("redis://").trim_end_matches('/');
    let proxy =
        FaultProxy::before(redis.parse::<SocketAddr>().context("the Redis of the tests has no address")?).await?;
    let jobs: Vec<_> = (0..JOBS)
        .map(|n| json!({"id": format!("job-{n}"), "kind": "imagine", "request": {"prompt": format!("fox {n}")}}))
        .collect();
    stack.wire.xadd_jobs(&jobs).await?;
    let worker = WorkerProcess::on(&format!("redis://{}/", proxy.address())).queue(stack.wire.queue());
    let worker = worker.upstream(&stack.simulator.url()).set("MJQ_SLOTS", 20).set("MJQ_LEASE_MS", 2000);
    let mut worker = worker.start()?;
    // Created and not answered yet: their answers come when Redis cannot be told any more.
    stack.eventually("submits are under way", async |stack| Ok(stack.simulator.ledger().len() >= 20)).await?;

    proxy.set(network);
    let exit = worker.terminate().await?;

    Ok((stack, exit))
}

async fn finished_by_another(mut stack: Stack) -> anyhow::Result<usize> {
    stack.add_worker().await?;
    let events = stack.wire.first_events(JOBS).await?;
    assert_eq!(stack.simulator.stats().created_again, 0);
    assert!(events.iter().all(|event| ["ok", "submit_unknown"].contains(&event.code())));
    Ok(events.iter().filter(|event| event.code() == "submit_unknown").count())
}

#[tokio::test]
async fn over_a_half_open_connection_it_leaves_in_time_and_what_it_knows_is_written_over_a_new_one()
-> anyhow::Result<()> {
    let (stack, exit) = stopped_behind(Network::HalfOpen).await?;

    assert!(exit.status.success() && exit.took < PROMISE + EXCHANGE, "{exit:?}");
    assert_eq!(finished_by_another(stack).await?, 0, "an answer was known and is lost");
    Ok(())
}

#[tokio::test]
async fn before_a_black_hole_it_leaves_in_time_and_another_takes_over() -> anyhow::Result<()> {
    let (stack, exit) = stopped_behind(Network::BlackHole).await?;

    assert!(exit.status.success() && exit.took < PROMISE + EXCHANGE, "{exit:?}");
    assert!(finished_by_another(stack).await? <= 20, "more is in doubt than was under way");
    Ok(())
}

#[tokio::test]
async fn an_idle_worker_leaves_in_time_whatever_the_network_does() -> anyhow::Result<()> {
    for network in [Network::HalfOpen, Network::BlackHole, Network::Resets, Network::Refuses] {
        let stack = Stack::start().workers(0).await?;
        let redis = stack.redis_url().trim_start_matches("redis://").trim_end_matches('/');
        let proxy = FaultProxy::before(redis.parse()?).await?;
        let worker = WorkerProcess::on(&format!("redis://{}/", proxy.address())).queue(stack.wire.queue());
        let mut worker = worker.upstream(&stack.simulator.url()).start()?;
        worker.wait_ready().await?;

        proxy.set(network);
        let exit = worker.terminate().await?;

        assert!(exit.status.success() && exit.took < PROMISE, "{network:?}: {exit:?}");
    }
    Ok(())
}
