//! Views: what a person or a dashboard may ask the ledger.
//!
//! Views change nothing. They cost a bounded number of round trips and entries, however long the backlog is. They fail
//! at once when Redis does not answer, because that is then what the reader wants to know. What they show may have
//! changed a moment later.

mod count;
mod event_groups;
mod images;
mod job;
mod lines;
mod pauses;
mod pods;
mod rejected;

use std::{future::Future, time::Duration};

use redis::{FromRedisValue, Pipeline, RedisError, RedisResult};

use super::Ledger;

pub use count::{BreakerCause, Counts, Upstream};
pub use event_groups::EventGroup;
pub use images::hide_images;
pub use job::JobView;
pub use lines::{BlindPolls, JobLine, Latest, Place, Standing};
pub use pods::Pod;
pub use rejected::RejectedEntry;

/// The ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Redis did not answer in time.
    #[error("redis did not answer within {} s", Ledger::VIEW_TIMEOUT.as_secs())]
    Late,
    /// Redis or the network refused.
    #[error("redis could not be asked")]
    Redis(#[source] RedisError),
}

impl Ledger {
    /// How long one read may take. If it takes longer, Redis is busy or away, and the page says so.
    pub const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

    /// Asks Redis for a sign of life (`PING`).
    ///
    /// # Errors
    /// [`ViewError`] if there was none within [`Self::VIEW_TIMEOUT`].
    pub async fn ping(&self) -> Result<(), ViewError> {
        let command = redis::cmd("PING");
        in_time(self.link().query::<redis::Value>(&command)).await.map(|_| ())
    }

    async fn read<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, ViewError> {
        in_time(self.link().pipeline(commands)).await
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, ViewError> {
    match tokio::time::timeout(Ledger::VIEW_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(ViewError::Redis),
        Err(_) => Err(ViewError::Late),
    }
}
