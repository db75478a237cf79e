//! Sabotage: mistakes that a queue like this one could make. The checker has to find each.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// An outcome is written even if its claim no longer holds.
    NoFence,
    /// An outcome that is settled again is written again.
    SettlesTwice,
    /// A pod that takes a job over is not told that the job's worker died.
    SilentReclaim,
    /// A claim whose answer was lost is forgotten.
    NoMemo,
    /// Pods do not renew their leases.
    NoRenewal,
    /// Pods send requests for old claims, too.
    SendsLate,
    /// A lost answer is taken for a refusal.
    ResubmitsLost,
    /// Code 22 is taken for a refusal.
    Resubmits22,
    /// A drain hands a dead worker's submit back as if nothing had left.
    HandsBackTheDead,
    /// A pod does not report its claims to a Redis that has lost its last writes.
    SaysNothing,
    /// Claims go on at once on a new server, before all pods have reported their claims.
    NoGate,
}

impl Sabotage {
    pub(super) const ALL: [Self; 11] = [
        Self::NoFence,
        Self::SettlesTwice,
        Self::SilentReclaim,
        Self::NoMemo,
        Self::NoRenewal,
        Self::SendsLate,
        Self::ResubmitsLost,
        Self::Resubmits22,
        Self::HandsBackTheDead,
        Self::SaysNothing,
        Self::NoGate,
    ];
}
