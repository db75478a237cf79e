//! The alias: another id under which an upstream shows a job's task.
//!
//! Some relays number tasks themselves, and hand on what their own upstream shows: a question for task 12463258 is
//! answered with task 1748339072775123. Others mix answers up. A single answer cannot tell one from the other. But if every
//! poll for one task id shows the same other id, both ids name the same task.

use mjq_producer::contract::TaskId;
use serde::{Deserialize, Serialize};

use super::{Observation, Record};

/// The other id that the upstream has lately shown: which, in how many looks in a row, and since when (Unix
/// milliseconds by Redis's clock).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias(TaskId, u32, u64);

impl Alias {
    /// Looks in a row that must show the same id: a cache or a router that errs soon does better.
    const LOOKS: u32 = 5;
    /// How far the first and the last of them are apart, at least.
    const OVER_MS: u64 = 30_000;

    /// Takes note that a look at `now_ms` has shown `id`.
    pub(super) fn shown(alias: Option<Self>, id: &TaskId, now_ms: u64) -> Self {
        match alias {
            Some(Self(known, looks, since_ms)) if known == *id => Self(known, looks.saturating_add(1), since_ms),
            _ => Self(id.clone(), 1, now_ms),
        }
    }

    fn is_proven(&self, id: &TaskId, now_ms: u64) -> bool {
        let Self(known, looks, since_ms) = self;
        known == id && *looks >= Self::LOOKS && now_ms.saturating_sub(*since_ms) >= Self::OVER_MS
    }
}

impl Record {
    /// What a look at the job's task has seen, where a task under another id counts as the job's own once it has been
    /// shown often enough, over long enough.
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
