//! `mjq worker`: runs one pod.

use anyhow::Context;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::{
    Failure,
    flags::{Flags, WorkerFlags},
};
use crate::{
    admin::{self, Admin, Health},
    engine::Engine,
    settings::Settings,
};

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

/// Runs the engine and the admin server until SIGTERM or SIGINT, and then until all begun work is finished.
async fn start(settings: Settings) -> anyhow::Result<()> {
    let metrics = admin::metrics::install();
    let address = settings.admin_addr;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("MJQ_ADMIN_ADDR {address} cannot be used"))?;
    info!(
        "mjq {} works on queue {} for {}; health, metrics and the dashboard are at http://{}",
        env!("CARGO_PKG_VERSION"),
        settings.queue,
        public_part(&settings.upstream_url),
        listener.local_addr()?
    );

    make_room_for_files(settings.slots);
    let (token, policy) = (settings.admin_token.clone(), settings.policy());
    let (draining, drained) = (CancellationToken::new(), CancellationToken::new());
    let engine = Engine::new(settings, draining.clone())?;
    let liveness = engine.liveness().clone();
    let health = Health::new(engine.ledger().clone(), move || liveness.stuck());
    let signals = tokio::spawn(drain_on_signal(health.clone(), draining)?);
    let admin = Admin::new(engine.ledger().clone(), health, metrics).acting_for(token, policy);
    // The admin server answers until the last step has ended, so that operators can watch the drain.
    let serving = tokio::spawn(admin.serve(listener, Some(engine.hooks()), drained.clone()));

    let result = engine.run().await;
    drained.cancel();
    signals.abort();
    serving.await.context("the admin broke down")?;
    result
}

/// Scheme, host, port and path of `url`. The other parts (user, password, query) may hold a key.
fn public_part(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
}

/// Raises the limit of open files as far as allowed: each exchange and each connection needs a file descriptor.
fn make_room_for_files(slots: usize) {
    /// For the connections to Redis and of the admin server, and for the runtime.
    const OTHERS: u64 = 600;
    let wanted = slots as u64 + OTHERS;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if files < wanted => {
            warn!(files, "only {files} files may be open; {slots} slots may need {wanted}: see `ulimit -n`");
        }
        // If the limit is unknown, no warning is logged. Where it is too low, the upstream will seem unreachable.
        Ok(_) | Err(_) => {}
    }
}

/// Returns a future that, at the first SIGTERM or SIGINT, marks the pod as draining and cancels `draining`.
fn drain_on_signal(health: Health, draining: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    // The handlers are registered before any claim, so that a signal during the start does not kill the process.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: nothing new is begun, what has begun is finished");
        health.set_draining();
        draining.cancel();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_is_shown_with_its_path_and_without_secrets() {
        for (url, shown) in [
            ("https://user:secret@api.example.org:7400/v1/?key=secret#k", "https://api.example.org:7400/v1"),
            ("https://api.example.org", "https://api.example.org"),
        ] {
            assert_eq!(public_part(&url.parse().unwrap()), shown);
        }
    }
}
