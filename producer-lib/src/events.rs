//! The event reader: takes events out of the queue as a member of a consumer group.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    RedisError,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};
use tracing::warn;

use crate::{
    LinkError, RedisLink,
    contract::{Event, MissingField, QueueName},
};

/// Reads the events of one queue, at least once each: Redis gives out an event again until it is acknowledged.
///
/// The members of one group share the events; each group sees all events. An entry that is not an event of this version
/// does not hide the others: the reader logs it, keeps it aside ([`EventReader::take_unreadable`]) and leaves it
/// unacknowledged, for a consumer that can read it.
#[derive(Debug)]
pub struct EventReader {
    link: RedisLink,
    stream: String,
    group: String,
    consumer: String,
    takeover_after: Duration,
    search: tokio::sync::Mutex<Search>,
    unreadable: Mutex<Vec<Unreadable>>,
}

/// The search for events that a dead consumer left. It walks through all pending entries, in steps.
#[derive(Debug, Default)]
struct Search {
    began: Option<Instant>,
    /// The entry at which the search goes on; `None` once the search has reached the end.
    at: Option<String>,
}

/// One event, to be acknowledged when it has been dealt with.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The stream entry's id, `<Unix milliseconds>-<sequence>`.
    pub entry: String,
    /// The event.
    pub event: Event,
}

impl Delivery {
    /// Reads an entry of the event stream.
    ///
    /// # Errors
    /// [`Unreadable`] when the entry is not an event of this version. Another consumer may be able to read it.
    pub fn read(entry: StreamId) -> Result<Self, Unreadable> {
        let StreamId { id: entry, map, .. } = entry;
        let text = |(name, value)| Some((name, redis::from_redis_value(value).ok()?));
        match Event::read(map.into_iter().filter_map(text).collect::<HashMap<String, String>>()) {
            Ok(event) => Ok(Self { entry, event }),
            Err(cause) => Err(Unreadable { entry, cause }),
        }
    }
}

/// An entry of the event stream that is not an event of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} is not an event")]
pub struct Unreadable {
    /// The stream entry's id.
    pub entry: String,
    /// The field that is missing or cannot be read.
    #[source]
    pub cause: MissingField,
}

/// Events could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The Redis URL cannot be used.
    #[error("the Redis URL cannot be used")]
    Url(#[from] LinkError),
    /// Redis did not answer. Nothing is lost: unacknowledged events come again.
    #[error("could not read {stream}")]
    Redis {
        /// The event stream.
        stream: String,
        /// What Redis or the network said.
        #[source]
        cause: RedisError,
    },
}

impl EventReader {
    /// How many events one read returns at most.
    const BATCH: usize = 100;
    /// The longest that one read waits. The link's time-out is longer.
    const MAX_BLOCK: Duration = Duration::from_secs(10);
    /// How many searches for abandoned events begin within the time-out for a takeover.
    const SEARCHES: u32 = 4;
    /// How many unreadable entries are kept for [`EventReader::take_unreadable`]; the oldest are dropped first.
    const MAX_UNREADABLE: usize = 100;

    /// Joins `group` as `consumer`. A new group starts with the oldest event that is there.
    ///
    /// # Errors
    /// [`ReadError::Url`] if the URL cannot be used, [`ReadError::Redis`] if Redis does not answer there.
    pub async fn join(redis_url: &str, queue: &QueueName, group: &str, consumer: &str) -> Result<Self, ReadError> {
        let link = RedisLink::open_with_timeout(redis_url, Self::MAX_BLOCK + RedisLink::RESPONSE_TIMEOUT)?;
        let reader = Self {
            link,
            stream: queue.events_stream(),
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            takeover_after: Duration::from_secs(60),
            search: tokio::sync::Mutex::default(),
            unreadable: Mutex::default(),
        };
        reader.create_group().await?;
        Ok(reader)
    }

    /// Sets how long another consumer may keep an event unacknowledged before this consumer takes it over: a minute by
    /// default. This consumer searches for such events four times in that time.
    #[must_use]
    pub fn taking_over_after(mut self, idle: Duration) -> Self {
        self.takeover_after = idle;
        self
    }

