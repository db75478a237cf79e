//! Each job has ended by its deadline, give or take what the faults cost.

use super::{Findings, about};
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let slack_ms = history.limits.deadline_slack_ms;
    let mut findings = Findings::new();
    for event in history.events.iter().filter(|event| event.outcome != "rejected") {
        let Some(asked) = history.jobs.get(&event.job) else { continue };
        let late_ms = event.published_ms.saturating_sub(event.enqueued_ms + asked.deadline_ms);
        if late_ms > slack_ms {
            findings.push(about(&event.job, format!("ended {late_ms} ms after its deadline")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn a_job_that_ends_after_its_deadline_is_found() {
        let mut history = a_good_history();
        history.jobs.values_mut().for_each(|asked| asked.deadline_ms = 900);
        history.limits.deadline_slack_ms = 99;
        assert_eq!(check(&history).len(), 1);

        history.limits.deadline_slack_ms = 100;
        assert_eq!(check(&history), []);
    }
}
