//! No event lost, none made up: what consumers dealt with is what the stream holds.

use std::collections::BTreeSet;

use super::{Findings, about};
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let mut findings = gone(history);
    let mut entries = BTreeSet::new();
    for event in &history.events {
        entries.insert(event.entry.as_str());
        if !history.received.contains_key(&event.entry) {
            findings.push(about(&event.job, format!("event {} reached no consumer", event.entry)));
        }
    }
    for (entry, job) in history.received.iter().filter(|(entry, _)| !entries.contains(entry.as_str())) {
        findings.push(about(job, format!("event {entry} was given to a consumer and is not in the stream")));
    }
    findings
}

/// Events that went out of the stream before anybody had read them.
pub(super) fn gone(history: &History) -> Findings {
    let gone = history.vanished.iter().filter(|(entry, _)| !history.received.contains_key(*entry));
    gone.map(|(entry, job)| about(job, format!("event {entry} left the stream, and nobody had read it"))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn an_event_that_nobody_got_and_one_that_is_gone_are_found() {
        let mut history = a_good_history();
        history.received.clear();
        history.received.insert("1-0".to_owned(), "j0".to_owned());

        let found: Vec<_> = check(&history).into_iter().filter_map(|(job, _)| job).collect();

        assert_eq!(found, ["j1", "j0"]);
    }

    #[test]
    fn an_event_that_was_trimmed_unread_is_found_and_one_that_was_read_may_go() {
        let mut history = a_good_history();
        history.vanished = [("2000-0".to_owned(), "j1".to_owned())].into();
        assert_eq!(gone(&history), []);

        history.vanished.insert("1-0".to_owned(), "j0".to_owned());

        assert_eq!(check(&history).len(), 1);
    }
}
