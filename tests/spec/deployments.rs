//! Producers, readers and workers run on a Cluster, behind Sentinels and over TLS as on a plain Redis.

use std::time::Duration;

use mjq_harness::{WorkerProcess, unique_queue};
use mjq_producer::contract::QueueName;
use mjq_producer::{EventReader, ImagineJob, Producer};
use mjq_simulator::{Knobs, Simulator};

use crate::support::{Cli, ClusterNode, SentinelPair, TlsRedis};

/// Enqueues by the library, lets a worker work, and reads by the library, all over this URL.
async fn jobs_complete_over(url: &str) -> anyhow::Result<()> {
    let knobs = Knobs { slots: 5, queue: 100, duration: Duration::from_millis(100).into(), ..Knobs::default() };
    let simulator = Simulator::start(knobs).await?;
    let queue = unique_queue();
    let mut worker = WorkerProcess::on(url)
        .queue(&queue)
        .upstream(&simulator.url())
        .set("MJQ_POLL_MIN_MS", 50)
        .set("MJQ_POLL_MAX_MS", 200)
        .set("MJQ_UPSTREAM_POLL_RATE", 0)
        .start()?;
    let queue = QueueName::new(&queue)?;
    let producer = Producer::connect(url, &queue).await?;
    let reader = EventReader::join(url, &queue, "billing", "one").await?;
    let jobs = (0..30).map(|n| ImagineJob::new(&format!("fox {n}")).id(&format!("job-{n}")).then_button("U1").build());
    let jobs = jobs.collect::<Result<Vec<_>, _>>()?;

    producer.enqueue_many(&jobs).await?;

    let mut completed = 0;
    while completed < 60 {
        let deliveries = reader.read(Duration::from_secs(10)).await?;
        assert!(!deliveries.is_empty(), "only {completed} of 60 events\n{}", worker.logs());
        assert!(deliveries.iter().all(|delivery| delivery.event.code.as_str() == "ok"), "{deliveries:?}");
        reader.acknowledge(&deliveries).await?;
        completed += deliveries.len();
    }
    assert_eq!((simulator.stats().created, simulator.stats().created_again), (60, 0));
    worker.wait_ready().await?;
    assert!(worker.terminate().await?.status.success());
    Ok(())
}

#[tokio::test]
async fn jobs_complete_on_a_cluster() -> anyhow::Result<()> {
    let cluster = ClusterNode::start().await?;

    jobs_complete_over(&cluster.url()).await
}

#[tokio::test]
async fn jobs_complete_behind_a_sentinel() -> anyhow::Result<()> {
    let pair = SentinelPair::start().await?;

    jobs_complete_over(&pair.url()).await
}

#[tokio::test]
async fn jobs_complete_over_tls() -> anyhow::Result<()> {
    let redis = TlsRedis::start().await?;
    let simulator = Simulator::start(Knobs { duration: Duration::from_millis(100).into(), ..Knobs::default() }).await?;
    let certificate = redis.certificate().display().to_string();
    // By processes, since whom to trust comes from the environment, and a test must not change its own.
    let _worker = WorkerProcess::on(&redis.url())
        .upstream(&simulator.url())
        .set("SSL_CERT_FILE", &certificate)
        .set("MJQ_POLL_MIN_MS", 50)
        .start()?;

    let enqueue = Cli::new(&["enqueue", "imagine", "--prompt", "a red fox", "--wait"])?;
    let run = enqueue.set("MJQ_REDIS_URL", &redis.url()).set("SSL_CERT_FILE", &certificate).run().await?;

    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(simulator.created("a red fox"), 1);
    Ok(())
}

#[tokio::test]
async fn a_redis_with_a_certificate_that_nobody_vouches_for_is_not_talked_to() -> anyhow::Result<()> {
    let redis = TlsRedis::start().await?;

    let run = Cli::new(&["enqueue", "imagine", "--prompt", "x"])?.set("MJQ_REDIS_URL", &redis.url()).run().await?;

    assert_eq!(run.code, 69, "{run:?}");
    Ok(())
}
