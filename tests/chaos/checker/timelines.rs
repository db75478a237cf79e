//! Each job's timeline is a path of the state machine, and its fences strictly increase.

use super::{Findings, about};
use crate::history::{History, Kept};

/// A timeline of this length has lost its oldest moments, all but the first.
pub(super) const TRIMMED: usize = 32;

/// The edges of the picture in ARCHITECTURE.md, written down a second time on purpose.
const EDGES: [(&str, &[&str]); 5] = [
    ("queued", &["submitting", "failed", "cancelled"]),
    ("submitting", &["polling", "queued", "unknown", "held", "failed", "cancelled"]),
    ("polling", &["held", "queued", "completed", "failed", "cancelled"]),
    ("unknown", &["polling", "queued", "failed", "cancelled"]),
    ("held", &["polling", "queued", "completed", "failed", "cancelled"]),
];
const TERMINAL: [&str; 3] = ["completed", "failed", "cancelled"];

pub(super) fn check(history: &History) -> Findings {
    let mut findings = Findings::new();
    let ended = history.events_by_job();
    for (id, record) in &history.records {
        findings.extend(path(record).map(|what| about(id, what)));
        if ended.contains_key(id.as_str()) != TERMINAL.contains(&record.phase.as_str()) {
            findings.push(about(id, format!("is {} in the ledger, unlike its event", record.phase)));
        }
    }
    findings
}

fn path(record: &Kept) -> Option<String> {
    let moments = &record.timeline;
    let first_phase = moments.first().map_or("", |(_, _, phase)| phase);
    if first_phase != "queued" {
        return Some(format!("begins as {first_phase:?}"));
    }
    let skipped = usize::from(moments.len() >= TRIMMED);
    for pair in moments.windows(2).skip(skipped) {
        let [(at_ms, fence, from), (next_at_ms, next_fence, to)] = pair else { continue };
        if !EDGES.iter().any(|(phase, next)| phase == from && next.contains(&to.as_str())) {
            return Some(format!("went from {from} to {to}"));
        }
        if next_fence < fence {
            return Some(format!("went from fence {fence} back to {next_fence}"));
        }
        // Each step is a claim of its own. Two moments of one claim are a submit's intent and its answer, and what one
        // answer means at once: a refusal at the deadline puts the job back and ends it.
        let is_one_claim = from == "submitting" || at_ms == next_at_ms;
        if next_fence == fence && (!is_one_claim || to == "submitting") {
            return Some(format!("went from {from} to {to} under one fence, {fence}"));
        }
    }
    let (_, last_fence, last) = moments.last()?;
    if TERMINAL.contains(&last.as_str()) && *last_fence != record.fence {
        return Some(format!("ended under fence {last_fence} and was claimed again, under {}", record.fence));
    }
    (TERMINAL.contains(&record.phase.as_str()) && *last != record.phase)
        .then(|| format!("is {} and its timeline ends as {last}", record.phase))
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    fn broken(change: impl FnOnce(&mut Kept)) -> usize {
        let mut history = a_good_history();
        history.records.values_mut().take(1).for_each(|record| record.fence = 4);
        if let Some(record) = history.records.get_mut("j1") {
            change(record);
        }
        check(&history).len()
    }

    #[test]
    fn a_leap_a_fence_that_goes_back_and_a_claim_after_the_end_are_found() {
        assert_eq!(broken(|_| ()), 0);
        assert_eq!(broken(|record| drop(record.timeline.remove(1))), 1);
        assert_eq!(broken(|record| record.timeline[2].1 = 0), 1);
        assert_eq!(broken(|record| (record.timeline[3].1, record.fence) = (1, 1)), 1);
        assert_eq!(broken(|record| record.fence = 5), 1);
    }
}
