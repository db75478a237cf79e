//! Waits for the end of one job.

use std::{convert::Infallible, time::Duration};

use mjq_producer::{Delivery, contract::JobId};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{
    Failure,
    event_log::{EventLog, Position},
    open_ledger::open_ledger,
    progress::Progress,
};
use crate::settings::Settings;

/// A look-out that was taken before the job was enqueued, so that its event cannot be missed.
#[derive(Debug)]
pub(super) struct Waiting {
    log: EventLog,
    position: Position,
    /// The event of a job with this id that had ended before.
    earlier: Option<Delivery>,
    progress: Progress,
}

impl Waiting {
    /// How long Redis may be silent before the wait is given up.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// The pause before Redis is asked again after it did not answer.
    const RETRY: Duration = Duration::from_secs(1);
    /// How long workers usually need to take a job out of the job stream, and much more.
    const TAKEN_WITHIN: Duration = Duration::from_secs(5);
    /// The time between two looks at whether the job stream was read.
    const ADMISSION: Duration = Duration::from_millis(100);

    /// Notes where the events end. `id` is the job's, when the caller chose one.
    pub(super) async fn begin(settings: &Settings, id: Option<&JobId>) -> Result<Self, Failure> {
        let log = EventLog::open(settings)?;
        let position = log.end().await?;
        // A job that ended before has its event behind that place, and will not get another.
        let earlier = match id {
            Some(id) => log.find_before(&position, id).await?,
            None => None,
        };
        // Unless it is being tried once more.
        let earlier = match earlier {
            Some(_) if is_open(settings, id).await => None,
            earlier => earlier,
        };
        Ok(Self { log, position, earlier, progress: Progress::of(settings) })
    }

    /// Waits for the event of the job, which is enqueued by now.
    pub(super) async fn for_end_of(self, job: &JobId) -> Result<Delivery, Failure> {
        let Self { log, mut position, earlier, progress } = self;
        let event = async {
            match earlier {
                Some(earlier) => Ok(conflict_or(&log, &mut position, job, earlier).await?),
                None => next_event(&log, &mut position, job).await,
            }
        };
        tokio::select! {
            event = event => event,
            never = progress.show(job) => match never {},
            never = remind(&log, &progress, job) => match never {},
            failure = interrupted(&progress) => Err(failure),
        }
    }
}

/// The end of a wait by SIGINT or SIGTERM. On a terminal they end the process as ever: the job's id stands there.
async fn interrupted(progress: &Progress) -> Failure {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    // Whoever listens to a signal has taken its effect away.
    let signals = progress.is_hidden().then(|| Some((signal(interrupt).ok()?, signal(terminate).ok()?))).flatten();
    let Some((mut interrupted, mut terminated)) = signals else { return std::future::pending().await };
    let kind = tokio::select! {
        _ = interrupted.recv() => interrupt,
        _ = terminated.recv() => terminate,
    };
    Failure::Interrupted(kind.as_raw_value().try_into().unwrap_or_default())
}

/// Says so when no worker takes the job: nothing else would tell a wait that has hardly begun from one without end.
async fn remind(log: &EventLog, progress: &Progress, job: &JobId) -> Infallible {
    // What is behind it, if that is another job, is taken later.
    let entry = log.newest_waiting().await;
    tokio::time::sleep(Waiting::TAKEN_WITHIN).await;
    if let Ok(Some(entry)) = entry
        && log.is_admitted(&entry).await.is_ok_and(|is_admitted| !is_admitted)
    {
        progress.note(&format!("No worker has taken {job} yet: is one running on this queue? (`mjq doctor` tells.)"));
    }
    std::future::pending().await
}

/// Whether the ledger says that the job has not ended. Producers that must not read it never retry jobs.
async fn is_open(settings: &Settings, id: Option<&JobId>) -> bool {
    let (Some(id), Ok(ledger)) = (id, open_ledger(settings).await) else { return false };
    ledger.job(id).await.is_ok_and(|job| job.is_some_and(|job| !job.phase.is_terminal()))
}

/// The next event of the job. Redis may be away for a while: the job is enqueued and will end.
async fn next_event(log: &EventLog, position: &mut Position, job: &JobId) -> Result<Delivery, Failure> {
    let mut answered = Instant::now();
    loop {
        match log.follow(position).await {
            Ok(events) => {
                answered = Instant::now();
                if let Some(event) = event_of(events, job) {
                    return Ok(event);
                }
            }
            Err(failure) if answered.elapsed() > Waiting::PATIENCE => return Err(failure),
            Err(failure) => {
                tracing::debug!("{}; trying again", failure.message().unwrap_or_default());
                tokio::time::sleep(Waiting::RETRY).await;
            }
        }
    }
}

/// The earlier event, unless the worker says that the id belongs to a job with another body.
///
/// Admission writes that down together with taking the entry out of the job stream: as soon as the
/// entry is gone, either there is such an event or there will be none.
async fn conflict_or(
    log: &EventLog,
    position: &mut Position,
    job: &JobId,
    earlier: Delivery,
) -> Result<Delivery, Failure> {
    if let Some(entry) = log.newest_waiting().await? {
        while !log.is_admitted(&entry).await? {
            tokio::time::sleep(Waiting::ADMISSION).await;
        }
    }
    loop {
        let before = position.clone();
        if let Some(event) = event_of(log.read(position).await?, job) {
            return Ok(event);
        }
        if *position == before {
            return Ok(earlier);
        }
    }
}

fn event_of(events: Vec<Delivery>, job: &JobId) -> Option<Delivery> {
    events.into_iter().find(|delivery| delivery.event.job == job.as_str())
}
