//! A Redis that does not allow something: no outage to be waited for, but somebody's mistake, and said so.

use std::time::{Duration, Instant};

use anyhow::Context;
use mjq_harness::{RedisOptions, Stack};
use serde_json::Value;

use crate::support::{Cli, a_stack, imagine, one_event_for_each, submitted_once};

/// Runs an ACL command as a user who stays all-powerful.
async fn acl(stack: &Stack, words: &[&str]) -> anyhow::Result<()> {
    let url = stack.redis_url().replacen("redis://", "redis://boss:boss@", 1);
    let mut boss = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("ACL").arg(words).query_async(&mut boss).await?)
}

async fn a_stack_with_users(workers: usize) -> anyhow::Result<Stack> {
    let stack = a_stack().workers(workers).own_redis(RedisOptions::default()).await?;
    let rights = ["SETUSER", "boss", "on", ">boss", "~*", "&*", "+@all"];
    let _: () = redis::cmd("ACL").arg(&rights).query_async(&mut stack.wire.redis().await?).await?;
    Ok(stack)
}

#[tokio::test]
async fn a_command_that_redis_does_not_allow_fails_at_once_and_names_the_right() -> anyhow::Result<()> {
    let stack = a_stack_with_users(1).await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: fail=\"Job Timeout\"]")).await?;
    stack.event_of("order-1842").await?;
    acl(&stack, &["SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-evalsha", "-eval", "-xadd", "-xreadgroup"])
        .await?;
    let as_reader = |login: &str| stack.redis_url().replacen("redis://", &format!("redis://{login}@"), 1);

    for (words, login, wanted) in [
        (&["retry", "order-1842"][..], "reader:pw", "NOPERM"),
        (&["pause"], "reader:pw", "NOPERM"),
        (&["cancel", "order-1843"], "reader:pw", "NOPERM"),
        (&["events", "--group", "billing"], "reader:pw", "NOPERM"),
        (&["jobs"], "reader:wrong", "WRONGPASS"),
        (&["events"], "reader:wrong", "WRONGPASS"),
        (&["retry", "order-1842"], "nobody:pw", "WRONGPASS"),
    ] {
        let began = Instant::now();
        let run = Cli::on(&stack, words)?.set("MJQ_REDIS_URL", &as_reader(login)).run().await?;

        assert_eq!(run.code, 1, "{words:?}: {run:?}");
        assert!(run.stderr.contains(wanted) && run.stderr.contains("MJQ_REDIS_URL"), "{words:?}: {run:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{words:?} took {:?}", began.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_that_lost_its_rights_says_so_and_goes_on_when_it_has_them_again() -> anyhow::Result<()> {
    let mut stack = a_stack_with_users(1).await?;

    acl(&stack, &["SETUSER", "default", "-evalsha", "-eval"]).await?;
    stack.xadd_job(&imagine("order-1842", "a red fox")).await?;
    let worker = &stack.workers[0];
    let is_loud = async |_: &Stack| {
        let (status, body) = worker.get("/readyz").await?;
        let body: Value = serde_json::from_str(&body)?;
        let names_the_right = body["denials"][0].as_str().is_some_and(|words| words.contains("NOPERM"));
        Ok(status == 503 && body["redis_answers"] == true && names_the_right)
    };
    stack.eventually("it says what it may not do", is_loud).await?;
    assert_eq!(worker.get("/livez").await?.0, 200);
    assert!(worker.logs().contains("redis refuses"), "{}", worker.logs());
    acl(&stack, &["SETUSER", "default", "+evalsha", "+eval"]).await?;

    assert_eq!(stack.event_of("order-1842").await?.code(), "ok");
    stack.workers[0].wait_ready().await?;
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn a_right_that_is_taken_away_while_jobs_move_loses_none_of_them() -> anyhow::Result<()> {
    for right in ["zadd", "mset", "xadd", "set", "zrem"] {
        let mut stack = a_stack_with_users(0).await?;
        acl(&stack, &["SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all"]).await?;
        let url = stack.redis_url().replacen("redis://", "redis://worker:pw@", 1);
        let mut worker = stack.another_worker().set("MJQ_REDIS_URL", url).start()?;
        worker.wait_ready().await?;
        stack.workers.push(worker);
        let jobs = |from: usize| (from..from + 20).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}")));
        stack.wire.xadd_jobs(&jobs(0).collect::<Vec<_>>()).await?;
        stack.eventually("some are under way", async |stack| Ok(stack.simulator.ledger().len() >= 3)).await?;

        acl(&stack, &["SETUSER", "worker", &format!("-{right}")]).await?;
        stack.wire.xadd_jobs(&jobs(20).collect::<Vec<_>>()).await?;
        let is_loud = async |stack: &Stack| Ok(stack.workers[0].get("/readyz").await?.0 == 503);
        stack.eventually("it says what it may not do", is_loud).await?;
        acl(&stack, &["SETUSER", "worker", &format!("+{right}")]).await?;

        let events = one_event_for_each(&stack, 40).await.with_context(|| format!("without {right}"))?;
        assert!(events.values().all(|event| event.code() == "ok"), "without {right}: {events:?}");
        let stats = stack.simulator.stats();
        assert_eq!((stats.created, stats.created_again), (40, 0), "{right}");
    }
    Ok(())
}
