//! Eviction: whether Redis deletes jobs when its memory is full.

use super::Ledger;

impl Ledger {
    /// The `maxmemory-policy` if it lets Redis evict keys; `None` if not, or if Redis does not tell.
    ///
    /// One try is enough: many managed servers know no `CONFIG`, and a Cluster answers for each node. `mjq doctor` uses
    /// another way.
    pub async fn evicting_policy(&self) -> Option<String> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy");
        let told: Vec<String> = self.link().query(&command).await.ok()?;
        told.into_iter().nth(1).filter(|policy| policy != "noeviction")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::{RedisLink, contract::QueueName};
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn policy_of(url: &str) -> Option<String> {
        let (link, day) = (RedisLink::open(url).unwrap(), Duration::from_secs(86_400));
        Ledger::new(link, QueueName::default(), day, CancellationToken::new()).evicting_policy().await
    }

    #[tokio::test]
    async fn a_redis_that_keeps_its_keys_and_one_that_does_not_tell_evict_nothing() -> anyhow::Result<()> {
        let redis = mjq_harness::shared_redis().await?;
        assert_eq!(policy_of(redis.url()).await, None);

        assert_eq!(policy_of("redis://127.0.0.1:1").await, None, "nobody is waited for");
        Ok(())
    }
}
