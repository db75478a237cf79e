//! The admitter: takes jobs and commands out of the stream, into the ledger.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use mjq_producer::contract::{Command, Entry, Job, JobId, Malformed};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{alarm::Alarm, liveness::Liveness};
use crate::{
    ledger::{Abandoned, Admission, Admitted, CommandAnswer, EntryId, Intake, Ledger, RawEntry, Rejection},
    lifecycle::{Policy, Record, rejection},
};

/// Admits until the pod drains.
pub(super) struct Admitter {
    pub(super) ledger: Ledger,
    pub(super) intake: Intake,
    pub(super) policy: Arc<Policy>,
    pub(super) max_job_bytes: usize,
    pub(super) lease: Duration,
    pub(super) alarm: Alarm,
    pub(super) liveness: Liveness,
}

/// Entries, sorted by the action that they need.
#[derive(Default)]
struct Sorted {
    admissions: Vec<Admission>,
    rejections: Vec<Rejection>,
    commands: Vec<(String, Command)>,
}

/// A look back over the stream that is under way.
struct LookBack {
    /// The entry at which the look back goes on.
    from: String,
    /// The last entry that it has to look at: the last one that was given out long ago.
    until: String,
}

impl Admitter {
    /// The most entries that one read asks for: as many as one claim may give out.
    const MAX_COUNT: usize = Ledger::MAX_CLAIM;
    /// The most entries that one call admits, and that a look-back deals with between two reads.
    const BATCH: usize = 100;
    /// The most entries that a blocking read asks for: all of them may be large.
    const FEW: usize = 4;

    /// Admits until `draining`.
    pub(super) async fn run(self, draining: CancellationToken) {
        let (mut next_look_back, mut look_back) = (Instant::now(), None);
        let (mut entries, mut more_wait) = (Vec::new(), true);
        while !draining.is_cancelled() {
            self.liveness.beat("admitter", Intake::BLOCK);
            if look_back.is_none() && next_look_back <= Instant::now() {
                next_look_back = Instant::now() + self.lease / 2;
                let Ok(begun) = self.begin_look_back().await else { break };
                look_back = begun;
            }
            // A few old entries, then new ones: many commands may wait for their jobs, and they must not hold up new
            // jobs.
            if let Some(under_way) = look_back.take() {
                let Ok(rest) = self.look_back(under_way).await else { break };
                look_back = rest;
            }
            let is_in_haste = more_wait || look_back.is_some();
            let count = if is_in_haste { Self::MAX_COUNT } else { Self::FEW };
            let (read, admitted) = if more_wait {
                // A backlog waits longer for answers of Redis than for Redis, so the next entries are read meanwhile.
                tokio::join!(self.read(is_in_haste, count, &draining), self.admit(mem::take(&mut entries), false))
            } else {
                // Entries that come meanwhile gather, and larger batches cost less.
                let admitted = self.admit(mem::take(&mut entries), false).await;
                (self.read(is_in_haste, count, &draining).await, admitted)
            };
            if admitted.is_err() {
                break;
            }
            let Ok(read) = read else { break };
            entries = read;
            more_wait = is_full(&entries, count);
        }
        // An entry that was given out and is not admitted here is found by the next pod that looks back.
        let _ = self.admit(entries, false).await;
        self.liveness.rest("admitter");
    }

    /// Reads new entries; none if the pod drains meanwhile.
    async fn read(
        &self,
        is_in_haste: bool,
        count: usize,
        draining: &CancellationToken,
    ) -> Result<Vec<RawEntry>, Abandoned> {
        let read = async {
            match is_in_haste {
                true => self.ledger.read_present_intake(&self.intake, count).await,
                false => self.ledger.read_intake(&self.intake, count).await,
            }
        };
        tokio::select! { entries = read => entries, () = draining.cancelled() => Ok(Vec::new()) }
    }

    /// Begins to look for entries that were given out half a lease ago or earlier, and never dealt with; `None` if
    /// there are none, or if another pod has looked lately.
    async fn begin_look_back(&self) -> Result<Option<LookBack>, Abandoned> {
        let until = self.ledger.given_out(self.lease / 2).await?;
        let Some(until) = until else { return Ok(None) };
        Ok(Some(LookBack { from: "-".to_owned(), until }))
    }

    /// Admits the next few entries that were never dealt with, and returns what is left to look at.
    async fn look_back(&self, LookBack { from, until }: LookBack) -> Result<Option<LookBack>, Abandoned> {
        let entries = self.ledger.read_intake_again(&self.intake, &from, &until, Self::BATCH).await?;
        let Some(last) = entries.last() else { return Ok(None) };
        let from = format!("({}", last.id);
        self.admit(entries, true).await?;
        Ok(Some(LookBack { from, until }))
    }

