//! The nemesis: breaks one thing after the other, as its dice have it, and mends each after a while.
//!
//! Two of them are at work at the same time, one on processes and one on what lies between them, so that faults meet.

use std::sync::Arc;
use std::time::Duration;

use mjq_simulator::{Fault, FetchStep, Odds, RetryAfter, SubmitStep};
use tokio::sync::watch;
use tokio::time::Instant;

use mjq_harness::Network;

use crate::args::Preset;
use crate::books::{Books, now_ms};
use crate::dice::Dice;
use crate::plan::Plan;
use crate::world::World;

/// What the nemesis works with.
#[derive(Clone)]
pub(crate) struct Nemesis {
    pub(crate) world: Arc<World>,
    pub(crate) books: Arc<Books>,
    pub(crate) dice: Dice,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What happens to processes.
pub(crate) const PROCESS_FAULTS: [&str; 6] =
    ["kill -9 worker", "kill -9 worker", "freeze worker", "replace worker", "kill -9 redis", "freeze redis"];

const OTHER_FAULTS: [&str; 11] = [
    "redis client pause",
    "redis client kill",
    "redis script flush",
    "upstream away",
    "upstream loses answers",
    "upstream fails polls",
    "upstream is full",
    "network to redis",
    "network to redis",
    "network to upstream",
    "network to upstream",
];

/// What a worker had in its hands when it was frozen arrives this soon after it was thawed. Nobody can call that back.
const THAWING_MS: u64 = 100;

impl Nemesis {
    /// Breaks processes until it is told to stop.
    pub(crate) async fn break_processes(mut self) -> anyhow::Result<()> {
        while self.lets_pass(300, 2500).await {
            let fault = self.dice.one_of(self.world.plan.process_faults);
            self.books.note_fault(fault);
            self.break_process(fault).await?;
            self.world.lead_hooks().await;
        }
        Ok(())
    }

    /// Breaks networks, Redis and the upstream until it is told to stop.
    pub(crate) async fn break_others(mut self) -> anyhow::Result<()> {
        while self.lets_pass(300, 2000).await {
            let fault = self.dice.one_of(&OTHER_FAULTS);
            self.books.note_fault(fault);
            self.break_other(fault).await?;
        }
        Ok(())
    }

    /// Kills a worker every half second until it is told to stop.
    pub(crate) async fn kill_workers(mut self) -> anyhow::Result<()> {
        let mut next = Instant::now();
        while !*self.stopping.borrow() {
            next += Duration::from_millis(500);
            tokio::time::sleep_until(next).await;
            self.books.note_fault("kill -9 worker");
            self.kill_worker().await?;
        }
        Ok(())
    }

    /// Replaces one worker after the other until it is told to stop.
    pub(crate) async fn replace_workers(mut self) -> anyhow::Result<()> {
        for number in (0..self.world.pods.len()).cycle() {
            if !self.lets_pass(300, 800).await {
                break;
            }
            self.books.note_fault("replace worker");
            self.replace_worker(number).await?;
        }
        Ok(())
    }

    /// Waits a while; no when there is nothing more to break.
    async fn lets_pass(&mut self, from_ms: u64, to_ms: u64) -> bool {
        self.hold(from_ms, to_ms).await;
        !*self.stopping.borrow()
    }

    /// Lets a fault last, but not beyond the end.
    async fn hold(&mut self, from_ms: u64, to_ms: u64) {
        let pause = Duration::from_millis(self.dice.between(from_ms, to_ms));
        // Whether it was told to stop or has waited long enough, it goes on.
        let _ = tokio::time::timeout(pause, self.stopping.wait_for(|stop| *stop)).await;
    }

    fn any_pod(&mut self) -> usize {
        (self.dice.roll() % self.world.pods.len() as u64) as usize
    }

    async fn break_process(&mut self, fault: &str) -> anyhow::Result<()> {
        match fault {
            "kill -9 worker" => self.kill_worker().await?,
            "freeze worker" => {
                // Longer than its lease: it wakes up as a zombie.
                let pod = self.any_pod();
                self.world.pods[pod].lock().await.freeze()?;
                let lease_ms = Plan::LEASE.as_millis() as u64;
                self.hold(lease_ms / 2, lease_ms * 5 / 2).await;
                self.books.open().untimed_ms.push((now_ms(), now_ms() + THAWING_MS));
                self.world.pods[pod].lock().await.thaw()?;
            }
            "replace worker" => {
                let pod = self.any_pod();
                self.replace_worker(pod).await?;
            }
            "kill -9 redis" => {
                let world = Arc::clone(&self.world);
                let mut redis = world.redis.lock().await;
                redis.kill9()?;
                self.hold(100, 2000).await;
                redis.restart().await?;
            }
            _ => {
                let world = Arc::clone(&self.world);
                let mut redis = world.redis.lock().await;
                redis.pause()?;
                self.hold(200, 4000).await;
                redis.resume()?;
            }
        }
        Ok(())
    }

    async fn kill_worker(&mut self) -> anyhow::Result<()> {
        let pod = self.any_pod();
        self.world.pods[pod].lock().await.kill9()?;
        self.books.open().last_kill_ms = now_ms();
        Ok(())
    }

