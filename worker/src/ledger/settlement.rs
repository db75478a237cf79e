//! The settlement: what became of a step, written down if its claim still holds.

use std::time::Duration;

use mjq_producer::{
    closed_set,
    contract::{Event, Job, JobId, TaskId},
};
use serde_json::value::RawValue;

use super::{Abandoned, Ledger, args::Args, kept::kept_job, renewal::lease_of, scripts};
use crate::lifecycle::{Ending, Next, PaceClass, Pressure, Ran, Record, Transition};

/// What became of one step.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The job.
    pub job: JobId,
    /// The fence of the claim under which the step was made.
    pub fence: u64,
    /// Until when the record cannot have been swept, by Redis's clock, Unix milliseconds. If it is missing earlier,
    /// Redis has lost it: a restart with an old file, or a failover to an old replica.
    pub kept_until_ms: u64,
    /// The new record, the next step or the end, and what the step told about the upstream.
    pub transition: Transition,
    /// What is told of an open task, if a poll showed something new and progress is published.
    pub progress: Option<Box<Progress>>,
    /// What goes with the job's end, when it has ended.
    pub end: Option<Box<JobEnd>>,
    /// The job as it was enqueued, for the submit of a job that is not large, in case Redis loses it.
    pub job_json: Option<String>,
}

/// What is told of an open task, beside what its record says.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The picture so far; empty when there is none.
    pub image_url: String,
    /// About how many entries the stream of progress keeps.
    pub keep: u32,
}

/// What goes with a job's end.
#[derive(Debug, Clone)]
pub struct JobEnd {
    /// The event that tells the end.
    pub event: Event,
    /// How long its task ran, if the job has completed.
    pub ran: Option<Ran>,
    /// When the first revisit of its task is due, if there is one.
    pub revisit_after: Option<Duration>,
    /// Jobs that are enqueued in the same moment, if the job has completed.
    pub follow_ups: Vec<Job>,
}

closed_set! {
    /// What the ledger made of a settlement.
    pub enum Settled {
        /// The settlement is written.
        Written = "written",
        /// The settlement was written before; the first answer was lost.
        WrittenBefore = "written_before",
        /// The job was claimed anew or has ended since: nothing was written.
        Stale = "stale",
        /// Redis had lost the claim or the record, and has both again: a suspected rollback.
        Restored = "restored",
        /// The record is gone, and may have been swept.
        Gone = "gone",
    }
}

impl Settled {
    /// Whether the ledger has the settlement.
    #[must_use]
    pub fn is_written(self) -> bool {
        matches!(self, Self::Written | Self::WrittenBefore | Self::Restored)
    }
}

impl Ledger {
    /// Settles several steps in one round trip, and answers in their order.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. Their leases then run out.
    pub async fn settle(&self, settlements: impl IntoIterator<Item = &Settlement>) -> Result<Vec<Settled>, Abandoned> {
        let mut args = Args::default();
        for settlement in settlements {
            settlement.write_to(&mut args);
        }
        let answers: String = self.call_with(&scripts::SETTLE, &args).await?;
        Ok(answers.bytes().map(Settled::told).collect())
    }

    /// Counts a sign that Redis has lost its last writes, as a settlement does when it finds one.
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
    fn told(answer: u8) -> Self {
        match answer {
            b'1' => Self::Written,
            b'2' => Self::WrittenBefore,
            b'3' => Self::Restored,
            b'0' => Self::Stale,
            _ => Self::Gone,
        }
    }
}

impl Settlement {
    /// Whether this is the settlement of a submit that may have made a task.
    #[must_use]
    pub fn may_have_cost(&self) -> bool {
        self.transition.pressure.may_have_cost()
    }

    /// The task that the upstream made, if this is the settlement of a submit that it accepted.
    #[must_use]
    pub fn accepted_task(&self) -> Option<&TaskId> {
        let Transition { record, pressure, .. } = &self.transition;
        record.task.as_ref().filter(|_| *pressure == Pressure::Accepted)
    }

