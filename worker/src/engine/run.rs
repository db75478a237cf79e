//! The run of a pod: starts its parts in order, and ends them in order.

use std::sync::Arc;

use anyhow::Context;
use apalis::prelude::WorkerBuilderExt;
use apalis_core::worker::builder::WorkerBuilder;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info};

use super::{
    Engine,
    claim::{HeldStep, LedgerBackend, Slots},
    drain::Drain,
    hook::HookAddress,
    loops::all_ended,
    poll::{PollBudget, Poller},
    recovery::LatestSubmits,
    step::{Canceller, Executor, Settler},
};
use crate::ledger::Rate;

impl Engine {
    /// Works until the pod drains, and then finishes the steps that have begun.
    ///
    /// # Errors
    /// When a loop or the runtime of the steps broke down. Trouble with Redis or the upstream is not an error here.
    pub async fn run(self) -> anyhow::Result<()> {
        let (loops, draining) = (&self.loops, &self.draining);
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
        // Without the settler, submits would be paid for and their tasks forgotten, so the pod ends if it breaks down.
        let settler = settler.run(self.ledger.clone(), self.liveness.clone(), draining.clone().drop_guard());
        let settling = tokio::spawn(settler);
        let stopping = CancellationToken::new();
        let budget = PollBudget::new(self.ledger.clone(), Rate::per_second(self.settings.upstream_poll_rate));
        let (poller, lister) = Poller::new(self.upstream.clone(), self.settings.upstream_list_path.is_some(), budget);
        if let Some(lister) = lister {
            loops.spawn_unawaited("lister", lister.run());
        }
        self.start_loops(&slots, &poller, &stopping)?;
        loops.spawn("reasserter", self.reasserter(&slots, submits).run(stopping.clone()));

        let (canceller, cancelled) = Canceller::new(&self.ledger, &self.upstream);
        if let Some(canceller) = canceller {
            loops.spawn("canceller", canceller.run());
        }

        let result = self.work(&slots, self.executor(poller, settlements, cancelled)).await;
        draining.cancel();
        // All handles to the settler are gone now: it writes down what it has, and ends.
        let settled = settling.await.context("the settler broke down");
        stopping.cancel();
        let looped = loops.end().await;
        drain.abort();
        info!("worker {} has drained", self.pod);
        settled.and(looped).and(result)
    }

    /// Runs steps under apalis until the pod drains and the last step has ended.
    async fn work(&self, slots: &Slots, executor: Executor) -> anyhow::Result<()> {
        let (sender, claimed) = mpsc::channel(self.settings.slots.max(1));
        let (hand_back, mut handed_back) = mpsc::unbounded_channel();
        self.loops.spawn("claimer", self.claimer(slots, sender, &executor.poller).run());
        let executor = Arc::new(executor);

        let perform = {
            let executor = Arc::clone(&executor);
            move |held: HeldStep| {
                let executor = Arc::clone(&executor);
                // A separate Tokio task resumes on the thread that its connection woke, without a change of threads.
                // The step is boxed because the runtime moves a task's future several times, and this future is large.
                let step = Box::pin(async move { executor.perform(held).await });
                let performing = AbortOnDropHandle::new(tokio::spawn(step));
                async move {
                    match performing.await {
                        Ok(()) => {}
                        // Resumed for the layer that notes panics. A cancelled task cannot occur: nobody aborts a step
                        // that is waited for.
                        Err(error) => {
                            if let Ok(panic) = error.try_into_panic() {
                                std::panic::resume_unwind(panic);
                            }
                        }
                    }
                }
            }
        };
        let signal = self.draining.clone();
        let steps = WorkerBuilder::new(&*self.pod)
            .backend(LedgerBackend::new(claimed, hand_back))
            .catch_panic()
            // Outside the time-out: the wait for a place does not count as time of the step, and a step that timed out
            // frees its place.
            .concurrency(self.settings.slots)
            // Each exchange has its own time-out; this one only ends a step that hangs because of a bug.
            .timeout(Executor::longest_step(self.settings.upstream_timeout))
            .build(perform)
            .run_until(async move {
                signal.cancelled().await;
                Ok::<(), std::io::Error>(())
            });
        // On the main thread, each step would wake another thread, and would be woken by it.
        let worker =
            AbortOnDropHandle::new(tokio::spawn(steps)).await.context("the runtime of the steps broke down")?;
        // This also ends the claimer, which then closes the channel.
        self.draining.cancel();
        // The steps are handed back concurrently, because each settlement waits a moment for others to share its round
        // trip.
        let mut unbegun = JoinSet::new();
        while let Some(held) = handed_back.recv().await {
            let executor = Arc::clone(&executor);
            unbegun.spawn(async move { executor.hand_back(held).await });
        }
        drop(executor);
        all_ended(unbegun, "step that was handed back").await;
        if let Err(error) = &worker {
            error!(error = %error, "the runtime of the steps broke down: {error}");
        }
        worker.context("the runtime of the steps broke down")
    }

    /// Reads the secret that all pods sign hook addresses with, or sets it if there is none yet.
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
