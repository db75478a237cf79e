//! The parent of an action: the earlier job whose button it presses.

use std::collections::HashMap;

use mjq_producer::contract::{JobId, TaskId};
use redis::streams::StreamRangeReply;
use serde_json::value::RawValue;

use super::{Abandoned, Ledger, kept::KeptJob};
use crate::lifecycle::Phase;

/// What the ledger knows of an earlier job.
#[derive(Debug)]
pub enum Parent {
    /// The job has completed.
    Completed {
        /// The upstream's handle of its task.
        task: TaskId,
        /// The buttons below its result, verbatim; `None` when the upstream listed none.
        buttons: Option<Box<RawValue>>,
    },
    /// The job has not ended.
    Open,
    /// The job ended without a result.
    Ended,
    /// There is no such job, or no longer.
    NotKnown,
}

impl Ledger {
    /// Looks an earlier job up.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn parent(&self, job: &JobId) -> Result<Parent, Abandoned> {
        let text = self.job_text(job).await?;
        let Some(kept) = text.as_deref().and_then(KeptJob::read) else { return Ok(Parent::NotKnown) };
        if kept.phase != Phase::Completed {
            return Ok(if kept.phase.is_terminal() { Parent::Ended } else { Parent::Open });
        }
        let Some(task) = kept.record().and_then(|record| record.task) else { return Ok(Parent::Ended) };
        Ok(Parent::Completed { task, buttons: self.buttons_in(kept.event.unwrap_or("-")).await? })
    }

    async fn buttons_in(&self, entry: &str) -> Result<Option<Box<RawValue>>, Abandoned> {
        #[derive(serde::Deserialize)]
        struct Data {
            buttons: Option<Box<RawValue>>,
        }
        let mut command = redis::cmd("XRANGE");
        command.arg(self.queue().events_stream()).arg(entry).arg(entry);
        let events: StreamRangeReply = self.until_answered("read_event", || self.link().query(&command)).await?;
        let fields: HashMap<String, redis::Value> = events.ids.into_iter().next().map(|e| e.map).unwrap_or_default();
        let data = fields.get("data").and_then(|data| redis::from_redis_value_ref::<String>(data).ok());
        Ok(data.and_then(|json| serde_json::from_str::<Data>(&json).ok()).and_then(|data| data.buttons))
    }
}
