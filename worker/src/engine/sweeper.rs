//! The sweeper: trims what its time has passed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// Sweeps now and then until the pod drains. Several pods may sweep at once; it is harmless.
pub(super) async fn sweep(ledger: Ledger, draining: CancellationToken) {
    /// When less than this went, nothing much is left.
    const MANY: u64 = 500;
    let mut pause = Duration::from_secs(10);
    while draining.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let Ok(swept) = ledger.sweep().await else { return };
        pause = if swept >= MANY { Duration::from_millis(100) } else { Duration::from_secs(30) };
    }
}
