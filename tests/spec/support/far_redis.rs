//! A Redis in another region, for some of the workers.

use std::time::Duration;

use anyhow::Context;
use mjq_harness::{FaultProxy, Network, Stack};

/// The way to the Redis of a stack, on which all takes longer.
pub(crate) struct FarRedis(FaultProxy);

impl FarRedis {
    /// Each command and each answer takes `one_way` longer.
    pub(crate) async fn of(stack: &Stack, one_way: Duration) -> anyhow::Result<Self> {
        let redis = stack.redis_url().strip_prefix("redis://").context("not a plain Redis")?.trim_end_matches('/');
        let proxy = FaultProxy::before(redis.parse()?).await?;
        proxy.set(Network::Slow(one_way));
        Ok(Self(proxy))
    }

    /// Starts one more worker of the stack on this side of it.
    pub(crate) async fn add_worker(&self, stack: &mut Stack) -> anyhow::Result<()> {
        let url = format!("redis://{}", self.0.address());
        let mut worker = stack.another_worker().set("MJQ_REDIS_URL", url).start()?;
        worker.wait_ready().await?;
        stack.workers.push(worker);
        Ok(())
    }
}
