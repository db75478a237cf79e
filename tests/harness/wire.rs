//! The two public streams, used by hand as a client without the producer library would.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamRangeReply, StreamReadOptions, StreamReadReply};
use serde_json::Value;

use crate::event::Event;
use crate::eventually::PATIENCE;
use crate::redis_process::connect;

const PAGE: usize = 1_000;
const BLOCK_MS: usize = 1_000;
const GLANCE: Duration = Duration::from_millis(50);

/// A client of one queue that uses only the documented streams.
#[derive(Clone)]
pub struct Wire {
    url: String,
    queue: String,
}

impl Wire {
    /// A client of this queue. It connects only when it is used.
    #[must_use]
    pub fn new(redis_url: &str, queue: &str) -> Self {
        Self { url: redis_url.to_owned(), queue: queue.to_owned() }
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// A key of the queue by its last part: `jobs`, `events` …
    #[must_use]
    pub fn key(&self, part: &str) -> String {
        format!("mjq:{{{}}}:{part}", self.queue)
    }

    /// A new connection, for commands that have no method here.
    ///
    /// Each call makes a new connection, so that a restart of Redis in between does no harm.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn redis(&self) -> anyhow::Result<MultiplexedConnection> {
        connect(&self.url).await
    }

    /// Adds one job; returns the entry's id.
    ///
    /// # Errors
    /// When Redis refuses the job.
    pub async fn xadd_job(&self, job: &Value) -> anyhow::Result<String> {
        self.xadd_fields(&[("v", b"1"), ("job", job.to_string().as_bytes())]).await
    }

    /// Adds many jobs in few round trips; returns the entries' ids, in order.
    ///
    /// # Errors
    /// When Redis refuses one of them.
    pub async fn xadd_jobs(&self, jobs: &[Value]) -> anyhow::Result<Vec<String>> {
        let mut redis = self.redis().await?;
        let mut entries = Vec::with_capacity(jobs.len());
        for page in jobs.chunks(PAGE) {
            let mut pipe = redis::pipe();
            for job in page {
                pipe.xadd(self.key("jobs"), "*", &[("v", "1"), ("job", &job.to_string())]);
            }
            entries.append(&mut pipe.query_async::<Vec<String>>(&mut redis).await.context("could not XADD jobs")?);
        }
        Ok(entries)
    }

    /// Adds an entry with any fields, however wrong; returns the entry's id.
    ///
    /// # Errors
    /// When Redis refuses the entry.
    pub async fn xadd_fields(&self, fields: &[(&str, &[u8])]) -> anyhow::Result<String> {
        let entry: Option<String> =
            self.redis().await?.xadd(self.key("jobs"), "*", fields).await.context("could not XADD a job")?;
        entry.context("XADD gave no id")
    }

    /// All events that are in the stream now, oldest first.
    ///
    /// # Errors
    /// When Redis does not answer, or an event is not text.
    pub async fn events(&self) -> anyhow::Result<Vec<Event>> {
        self.events_after(None).await
    }

    /// The events that are in the stream now and came after `entry`, oldest first.
    ///
    /// # Errors
    /// As [`Wire::events`].
    pub async fn events_after(&self, entry: Option<&str>) -> anyhow::Result<Vec<Event>> {
        let mut redis = self.redis().await?;
        let mut events: Vec<Event> = Vec::new();
        loop {
            let last = events.last().map(|event| event.entry.as_str()).or(entry);
            let from = last.map_or_else(|| "-".to_owned(), |entry| format!("({entry}"));
            let page: StreamRangeReply =
                redis.xrange_count(self.key("events"), from, "+", PAGE).await.context("could not read events")?;
            if page.ids.is_empty() {
                return Ok(events);
            }
            events.append(&mut page.ids.iter().map(Event::read).collect::<anyhow::Result<_>>()?);
        }
    }

    /// Waits for the first event of a job, and returns it.
    ///
    /// # Errors
    /// When no event comes within [`PATIENCE`].
    pub async fn event_of(&self, job: &str) -> anyhow::Result<Event> {
        let mut found = None;
        self.follow(|event| {
            found = (event.job() == job).then_some(event);
            found.is_some()
        })
        .await
        .with_context(|| format!("no event of job {job}"))?;
        found.context("the watch ended without an event")
    }

    /// Waits until the stream has held `count` events, and returns these events.
    ///
    /// # Errors
    /// When a next event does not come within [`PATIENCE`].
    pub async fn first_events(&self, count: usize) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::with_capacity(count);
        self.follow(|event| {
            events.push(event);
            events.len() >= count
        })
        .await
        .with_context(|| format!("fewer than {count} events"))?;
        Ok(events)
    }

    /// Passes each event to `is_last`, from the oldest on, until that returns true.
    ///
    /// Fails when no new event came for [`PATIENCE`]. Meanwhile Redis may be away.
    async fn follow(&self, mut is_last: impl FnMut(Event) -> bool) -> anyhow::Result<()> {
        let mut last = "0".to_owned();
        let mut heard = Instant::now();
        loop {
            match self.read_after(&last).await {
                Ok(events) => {
                    for event in events {
                        last.clone_from(&event.entry);
                        heard = Instant::now();
                        if is_last(event) {
                            return Ok(());
                        }
                    }
                }
                Err(error) if heard.elapsed() > PATIENCE => return Err(error.context("Redis does not come back")),
                Err(_) => tokio::time::sleep(GLANCE).await,
            }
            if heard.elapsed() > PATIENCE {
                bail!("nothing new in {} for {PATIENCE:?}", self.key("events"));
            }
        }
    }

    /// The next events after an entry; empty when there are none for a while.
    async fn read_after(&self, last: &str) -> anyhow::Result<Vec<Event>> {
        let options = StreamReadOptions::default().count(PAGE).block(BLOCK_MS);
        let keys = [self.key("events")];
        let reply: Option<StreamReadReply> = self.redis().await?.xread_options(&keys, &[last], &options).await?;
        reply.iter().flat_map(|reply| &reply.keys).flat_map(|stream| &stream.ids).map(Event::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{shared_redis, unique_queue};

    async fn a_wire() -> anyhow::Result<Wire> {
        Ok(Wire::new(shared_redis().await?.url(), &unique_queue()))
    }

    #[tokio::test]
    async fn a_job_is_one_entry_with_the_documented_fields() -> anyhow::Result<()> {
        let wire = a_wire().await?;

        let entry = wire.xadd_job(&json!({"id": "order-1842"})).await?;

        let stored: StreamRangeReply = wire.redis().await?.xrange_all(wire.key("jobs")).await?;
        let stored = Event::read(&stored.ids[0])?;
        assert_eq!(stored.entry, entry);
        assert_eq!((stored.field("v"), stored.field("job")), ("1", r#"{"id":"order-1842"}"#));
        Ok(())
    }

    #[tokio::test]
    async fn an_event_is_found_whether_it_came_before_or_comes_after_the_question() -> anyhow::Result<()> {
        let wire = a_wire().await?;
        let events = wire.key("events");
        let _: String = wire.redis().await?.xadd(&events, "*", &[("job", "early"), ("code", "ok")]).await?;

        let late = tokio::spawn({
            let wire = wire.clone();
            async move { wire.event_of("late").await }
        });
        assert_eq!(wire.event_of("early").await?.code(), "ok");
        let _: String = wire.redis().await?.xadd(&events, "*", &[("job", "late"), ("code", "poison")]).await?;

        assert_eq!(late.await??.code(), "poison");
        assert_eq!(wire.events().await?.len(), 2);
        Ok(())
    }
}
