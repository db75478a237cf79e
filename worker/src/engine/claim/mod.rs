//! Claims: which steps this pod takes, how many at once, and how the pod holds them.

mod backend;
mod claimer;
mod room;
mod slot;
mod slow_start;
mod stagger;

pub(super) use backend::LedgerBackend;
pub(super) use claimer::Claimer;
pub(super) use room::WishForRoom;
#[cfg(test)]
pub(super) use slot::tests::step;
pub(super) use slot::{HeldStep, Hold, Slots};
pub(super) use slow_start::SlowStart;
pub(super) use stagger::Stagger;
