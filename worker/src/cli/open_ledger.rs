//! The ledger, opened for one command.

use std::time::Duration;

use mjq_producer::RedisLink;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{ledger::Ledger, settings::Settings};

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
