//! What a job waits for, in words.

use super::words::{counted, due};
use crate::{ledger::Place, lifecycle::Phase};

/// What comes next for a job that stands in `phase` and is found at `place`.
pub(super) fn next_step(phase: Phase, place: Place, now_ms: u64) -> String {
    match place {
        Place::InStep { .. } => "a worker is at it".to_owned(),
        Place::Poll { due_ms } => {
            let when = due(due_ms, now_ms);
            match phase {
                Phase::Held => format!("waits for input (mjq modal), next look {when}"),
                Phase::Unknown => format!("its task is looked for, next look {when}"),
                _ => format!("next look {when}"),
            }
        }
        Place::Submit { before: Some(before) } => format!("to be submitted, {} before it", counted(before, "job")),
        Place::Submit { before: None } => "to be submitted".to_owned(),
        Place::Later { due_ms } => format!("to be submitted {}", due(due_ms, now_ms)),
        Place::Ended { .. } => String::new(),
        Place::Moving => "on its way from one step to the next".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_says_what_comes_next() {
        for (phase, place, said) in [
            (Phase::Submitting, Place::InStep { lease_ms: 9 }, "a worker is at it"),
            (Phase::Polling, Place::Poll { due_ms: 3_500 }, "next look in 2.5 s"),
            (Phase::Polling, Place::Poll { due_ms: 0 }, "next look now"),
            (Phase::Held, Place::Poll { due_ms: 3_500 }, "waits for input (mjq modal), next look in 2.5 s"),
            (Phase::Queued, Place::Submit { before: Some(1) }, "to be submitted, 1 job before it"),
            (Phase::Queued, Place::Later { due_ms: 3_500 }, "to be submitted in 2.5 s"),
            (Phase::Completed, Place::Ended { at_ms: 9 }, ""),
        ] {
            assert_eq!(next_step(phase, place, 1_000), said);
        }
    }
}
