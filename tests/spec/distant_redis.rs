//! A Redis far away, in another region: slower, but nothing that was promised is lost on the way.

use std::time::Duration;

use mjq_simulator::busiest_second;

use crate::support::{FarRedis, a_stack, foxes, one_event_for_each, submitted_once};

#[tokio::test]
async fn rates_hold_and_are_used_where_each_answer_of_redis_takes_a_seventh_of_a_second() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).set("MJQ_UPSTREAM_SUBMIT_RATE", 10).set("MJQ_UPSTREAM_POLL_RATE", 10).await?;
    let far = FarRedis::of(&stack, Duration::from_millis(70)).await?;
    for _ in 0..2 {
        far.add_worker(&mut stack).await?;
    }
    let jobs = foxes(30);

    stack.wire.xadd_jobs(&jobs).await?;

    let events = one_event_for_each(&stack, jobs.len()).await?;
    assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
    let arrivals = stack.simulator.arrivals();
    for (what, arrivals_ms) in [("submits", &arrivals.submits_ms), ("polls", &arrivals.polls_ms)] {
        let most = busiest_second(arrivals_ms);
        assert!((5..=10).contains(&most), "the busiest second has {most} {what}: {arrivals_ms:?}");
    }
    assert_eq!(arrivals.submits_ms.len(), jobs.len());
    assert!(arrivals.polls_ms.len() <= 2 * jobs.len(), "{} polls of {} jobs", arrivals.polls_ms.len(), jobs.len());
    submitted_once(&stack, jobs.len())
}
