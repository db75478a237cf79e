//! Planted bugs: mistakes that a queue like this one could make, to show that the chaos run finds them.
//!
//! Planted bugs exist only in builds with the feature `planted-bugs`, which no release has. `MJQ_PLANTED_BUG` chooses
//! one.

/// A mistake that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlantedBug {
    /// Code 22 is taken for a refusal, and the job is submitted again.
    ResubmitOn22,
    /// A step is written down under the job's current fence, not under the fence of its own claim.
    NoFence,
    /// The event is published separately, before the transition whose fence is checked.
    PublishBeforeTransition,
    /// A lease is not renewed while its step runs.
    LeaseNotRenewed,
    /// The event stream is cut to a length, even if some of its events are unread.
    TrimUnread,
    /// The caller's `state` is parsed and serialized again on its way.
    StateReserialised,
}

impl PlantedBug {
    /// Whether this process was told to make this mistake.
    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) const fn is_planted(self) -> bool {
        false
    }

    /// Whether this process was told to make this mistake.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn is_planted(self) -> bool {
        static CHOSEN: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| std::env::var("MJQ_PLANTED_BUG").unwrap_or_default());
        let name = match self {
            Self::ResubmitOn22 => "resubmit_on_22",
            Self::NoFence => "no_fence",
            Self::PublishBeforeTransition => "publish_before_transition",
            Self::LeaseNotRenewed => "lease_not_renewed",
            Self::TrimUnread => "trim_unread",
            Self::StateReserialised => "state_reserialised",
        };
        *CHOSEN == name
    }
}
