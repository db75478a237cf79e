//! Upkeep: leases are kept, pods show themselves, what is old goes.

mod heartbeat;
mod renewer;
pub(super) mod sweeper;

pub(super) use heartbeat::Heartbeat;
pub(super) use renewer::Renewer;