    /// The rough size of the settlement: what the upstream sent, and the follow-ups.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Some(JobEnd { event, follow_ups, .. }) = self.end.as_deref() else { return 0 };
        let raw = |json: &Option<Box<RawValue>>| json.as_ref().map_or(0, |json| json.get().len());
        let follow_ups: usize = follow_ups.iter().map(|job| job.request.as_json().len() + raw(&job.trace)).sum();
        event.image_url.len() + raw(&event.data.task) + raw(&event.data.buttons) + follow_ups
    }

    /// The job as it was enqueued, with its record, in the form that [`Ledger::restore_requests`] takes.
    #[must_use]
    pub fn enqueued(&self) -> Option<(&JobId, &Record, &str)> {
        Some((&self.job, &self.transition.record, self.job_json.as_deref()?))
    }

    fn write_to(&self, args: &mut Args) {
        let Transition { record, next, pressure } = &self.transition;
        args.push_text(self.job.as_str());
        args.push(lease_of(&self.job, self.fence));
        args.push(kept_job(self.fence + 1, record));
        args.push(format_args!("{} {}", self.kept_until_ms, record.deadline_ms));
        match pressure {
            Pressure::None => args.push_text("none"),
            Pressure::Unsent { claimed_ms, place_ms } => args.push(format_args!("unsent {claimed_ms} {place_ms}")),
            Pressure::Accepted => args.push_text("accepted"),
            Pressure::Up => args.push_text("up"),
            Pressure::Found => args.push_text("found"),
            Pressure::Saturated(pause) => args.push(format_args!("saturated {}", pause.as_millis())),
            Pressure::Throttled(pause) => args.push(format_args!("throttled {}", pause.as_millis())),
            Pressure::Down { claimed_ms } => args.push(format_args!("down {claimed_ms}")),
            Pressure::Away { claimed_ms } => args.push(format_args!("away {claimed_ms}")),
            Pressure::Misaddressed { claimed_ms } => args.push(format_args!("misaddressed {claimed_ms}")),
            Pressure::Lost { claimed_ms } => args.push(format_args!("lost {claimed_ms}")),
        }
        match next {
            Next::Submit(delay) => {
                args.push_text("submit");
                args.push(delay.as_millis());
            }
            Next::AfterParent(delay) => {
                args.push_text("after");
                let parent = record.follows.as_ref().map_or("", JobId::as_str);
                args.push(format_args!("{} {parent}", delay.as_millis()));
            }
            Next::Poll(delay) => match &self.progress {
                None => {
                    args.push_text("poll");
                    args.push(delay.as_millis());
                }
                Some(progress) => {
                    args.push_text("show");
                    args.push(delay.as_millis());
                    args.push_text(record.kind.as_str());
                    args.push_text(record.task.as_ref().map_or("", TaskId::as_str));
                    args.push_text(&record.status);
                    args.push(record.progress);
                    args.push_text(&progress.image_url);
                    args.push(progress.keep);
                }
            },
            Next::End(ending) => self.write_end_to(*ending, args),
        }
    }

    fn write_end_to(&self, ending: Ending, args: &mut Args) {
        let record = &self.transition.record;
        let end = self.end.as_deref();
        let text = |field: fn(&Event) -> &String| end.map_or("", |end| field(&end.event).as_str());
        args.push_text("end");
        args.push_text(ending.event_type.as_str());
        args.push_text(ending.code.as_str());
        args.push_text(record.kind.as_str());
        args.push_text(text(|event| &event.task));
        args.push_text(text(|event| &event.status));
        args.push_text(text(|event| &event.image_url));
        match end {
            Some(end) => args.push_json(&end.event.data),
            None => args.push_text(""),
        }
        args.push(PaceClass::of(record));
        args.push(end.and_then(|end| end.ran).map_or_else(|| "0".to_owned(), |ran| ran.to_string()));
        let revisit_after = end.and_then(|end| end.revisit_after);
        args.push(revisit_after.map(|delay| delay.as_millis().to_string()).unwrap_or_default());
        let follow_ups = end.map_or(&[][..], |end| &end.follow_ups);
        args.push(follow_ups.len());
        follow_ups.iter().for_each(|job| args.push_json(job));
    }
}
