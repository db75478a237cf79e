//! The plan: what the model plays, and what it tells.

use super::{costs::Costs, polls::Play};

/// What does not change while it is played.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) costs: Costs,
    pub(super) tick_s: f64,
    /// The most tasks open upstream at once.
    pub(super) max_open: u64,
    /// Steps that one pod performs per second.
    pub(super) pod_steps: f64,
    pub(super) retention_ticks: usize,
    pub(super) classes: Vec<Class>,
}

/// Jobs of one kind.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Of all jobs, 0 to 1.
    pub(super) share: f64,
    /// What may become of one.
    pub(super) plays: Vec<Play>,
    pub(super) deadline_ticks: u64,
}

/// Who is there in a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) pods: f64,
    pub(super) redis: bool,
    pub(super) upstream: bool,
}

/// What a tick brought; rates are per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tick {
    pub(super) polls: f64,
    pub(super) claims: f64,
    /// Seconds of Redis per second.
    pub(super) redis: f64,
    pub(super) bytes: f64,
}

/// All jobs so far: those that arrived are done, have given up, wait, or are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Jobs {
    pub(super) arrived: u64,
    pub(super) done: u64,
    /// Ended by their deadline.
    pub(super) gave_up: u64,
    pub(super) waiting: u64,
    pub(super) open: u64,
}
