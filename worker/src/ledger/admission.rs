//! Admission: entries of the job stream become jobs, or are rejected with a reason.

use mjq_producer::contract::{Event, Job, JobId};

use super::{
    Abandoned, Ledger, arg, hide_images,
    kept::{KeptAt, kept_job, kept_request},
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
    /// The job's id: the one that the job names, or else the entry's.
    pub id: JobId,
    /// The job as it was enqueued.
    pub json: String,
    /// The same job, parsed.
    pub job: Job,
    /// Its first record.
    pub record: Record,
}

/// What became of an entry that is a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The entry is a new job.
    New,
    /// The job was known already.
    Known,
    /// The id belongs to a job with another body; a `rejected` event says so.
    Conflict,
    /// Another pod dealt with the entry.
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
    /// The event of the rejection, if the entry's id or state can be read.
    pub event: Option<Event>,
}

impl Rejection {
    /// How much of an unreadable entry is kept, in bytes.
    pub const MAX_TEXT: usize = 16 * 1024;

    /// The id of the job that the entry was meant to be; `None` if no usable id can be read.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        JobId::new(&self.event.as_ref()?.job).ok()
    }
}

impl Ledger {
    /// The largest job, in bytes, that comes with its claim. A larger one is kept where no claim reads it.
    pub const SMALL_JOB: usize = 8 * 1024;

    /// Admits entries in one round trip, and answers in their order. `are_neighbours` says that the stream has nothing
    /// between them.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. The entries then stay in the stream.
    pub async fn admit(&self, admissions: &[Admission], are_neighbours: bool) -> Result<Vec<Admitted>, Abandoned> {
        let mut answers = self.admit_each(admissions, are_neighbours, |_| String::new()).await?;
        // The event of a conflict is made only for entries in conflict. The first call has left these in the stream.
        let in_conflict: Vec<usize> = (0..answers.len()).filter(|i| answers[*i] == Admitted::Conflict).collect();
        if !in_conflict.is_empty() {
            let now_ms = self.0.clock.now_ms();
            let again = in_conflict.iter().map(|i| &admissions[*i]);
            let told = self.admit_each(again, false, |admission| admission.conflict(now_ms)).await?;
            in_conflict.into_iter().zip(told).for_each(|(i, answer)| answers[i] = answer);
        }
        Ok(answers)
    }

