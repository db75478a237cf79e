//! The intake: blocking reads of the job stream, over a connection of their own.

use std::time::Duration;

use mjq_producer::RedisLink;
use redis::{
    RedisResult,
    streams::{StreamId, StreamRangeReply, StreamReadReply},
};

use super::{Abandoned, Ledger, arg, scripts};

/// Reads the job stream as a member of the admitters' group.
///
/// The group gives each entry out once, and spreads them so over the pods. It keeps no list of who has which: admission
/// deletes an entry, so one that was given out long ago and is still there was not dealt with. That none is admitted
/// twice does not depend on any of it, but on the admit script.
#[derive(Debug)]
pub struct Intake {
    link: RedisLink,
    stream: String,
}

/// One entry of the job stream, not read yet.
#[derive(Debug)]
pub struct RawEntry {
    /// The entry's id, `<Unix milliseconds>-<sequence>`.
    pub id: String,
    /// The field `v`.
    pub version: Option<Vec<u8>>,
    /// The field `job`.
    pub job: Option<Vec<u8>>,
}

impl Intake {
    /// The consumer group of the admitters, and its one consumer: whose reads they are makes no difference.
    const GROUP: &str = "mjq";
    /// How long one read waits for an entry.
    pub const BLOCK: Duration = Duration::from_secs(2);

    /// Makes the intake of `ledger`'s queue, over a link of its own.
    #[must_use]
    pub fn new(link: RedisLink, ledger: &Ledger) -> Self {
        Self { link, stream: ledger.queue().jobs_stream() }
    }

    /// Waits for up to `count` new entries.
    ///
    /// # Errors
    /// Whatever Redis or the network says. Entries that were given out meanwhile are left until somebody looks back.
    pub async fn read(&self, count: usize) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(Self::GROUP).arg(Self::GROUP).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(Self::BLOCK.as_millis() as u64).arg("NOACK").arg("STREAMS").arg(&self.stream).arg(">");
        match self.link.query::<Option<StreamReadReply>>(&command).await {
            Ok(reply) => {
                let streams = reply.unwrap_or_default().keys;
                Ok(streams.into_iter().flat_map(|stream| stream.ids).map(RawEntry::from).collect())
            }
            Err(error) if error.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `count` entries from `from` on, as far as `until`, whoever was given them.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn read_again(&self, from: &str, until: &str, count: usize) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.stream).arg(from).arg(until).arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.link.query(&command).await?;
        Ok(reply.ids.into_iter().map(RawEntry::from).collect())
    }

    async fn create_group(&self) -> RedisResult<()> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(&self.stream).arg(Self::GROUP).arg("0").arg("MKSTREAM");
        match self.link.query::<()>(&command).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error),
            _ => Ok(()),
        }
    }
}

impl Ledger {
    /// Waits for entries until Redis has answered. See [`Intake::read`].
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn read_intake(&self, intake: &Intake, count: usize) -> Result<Vec<RawEntry>, Abandoned> {
        self.until_answered("read_jobs", || intake.read(count)).await
    }

    /// Reads entries again until Redis has answered. See [`Intake::read_again`].
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn read_intake_again(
        &self,
        intake: &Intake,
        from: &str,
        until: &str,
        count: usize,
    ) -> Result<Vec<RawEntry>, Abandoned> {
        self.until_answered("read_jobs_again", || intake.read_again(from, until, count)).await
    }

    /// The last of the entries that were given out `long` ago or earlier; `None` if there was none, or any pod has
    /// asked within that time.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn given_out(&self, long: Duration) -> Result<Option<String>, Abandoned> {
        self.call(&scripts::LOOK_BACK, &[arg(Intake::GROUP), arg(long.as_millis())]).await
    }
}

impl From<StreamId> for RawEntry {
    fn from(entry: StreamId) -> Self {
        let StreamId { id, mut map, .. } = entry;
        let mut field = |name: &str| map.remove(name).and_then(|value| redis::from_redis_value(value).ok());
        Self { version: field("v"), job: field("job"), id }
    }
}
