//! The alias: another id under which an upstream shows a job's task.
//!
//! Some relays number tasks themselves, but pass on their own upstream's answers: asked for task 12463258, they show
//! task 1748339072775123. Others mix answers up. A single answer cannot tell these cases apart. But if every poll for
//! one task id shows the same other id, both ids name the same task.

use mjq_producer::contract::TaskId;
use serde::{Deserialize, Serialize};

use super::{Observation, Record};

/// The other id that the upstream has lately shown, the number of polls in a row that showed it, and since when (Unix
/// milliseconds by Redis's clock).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias(TaskId, u32, u64);

impl Alias {
    /// How many polls in a row must show the same id: a cache or a router that errs soon recovers.
    const POLLS: u32 = 5;
    /// The least time between the first and the last of these polls.
    const OVER_MS: u64 = 30_000;

    /// Notes that a poll at `now_ms` has shown `id`.
    pub(super) fn shown(alias: Option<Self>, id: &TaskId, now_ms: u64) -> Self {
        match alias {
            Some(Self(known, polls, since_ms)) if known == *id => Self(known, polls.saturating_add(1), since_ms),
            _ => Self(id.clone(), 1, now_ms),
        }
    }

    fn is_proven(&self, id: &TaskId, now_ms: u64) -> bool {
        let Self(known, polls, since_ms) = self;
        known == id && *polls >= Self::POLLS && now_ms.saturating_sub(*since_ms) >= Self::OVER_MS
    }
}

impl Record {
    /// What a poll of the job's task has seen. A task under another id counts as the job's own once that id was shown
    /// often enough, over long enough.
    #[must_use]
    pub fn recognise(&self, seen: Observation, now_ms: u64) -> Observation {
        match seen {
            Observation::Stranger { id, seen, .. } if self.alias.as_ref().is_some_and(|a| a.is_proven(&id, now_ms)) => {
                *seen
            }
            seen => seen,
        }
    }
}
