//! Reads the event stream without consuming it: other consumers still get every event.

use std::time::Duration;

use mjq_producer::{
    Delivery, RedisLink,
    contract::{Event, JobId},
};
use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
use secrecy::ExposeSecret;

use super::Failure;
use crate::settings::Settings;

/// The event stream of one queue.
#[derive(Debug)]
pub(super) struct EventLog {
    link: RedisLink,
    events: String,
    jobs: String,
}

/// A position between two entries: directly after the entry with this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position(String);

impl Position {
    /// The position before the oldest entry.
    pub(super) fn start() -> Self {
        Self("0-0".to_owned())
    }
}

impl EventLog {
    /// How many entries one read returns at most.
    const BATCH: usize = 200;
    /// How long one read waits for an entry.
    const BLOCK: Duration = Duration::from_secs(5);
    /// How many of the newest entries are searched for a job that had ended already.
    const SEARCHED: usize = 10_000;

    pub(super) fn open(settings: &Settings) -> Result<Self, Failure> {
        let timeout = Self::BLOCK + RedisLink::RESPONSE_TIMEOUT;
        let link = RedisLink::open_with_timeout(settings.redis_url.expose_secret(), timeout)
            .map_err(|error| Failure::Redis(error.into()))?;
        Ok(Self { link, events: settings.queue.events_stream(), jobs: settings.queue.jobs_stream() })
    }

    /// The position after the newest entry.
    pub(super) async fn end(&self) -> Result<Position, Failure> {
        Ok(self.newest(&self.events).await?.map_or_else(Position::start, Position))
    }

    /// The entries after `position`, and moves `position` behind them. Empty at the end of the stream.
    pub(super) async fn read(&self, position: &mut Position) -> Result<Vec<Delivery>, Failure> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.events).arg(format!("({}", position.0)).arg("+").arg("COUNT").arg(Self::BATCH);
        let reply: StreamRangeReply = self.link.query(&command).await?;
        Ok(advance(position, reply.ids))
    }

    /// As [`EventLog::read`], but waits some seconds for an entry.
    pub(super) async fn follow(&self, position: &mut Position) -> Result<Vec<Delivery>, Failure> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(Self::BATCH).arg("BLOCK").arg(Self::BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(&self.events).arg(&position.0);
        let reply: Option<StreamReadReply> = self.link.query(&command).await?;
        Ok(advance(position, reply.unwrap_or_default().keys.into_iter().flat_map(|stream| stream.ids).collect()))
    }

    /// The event of a job that ended before `position`. Only the newest 10,000 events before it are searched.
    pub(super) async fn find_before(&self, position: &Position, job: &JobId) -> Result<Option<Delivery>, Failure> {
        let mut upper = position.0.clone();
        for _ in 0..Self::SEARCHED / Self::BATCH {
            let mut command = redis::cmd("XREVRANGE");
            command.arg(&self.events).arg(&upper).arg("-").arg("COUNT").arg(Self::BATCH);
            let reply: StreamRangeReply = self.link.query(&command).await?;
            let Some(oldest) = reply.ids.last() else {
                break;
            };
            upper = format!("({}", oldest.id);
            // A rejected entry may have the same id, but its event is not the end of the job.
            let is_its_end = |it: &Delivery| it.event.job == job.as_str() && !is_rejected(&it.event);
            if let Some(found) = reply.ids.into_iter().filter_map(delivery).find(is_its_end) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The newest entry in the job stream.
    pub(super) async fn newest_waiting(&self) -> Result<Option<String>, Failure> {
        self.newest(&self.jobs).await
    }

    /// Whether a worker has taken `entry` out of the job stream. All earlier entries have then been taken, too, except
    /// for commands about unknown jobs, which wait a while for their job.
    pub(super) async fn is_admitted(&self, entry: &str) -> Result<bool, Failure> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.jobs).arg(entry).arg(entry);
        let reply: StreamRangeReply = self.link.query(&command).await?;
        Ok(reply.ids.is_empty())
    }

    async fn newest(&self, stream: &str) -> Result<Option<String>, Failure> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
        let reply: StreamRangeReply = self.link.query(&command).await?;
        Ok(reply.ids.into_iter().next().map(|entry| entry.id))
    }
}

fn is_rejected(event: &Event) -> bool {
    event.event_type == mjq_producer::contract::EventType::Rejected
}

fn advance(position: &mut Position, entries: Vec<StreamId>) -> Vec<Delivery> {
    if let Some(last) = entries.last() {
        position.0 = last.id.clone();
    }
    entries.into_iter().filter_map(delivery).collect()
}

/// Skips an entry that is not an event of this version, because another consumer may be able to read it.
fn delivery(entry: StreamId) -> Option<Delivery> {
    Delivery::read(entry).inspect_err(|other| tracing::warn!("{other}: it is passed over")).ok()
}
