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

/// How long a command may last. A worker asks Redis until it answers, but a person wants an answer soon.
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

/// The ledger's view of the job that a command is about; `None` where the user may not read the ledger, because
/// producers need access only to the job stream.
pub(super) async fn job_of_command(settings: &Settings, job: &JobId) -> Result<Option<JobView>, Failure> {
    match open_ledger(settings).await {
        Ok(ledger) => Ok(ledger.job(job).await.ok().flatten()),
        Err(Failure::NotDone(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Fails if the job has ended, because the command then comes too late.
pub(super) fn not_ended(view: &JobView) -> Result<(), Failure> {
    if !view.phase.is_terminal() {
        return Ok(());
    }
    let failed = view.event.as_ref().filter(|_| view.phase == Phase::Failed);
    let code = failed.map(|event| format!(" ({})", event.code)).unwrap_or_default();
    Err(Failure::NotDone(format!("{} has ended already: it is {}{code}", view.id, view.phase)))
}
