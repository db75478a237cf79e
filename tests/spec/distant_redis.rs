//! A Redis far away, in another region: slower, but nothing that was promised is lost on the way.

use std::time::Duration;

use mjq_simulator::busiest_second;

use crate::support::{FarRedis, a_stack, action, foxes, imagine, one_event_for_each, submitted_once};

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

#[tokio::test]
async fn at_a_low_rate_a_submit_that_takes_long_to_prepare_is_made_and_keeps_no_other_waiting() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).set("MJQ_UPSTREAM_SUBMIT_RATE", 0.5).await?;
    let far = FarRedis::of(&stack, Duration::from_millis(70)).await?;
    far.add_worker(&mut stack).await?;
    stack.xadd_job(&imagine("grid", "a red fox")).await?;
    assert_eq!(stack.event_of("grid").await?.code(), "ok");

    // It reads its parent first, and its place under the rate has expired by then.
    stack.xadd_job(&action("u1", "grid", "U1")).await?;
    stack.wire.xadd_jobs(&foxes(3)).await?;

    let events = one_event_for_each(&stack, 5).await?;
    assert!(events.values().all(|event| event.code() == "ok"), "{events:?}");
    let submits_ms = stack.simulator.arrivals().submits_ms;
    assert!(submits_ms.windows(2).all(|pair| pair[1] - pair[0] >= 2000), "more than the rate: {submits_ms:?}");
    assert!(submits_ms[4] - submits_ms[0] < 20_000, "the rate is left unused: {submits_ms:?}");
    submitted_once(&stack, 5)
}
