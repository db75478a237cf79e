//! The revisit: a poll of the task of a job that has ended before mjq knew the task's end.
//!
//! The deadline came first, or the upstream said that it no longer knew the task. The job stays as it is, and its one
//! event is out. But the task may go on upstream and be billed. So mjq polls it a few times more, at widening
//! distances, and writes a success on the record. A hook that comes meanwhile makes the next revisit due now. A retry
//! of the job ends the revisits.

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
    /// The picture; empty if the kind gives none.
    pub image_url: String,
    /// When mjq saw the success, Unix milliseconds by Redis's clock.
    pub at_ms: u64,
}

/// The result of a revisit.
#[derive(Debug, Clone, PartialEq)]
pub struct Revisited {
    /// The new record, if there is something to write on it.
    pub record: Option<Record>,
    /// The delay before the next revisit; `None` if this one was the last.
    pub again_after: Option<Duration>,
}

/// The longest delay before the first revisit.
const FIRST: Duration = Duration::from_secs(30);

/// The delay before the first revisit of a job that has just ended; `None` if its end needs none.
#[must_use]
pub fn first_revisit(record: &Record, ending: Ending, policy: &Policy) -> Option<Duration> {
    let may_go_on = matches!(ending.code, Code::DeadlineExceeded | Code::UpstreamLost);
    (may_go_on && record.task.is_some())
        .then(|| first_distance(record))
        .filter(|distance| *distance <= policy.revisit_for)
}

/// Decides what `seen` means for a job that has ended without its task, and when the next revisit is due.
///
/// Each delay is as long as the time since the job's end, which bounds the number of revisits.
#[must_use]
pub fn revisit(record: &Record, seen: &Observation, now_ms: u64, policy: &Policy) -> Revisited {
    let Some(task) = record.task.as_ref().filter(|_| record.phase == Phase::Failed && record.late.is_none()) else {
        return Revisited { record: None, again_after: None };
    };
    let since_end = Duration::from_millis(now_ms.saturating_sub(record.entered_ms()));
    let distance = match seen {
        // The upstream was not asked, because of a rate or because its list of tasks failed.
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

/// The delay before the first revisit: as long as the job's deadline, at most [`FIRST`], since a short deadline means
/// that the caller is in a hurry.
fn first_distance(record: &Record) -> Duration {
    let start_ms = record.timeline.first().map_or(record.enqueued_ms, |first| first.0);
    Duration::from_millis(record.deadline_ms.saturating_sub(start_ms)).clamp(Duration::from_millis(1), FIRST)
}
