//! What the simulated API says that it has done; it does not know that it is asked by a judge.

use mjq_simulator::Stats;

/// The figures that matter to whoever pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// Tasks created, each of which would be billed.
    pub(crate) created: u64,
    /// Prompts and buttons for which more than one task was created.
    pub(crate) created_again: u64,
    /// Submits, whatever the answer.
    pub(crate) submits: u64,
    /// Submits that were answered with code 22: accepted, in line.
    pub(crate) in_line: u64,
}

impl Books {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            created: stats.created,
            created_again: stats.created_again,
            submits: stats.requests.get("submit").copied().unwrap_or_default(),
            in_line: stats.answers.get("22").copied().unwrap_or_default(),
        }
    }
}
