//! Exactly one terminal event per accepted job, none for anything else, and a rejection for what had to be rejected.

use std::collections::BTreeMap;

use super::{Findings, about};
use crate::history::{Bounds, History};

pub(super) fn check(history: &History) -> Findings {
    let mut findings = twice(history);
    let events = history.events_by_job();
    for (id, asked) in &history.jobs {
        if !events.contains_key(id.as_str()) && history.is_expected(id, asked) {
            findings.push(about(id, "has no terminal event"));
        }
    }
    for id in events.keys().filter(|id| !history.jobs.contains_key(**id)) {
        findings.push(about(id, "has a terminal event, and nobody asked for it"));
    }
    findings.extend(rejections(history));
    findings
}

/// Jobs with more than one terminal event.
pub(super) fn twice(history: &History) -> Findings {
    let events = history.events_by_job();
    let twice = events.into_iter().filter(|(_, told)| told.len() > 1);
    twice.map(|(id, told)| about(id, format!("has {} terminal events", told.len()))).collect()
}

fn rejections(history: &History) -> Findings {
    let mut told: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for event in history.events.iter().filter(|event| event.outcome == "rejected") {
        *told.entry((&event.job, &event.code)).or_default() += 1;
    }
    let mut findings = Findings::new();
    for ((id, code), Bounds { least, most }) in &history.rejections {
        let times = told.remove(&(id.as_str(), *code)).unwrap_or(0);
        if times < *least || times > *most {
            findings.push(about(id, format!("was rejected as {code} {times} times, not {least} to {most} times")));
        }
    }
    findings.extend(told.keys().map(|(id, code)| about(id, format!("was rejected as {code}, and was in order"))));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;
    use crate::history::{Asked, Told};

    #[test]
    fn a_second_event_and_a_missing_one_are_found() {
        let mut history = a_good_history();
        history.events.push(history.events[0].clone());
        history.jobs.insert("j2".to_owned(), Asked { is_certain: true, ..Asked::default() });
        history.jobs.insert("maybe".to_owned(), Asked::default());

        let found: Vec<_> = check(&history).into_iter().filter_map(|(job, _)| job).collect();

        assert_eq!(found, ["j1", "j2"]);
    }

    #[test]
    fn a_follow_up_is_expected_when_its_parent_has_completed() {
        let mut history = a_good_history();
        let follows = |parent: &str| Asked { follows: Some(parent.to_owned()), ..Asked::default() };
        history.jobs.insert("j1.then.0".to_owned(), follows("j1"));
        history.jobs.insert("j9.then.0".to_owned(), follows("j9"));

        assert_eq!(check(&history), [about("j1.then.0", "has no terminal event")]);
    }

    #[test]
    fn rejections_are_counted() {
        let mut history = a_good_history();
        let rejected = Told { outcome: "rejected".to_owned(), code: "malformed".to_owned(), ..Told::default() };
        history.events.push(Told { job: "bad-1".to_owned(), ..rejected.clone() });
        history.events.push(Told { job: "j1".to_owned(), ..rejected });
        for id in ["bad-1", "bad-2"] {
            history.rejections.insert((id.to_owned(), "malformed"), Bounds { least: 1, most: 1 });
        }

        let found: Vec<_> = check(&history).into_iter().filter_map(|(job, _)| job).collect();

        assert_eq!(found, ["bad-2", "j1"]);
    }
}
