//! Sweeping: what its time has passed goes, and no event goes before everybody has read it.

use redis::{Value, streams::StreamInfoGroupsReply};

use super::{Abandoned, Ledger, arg, scripts};

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
        let stream = self.queue().events_stream();
        let mut command = redis::cmd("XINFO");
        command.arg("GROUPS").arg(&stream);
        let groups: StreamInfoGroupsReply = self
            .until_answered("read_groups", || async {
                match self.link().query(&command).await {
                    // There is no stream before the first event.
                    Err(error) if error.to_string().contains("no such key") => Ok(StreamInfoGroupsReply::default()),
                    answer => answer,
                }
            })
            .await?;
        let mut needed = Vec::new();
        for group in groups.groups {
            let mut oldest = group.last_delivered_id;
            if group.pending > 0 {
                let mut command = redis::cmd("XPENDING");
                command.arg(&stream).arg(&group.name);
                let pending: Vec<Value> = self.until_answered("read_pending", || self.link().query(&command)).await?;
                let first = pending.into_iter().nth(1).and_then(|value| redis::from_redis_value::<String>(value).ok());
                oldest = first.unwrap_or(oldest);
            }
            needed.push(oldest);
        }
        Ok(needed.into_iter().min_by_key(|id| entry_order(id)))
    }
}

/// Entry ids are ordered as two numbers, not as text.
fn entry_order(id: &str) -> (u64, u64) {
    let (ms, sequence) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), sequence.parse().unwrap_or(0))
}