    /// Admits the entries that were read; `all_before` says whether all earlier entries of the stream have been dealt
    /// with.
    async fn admit(&self, entries: Vec<RawEntry>, all_before: bool) -> Result<(), Abandoned> {
        let mut sorted = Sorted::default();
        for entry in entries {
            self.sort(entry, &mut sorted);
        }
        let are_neighbours = sorted.rejections.is_empty() && sorted.commands.is_empty();
        for batch in by_size(sorted.admissions, |admission| admission.json.len()) {
            for (admission, admitted) in batch.iter().zip(self.ledger.admit(&batch, are_neighbours).await?) {
                note(admission, admitted);
            }
            self.alarm.ring_within(Duration::ZERO);
        }
        for batch in by_size(sorted.rejections, |rejection| rejection.text.len().min(Rejection::MAX_TEXT)) {
            self.ledger.reject(&batch).await?;
            for rejection in &batch {
                let Rejection { entry, reason, .. } = rejection;
                match rejection.job() {
                    Some(job) => warn!(job.id = %job, entry, "entry {entry} of job {job} is rejected: {reason}"),
                    None => warn!(entry, "entry {entry} is rejected: {reason}"),
                }
            }
        }
        if sorted.commands.is_empty() {
            return Ok(());
        }
        // Commands come after the jobs of the same read, because a command may be about one of them. Commands about one
        // job are obeyed in order, those about different jobs concurrently: thousands of cancels must not hold up the
        // jobs behind them for a round trip each.
        let mut by_job: HashMap<JobId, Vec<(String, Command)>> = HashMap::new();
        for (entry, command) in sorted.commands {
            by_job.entry(command.job().clone()).or_default().push((entry, command));
        }
        try_join_all(by_job.values().map(|commands| self.obey_in_order(commands, all_before))).await?;
        self.alarm.ring_within(Duration::ZERO);
        Ok(())
    }

    async fn obey_in_order(&self, commands: &[(String, Command)], all_before: bool) -> Result<(), Abandoned> {
        for (entry, command) in commands {
            self.obey(entry, command, all_before).await?;
        }
        Ok(())
    }

    fn sort(&self, raw: RawEntry, sorted: &mut Sorted) {
        // A producer may choose an entry's id, and Redis's clock may go back, so the id may lie in the future. No job
        // counts as enqueued later than now.
        let enqueued_ms = EntryId::read(&raw.id).ms.min(self.ledger.clock().now_ms());
        let read = Entry::read(raw.version.as_deref(), raw.job.as_deref(), self.max_job_bytes);
        let text = raw.job.unwrap_or_default();
        match read {
            Ok(Entry::Job(job)) => match admission(raw.id.clone(), text, *job, enqueued_ms, &self.policy) {
                Ok(admission) => sorted.admissions.push(admission),
                Err(malformed) => sorted.rejections.push(self.reject(raw.id, Vec::new(), &malformed, enqueued_ms)),
            },
            Ok(Entry::Command(command)) => sorted.commands.push((raw.id, command)),
            Err(malformed) => sorted.rejections.push(self.reject(raw.id, text, &malformed, enqueued_ms)),
        }
    }

    fn reject(&self, entry: String, text: Vec<u8>, malformed: &Malformed, enqueued_ms: u64) -> Rejection {
        let now_ms = self.ledger.clock().now_ms();
        let event = JobId::new(&entry).ok().and_then(|id| rejection(malformed, &id, enqueued_ms, now_ms));
        metrics::counter!("mjq_jobs_admitted_total", "answer" => "malformed").increment(1);
        Rejection { entry, reason: malformed.reason.clone(), text, event }
    }

