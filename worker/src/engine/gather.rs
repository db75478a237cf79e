//! Gathering: waits a moment so that several items share one round trip.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

/// Waits for a first item, and takes it with the items that come within `moment` after it, up to `most`. Returns
/// nothing once all senders are gone.
pub(super) async fn gather<T>(handed: &mut UnboundedReceiver<T>, most: usize, moment: Duration) -> Vec<T> {
    let mut batch = Vec::new();
    if handed.recv_many(&mut batch, most).await > 0 {
        tokio::time::sleep(moment).await;
        fill(&mut batch, handed, most);
    }
    batch
}

/// Adds the items that are there already, up to `most`.
pub(super) fn fill<T>(batch: &mut Vec<T>, handed: &mut UnboundedReceiver<T>, most: usize) {
    while batch.len() < most {
        let Ok(one) = handed.try_recv() else { break };
        batch.push(one);
    }
}
