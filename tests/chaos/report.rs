//! What a run has shown: a table for people, and JSON for machines.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use mjq_simulator::busiest_second;
use serde::Serialize;
use serde_json::json;

use crate::checker::{INVARIANTS, Violation, most_open, timed};
use crate::history::History;
use crate::plan::Plan;

/// How many of the jobs concerned are shown with their whole history.
const SHOWN: usize = 5;

/// A run and its verdict.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) seconds: f64,
    /// Time from the healing to the end of the last job.
    pub(crate) settled_after_seconds: f64,
    pub(crate) figures: BTreeMap<String, u64>,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<&'static str, u32>,
    pub(crate) exits_ms: Vec<u64>,
    /// Whether all was over in time. What is not over is a violation, too.
    pub(crate) is_quiet: bool,
    pub(crate) violations: Vec<Violation>,
    /// All that is known about the jobs concerned.
    pub(crate) concerned: BTreeMap<String, serde_json::Value>,
}

impl Report {
    /// Makes the report of a history.
    pub(crate) fn of(plan: Plan, history: &History, violations: Vec<Violation>) -> Self {
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for event in &history.events {
            *outcomes.entry(format!("{} {}", event.outcome, event.code)).or_default() += 1;
        }
        let count = |is_counted: fn(&crate::history::Told) -> bool| {
            history.events.iter().filter(|event| is_counted(event)).count() as u64
        };
        let billed_again = history.creations_by_job().values().filter(|billed| billed.len() > 1).count() as u64;
        let arrivals = || [&history.arrivals.submits_ms, &history.arrivals.polls_ms].into_iter();
        let untimed = arrivals().map(|all| all.len() - timed(history, all).len()).sum::<usize>() as u64;
        let figures = [
            ("jobs", history.jobs.iter().filter(|(id, asked)| history.is_expected(id, asked)).count() as u64),
            ("entries rejected", count(|event| event.outcome == "rejected")),
            ("events", history.events.len() as u64),
            ("tasks billed", history.creations.len() as u64),
            ("jobs billed more than once", billed_again),
            ("events that say possible_duplicate", count(|event| event.possible_duplicate)),
            ("tasks adopted", count(|event| event.adopted)),
            ("submit_unknown", count(|event| event.code == "submit_unknown")),
            ("submits", history.arrivals.submits_ms.len() as u64),
            ("polls", history.arrivals.polls_ms.len() as u64),
            ("arrivals that could not be timed", untimed),
            ("submits in the busiest second", busiest_second(&timed(history, &history.arrivals.submits_ms)) as u64),
            ("polls in the busiest second", busiest_second(&timed(history, &history.arrivals.polls_ms)) as u64),
            ("jobs with an open task at once", most_open(history).unsigned_abs()),
            ("Redis at the start, KiB", history.memory_before_bytes / 1024),
            ("Redis at the end, KiB", history.memory_after_bytes / 1024),
            ("Redis without finished jobs, KiB", history.memory_without_jobs_bytes / 1024),
        ];
        let concerned = violations.iter().filter_map(|violation| violation.job.as_deref());
        let concerned = concerned.take(200).map(|job| (job.to_owned(), about(history, job))).collect();
        Self {
            plan,
            seconds: 0.0,
            settled_after_seconds: 0.0,
            figures: figures.map(|(name, count)| (name.to_owned(), count)).into(),
            outcomes,
            answers: history.answers.clone(),
            faults: BTreeMap::new(),
            exits_ms: history.promises.exits_ms.clone(),
            is_quiet: true,
            violations,
            concerned,
        }
    }

    /// Whether no promise was broken.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Writes it where machines read it.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        }
        let json = serde_json::to_string_pretty(self).context("could not write the report")?;
        std::fs::write(file, json).with_context(|| format!("could not write {}", file.display()))
    }

    /// Prints it for people.
    pub(crate) fn print(&self) {
        let Plan { seed, preset, workers, adoption, .. } = &self.plan;
        println!("\nchaos run: seed {seed}, preset {preset}, {workers} workers, adoption {adoption:?}");
        println!(
            "{:.0} s in all, the last job ended {:.1} s after the last fault",
            self.seconds, self.settled_after_seconds
        );
        section("figures", self.figures.iter().map(|(name, count)| (name.clone(), *count)));
        section("outcomes", self.outcomes.iter().map(|(name, count)| (name.clone(), *count)));
        section("answers to submits", self.answers.iter().map(|(name, count)| (name.clone(), *count)));
        section("faults", self.faults.iter().map(|(name, count)| ((*name).to_owned(), u64::from(*count))));
        if let Some(longest) = self.exits_ms.iter().max() {
            println!("\n  {} workers were asked to end; the slowest took {longest} ms", self.exits_ms.len());
        }
        println!("\n  invariants");
        for (invariant, _) in INVARIANTS {
            let broken = self.violations.iter().filter(|violation| violation.invariant == invariant).count();
            let verdict = if broken == 0 { "held".to_owned() } else { format!("BROKEN {broken} times") };
            println!("    {invariant:<32} {verdict}");
        }
        self.print_violations();
    }

    fn print_violations(&self) {
        if self.violations.is_empty() {
            return println!("\nno promise was broken");
        }
        println!("\nBROKEN; again with: {}", self.plan.command());
        for Violation { invariant, job, what } in self.violations.iter().take(40) {
            println!("  {invariant}: {} {what}", job.as_deref().unwrap_or("-"));
        }
        for (job, all) in self.concerned.iter().take(SHOWN) {
            println!("\nhistory of {job}\n{all:#}");
        }
    }
}

fn section(name: &str, rows: impl Iterator<Item = (String, u64)>) {
    println!("\n  {name}");
    rows.for_each(|(name, count)| println!("    {name:<36} {count:>8}"));
}

/// All that a history knows about a job.
fn about(history: &History, job: &str) -> serde_json::Value {
    json!({
        "asked": history.jobs.get(job),
        "record": history.records.get(job),
        "events": history.events.iter().filter(|event| event.job == job).collect::<Vec<_>>(),
        "billed": history.creations_by_job().get(job),
    })
}
