//! Metrics: their names, what they mean, and their buckets.
//!
//! Each module records its own figures with the macros of `metrics`; this file describes all of them. Labels come from
//! closed sets, never from ids. Series that are known in advance start at 0, so that a rate or an alert does not miss
//! their first increment.

use std::{sync::OnceLock, time::Duration};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use mjq_producer::contract::Code;

use crate::ledger::Settled;

/// How often the samples of histograms are folded into their buckets between scrapes.
pub(super) const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of this process, if it is not installed yet, and returns its handle.
#[must_use]
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            if ::metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics will be empty");
            }
            describe();
            start_at_zero();
            handle
        })
        .clone()
}

const HISTOGRAMS: [(&str, &[f64], &str); 4] = [
    (
        "mjq_claim_seconds",
        &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0],
        "Time of one claim: how long Redis took to hand out steps.",
    ),
    (
        "mjq_step_seconds",
        &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
        "Time of one step without its settlement, by act.",
    ),
    (
        "mjq_upstream_request_seconds",
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0],
        "Time of one HTTP exchange with the upstream, by endpoint.",
    ),
    (
        "mjq_finish_to_event_seconds",
        &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0],
        "Time from the upstream's finish of a task, by its clock, until the event is written.",
    ),
];

const COUNTERS: [(&str, &str); 9] = [
    ("mjq_jobs_admitted_total", "Entries of the job stream that this pod dealt with, by what became of them."),
    ("mjq_jobs_finished_total", "Jobs that this pod brought to their end, by the event's type and code."),
    ("mjq_steps_total", "Steps that this pod performed, by act and by what was seen."),
    (
        "mjq_settled_total",
        "Steps that this pod wrote down; stale came after a takeover and changed nothing, restored and gone mean that Redis lost data.",
    ),
    (
        "mjq_revisits_total",
        "Polls by this pod of tasks whose job has ended without them, by what was seen; succeeded is a late success.",
    ),
    ("mjq_leases_lost_total", "Leases of this pod that ran out while the step was under way."),
    ("mjq_upstream_requests_total", "HTTP exchanges of this pod with the upstream, by endpoint and class of answer."),
    ("mjq_redis_errors_total", "Calls that Redis did not answer and that were made again, by call."),
    (
        "mjq_hooks_total",
        "Hooks that this pod received; moved is one that brought a poll forward, refused one that found no room.",
    ),
];

const GAUGES: [(&str, &str); 19] = [
    ("mjq_build_info", "Always 1; the label is this pod's version."),
    ("mjq_slots", "Steps that this pod performs at once."),
    ("mjq_slots_busy", "Steps that this pod performs this moment."),
    ("mjq_redis_up", "1 when Redis answered this scrape. With 0, the figures of the whole queue are the last known."),
    (
        "mjq_jobs",
        "Jobs of the whole queue by state: arrived (not admitted yet), queued, delayed, polling, in_step. Use max, not sum.",
    ),
    (
        "mjq_standing_jobs",
        "Open jobs of the whole queue that wait for somebody's input (held), or whose submit's answer was lost (unknown).",
    ),
    ("mjq_open_jobs", "Jobs of the whole queue that are admitted and have not ended."),
    (
        "mjq_open_tasks",
        "Jobs of the whole queue that are open upstream or in a step; what the upstream's limit counts.",
    ),
    ("mjq_due_steps", "Steps of the whole queue that are due or running, by lane: what to scale on. Use max, not sum."),
    (
        "mjq_oldest_waiting_seconds",
        "Age of the job of the whole queue that has waited longest for its submit; 0 when none waits.",
    ),
    ("mjq_events", "Entries of the event stream."),
    ("mjq_events_unread", "Events that the slowest consumer group has yet to acknowledge."),
    ("mjq_rejected_entries", "Entries that could not be read and are kept."),
    ("mjq_suspected_rollbacks", "Steps and open jobs of the whole queue of which Redis had lost what it knew."),
    (
        "mjq_upstream_limit",
        "Tasks that may be open upstream since it said that they were too many; 0 is no such limit.",
    ),
    ("mjq_upstream_breaker_open", "1 while submits wait for a probe to succeed."),
    ("mjq_upstream_lost_in_a_row", "Submits in a row, over all pods, whose answer was lost; many open the breaker."),
    ("mjq_upstream_gate_closed", "1 while submits wait because the upstream asked for a pause."),
    ("mjq_paused", "1 while an operator's pause holds, by what is paused: all or submits."),
];

fn builder() -> PrometheusBuilder {
    HISTOGRAMS.into_iter().fold(PrometheusBuilder::new(), |builder, (name, buckets, _)| {
        #[expect(clippy::expect_used, reason = "the list of buckets stands above")]
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).expect("there are buckets")
    })
}

fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for (name, _, help) in HISTOGRAMS {
        describe_histogram!(name, help);
    }
}

/// The observations that each act of a step can make.
const STEPS: [(&str, &[&str]); 4] = [
    (
        "submit",
        &[
            "accepted",
            "refused",
            "denied",
            "unsendable",
            "unanswered",
            "parent_pending",
            "parent_not_known",
            "no_memory",
            "not_begun",
            "found",
            "missing",
            "no_verdict",
        ],
    ),
    (
        "poll",
        &["running", "succeeded", "task_failed", "waits_for_input", "missing", "no_verdict", "stranger", "not_begun"],
    ),
    ("adopt", &["found", "not_found", "no_verdict", "not_begun"]),
    (
        "conclude",
        &["not_begun", "worker_died", "deadline_passed", "too_late", "cancel_requested", "poisoned", "input_given"],
    ),
];

