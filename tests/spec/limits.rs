//! Limits: rates and open tasks over all pods, and an upstream that has too much is asked for less.

use std::time::Duration;

use mjq_harness::{Stack, eventually_within};
use mjq_simulator::busiest_second;
use serde_json::Value;

use crate::support::{a_stack, foxes, imagine, job_view, one_event_for_each, submitted_once, wait_for_phase, with};

#[tokio::test]
async fn no_second_holds_more_submits_or_polls_than_allowed_however_many_workers_there_are() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_UPSTREAM_SUBMIT_RATE", 10).set("MJQ_UPSTREAM_POLL_RATE", 10).await?;
    let jobs = foxes(30);

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let arrivals = stack.simulator.arrivals();
    assert_eq!(arrivals.submits_ms.len(), 30);
    for (what, arrivals_ms) in [("submits", &arrivals.submits_ms), ("polls", &arrivals.polls_ms)] {
        let most = busiest_second(arrivals_ms);
        assert!(most <= 10, "a second with {most} {what}: {arrivals_ms:?}");
        let took_ms = arrivals_ms.iter().max().zip(arrivals_ms.iter().min()).map_or(0, |(last, first)| last - first);
        // Nor is the allowance left unused: thirty need two full seconds, not many more.
        assert!(took_ms < 15_000, "{} {what} took {took_ms} ms", arrivals_ms.len());
    }
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn no_more_tasks_are_open_than_allowed_however_many_workers_there_are() -> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_UPSTREAM_MAX_OPEN", 5).await?;
    let jobs = foxes(40);

    stack.wire.xadd_jobs(&jobs).await?;

    one_event_for_each(&stack, jobs.len()).await?;
    let most = stack.simulator.stats().max_open;
    assert!((2..=5).contains(&most), "{most} tasks were open at once");
    submitted_once(&stack, jobs.len())
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_soon_asked_for_one_job_at_a_time_and_less_and_less_often()
-> anyhow::Result<()> {
    let stack = a_stack().workers(2).set("MJQ_SLOTS", 64).await?;
    let jobs: Vec<_> =
        (0..200).map(|n| imagine(&format!("job-{n}"), &format!("fox {n} [sim: status=429 times=0]"))).collect();
    stack.wire.xadd_jobs(&jobs).await?;

    // One submit after each of three pauses, and each pause longer than the one before.
    let is_asked_less_often = async |stack: &Stack| {
        let arrivals_ms = stack.simulator.arrivals().submits_ms;
        let pauses_ms: Vec<u64> = arrivals_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let is_longer = |pair: &[u64]| pair[0] >= 900 && pair[1] >= pair[0] * 3 / 2;
        Ok(pauses_ms.windows(3).any(|three| three.windows(2).all(is_longer)))
    };
    stack.eventually("it is asked for one job at a time, less and less often", is_asked_less_often).await?;

    let arrivals = stack.simulator.arrivals().submits_ms.len();
    assert!(arrivals < 128, "{arrivals} submits until then: one for each slot");
    Ok(())
}

#[tokio::test]
async fn a_refusal_while_long_tasks_are_open_does_not_keep_all_others_until_those_end() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let long: Vec<_> =
        (0..5).map(|n| imagine(&format!("long-{n}"), &format!("owl {n} [sim: duration=600s]"))).collect();
    stack.wire.xadd_jobs(&long).await?;
    for n in 0..long.len() {
        wait_for_phase(&stack, &format!("long-{n}"), "polling").await?;
    }
    let refused = "a bear [sim: status=429 times=1]";
    stack.xadd_job(&imagine("refused-once", refused)).await?;
    let is_refused = async |stack: &Stack| Ok(stack.simulator.attempted(refused) > 0);
    stack.eventually("it is refused", is_refused).await?;

    let jobs = foxes(20);
    stack.wire.xadd_jobs(&jobs).await?;

    // Ten quiet seconds come first.
    let have_ended = async || Ok(stack.events().await?.len() == jobs.len() + 1);
    eventually_within(Duration::from_secs(120), "all others end", have_ended).await?;
    assert!(stack.events().await?.iter().all(|event| event.code() == "ok" && !event.job().starts_with("long")));
    Ok(())
}

#[tokio::test]
async fn tasks_that_are_never_shown_do_not_keep_others_from_being_polled() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let hidden = |n: usize| imagine(&format!("hidden-{n}"), &format!("bear {n} [sim: fetch=429 fetch_times=0]"));
    stack.wire.xadd_jobs(&(0..5).map(hidden).collect::<Vec<_>>()).await?;
    stack.xadd_job(&imagine("shown", "a fox [sim: duration=60s]")).await?;
    let worker = &stack.workers[0];
    let are_polled = async |times: u64| {
        let what = format!("each was polled {times} times");
        let have_been = async || {
            for n in 0..5 {
                if job_view(worker, &format!("hidden-{n}")).await?["polls"].as_u64() < Some(times) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        eventually_within(Duration::from_secs(60), &what, have_been).await
    };
    let waits_until = async || {
        let queue: Value = serde_json::from_str(&worker.get("/api/v1/queue").await?.1)?;
        anyhow::Ok(queue["counts"]["upstream"]["polls_gate_ms"].as_u64())
    };

    // The first refusals stop all polls: it may be that no task is shown to us any more.
    are_polled(3).await?;
    let waited_until = waits_until().await?;
    are_polled(5).await?;

    assert_eq!(waits_until().await?, waited_until, "refused again, they stop no others");
    Ok(())
}

#[tokio::test]
async fn jobs_that_are_always_refused_do_not_keep_those_behind_them() -> anyhow::Result<()> {
    for refusal in
        ["status=429", "status=503", "code=3 desc=\"无可用的账号实例\"", "status=404 html", "status=403 html"]
    {
        let stack = a_stack().await?;
        let bad = |n: usize| imagine(&format!("bad-{n}"), &format!("bear {n} [sim: {refusal} times=0]"));
        let good = |n: usize| imagine(&format!("good-{n}"), &format!("fox {n}"));
        let jobs: Vec<_> = (0..5).map(bad).chain((0..40).map(good)).collect();

        stack.wire.xadd_jobs(&jobs).await?;

        let what = format!("{refusal}: the good ones end");
        // Each of them may stop the others for some seconds, once.
        let have_ended = async || Ok(stack.events().await?.len() == 40);
        eventually_within(Duration::from_secs(120), &what, have_ended).await?;
        assert!(stack.events().await?.iter().all(|event| event.code() == "ok"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn large_jobs_for_which_a_pod_has_no_memory_do_not_keep_small_ones_behind_them() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_SLOTS", 4).await?;
    let picture = "A".repeat(9 << 20);
    let large = |n: usize| {
        let job = imagine(&format!("large-{n}"), &format!("bear {n} [sim: delay=5s]"));
        with(job, "/request/base64Array", vec![format!("data:image/png;base64,{picture}")])
    };
    for n in 0..12 {
        stack.xadd_job(&large(n)).await?;
    }

    let small = foxes(5);
    stack.wire.xadd_jobs(&small).await?;

    for n in 0..small.len() {
        assert_eq!(stack.event_of(&format!("job-{n}")).await?.code(), "ok");
    }
    let bears = stack.simulator.arrivals().submits_ms.len() - small.len();
    assert!(bears < 8, "{bears} large jobs were submitted before the last small one ended");
    Ok(())
}
