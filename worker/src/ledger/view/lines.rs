//! Lists of jobs: one line each, without their requests.

use std::collections::HashSet;

use mjq_producer::{
    Delivery,
    contract::{Code, Event, EventType, JobId},
};
use redis::streams::{StreamId, StreamRangeReply};
use serde::Serialize;

use super::{Ledger, ViewError};
use crate::ledger::{EntryId, kept::KeptJob};
use crate::lifecycle::{Phase, Record};

/// Where the ledger has a job. Times are Unix milliseconds by Redis's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "lane", rename_all = "snake_case")]
pub enum Place {
    /// A worker performs a step.
    InStep {
        /// When its lease runs out, unless it is renewed.
        lease_ms: u64,
    },
    /// Waits for its next poll.
    Poll {
        /// When the poll is due.
        due_ms: u64,
    },
    /// Waits to be submitted.
    Submit {
        /// How many jobs are before it, if the view reads that.
        before: Option<u64>,
    },
    /// Waits for the time from which it may be submitted.
    Later {
        /// That time.
        due_ms: u64,
    },
    /// Has ended.
    Ended {
        /// The time of the end.
        at_ms: u64,
    },
    /// In no lane: it was moved between two reads.
    Moving,
}

/// One job in a list.
#[derive(Debug, Clone)]
pub struct JobLine {
    /// The job.
    pub id: JobId,
    /// The job's phase.
    pub phase: Phase,
    /// Where the ledger has the job.
    pub place: Place,
    /// Its record.
    pub record: Record,
    /// The event of its end, while the stream keeps it.
    pub event: Option<Event>,
}

/// Why an open job does not go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its task waits for input.
    Held,
    /// Its submit's answer was lost, and mjq searches for its task.
    Unknown,
}

impl Standing {
    fn phase(self) -> Phase {
        match self {
            Self::Held => Phase::Held,
            Self::Unknown => Phase::Unknown,
        }
    }

    fn index(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unknown => "unknown",
        }
    }
}

/// What is going on.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// Some of the open jobs, newest first: those of each lane and priority that come next.
    pub open: Vec<JobLine>,
    /// The jobs that ended last, the latest first.
    pub ended: Vec<JobLine>,
}

/// How many of the shown open tasks were last polled in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlindPolls<'a> {
    /// The open tasks that are shown.
    pub tasks: usize,
    /// The tasks whose latest poll told nothing.
    pub blind: usize,
    /// What the upstream said instead about one of them.
    pub reason: &'a str,
}

impl Latest {
    /// The polls that told nothing; `None` while most polls told something, or no reason is known.
    #[must_use]
    pub fn blind_polls(&self) -> Option<BlindPolls<'_>> {
        let tasks = self.open.iter().filter(|line| matches!(line.phase, Phase::Polling | Phase::Held));
        let (blind, seen): (Vec<&JobLine>, Vec<_>) = tasks.partition(|line| line.record.blind_polls > 0);
        let reason = &blind.iter().find(|line| !line.record.reason.is_empty())?.record.reason;
        let (tasks, blind) = (blind.len() + seen.len(), blind.len());
        (2 * blind >= tasks).then_some(BlindPolls { tasks, blind, reason })
    }
}

type Scored = Vec<(String, f64)>;

