//! A backlog of any size is worked off, and claims as quickly as a short one.

use std::time::Duration;

use mjq_harness::{RedisOptions, eventually_within};
use redis::AsyncCommands;

use crate::support::{a_stack, foxes, metric, submitted_once};

const BACKLOG: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_jobs_that_were_there_before_the_first_worker_are_drained() -> anyhow::Result<()> {
    let stack = a_stack().workers(0).own_redis(RedisOptions::default());
    let mut stack = stack.knobs(|knobs| (knobs.slots, knobs.duration) = (1_000_000, Duration::ZERO.into())).await?;
    let jobs = foxes(BACKLOG);
    stack.wire.xadd_jobs(&jobs).await?;

    stack.add_worker().await?;

    let worker = &stack.workers[0];
    let mut redis = stack.wire.redis().await?;
    let (mut claims, mut seconds) = (Vec::new(), Vec::new());
    for part in 1..=4 {
        let enough = BACKLOG / 4 * part;
        eventually_within(Duration::from_secs(120), &format!("{enough} events"), async || {
            Ok(redis.xlen::<_, usize>(stack.wire.key("events")).await? >= enough)
        })
        .await?;
        claims.push(metric(worker, "mjq_claim_seconds_count", "").await?);
        seconds.push(metric(worker, "mjq_claim_seconds_sum", "").await?);
    }
    let events = stack.events().await?;
    let jobs: std::collections::HashSet<&str> = events.iter().map(mjq_harness::Event::job).collect();
    assert_eq!((events.len(), jobs.len()), (BACKLOG, BACKLOG));
    assert!(events.iter().all(|event| event.code() == "ok"));
    submitted_once(&stack, BACKLOG)?;
    // The first quarter had at least 15,000 jobs behind it, the last at most 5,000.
    let mean = |from: usize, to: usize| (seconds[to] - seconds[from]) / (claims[to] - claims[from]).max(1.0);
    let (long, short) = (seconds[0] / claims[0].max(1.0), mean(2, 3));
    assert!(long < 3.0 * short + 0.010, "a claim takes {long} s from a long backlog, {short} s from a short one");
    Ok(())
}
