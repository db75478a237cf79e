//! Gathering: waits a moment so that several items share one round trip.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

/// Waits for something, and takes what comes within `moment` of it, up to `most`. Nothing, once nobody is left to hand
/// anything in.
pub(super) async fn gather<T>(handed: &mut UnboundedReceiver<T>, most: usize, moment: Duration) -> Vec<T> {
    let mut batch = Vec::new();
    if handed.recv_many(&mut batch, most).await > 0 {
        tokio::time::sleep(moment).await;
        fill(&mut batch, handed, most);
    }
    batch
}

/// Adds what is there already, up to `most`.
pub(super) fn fill<T>(batch: &mut Vec<T>, handed: &mut UnboundedReceiver<T>, most: usize) {
    while batch.len() < most {
        let Ok(one) = handed.try_recv() else { break };
        batch.push(one);
    }
}
