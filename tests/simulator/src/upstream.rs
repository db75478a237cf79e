//! The one upstream behind all requests: the world behind a lock, and its clock.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::{clock::Clock, knobs::Knobs, oracle::Oracle, world::World};

/// The shared world. The lock is held for one decision, and never across an await.
#[derive(Debug)]
pub(crate) struct Upstream {
    world: Mutex<World>,
    clock: Clock,
    /// Notified when the line of callbacks has changed.
    pub(crate) new_callbacks: Notify,
}

impl Upstream {
    pub(crate) fn open(knobs: Knobs) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let oracle = Oracle::with_log(knobs.log.as_deref())?;
        let world = Mutex::new(World::new(knobs, oracle, clock.now_ms()));
        Ok(Self { world, clock, new_callbacks: Notify::new() })
    }

    /// Lets `act` read or change the world at the present time.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut World, u64) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock is read under the lock, so that the world never sees time run backwards.
        let outcome = act(&mut world, self.clock.now_ms());
        if world.has_new_callbacks() {
            self.new_callbacks.notify_one();
        }
        outcome
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}
