//! One job, in full.

use mjq_producer::contract::{Event, Job, JobId};
use redis::streams::StreamRangeReply;

use super::{Ledger, Place, ViewError, hide_images, lines::read_event};
use crate::{
    ledger::{claim::read_hint, state_in},
    lifecycle::{Phase, Record},
};

/// Everything that the ledger knows about one job.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// When it was looked at, Unix milliseconds by Redis's clock.
    pub now_ms: u64,
    /// Where it stands.
    pub phase: Phase,
    /// How often it was claimed.
    pub fence: u64,
    /// How often a lease of it ran out.
    pub reclaims: u32,
    /// Whether somebody asked to cancel it.
    pub is_cancel_requested: bool,
    /// The task that a hook told of, while the job does not know its own.
    pub hinted_task: Option<String>,
    /// Where it is found, and so what comes next.
    pub place: Place,
    /// Its record.
    pub record: Record,
    /// The size of the job as it is kept, in bytes: as it was enqueued, or without its pictures once it has completed.
    pub job_bytes: u64,
    /// The job as it was enqueued, with pictures hidden; `None` when it is too large to be shown.
    pub job: Option<Job>,
    /// The caller's `state`, verbatim.
    pub state: Option<String>,
    /// The entry of the event stream that told its end.
    pub event_entry: Option<String>,
    /// That event, as long as the stream keeps it.
    pub event: Option<Event>,
}

type Claimable = (Option<u64>, Option<String>, Option<String>, Option<u32>, Option<String>);
type Told = (Option<String>, Option<String>, Option<String>);
type Fields = (Claimable, Told, u64);
type Scores = (Option<f64>, Option<f64>, Option<f64>, Option<u64>, Option<f64>);
type JobReply = (Claimable, Told, u64, u64, u64, Option<f64>, Option<f64>, Option<u64>, Option<f64>);

impl Ledger {
    /// Larger jobs are not read for a page.
    const MAX_SHOWN_BYTES: u64 = 32 * 1024 * 1024;

    /// Everything about one job; `None` when the ledger does not know it, or no longer.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobView>, ViewError> {
        let key = self.key(&format!("job:{id}"));
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(&key).arg(&["f", "p", "r", "rc", "c"]);
        commands.cmd("HMGET").arg(&key).arg(&["hint", "i", "ev"]);
        commands.cmd("HSTRLEN").arg(&key).arg("job");
        commands.cmd("HSTRLEN").arg(&key).arg("large");
        commands.cmd("HSTRLEN").arg(&key).arg("shown");
        commands.cmd("ZSCORE").arg(self.key("due:poll")).arg(id.as_str());
        commands.cmd("ZSCORE").arg(self.key("due:later")).arg(id.as_str());
        commands.cmd("ZRANK").arg(self.key("due:submit")).arg(id.as_str());
        commands.cmd("ZSCORE").arg(self.key("ended")).arg(id.as_str());
        let (first, second, small, large, shown, poll, later, rank, ended): JobReply = self.read(&commands).await?;
        let mut commands = redis::pipe();
        let leased_under = first.0.unwrap_or(0) + 1;
        commands.cmd("ZSCORE").arg(self.key("leases")).arg(format!("{leased_under}:{id}"));
        let (lease,): (Option<f64>,) = self.read(&commands).await?;
        // It is in one of two fields, by its size; of a completed one the pictures may be gone.
        let job_bytes = if small + large > 0 { small + large } else { shown };
        let (fields, scores): (Fields, Scores) = ((first, second, job_bytes), (lease, poll, later, rank, ended));
        let Some(mut view) = JobView::read(id, fields, scores, self.clock().now_ms()) else {
            return Ok(None);
        };

        let mut commands = redis::pipe();
        let is_shown = view.job_bytes <= Self::MAX_SHOWN_BYTES;
        let whole: &[&str] = if is_shown { &["job", "large", "shown"] } else { &["job", "shown", "shown"] };
        commands.cmd("HMGET").arg(&key).arg(whole);
        let entry = view.event_entry.as_deref().unwrap_or("0-1");
        commands.cmd("XRANGE").arg(self.queue().events_stream()).arg(entry).arg(entry);
        let (texts, events): ([Option<String>; 3], StreamRangeReply) = self.read(&commands).await?;
        let job = texts.into_iter().flatten().next();
        view.job = job.and_then(|job| serde_json::from_str(&hide_images(&job)).ok());
        view.event = events.ids.into_iter().next().and_then(read_event);
        Ok(Some(view))
    }
}

impl JobView {
    fn read(id: &JobId, fields: Fields, scores: Scores, now_ms: u64) -> Option<Self> {
        let ((fence, phase, record, reclaims, cancelled), (hint, identity, event_entry), job_bytes) = fields;
        let state = identity.map(|identity| state_in(&identity).to_owned());
        let phase = Phase::read(&phase?)?;
        Some(Self {
            id: id.clone(),
            now_ms,
            phase,
            // A claim shows in the lease first.
            fence: fence.unwrap_or(0) + u64::from(scores.0.is_some()),
            reclaims: reclaims.unwrap_or(0),
            is_cancel_requested: cancelled.is_some(),
            hinted_task: hint.map(|hint| read_hint(&hint).0.to_owned()).filter(|task| !task.is_empty()),
            place: place_of(scores),
            record: Record { phase, ..Record::read(&record?)? },
            job_bytes,
            job: None,
            state: state.filter(|state| !state.is_empty()),
            event_entry,
            event: None,
        })
    }
}

fn place_of((lease, poll, later, rank, ended): Scores) -> Place {
    let ms = |score: f64| score as u64;
    // An overdue or cancelled job that is claimed may stand in a lane as well: what is done now counts.
    match (lease, ended, poll, later, rank) {
        (Some(lease), ..) => Place::InStep { lease_ms: ms(lease) },
        (_, Some(at), ..) => Place::Ended { at_ms: ms(at) },
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
        assert_eq!(place_of((Some(9.0), Some(1.0), None, None, None)), Place::InStep { lease_ms: 9 });
        assert_eq!(place_of((None, Some(5.0), None, None, None)), Place::Poll { due_ms: 5 });
        assert_eq!(place_of((None, None, None, Some(3), None)), Place::Submit { before: Some(3) });
        assert_eq!(place_of((None, None, None, None, Some(7.0))), Place::Ended { at_ms: 7 });
        assert_eq!(place_of((None, None, None, None, None)), Place::Moving);
    }
}
