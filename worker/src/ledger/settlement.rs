//! The settlement: what became of a step, written down if its claim still holds.

use std::time::Duration;

use mjq_producer::contract::{Event, Job, JobId};

use super::{Abandoned, Ledger, arg, scripts};
use crate::lifecycle::{Next, PaceClass, Pressure, Transition};

/// What became of one step.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The job.
    pub job: JobId,
    /// The claim that the step was made under.
    pub fence: u64,
    /// Whether the record cannot have been swept yet, by the pod's own clock. If it is gone all the same, Redis has
    /// lost it: a restart with an old file, a failover to an old replica.
    pub is_recent: bool,
    /// The new record, the next step or the end, and what it told about the upstream.
    pub transition: Transition,
    /// How long its task ran, in milliseconds, when the job has completed.
    pub ran_ms: Option<u64>,
    /// The event, when the job has ended.
    pub event: Option<Event>,
    /// When its task is looked at once more, although the job has ended.
    pub revisit_after: Option<Duration>,
    /// Jobs that are enqueued in the same moment, when it has completed.
    pub follow_ups: Vec<Job>,
}

/// What the ledger made of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Written,
    /// It was written before; the first answer was lost.
    WrittenBefore,
    /// Somebody has claimed the job since: nothing was written.
    Stale,
    /// Redis had lost the claim or the whole record, and has both again: a suspected rollback.
    Restored,
    /// The record is gone, and may have been swept.
    Gone,
}

impl Settled {
    /// Whether the ledger has what was handed in.
    #[must_use]
    pub fn is_written(self) -> bool {
        matches!(self, Self::Written | Self::WrittenBefore | Self::Restored)
    }

    /// The answer as a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::WrittenBefore => "written_before",
            Self::Stale => "stale",
            Self::Restored => "restored",
            Self::Gone => "gone",
        }
    }
}

impl Ledger {
    /// Settles several steps in one round trip, and answers in their order.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. Their leases then run out.
    pub async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, Abandoned> {
        let mut args = Vec::new();
        for settlement in settlements {
            settlement.write_to(&mut args);
        }
        let answers: Vec<i64> = self.call(&scripts::SETTLE, &args).await?;
        Ok(answers.into_iter().map(Settled::read).collect())
    }

    /// Counts one more sign that Redis has lost its last writes, as a settlement does that finds one.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn note_rollback(&self) -> Result<(), Abandoned> {
        let mut command = redis::cmd("HINCRBY");
        command.arg(self.key("totals")).arg("suspected_rollback").arg(1);
        self.until_answered("note_rollback", || self.link().query::<u64>(&command)).await.map(|_| ())
    }
}

impl Settled {
    fn read(answer: i64) -> Self {
        match answer {
            1 => Self::Written,
            2 => Self::WrittenBefore,
            3 => Self::Restored,
            0 => Self::Stale,
            _ => Self::Gone,
        }
    }
}

impl Settlement {
    /// Whether it tells of a submit that may have made a task.
    #[must_use]
    pub fn may_have_cost(&self) -> bool {
        matches!(self.transition.pressure, Pressure::Accepted | Pressure::Lost)
    }

    fn write_to(&self, args: &mut Vec<Vec<u8>>) {
        let Transition { record, next, pressure } = &self.transition;
        let (pressure, pause_ms) = match pressure {
            Pressure::None => ("none", 0),
            Pressure::Accepted => ("accepted", 0),
            Pressure::Up => ("up", 0),
            Pressure::Saturated(pause) => ("saturated", pause.as_millis()),
            Pressure::Down => ("down", 0),
            Pressure::Lost => ("lost", 0),
        };
        // A record is strings and numbers: there is nothing that serde_json refuses.
        let record_json = serde_json::to_vec(record).unwrap_or_default();
        args.extend([arg(&self.job), arg(self.fence), arg(u8::from(self.is_recent)), arg(record.deadline_ms)]);
        args.extend([arg(record.phase), record_json, arg(pressure), arg(pause_ms)]);
        match next {
            Next::Submit(delay) => args.extend([arg("submit"), arg(delay.as_millis())]),
            Next::Poll(delay) => args.extend([arg("poll"), arg(delay.as_millis())]),
            Next::End(ending) => {
                let event = self.event.as_ref();
                let text = |field: fn(&Event) -> &String| event.map(field).cloned().unwrap_or_default().into_bytes();
                args.extend([arg("end"), arg(ending.event_type), arg(ending.code), arg(record.kind.as_str())]);
                args.extend([text(|event| &event.task), text(|event| &event.status), text(|event| &event.image_url)]);
                args.push(event.map(|event| event.data.to_json()).unwrap_or_default().into_bytes());
                args.extend([arg(PaceClass::of(record)), arg(self.ran_ms.unwrap_or(0))]);
                args.push(self.revisit_after.map(|delay| arg(delay.as_millis())).unwrap_or_default());
                args.push(arg(self.follow_ups.len()));
                args.extend(self.follow_ups.iter().map(|job| serde_json::to_vec(job).unwrap_or_default()));
            }
        }
    }
}
