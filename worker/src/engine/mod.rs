//! The hands: loops that claim steps, perform them and write down what they saw.
//!
//! Each loop is a file, named by what it does, and so is each of its parts. In the order in which a job meets them:
//!
//! 1. `admitter`: takes jobs and commands out of the stream.
//! 2. `claimer`: claims as many steps as there are free slots (`slot`, `slow_start`), when that is worth it (`alarm`, `crowd`,
//!    `room`).
//! 3. `backend`: hands them to apalis, which runs them under tower layers.
//! 4. `executor`: performs one step with `preparer` (which has `request`) and `poller` (`lister`, `list_support`, `strangers`): one HTTP exchange, or a look and then
//!    a submit; `place` and `poll_budget` see to it that each has its place under the rates.
//! 5. `scribe`: decides what becomes of it, and says how the upstream fares (`mood`); `settler`: writes that down, many at
//!    once.
//! 6. `renewer`, `sweeper`, `heart`: keep leases, trim what is old, show that the pod lives.
//! 7. `hooks`: takes the upstream's hints; `hinter`: passes them on, many at once.
//! 8. `witness`, `recall`: notice when Redis has lost its last writes, and tell it what it knew.
//! 9. `revisiter`, `canceller`: look after tasks that outlived their jobs, and ask the upstream to cancel some.
//!
//! `parts` makes all these of the settings, `run` starts and ends them, `loops` misses those that break down, `drain` sees to it that the end comes in time, `vitals`
//! tells which of them live, and `pacer` learns how long tasks take.
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
mod list_support;
mod lister;
mod loops;
mod mood;
mod pacer;
mod parts;
mod place;
mod planted;
mod poll_budget;
mod poller;
mod preparer;
mod recall;
mod renewer;
mod request;
mod revisiter;
mod room;
mod run;
mod scribe;
mod settler;
mod slot;
mod slow_start;
mod step_meter;
mod strangers;
mod sweeper;
mod vitals;
mod witness;

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use axum::Router;
use mjq_producer::RedisLink;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub use vitals::Vitals;

use crate::{ledger::Ledger, settings::Settings, upstream::Upstream};
use alarm::Alarm;
use claimer::Claimer;
use crowd::Crowd;
use hinter::Hinter;
use hook_address::HookAddress;
use loops::Loops;
use pacer::Paces;
use revisiter::Revisiter;
use room::WishForRoom;
use slow_start::SlowStart;

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
    slow_start: SlowStart,
    hook_address: Arc<OnceLock<HookAddress>>,
    loops: Loops,
    /// The pod begins nothing new: somebody told it to stop, or one of its loops broke down.
    draining: CancellationToken,
    /// Ends calls to a Redis that does not answer, when the pod has to leave.
    abandon: CancellationToken,
}

impl Engine {
    /// Makes the engine of one pod, which is told to stop by `draining`. Nothing is sent anywhere yet.
    ///
    /// # Errors
    /// When the Redis URL or the upstream's settings cannot be used.
    pub fn new(settings: Settings, draining: CancellationToken) -> anyhow::Result<Self> {
        let link = RedisLink::open(settings.redis_url.expose_secret()).context("the Redis URL cannot be used")?;
        let abandon = CancellationToken::new();
        let ledger = Ledger::new(link, settings.queue.clone(), settings.retention, abandon.clone());
        let upstream = Upstream::new(&settings.upstream()).context("the upstream's settings cannot be used")?;
        let host = host_name();
        // A pod that had no answer for half a lease is taken for one that was cut off.
        let alarm = Alarm::new(Claimer::MAX_IDLE.min(settings.lease / 4));
        // A name is never used twice: a pod that died may still have entries and claims under its own.
        let pod = format!("{host}-{}-{:06x}", std::process::id(), rand::random::<u32>() & 0x00ff_ffff);
        Ok(Self {
            slow_start: SlowStart::new(settings.slots, alarm.clone()),
            settings,
            pod,
            host,
            ledger,
            upstream,
            vitals: Vitals::default(),
            paces: Paces::default(),
            alarm,
            revisits: Alarm::new(Revisiter::MAX_IDLE),
            crowd: Crowd::default(),
            room: WishForRoom::default(),
            hook_address: Arc::default(),
            loops: Loops::new(draining.clone()),
            draining,
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
        // It ends with the last connection of the admin.
        self.loops.spawn_unawaited("hinter", passing_on.run(self.ledger.clone()));
        hooks::Hooks { hinter, address, alarm, revisits }.router()
    }
}

fn host_name() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or(from_kernel).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    if name.is_empty() { "pod".to_owned() } else { name }
}
