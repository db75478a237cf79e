//! The hands: loops that claim steps, perform them and write down what they saw.
//!
//! One loop per file, each named by what it does. In the order in which a job meets them:
//!
//! 1. `admitter`: takes jobs and commands out of the stream.
//! 2. `claimer`: claims as many steps as there are free slots (`slot`), when that is worth it (`alarm`, `crowd`, `room`).
//! 3. `backend`: hands them to apalis, which runs them under tower layers.
//! 4. `executor`: performs one step with `request` and `poller`, at most one HTTP exchange.
//! 5. `scribe`: decides what becomes of it, and says how the upstream fares (`mood`); `settler`: writes that down, many at
//!    once.
//! 6. `renewer`, `sweeper`, `heart`: keep leases, trim what is old, show that the pod lives.
//! 7. `hooks`: takes the upstream's hints; `hinter`: passes them on, many at once.
//! 8. `witness`, `recall`: notice when Redis has lost its last writes, and tell it what it knew.
//! 9. `revisiter`, `canceller`: look after tasks that outlived their jobs, and ask the upstream to cancel some.
//!
//! What it promises: a pod that is told to drain begins nothing new, hands back what has not begun,
//! and finishes what has. What it does not promise: to outlive its machine; another pod takes over
//! when the leases run out.

mod admitter;
mod alarm;
mod backend;
mod canceller;
mod claimer;
mod crash_point;
mod crowd;
mod drain;
mod executor;
mod gather;
mod heart;
mod hinter;
mod hook_address;
mod hooks;
mod mood;
mod pacer;
mod parts;
mod place;
mod planted;
mod poll_budget;
mod poller;
mod recall;
mod renewer;
mod request;
mod revisiter;
mod room;
mod scribe;
mod settler;
mod slot;
mod step_meter;
mod sweeper;
mod vitals;
mod witness;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use apalis::prelude::WorkerBuilderExt;
use apalis_core::worker::builder::WorkerBuilder;
use axum::Router;
use mjq_producer::RedisLink;
use secrecy::ExposeSecret;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info};

pub use vitals::Vitals;

use crate::{
    ledger::{Ledger, Rate},
    settings::Settings,
    upstream::Upstream,
};
use alarm::Alarm;
use backend::LedgerBackend;
use canceller::Canceller;
use claimer::Claimer;
use crowd::Crowd;
use drain::Drain;
use executor::Executor;
use hinter::Hinter;
use hook_address::HookAddress;
use pacer::Paces;
use poll_budget::PollBudget;
use poller::Poller;
use revisiter::Revisiter;
use room::WishForRoom;
use settler::Settler;
use slot::{HeldStep, Slots};
use witness::LatestSubmits;

/// One pod's engine, ready to run.
pub struct Engine {
    settings: Settings,
    pod: String,
    host: String,
    ledger: Ledger,
    upstream: Upstream,
    vitals: Vitals,
    paces: Paces,
    alarm: Alarm,
    revisits: Alarm,
    crowd: Crowd,
    room: WishForRoom,
    hook_address: Arc<OnceLock<HookAddress>>,
    /// Ends calls to a Redis that does not answer, when the pod has to leave.
    abandon: CancellationToken,
}