/// The upstream's endpoints, and the possible results of an exchange with each.
const EXCHANGES: [(&str, &[&str]); 5] = [
    ("submit", &["ok", "refused", "denied", "unanswered", "unreachable", "misaddressed"]),
    ("fetch", &["ok", "missing", "no_verdict", "unreachable"]),
    ("list", &["ok", "refused", "no_verdict", "unreachable"]),
    ("lookup", &["ok", "no_verdict", "unreachable"]),
    ("cancel", &["ok", "refused", "unanswered", "unreachable"]),
];

/// The engine's calls to Redis that are repeated until Redis answers.
const CALLS: &[&str] = &[
    "admit",
    "annotate",
    "cancel",
    "claim",
    "forget",
    "forget_entry",
    "grant",
    "hint",
    "hook_secret",
    "look_back",
    "modal",
    "note_rollback",
    "pause",
    "read_event",
    "read_groups",
    "read_input",
    "read_input_size",
    "read_job",
    "read_job_size",
    "read_jobs",
    "read_jobs_again",
    "reassert",
    "reject",
    "release",
    "renew",
    "restore",
    "retry",
    "revisit",
    "settle",
    "sweep",
    "time",
];

fn start_at_zero() {
    gauge!("mjq_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for name in ["mjq_slots", "mjq_slots_busy"] {
        gauge!(name).set(0.0);
    }
    super::gauges::set(Some(&crate::ledger::Counts::default()));
    for answer in ["new", "known", "conflict", "malformed", "elsewhere"] {
        counter!("mjq_jobs_admitted_total", "answer" => answer).increment(0);
    }
    for (outcome, code) in endings() {
        counter!("mjq_jobs_finished_total", "outcome" => outcome, "code" => code).increment(0);
    }
    for (act, observations) in STEPS {
        let _ = histogram!("mjq_step_seconds", "act" => act);
        for observation in observations {
            counter!("mjq_steps_total", "act" => act, "observation" => *observation).increment(0);
        }
    }
    for (_, observations) in STEPS.iter().filter(|(act, _)| *act == "poll") {
        for observation in *observations {
            counter!("mjq_revisits_total", "observation" => *observation).increment(0);
        }
    }
    for (endpoint, classes) in EXCHANGES {
        let _ = histogram!("mjq_upstream_request_seconds", "endpoint" => endpoint);
        for class in classes {
            counter!("mjq_upstream_requests_total", "endpoint" => endpoint, "class" => *class).increment(0);
        }
    }
    for answer in Settled::ALL {
        counter!("mjq_settled_total", "answer" => answer.as_str()).increment(0);
    }
    for answer in ["moved", "late", "forged", "refused"] {
        counter!("mjq_hooks_total", "answer" => answer).increment(0);
    }
    for &call in CALLS {
        counter!("mjq_redis_errors_total", "call" => call).increment(0);
    }
    counter!("mjq_leases_lost_total").increment(0);
    for name in ["mjq_claim_seconds", "mjq_finish_to_event_seconds"] {
        let _ = histogram!(name);
    }
}

/// The types and codes of the events that end a job.
fn endings() -> impl Iterator<Item = (&'static str, &'static str)> {
    Code::ALL.iter().filter_map(|code| {
        let outcome = match code {
            Code::Ok => "completed",
            Code::Cancelled => "cancelled",
            Code::Malformed | Code::Conflict => return None,
            _ => "failed",
        };
        Some((outcome, code.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::upstream::{AnswerClass, EndpointClass};

    #[test]
    fn what_is_known_from_the_start_is_there_from_the_start() {
        let text = install().render();

        for line in [
            "mjq_jobs{state=\"queued\"} ",
            "mjq_jobs_finished_total{outcome=\"failed\",code=\"submit_unknown\"} ",
            "mjq_steps_total{act=\"submit\",observation=\"unanswered\"} ",
            "mjq_step_seconds_bucket{act=\"poll\",le=\"0.005\"} ",
            "mjq_leases_lost_total ",
            concat!("mjq_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    /// The names in a source text that stand between `before` and the next quotation mark.
    fn named_in(source: &str, before: &str) -> BTreeSet<String> {
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        code.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    #[test]
    fn every_call_that_is_made_again_is_there_from_the_start() {
        /// A beat is not repeated, because the next one comes soon.
        const ONCE: &str = "beat";
        let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
        let files = |folder: &Path| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
        let sources = files(&ledger).into_iter().chain(files(&ledger.join("view"))).filter(|path| path.is_file());
        let mut calls: BTreeSet<String> =
            sources.flat_map(|path| named_in(&fs::read_to_string(path).unwrap(), "until_answered(\"")).collect();
        let scripts = files(&ledger.join("scripts")).into_iter().filter(|path| path.is_file());
        calls.extend(scripts.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()));
        calls.remove(ONCE);

        assert_eq!(CALLS.iter().map(|&call| call.to_owned()).collect::<BTreeSet<_>>(), calls);
    }

    #[test]
    fn every_observation_and_every_endpoint_is_there_from_the_start() {
        let mut named = named_in(include_str!("../lifecycle/observation.rs"), " => \"");
        named.remove("");
        let listed: BTreeSet<String> = STEPS.iter().flat_map(|(_, seen)| *seen).map(|&name| name.to_owned()).collect();
        assert_eq!(listed, named);

        assert_eq!(EXCHANGES.map(|(endpoint, _)| endpoint), EndpointClass::ALL.map(EndpointClass::as_str));
        let classes: BTreeSet<&str> = EXCHANGES.iter().flat_map(|(_, classes)| *classes).copied().collect();
        assert_eq!(classes, AnswerClass::ALL.map(AnswerClass::as_str).into());
    }

    #[test]
    fn every_metric_is_explained_and_ends_in_its_unit() {
        let text = install().render();

        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let [_, _, name, kind] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no HELP");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        }
    }
}
