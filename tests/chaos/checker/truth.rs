//! The event agrees with the upstream's own books: whose task it is, how it ended, and its picture.

use std::collections::BTreeMap;

use super::{Findings, about};
use crate::history::{History, Told, job_of};

pub(super) fn check(history: &History) -> Findings {
    let owners: BTreeMap<&str, Option<&str>> =
        history.creations.iter().map(|creation| (creation.task.as_str(), job_of(creation))).collect();
    let mut findings = Findings::new();
    for event in history.events.iter().filter(|event| event.outcome != "rejected") {
        findings.extend(event_of(history, &owners, event).into_iter().map(|what| about(&event.job, what)));
    }
    findings
}

fn event_of(history: &History, owners: &BTreeMap<&str, Option<&str>>, event: &Told) -> Vec<String> {
    let mut findings = Vec::new();
    if event.task.is_empty() {
        if event.outcome == "completed" {
            findings.push("completed without a task".to_owned());
        }
        return findings;
    }
    match owners.get(event.task.as_str()) {
        None => findings.push(format!("task {} was never created", event.task)),
        Some(owner) if *owner != Some(event.job.as_str()) => {
            findings.push(format!("task {} belongs to {}", event.task, owner.unwrap_or("nobody")));
        }
        Some(_) => {}
    }
    let seen = history.tasks.get(&event.task).cloned().unwrap_or_default();
    if event.outcome == "completed" && seen.status != "SUCCESS" {
        findings.push(format!("completed, and task {} is {}", event.task, seen.status));
    }
    if event.outcome == "completed" && event.image_url != seen.image_url {
        findings.push(format!("has the picture {:?}, and the task {:?}", event.image_url, seen.image_url));
    }
    if event.outcome != "completed" && !event.image_url.is_empty() {
        findings.push(format!("{}, and has a picture", event.outcome));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::{a_creation, a_good_history};
    use super::*;

    #[test]
    fn a_task_of_somebody_else_and_a_foreign_picture_are_found() {
        let mut history = a_good_history();
        history.creations[0] = a_creation("j2", "t1");
        history.events[0].image_url.push('x');

        assert_eq!(check(&history).len(), 2);
    }
}
