//! The intake: blocking reads of the job stream, over a connection of their own.

use std::time::Duration;

use mjq_producer::RedisLink;
use redis::{
    RedisResult,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};

use super::{Abandoned, Ledger, arg, scripts};

/// Reads the job stream as one consumer of the admitters' group.
///
/// The group spreads the entries over the pods and remembers who has which; that no entry is
/// admitted twice does not depend on it, but on the admit script.
#[derive(Debug)]
pub struct Intake {
    link: RedisLink,
    stream: String,
    consumer: String,
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
    /// The consumer group of the admitters.
    pub const GROUP: &str = "mjq";
    /// How long one read waits for an entry.
    pub const BLOCK: Duration = Duration::from_secs(2);

    /// Makes the intake of `ledger`'s queue, for the pod `consumer`, over a link of its own.
    #[must_use]
    pub fn new(link: RedisLink, ledger: &Ledger, consumer: &str) -> Self {
        Self { link, stream: ledger.queue().jobs_stream(), consumer: consumer.to_owned() }
    }

    /// Waits for up to `count` new entries.
    ///
    /// # Errors
    /// Whatever Redis or the network says. Entries that were given meanwhile are taken over later.
    pub async fn read(&self, count: usize) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(Self::GROUP).arg(&self.consumer).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(Self::BLOCK.as_millis() as u64).arg("STREAMS").arg(&self.stream).arg(">");
        match self.link.query::<Option<StreamReadReply>>(&command).await {
            Ok(reply) => {
                let streams = reply.unwrap_or_default().keys;
                Ok(streams.into_iter().flat_map(|stream| stream.ids).map(RawEntry::from).collect())
            }
            Err(error) if error.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Takes over up to `count` entries that a pod was given `idle` ago or earlier, and did not deal with.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn take_over(&self, idle: Duration, count: usize) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&self.stream).arg(Self::GROUP).arg(&self.consumer);
        command.arg(idle.as_millis() as u64).arg("0").arg("COUNT").arg(count);
        match self.link.query::<StreamAutoClaimReply>(&command).await {
            Ok(reply) => Ok(reply.claimed.into_iter().map(RawEntry::from).collect()),
            Err(error) if error.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Leaves the group: a pod's name never comes again, and Redis would keep it for ever.
    ///
    /// # Errors
    /// Whatever Redis or the network says. The group forgets nobody's entries: one that has some stays.
    pub async fn leave(&self) -> RedisResult<()> {
        let mut command = redis::cmd("XPENDING");
        command.arg(&self.stream).arg(Self::GROUP).arg("-").arg("+").arg(1).arg(&self.consumer);
        if !self.link.query::<Vec<redis::Value>>(&command).await?.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XGROUP");
        command.arg("DELCONSUMER").arg(&self.stream).arg(Self::GROUP).arg(&self.consumer);
        self.link.query::<u64>(&command).await.map(|_| ())
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
    /// Forgets the pods that have been gone for `long`, and returns how many left the admitters' group. One that has
    /// entries stays in it until they are taken over.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn forget_pods(&self, long: Duration) -> Result<u64, Abandoned> {
        self.call(&scripts::FORGET, &[arg(Intake::GROUP), arg(long.as_millis())]).await
    }

    /// Waits for entries until Redis has answered. See [`Intake::read`].
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn read_intake(&self, intake: &Intake, count: usize) -> Result<Vec<RawEntry>, Abandoned> {
        self.until_answered("read_jobs", || intake.read(count)).await
    }

    /// Takes entries over until Redis has answered. See [`Intake::take_over`].
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn take_over_intake(
        &self,
        intake: &Intake,
        idle: Duration,
        count: usize,
    ) -> Result<Vec<RawEntry>, Abandoned> {
        self.until_answered("take_over_jobs", || intake.take_over(idle, count)).await
    }
}

impl From<StreamId> for RawEntry {
    fn from(entry: StreamId) -> Self {
        let StreamId { id, mut map, .. } = entry;
        let mut field = |name: &str| map.remove(name).and_then(|value| redis::from_redis_value(value).ok());
        Self { version: field("v"), job: field("job"), id }
    }
}
