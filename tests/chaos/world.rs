//! The world of a run: a Redis of its own, the upstream with its books, pods with workers, and a network in between.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use mjq_harness::{FaultProxy, Network, RedisOptions, RedisProcess, Wire};
use mjq_simulator::Simulator;
use tokio::sync::Mutex;

use crate::collect::memory_bytes;
use crate::plan::{Adoption, Plan};
use crate::pod::{Pod, Recipe, fresh_log_dir};

/// Everything that runs. Each part can be broken while the others are used.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) wire: Wire,
    pub(crate) redis_url: String,
    pub(crate) redis: Mutex<RedisProcess>,
    pub(crate) simulator: Mutex<Simulator>,
    pub(crate) simulator_url: String,
    pub(crate) pods: Vec<Mutex<Pod>>,
    pub(crate) http: reqwest::Client,
    /// What Redis held before the first job.
    pub(crate) memory_before_bytes: u64,
    /// Where the upstream's callbacks come in; leads to one of the workers.
    hooks: FaultProxy,
}

impl World {
    /// Starts everything and waits until all workers are ready.
    pub(crate) async fn start(plan: Plan, program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let log_dir = fresh_log_dir(dir, plan.seed)?;
        // Every answer of Redis is on the disk: what comes back after a kill is what was said before.
        let redis = RedisProcess::spawn(RedisOptions::default().append_only().set("appendfsync", "always")).await?;
        let mut knobs = plan.knobs();
        knobs.log = Some(log_dir.join("bill.jsonl"));
        let simulator = Simulator::start(knobs).await?;
        let (redis_address, upstream) = (address_of(&redis.url())?, address_of(&simulator.url())?);
        let hooks = FaultProxy::before(upstream).await?;
        let queue = format!("chaos-{}", plan.seed);
        let mut settings = plan.settings();
        if plan.adoption == Adoption::Hook {
            settings.push(("MJQ_HOOK_URL", format!("http://{}", hooks.address())));
        }
        let recipe = Recipe { program: program.to_owned(), queue: queue.clone(), settings, log_dir };
        let mut pods = Vec::new();
        for number in 1..=plan.workers {
            let mut pod = Pod::new(format!("worker-{number}"), recipe.clone(), redis_address, upstream).await?;
            pod.start()?;
            pods.push(Mutex::new(pod));
        }
        let http = reqwest::Client::builder().no_proxy().build().context("could not make an HTTP client")?;
        let mut world = Self {
            plan,
            wire: Wire::new(&redis.url(), &queue),
            redis_url: redis.url(),
            redis: Mutex::new(redis),
            simulator_url: simulator.url(),
            simulator: Mutex::new(simulator),
            pods,
            http,
            memory_before_bytes: 0,
            hooks,
        };
        for pod in &world.pods {
            pod.lock().await.wait_ready().await?;
        }
        world.lead_hooks().await;
        world.memory_before_bytes = memory_bytes(&world.wire).await?;
        Ok(world)
    }

    /// Leads callbacks to a worker that is there.
    pub(crate) async fn lead_hooks(&self) {
        for pod in &self.pods {
            if let Some(admin) = pod.try_lock().ok().and_then(|pod| pod.admin()) {
                self.hooks.lead_to(admin);
                return;
            }
        }
    }

    /// Makes everything whole again.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        let well = self.plan.knobs();
        let mut simulator = self.simulator.lock().await;
        simulator.resume().await?;
        simulator.knobs(|knobs| {
            (knobs.submit_faults, knobs.fetch_faults) = (well.submit_faults, well.fetch_faults);
            (knobs.slots, knobs.queue) = (well.slots, well.queue);
        });
        drop(simulator);
        for pod in &self.pods {
            let mut pod = pod.lock().await;
            pod.redis.set(Network::Fine);
            pod.upstream.set(Network::Fine);
            pod.thaw()?;
        }
        self.lead_hooks().await;
        Ok(())
    }
}

/// The host and port of a URL.
fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.trim_end_matches('/').parse().with_context(|| format!("{url} has no address"))
}
