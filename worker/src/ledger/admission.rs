//! Admission: entries of the job stream become jobs, or are rejected with a reason.

use mjq_producer::contract::{Event, Job, JobId};

use super::{
    Abandoned, Intake, Ledger, arg, hide_images,
    kept::{JobPlace, kept_job, kept_request},
    scripts,
};
use crate::{
    lifecycle::{Record, conflict},
    planted_bug::PlantedBug,
};

/// An entry that is a job.
#[derive(Debug)]
pub struct Admission {
    /// The stream entry's id.
    pub entry: String,
    /// The job's id: its own, or the entry's.
    pub id: JobId,
    /// The job as it was enqueued.
    pub json: String,
    /// The same, read.
    pub job: Job,
    /// Its first record.
    pub record: Record,
}

/// What became of an entry that is a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It is a new job.
    New,
    /// It is a job that was known already.
    Known,
    /// Its id belongs to a job with another body; the event says so.
    Conflict,
    /// Another pod dealt with it.
    Elsewhere,
}

/// An entry that never becomes a job.
#[derive(Debug)]
pub struct Rejection {
    /// The stream entry's id.
    pub entry: String,
    /// What is wrong, in words.
    pub reason: String,
    /// The entry's text, to be kept.
    pub text: Vec<u8>,
    /// Its event, when its id or its state can be read.
    pub event: Option<Event>,
}

impl Rejection {
    /// How much of an unreadable entry is kept, in bytes.
    pub const MAX_TEXT: usize = 16 * 1024;
}

impl Ledger {
    /// Admits entries, in one round trip, and answers in their order.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. The entries then stay in the stream.
    pub async fn admit(&self, admissions: &[Admission]) -> Result<Vec<Admitted>, Abandoned> {
        let mut answers = self.admit_each(admissions, |_| String::new()).await?;
        // The event of a conflict is made only for those that have one; nothing was done to them so far.
        let in_conflict: Vec<usize> = (0..answers.len()).filter(|i| answers[*i] == Admitted::Conflict).collect();
        if !in_conflict.is_empty() {
            let now_ms = self.0.clock.now_ms();
            let again = in_conflict.iter().map(|i| &admissions[*i]);
            let told = self.admit_each(again, |admission| admission.conflict(now_ms)).await?;
            in_conflict.into_iter().zip(told).for_each(|(i, answer)| answers[i] = answer);
        }
        Ok(answers)
    }

    async fn admit_each<'a>(
        &self,
        admissions: impl IntoIterator<Item = &'a Admission>,
        conflict: impl Fn(&Admission) -> String,
    ) -> Result<Vec<Admitted>, Abandoned> {
        let mut args = vec![arg(Intake::GROUP)];
        for admission in admissions {
            admission.write_to(&mut args);
            args.push(conflict(admission).into_bytes());
        }
        let answers: String = self.call(&scripts::ADMIT, &args).await?;
        Ok(answers.bytes().map(Admitted::read).collect())
    }

    /// Rejects entries, in one round trip.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. The entries then stay in the stream.
    pub async fn reject(&self, rejections: &[Rejection]) -> Result<(), Abandoned> {
        let mut args = vec![arg(Intake::GROUP)];
        for Rejection { entry, reason, text, event } in rejections {
            args.extend([arg(entry), arg(reason), text[..text.len().min(Rejection::MAX_TEXT)].to_vec()]);
            match event {
                Some(event) => {
                    args.extend([arg(1), arg(&event.job), arg(&event.kind), arg(&event.state)]);
                    args.push(event.data.to_json().into_bytes());
                }
                None => args.extend([arg(0), Vec::new(), Vec::new(), Vec::new(), Vec::new()]),
            }
        }
        self.call::<Vec<u8>>(&scripts::REJECT, &args).await.map(|_| ())
    }
}

impl Admitted {
    fn read(answer: u8) -> Self {
        match answer {
            b'1' => Self::New,
            b'2' => Self::Known,
            b'3' => Self::Conflict,
            _ => Self::Elsewhere,
        }
    }
}

/// Where a job is kept, and what is kept of one with large pictures once it has completed.
fn place_of(json: &str) -> (JobPlace, Option<String>) {
    /// A larger job is kept where no claim reads it along.
    const LARGE: usize = 8 * 1024;
    if json.len() <= LARGE {
        return (JobPlace::Inline, None);
    }
    match hide_images(json) {
        shown if shown.len() <= LARGE => (JobPlace::LargeAndShown, Some(shown)),
        _ => (JobPlace::Large, None),
    }
}

impl Admission {
    /// What the event is made of, should the id belong to another job: the kind, and the data.
    fn conflict(&self, now_ms: u64) -> String {
        let Self { id, job, record, .. } = self;
        let state = job.request.state().unwrap_or_default();
        let event = conflict(id, job.kind.as_str(), state, record.enqueued_ms, now_ms);
        format!("{} {}", event.kind, event.data.to_json())
    }

    fn write_to(&self, args: &mut Vec<Vec<u8>>) {
        let Self { entry, id, json, job, record } = self;
        let state = job.request.state().unwrap_or_default();
        let state = if PlantedBug::StateReserialised.is_planted() { state.escape_default().to_string() } else { state };
        let (place, shown) = place_of(json);
        let large = if place == JobPlace::Inline { "" } else { json };
        args.extend([arg(entry), arg(id), arg(kept_request(job, record, &state, place, json))]);
        args.extend([arg(kept_job(1, record)), arg(record.submit_score()), arg(job.options.run_at_ms)]);
        args.extend([arg(record.deadline_ms), arg(large), arg(shown.unwrap_or_default())]);
    }
}
