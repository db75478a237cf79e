//! After quiescence Redis holds finished jobs, which are swept when their time has passed, and a fixed set of small keys; without the former its memory is
//! back where it was. A leaked claim, a limit's token too many or a key that nobody knows is found by name.

use super::{Findings, about};
use crate::collect::JOB_FAMILIES;
use crate::history::{History, KeySeen};

/// What may be left besides the jobs: scripts, buffers of clients, and what Redis itself needs to have once been busy.
const SLACK_BYTES: u64 = 1024 * 1024;

/// The keys that a queue may have for good, by the end of their names.
const LASTING: [&str; 13] = [
    "jobs",
    "events",
    "progress",
    "ended",
    "failed",
    "late",
    "totals",
    "upstream",
    "workers",
    "rejected",
    "room",
    "given_out",
    "hook_secret",
];
/// These must be empty in the end, and are looked at one by one: see `leftovers`.
const LANES: [&str; 8] = ["leases", "due:submit", "due:later", "due:poll", "deadlines", "marked", "held", "unknown"];

pub(super) fn check(history: &History) -> Findings {
    let mut findings: Findings =
        history.keys.iter().filter_map(|(key, seen)| wrong(history, key, *seen)).map(|what| (None, what)).collect();
    let (before, after) = (history.memory_before_bytes, history.memory_without_jobs_bytes);
    if after > before + SLACK_BYTES {
        let more = (after - before) / 1024;
        findings.push((None, format!("without the finished jobs, Redis holds {more} KiB more than in the beginning")));
    }
    let records = history.keys.keys().filter_map(|key| part(key)?.strip_prefix("job:"));
    let ended = history.events_by_job();
    findings.extend(records.filter(|id| !ended.contains_key(id)).map(|id| about(id, "is kept, and has not ended")));
    findings
}

/// What a key is called within its queue.
fn part(key: &str) -> Option<&str> {
    key.strip_prefix("mjq:{")?.split_once("}:").map(|(_, part)| part)
}

fn wrong(history: &History, key: &str, seen: KeySeen) -> Option<String> {
    let Some(part) = part(key) else { return Some(format!("{key} belongs to no queue")) };
    let (family, _) = part.split_once(':').unwrap_or((part, ""));
    match (family, part) {
        ("claim" | "children", _) => (!seen.expires).then(|| format!("{key} would stay for ever")),
        (family, _) if JOB_FAMILIES.contains(&family) => {
            let is_indexed = part.split_once(':').is_some_and(|(_, id)| history.swept_in_time.contains(id));
            (!seen.expires && !is_indexed).then(|| format!("{key} would stay for ever"))
        }
        (_, "rate:submit") => too_many(key, seen, history.limits.submits_per_second),
        (_, "rate:poll") => too_many(key, seen, history.limits.polls_per_second),
        ("pace", _) => None,
        _ if LASTING.contains(&part) || LANES.contains(&part) => None,
        _ => Some(format!("{key} is a key that nobody knows")),
    }
}

fn too_many(key: &str, seen: KeySeen, limit: u32) -> Option<String> {
    (seen.length > u64::from(limit)).then(|| format!("{key} holds {} grants, and {limit} are the limit", seen.length))
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    fn found(keys: &[(&str, KeySeen)]) -> usize {
        let mut history = a_good_history();
        history.limits.submits_per_second = 5;
        history.swept_in_time.insert("j1".to_owned());
        history.keys = keys.iter().map(|(key, seen)| ((*key).to_owned(), *seen)).collect();
        check(&history).len()
    }

    #[test]
    fn an_unknown_key_a_leaked_claim_a_record_that_stays_and_a_grant_too_many_are_found() {
        let lasting = KeySeen { expires: false, length: 5 };
        let expiring = KeySeen { expires: true, length: 5 };

        assert_eq!(found(&[("mjq:{q}:job:j1", expiring), ("mjq:{q}:rate:submit", lasting)]), 0);
        assert_eq!(found(&[("mjq:{q}:claim:pod", expiring), ("mjq:{q}:events", lasting)]), 0);
        assert_eq!(found(&[("mjq:{q}:token", lasting)]), 1);
        assert_eq!(found(&[("scratch", lasting)]), 1);
        assert_eq!(found(&[("mjq:{q}:claim:pod", lasting)]), 1);
        assert_eq!(found(&[("mjq:{q}:job:j1", lasting)]), 0);
        assert_eq!(found(&[("mjq:{q}:job:j2", lasting)]), 2);
        assert_eq!(found(&[("mjq:{q}:job:j9", expiring)]), 1);
        assert_eq!(found(&[("mjq:{q}:rate:submit", KeySeen { length: 6, ..lasting })]), 1);
        assert_eq!(found(&[("mjq:{q}:rate:poll", lasting)]), 1);
    }

    #[test]
    fn memory_that_does_not_come_back_is_found() {
        let mut history = a_good_history();
        (history.memory_before_bytes, history.memory_without_jobs_bytes) = (1_000_000, 2_000_000);
        assert_eq!(check(&history), []);

        history.memory_without_jobs_bytes = 3_000_000;

        assert_eq!(check(&history).len(), 1);
    }
}
