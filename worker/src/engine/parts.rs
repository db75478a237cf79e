//! The parts of an engine, made from its settings and from what the parts share.

use std::sync::{Arc, atomic::AtomicU64};

use mjq_producer::RedisLink;
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    admitter::Admitter,
    claim::{Claimer, HeldStep, Slots},
    poll::{Finder, Poller, Revisiter},
    recovery::{LatestSubmits, Reasserter, RecentSubmits},
    step::{
        CancellerHandle, Executor, MemoryBudget, Preparer, Recorder, RequestMaker, SettlerHandle, StepMeter,
        UpstreamLog,
    },
    upkeep::{Heartbeat, Renewer, sweeper},
};
use crate::{
    ledger::{ClaimLimits, Intake, Rate},
    lifecycle::Policy,
};

impl Engine {
    /// Starts the admitter, the pacer, the revisiter, the sweeper, the renewer and the heartbeat.
    pub(super) fn start_loops(
        &self,
        slots: &Slots,
        poller: &Poller,
        stopping: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (loops, draining) = (&self.loops, &self.draining);
        let intake_timeout = Intake::BLOCK + RedisLink::RESPONSE_TIMEOUT;
        let link = RedisLink::open_with_timeout(self.settings.redis_url.expose_secret(), intake_timeout)?;
        let admitter = Admitter {
            ledger: self.ledger.clone(),
            intake: Intake::new(link, &self.ledger),
            policy: Arc::new(self.policy()),
            max_job_bytes: self.settings.max_job_bytes,
            lease: self.settings.lease,
            alarm: self.alarm.clone(),
            liveness: self.liveness.clone(),
        };
        loops.spawn("admitter", admitter.run(draining.clone()));
        loops.spawn("pacer", self.paces.clone().learn(self.ledger.clone(), draining.clone()));
        let revisiter = Revisiter {
            ledger: self.ledger.clone(),
            poller: poller.clone(),
            requests: self.request_maker(),
            policy: Arc::new(self.policy()),
            poll_rate: Rate::per_second(self.settings.upstream_poll_rate),
            patience: self.settings.upstream_timeout + self.settings.lease,
            alarm: self.revisits.clone(),
        };
        loops.spawn("revisiter", revisiter.run(draining.clone()));
        loops.spawn(
            "sweeper",
            sweeper::sweep(self.ledger.clone(), self.settings.lease, self.liveness.clone(), draining.clone()),
        );
        let renewer = Renewer {
            ledger: self.ledger.clone(),
            slots: slots.clone(),
            lease: self.settings.lease,
            liveness: self.liveness.clone(),
        };
        loops.spawn("renewer", renewer.run(stopping.clone()));
        let heartbeat = Heartbeat {
            ledger: self.ledger.clone(),
            slots: slots.clone(),
            pod: self.pod.clone(),
            host: self.host.clone(),
            stagger: self.stagger.clone(),
            liveness: self.liveness.clone(),
        };
        loops.spawn("heartbeat", heartbeat.run(stopping.clone()));
        Ok(())
    }

    pub(super) fn reasserter(&self, slots: &Slots, submits: LatestSubmits) -> Reasserter {
        Reasserter {
            ledger: self.ledger.clone(),
            pod: self.pod.clone(),
            slots: slots.clone(),
            submits,
            lease: self.settings.lease,
            alarm: self.alarm.clone(),
            liveness: self.liveness.clone(),
        }
    }

    pub(super) fn claimer(&self, slots: &Slots, claimed: mpsc::Sender<HeldStep>, poller: &Poller) -> Claimer {
        let limits = ClaimLimits {
            lease: self.settings.lease,
            max_open: self.settings.upstream_max_open,
            submit_rate: Rate::per_second(self.settings.upstream_submit_rate),
            poll_rate: Rate::per_second(self.settings.upstream_poll_rate),
            probe: self.settings.upstream_timeout,
        };
        Claimer {
            ledger: self.ledger.clone(),
            pod: self.pod.clone(),
            limits,
            lists: poller.lists(),
            budget: poller.budget().clone(),
            slots: slots.clone(),
            slow_start: self.slow_start.clone(),
            claimed,
            alarm: self.alarm.clone(),
            stagger: self.stagger.clone(),
            room: self.room.clone(),
            draining: self.draining.clone(),
            liveness: self.liveness.clone(),
        }
    }

    pub(super) fn executor(&self, poller: Poller, settler: SettlerHandle, canceller: CancellerHandle) -> Executor {
        let policy = Arc::new(self.policy());
        let recorder = Recorder {
            ledger: self.ledger.clone(),
            settler,
            canceller,
            paces: self.paces.clone(),
            upstream_log: UpstreamLog::default(),
            slow_start: self.slow_start.clone(),
            accepted_ms: AtomicU64::new(0),
            shown_ms: AtomicU64::new(0),
            memory: MemoryBudget::new(),
            policy: Arc::clone(&policy),
            polls_are_paced: self.settings.upstream_poll_rate > 0.0,
            progress_events: self.settings.progress_events,
        };
        let preparer = Preparer {
            ledger: self.ledger.clone(),
            upstream: self.upstream.clone(),
            poller: poller.clone(),
            requests: self.request_maker(),
            policy: Arc::clone(&policy),
            lease: self.settings.lease,
            memory: MemoryBudget::new(),
            submit_rate: Rate::per_second(self.settings.upstream_submit_rate),
        };
        Executor {
            ledger: self.ledger.clone(),
            upstream: self.upstream.clone(),
            poller,
            finder: Finder::new(self.upstream.clone()),
            recorder,
            recent_submits: RecentSubmits::default(),
            preparer,
            has_lookup: policy.adoption.lookup,
            policy,
            lease: self.settings.lease,
            exchange: self.settings.upstream_timeout,
            meter: StepMeter::default(),
        }
    }

    fn request_maker(&self) -> RequestMaker {
        RequestMaker {
            queue: self.settings.queue.clone(),
            state: self.settings.upstream_state,
            hooks: self.hook_address.get().cloned(),
        }
    }

    fn policy(&self) -> Policy {
        self.settings.policy()
    }
}
