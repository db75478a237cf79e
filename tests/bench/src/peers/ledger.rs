//! mjq without its HTTP: every job admitted, claimed, and settled with its event, by the ledger's own calls.
//!
//! The loops and their batches are those of the engine. What is left out is what the no-op handlers of the peers leave
//! out too: the upstream. What is kept is what they do not have: the record, the fence, the intent, the event.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use mjq_producer::{
    RedisLink,
    contract::{Entry, JobId, QueueName, TaskId},
};
use mjq_worker::{
    ledger::{Admission, ClaimLimits, Intake, JobEnd, Ledger, Rate, RawEntry, Settlement, Step, Wanted},
    lifecycle::{Circumstances, Next, Observation, Policy, Record, TaskReport, event_of, next},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    stage::until_abandoned,
    stream::{QUEUE, until},
};

const POD: &str = "bench";
/// As many as a worker reads at once, as it admits in one call, and as it waits for.
const READ: usize = 256;
const ADMIT_BATCH: usize = 100;
const FEW: usize = 4;
const SETTLE_BATCH: usize = 64;
const SETTLE_CALLS: usize = 2;

/// Works until standard input closes.
pub(super) async fn run(redis_url: &str) -> anyhow::Result<()> {
    let queue = QueueName::new(QUEUE).context("a bad queue name")?;
    let day = Duration::from_secs(24 * 3600);
    let ledger = Ledger::new(RedisLink::open(redis_url)?, queue, day, CancellationToken::new());
    let wake = Arc::new(Notify::new());
    let (settlements, handed) = mpsc::channel(Ledger::MAX_CLAIM);
    println!("ready");
    let admitting = tokio::spawn(admit(ledger.clone(), RedisLink::open(redis_url)?, Arc::clone(&wake)));
    let settling = tokio::spawn(settle(ledger.clone(), handed));
    let claiming = tokio::spawn(claim(ledger, settlements, wake));
    tokio::select! {
        outcome = admitting => outcome?,
        outcome = settling => outcome?,
        outcome = claiming => outcome?,
        () = until_abandoned() => Ok(()),
    }
}

/// Admits `backlog` jobs, and then tells how long each of the claims of 100 steps took that follow, in ms.
pub(crate) async fn claim_times_ms(redis_url: &str, backlog: usize, claims: usize) -> anyhow::Result<Vec<f64>> {
    let queue = QueueName::new(QUEUE).context("a bad queue name")?;
    let day = Duration::from_secs(24 * 3600);
    let ledger = Ledger::new(RedisLink::open(redis_url)?, queue, day, CancellationToken::new());
    let link = RedisLink::open(redis_url)?;
    let admitting = tokio::spawn(admit(ledger.clone(), link.clone(), Arc::default()));
    let key = ledger.key("due:submit");
    until(Duration::from_secs(600), async || Ok(link.query::<usize>(redis::cmd("ZCARD").arg(&key)).await? >= backlog))
        .await?;
    admitting.abort();
    let policy = Policy::default();
    let limits = no_limits();
    let mut times = Vec::with_capacity(claims);
    for serial in 0..claims {
        let began = Instant::now();
        let claimed = ledger.claim(POD, &serial.to_string(), at_most(100), &limits).await?;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        let settlements: Vec<_> =
            claimed.steps.into_iter().map(|step| settlement(step, &policy)).collect::<anyhow::Result<_>>()?;
        for batch in settlements.chunks(SETTLE_BATCH) {
            ledger.settle(batch).await?;
        }
    }
    Ok(times)
}

pub(crate) fn no_limits() -> ClaimLimits {
    let none = Rate::per_second(0.0);
    let (lease, probe) = (Duration::from_secs(15), Duration::from_secs(30));
    ClaimLimits { lease, max_open: 0, submit_rate: none, poll_rate: none, probe }
}

/// So many steps of any kind.
pub(crate) fn at_most(steps: usize) -> Wanted {
    Wanted { steps, submits: steps, polls_per_request: 1 }
}