    /// Obeys a command. A command for an unknown job stays in the stream: another pod may have been given the job, and
    /// may have died with it. Such a command is dropped when it is old, and only by a pod that has dealt with all
    /// earlier entries.
    async fn obey(&self, entry: &str, command: &Command, all_before: bool) -> Result<(), Abandoned> {
        let job = command.job();
        let (wish, answer) = match command {
            Command::Cancel(job) => ("cancel", self.ledger.cancel(job, Some(entry)).await?),
            Command::Modal(input) => ("modal", self.ledger.give_input(entry, input).await?),
        };
        let may_be_dropped = all_before && is_old(EntryId::read(entry).ms, self.ledger.clock().now_ms());
        match answer {
            CommandAnswer::Taken => info!(job.id = %job, "job {job}: {wish} is taken"),
            CommandAnswer::Ended => info!(job.id = %job, "job {job}: {wish} comes too late, it has ended"),
            CommandAnswer::Before => debug!(job.id = %job, "job {job}: {wish} was taken before"),
            // The command is left in the stream, and the next pod that looks back finds it.
            CommandAnswer::NotKnown if !may_be_dropped => {}
            CommandAnswer::NotKnown => {
                self.ledger.forget_entry(entry).await?;
                warn!(job.id = %job, "job {job}: {wish} is dropped, it is not known");
            }
        }
        Ok(())
    }
}

/// Whether a command has waited for its job for long enough. If a producer chose its id, the entry may seem to be from
/// the future, and then all later entries do; it counts as old if it lies more than a minute ahead.
fn is_old(entry_ms: u64, now_ms: u64) -> bool {
    const JOB_MAY_COME_MS: u64 = 60_000;
    entry_ms.abs_diff(now_ms) >= JOB_MAY_COME_MS
}

fn admission(
    entry: String,
    text: Vec<u8>,
    job: Job,
    enqueued_ms: u64,
    policy: &Policy,
) -> Result<Admission, Malformed> {
    let malformed = |reason: &str| Malformed { reason: reason.to_owned(), ..Malformed::default() };
    let id = match &job.id {
        Some(id) => id.clone(),
        None => JobId::new(&entry).map_err(|_| malformed("the stream entry's id is no job id"))?,
    };
    let json = String::from_utf8(text).map_err(|_| malformed("the job is not UTF-8"))?;
    let record = Record::admit(&job, enqueued_ms, policy);
    Ok(Admission { entry, id, json, job, record })
}

/// Whether a read that asked for `count` entries was filled, so that more may wait.
fn is_full(entries: &[RawEntry], count: usize) -> bool {
    let bytes: usize = entries.iter().map(|entry| entry.job.as_ref().map_or(0, Vec::len)).sum();
    entries.len() >= count || bytes >= Intake::ENOUGH_BYTES
}

fn by_size<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        bytes += size(&item);
        match batches.last_mut() {
            Some(batch) if bytes <= Ledger::CALL_BYTES && batch.len() < Admitter::BATCH => batch.push(item),
            _ => {
                bytes = size(&item);
                batches.push(vec![item]);
            }
        }
    }
    batches
}

