//! The intake: blocking reads of the job stream, over a connection of their own.

use std::time::Duration;

use mjq_producer::RedisLink;
use redis::{FromRedisValue, ParsingError, RedisResult, Value};

use super::{Abandoned, Ledger, arg, scripts};

/// Reads the job stream as a member of the admitters' group.
///
/// The group gives each entry out once, and so spreads the entries over the pods. It keeps no list of who has which
/// entry. Admission deletes an entry, so an entry that was given out long ago and still exists was not dealt with. Only
/// the admit script ensures that no entry is admitted twice.
#[derive(Debug)]
pub struct Intake {
    link: RedisLink,
    prefix: String,
    stream: String,
}

/// One entry of the job stream, not parsed yet.
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
    /// The consumer group of the admitters, and the name of its only consumer, which all pods share.
    const GROUP: &str = "mjq";
    /// How long one read waits for an entry.
    pub const BLOCK: Duration = Duration::from_secs(2);
    /// How many bytes are enough for one read of present entries. The read may exceed them by up to four entries. The
    /// limit keeps large pictures from filling the memory.
    pub const ENOUGH_BYTES: usize = 4 * 1024 * 1024;

    /// Makes the intake of `ledger`'s queue, over a link of its own.
    #[must_use]
    pub fn new(link: RedisLink, ledger: &Ledger) -> Self {
        Self { link, prefix: ledger.queue().prefix(), stream: ledger.queue().jobs_stream() }
    }

    /// Waits for new entries and reads up to `count` of them, even if all are large.
    ///
    /// # Errors
    /// Whatever Redis or the network says. Entries that were given out meanwhile stay until a pod looks back.
    pub async fn read(&self, count: usize) -> RedisResult<Vec<RawEntry>> {
        let entries = self.query_group(count, Some(Self::BLOCK)).await;
        self.with_group(entries).await
    }

    /// Reads up to `count` new entries without waiting. If the stream is not small, stops once they have
    /// [`Intake::ENOUGH_BYTES`].
    ///
    /// # Errors
    /// As [`Intake::read`].
    pub async fn read_present(&self, count: usize) -> RedisResult<Vec<RawEntry>> {
        let entries = match self.is_small().await? {
            true => self.query_group(count, None).await,
            false => self.run(count, [Self::GROUP, "", ""]).await,
        };
        self.with_group(entries).await
    }

    /// Whether the whole stream fits into the memory of a pod. Then a plain read does, too, and it costs Redis less than the
    /// script does.
    async fn is_small(&self) -> RedisResult<bool> {
        /// Redis adds up the sizes of all nodes of the stream, so it is not asked about long streams.
        const MOST_ENTRIES: u64 = 200_000;
        const SMALL_BYTES: u64 = 32 * 1024 * 1024;
        let mut length = redis::cmd("XLEN");
        length.arg(&self.stream);
        if self.link.query::<u64>(&length).await? > MOST_ENTRIES {
            return Ok(false);
        }
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(&self.stream).arg("SAMPLES").arg(0);
        Ok(self.link.query::<Option<u64>>(&usage).await?.is_none_or(|bytes| bytes <= SMALL_BYTES))
    }

    async fn query_group(&self, count: usize, block: Option<Duration>) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(Self::GROUP).arg(Self::GROUP).arg("COUNT").arg(count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("NOACK").arg("STREAMS").arg(&self.stream).arg(">");
        self.link.query::<Streams>(&command).await.map(|Streams(entries)| entries)
    }

    /// Reads up to `count` entries from `from` on, as far as `until`, whoever was given them, and no more once they have
    /// [`Intake::ENOUGH_BYTES`].
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn read_again(&self, from: &str, until: &str, count: usize) -> RedisResult<Vec<RawEntry>> {
        self.run(count, ["", from, until]).await
    }

    async fn run(&self, count: usize, [group, from, until]: [&str; 3]) -> RedisResult<Vec<RawEntry>> {
        let args = [arg(count), arg(Self::ENOUGH_BYTES), arg(group), arg(from), arg(until)];
        scripts::READ_JOBS.run(&self.link, &self.prefix, &args.as_slice()).await
    }

    /// Creates the group if the read failed for lack of it.
    async fn with_group(&self, entries: RedisResult<Vec<RawEntry>>) -> RedisResult<Vec<RawEntry>> {
        match entries {
            Err(error) if error.code() == Some("NOGROUP") => self.create_group().await.map(|()| Vec::new()),
            entries => entries,
        }
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
        let mut counts = halving(count);
        self.until_answered("read_jobs", || intake.read(counts())).await
    }

    /// Reads entries that are there until Redis has answered. See [`Intake::read_present`].
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn read_present_intake(&self, intake: &Intake, count: usize) -> Result<Vec<RawEntry>, Abandoned> {
        let mut counts = halving(count);
        self.until_answered("read_jobs", || intake.read_present(counts())).await
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
        let mut counts = halving(count);
        self.until_answered("read_jobs_again", || intake.read_again(from, until, counts())).await
    }

    /// Deletes from the job stream a command that no job will obey.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. The command may then be obeyed after all.
    pub async fn forget_entry(&self, entry: &str) -> Result<(), Abandoned> {
        let stream = self.queue().jobs_stream();
        let mut command = redis::cmd("XDEL");
        command.arg(&stream).arg(entry);
        self.until_answered("forget_entry", || self.link().query::<u64>(&command)).await.map(|_| ())
    }

    /// The last of the entries that were given out `long` ago or earlier; `None` if there was none, or if any pod has
    /// asked within that time.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn given_out(&self, long: Duration) -> Result<Option<String>, Abandoned> {
        self.call(&scripts::LOOK_BACK, &[arg(Intake::GROUP), arg(long.as_millis())]).await
    }
}

