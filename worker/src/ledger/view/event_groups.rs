//! The consumer groups of the event stream, and how far each has read.

use std::collections::HashMap;

use redis::{ParsingError, RedisResult, Value};

use super::super::Ledger;

/// A consumer group of the event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// The group's name, in any bytes that its consumers chose.
    pub name: Vec<u8>,
    /// Events that were given to its consumers and are not acknowledged.
    pub pending: u64,
    /// The oldest of these events.
    pub oldest_pending: Option<String>,
    /// The last event that was given to any of its consumers.
    pub last_delivered: String,
    /// Events that were not given to any consumer yet; `None` if Redis does not know. See [`Ledger::events_after`].
    pub unread: Option<u64>,
}

impl Ledger {
    /// The consumer groups of the event stream.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn event_groups(&self) -> RedisResult<Vec<EventGroup>> {
        let stream = self.queue().events_stream();
        let mut command = redis::cmd("XINFO");
        command.arg("GROUPS").arg(&stream);
        let replies: Vec<HashMap<String, Value>> = match self.link().query(&command).await {
            // There is no stream before the first event.
            Err(error) if error.to_string().contains("no such key") => Vec::new(),
            reply => reply?,
        };
        let mut groups = Vec::new();
        for mut fields in replies {
            let mut group = EventGroup::read(&mut fields)?;
            if group.pending > 0 {
                let mut command = redis::cmd("XPENDING");
                command.arg(&stream).arg(&group.name);
                let summary: Vec<Value> = self.link().query(&command).await?;
                let first = summary.into_iter().nth(1);
                group.oldest_pending = first.and_then(|value| redis::from_redis_value::<String>(value).ok());
            }
            groups.push(group);
        }
        Ok(groups)
    }

    /// How many events come after the entry `last`; of more than a thousand, counts all events instead.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn events_after(&self, last: &str) -> RedisResult<u64> {
        const MANY: usize = 1000;
        let stream = self.queue().events_stream();
        let mut command = redis::cmd("XRANGE");
        command.arg(&stream).arg(format!("({last}")).arg("+").arg("COUNT").arg(MANY);
        let after = self.link().query::<Vec<Value>>(&command).await?.len();
        if after < MANY {
            return Ok(after as u64);
        }
        self.link().query(redis::cmd("XLEN").arg(&stream)).await
    }
}

impl EventGroup {
    fn read(fields: &mut HashMap<String, Value>) -> Result<Self, ParsingError> {
        let mut field = |name: &str| fields.remove(name).unwrap_or(Value::Nil);
        Ok(Self {
            name: redis::from_redis_value(field("name"))?,
            pending: redis::from_redis_value::<Option<u64>>(field("pending"))?.unwrap_or(0),
            last_delivered: redis::from_redis_value::<Option<String>>(field("last-delivered-id"))?.unwrap_or_default(),
            unread: redis::from_redis_value(field("lag"))?,
            oldest_pending: None,
        })
    }

    /// The id of the first event to keep for the group: the oldest unacknowledged event, or else the last one that was
    /// given out.
    pub(in crate::ledger) fn oldest_needed(self) -> String {
        self.oldest_pending.unwrap_or(self.last_delivered)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::RedisLink;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn the_unread_events_of_a_group_that_was_created_at_an_entry_are_counted() -> anyhow::Result<()> {
        let (link, day) = (RedisLink::open(mjq_harness::shared_redis().await?.url())?, Duration::from_secs(86_400));
        let ledger = Ledger::new(link, mjq_harness::unique_queue().parse()?, day, CancellationToken::new());
        let stream = ledger.queue().events_stream();
        for n in 1..=5 {
            ledger
                .link()
                .query::<String>(redis::cmd("XADD").arg(&stream).arg(format!("{n}-0")).arg("v").arg(1))
                .await?;
        }
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(&stream).arg("billing").arg("2-0");
        ledger.link().query::<String>(&create).await?;

        let group = ledger.event_groups().await?.remove(0);

        assert_eq!((group.unread, ledger.events_after(&group.last_delivered).await?), (None, 3));
        assert_eq!(ledger.counts().await?.events_unread, 3);
        Ok(())
    }
}
