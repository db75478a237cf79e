//! Sweeping: what its time has passed goes, and no event goes before everybody has read it.

use std::collections::HashMap;

use redis::{ParsingError, RedisResult, Value};

use super::{Abandoned, Ledger, arg, scripts};

/// A consumer group of the event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// Its name, in whatever bytes its consumers chose.
    pub name: Vec<u8>,
    /// Events that its consumers were given and have not acknowledged.
    pub pending: u64,
    /// The oldest of these.
    pub oldest_pending: Option<String>,
    /// The last event that any of them was given.
    pub last_delivered: String,
    /// Events that none was given yet; `None` when Redis does not know.
    pub unread: Option<u64>,
}

impl Ledger {
    /// Sweeps up to about 2,000 entries, and returns how many went.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn sweep(&self) -> Result<u64, Abandoned> {
        let needed = self.oldest_needed_event().await?;
        let args = [arg(self.0.retention.as_millis()), needed.unwrap_or_default().into_bytes()];
        self.call(&scripts::SWEEP, &args).await
    }

    /// The oldest event that some consumer group has not acknowledged or not even seen.
    async fn oldest_needed_event(&self) -> Result<Option<String>, Abandoned> {
        let groups = self.until_answered("read_groups", || self.event_groups()).await?;
        Ok(groups.into_iter().map(EventGroup::oldest_needed).min_by_key(|id| entry_order(id)))
    }

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

    fn oldest_needed(self) -> String {
        self.oldest_pending.unwrap_or(self.last_delivered)
    }
}

/// Entry ids are ordered as two numbers, not as text.
fn entry_order(id: &str) -> (u64, u64) {
    let (ms, sequence) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), sequence.parse().unwrap_or(0))
}
