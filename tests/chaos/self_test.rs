//! The self-test: workers with planted bugs, each of which the checker has to find.

use std::path::Path;
use std::time::Duration;

use crate::plan::Plan;
use crate::report::Report;
use crate::run;

/// The bugs, as `MJQ_PLANTED_BUG` names them, each with an invariant that has to break.
const BUGS: [(&str, &str); 4] = [
    ("resubmit_on_22", "paid once"),
    ("no_fence", "one terminal event"),
    ("trim_unread", "delivered once"),
    ("state_reserialised", "state intact"),
];

/// Runs the plan with each bug for a while; says whether each was found.
///
/// # Errors
/// When a run could not be made.
pub(crate) async fn run(plan: &Plan, program: &Path, dir: &Path) -> anyhow::Result<bool> {
    let mut lines = Vec::new();
    let mut all_found = true;
    for (bug, invariant) in BUGS {
        println!("\nplanted: {bug}");
        let lasts = plan.lasts.min(Duration::from_secs(45));
        let plan = Plan { planted_bug: Some(bug), lasts, slowest_answer_ms: 400, ..plan.clone() };
        let report: Report = run::run(plan, program, dir).await?;
        let is_found = report.violations.iter().any(|violation| violation.invariant == invariant);
        all_found &= is_found;
        let found = if is_found { "found" } else { "NOT FOUND" };
        let broken = report.violations.len();
        let example = report.violations.iter().find(|violation| violation.invariant == invariant);
        let example = example.map(|violation| violation.what.clone()).unwrap_or_default();
        lines.push(format!("{bug:<20} {invariant:<20} {found:<10} {broken:>5} violations  {example}"));
    }
    println!();
    lines.iter().for_each(|line| println!("{line}"));
    Ok(all_found)
}
