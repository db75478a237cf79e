//! The producer library: enqueue, read events in a group, take over what a dead consumer left.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{FaultProxy, Network, RedisOptions, Stack, eventually, unique_queue};
use mjq_producer::contract::{Command, EventType, Job, JobId, QueueName};
use mjq_producer::{ActionJob, Delivery, EnqueueError, EventReader, ImagineJob, Producer, ReadError};
use redis::AsyncCommands;

use crate::support::{ClusterNode, a_stack, submitted_once};

async fn producer(stack: &Stack) -> anyhow::Result<Producer> {
    Ok(Producer::connect(stack.redis_url(), &QueueName::new(stack.wire.queue())?).await?)
}

async fn reader(stack: &Stack, group: &str, consumer: &str) -> anyhow::Result<EventReader> {
    Ok(EventReader::join(stack.redis_url(), &QueueName::new(stack.wire.queue())?, group, consumer).await?)
}

/// Reads until there are `count`, without acknowledging.
async fn read(reader: &EventReader, count: usize) -> anyhow::Result<Vec<Delivery>> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let more = reader.read(Duration::from_secs(10)).await?;
        anyhow::ensure!(!more.is_empty(), "only {} of {count} events", deliveries.len());
        deliveries.extend(more);
    }
    Ok(deliveries)
}

fn jobs(count: usize) -> anyhow::Result<Vec<Job>> {
    (0..count).map(|n| Ok(ImagineJob::new(&format!("fox {n}")).id(&format!("job-{n}")).build()?)).collect()
}

#[tokio::test]
async fn a_job_goes_in_and_its_event_comes_out_once_for_each_group() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (producer, billing) = (producer(&stack).await?, reader(&stack, "billing", "one").await?);
    let job = ImagineJob::new("a red fox").id("order-1842").state("nul \0 and 🦊").then_button("U1").build()?;

    let id = producer.enqueue(&job).await?;

    assert_eq!(id.as_str(), "order-1842");
    let deliveries = read(&billing, 2).await?;
    let event = &deliveries[0].event;
    assert_eq!(
        (event.event_type, event.job.as_str(), event.state.as_str()),
        (EventType::Completed, "order-1842", "nul \0 and 🦊")
    );
    assert_eq!(
        (event.data.then.as_slice(), event.data.attempts),
        ([JobId::new(&deliveries[1].event.job)?].as_slice(), 1)
    );
    assert_eq!(deliveries[1].event.data.follows.as_ref(), Some(&id));
    billing.acknowledge(&deliveries).await?;
    assert!(billing.read(Duration::ZERO).await?.is_empty());
    // A group that comes later sees what is still there.
    assert_eq!(read(&reader(&stack, "archive", "one").await?, 2).await?.len(), 2);
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn a_job_without_an_id_is_known_by_what_enqueue_returns() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let id = producer(&stack).await?.enqueue(&ImagineJob::new("a red fox").build()?).await?;

    assert_eq!(stack.event_of(id.as_str()).await?.outcome(), "completed");
    Ok(())
}

#[tokio::test]
async fn a_job_that_a_clusters_client_sends_twice_has_one_id() -> anyhow::Result<()> {
    let proxy = FaultProxy::before(([127, 0, 0, 1], 1).into()).await?;
    let cluster = ClusterNode::start_behind(proxy.address().port()).await?;
    proxy.lead_to(cluster.server_url().trim_start_matches("redis://").trim_end_matches('/').parse()?);
    let queue = QueueName::new(&unique_queue())?;
    let producer = Producer::connect(&format!("redis+cluster://{}/", proxy.address()), &queue).await?;
    let mut server = redis::Client::open(cluster.server_url())?.get_multiplexed_async_connection().await?;
    let job = ImagineJob::new("a red fox").build()?;

    // The entry arrives, its answer does not.
    proxy.set(Network::Slow(Duration::from_millis(500)));
    let enqueueing = tokio::spawn(async move { producer.enqueue(&job).await });
    eventually("the entry arrives", async || Ok(server.xlen::<_, usize>(queue.jobs_stream()).await? == 1)).await?;
    proxy.set(Network::Breaks);
    let id = enqueueing.await??;

    let entries: redis::streams::StreamRangeReply = server.xrange_all(queue.jobs_stream()).await?;
    let ids = entries.ids.iter().map(|entry| {
        let job: Job = serde_json::from_str(&entry.get::<String>("job").context("no job")?)?;
        anyhow::Ok(job.id)
    });
    assert_eq!(ids.collect::<anyhow::Result<Vec<_>>>()?, [Some(id.clone()), Some(id)]);
    Ok(())
}

