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

/// A wait that began before the job was enqueued, so that it cannot miss the job's event.
#[derive(Debug)]
pub(super) struct Waiting {
    log: EventLog,
    position: Position,
    /// The event of a job with the same id that had ended before.
    earlier: Option<Delivery>,
    progress: Progress,
}

impl Waiting {
    /// How long Redis may be silent before the wait fails.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// The pause between two tries while Redis does not answer.
    const RETRY: Duration = Duration::from_secs(1);
    /// Much longer than workers usually need to take a job out of the job stream.
    const TAKEN_WITHIN: Duration = Duration::from_secs(5);
    /// The time between two checks whether a worker has taken an entry out of the job stream.
    const ADMISSION: Duration = Duration::from_millis(100);

    /// Notes the end of the event stream. `id` is the job's id if the caller chose one.
    pub(super) async fn begin(settings: &Settings, id: Option<&JobId>) -> Result<Self, Failure> {
        let log = EventLog::open(settings)?;
        let position = log.end().await?;
        // A job that has ended already has its event before that position, and gets no other one.
        let earlier = match id {
            Some(id) => log.find_before(&position, id).await?,
            None => None,
        };
        // But a job that is being retried gets another event.
        let earlier = match earlier {
            Some(_) if is_open(settings, id).await => None,
            earlier => earlier,
        };
        Ok(Self { log, position, earlier, progress: Progress::of(settings) })
    }

    /// Waits for the event of the job, which has been enqueued by now.
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

/// Waits for SIGINT or SIGTERM. On a terminal, these signals end the process as usual: the job's id is printed there
/// already.
async fn interrupted(progress: &Progress) -> Failure {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    // A handler would take away the signal's usual effect, so there is none on a terminal.
    let signals = progress.is_hidden().then(|| Some((signal(interrupt).ok()?, signal(terminate).ok()?))).flatten();
    let Some((mut interrupted, mut terminated)) = signals else { return std::future::pending().await };
    let kind = tokio::select! {
        _ = interrupted.recv() => interrupt,
        _ = terminated.recv() => terminate,
    };
    Failure::Interrupted(kind.as_raw_value().try_into().unwrap_or_default())
}

/// Prints a note when no worker takes the job. Otherwise an endless wait would look like one that has only begun.
async fn remind(log: &EventLog, progress: &Progress, job: &JobId) -> Infallible {
    // The newest entry is the job's own or that of a later job, which workers take after it.
    let entry = log.newest_waiting().await;
    tokio::time::sleep(Waiting::TAKEN_WITHIN).await;
    if let Ok(Some(entry)) = entry
        && log.is_admitted(&entry).await.is_ok_and(|is_admitted| !is_admitted)
    {
        progress.note(&format!("No worker has taken {job} yet: is one running on this queue? (`mjq doctor` tells.)"));
    }
    std::future::pending().await
}

/// Whether the job is open by the ledger. Where producers may not read the ledger, the answer is no: they never retry
/// jobs.
async fn is_open(settings: &Settings, id: Option<&JobId>) -> bool {
    let (Some(id), Ok(ledger)) = (id, open_ledger(settings).await) else { return false };
    ledger.job(id).await.is_ok_and(|job| job.is_some_and(|job| !job.phase.is_terminal()))
}

/// The next event of the job. Redis may be away for a while, because the job is enqueued and will end.
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

/// The earlier event, or a later `conflict` event if the id belongs to a job with another body.
///
/// Admission writes the `conflict` event in the same act in which it takes the entry out of the job stream. So once the
/// entry is gone, such an event either exists or will never come.
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
