//! No second holds more submits or polls than the rates allow, and no more jobs had an open task than allowed: by the
//! upstream's own books.

use mjq_simulator::{Creation, busiest_second};

use super::Findings;
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let mut findings = Findings::new();
    let (limits, arrivals) = (&history.limits, &history.arrivals);
    for (what, rate, arrivals_ms) in [
        ("submits", limits.submits_per_second, &arrivals.submits_ms),
        ("polls", limits.polls_per_second, &arrivals.polls_ms),
    ] {
        let busiest = busiest_second(&timed(history, arrivals_ms));
        if rate > 0 && busiest > rate as usize {
            findings.push((None, format!("{busiest} {what} came within one second, and {rate} are allowed")));
        }
    }
    let open = most_open(history);
    if limits.max_open > 0 && open > i64::from(limits.max_open) {
        findings.push((None, format!("{open} jobs had an open task at once, and {} are allowed", limits.max_open)));
    }
    findings
}

/// The arrivals whose time is certain. Leaving the others out can only make the rate look lower.
pub(crate) fn timed(history: &History, arrivals_ms: &[u64]) -> Vec<u64> {
    let is_timed = |at_ms: &u64| !history.untimed_ms.iter().any(|(from, to)| (from..to).contains(&at_ms));
    arrivals_ms.iter().copied().filter(is_timed).collect()
}

/// The most jobs that had a task open upstream at the same time.
///
/// A task counts from its creation until it or its job has ended: what was cancelled runs on, and nobody waits for it.
/// Of several tasks of one job the last counts. The others are those whose answers were lost, which nobody can count.
pub(crate) fn most_open(history: &History) -> i64 {
    let events = history.events_by_job();
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for (job, billed) in history.creations_by_job() {
        let Some(Creation { task, at_ms, .. }) = billed.last() else { continue };
        let finished_ms = history.tasks.get(task).map_or(0, |task| task.finished_ms);
        let told_ms = events.get(job).and_then(|told| told.first()).map_or(0, |event| event.published_ms);
        let ends = [finished_ms, told_ms].into_iter().filter(|end_ms| *end_ms > 0);
        changes.push((*at_ms, 1));
        // An end before the creation is that of a job which was given up while its submit was under way.
        changes.push((ends.min().unwrap_or(u64::MAX).max(*at_ms), -1));
    }
    // Ends come first: what ends in a millisecond makes room in it.
    changes.sort_unstable();
    changes
        .iter()
        .scan(0, |open, (_, change)| {
            *open += change;
            Some(*open)
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{a_creation, a_good_history};
    use super::*;

    #[test]
    fn a_second_with_too_many_submits_or_polls_is_found() {
        let mut history = a_good_history();
        history.arrivals.submits_ms = vec![0, 500, 999, 1000];
        history.arrivals.polls_ms = vec![0, 999, 1000];
        (history.limits.submits_per_second, history.limits.polls_per_second) = (2, 1);
        assert_eq!(check(&history).len(), 2);

        (history.limits.submits_per_second, history.limits.polls_per_second) = (3, 2);
        assert_eq!(check(&history), []);
    }

    #[test]
    fn an_arrival_that_could_not_be_timed_is_not_counted() {
        let mut history = a_good_history();
        history.arrivals.submits_ms = vec![0, 500, 999, 1000];
        history.limits.submits_per_second = 2;

        history.untimed_ms = vec![(450, 550)];

        assert_eq!(check(&history), []);
    }

    #[test]
    fn too_many_open_tasks_are_found_and_those_of_ended_jobs_do_not_count() {
        let mut history = a_good_history();
        history.limits.max_open = 1;
        history.creations.push(Creation { at_ms: 1500, ..a_creation("j2", "t2") });
        assert_eq!(check(&history).len(), 1);

        history.creations[1].at_ms = 1900;
        assert_eq!(check(&history), []);
    }
}
