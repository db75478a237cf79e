//! The caller's `state` comes back byte for byte, by its digest.

use sha2::{Digest, Sha256};

use super::{Findings, about};
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let mut findings = Findings::new();
    for event in history.events.iter().filter(|event| event.outcome != "rejected") {
        if let Some(asked) = history.jobs.get(&event.job)
            && digest(&asked.state) != digest(&event.state)
        {
            let (asked, told) = (asked.state.len(), event.state.len());
            findings.push(about(&event.job, format!("another state came back: {told} bytes for {asked}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn one_changed_byte_is_found() {
        let mut history = a_good_history();
        history.events[0].state.push(' ');

        assert_eq!(check(&history).len(), 1);
    }
}
