//! Recovery: tells Redis what this pod knows, when Redis has lost its last writes.

mod reasserter;
mod recent_submits;

pub(super) use reasserter::{LatestSubmits, Reasserter};
pub(super) use recent_submits::{Forgotten, RecentSubmits};