    async fn replace_worker(&mut self, number: usize) -> anyhow::Result<()> {
        let mut pod = self.world.pods[number].lock().await;
        let took = pod.terminate().await?;
        pod.start()?;
        if self.world.plan.what == Preset::Rolling {
            pod.wait_ready().await?;
        }
        drop(pod);
        self.books.open().exits_ms.push(took.as_millis() as u64);
        Ok(())
    }

    async fn break_other(&mut self, fault: &str) -> anyhow::Result<()> {
        match fault {
            "redis client pause" => {
                let ms = self.dice.between(100, 3000);
                let mode = self.dice.one_of(&["WRITE", "ALL"]);
                self.tell_redis(redis::cmd("CLIENT").arg("PAUSE").arg(ms).arg(mode)).await;
                self.hold(ms, ms).await;
            }
            "redis client kill" => {
                self.tell_redis(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal")).await;
            }
            "redis script flush" => self.tell_redis(redis::cmd("SCRIPT").arg("FLUSH")).await,
            "upstream away" => {
                // Refused at once, so that nothing can have been sent.
                for pod in &self.world.pods {
                    pod.lock().await.upstream.set(Network::Refuses);
                }
                self.hold(200, 3000).await;
                self.mend_upstream_network().await;
            }
            "upstream loses answers" => self.upstream_faults(true).await,
            "upstream fails polls" => self.upstream_faults(false).await,
            "upstream is full" => {
                self.world.simulator.lock().await.knobs(|knobs| (knobs.slots, knobs.queue) = (1, 0));
                self.hold(500, 3000).await;
                let well = self.world.plan.knobs();
                self.world.simulator.lock().await.knobs(|knobs| (knobs.slots, knobs.queue) = (well.slots, well.queue));
            }
            "network to redis" => {
                let (pod, network) = (self.any_pod(), self.network());
                self.world.pods[pod].lock().await.redis.set(network);
                self.hold(300, 4000).await;
                self.world.pods[pod].lock().await.redis.set(Network::Fine);
            }
            _ => {
                let (pod, mut network) = (self.any_pod(), self.network());
                if self.world.plan.limits.submits_per_second > 0 && matches!(network, Network::Slow(_)) {
                    // Whoever delays requests bunches them, and the rate is measured where they arrive.
                    network = Network::Resets;
                }
                self.world.pods[pod].lock().await.upstream.set(network);
                self.hold(300, 3000).await;
                self.mend_upstream_network().await;
            }
        }
        Ok(())
    }

    async fn mend_upstream_network(&self) {
        for pod in &self.world.pods {
            pod.lock().await.upstream.set(Network::Fine);
        }
    }

    async fn upstream_faults(&mut self, of_submits: bool) {
        let rate = self.dice.between(5, 60) as f64 / 100.0;
        let fault = self.fault();
        self.world.simulator.lock().await.knobs(|knobs| {
            if of_submits {
                // These two say that nothing was taken. An upstream that lies there cannot be helped.
                let refuses = matches!(fault, Fault::Status { status: 429 | 503, .. });
                let before = SubmitStep::fault(fault);
                let after = if refuses { before.clone() } else { before.clone().after_creation() };
                knobs.submit_faults = vec![
                    Odds { rate: rate / 2.0, step: before },
                    Odds { rate: rate / 2.0, step: after },
                    Odds { rate: 0.1, step: SubmitStep::code(23) },
                    Odds { rate: 0.1, step: SubmitStep::code(9) },
                ];
            } else {
                knobs.fetch_faults =
                    vec![Odds { rate, step: FetchStep::fault(fault) }, Odds { rate: 0.2, step: FetchStep::unknown() }];
            }
        });
        self.hold(500, 3000).await;
        self.world.simulator.lock().await.knobs(|knobs| {
            knobs.submit_faults.clear();
            knobs.fetch_faults.clear();
        });
    }

    fn fault(&mut self) -> Fault {
        let status = |status| Fault::Status { status, retry_after: None, html: true };
        let too_many = Fault::Status { status: 429, retry_after: Some(RetryAfter::Seconds(1)), html: false };
        self.dice.one_of(&[
            Fault::Close,
            Fault::Reset,
            Fault::Hang,
            Fault::Empty,
            Fault::Broken,
            Fault::Half,
            Fault::Html,
            status(500),
            status(502),
            status(503),
            status(504),
            too_many,
        ])
    }

    fn network(&mut self) -> Network {
        let delay = Duration::from_millis(self.dice.between(20, 800));
        let bytes = self.dice.between(1, 5000) as usize;
        self.dice.one_of(&[
            Network::Slow(delay),
            Network::Resets,
            Network::BlackHole,
            Network::HalfOpen,
            Network::CutsAfter(bytes),
            Network::Refuses,
        ])
    }

    /// Sends Redis a command of an operator who has a bad day. That it may be away is part of it.
    async fn tell_redis(&self, command: &mut redis::Cmd) {
        if let Ok(mut redis) = self.world.wire.redis().await {
            let _ = tokio::time::timeout(Duration::from_secs(1), command.exec_async(&mut redis)).await;
        }
    }
}
