//! `mjq worker`: runs one pod.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    Failure,
    flags::{Flags, WorkerFlags},
};
use crate::{engine::Engine, settings::Settings};

#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    settings: WorkerFlags,
}

impl Worker {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }
}

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    start(settings).await.map_err(|error| Failure::Worker(error.into()))
}

/// Runs the engine until SIGTERM or SIGINT, and then until what has begun is finished.
async fn start(settings: Settings) -> anyhow::Result<()> {
    let engine = Engine::new(settings)?;
    let draining = CancellationToken::new();
    let signals = tokio::spawn(drain_on_signal(draining.clone())?);
    let result = engine.run(draining).await;
    signals.abort();
    result
}

/// Makes the future that cancels `draining` at the first SIGTERM or SIGINT.
fn drain_on_signal(draining: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    // Registered before anything is claimed: a signal during the start must not kill the process.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: nothing new is begun, what has begun is finished");
        draining.cancel();
    })
}
