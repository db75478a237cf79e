//! The planted bugs of the engine. They exist in test builds only, to show that the chaos run finds them.

use std::time::Duration;

use crate::{
    ledger::{Ledger, Place, Settlement},
    planted_bug::PlantedBug,
};

/// Spoils a settlement before it is handed in, if a bug of the settlement is planted.
pub(crate) async fn spoil(ledger: &Ledger, settlement: &mut Settlement, now_ms: u64) {
    if PlantedBug::NoFence.is_planted() {
        Box::pin(steal_fence(ledger, settlement, now_ms)).await;
    }
    if PlantedBug::PublishBeforeTransition.is_planted() {
        Box::pin(publish_apart(ledger, settlement)).await;
    }
}

/// Gives the settlement a valid fence and lease, even if another pod has the job.
async fn steal_fence(ledger: &Ledger, settlement: &mut Settlement, now_ms: u64) {
    let Ok(Some(view)) = ledger.job(&settlement.job).await else { return };
    let is_claimed = matches!(view.place, Place::InStep { .. });
    settlement.fence = view.fence + u64::from(!is_claimed);
    let mut lease = redis::cmd("ZADD");
    lease.arg(ledger.key("leases")).arg(now_ms).arg(format!("{}:{}", settlement.fence, settlement.job));
    let _ = ledger.link().query::<u64>(&lease).await;
}

/// Publishes the event before anything has checked the fence.
async fn publish_apart(ledger: &Ledger, settlement: &Settlement) {
    let Some(mut event) = settlement.end.as_ref().map(|end| end.event.clone()) else { return };
    // An event without the caller's state would be a different bug. If Redis is away, no event goes out at all.
    let Ok(Some(view)) = ledger.job(&settlement.job).await else { return };
    event.state = view.state.unwrap_or_default();
    let mut publish = redis::cmd("XADD");
    publish.arg(ledger.queue().events_stream()).arg("*");
    for (name, value) in event.fields() {
        publish.arg(name).arg(value);
    }
    let _ = ledger.link().query::<String>(&publish).await;
    // The transition is another round trip, and a round trip may be slow.
    tokio::time::sleep(Duration::from_millis(100)).await;
}
