//! The ledger, opened for one command.

use std::time::Duration;

use mjq_producer::{RedisLink, contract::JobId};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    ledger::{JobView, Ledger},
    lifecycle::Phase,
    settings::Settings,
};

/// How long a command may last. A worker asks Redis until it answers; a person wants to know.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the ledger of the queue, if Redis answers.
pub(super) async fn open_ledger(settings: &Settings) -> Result<Ledger, Failure> {
    let link = RedisLink::open(settings.redis_url.expose_secret()).map_err(|error| Failure::Redis(Box::new(error)))?;
    link.query::<String>(&redis::cmd("PING")).await?;
    let abandon = CancellationToken::new();
    let timer = abandon.clone();
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        timer.cancel();
    });
    Ok(Ledger::for_a_command(link, settings.queue.clone(), settings.retention, abandon))
}

/// What the ledger knows of the job that a command is about; nothing where it must not be read: producers need no more
/// than the job stream.
pub(super) async fn job_of_command(settings: &Settings, job: &JobId) -> Result<Option<JobView>, Failure> {
    match open_ledger(settings).await {
        Ok(ledger) => Ok(ledger.job(job).await.ok().flatten()),
        Err(Failure::NotDone(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Refuses what comes too late for a job that has ended.
pub(super) fn not_ended(view: &JobView) -> Result<(), Failure> {
    if !view.phase.is_terminal() {
        return Ok(());
    }
    let failed = view.event.as_ref().filter(|_| view.phase == Phase::Failed);
    let code = failed.map(|event| format!(" ({})", event.code)).unwrap_or_default();
    Err(Failure::NotDone(format!("{} has ended already: it is {}{code}", view.id, view.phase)))
}