    /// Returns events as soon as there are any, or none after `wait` (at most 10 s). If `wait` is zero, an empty list
    /// means that there are no events.
    ///
    /// Events that a dead consumer left come first: see [`EventReader::taking_over_after`].
    ///
    /// # Errors
    /// [`ReadError::Redis`] if Redis did not answer; call again.
    pub async fn read(&self, wait: Duration) -> Result<Vec<Delivery>, ReadError> {
        let until = Instant::now() + wait.min(Self::MAX_BLOCK);
        // With a zero `wait`, the read ends only at an event or at the end, however many entries it passes over.
        let is_over = move || !wait.is_zero() && Instant::now() >= until;
        let abandoned = self.take_over(is_over).await?;
        if !abandoned.is_empty() {
            return Ok(abandoned);
        }
        loop {
            let mut command = redis::cmd("XREADGROUP");
            command.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(Self::BATCH);
            let block_ms = until.saturating_duration_since(Instant::now()).as_millis() as u64;
            // BLOCK 0 would wait for ever.
            if block_ms > 0 {
                command.arg("BLOCK").arg(block_ms);
            }
            command.arg("STREAMS").arg(&self.stream).arg(">");
            let reply = match self.link.query::<Option<StreamReadReply>>(&command).await {
                Ok(reply) => reply.unwrap_or_default(),
                // The stream was deleted or Redis lost it. The group is created again, from the start.
                Err(cause) if cause.code() == Some("NOGROUP") => {
                    return self.create_group().await.map(|()| Vec::new());
                }
                Err(cause) => return Err(self.error(cause)),
            };
            let entries: Vec<StreamId> = reply.keys.into_iter().flat_map(|stream| stream.ids).collect();
            let is_end = entries.is_empty();
            let events = self.deliver(entries);
            // There may be events behind the unreadable entries.
            if is_end || !events.is_empty() || is_over() {
                return Ok(events);
            }
        }
    }

    /// Returns the entries that were passed over since the last call: the latest 100, each at most once per call.
    ///
    /// They stay unacknowledged. So Redis keeps them and all later events for this group until a consumer of a newer
    /// version has read them, or [`EventReader::dismiss`] gives them up.
    #[must_use]
    pub fn take_unreadable(&self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reports that events have been dealt with, so that Redis gives them to no consumer again.
    ///
    /// # Errors
    /// [`ReadError::Redis`] if Redis did not answer; the events may come again.
    pub async fn acknowledge(&self, deliveries: &[Delivery]) -> Result<(), ReadError> {
        self.acknowledge_entries(deliveries.iter().map(|delivery| delivery.entry.as_str()).collect()).await
    }

    /// Gives up entries that this version cannot read, for the whole group: Redis gives them to no consumer again.
    ///
    /// # Errors
    /// As [`EventReader::acknowledge`].
    pub async fn dismiss(&self, unreadable: &[Unreadable]) -> Result<(), ReadError> {
        self.acknowledge_entries(unreadable.iter().map(|it| it.entry.as_str()).collect()).await
    }

    async fn acknowledge_entries(&self, entries: Vec<&str>) -> Result<(), ReadError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XACK");
        command.arg(&self.stream).arg(&self.group).arg(entries);
        self.link.query::<u64>(&command).await.map(|_| ()).map_err(|cause| self.error(cause))
    }