fn note(Admission { id: job, entry, .. }: &Admission, admitted: Admitted) {
    let answer = match admitted {
        Admitted::New => "new",
        Admitted::Known => "known",
        Admitted::Conflict => "conflict",
        Admitted::Elsewhere => "elsewhere",
    };
    metrics::counter!("mjq_jobs_admitted_total", "answer" => answer).increment(1);
    if admitted == Admitted::Conflict {
        // A producer uses an id twice. That is a warning: nothing is wrong in mjq, and the fault will not go away by
        // itself.
        warn!(job.id = %job, entry, "entry {entry} is rejected: job {job} was enqueued before with another body");
    } else {
        debug!(job.id = %job, "job {job} is admitted: {answer}");
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::RedisLink;

    use super::*;

    #[test]
    fn a_command_is_old_after_a_minute_and_when_it_claims_to_come_later_than_that() {
        assert!(!is_old(1_000_000, 1_059_999));
        assert!(is_old(1_000_000, 1_060_000));
        assert!(!is_old(1_059_999, 1_000_000), "clocks differ");
        assert!(is_old(9_999_999_999_999, 1_000_000), "it would wait for centuries");
    }

    /// An admitter on a queue of its own, which is not running.
    async fn an_admitter() -> anyhow::Result<Admitter> {
        let (url, lease) = (mjq_harness::shared_redis().await?.url(), Duration::from_secs(1));
        let (queue, retention) = (mjq_harness::unique_queue().parse()?, Duration::from_secs(3600));
        let ledger = Ledger::new(RedisLink::open(url)?, queue, retention, CancellationToken::new());
        Ok(Admitter {
            intake: Intake::new(RedisLink::open(url)?, &ledger),
            ledger,
            policy: Arc::new(Policy::default()),
            max_job_bytes: 1 << 20,
            lease,
            alarm: Alarm::new(lease),
            liveness: Liveness::default(),
        })
    }

    async fn add(admitter: &Admitter, entry: &str, json: &str) -> anyhow::Result<()> {
        let mut add = redis::cmd("XADD");
        add.arg(admitter.ledger.queue().jobs_stream()).arg(entry).arg("v").arg(1).arg("job").arg(json);
        Ok(admitter.ledger.link().query(&add).await?)
    }

    async fn left(admitter: &Admitter) -> anyhow::Result<usize> {
        let stream = admitter.ledger.queue().jobs_stream();
        Ok(admitter.ledger.link().query(redis::cmd("XLEN").arg(stream)).await?)
    }

    /// Gives out one entry, like a pod that dies right after reading it.
    async fn give_out_one(admitter: &Admitter) -> anyhow::Result<Vec<RawEntry>> {
        loop {
            // The first read makes the group.
            let entries = admitter.ledger.read_intake(&admitter.intake, 1).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    fn from_the_beginning() -> LookBack {
        LookBack { from: "-".to_owned(), until: "+".to_owned() }
    }

    #[tokio::test]
    async fn an_old_command_waits_for_the_job_before_it_that_another_pod_was_given() -> anyhow::Result<()> {
        let admitter = an_admitter().await?;
        add(&admitter, "1-1", r#"{"id":"a","kind":"imagine","request":{"prompt":"a red fox"}}"#).await?;
        add(&admitter, "1-2", r#"{"cancel":"a"}"#).await?;
        give_out_one(&admitter).await?;

        let command = give_out_one(&admitter).await?;
        admitter.admit(command, false).await?;
        assert_eq!(left(&admitter).await?, 2, "minutes old, and not dropped");
        admitter.look_back(from_the_beginning()).await?;

        assert_eq!(left(&admitter).await?, 0);
        let mark = redis::cmd("HGET").arg(admitter.ledger.key("more:a")).arg("c").take();
        assert_eq!(admitter.ledger.link().query::<Option<u8>>(&mark).await?, Some(1));
        Ok(())
    }

    #[tokio::test]
    async fn large_entries_behind_many_small_ones_do_not_come_all_at_once() -> anyhow::Result<()> {
        const MIB: usize = 1024 * 1024;
        let admitter = an_admitter().await?;
        for n in 1..=50 {
            add(&admitter, &format!("1-{n}"), "small").await?;
        }
        for n in 51..=90 {
            add(&admitter, &format!("1-{n}"), &"x".repeat(MIB)).await?;
        }
        let sizes = |entries: Vec<RawEntry>| entries.iter().map(|entry| entry.job.as_ref().unwrap().len()).collect();
        let enough = Intake::ENOUGH_BYTES + Admitter::FEW * MIB;

        let (mut given_out, mut looked_at) = (Vec::<usize>::new(), Vec::<usize>::new());
        while given_out.len() < 90 {
            let entries = admitter.ledger.read_present_intake(&admitter.intake, Admitter::MAX_COUNT).await?;
            let sizes: Vec<usize> = sizes(entries);
            assert!(sizes.iter().sum::<usize>() <= enough, "{sizes:?}");
            given_out.extend(sizes);
        }
        let mut from = "-".to_owned();
        while looked_at.len() < 90 {
            let entries = admitter.ledger.read_intake_again(&admitter.intake, &from, "+", Admitter::MAX_COUNT).await?;
            from = format!("({}", entries.last().unwrap().id);
            let sizes: Vec<usize> = sizes(entries);
            assert!(sizes.iter().sum::<usize>() <= enough, "{sizes:?}");
            looked_at.extend(sizes);
        }

        assert_eq!((given_out.iter().sum::<usize>(), &given_out), (50 * 5 + 40 * MIB, &looked_at));
        Ok(())
    }

    #[tokio::test]
    async fn commands_for_unknown_jobs_are_looked_at_a_few_at_a_time_and_dropped_when_old() -> anyhow::Result<()> {
        let admitter = an_admitter().await?;
        for n in 1..=250 {
            add(&admitter, &format!("1-{n}"), r#"{"cancel":"nobody"}"#).await?;
        }
        add(&admitter, "*", r#"{"cancel":"nobody"}"#).await?;

        let mut look_back = Some(from_the_beginning());
        let mut rounds = Vec::new();
        while let Some(under_way) = look_back {
            look_back = admitter.look_back(under_way).await?;
            rounds.push(left(&admitter).await?);
        }

        assert_eq!(rounds, [151, 51, 1, 1], "new entries are read after each");
        Ok(())
    }

    #[test]
    fn a_batch_is_bounded_in_number_and_in_size() {
        let batches = by_size(vec![1_usize; 250], |_| 1);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);

        let batches = by_size(vec![300 * 1024_usize; 3], |size| *size);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
