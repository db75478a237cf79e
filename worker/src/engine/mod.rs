//! The hands: loops that claim steps, perform them and write down their results.
//!
//! Each loop and each of its parts is a file, named by what it does. In the order in which a job meets them:
//!
//! 1. `admitter`: takes jobs and commands out of the stream.
//! 2. `claim`: claims as many steps as there are free slots, when there may be steps to claim, and hands them to
//!    apalis.
//! 3. `step`: performs one step with one HTTP exchange, decides what becomes of the job, and has that written down.
//! 4. `poll`: polls tasks, alone or in lists, within the budget that all pods share; also those that outlived
//!    their jobs.
//! 5. `hook`: receives the upstream's hints, and passes them on.
//! 6. `recovery`: notices when Redis has lost its last writes, and tells Redis what this pod knew.
//! 7. `upkeep`: keeps leases, trims old data, shows that the pod lives.
//!
//! Imports go from `step` to `claim`, `recovery`, `poll` and `hook`, from `recovery` and `upkeep` to `claim`, from
//! `claim` to `poll`, and never back. `parts` makes all these parts from the settings. `run` starts and ends them.
//! `loops` notices when a loop breaks down. `drain` makes sure that the pod ends in time. `liveness` tells whether the
//! admitter, claimer, settler, renewer, heartbeat, sweeper or reasserter hangs; the other loops wait for the upstream,
//! or for something to do. `alarm` decides when a loop's next round begins, and `gather` what shares its round trip.
//!
//! The engine promises that a draining pod begins nothing new, hands back the steps that have not begun, and finishes
//! those that have. It does not promise to survive its machine: if the machine dies, another pod takes over when the
//! leases run out.

mod admitter;
mod alarm;
mod claim;
mod crash_point;
mod drain;
mod gather;
mod hook;
mod liveness;
mod loops;
mod parts;
mod poll;
mod recovery;
mod run;
mod step;
mod upkeep;

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use axum::Router;
use mjq_producer::RedisLink;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub use liveness::Liveness;

use crate::{ledger::Ledger, settings::Settings, upstream::Upstream};
use alarm::Alarm;
use claim::{Claimer, SlowStart, Stagger, WishForRoom};
use hook::{Hinter, HookAddress, HookRoom, Hooks};
use loops::Loops;
use poll::{Paces, Revisiter};

/// One pod's engine, ready to run.
pub struct Engine {
    settings: Settings,
    pod: String,
    host: String,
    ledger: Ledger,
    upstream: Upstream,
    liveness: Liveness,
    paces: Paces,
    alarm: Alarm,
    revisits: Alarm,
    stagger: Stagger,
    room: WishForRoom,
    slow_start: SlowStart,
    hook_address: Arc<OnceLock<HookAddress>>,
    loops: Loops,
    /// Once cancelled, the pod begins nothing new: it was told to stop, or one of its loops broke down.
    draining: CancellationToken,
    /// Ends calls to a Redis that does not answer, when the pod has to leave.
    abandon: CancellationToken,
}

impl Engine {
    /// Makes the engine of one pod. `draining` tells it to stop. Nothing is sent anywhere yet.
    ///
    /// # Errors
    /// When the Redis URL or the upstream's settings cannot be used.
    pub fn new(settings: Settings, draining: CancellationToken) -> anyhow::Result<Self> {
        let link = RedisLink::open(settings.redis_url.expose_secret()).context("the Redis URL cannot be used")?;
        let abandon = CancellationToken::new();
        let ledger = Ledger::new(link, settings.queue.clone(), settings.retention, abandon.clone());
        let upstream = Upstream::new(&settings.upstream()).context("the upstream's settings cannot be used")?;
        let host = host_name();
        // The alarm rings at least every quarter of a lease: Redis treats a pod that had no answer for half a lease as
        // cut off.
        let alarm = Alarm::new(Claimer::MAX_IDLE.min(settings.lease / 4));
        // A pod's name is never used twice: a pod that died may still have entries and claims under its name.
        let pod = format!("{host}-{}-{:06x}", std::process::id(), rand::random::<u32>() & 0x00ff_ffff);
        Ok(Self {
            slow_start: SlowStart::new(settings.slots, alarm.clone()),
            settings,
            pod,
            host,
            ledger,
            upstream,
            liveness: Liveness::default(),
            paces: Paces::default(),
            alarm,
            revisits: Alarm::new(Revisiter::MAX_IDLE),
            stagger: Stagger::default(),
            room: WishForRoom::default(),
            hook_address: Arc::default(),
            loops: Loops::new(draining.clone()),
            draining,
            abandon,
        })
    }

    /// The ledger, for the admin.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Tells which loops hang.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The receiver of hooks, as routes for the admin's server. Must be called within a runtime.
    pub fn hooks(&self) -> Router {
        let address = Arc::clone(&self.hook_address);
        let (alarm, revisits) = (self.alarm.clone(), self.revisits.clone());
        let (passing_on, hinter) = Hinter::new();
        // The hinter ends with the admin's last connection, which may outlive the pod's other loops.
        self.loops.spawn_unawaited("hinter", passing_on.run(self.ledger.clone()));
        Hooks { hinter, address, alarm, revisits, room: HookRoom::default() }.router()
    }
}

fn host_name() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or(from_kernel).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    if name.is_empty() { "pod".to_owned() } else { name }
}
