//! Room: remembers whether submits wait for the limit of open tasks. If they do, the end of a task triggers a claim.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What this pod's latest claim said of waiting submits. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct WishForRoom(Arc<AtomicBool>);

impl WishForRoom {
    /// Notes whether submits wait for room, as a claim said.
    pub(crate) fn note(&self, submits_wait_for_room: bool) {
        self.0.store(submits_wait_for_room, Ordering::Relaxed);
    }

    /// Whether a submit waits for the room that the end of a task makes.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
