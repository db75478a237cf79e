//! At most one task per job and attempt; a second one only where the event honestly says so.

use std::collections::{BTreeMap, BTreeSet};

use mjq_simulator::Creation;

use super::{Findings, about};
use crate::history::{Asked, History, Told, attempt_of};

pub(super) fn check(history: &History) -> Findings {
    let mut findings = Findings::new();
    let (events, creations) = (history.events_by_job(), history.creations_by_job());
    for (id, billed) in &creations {
        let Some(asked) = history.jobs.get(*id) else {
            findings.push(about(id, "was billed, and nobody asked for it"));
            continue;
        };
        let event = events.get(id).and_then(|events| events.first()).copied();
        findings.extend(job(history, asked, event, billed).into_iter().map(|what| about(id, what)));
    }
    for (id, told) in &events {
        findings.extend(told.iter().filter_map(|event| flag(history, id, event)).map(|what| about(id, what)));
    }
    findings
}

/// Jobs that were billed more than once and may not be.
pub(super) fn twice(history: &History) -> Findings {
    let may_not = |id: &str| history.jobs.get(id).is_some_and(|asked| !asked.may_resubmit);
    let creations = history.creations_by_job();
    let twice = creations.into_iter().filter(|(id, billed)| may_not(id) && times(history, billed) > 1);
    twice.map(|(id, billed)| about(id, format!("was billed {} times, and may not be", billed.len()))).collect()
}

/// How often a job was billed for the same thing.
fn times(history: &History, billed: &[&Creation]) -> usize {
    // A task that failed may be replaced by a new one, which is an attempt of its own and no duplicate.
    let failed = |creation: &&&Creation| history.tasks.get(&creation.task).is_some_and(|task| task.status == "FAILURE");
    billed.len() - billed.iter().filter(failed).count().min(billed.len() - 1)
}

fn job(history: &History, asked: &Asked, event: Option<&Told>, billed: &[&Creation]) -> Vec<String> {
    let mut findings = Vec::new();
    let times = times(history, billed);
    if times > 1 && !asked.may_resubmit {
        findings.push(format!("was billed {times} times, and may not be submitted twice"));
    }
    let Some(event) = event else { return findings };
    if times > 1 && !event.possible_duplicate {
        findings.push(format!("was billed {times} times, and its event does not say possible_duplicate"));
    }
    if billed.len() > event.attempts as usize {
        findings.push(format!("was billed {} times in {} attempts", billed.len(), event.attempts));
    }
    let mut by_attempt: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for creation in billed {
        if let Some(attempt) = attempt_of(creation) {
            by_attempt.entry(attempt).or_default().insert(&creation.task);
        }
    }
    for (attempt, tasks) in by_attempt.iter().filter(|(_, tasks)| tasks.len() > 1) {
        findings.push(format!("was billed {} times in attempt {attempt}", tasks.len()));
    }
    findings
}

/// Says why the event's doubt is not honest, if it is not.
fn flag(history: &History, id: &str, event: &Told) -> Option<String> {
    if !event.possible_duplicate {
        return None;
    }
    if event.attempts < 2 {
        return Some(format!("says possible_duplicate after {} attempt", event.attempts));
    }
    if history.jobs.get(id).is_some_and(|asked| !asked.may_resubmit) {
        return Some("says possible_duplicate, and may not be submitted twice".to_owned());
    }
    let was_unknown = history.records.get(id).is_none_or(|record| {
        record.timeline.len() >= super::timelines::TRIMMED
            || record.timeline.iter().any(|(_, _, phase)| phase == "unknown")
    });
    (!was_unknown).then(|| "says possible_duplicate, and was never in doubt".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{a_creation, a_good_history};
    use super::*;

    #[test]
    fn a_second_task_is_found_under_fail_whatever_the_event_says() {
        let mut history = a_good_history();
        history.creations.push(a_creation("j1", "t2"));
        history.events[0].attempts = 2;
        history.events[0].possible_duplicate = true;

        assert!(check(&history).iter().any(|(_, what)| what.contains("may not be submitted twice")));
    }

    #[test]
    fn a_second_task_is_fine_under_resubmit_when_the_event_says_so() {
        let mut history = a_good_history();
        history.creations.push(a_creation("j1", "t2"));
        history.events[0].attempts = 2;
        history.jobs.values_mut().for_each(|asked| asked.may_resubmit = true);
        assert!(check(&history).iter().any(|(_, what)| what.contains("does not say")));

        history.events[0].possible_duplicate = true;
        history.records.values_mut().for_each(|record| record.timeline[2].2 = "unknown".to_owned());

        assert_eq!(check(&history), []);
    }

    #[test]
    fn a_flag_without_doubt_is_found() {
        let mut history = a_good_history();
        history.events[0].possible_duplicate = true;

        assert_eq!(check(&history).len(), 1);
    }
}
