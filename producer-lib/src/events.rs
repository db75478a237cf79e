//! The event reader: takes events out of the queue as a member of a consumer group.

use std::{collections::HashMap, time::Duration};

use redis::{
    RedisError,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};

use crate::{
    LinkError, RedisLink,
    contract::{Event, MissingField, QueueName},
};

/// Reads the events of one queue, at least once each: an event is given again until it is acknowledged.
///
/// Members of one group share the events; each group sees all of them.
#[derive(Debug)]
pub struct EventReader {
    link: RedisLink,
    stream: String,
    group: String,
    consumer: String,
    takeover_after: Duration,
}

/// One event, to be acknowledged when it has been dealt with.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The stream entry's id, `<Unix milliseconds>-<sequence>`.
    pub entry: String,
    /// The event.
    pub event: Event,
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
    /// An entry is not an event of this version. It stays unacknowledged.
    #[error("entry {entry} is not an event")]
    Event {
        /// The stream entry's id.
        entry: String,
        /// What it lacks.
        #[source]
        cause: MissingField,
    },
}

impl EventReader {
    /// How many events one read returns at most.
    const BATCH: usize = 100;
    /// The longest that one read waits. The link's time-out is longer.
    const MAX_BLOCK: Duration = Duration::from_secs(10);

    /// Joins `group` as `consumer`. A new group starts with the oldest event that is there.
    ///
    /// # Errors
    /// [`ReadError::Url`] if the URL cannot be used, [`ReadError::Redis`] if nobody answers there.
    pub async fn join(redis_url: &str, queue: &QueueName, group: &str, consumer: &str) -> Result<Self, ReadError> {
        let link = RedisLink::open_with_timeout(redis_url, Self::MAX_BLOCK + RedisLink::RESPONSE_TIMEOUT)?;
        let reader = Self {
            link,
            stream: queue.events_stream(),
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            takeover_after: Duration::from_secs(60),
        };
        reader.create_group().await?;
        Ok(reader)
    }

    /// Sets how long another consumer may keep an event unacknowledged before this one takes it over.
    #[must_use]
    pub fn taking_over_after(mut self, idle: Duration) -> Self {
        self.takeover_after = idle;
        self
    }

    /// Returns events as soon as there are any, or none after `wait` (at most 10 s).
    ///
    /// First come those that a dead consumer left: see [`EventReader::taking_over_after`].
    ///
    /// # Errors
    /// [`ReadError::Redis`] if Redis did not answer; call again.
    pub async fn read(&self, wait: Duration) -> Result<Vec<Delivery>, ReadError> {
        let abandoned = self.take_over().await?;
        if !abandoned.is_empty() {
            return Ok(abandoned);
        }
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(Self::BATCH);
        // BLOCK 0 would be for ever.
        let block_ms = wait.min(Self::MAX_BLOCK).as_millis().max(1) as u64;
        command.arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&self.stream).arg(">");
        match self.link.query::<Option<StreamReadReply>>(&command).await {
            Ok(reply) => deliveries(reply.unwrap_or_default().keys.into_iter().flat_map(|stream| stream.ids).collect()),
            // The stream was deleted or Redis lost it: the group is made anew, from the start.
            Err(cause) if cause.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            Err(cause) => Err(self.error(cause)),
        }
    }

    /// Says that an event has been dealt with, so that nobody is given it again.
    ///
    /// # Errors
    /// [`ReadError::Redis`] if Redis did not answer; the event may come again.
    pub async fn acknowledge(&self, deliveries: &[Delivery]) -> Result<(), ReadError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XACK");
        command.arg(&self.stream).arg(&self.group);
        for delivery in deliveries {
            command.arg(&delivery.entry);
        }
        self.link.query::<u64>(&command).await.map(|_| ()).map_err(|cause| self.error(cause))
    }

    async fn take_over(&self) -> Result<Vec<Delivery>, ReadError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&self.stream).arg(&self.group).arg(&self.consumer);
        command.arg(self.takeover_after.as_millis() as u64).arg("0").arg("COUNT").arg(Self::BATCH);
        match self.link.query::<StreamAutoClaimReply>(&command).await {
            Ok(reply) => deliveries(reply.claimed),
            Err(cause) if cause.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            Err(cause) => Err(self.error(cause)),
        }
    }

    async fn create_group(&self) -> Result<(), ReadError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(&self.stream).arg(&self.group).arg("0").arg("MKSTREAM");
        match self.link.query::<()>(&command).await {
            Err(cause) if cause.code() != Some("BUSYGROUP") => Err(self.error(cause)),
            _ => Ok(()),
        }
    }

    fn error(&self, cause: RedisError) -> ReadError {
        ReadError::Redis { stream: self.stream.clone(), cause }
    }
}

fn deliveries(entries: Vec<StreamId>) -> Result<Vec<Delivery>, ReadError> {
    entries.into_iter().map(delivery).collect()
}

fn delivery(entry: StreamId) -> Result<Delivery, ReadError> {
    let fields: HashMap<String, String> =
        entry.map.into_iter().filter_map(|(name, value)| Some((name, redis::from_redis_value(value).ok()?))).collect();
    match Event::read(fields) {
        Ok(event) => Ok(Delivery { entry: entry.id, event }),
        Err(cause) => Err(ReadError::Event { entry: entry.id, cause }),
    }
}
