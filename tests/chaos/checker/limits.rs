//! No second holds more submits than the rate, and no more tasks were open than allowed.

use mjq_simulator::busiest_second;

use super::Findings;
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let mut findings = Findings::new();
    let rate = history.limits.submits_per_second;
    let busiest = busiest_second(&history.arrivals.submits_ms);
    if rate > 0 && busiest > rate as usize {
        findings.push((None, format!("{busiest} submits came within one second, and {rate} are allowed")));
    }
    let max_open = u64::from(history.limits.max_open);
    // A task whose answer was lost is open upstream, and nobody can know.
    let in_doubt = history.events.iter().filter(|event| event.code == "submit_unknown" || event.possible_duplicate);
    let in_doubt = in_doubt.count() as u64;
    if max_open > 0 && history.max_open > max_open + in_doubt {
        let most = history.max_open;
        findings
            .push((None, format!("{most} tasks were open at once; {max_open} and {in_doubt} in doubt are allowed")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn a_second_with_too_many_submits_and_too_many_open_tasks_are_found() {
        let mut history = a_good_history();
        history.arrivals.submits_ms = vec![0, 500, 999, 1000];
        history.max_open = 3;
        (history.limits.submits_per_second, history.limits.max_open) = (2, 2);
        assert_eq!(check(&history).len(), 2);

        (history.limits.submits_per_second, history.limits.max_open) = (3, 3);
        assert_eq!(check(&history), []);
    }
}
