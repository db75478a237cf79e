//! The self-test: workers with planted bugs, each of which the checker has to find within two minutes and a half.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::Preset;
use crate::checker::Violation;
use crate::history::Limits;
use crate::plan::{Adoption, Plan};
use crate::report::Report;
use crate::run;

/// The bugs, as `MJQ_PLANTED_BUG` names them, each with the invariant that has to break.
const BUGS: [(&str, &str); 6] = [
    ("resubmit_on_22", "paid once"),
    ("no_fence", "one terminal event"),
    ("publish_before_transition", "one terminal event"),
    ("trim_unread", "delivered once"),
    ("state_reserialised", "state intact"),
    ("lease_not_renewed", "promises of the preset"),
];
const WITHIN: Duration = Duration::from_secs(150);

/// Runs the plan with each bug until it is found; says whether each was, and that nothing is found where nothing is planted.
///
/// # Errors
/// When a run could not be made.
pub(crate) async fn run(plan: &Plan, program: &Path, dir: &Path) -> anyhow::Result<bool> {
    let mut lines = Vec::new();
    let mut is_good = true;
    for (bug, invariant) in BUGS {
        println!("\nplanted: {bug}");
        let began = Instant::now();
        let report = run::run(with_bug(plan, bug), program, dir).await?;
        let took = began.elapsed();
        let found = report.violations.iter().find(|violation| violation.invariant == invariant);
        is_good &= found.is_some() && took < WITHIN;
        let verdict = if found.is_some() { "found" } else { "NOT FOUND" };
        let what = found.map_or_else(|| all(&report), |violation| violation.what.clone());
        let seconds = took.as_secs();
        lines.push(format!("{bug:<26} {invariant:<24} {verdict:<10} after {seconds:>3} s  {what}"));
    }
    println!("\nplanted: nothing");
    let report = run::run(Plan { planted_bug: None, ..with_slow_answers(plan) }, program, dir).await?;
    is_good &= report.is_good();
    let verdict = if report.is_good() { "held" } else { "BROKEN" };
    lines.push(format!("{:<26} {:<24} {verdict:<10} {}", "nothing", "all of them", all(&report)));
    println!();
    lines.iter().for_each(|line| println!("{line}"));
    Ok(is_good)
}

/// All that a run broke, for whoever has to find out why.
fn all(report: &Report) -> String {
    let broken = |violation: &Violation| format!("{}: {}", violation.invariant, violation.what);
    report.violations.iter().map(broken).collect::<Vec<_>>().join("; ")
}

/// A run in which the bug has many opportunities.
fn with_bug(plan: &Plan, bug: &'static str) -> Plan {
    // It ends as soon as something is found, and some bugs need luck.
    let lasts = plan.lasts * 2;
    let plan = Plan { planted_bug: Some(bug), limits: no_limits(), lasts, ..plan.clone() };
    match bug {
        "lease_not_renewed" => with_slow_answers(&plan),
        // Most tasks have to wait in line.
        "resubmit_on_22" => Plan { upstream_slots: 8, ..plan },
        // It takes a worker that wakes up when another has its jobs, or one that dies between two acts.
        "no_fence" => Plan { process_faults: &["freeze worker"], slowest_answer_ms: 1000, ..plan },
        "publish_before_transition" => Plan { process_faults: &["kill -9 worker"], slowest_answer_ms: 400, ..plan },
        _ => Plan { slowest_answer_ms: 400, ..plan },
    }
}

/// An upstream that takes longer to answer than a lease lasts, and workers that nobody kills: no lease may run out.
fn with_slow_answers(plan: &Plan) -> Plan {
    Plan {
        what: Preset::Rolling,
        preset: Preset::Rolling.name(),
        lasts: Duration::from_secs(10),
        adoption: Adoption::Impossible,
        limits: no_limits(),
        failure_rate: 0.0,
        upstream_slots: 100,
        exchange: Duration::from_secs(10),
        slowest_answer_ms: Plan::LEASE.as_millis() as u64 * 2,
        ..plan.clone()
    }
}

fn no_limits() -> Limits {
    Limits { deadline_slack_ms: 20_000, ..Limits::default() }
}
