//! Pods: which workers are live.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use redis::RedisResult;

use super::{Abandoned, Ledger, arg, scripts};

impl Ledger {
    /// Shows this pod on the list of live workers, and returns how many pods are on it. A failed call is not repeated,
    /// because the next beat comes soon.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn show_worker(&self, pod: &str, beat: &str) -> RedisResult<usize> {
        let args: &[Vec<u8>] = &[arg(pod), arg(beat), arg(self.0.retention.as_millis())];
        let (pods, shortest_ms): (usize, u64) = scripts::BEAT.run(self.link(), &self.0.prefix, &args).await?;
        self.0.pods_seen.note(pods);
        self.0.kept_for_ms.store(shortest_ms, Ordering::Relaxed);
        Ok(pods)
    }

    /// How long all pods keep the record of an ended job: the shortest retention of any pod, as last heard.
    #[must_use]
    pub fn kept_for(&self) -> Duration {
        self.0.retention.min(Duration::from_millis(self.0.kept_for_ms.load(Ordering::Relaxed)))
    }

    /// Takes `pod` off the list of live workers.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn hide_worker(&self, pod: &str) -> RedisResult<()> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.key("workers")).arg(pod);
        self.link().query::<u64>(&command).await.map(|_| ())
    }

    /// Takes pods that have been silent for `long` off the list of live workers, and returns how many.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn forget_pods(&self, long: Duration) -> Result<u64, Abandoned> {
        self.call(&scripts::FORGET, &[arg(long.as_millis())]).await
    }
}

/// How many pods were on the list at the latest beats. After a failover, Redis's own list may be older than these.
#[derive(Debug, Default)]
pub(super) struct PodsSeen(Mutex<VecDeque<usize>>);

impl PodsSeen {
    /// How many beats are remembered: enough for a count from before a failover to survive the first beats after it.
    const BEATS: usize = 4;

    fn note(&self, pods: usize) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.truncate(Self::BEATS - 1);
        seen.push_front(pods);
    }

    /// The largest of the counts; 0 before the first beat.
    pub(super) fn most(&self) -> usize {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::{RedisLink, contract::QueueName};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_pod_takes_for_lost_only_what_no_pod_can_have_swept() -> anyhow::Result<()> {
        let redis = mjq_harness::shared_redis().await?;
        let queue: QueueName = mjq_harness::unique_queue().parse()?;
        let a_pod = |retention: u64| {
            let link = RedisLink::open(redis.url())?;
            let retention = Duration::from_secs(retention);
            anyhow::Ok(Ledger::new(link, queue.clone(), retention, CancellationToken::new()))
        };
        let (long, short) = (a_pod(3600)?, a_pod(60)?);
        assert_eq!(long.kept_for(), Duration::from_secs(3600));

        for (name, pod) in [("a", &long), ("b", &short), ("a", &long)] {
            pod.show_worker(name, "{}").await?;
        }
        assert_eq!((long.kept_for(), short.kept_for()), (Duration::from_secs(60), Duration::from_secs(60)));

        // No pod has had this retention for an hour.
        let mut command = redis::cmd("HSET");
        command.arg(long.key("upstream")).arg("retention_seen_ms").arg(1);
        long.link().query::<u64>(&command).await?;
        long.show_worker("a", "{}").await?;
        assert_eq!(long.kept_for(), Duration::from_secs(3600));
        Ok(())
    }

    #[test]
    fn a_shorter_list_is_believed_after_a_while() {
        let seen = PodsSeen::default();
        assert_eq!(seen.most(), 0);

        let most: Vec<usize> = [3, 1, 1, 1, 1].map(|pods| (seen.note(pods), seen.most()).1).into();

        assert_eq!(most, [3, 3, 3, 3, 1]);
    }
}
