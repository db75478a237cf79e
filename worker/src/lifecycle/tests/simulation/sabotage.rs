//! Sabotage: mistakes that a queue like this one could make. The checker has to find each.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// An outcome is written whatever has become of the claim.
    NoFence,
    /// An outcome that is told again is written again.
    SettlesTwice,
    /// Whoever takes a job over is not told that its worker died.
    SilentReclaim,
    /// A claim whose answer was lost is forgotten.
    NoMemo,
    /// Pods do not renew their leases.
    NoRenewal,
    /// Pods send what they have claimed, however long ago that was.
    SendsLate,
    /// A lost answer is taken for a refusal.
    ResubmitsLost,
    /// Code 22 is taken for a refusal.
    Resubmits22,
    /// A drain hands a dead worker's submit back as if nothing had left.
    HandsBackTheDead,
    /// A pod says nothing of what it holds to a Redis that has lost its last writes.
    SaysNothing,
    /// Claims go on at once on another server, whoever has not yet said what he holds.
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
