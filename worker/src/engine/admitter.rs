//! The admitter: takes jobs and commands out of the stream, into the ledger.

use std::{collections::HashMap, sync::Arc, time::Duration};

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

/// Entries, sorted by what is to be done with them.
#[derive(Default)]
struct Sorted {
    admissions: Vec<Admission>,
    rejections: Vec<Rejection>,
    commands: Vec<(String, Command)>,
}

impl Admitter {
    /// The most entries that one read asks for: as many as one call admits.
    const MAX_COUNT: usize = 100;
    /// What one read should bring, so that a stream of large pictures does not fill the memory.
    const READ_BYTES: usize = 4 * 1024 * 1024;

    /// Admits until `draining`.
    pub(super) async fn run(self, draining: CancellationToken) {
        let mut count = self.first_count().await;
        let mut look_back = Instant::now();
        while !draining.is_cancelled() {
            self.liveness.beat("admitter", Intake::BLOCK);
            if look_back <= Instant::now() {
                look_back = Instant::now() + self.lease / 2;
                if self.look_back(&draining).await.is_err() {
                    break;
                }
            }
            let read = self.ledger.read_intake(&self.intake, count);
            // An entry that is given out while the pod leaves is found by the next that looks back.
            let entries = tokio::select! { entries = read => entries, () = draining.cancelled() => break };
            let Ok(entries) = entries else { break };
            let more_wait = entries.len() == count;
            count = next_count(&entries, count);
            if !entries.is_empty() && self.admit(entries).await.is_err() {
                break;
            }
            if more_wait {
                count = count.min(self.fitting().await);
            }
        }
        self.liveness.rest("admitter");
    }

    /// How many entries to ask for while none has been read: a few, and fewer where they may be large.
    async fn first_count(&self) -> usize {
        const FEW: usize = 16;
        self.fitting().await.min(FEW)
    }

    /// How many of the oldest entries that are waiting one read can bring: they may be larger than those before them.
    async fn fitting(&self) -> usize {
        let mean = self.intake.mean_entry_bytes().await.ok().flatten();
        mean.map_or(Self::MAX_COUNT, |bytes| (Self::READ_BYTES / bytes.max(1)).max(1))
    }

    /// Admits what was given out half a lease ago or earlier, and never dealt with.
    async fn look_back(&self, draining: &CancellationToken) -> Result<(), Abandoned> {
        let mut count = self.first_count().await;
        let Some(until) = self.ledger.given_out(self.lease / 2).await? else { return Ok(()) };
        let mut from = "-".to_owned();
        while !draining.is_cancelled() {
            self.liveness.beat("admitter", Intake::BLOCK);
            let entries = self.ledger.read_intake_again(&self.intake, &from, &until, count).await?;
            let Some(last) = entries.last() else { break };
            from = format!("({}", last.id);
            count = next_count(&entries, count);
            self.admit(entries).await?;
        }
        Ok(())
    }

    async fn admit(&self, entries: Vec<RawEntry>) -> Result<(), Abandoned> {
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
        // After the jobs of the same read: a command may be about one of them. Those about one job are obeyed in order, those
        // about different jobs together: thousands of cancels must not hold up the jobs behind them for a round trip each.
        let mut by_job: HashMap<JobId, Vec<(String, Command)>> = HashMap::new();
        for (entry, command) in sorted.commands {
            by_job.entry(command.job().clone()).or_default().push((entry, command));
        }
        try_join_all(by_job.values().map(|commands| self.obey_in_order(commands))).await?;
        self.alarm.ring_within(Duration::ZERO);
        Ok(())
    }

    async fn obey_in_order(&self, commands: &[(String, Command)]) -> Result<(), Abandoned> {
        for (entry, command) in commands {
            self.obey(entry, command).await?;
        }
        Ok(())
    }

    fn sort(&self, raw: RawEntry, sorted: &mut Sorted) {
        // A producer may choose an entry's id, and Redis's clock may go back: nothing has come in the future.
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

    /// Obeys a command. One for a job that is not known yet stays in the stream.
    async fn obey(&self, entry: &str, command: &Command) -> Result<(), Abandoned> {
        /// Another pod may be about to admit the job that came before its command.
        const JOB_MAY_COME_MS: u64 = 60_000;
        let job = command.job();
        let (wish, answer) = match command {
            Command::Cancel(job) => ("cancel", self.ledger.cancel(job, Some(entry)).await?),
            Command::Modal(input) => ("modal", self.ledger.give_input(entry, input).await?),
        };
        let age_ms = self.ledger.clock().now_ms().saturating_sub(EntryId::read(entry).ms);
        match answer {
            CommandAnswer::Taken => info!(job.id = %job, "job {job}: {wish} is taken"),
            CommandAnswer::Ended => info!(job.id = %job, "job {job}: {wish} comes too late, it has ended"),
            CommandAnswer::Before => debug!(job.id = %job, "job {job}: {wish} was taken before"),
            // Left in the stream, it is found by the next that looks back.
            CommandAnswer::NotKnown if age_ms < JOB_MAY_COME_MS => {}
            CommandAnswer::NotKnown => {
                self.ledger.forget_entry(entry).await?;
                warn!(job.id = %job, "job {job}: {wish} is dropped, it is not known");
            }
        }
        Ok(())
    }
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

/// How many entries the next read should ask for, judging by what the last ones weighed: at most twice as many.
fn next_count(entries: &[RawEntry], count: usize) -> usize {
    if entries.is_empty() {
        return count;
    }
    let bytes: usize = entries.iter().map(|entry| entry.job.as_ref().map_or(0, Vec::len)).sum();
    let fitting = Admitter::READ_BYTES / (bytes / entries.len()).max(1);
    fitting.clamp(1, (2 * count).min(Admitter::MAX_COUNT))
}

fn by_size<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        bytes += size(&item);
        match batches.last_mut() {
            Some(batch) if bytes <= Ledger::CALL_BYTES && batch.len() < 100 => batch.push(item),
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
        // A producer gives an id twice: nothing here is wrong, and it will not go away by itself.
        warn!(job.id = %job, entry, "entry {entry} is rejected: job {job} was enqueued before with another body");
    } else {
        debug!(job.id = %job, "job {job} is admitted: {answer}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sizes: &[usize]) -> Vec<RawEntry> {
        sizes.iter().map(|size| RawEntry { id: "1-0".into(), version: None, job: Some(vec![0; *size]) }).collect()
    }

    #[test]
    fn large_entries_are_read_a_few_at_a_time() {
        assert_eq!(next_count(&entries(&[300]), 1), 2, "the next ones may be larger");
        assert_eq!(next_count(&entries(&[300; 64]), 64), Admitter::MAX_COUNT);
        assert_eq!(next_count(&entries(&[10 * 1024 * 1024]), 16), 1);
        assert_eq!(next_count(&[], 16), 16);
    }

    #[test]
    fn a_batch_is_bounded_in_number_and_in_size() {
        let batches = by_size(vec![1_usize; 250], |_| 1);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);

        let batches = by_size(vec![300 * 1024_usize; 3], |size| *size);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