#[tokio::test]
async fn many_jobs_are_enqueued_in_order_and_asked_for_again_without_harm() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).await?;
    let (producer, jobs) = (producer(&stack).await?, jobs(1_200)?);

    let ids = producer.enqueue_many(&jobs).await?;
    producer.enqueue_many(&jobs).await?;

    let wanted: Vec<String> = (0..1_200).map(|n| format!("job-{n}")).collect();
    assert_eq!(ids.iter().map(JobId::as_str).collect::<Vec<_>>(), wanted);
    assert_eq!(stack.wire.redis().await?.xlen::<_, usize>(stack.wire.key("jobs")).await?, 2_400);
    stack.add_worker().await?;
    stack.wire.first_events(1_200).await?;
    stack
        .eventually("all are admitted", async |stack| {
            Ok(stack.wire.redis().await?.xlen::<_, usize>(stack.wire.key("jobs")).await? == 0)
        })
        .await?;
    assert_eq!(stack.events().await?.len(), 1_200);
    submitted_once(&stack, 1_200)
}

#[tokio::test]
async fn members_of_a_group_share_its_events() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (one, two) = (reader(&stack, "billing", "one").await?, reader(&stack, "billing", "two").await?);
    producer(&stack).await?.enqueue_many(&jobs(250)?).await?;
    stack.wire.first_events(250).await?;

    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        ones.extend(one.read(Duration::ZERO).await?);
        twos.extend(two.read(Duration::ZERO).await?);
    }

    assert!(!ones.is_empty() && !twos.is_empty(), "{} and {} events", ones.len(), twos.len());
    assert_eq!(ones.len() + twos.len(), 250);
    let jobs: BTreeSet<_> = ones.iter().chain(&twos).map(|delivery| delivery.event.job.as_str()).collect();
    assert_eq!(jobs.len(), 250);
    Ok(())
}