    /// Continues the search for abandoned events, or begins a new one when it is due. Stops at the first events found.
    async fn take_over(&self, is_over: impl Fn() -> bool) -> Result<Vec<Delivery>, ReadError> {
        // One read searches at a time. Other reads lose nothing by skipping the search, nor does a caller that cancels
        // this one.
        let Ok(mut search) = self.search.try_lock() else { return Ok(Vec::new()) };
        search.begin_if_due(self.takeover_after / Self::SEARCHES, Instant::now());
        while let Some(at) = &search.at {
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(&self.stream).arg(&self.group).arg(&self.consumer);
            command.arg(self.takeover_after.as_millis() as u64).arg(at).arg("COUNT").arg(Self::BATCH);
            let reply = match self.link.query::<StreamAutoClaimReply>(&command).await {
                Ok(reply) => reply,
                Err(cause) if cause.code() == Some("NOGROUP") => {
                    search.at = None;
                    return self.create_group().await.map(|()| Vec::new());
                }
                Err(cause) => return Err(self.error(cause)),
            };
            search.at = Some(reply.next_stream_id).filter(|next| next != Search::START);
            let events = self.deliver(reply.claimed);
            // Unreadable entries at the front must not hide abandoned events behind them.
            if !events.is_empty() || is_over() {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    async fn create_group(&self) -> Result<(), ReadError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(&self.stream).arg(&self.group).arg("0").arg("MKSTREAM");
        match self.link.query::<()>(&command).await {
            Err(cause) if cause.code() != Some("BUSYGROUP") => Err(self.error(cause)),
            _ => Ok(()),
        }
    }

    /// Reads entries, and puts those aside that are not events.
    fn deliver(&self, entries: Vec<StreamId>) -> Vec<Delivery> {
        let (events, unreadable) = read_all(entries);
        if !unreadable.is_empty() {
            unreadable.iter().for_each(|it| warn!("{it}, it is passed over: {}", it.cause));
            let mut kept = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|it| !unreadable.contains(it));
            kept.extend(unreadable);
            let surplus = kept.len().saturating_sub(Self::MAX_UNREADABLE);
            kept.drain(..surplus);
        }
        events
    }

    fn error(&self, cause: RedisError) -> ReadError {
        ReadError::Redis { stream: self.stream.clone(), cause }
    }
}

impl Search {
    /// The start of the first search. Redis answers with the same id when a search has reached the end.
    const START: &str = "0-0";

    /// Begins a new search if the last one has reached the end and began at least `period` ago.
    fn begin_if_due(&mut self, period: Duration, now: Instant) {
        let is_due = self.began.is_none_or(|began| now.duration_since(began) >= period);
        if self.at.is_none() && is_due {
            *self = Self { began: Some(now), at: Some(Self::START.to_owned()) };
        }
    }
}

fn read_all(entries: Vec<StreamId>) -> (Vec<Delivery>, Vec<Unreadable>) {
    let (mut events, mut unreadable) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries.into_iter().map(Delivery::read) {
        match entry {
            Ok(event) => events.push(event),
            Err(other) => unreadable.push(other),
        }
    }
    (events, unreadable)
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn entry(id: &str, fields: &[(&str, &str)]) -> StreamId {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::BulkString(value.as_bytes().to_vec()));
        StreamId { id: id.to_owned(), map: fields.iter().map(field).collect(), ..StreamId::default() }
    }

    #[test]
    fn an_unreadable_entry_hides_no_event() {
        let readable = [("type", "completed"), ("code", "ok"), ("data", "{}"), ("job", "a")];

        let (events, unreadable) = read_all(vec![
            entry("1-0", &[("type", "dreamt"), ("code", "ok"), ("data", "{}")]),
            entry("2-0", &readable),
            entry("3-0", &[]),
            entry("4-0", &readable),
        ]);

        assert_eq!(events.iter().map(|it| it.entry.as_str()).collect::<Vec<_>>(), ["2-0", "4-0"]);
        assert_eq!(unreadable.iter().map(|it| it.entry.as_str()).collect::<Vec<_>>(), ["1-0", "3-0"]);
        assert_eq!(unreadable[0].cause.to_string(), "the event's field `type` is missing or cannot be read");
    }

    #[test]
    fn a_search_goes_on_where_it_was_and_does_not_begin_again_before_its_time() {
        let (mut search, period, start) = (Search::default(), Duration::from_secs(15), Instant::now());

        search.begin_if_due(period, start);
        assert_eq!(search.at.as_deref(), Some("0-0"), "the first read searches");
        search.at = Some("7-0".to_owned());
        search.begin_if_due(period, start + period);
        assert_eq!(search.at.as_deref(), Some("7-0"));
        search.at = None;
        search.begin_if_due(period, start + period / 2);
        assert_eq!(search.at, None);
        search.begin_if_due(period, start + period);

        assert_eq!(search.at.as_deref(), Some("0-0"));
    }
}
