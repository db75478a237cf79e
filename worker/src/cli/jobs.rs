//! `mjq jobs`: lists jobs.

use clap::Args;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    open_ledger::open_ledger,
    output,
    words::{clipped, plain},
};
use crate::{
    ledger::{JobLine, Ledger, Paused, Standing},
    settings::Settings,
    shown::{LineBody, next_step, span},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Shows open jobs, of each lane and priority those that come next, the newest first; then those that ended last.

Examples:
  mjq jobs
  mjq jobs --held
  mjq jobs --failed --limit 100
  mjq jobs --failed --limit 1000 --json \\
    | jq -r 'select(.code == \"poison\") | .id' | xargs -n1 mjq retry")]
pub(super) struct Jobs {
    /// Only jobs that failed, the latest first, as far back as the retention goes
    #[arg(long, group = "which")]
    failed: bool,
    /// Only open jobs whose task waits for input, the one that has waited longest first
    #[arg(long, group = "which")]
    held: bool,
    /// Only open jobs whose submit's answer was lost, and whose task is searched for
    #[arg(long, group = "which")]
    unknown: bool,
    /// At most this many open jobs, and as many ended ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one line of JSON for each job
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Jobs {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let ledger = open_ledger(settings).await?;
        let limit = usize::from(self.limit);
        let is_any = !(self.failed || self.held || self.unknown);
        let jobs = match self {
            Self { failed: true, .. } => ledger.failures(limit).await?,
            Self { held: true, .. } => ledger.standing(Standing::Held, limit).await?,
            Self { unknown: true, .. } => ledger.standing(Standing::Unknown, limit).await?,
            _ => {
                let latest = ledger.latest(limit).await?;
                [latest.open, latest.ended].concat()
            }
        };
        if jobs.is_empty()
            && is_any
            && let Some(note) = not_taken_in(&ledger).await
        {
            eprintln!("{note}");
            return Ok(());
        }
        if self.json {
            return jobs.iter().try_for_each(|job| output::json(&LineBody::of(job)));
        }
        if jobs.is_empty() {
            // Not on stdout, because scripts count lines there.
            eprintln!("no such jobs in queue {}", settings.queue);
            return Ok(());
        }
        let now_ms = ledger.clock().now_ms();
        let paused = ledger.paused().await?;
        let rows: Vec<_> = jobs.iter().map(|job| row(job, now_ms, paused)).collect();
        table(&rows).try_for_each(|line| output::line(&line))
    }
}

/// A note if entries wait in the job stream; `None` also where the user may not read the stream.
async fn not_taken_in(ledger: &Ledger) -> Option<String> {
    let mut length = redis::cmd("XLEN");
    length.arg(ledger.queue().jobs_stream());
    let entries = ledger.link().query(&length).await.ok().filter(|entries| *entries > 0)?;
    let is_dead = ledger.workers().await.is_ok_and(|pods| pods.iter().all(|pod| !pod.is_live));
    Some(waiting(entries, is_dead))
}

fn waiting(entries: u64, is_nobody_alive: bool) -> String {
    let what = if entries == 1 { "1 entry waits".to_owned() } else { format!("{entries} entries wait") };
    let why = if is_nobody_alive { "; no worker is alive" } else { "" };
    format!("{what} to be taken in{why}")
}

const TITLES: [&str; 5] = ["JOB", "KIND", "PHASE", "AGE", ""];

fn row(job: &JobLine, now_ms: u64, paused: Option<Paused>) -> [String; 5] {
    [
        job.id.to_string(),
        job.record.kind.as_str().to_owned(),
        job.phase.to_string(),
        span(now_ms.saturating_sub(job.record.enqueued_ms)),
        clipped(&plain(&what(job, now_ms, paused)), 100),
    ]
}

/// How an ended job ended, or how far an open job is and what comes next.
fn what(job: &JobLine, now_ms: u64, paused: Option<Paused>) -> String {
    match &job.event {
        Some(event) if !event.image_url.is_empty() => event.image_url.clone(),
        Some(event) if job.phase.is_terminal() => with_reason(event.code.as_str(), &event.data.reason),
        _ if job.phase.is_terminal() => job.record.reason.clone(),
        _ => {
            let next = next_step(job.phase, job.place, now_ms, paused);
            let next = if job.record.progress > 0 { format!("{} %, {next}", job.record.progress) } else { next };
            with_reason(&next, &job.record.reason)
        }
    }
}

fn with_reason(text: &str, reason: &str) -> String {
    if reason.is_empty() { text.to_owned() } else { format!("{text}: {reason}") }
}

/// Lines with aligned columns.
fn table(rows: &[[String; 5]]) -> impl Iterator<Item = String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([TITLES[column].len()]).max().unwrap_or_default()
    };
    let [job, kind, phase, age] = [0, 1, 2, 3].map(width);
    let line = move |[a, b, c, d, e]: [&str; 5]| {
        format!("{a:job$}  {b:kind$}  {c:phase$}  {d:>age$}  {e}").trim_end().to_owned()
    };
    let title = line(TITLES);
    std::iter::once(title).chain(rows.iter().map(move |row| line(row.each_ref().map(String::as_str))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_worker_has_taken_in_is_told() {
        assert_eq!(waiting(1, true), "1 entry waits to be taken in; no worker is alive");
        assert_eq!(waiting(12, false), "12 entries wait to be taken in");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [
            ["a", "imagine", "polling", "3.2 s", "46 %, next poll now"].map(str::to_owned),
            ["order-1842", "action", "failed", "4 min 12 s", "poison"].map(str::to_owned),
        ];

        let lines: Vec<String> = table(&rows).collect();

        assert_eq!(
            lines,
            [
                "JOB         KIND     PHASE           AGE",
                "a           imagine  polling       3.2 s  46 %, next poll now",
                "order-1842  action   failed   4 min 12 s  poison",
            ]
        );
    }
}
