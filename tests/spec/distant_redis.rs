//! A Redis far away, in another region: slower, but nothing that was promised is lost on the way.

use std::time::Duration;

use anyhow::Context;
use mjq_harness::{FaultProxy, Network};
use mjq_simulator::busiest_second;

use crate::support::{a_stack, imagine, one_event_for_each, submitted_once};

#[tokio::test]
async fn rates_hold_and_are_used_where_each_answer_of_redis_takes_a_seventh_of_a_second() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).set("MJQ_UPSTREAM_SUBMIT_RATE", 10).set("MJQ_UPSTREAM_POLL_RATE", 10).await?;
    let redis = stack.redis_url().strip_prefix("redis://").context("a plain Redis")?.trim_end_matches('/').to_owned();
    let proxy = FaultProxy::before(redis.parse()?).await?;
    proxy.set(Network::Slow(Duration::from_millis(70)));
    for _ in 0..2 {
        let url = format!("redis://{}", proxy.address());
        let mut worker = stack.another_worker().set("MJQ_REDIS_URL", url).start()?;
        worker.wait_ready().await?;
        stack.workers.push(worker);
    }
    let jobs: Vec<_> = (0..30).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect();

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let arrivals = stack.simulator.arrivals();
    for (what, arrivals_ms) in [("submits", &arrivals.submits_ms), ("polls", &arrivals.polls_ms)] {
        let most = busiest_second(arrivals_ms);
        assert!(most <= 10, "a second with {most} {what}: {arrivals_ms:?}");
        assert!(arrivals_ms.len() < 120, "{} {what} for 30 jobs", arrivals_ms.len());
    }
    submitted_once(&stack, jobs.len())
}