async fn admit(ledger: Ledger, link: RedisLink, wake: Arc<Notify>) -> anyhow::Result<()> {
    let intake = Intake::new(link, &ledger);
    let policy = Policy::default();
    let read = async |is_in_haste| match is_in_haste {
        true => ledger.read_present_intake(&intake, READ).await,
        false => ledger.read_intake(&intake, FEW).await,
    };
    let admit = async |entries: Vec<RawEntry>| -> anyhow::Result<()> {
        let admissions: Vec<Admission> = entries.into_iter().filter_map(|entry| admission(entry, &policy)).collect();
        for batch in admissions.chunks(ADMIT_BATCH) {
            ledger.admit(batch, true).await?;
            wake.notify_one();
        }
        Ok(())
    };
    let (mut entries, mut more_wait) = (Vec::new(), true);
    loop {
        let read_before = mem::take(&mut entries);
        let (read, admitted) = if more_wait {
            tokio::join!(read(true), admit(read_before))
        } else {
            let admitted = admit(read_before).await;
            (read(false).await, admitted)
        };
        admitted?;
        entries = read?;
        more_wait = entries.len() >= if more_wait { READ } else { FEW };
    }
}

pub(crate) fn admission(raw: RawEntry, policy: &Policy) -> Option<Admission> {
    let read = Entry::read(raw.version.as_deref(), raw.job.as_deref(), usize::MAX).ok()?;
    let Entry::Job(job) = read else { return None };
    let enqueued_ms = raw.id.split('-').next()?.parse().ok()?;
    let json = String::from_utf8(raw.job?).ok()?;
    let record = Record::admit(&job, enqueued_ms, policy);
    Some(Admission { entry: raw.id, id: job.id.clone()?, json, job: *job, record })
}

async fn claim(ledger: Ledger, settlements: mpsc::Sender<Settlement>, wake: Arc<Notify>) -> anyhow::Result<()> {
    let limits = no_limits();
    let policy = Policy::default();
    for serial in 0_u64.. {
        let claimed = ledger.claim(POD, &serial.to_string(), at_most(Ledger::MAX_CLAIM), &limits).await?;
        if claimed.steps.is_empty() {
            let _ = tokio::time::timeout(Duration::from_secs(1), wake.notified()).await;
        }
        for step in claimed.steps {
            settlements.send(settlement(step, &policy)?).await?;
        }
    }
    Ok(())
}

/// A decision in the moment of the claim, about a task of which nothing is known.
pub(crate) fn at_once(now_ms: u64, fence: u64, policy: &Policy) -> Circumstances<'_> {
    Circumstances {
        now_ms,
        claimed_ms: now_ms,
        place_ms: 0,
        jitter: 0.5,
        fence,
        reclaims: 0,
        pace: None,
        last_accepted_ms: 0,
        last_shown_ms: 0,
        polls_late: Duration::ZERO,
        policy,
    }
}

/// Accepted and done in one go.
fn settlement(step: Step, policy: &Policy) -> anyhow::Result<Settlement> {
    let now_ms = step.claimed_ms;
    let Step { job, fence, .. } = step;
    let at = || at_once(now_ms, fence, policy);
    let task = TaskId::new("1730621826053455");
    let accepted = next(&step.record, &Observation::Accepted { task, queue_position: 0 }, at())?;
    let (status, image_url) = ("SUCCESS".to_owned(), "http://127.0.0.1/image/1730621826053455.png".to_owned());
    let seen = Observation::Succeeded(TaskReport { status, image_url, ..TaskReport::default() });
    let transition = next(&accepted.record, &seen, at())?;
    let Next::End(ending) = transition.next else { anyhow::bail!("the job goes on") };
    let then: Vec<JobId> = Vec::new();
    let event = event_of(&job, &transition.record, ending, &seen, now_ms, then);
    let end = Some(Box::new(JobEnd { event, ran: None, revisit_after: None, follow_ups: Vec::new() }));
    Ok(Settlement { job, fence, kept_until_ms: u64::MAX, transition, progress: None, end, job_json: None })
}

async fn settle(ledger: Ledger, mut handed: mpsc::Receiver<Settlement>) -> anyhow::Result<()> {
    let mut calls = JoinSet::<anyhow::Result<()>>::new();
    let mut batch = Vec::with_capacity(SETTLE_BATCH);
    while handed.recv_many(&mut batch, SETTLE_BATCH).await > 0 {
        while calls.len() >= SETTLE_CALLS
            && let Some(call) = calls.join_next().await
        {
            call??;
        }
        let (ledger, batch) = (ledger.clone(), std::mem::take(&mut batch));
        calls.spawn(async move { ledger.settle(&batch).await.map(drop).map_err(Into::into) });
    }
    Ok(())
}
