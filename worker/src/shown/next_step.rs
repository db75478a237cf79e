//! The next step of a job, in words.

use super::format::{counted, due};
use crate::{
    ledger::{Paused, Place},
    lifecycle::Phase,
};

/// The next step of a job in `phase` at `place`, in a queue with the pause `paused`; empty for a job that has ended.
pub(crate) fn next_step(phase: Phase, place: Place, now_ms: u64, paused: Option<Paused>) -> String {
    match place {
        Place::InStep { lease_ms } if lease_ms < now_ms => "its worker went silent; taken over next".to_owned(),
        Place::InStep { .. } => "a worker is at it".to_owned(),
        Place::Poll { due_ms } => {
            let when = match paused {
                Some(Paused::All) => "after the pause".to_owned(),
                Some(Paused::Submits) | None => due(due_ms, now_ms),
            };
            match phase {
                Phase::Held => format!("waits for input (mjq modal), next poll {when}"),
                Phase::Unknown => format!("its task is searched for, next poll {when}"),
                _ => format!("next poll {when}"),
            }
        }
        Place::Submit { before } if paused.is_some() => match before {
            None | Some(0) => "submitted after the pause".to_owned(),
            Some(before) => format!("submitted after the pause and {}", counted(before, "other")),
        },
        Place::Submit { before: None } => "waits for its turn".to_owned(),
        Place::Submit { before: Some(0) } => "submitted next".to_owned(),
        Place::Submit { before: Some(before) } => format!("submitted after {}", counted(before, "other")),
        Place::Later { due_ms } if paused.is_some() => match due_ms > now_ms {
            true => format!("submitted {}, or after the pause", due(due_ms, now_ms)),
            false => "submitted after the pause".to_owned(),
        },
        Place::Later { due_ms } => format!("submitted {}", due(due_ms, now_ms)),
        Place::Ended { .. } => String::new(),
        Place::Moving => "between two steps".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_says_what_comes_next() {
        for (phase, place, said) in [
            (Phase::Submitting, Place::InStep { lease_ms: 9_000 }, "a worker is at it"),
            (Phase::Submitting, Place::InStep { lease_ms: 9 }, "its worker went silent; taken over next"),
            (Phase::Polling, Place::Poll { due_ms: 3_500 }, "next poll in 2.5 s"),
            (Phase::Polling, Place::Poll { due_ms: 0 }, "next poll now"),
            (Phase::Held, Place::Poll { due_ms: 3_500 }, "waits for input (mjq modal), next poll in 2.5 s"),
            (Phase::Queued, Place::Submit { before: Some(1) }, "submitted after 1 other"),
            (Phase::Queued, Place::Submit { before: Some(1_842) }, "submitted after 1,842 others"),
            (Phase::Queued, Place::Later { due_ms: 3_500 }, "submitted in 2.5 s"),
            (Phase::Completed, Place::Ended { at_ms: 9 }, ""),
        ] {
            assert_eq!(next_step(phase, place, 1_000, None), said);
        }
    }

    #[test]
    fn what_a_pause_holds_back_is_not_promised() {
        let (all, submits) = (Some(Paused::All), Some(Paused::Submits));
        for (phase, place, paused, said) in [
            (Phase::Polling, Place::Poll { due_ms: 0 }, all, "next poll after the pause"),
            (Phase::Polling, Place::Poll { due_ms: 0 }, submits, "next poll now"),
            (Phase::Queued, Place::Submit { before: None }, all, "submitted after the pause"),
            (Phase::Queued, Place::Submit { before: Some(0) }, submits, "submitted after the pause"),
            (
                Phase::Queued,
                Place::Submit { before: Some(2_731) },
                submits,
                "submitted after the pause and 2,731 others",
            ),
            (Phase::Queued, Place::Later { due_ms: 3_500 }, all, "submitted in 2.5 s, or after the pause"),
            (Phase::Queued, Place::Later { due_ms: 0 }, submits, "submitted after the pause"),
            (Phase::Submitting, Place::InStep { lease_ms: 9_000 }, all, "a worker is at it"),
        ] {
            assert_eq!(next_step(phase, place, 1_000, paused), said);
        }
    }
}
