//! One job, in full.

use mjq_producer::contract::{Event, Job, JobId};
use redis::streams::StreamRangeReply;

use super::{
    Ledger, Place, ViewError, hide_images,
    lines::read_event,
    pauses::{PAUSE_FIELDS, PauseMarks, read_pause},
};
use crate::{
    ledger::{
        EntryId, Paused,
        claim_reply::read_hint,
        kept::{KeptJob, KeptRequest},
        renewal::lease_of,
    },
    lifecycle::{Phase, Record},
};

/// Everything that the ledger knows about one job.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// When this view was read, Unix milliseconds by Redis's clock.
    pub now_ms: u64,
    /// The job's phase.
    pub phase: Phase,
    /// The fence of the latest claim; 0 if there was none.
    pub fence: u64,
    /// How often a lease of it ran out.
    pub reclaims: u32,
    /// Whether somebody asked to cancel it.
    pub is_cancel_requested: bool,
    /// The task that a hook named, while the job does not know its own.
    pub hinted_task: Option<String>,
    /// Where the ledger has the job, and so what comes next.
    pub place: Place,
    /// What is paused, and so whether the next step comes at all.
    pub paused: Option<Paused>,
    /// The job's record.
    pub record: Record,
    /// The size of the job as it is kept, in bytes: as it was enqueued, or without its pictures once it has completed.
    pub job_bytes: u64,
    /// The job as it was enqueued, with pictures hidden; `None` when it is too large to be shown.
    pub job: Option<Job>,
    /// The caller's `state`, verbatim; only its beginning if it is too large to be shown.
    pub state: Option<String>,
    /// The size of the whole `state` in bytes.
    pub state_bytes: u64,
    /// The entry of the job's event in the event stream, once the job has ended.
    pub event_entry: Option<String>,
    /// That event, as long as the stream keeps it.
    pub event: Option<Event>,
}

/// Reclaims, cancel mark, hint.
type More = (Option<u32>, Option<String>, Option<String>);
type Scores = (Option<f64>, Option<f64>, Option<f64>, Option<u64>);
type JobReply = (Option<String>, Vec<u8>, More, u64, u64, Option<f64>, Option<f64>, Option<u64>, PauseMarks);

impl Ledger {
    /// A larger job is not read for a page, and a larger state only up to this size: claims and settlements wait behind
    /// the reply on the same connection.
    const MAX_SHOWN_BYTES: u64 = 1024 * 1024;

    /// Reads everything about one job; `None` if there is no such job, or no longer.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobView>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.job_key("job", id));
        commands.cmd("GETRANGE").arg(self.job_key("request", id)).arg(0).arg(Self::MAX_SHOWN_BYTES - 1);
        commands.cmd("HMGET").arg(self.job_key("more", id)).arg(&["rc", "c", "hint"]);
        commands.cmd("STRLEN").arg(self.job_key("large", id));
        commands.cmd("STRLEN").arg(self.job_key("shown", id));
        commands.cmd("ZSCORE").arg(self.key("due:poll")).arg(id.as_str());
        commands.cmd("ZSCORE").arg(self.key("due:later")).arg(id.as_str());
        commands.cmd("ZRANK").arg(self.key("due:submit")).arg(id.as_str());
        commands.cmd("HMGET").arg(self.key("upstream")).arg(&PAUSE_FIELDS);
        let (text, request, more, large, shown, poll, later, rank, pauses): JobReply = self.read(&commands).await?;
        let Some(kept) = text.as_deref().and_then(KeptJob::read) else { return Ok(None) };
        let Some(record) = kept.record() else { return Ok(None) };
        let (request, state_bytes) = KeptRequest::read_beginning(&request).unzip();

        let mut commands = redis::pipe();
        commands.cmd("ZSCORE").arg(self.key("leases")).arg(lease_of(id, kept.fence));
        // The pictures of a completed job may be gone.
        let whole = if (1..=Self::MAX_SHOWN_BYTES).contains(&large) { "large" } else { "shown" };
        commands.cmd("GET").arg(self.job_key(whole, id));
        let entry = kept.event.unwrap_or("0-1");
        commands.cmd("XRANGE").arg(self.queue().events_stream()).arg(entry).arg(entry);
        type Rest = (Option<f64>, Option<String>, StreamRangeReply);
        let (lease, apart, events): Rest = self.read(&commands).await?;

        let (reclaims, cancelled, hint) = more;
        let small = request.and_then(|request| request.job);
        let job = small.or(apart.as_deref()).and_then(|job| serde_json::from_str(&hide_images(job)).ok());
        Ok(Some(JobView {
            id: id.clone(),
            now_ms: self.clock().now_ms(),
            phase: kept.phase,
            // Without a lease, the kept fence is that of the next claim.
            fence: if lease.is_some() { kept.fence } else { kept.last_fence() },
            reclaims: reclaims.unwrap_or(0),
            is_cancel_requested: cancelled.is_some(),
            hinted_task: hint.map(|hint| read_hint(&hint).0.to_owned()).filter(|task| !task.is_empty()),
            place: place_of(kept.event.map(|entry| EntryId::read(entry).ms), (lease, poll, later, rank)),
            paused: read_pause(&pauses),
            record,
            job_bytes: small.map_or(if large > 0 { large } else { shown }, |job| job.len() as u64),
            job,
            state_bytes: state_bytes.unwrap_or(0),
            state: request.map(|request| request.state.to_owned()).filter(|state| !state.is_empty()),
            event_entry: kept.event.map(str::to_owned),
            event: events.ids.into_iter().next().and_then(read_event),
        }))
    }
}

/// Where the ledger has a job, from the time at which it ended, if it has, and from its scores in the sorted sets.
fn place_of(ended_ms: Option<u64>, (lease, poll, later, rank): Scores) -> Place {
    let ms = |score: f64| score as u64;
    // A claimed job that is overdue or cancelled may also be in a lane. The claim, which is what happens now, counts.
    match (lease, ended_ms, poll, later, rank) {
        (Some(lease), ..) => Place::InStep { lease_ms: ms(lease) },
        (_, Some(at_ms), ..) => Place::Ended { at_ms },
        (_, _, Some(due), ..) => Place::Poll { due_ms: ms(due) },
        (_, _, _, Some(due), _) => Place::Later { due_ms: ms(due) },
        (_, _, _, _, Some(before)) => Place::Submit { before: Some(before) },
        (None, None, None, None, None) => Place::Moving,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_now_counts_more_than_what_is_due() {
        assert_eq!(place_of(None, (Some(9.0), Some(1.0), None, None)), Place::InStep { lease_ms: 9 });
        assert_eq!(place_of(Some(5), (None, Some(1.0), None, None)), Place::Ended { at_ms: 5 });
        assert_eq!(place_of(None, (None, None, Some(3.0), None)), Place::Later { due_ms: 3 });
        assert_eq!(place_of(None, (None, None, None, Some(7))), Place::Submit { before: Some(7) });
        assert_eq!(place_of(None, (None, None, None, None)), Place::Moving);
    }
}