impl Ledger {
    /// Reads up to `limit` open jobs and up to `limit` ended ones.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn latest(&self, limit: usize) -> Result<Latest, ViewError> {
        let last = limit.saturating_sub(1);
        let mut commands = redis::pipe();
        for key in ["leases", "due:poll", "due:later"] {
            commands.cmd("ZRANGE").arg(self.key(key)).arg(0).arg(last).arg("WITHSCORES");
        }
        for rank in 0..3_u64 {
            // The jobs of each priority that come next: scores are rank * 10^13 + enqueued ms.
            let (from, below) = (rank * Record::SCORE_RANK, (rank + 1) * Record::SCORE_RANK);
            commands.cmd("ZRANGEBYSCORE").arg(self.key("due:submit")).arg(from).arg(format!("({below}"));
            commands.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
        }
        // An entry lists one or more jobs, and some of these may have been retried.
        commands.cmd("XREVRANGE").arg(self.key("ended")).arg("+").arg("-").arg("COUNT").arg(2 * limit);
        type Ranges = (Scored, Scored, Scored, Scored, Scored, Scored, StreamRangeReply);
        let (leases, polls, later, high, normal, low, ended): Ranges = self.read(&commands).await?;
        let submit = |_| Place::Submit { before: None };
        let lanes = [
            placed(leases.into_iter().map(without_fence).collect(), |lease_ms| Place::InStep { lease_ms }),
            placed(polls, |due_ms| Place::Poll { due_ms }),
            placed(high, submit),
            placed(normal, submit),
            placed(low, submit),
            placed(later, |due_ms| Place::Later { due_ms }),
        ];
        let open = self.lines(interleave(lanes.into(), limit)).await?;
        let mut open: Vec<JobLine> = open.into_iter().map(|(line, _)| line).collect();
        open.sort_by(|a, b| b.record.enqueued_ms.cmp(&a.record.enqueued_ms).then_with(|| a.id.cmp(&b.id)));
        let ended = self.lines(interleave(vec![listed(&ended)], limit)).await?;
        // A job that was retried is still listed, but has no event.
        let ended = ended.into_iter().filter(|(_, event)| event.is_some()).collect();
        Ok(Latest { open, ended: self.with_events(ended).await? })
    }

    /// Reads up to `limit` open jobs that are held or unknown, starting with those that have been so for longest.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn standing(&self, phase: Standing, limit: usize) -> Result<Vec<JobLine>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("ZRANGE").arg(self.key(phase.index())).arg(0).arg(limit.saturating_sub(1));
        let (ids,): (Vec<String>,) = self.read(&commands).await?;
        let mut commands = redis::pipe();
        for id in &ids {
            commands.cmd("ZSCORE").arg(self.key("due:poll")).arg(id);
        }
        let due: Vec<Option<f64>> = if ids.is_empty() { Vec::new() } else { self.read(&commands).await? };
        let place = |due_ms: Option<f64>| due_ms.map_or(Place::Moving, |due_ms| Place::Poll { due_ms: due_ms as u64 });
        let jobs = ids.into_iter().zip(due).map(|(id, due_ms)| (id, place(due_ms))).collect();
        let lines = self.lines(jobs).await?.into_iter().map(|(line, _)| line);
        // A job may have left this phase since.
        Ok(lines.filter(|line| line.phase == phase.phase()).collect())
    }

    /// Reads the latest `limit` dead letters, latest first: jobs that failed, as long as the retention keeps them.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn failures(&self, limit: usize) -> Result<Vec<JobLine>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("ZREVRANGE").arg(self.key("failed")).arg(0).arg(limit.saturating_sub(1)).arg("WITHSCORES");
        let (failed,): (Scored,) = self.read(&commands).await?;
        let lines = self.lines(placed(failed, |at_ms| Place::Ended { at_ms })).await?;
        self.with_events(lines).await
    }

    /// Reads the records of `jobs`, each with the entry of its event. Jobs that are gone or cannot be read are left
    /// out.
    async fn lines(&self, jobs: Vec<(String, Place)>) -> Result<Vec<(JobLine, Option<String>)>, ViewError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for (id, _) in &jobs {
            commands.cmd("GET").arg(self.key(&format!("job:{id}")));
        }
        let texts: Vec<Option<String>> = self.read(&commands).await?;
        let line = |((id, place), text): ((String, Place), Option<String>)| {
            let text = text?;
            let kept = KeptJob::read(&text)?;
            let line =
                JobLine { id: JobId::new(&id).ok()?, phase: kept.phase, place, record: kept.record()?, event: None };
            Some((line, kept.event.map(str::to_owned)))
        };
        Ok(jobs.into_iter().zip(texts).filter_map(line).collect())
    }

    /// Adds the events of the jobs' ends, as long as the event stream keeps them.
    async fn with_events(&self, lines: Vec<(JobLine, Option<String>)>) -> Result<Vec<JobLine>, ViewError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for entry in lines.iter().map(|(_, entry)| entry.as_deref().unwrap_or("0-1")) {
            commands.cmd("XRANGE").arg(self.queue().events_stream()).arg(entry).arg(entry);
        }
        let events: Vec<StreamRangeReply> = self.read(&commands).await?;
        let told = |((line, _), reply): ((JobLine, _), StreamRangeReply)| JobLine {
            event: reply.ids.into_iter().next().and_then(read_event),
            ..line
        };
        Ok(lines.into_iter().zip(events).map(told).collect())
    }
}

