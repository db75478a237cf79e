//! The sweeper: trims what its time has passed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{ledger::Ledger, planted_bug::PlantedBug};

/// Sweeps now and then until the pod drains. Several pods may sweep at once; it is harmless.
pub(super) async fn sweep(ledger: Ledger, draining: CancellationToken) {
    /// When less than this went, nothing much is left.
    const MANY: u64 = 500;
    let mut pause = Duration::from_secs(if PlantedBug::TrimUnread.is_planted() { 2 } else { 10 });
    while draining.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        if PlantedBug::TrimUnread.is_planted() {
            let mut command = redis::cmd("XTRIM");
            command.arg(ledger.queue().events_stream()).arg("MAXLEN").arg(10);
            let _ = ledger.link().query::<u64>(&command).await;
        }
        let Ok(swept) = ledger.sweep().await else { return };
        pause = if swept >= MANY { Duration::from_millis(100) } else { Duration::from_secs(30) };
    }
}