    async fn admit_each<'a>(
        &self,
        admissions: impl IntoIterator<Item = &'a Admission>,
        are_neighbours: bool,
        conflict: impl Fn(&Admission) -> String,
    ) -> Result<Vec<Admitted>, Abandoned> {
        let mut args = vec![arg(self.0.retention.as_millis()), arg(u8::from(are_neighbours))];
        for admission in admissions {
            admission.write_to(&mut args);
            args.push(conflict(admission).into_bytes());
        }
        let answers: String = self.call(&scripts::ADMIT, &args).await?;
        Ok(answers.bytes().map(Admitted::read).collect())
    }

    /// Rejects entries in one round trip.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. The entries then stay in the stream.
    pub async fn reject(&self, rejections: &[Rejection]) -> Result<(), Abandoned> {
        let mut args = Vec::new();
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

/// Where a job is kept, and the text without pictures that stays once it has completed, if pictures make it large.
fn place_of(json: &str) -> (KeptAt, Option<String>) {
    if json.len() <= Ledger::SMALL_JOB {
        return (KeptAt::Inline, None);
    }
    match hide_images(json) {
        shown if shown.len() <= Ledger::SMALL_JOB => (KeptAt::LargeAndShown, Some(shown)),
        _ => (KeptAt::Large, None),
    }
}

impl Admission {
    /// The kind and the data of the event, in case the id belongs to another job.
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
        let large = if place == KeptAt::Inline { "" } else { json };
        args.extend([arg(entry), arg(id), arg(kept_request(job, record, &state, place, json))]);
        args.extend([arg(kept_job(1, record)), arg(record.submit_score()), arg(job.options.run_at_ms)]);
        args.extend([arg(record.deadline_ms), arg(large), arg(shown.unwrap_or_default())]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::{
        RedisLink,
        contract::{Entry, Malformed},
    };
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::lifecycle::{Policy, rejection};

    async fn a_ledger() -> anyhow::Result<Ledger> {
        let link = RedisLink::open(mjq_harness::shared_redis().await?.url())?;
        let retention = Duration::from_secs(3600);
        Ok(Ledger::new(link, mjq_harness::unique_queue().parse()?, retention, CancellationToken::new()))
    }

    /// Adds a job to the stream as `entry`, which may be `*`.
    async fn enqueue(ledger: &Ledger, entry: &str, job: &str) -> anyhow::Result<Admission> {
        let json = format!(r#"{{"id":"{job}","kind":"imagine","request":{{"prompt":"a red fox"}}}}"#);
        let mut add = redis::cmd("XADD");
        add.arg(ledger.queue().jobs_stream()).arg(entry).arg("v").arg(1).arg("job").arg(&json);
        let entry = ledger.link().query(&add).await?;
        let Entry::Job(job) = Entry::read(None, Some(json.as_bytes()), 1 << 20)? else { anyhow::bail!("no job") };
        let (id, record) = (job.id.clone().unwrap(), Record::admit(&job, 1, &Policy::default()));
        Ok(Admission { entry, id, json, job: *job, record })
    }

    async fn left(ledger: &Ledger) -> anyhow::Result<u64> {
        Ok(ledger.link().query(redis::cmd("XLEN").arg(ledger.queue().jobs_stream())).await?)
    }

    #[tokio::test]
    async fn neighbours_leave_the_stream_and_what_came_before_and_after_them_stays() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let mut all = Vec::new();
        for job in ["a", "b", "c", "d", "e"] {
            all.push(enqueue(&ledger, "*", job).await?);
        }
        let later = all.split_off(3);

        // The first entry of the stream is not among these: it is another pod's.
        assert_eq!(ledger.admit(&all[1..], true).await?, [Admitted::New; 2]);
        assert_eq!(left(&ledger).await?, 3);

        assert_eq!(ledger.admit(&all[..1], true).await?, [Admitted::New]);
        assert_eq!(ledger.admit(&later[..1], true).await?, [Admitted::New]);
        assert_eq!(left(&ledger).await?, 1);
        assert_eq!(ledger.admit(&all, true).await?, [Admitted::Elsewhere; 3], "a second time");
        assert_eq!(ledger.admit(&later, true).await?, [Admitted::Elsewhere, Admitted::New]);
        assert_eq!(left(&ledger).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn an_entry_that_is_older_than_any_record_is_admitted_only_while_it_is_in_the_stream() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let old = [enqueue(&ledger, "1-1", "a").await?, enqueue(&ledger, "1-2", "b").await?];
        assert_eq!(ledger.admit(&old[..1], true).await?, [Admitted::New]);
        // Deletes the job, as the sweep does after its retention.
        let keys = ["job:a", "request:a"].map(|name| ledger.key(name));
        let gone: u64 = ledger.link().query(redis::cmd("DEL").arg(&keys)).await?;
        assert_eq!(gone, 2);

        assert_eq!(ledger.admit(&old, true).await?, [Admitted::Elsewhere, Admitted::New]);
        Ok(())
    }

    #[tokio::test]
    async fn the_same_id_twice_in_a_batch_is_one_job() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let twins = [enqueue(&ledger, "*", "a").await?, enqueue(&ledger, "*", "a").await?];

        assert_eq!(ledger.admit(&twins, true).await?, [Admitted::New, Admitted::Known]);
        assert_eq!(left(&ledger).await?, 0);
        Ok(())
    }

    /// Gives `events` a foreign type, and returns whether `call` waits until it is a stream again.
    async fn waits_for_the_event_stream(
        ledger: &Ledger,
        call: impl Future<Output = Result<(), Abandoned>>,
    ) -> anyhow::Result<bool> {
        let events = ledger.queue().events_stream();
        ledger.link().query::<()>(redis::cmd("SET").arg(&events).arg("not a stream")).await?;
        tokio::pin!(call);
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut call).await.is_err();
        let are_all_left = left(ledger).await? == 1;
        ledger.link().query::<()>(redis::cmd("DEL").arg(&events)).await?;
        if waits {
            call.await?;
        }
        let published: u64 = ledger.link().query(redis::cmd("XLEN").arg(&events)).await?;
        Ok(waits && are_all_left && published == 1 && left(ledger).await? == 0)
    }

    #[tokio::test]
    async fn an_entry_stays_in_the_stream_until_its_rejection_can_be_told() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        let entry = enqueue(&ledger, "*", "a").await?.entry;
        let malformed = Malformed { reason: "no job".to_owned(), id: Some("a".to_owned()), ..Malformed::default() };
        let event = rejection(&malformed, &JobId::new(&entry)?, 1, 1);
        assert!(event.is_some());

        let rejections = [Rejection { entry, reason: malformed.reason, text: Vec::new(), event }];

        assert!(waits_for_the_event_stream(&ledger, ledger.reject(&rejections)).await?);
        Ok(())
    }

    #[tokio::test]
    async fn an_entry_stays_in_the_stream_until_its_conflict_can_be_told() -> anyhow::Result<()> {
        let ledger = a_ledger().await?;
        ledger.admit(&[enqueue(&ledger, "*", "a").await?], true).await?;
        let mut other = enqueue(&ledger, "*", "a").await?;
        other.job.options.max_attempts = Some(7);

        let admit =
            async { ledger.admit(&[other], true).await.map(|answers| assert_eq!(answers, [Admitted::Conflict])) };

        assert!(waits_for_the_event_stream(&ledger, admit).await?);
        Ok(())
    }
}
