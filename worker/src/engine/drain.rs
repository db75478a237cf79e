//! The drain: a pod that has to leave does not wait for ever.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::slot::Slots;

/// Once the pod drains, ends the wait for a Redis that does not answer: 2 s after the last step has
/// ended, or 2 s after the last HTTP exchange must have ended.
///
/// What was not written down by then is taken over by another pod when its lease runs out.
pub(super) async fn give_up_in_time(
    draining: CancellationToken,
    slots: Slots,
    exchange: Duration,
    abandon: CancellationToken,
) {
    const SPARE: Duration = Duration::from_secs(2);
    draining.cancelled().await;
    let end = Instant::now() + exchange + SPARE;
    while slots.busy() > 0 && Instant::now() < end - SPARE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(SPARE).await;
    if slots.busy() > 0 {
        warn!(steps = slots.busy(), "{} steps are left to other workers: redis does not answer", slots.busy());
    }
    abandon.cancel();
}