/// How many entries each try asks for. The number halves, because a reply that did not come in time may have been too
/// large.
fn halving(count: usize) -> impl FnMut() -> usize {
    let mut next = count;
    move || {
        let asked = next;
        next = (next / 2).max(1);
        asked
    }
}

/// The entries of a reply that groups them by stream; here there is one stream. A reply without entries is nil.
struct Streams(Vec<RawEntry>);

impl FromRedisValue for Streams {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let by_stream = match value {
            Value::Nil => return Ok(Self(Vec::new())),
            Value::Map(streams) => streams.into_iter().map(|(_, entries)| entries).collect(),
            streams => {
                let pairs: Vec<(Value, Value)> = redis::from_redis_value(streams)?;
                pairs.into_iter().map(|(_, entries)| entries).collect::<Vec<_>>()
            }
        };
        let entries: Vec<Vec<RawEntry>> =
            by_stream.into_iter().map(redis::from_redis_value).collect::<Result<_, ParsingError>>()?;
        Ok(Self(entries.into_iter().flatten().collect()))
    }
}

impl FromRedisValue for RawEntry {
    /// Reads `[id, [field, value, …]]`. Field names may be any bytes: an entry that failed to parse here could not be
    /// rejected either.
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields): (String, Value) = redis::from_redis_value(value)?;
        let (mut version, mut job) = (None, None);
        let mut fields = match fields {
            Value::Array(fields) => fields.into_iter(),
            _ => Vec::new().into_iter(),
        };
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match bytes_of(name).as_deref() {
                Some(b"v") => version = bytes_of(value),
                Some(b"job") => job = bytes_of(value),
                _ => {}
            }
        }
        Ok(Self { id, version, job })
    }
}

fn bytes_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    #[test]
    fn an_entry_is_read_whatever_its_fields_are_called() {
        let fields = [b"v".as_slice(), b"1", b"\xe9tat", b"\xff", b"job", b"{}"].map(bulk);
        let entry = Value::Array(vec![bulk(b"7-0"), Value::Array(fields.to_vec())]);
        let stream = |entries| Value::Array(vec![Value::Array(vec![bulk(b"jobs"), entries])]);

        let Streams(entries) = redis::from_redis_value(stream(Value::Array(vec![entry]))).unwrap();

        assert_eq!((entries.len(), entries[0].id.as_str()), (1, "7-0"));
        assert_eq!((entries[0].version.as_deref(), entries[0].job.as_deref()), (Some(&b"1"[..]), Some(&b"{}"[..])));
        assert!(redis::from_redis_value::<Streams>(Value::Nil).unwrap().0.is_empty());
    }
}
