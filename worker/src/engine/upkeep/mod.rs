//! Upkeep: keeps leases, shows that the pod lives, deletes old data.

mod heartbeat;
mod renewer;
pub(super) mod sweeper;

pub(super) use heartbeat::Heartbeat;
pub(super) use renewer::Renewer;