impl JobLine {
    /// The type and the code of the job's end, if it has ended and its event is kept.
    #[must_use]
    pub fn ending(&self) -> Option<(EventType, Code)> {
        self.event.as_ref().map(|event| (event.event_type, event.code))
    }
}

pub(super) fn read_event(entry: StreamId) -> Option<Event> {
    Delivery::read(entry).ok().map(|delivery| delivery.event)
}

fn placed(scored: Scored, place: impl Fn(u64) -> Place) -> Vec<(String, Place)> {
    scored.into_iter().map(|(id, score)| (id, place(score as u64))).collect()
}

/// The job of a lease. A lease is named `<fence>:<job id>`.
fn without_fence((lease, score): (String, f64)) -> (String, f64) {
    let job = lease.split_once(':').map_or("", |(_, job)| job);
    (job.to_owned(), score)
}

/// The jobs in entries of `ended`, the latest first. A job that was retried may be there twice.
fn listed(ended: &StreamRangeReply) -> Vec<(String, Place)> {
    let jobs = |entry: &StreamId| {
        let (ids, at_ms) = (entry.get::<String>("jobs").unwrap_or_default(), EntryId::read(&entry.id).ms);
        ids.split_whitespace().rev().map(|id| (id.to_owned(), Place::Ended { at_ms })).collect::<Vec<_>>()
    };
    ended.ids.iter().flat_map(jobs).collect()
}

/// Takes one job of each lane in turn, so that a long lane does not hide a short one.
fn interleave(lanes: Vec<Vec<(String, Place)>>, limit: usize) -> Vec<(String, Place)> {
    let longest = lanes.iter().map(Vec::len).max().unwrap_or(0);
    let mut seen = HashSet::new();
    (0..longest)
        .flat_map(|turn| lanes.iter().filter_map(move |lane| lane.get(turn)))
        // A job that moved between two reads is in two lanes.
        .filter(|(id, _)| seen.insert(id.clone()))
        .take(limit)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lane_hides_another_and_no_job_is_listed_twice() {
        let lane = |ids: &[&str], place: Place| ids.iter().map(|id| ((*id).to_owned(), place)).collect::<Vec<_>>();
        let lanes = vec![
            lane(&["a", "b", "c", "d"], Place::Poll { due_ms: 1 }),
            lane(&["e", "a"], Place::Submit { before: None }),
            lane(&[], Place::Moving),
        ];

        let ids: Vec<String> = interleave(lanes, 4).into_iter().map(|(id, _)| id).collect();

        assert_eq!(ids, ["a", "e", "b", "c"]);
    }

    #[test]
    fn what_one_call_ended_is_listed_from_the_last_to_the_first() {
        let entry = |id: &str, jobs: &str| StreamId {
            id: id.to_owned(),
            map: [("jobs".to_owned(), redis::Value::BulkString(jobs.into()))].into(),
            ..StreamId::default()
        };
        let entries = StreamRangeReply { ids: vec![entry("8-0", "c"), entry("7-1", "a b")] };

        let at = |id: &str, at_ms| (id.to_owned(), Place::Ended { at_ms });
        assert_eq!(listed(&entries), [at("c", 8), at("b", 7), at("a", 7)]);
    }
}
