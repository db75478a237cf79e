//! The revisit: a look at the task of a job that has ended without hearing the task's end.
//!
//! The deadline came first, or the upstream said that it no longer knew the task. The job stays what it is and its one
//! event is out. But its task may go on upstream and be billed, so it is looked at a few times more, at widening distances, and a success is written on the record.
//! A hook that comes meanwhile moves the next revisit to now. A retry of the job ends them.

use std::time::Duration;

use mjq_producer::contract::{Code, TaskId};
use serde::{Deserialize, Serialize};

use super::{Ending, Observation, Phase, Policy, Record, TaskReport};

/// A success that came after the job had ended without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateSuccess {
    /// The upstream's handle.
    pub task: TaskId,
    /// The upstream's status, `SUCCESS`.
    pub status: String,
    /// The picture; empty when the kind gives none.
    pub image_url: String,
    /// When it was seen, Unix milliseconds by Redis's clock.
    pub at_ms: u64,
}

/// What a revisit came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Revisited {
    /// The record, when there is something to write on it.
    pub record: Option<Record>,
    /// The next revisit; `None` when this one was the last.
    pub again_after: Option<Duration>,
}

/// The first distance is never longer than this.
const FIRST: Duration = Duration::from_secs(30);

/// When the task of a job that has just ended is looked at again; `None` for an end that needs none.
#[must_use]
pub fn first_revisit(record: &Record, ending: Ending, policy: &Policy) -> Option<Duration> {
    let may_go_on = matches!(ending.code, Code::DeadlineExceeded | Code::UpstreamLost);
    (may_go_on && record.task.is_some())
        .then(|| first_distance(record))
        .filter(|distance| *distance <= policy.revisit_for)
}

/// Decides what `seen` means for a job that has ended without its task, and when the task is looked at again.
///
/// Each distance is as long as the time since that end, so that the number of revisits is bounded.
#[must_use]
pub fn revisit(record: &Record, seen: &Observation, now_ms: u64, policy: &Policy) -> Revisited {
    let Some(task) = record.task.as_ref().filter(|_| record.phase == Phase::Failed && record.late.is_none()) else {
        return Revisited { record: None, again_after: None };
    };
    let since_end = Duration::from_millis(now_ms.saturating_sub(record.entered_ms()));
    let distance = match seen {
        // Nothing was asked, because of a rate or a list that did not work.
        Observation::NotBegun => policy.poll_max,
        _ => since_end.max(first_distance(record)),
    };
    let again_after = (since_end + distance <= policy.revisit_for).then_some(distance);
    match seen {
        Observation::Succeeded(report) if lacks_image(record, report) && again_after.is_some() => {
            Revisited { record: None, again_after }
        }
        Observation::Succeeded(report) => {
            Revisited { record: Some(succeeded(record, task, report, now_ms)), again_after: None }
        }
        Observation::TaskFailed(report, _) => {
            let mut record = record.clone();
            record.note(now_ms, &format!("task {task} failed after the job had ended: {}", report.fail_reason));
            Revisited { record: Some(record), again_after: None }
        }
        _ => Revisited { record: None, again_after },
    }
}

fn succeeded(record: &Record, task: &TaskId, report: &TaskReport, now_ms: u64) -> Record {
    let mut record = record.clone();
    let image_url = report.image_url.clone();
    record.note(now_ms, &format!("late success of task {task} {image_url}"));
    record.late = Some(LateSuccess { task: task.clone(), status: report.status.clone(), image_url, at_ms: now_ms });
    record
}

fn lacks_image(record: &Record, report: &TaskReport) -> bool {
    report.image_url.is_empty() && record.kind.gives_image()
}

/// A job with a short deadline is one whose caller is in a hurry.
fn first_distance(record: &Record) -> Duration {
    let start_ms = record.timeline.first().map_or(record.enqueued_ms, |first| first.0);
    Duration::from_millis(record.deadline_ms.saturating_sub(start_ms)).clamp(Duration::from_millis(1), FIRST)
}
