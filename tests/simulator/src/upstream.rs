//! The one upstream that all requests meet: the world behind a lock, and its clock.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::{clock::Clock, knobs::Knobs, oracle::Oracle, world::World};

/// The world, shared. The lock is held for one decision, never across an await.
#[derive(Debug)]
pub(crate) struct Upstream {
    world: Mutex<World>,
    clock: Clock,
    /// Rings when the line of callbacks has changed.
    pub(crate) new_callbacks: Notify,
}

impl Upstream {
    pub(crate) fn open(knobs: Knobs) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let oracle = Oracle::with_log(knobs.log.as_deref())?;
        let world = Mutex::new(World::new(knobs, oracle, clock.now_ms()));
        Ok(Self { world, clock, new_callbacks: Notify::new() })
    }

    /// Lets `act` look at the world, or change it, at this moment.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut World, u64) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the world never sees the time run backwards.
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
