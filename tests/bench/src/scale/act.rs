//! Acts of the ledger, and the names of the figures that tell what each costs.

use std::time::Duration;

/// What the ledger does for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Enqueue,
    Admit,
    ClaimSubmit,
    SettleSubmit,
    ClaimPoll,
    ClaimNothing,
    SettlePoll,
    End,
    ReadEvent,
    Forget,
}

/// How the calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// With a moment between them, as on a Redis that has little to do: it sleeps, and wakes for each.
    Calm,
    /// Without one.
    Busy,
}

impl Pace {
    /// Between two calls.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Calm => Duration::from_millis(4),
            Self::Busy => Duration::ZERO,
        }
    }

    /// How many go together where many do.
    pub(super) fn many(self) -> usize {
        match self {
            Self::Calm => 8,
            Self::Busy => 64,
        }
    }
}

impl Act {
    /// The name of its figure. What is never done alone has one for both.
    pub(super) fn name(self, pace: Pace, among_many: bool) -> &'static str {
        use Pace::{Busy, Calm};
        match (self, pace, among_many) {
            (Self::Enqueue, Calm, _) => "calm: enqueue µs",
            (Self::Enqueue, Busy, _) => "busy: enqueue µs",
            (Self::Admit, Calm, false) => "calm: admit µs, alone",
            (Self::Admit, Calm, true) => "calm: admit µs, one of 8",
            (Self::Admit, Busy, false) => "busy: admit µs, alone",
            (Self::Admit, Busy, true) => "busy: admit µs, one of 64",
            (Self::ClaimSubmit, Calm, false) => "calm: claim of a submit µs, alone",
            (Self::ClaimSubmit, Calm, true) => "calm: claim of a submit µs, one of 8",
            (Self::ClaimSubmit, Busy, false) => "busy: claim of a submit µs, alone",
            (Self::ClaimSubmit, Busy, true) => "busy: claim of a submit µs, one of 64",
            (Self::SettleSubmit, Calm, false) => "calm: settle of a submit µs, alone",
            (Self::SettleSubmit, Calm, true) => "calm: settle of a submit µs, one of 8",
            (Self::SettleSubmit, Busy, false) => "busy: settle of a submit µs, alone",
            (Self::SettleSubmit, Busy, true) => "busy: settle of a submit µs, one of 64",
            (Self::ClaimPoll, Calm, false) => "calm: claim of a poll µs, alone",
            (Self::ClaimPoll, Calm, true) => "calm: claim of a poll µs, one of 8",
            (Self::ClaimPoll, Busy, false) => "busy: claim of a poll µs, alone",
            (Self::ClaimPoll, Busy, true) => "busy: claim of a poll µs, one of 64",
            (Self::ClaimNothing, Calm, _) => "calm: claim that finds nothing µs",
            (Self::ClaimNothing, Busy, _) => "busy: claim that finds nothing µs",
            (Self::SettlePoll, Calm, false) => "calm: settle of a poll µs, alone",
            (Self::SettlePoll, Calm, true) => "calm: settle of a poll µs, one of 8",
            (Self::SettlePoll, Busy, false) => "busy: settle of a poll µs, alone",
            (Self::SettlePoll, Busy, true) => "busy: settle of a poll µs, one of 64",
            (Self::End, Calm, false) => "calm: end with its event µs, alone",
            (Self::End, Calm, true) => "calm: end with its event µs, one of 8",
            (Self::End, Busy, false) => "busy: end with its event µs, alone",
            (Self::End, Busy, true) => "busy: end with its event µs, one of 64",
            (Self::ReadEvent, Calm, _) => "calm: event read and acknowledged µs",
            (Self::ReadEvent, Busy, _) => "busy: event read and acknowledged µs",
            (Self::Forget, Calm, _) => "calm: record and event swept µs",
            (Self::Forget, Busy, _) => "busy: record and event swept µs",
        }
    }
}