#[tokio::test]
async fn what_a_dead_consumer_did_not_acknowledge_is_taken_over_by_another() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    producer(&stack).await?.enqueue_many(&jobs(10)?).await?;
    stack.wire.first_events(10).await?;
    let dead = reader(&stack, "billing", "dead").await?;
    let left: Vec<String> = read(&dead, 10).await?.into_iter().map(|delivery| delivery.entry).collect();
    drop(dead);

    let heir = reader(&stack, "billing", "heir").await?;
    // A minute is the default: nobody is robbed who is only slow.
    assert!(heir.read(Duration::ZERO).await?.is_empty());
    let heir = heir.taking_over_after(Duration::ZERO);
    let taken = read(&heir, 10).await?;

    assert_eq!(taken.iter().map(|delivery| delivery.entry.clone()).collect::<Vec<_>>(), left);
    heir.acknowledge(&taken).await?;
    assert!(heir.read(Duration::ZERO).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn many_unacknowledged_events_are_not_searched_with_every_read() -> anyhow::Result<()> {
    let stack = a_stack().workers(0).own_redis(RedisOptions::default()).await?;
    let mut redis = stack.wire.redis().await?;
    let (busy, other) = (reader(&stack, "billing", "busy").await?, reader(&stack, "billing", "other").await?);
    let mut events = redis::pipe();
    for n in 0..5_000 {
        let fields = [("type", "completed"), ("code", "ok"), ("data", "{}"), ("job", &format!("job-{n}"))];
        events.xadd(stack.wire.key("events"), "*", &fields).ignore();
    }
    events.exec_async(&mut redis).await?;
    read(&busy, 5_000).await?;

    for _ in 0..20 {
        assert!(other.read(Duration::ZERO).await?.is_empty());
    }

    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await?;
    let searches = stats.lines().find_map(|line| line.strip_prefix("cmdstat_xautoclaim:calls=")?.split(',').next());
    let searches: usize = searches.context("it was never called")?.parse()?;
    assert!(searches <= 10, "{searches} calls, though nothing can have been abandoned for a minute");
    Ok(())
}

#[tokio::test]
async fn a_read_ends_in_time_also_while_unreadable_entries_keep_coming() -> anyhow::Result<()> {
    let stack = a_stack().workers(0).await?;
    let (mut redis, key) = (stack.wire.redis().await?, stack.wire.key("events"));
    let billing = reader(&stack, "billing", "one").await?;
    let unreadable = async {
        while redis.xadd::<_, _, _, _, String>(&key, "*", &[("type", "dreamt")]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };

    let deliveries = tokio::select! {
        read = tokio::time::timeout(Duration::from_secs(5), billing.read(Duration::from_secs(1))) => read??,
        () = unreadable => anyhow::bail!("redis is gone"),
    };

    assert!(deliveries.is_empty() && !billing.take_unreadable().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_command_cancels_a_job() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let (producer, billing) = (producer(&stack).await?, reader(&stack, "billing", "one").await?);
    let id = producer.enqueue(&ImagineJob::new("a red fox [sim: stuck=46%]").build()?).await?;

    producer.send(&Command::Cancel(id.clone())).await?;

    let deliveries = read(&billing, 1).await?;
    assert_eq!((deliveries[0].event.event_type, deliveries[0].event.job.as_str()), (EventType::Cancelled, id.as_str()));
    Ok(())
}

#[tokio::test]
async fn an_action_built_by_the_library_presses_the_button() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let producer = producer(&stack).await?;

    producer.enqueue(&ImagineJob::new("a red fox").id("grid").build()?).await?;
    producer.enqueue(&ActionJob::button_of("grid", "U1").id("u1").build()?).await?;
    let grid = stack.event_of("grid").await?;
    let custom_id = grid.data()?["buttons"][1]["customId"].as_str().unwrap_or_default().to_owned();
    producer.enqueue(&ActionJob::custom_id(grid.field("task"), &custom_id).id("u2").build()?).await?;

    for job in ["u1", "u2"] {
        assert_eq!(stack.event_of(job).await?.outcome(), "completed", "{job}");
    }
    submitted_once(&stack, 3)
}

#[tokio::test]
async fn nothing_is_sent_of_a_batch_with_an_invalid_job() -> anyhow::Result<()> {
    let stack = a_stack().workers(0).await?;
    let mut jobs = jobs(3)?;
    jobs[2].options.deadline_s = Some(0);

    let error = producer(&stack).await?.enqueue_many(&jobs).await;

    assert!(matches!(error, Err(EnqueueError::Invalid(_))), "{error:?}");
    assert_eq!(stack.wire.redis().await?.xlen::<_, usize>(stack.wire.key("jobs")).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_job_that_is_larger_than_workers_take_is_refused_before_it_is_sent() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let producer = Producer::connect(stack.redis_url(), &stack.wire.queue().parse()?).await?.with_max_job_bytes(2_000);
    let job = |length: usize| ImagineJob::new(&"x".repeat(length)).id(&format!("order-{length}")).build();

    let refused = producer.enqueue_many(&[job(1_000)?, job(2_000)?]).await;
    let taken = producer.enqueue(&job(1_500)?).await?;

    assert!(matches!(refused, Err(EnqueueError::TooLarge { max_bytes: 2_000, .. })), "{refused:?}");
    assert_eq!(stack.event_of(taken.as_str()).await?.code(), "ok");
    assert_eq!(stack.events().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_an_error_and_not_a_hang() -> anyhow::Result<()> {
    let queue = QueueName::new("default")?;
    let nowhere = format!("redis://127.0.0.1:{}/", mjq_harness::free_port()?);

    let enqueued = Producer::connect(&nowhere, &queue).await;
    let joined = EventReader::join(&nowhere, &queue, "billing", "one").await;

    assert!(matches!(enqueued, Err(EnqueueError::Redis { .. })), "{enqueued:?}");
    assert!(matches!(joined, Err(ReadError::Redis { .. })), "{joined:?}");
    Ok(())
}
