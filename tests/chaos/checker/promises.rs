//! What a preset promises beside the invariants: when all is over, how fast a worker leaves, that nothing is in doubt.

use super::{Findings, about};
use crate::history::{History, Promises};

pub(super) fn check(history: &History) -> Findings {
    let Promises { finished_by_ms, exits_ms, longest_exit_ms, knows_everything } = &history.promises;
    let mut findings = Findings::new();
    let events = || history.events.iter();
    if *finished_by_ms > 0 {
        for event in events().filter(|event| event.published_ms > *finished_by_ms) {
            let late_ms = event.published_ms - finished_by_ms;
            findings.push(about(&event.job, format!("ended {late_ms} ms later than promised")));
        }
    }
    if *longest_exit_ms > 0 {
        let slow = exits_ms.iter().filter(|took_ms| *took_ms > longest_exit_ms);
        findings.extend(slow.map(|took_ms| (None, format!("a worker took {took_ms} ms to end"))));
    }
    if *knows_everything {
        let unknown = events().filter(|event| event.code == "submit_unknown");
        findings.extend(unknown.map(|event| about(&event.job, "its submit is in doubt, and nothing was killed")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn a_slow_exit_a_late_end_and_a_doubt_are_found() {
        let mut history = a_good_history();
        history.events[0].code = "submit_unknown".to_owned();
        history.promises =
            Promises { finished_by_ms: 1999, exits_ms: vec![100, 3001], longest_exit_ms: 3000, knows_everything: true };

        assert_eq!(check(&history).len(), 3);
    }
}
