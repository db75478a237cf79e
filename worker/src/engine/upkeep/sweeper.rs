//! The sweeper: deletes data that is older than the retention, now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{engine::liveness::Liveness, ledger::Ledger, planted_bug::PlantedBug};

/// Sweeps now and then until the pod drains. Several pods may sweep at once without harm.
pub(crate) async fn sweep(ledger: Ledger, lease: Duration, liveness: Liveness, draining: CancellationToken) {
    /// Other pods take over a dead pod's steps after one lease; after this many, the pod's name is of no use.
    const LEASES: u32 = 10;
    /// If a sweep deletes fewer entries than this, not much is left to delete.
    const MANY: u64 = 500;
    if let Some(policy) = ledger.evicting_policy().await {
        error!(
            "maxmemory-policy is {policy}: a full redis throws live jobs away, also such as were paid for; set it to noeviction"
        );
    }
    let mut pause = Duration::from_secs(if PlantedBug::TrimUnread.is_planted() { 2 } else { 10 });
    liveness.beat("sweeper", pause);
    while draining.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        if PlantedBug::TrimUnread.is_planted() {
            let mut command = redis::cmd("XTRIM");
            command.arg(ledger.queue().events_stream()).arg("MAXLEN").arg(1);
            let _ = ledger.link().query::<u64>(&command).await;
        }
        let Ok(swept) = ledger.sweep().await else { break };
        match ledger.forget_pods(lease * LEASES).await {
            Ok(0) => {}
            Ok(gone) => info!(gone, "forgot {gone} dead workers"),
            Err(_) => break,
        }
        pause = if swept >= MANY { Duration::from_millis(100) } else { Duration::from_secs(30) };
        liveness.beat("sweeper", pause);
    }
    liveness.rest("sweeper");
}
