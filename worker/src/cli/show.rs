//! `mjq show`: everything about one job.

use clap::Args;
use mjq_producer::contract::{Event, EventType, JobId};

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    open_ledger::open_ledger,
    output,
    words::{clipped, plain},
};
use crate::{
    ledger::JobView,
    lifecycle::{HistoryLine, Phase},
    settings::Settings,
    shown::{JobBody, counted, due, instant, next_step, span},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Pictures in the request are shown by their size. Ended jobs are known for the time of MJQ_RETENTION.

Examples:
  mjq show order-1842
  mjq show order-1842 --json | jq .timeline")]
pub(super) struct Show {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: JobId,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Show {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let view = open_ledger(settings).await?.job(&self.job).await?.ok_or_else(|| {
            Failure::NotDone(format!(
                "queue {} has no job {}: it is not admitted yet, was never enqueued, or ended longer ago than the retention",
                settings.queue, self.job
            ))
        })?;
        if self.json {
            return output::json(&JobBody::of(view));
        }
        output::line(&report(&view))
    }
}

/// The longest text of a field that is shown, in characters.
const MAX_TEXT: usize = 2_000;

fn report(view: &JobView) -> String {
    let record = &view.record;
    let mut rows = vec![
        ("now", now(view)),
        ("task", [record.task.as_ref().map_or("", |task| task.as_str()), &record.status, &progress(view)].join(" ")),
        ("before", earlier_tasks(view)),
        (
            "attempts",
            format!("{} of {}, {}", record.attempts, record.max_attempts, counted(record.polls.into(), "poll")),
        ),
        (
            "takeovers",
            if view.reclaims > 0 { counted(view.reclaims.into(), "worker") + " died on it" } else { String::new() },
        ),
        ("deadline", deadline(view)),
        ("reason", record.reason.clone()),
        ("note", notes(view)),
        ("late", late(view)),
        ("follows", record.follows.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    rows.extend(view.event.iter().flat_map(|event| outcome(view, event)));
    rows.push((
        "state",
        view.state.as_deref().filter(|it| !it.is_empty()).map(|it| format!("{it:?}")).unwrap_or_default(),
    ));
    rows.extend(
        view.job
            .iter()
            .flat_map(|job| &job.then)
            .enumerate()
            .map(|(place, step)| ("then", format!("{} as {}", step.button, view.id.follow_up(place)))),
    );
    rows.push(("request", request(view)));
    let rows = rows.into_iter().map(|(name, text)| (name, clipped(plain(&text).trim(), MAX_TEXT)));
    let rows = rows.filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("  {name:10} {text}"));
    let head = format!("{} {}, {}", view.id, record.kind.as_str(), view.phase);
    [head].into_iter().chain(rows).chain(timeline(&record.history())).collect::<Vec<_>>().join("\n")
}

fn now(view: &JobView) -> String {
    let next = next_step(view.phase, view.place, view.now_ms, view.paused);
    match view.is_cancel_requested && !view.phase.is_terminal() {
        true => format!("{next}; it is to be cancelled"),
        false => next,
    }
}

fn progress(view: &JobView) -> String {
    let record = &view.record;
    match (view.phase, record.progress, record.queue_position) {
        (Phase::Polling, 0, 1..) => format!("({} before it upstream)", counted(record.queue_position.into(), "task")),
        (Phase::Polling, 1.., _) => format!("{} %", record.progress),
        _ => String::new(),
    }
}

fn deadline(view: &JobView) -> String {
    match view.phase.is_terminal() {
        true => String::new(),
        false => format!("{} ({})", instant(view.record.deadline_ms), due(view.record.deadline_ms, view.now_ms)),
    }
}

fn notes(view: &JobView) -> String {
    let mut notes = Vec::new();
    if view.record.possible_duplicate {
        notes.push("the upstream may have made (and billed) more than one task");
    }
    if view.record.adopted {
        notes.push("its task was found again after the submit's answer was lost");
    }
    notes.join("; ")
}

fn earlier_tasks(view: &JobView) -> String {
    view.record.earlier_tasks.iter().map(|task| task.as_str()).collect::<Vec<_>>().join(", ")
}

fn late(view: &JobView) -> String {
    match &view.record.late {
        Some(late) => {
            let after = span(late.at_ms.saturating_sub(view.record.entered_ms()));
            format!("{} seen {after} after the job had ended  {}", late.status, late.image_url)
        }
        None => String::new(),
    }
}

/// How the job ended. A job that is retried has no event until it ends again.
fn outcome(view: &JobView, event: &Event) -> [(&'static str, String); 3] {
    let entry = view.event_entry.as_deref();
    let reason = if event.data.reason == view.record.reason { "" } else { &event.data.reason };
    let code = if event.event_type == EventType::Completed { "" } else { event.code.as_str() };
    [
        ("event", format!("{} {} {code}", entry.unwrap_or_default(), event.event_type)),
        ("", reason.to_owned()),
        ("picture", event.image_url.clone()),
    ]
}

fn request(view: &JobView) -> String {
    match &view.job {
        Some(job) => job.request.as_json().to_owned(),
        None => format!("{} bytes, too large to be shown", view.job_bytes),
    }
}

/// The timeline: the first moment as a date and time, each later one as the time since the first.
fn timeline(history: &[HistoryLine]) -> Vec<String> {
    let first_ms = history.first().map_or(0, |first| first.at_ms);
    let line = |(place, HistoryLine { at_ms, fence, phase, note }): (usize, &HistoryLine)| {
        let name = if place == 0 { "timeline" } else { "" };
        let when = if place == 0 { instant(*at_ms) } else { format!("+{}", span(at_ms.saturating_sub(first_ms))) };
        let claim = if *fence == 0 { String::new() } else { format!("  (claim {fence})") };
        match note.is_empty() {
            true => format!("  {name:10} {when:24}  {phase}{claim}"),
            false => format!("  {name:10} {when:24}  – {}", clipped(&plain(note), 200)),
        }
    };
    history.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_begins_with_a_time_and_goes_on_with_spans() {
        let line = |at_ms, fence, phase, note: &str| HistoryLine { at_ms, fence, phase, note: note.to_owned() };
        let history = [
            line(1_700_000_000_123, 0, Phase::Queued, ""),
            line(1_700_000_000_223, 1, Phase::Submitting, ""),
            line(1_700_000_003_623, 1, Phase::Polling, ""),
            line(1_700_000_004_123, 1, Phase::Polling, "something was said"),
        ];

        let lines = timeline(&history);

        assert_eq!(
            lines,
            [
                "  timeline   2023-11-14T22:13:20.123Z  queued",
                "             +100 ms                   submitting  (claim 1)",
                "             +3.5 s                    polling  (claim 1)",
                "             +4.0 s                    – something was said",
            ]
        );
    }
}