impl Engine {
    /// Makes the engine of one pod. Nothing is sent anywhere yet.
    ///
    /// # Errors
    /// When the Redis URL or the upstream's settings cannot be used.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let link = RedisLink::open(settings.redis_url.expose_secret()).context("the Redis URL cannot be used")?;
        let abandon = CancellationToken::new();
        let ledger = Ledger::new(link, settings.queue.clone(), settings.retention, abandon.clone());
        let upstream = Upstream::new(&settings.upstream()).context("the upstream's settings cannot be used")?;
        let host = host_name();
        // A pod that had no answer for half a lease is taken for one that was cut off.
        let max_idle = Claimer::MAX_IDLE.min(settings.lease / 4);
        // A name is never used twice: a pod that died may still have entries and claims under its own.
        let pod = format!("{host}-{}-{:06x}", std::process::id(), rand::random::<u32>() & 0x00ff_ffff);
        Ok(Self {
            settings,
            pod,
            host,
            ledger,
            upstream,
            vitals: Vitals::default(),
            paces: Paces::default(),
            alarm: Alarm::new(max_idle),
            revisits: Alarm::new(Revisiter::MAX_IDLE),
            crowd: Crowd::default(),
            room: WishForRoom::default(),
            hook_address: Arc::default(),
            abandon,
        })
    }

    /// The ledger, for those who only look.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Which loops are alive.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The receiver of hooks, to be served wherever the admin listens. Called within a runtime.
    pub fn hooks(&self) -> Router {
        let address = Arc::clone(&self.hook_address);
        let (alarm, revisits) = (self.alarm.clone(), self.revisits.clone());
        let (passing_on, hinter) = Hinter::new();
        tokio::spawn(passing_on.run(self.ledger.clone()));
        hooks::Hooks { hinter, address, alarm, revisits }.router()
    }

    /// Works until `draining`, and then until what has begun is finished.
    ///
    /// # Errors
    /// When the runtime of the steps broke down. Trouble with Redis or the upstream is none.
    pub async fn run(self, draining: CancellationToken) -> anyhow::Result<()> {
        let slots = Slots::new(self.settings.slots);
        let drain = Drain {
            draining: draining.clone(),
            slots: slots.clone(),
            ledger: self.ledger.clone(),
            upstream: self.upstream.clone(),
            exchange: self.settings.upstream_timeout,
            abandon: self.abandon.clone(),
        };
        let drain = tokio::spawn(drain.give_up_in_time());
        self.prepare_hooks().await;
        let submits = LatestSubmits::default();
        let (settler, settlements) =
            Settler::new(self.alarm.clone(), self.revisits.clone(), self.room.clone(), submits.clone());
        let settling = tokio::spawn(settler.run(self.ledger.clone()));
        let stopping = CancellationToken::new();
        let budget = PollBudget::new(self.ledger.clone(), Rate::per_second(self.settings.upstream_poll_rate));
        let (poller, lister) = Poller::new(self.upstream.clone(), self.settings.upstream_list_path.is_some(), budget);
        if let Some(lister) = lister {
            tokio::spawn(lister.run());
        }
        let loops = self.start_loops(&slots, &poller, &draining, &stopping)?;
        loops.spawn(self.witness(&slots, submits).run(stopping.clone()));

        let (canceller, cancelled) = Canceller::new(&self.ledger, &self.upstream);
        if let Some(canceller) = canceller {
            loops.spawn(canceller.run());
        }

        let result = self.work(&slots, &draining, self.executor(poller, settlements, cancelled)).await;
        draining.cancel();
        // All handles are gone now: the settler writes down what it has, and ends.
        settling.await.context("the settler broke down")?;
        stopping.cancel();
        loops.close();
        // They have nothing left to lose: a beat or a look at a Redis that hangs is not waited for.
        let _ = tokio::time::timeout(Duration::from_millis(500), loops.wait()).await;
        drain.abort();
        info!("worker {} has drained", self.pod);
        result
    }

    /// Runs steps under apalis until the pod drains and the last step has ended.
    async fn work(&self, slots: &Slots, draining: &CancellationToken, executor: Executor) -> anyhow::Result<()> {
        let (sender, claimed) = mpsc::channel(self.settings.slots.max(1));
        let (hand_back, mut handed_back) = mpsc::unbounded_channel();
        let claimer = tokio::spawn(self.claimer(slots, draining, sender, &executor.poller).run());
        let executor = Arc::new(executor);

        let perform = {
            let executor = Arc::clone(&executor);
            move |held: HeldStep| {
                let executor = Arc::clone(&executor);
                // A task of its own goes on where its connection woke it, without a change of threads. Boxed,
                // because the runtime moves a task's future several times, and this one is large.
                let step = Box::pin(async move { executor.perform(held).await });
                let performing = AbortOnDropHandle::new(tokio::spawn(step));
                async move {
                    match performing.await {
                        Ok(()) => {}
                        // For the layer that notes panics. Nobody aborts a step that is waited for.
                        Err(error) => {
                            if let Ok(panic) = error.try_into_panic() {
                                std::panic::resume_unwind(panic);
                            }
                        }
                    }
                }
            }
        };
        let signal = draining.clone();
        let steps = WorkerBuilder::new(&*self.pod)
            .backend(LedgerBackend::new(claimed, hand_back))
            .catch_panic()
            // Each exchange has its own time-out; this one only ends a step that a bug has hung.
            .timeout(self.settings.upstream_timeout * 2 + Duration::from_secs(60))
            .concurrency(self.settings.slots)
            .build(perform)
            .run_until(async move {
                signal.cancelled().await;
                Ok::<(), std::io::Error>(())
            });
        // On the main thread, each step would wake another thread, and be woken by it.
        let worker =
            AbortOnDropHandle::new(tokio::spawn(steps)).await.context("the runtime of the steps broke down")?;
        draining.cancel();
        claimer.await.context("the claimer broke down")?;
        // All at once: each settlement waits for others to go with.
        let mut unbegun = JoinSet::new();
        while let Some(held) = handed_back.recv().await {
            let executor = Arc::clone(&executor);
            unbegun.spawn(async move { executor.hand_back(held).await });
        }
        drop(executor);
        unbegun.join_all().await;
        if let Err(error) = &worker {
            error!(error = %error, "the runtime of the steps broke down: {error}");
        }
        worker.context("the runtime of the steps broke down")
    }

    /// Learns the secret that all pods sign hook addresses with.
    async fn prepare_hooks(&self) {
        let Some(base) = &self.settings.hook_url else { return };
        let fresh = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let Ok(secret) = self.ledger.hook_secret(&fresh).await else { return };
        if let Some(address) = HookAddress::new(base.as_str(), &secret) {
            // It is set once, here.
            let _ = self.hook_address.set(address);
        }
    }
}

fn host_name() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or(from_kernel).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    if name.is_empty() { "pod".to_owned() } else { name }
}
