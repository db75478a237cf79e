//! Room: remembers whether submits wait for the limit of open tasks. If they do, the end of a task triggers a claim.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What the latest claim of this pod said. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct WishForRoom(Arc<AtomicBool>);

impl WishForRoom {
    /// Takes note of what a claim said.
    pub(crate) fn note(&self, submits_wait_for_room: bool) {
        self.0.store(submits_wait_for_room, Ordering::Relaxed);
    }

    /// Whether a submit waits for the room that an end makes.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
