//! The checker: which of mjq's promises a history breaks.
//!
//! One invariant per file, each a pure function of the history. None of them believes the worker about anything that
//! the upstream's books, the streams or the producers can tell. Some hold at any time, and are watched while things break.

mod billing;
mod census;
mod deadlines;
mod delivery;
mod leftovers;
mod limits;
mod promises;
mod states;
mod terminal;
mod timelines;
mod truth;

pub(crate) use limits::{most_open, timed};
use serde::Serialize;

use crate::history::History;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Which promise.
    pub(crate) invariant: &'static str,
    /// The job concerned, if there is one.
    pub(crate) job: Option<String>,
    /// What was seen, and what should have been.
    pub(crate) what: String,
}

type Check = fn(&History) -> Vec<(Option<String>, String)>;

/// Each invariant by name, in the order in which they are told.
pub(crate) const INVARIANTS: [(&str, Check); 11] = [
    ("one terminal event", terminal::check),
    ("paid once", billing::check),
    ("delivered once", delivery::check),
    ("state intact", states::check),
    ("event tells the truth", truth::check),
    ("ended by its deadline", deadlines::check),
    ("history is legal", timelines::check),
    ("nothing left behind", leftovers::check),
    ("memory given back", census::check),
    ("limits kept", limits::check),
    ("promises of the preset", promises::check),
];

/// Those that hold at any time, however much is still under way.
const ONLINE: [(&str, Check); 4] = [
    ("one terminal event", terminal::twice),
    ("paid once", billing::twice),
    ("delivered once", delivery::gone),
    ("state intact", states::check),
];

/// Checks everything, after quiescence.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    violations(&INVARIANTS, history)
}

/// Checks what must hold at any time.
pub(crate) fn check_online(history: &History) -> Vec<Violation> {
    violations(&ONLINE, history)
}

fn violations(invariants: &[(&'static str, Check)], history: &History) -> Vec<Violation> {
    let of = |(invariant, check): &(&'static str, Check)| {
        let invariant = *invariant;
        check(history).into_iter().map(move |(job, what)| Violation { invariant, job, what })
    };
    invariants.iter().flat_map(of).collect()
}

/// What one invariant has to say: the job concerned, and what is wrong.
type Findings = Vec<(Option<String>, String)>;

fn about(job: &str, what: impl Into<String>) -> (Option<String>, String) {
    (Some(job.to_owned()), what.into())
}

#[cfg(test)]
mod samples {
    //! Histories for the invariants' own tests.

    use mjq_simulator::Creation;

    use crate::history::{Asked, History, Kept, TaskSeen, Told, prompt_of};

    /// A job that went well in every respect.
    pub(super) fn a_good_history() -> History {
        let mut history = History::default();
        history.jobs.insert(
            "j1".to_owned(),
            Asked { state: "j1 🦊".to_owned(), deadline_ms: 900_000, is_certain: true, ..Asked::default() },
        );
        history.events.push(Told {
            entry: "2000-0".to_owned(),
            outcome: "completed".to_owned(),
            job: "j1".to_owned(),
            state: "j1 🦊".to_owned(),
            task: "t1".to_owned(),
            code: "ok".to_owned(),
            image_url: "http://sim/image/t1.png".to_owned(),
            attempts: 1,
            enqueued_ms: 1000,
            published_ms: 2000,
            ..Told::default()
        });
        history.received.insert("2000-0".to_owned(), "j1".to_owned());
        history.creations.push(a_creation("j1", "t1"));
        let task = TaskSeen {
            status: "SUCCESS".to_owned(),
            image_url: "http://sim/image/t1.png".to_owned(),
            finished_ms: 1900,
        };
        history.tasks.insert("t1".to_owned(), task);
        let moments = [(1000, 0, "queued"), (1100, 1, "submitting"), (1150, 1, "polling"), (2000, 4, "completed")];
        history.records.insert(
            "j1".to_owned(),
            Kept {
                phase: "completed".to_owned(),
                fence: 4,
                timeline: moments.map(|(at_ms, fence, phase)| (at_ms, fence, phase.to_owned())).into(),
            },
        );
        history
    }

    pub(super) fn a_creation(job: &str, task: &str) -> Creation {
        Creation {
            task: task.to_owned(),
            prompt: prompt_of(job),
            state: None,
            action: "IMAGINE".to_owned(),
            at_ms: 1120,
            parent: None,
            custom_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Asked;

    #[test]
    fn a_good_history_breaks_nothing() {
        assert_eq!(check(&samples::a_good_history()), []);
        assert_eq!(check_online(&samples::a_good_history()), []);
    }

    #[test]
    fn a_second_event_and_a_second_task_are_found_while_other_jobs_are_still_under_way() {
        let mut history = samples::a_good_history();
        history.jobs.insert("j2".to_owned(), Asked { is_certain: true, ..Asked::default() });
        assert_eq!(check_online(&history), []);

        history.events.push(history.events[0].clone());
        history.creations.push(samples::a_creation("j1", "t2"));

        let broken: Vec<_> = check_online(&history).into_iter().map(|violation| violation.invariant).collect();
        assert_eq!(broken, ["one terminal event", "paid once"]);
    }
}
