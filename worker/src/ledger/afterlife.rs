//! The afterlife: what is still asked and learnt about jobs that have ended.

use std::time::{Duration, Instant};

use mjq_producer::contract::JobId;
use redis::{FromRedisValue, ParsingError, Value};

use super::{Abandoned, Ledger, Rate, arg, kept::KeptJob, scripts};
use crate::lifecycle::Record;

/// Revisits that were given to this pod.
#[derive(Debug)]
pub struct DueRevisits {
    /// The revisits.
    pub revisits: Vec<DueRevisit>,
    /// When more may be due; `None` if none is waiting.
    pub more_after: Option<Duration>,
    /// Until when the places of their requests under the rate hold.
    pub place_until: Instant,
}

/// A job that ended without its task, handed out for a revisit.
#[derive(Debug)]
pub struct DueRevisit {
    /// The job.
    pub job: JobId,
    /// The fence under which the job ended.
    pub fence: u64,
    /// Its record.
    pub record: Record,
}

impl Ledger {
    /// Takes up to `limit` revisits that are due; another pod may take the same ones after `again_after`.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn due_revisits(
        &self,
        limit: usize,
        again_after: Duration,
        rate: Rate,
        polls_per_request: u32,
    ) -> Result<DueRevisits, Abandoned> {
        let round_trip = self.0.round_trip.least();
        let args = [
            arg(limit),
            arg(again_after.as_millis()),
            arg(rate.count),
            arg(rate.window_ms(round_trip)),
            arg(polls_per_request.max(1)),
        ];
        let (asked, reply): (Instant, Reply) = self
            .until_answered(scripts::REVISIT.name(), || async {
                let asked = Instant::now();
                Ok((asked, scripts::REVISIT.run(&self.0.link, &self.0.prefix, &args.as_slice()).await?))
            })
            .await?;
        let revisits = reply.revisits.into_iter().filter_map(|(id, text)| {
            let kept = KeptJob::read(&text)?;
            Some(DueRevisit { job: JobId::new(&id).ok()?, fence: kept.last_fence(), record: kept.record()? })
        });
        let more_after = u64::try_from(reply.more_after_ms).ok().map(Duration::from_millis);
        Ok(DueRevisits { revisits: revisits.collect(), more_after, place_until: Rate::place_until(asked, round_trip) })
    }

    /// Writes what was learnt of an ended job, and when its task is to be polled once more.
    ///
    /// Returns false if somebody has retried the job since it ended under `fence`, or if it is gone.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn annotate(
        &self,
        job: &JobId,
        fence: u64,
        record: Option<&Record>,
        again_after: Option<Duration>,
    ) -> Result<bool, Abandoned> {
        let record = record.map(|record| arg(record.to_text())).unwrap_or_default();
        let again_ms = again_after.map(|delay| arg(delay.as_millis())).unwrap_or_default();
        self.call(&scripts::ANNOTATE, &[arg(job), arg(fence + 1), record, again_ms]).await
    }
}

struct Reply {
    more_after_ms: i64,
    revisits: Vec<(String, String)>,
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = Vec::<Value>::from_redis_value(value)?.into_iter();
        let more_after_ms = i64::from_redis_value(items.next().unwrap_or(Value::Nil))?;
        let revisits = items.map(FromRedisValue::from_redis_value).collect::<Result<_, _>>()?;
        Ok(Self { more_after_ms, revisits })
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::{RedisLink, contract::Entry};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::lifecycle::Policy;

    const RATE: f64 = 10.0;

    /// A ledger with so many jobs whose tasks are to be polled once more.
    async fn a_ledger(late: usize) -> anyhow::Result<Ledger> {
        let link = RedisLink::open(mjq_harness::shared_redis().await?.url())?;
        let day = Duration::from_secs(86_400);
        let ledger = Ledger::new(link, mjq_harness::unique_queue().parse()?, day, CancellationToken::new());
        let json = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        let text = format!("2 failed {}\n1-1", Record::admit(&job, 1, &Policy::default()).to_text());
        for n in 0..late {
            let job = ledger.key(&format!("job:late-{n}"));
            ledger.link().query::<()>(redis::cmd("SET").arg(job).arg(&text)).await?;
            add(&ledger, "late", &format!("late-{n}")).await?;
        }
        Ok(ledger)
    }

    async fn add(ledger: &Ledger, set: &str, job: &str) -> anyhow::Result<()> {
        Ok(ledger.link().query(redis::cmd("ZADD").arg(ledger.key(set)).arg(1).arg(job)).await?)
    }

    async fn given(ledger: &Ledger) -> Result<(usize, Option<Duration>), Abandoned> {
        let due = ledger.due_revisits(16, Duration::from_secs(60), Rate::per_second(RATE), 1).await?;
        Ok((due.revisits.len(), due.more_after))
    }

    #[tokio::test]
    async fn revisits_leave_half_of_the_rate_to_open_jobs() -> anyhow::Result<()> {
        let ledger = a_ledger(20).await?;

        assert_eq!(given(&ledger).await?.0, RATE as usize / 2);
        assert_eq!(given(&ledger).await?.0, 1, "a tenth goes beyond that");
        let (revisits, more_after) = given(&ledger).await?;
        assert!(revisits == 0 && more_after.is_some_and(|after| after < Duration::from_secs(2)), "{more_after:?}");
        Ok(())
    }

    #[tokio::test]
    async fn while_an_open_job_waits_for_its_poll_revisits_get_a_tenth_of_the_rate() -> anyhow::Result<()> {
        let ledger = a_ledger(20).await?;
        add(&ledger, "due:poll", "open").await?;

        assert_eq!((given(&ledger).await?.0, given(&ledger).await?.0), (1, 0));
        let unlimited = ledger.due_revisits(16, Duration::from_secs(60), Rate::per_second(0.0), 1).await?;
        assert_eq!(unlimited.revisits.len(), 16, "without a rate nobody waits");
        Ok(())
    }
}
