//! Redis may be restarted, killed or frozen: workers stay, wait and go on by themselves.

use std::time::Duration;

use mjq_harness::{RedisOptions, Stack, StackBuilder};
use mjq_simulator::Knobs;

use crate::support::{Cli, a_stack, foxes, imagine, now_ms, one_event_for_each, submitted_once};

fn durable() -> RedisOptions {
    RedisOptions::default().append_only().set("appendfsync", "always")
}

fn a_stack_of_its_own() -> StackBuilder {
    a_stack().workers(2).own_redis(durable()).knobs(|knobs| knobs.duration = Duration::from_secs(1).into())
}

/// All jobs completed, and the workers are the ones that began.
async fn nothing_was_lost(stack: &mut Stack, count: usize) -> anyhow::Result<()> {
    let events = one_event_for_each(stack, count).await?;
    for (job, event) in &events {
        assert_eq!(event.code(), "ok", "{job}: {event:?}");
    }
    for worker in &mut stack.workers {
        assert!(worker.is_running()?);
    }
    submitted_once(stack, count)
}

#[tokio::test]
async fn a_restart_of_redis_in_the_middle_loses_nothing_and_needs_nobody() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    stack.wire.xadd_jobs(&foxes(100)).await?;
    stack.eventually("the first ones are done", async |stack| Ok(stack.events().await?.len() >= 10)).await?;

    stack.redis()?.restart().await?;

    nothing_was_lost(&mut stack, 100).await
}

#[tokio::test]
async fn a_redis_that_is_killed_while_jobs_are_submitted_and_stays_away_loses_nothing() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().knobs(|knobs| knobs.latency = Duration::from_millis(20).into()).await?;
    stack.wire.xadd_jobs(&foxes(200)).await?;
    stack.eventually("it is in the middle", async |stack| Ok(stack.simulator.ledger().len() >= 50)).await?;

    stack.redis()?.kill9()?;
    let worker = &stack.workers[0];
    let is_noticed = async |_: &Stack| Ok(worker.get("/readyz").await?.0 == 503);
    stack.eventually("the worker says that it is not ready", is_noticed).await?;
    stack.redis()?.restart().await?;
    stack.workers[0].wait_ready().await?;

    nothing_was_lost(&mut stack, 200).await
}

#[tokio::test]
async fn a_frozen_redis_is_waited_for() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    stack.wire.xadd_jobs(&foxes(50)).await?;
    stack.eventually("it is in the middle", async |stack| Ok(stack.simulator.ledger().len() >= 10)).await?;

    stack.redis()?.pause()?;
    let worker = &stack.workers[0];
    let is_noticed = async |_: &Stack| Ok(matches!(worker.get("/readyz").await, Ok((503, _))));
    stack.eventually("the worker says that it is not ready", is_noticed).await?;
    stack.redis()?.resume()?;

    nothing_was_lost(&mut stack, 50).await
}

#[tokio::test]
async fn what_the_upstream_answered_while_redis_was_frozen_for_longer_than_a_lease_counts() -> anyhow::Result<()> {
    const LEASE: Duration = Duration::from_secs(1);
    let slow_answers = |knobs: &mut Knobs| knobs.latency = LEASE.into();
    let mut stack = a_stack_of_its_own().set("MJQ_LEASE_MS", LEASE.as_millis()).knobs(slow_answers).await?;
    stack.wire.xadd_jobs(&foxes(100)).await?;
    stack.eventually("submits are under way", async |stack| Ok(stack.simulator.ledger().len() >= 20)).await?;

    stack.redis()?.pause()?;
    // An answer comes one lease after its submit. So each has been waiting for Redis for more than a lease.
    let all_are_old = async |stack: &Stack| {
        let latest_ms = stack.simulator.arrivals().submits_ms.into_iter().max().unwrap_or_default();
        Ok(now_ms() > latest_ms + 2 * LEASE.as_millis() as u64)
    };
    stack.eventually("each answer has been there for longer than a lease", all_are_old).await?;
    stack.redis()?.resume()?;

    nothing_was_lost(&mut stack, 100).await
}

#[tokio::test]
async fn connections_that_redis_cuts_and_scripts_that_it_forgets_are_made_anew() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    stack.wire.xadd_jobs(&foxes(100)).await?;

    for done in [0, 20, 60] {
        stack.eventually("some more are done", async |stack| Ok(stack.events().await?.len() >= done)).await?;
        let mut redis = stack.wire.redis().await?;
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut redis).await?;
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "NORMAL", "SKIPME", "YES"]).exec_async(&mut redis).await?;
    }

    nothing_was_lost(&mut stack, 100).await
}

#[tokio::test]
async fn a_worker_that_starts_before_redis_waits_for_it() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().workers(0).await?;
    stack.wire.xadd_jobs(&foxes(5)).await?;
    stack.redis()?.kill9()?;

    let worker = stack.another_worker().start()?;
    stack.workers.push(worker);
    let worker = &stack.workers[0];
    let is_up = async |_: &Stack| Ok(matches!(worker.get("/livez").await, Ok((200, _))));
    stack.eventually("the worker lives", is_up).await?;
    stack.redis()?.restart().await?;

    nothing_was_lost(&mut stack, 5).await
}

#[tokio::test]
async fn a_full_redis_takes_no_new_jobs_and_lets_the_old_ones_end() -> anyhow::Result<()> {
    let mut stack = a_stack_of_its_own().await?;
    stack.wire.xadd_jobs(&foxes(50)).await?;
    let are_admitted = async |stack: &Stack| {
        let left: u64 =
            redis::cmd("XLEN").arg(stack.wire.key("jobs")).query_async(&mut stack.wire.redis().await?).await?;
        Ok(left == 0 && stack.simulator.ledger().len() == 50)
    };
    stack.eventually("all are submitted", are_admitted).await?;

    let mut redis = stack.wire.redis().await?;
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec_async(&mut redis).await?;

    let refusal = stack.xadd_job(&imagine("one-more", "one more")).await.err();
    let refusal = refusal.map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(refusal.contains("OOM"), "{refusal:?}");
    nothing_was_lost(&mut stack, 50).await?;
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec_async(&mut redis).await?;
    stack.xadd_job(&imagine("one-more", "one more")).await?;
    nothing_was_lost(&mut stack, 51).await
}

#[tokio::test]
async fn while_redis_is_full_workers_start_and_show_themselves_and_operators_can_pause() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(1).own_redis(RedisOptions::default()).await?;
    // By then the job stream has its group, which a full Redis would not take.
    stack.xadd_job(&imagine("first", "a red fox")).await?;
    stack.event_of("first").await?;
    let mut redis = stack.wire.redis().await?;
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec_async(&mut redis).await?;
    redis::cmd("DEL").arg(stack.wire.key("workers")).exec_async(&mut redis).await?;

    let mut worker = stack.another_worker().set("MJQ_HOOK_URL", "http://127.0.0.1:1").start()?;
    worker.wait_ready().await?;
    stack.workers.push(worker);
    let both_show = async |stack: &Stack| {
        let shown: u64 =
            redis::cmd("HLEN").arg(stack.wire.key("workers")).query_async(&mut stack.wire.redis().await?).await?;
        Ok(shown == 2)
    };
    stack.eventually("both workers are on the list", both_show).await?;
    let run = Cli::on(&stack, &["pause"])?.run().await?;

    assert_eq!(run.code, 0, "{run:?}");
    Ok(())
}
