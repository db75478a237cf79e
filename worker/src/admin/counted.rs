//! The last count of the queue, kept for a second, so that many requests at once cost Redis one count.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::ledger::{Counts, Ledger};

/// Counts the queue at most once a second. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted(Arc<Mutex<Option<Last>>>);

/// When Redis was asked, and its answer.
type Last = (Instant, Option<Counts>);

impl Counted {
    const FRESH: Duration = Duration::from_secs(1);

    /// The counts of the last second; `None` when Redis did not answer.
    pub(super) async fn counts(&self, ledger: &Ledger) -> Option<Counts> {
        let mut last = self.0.lock().await;
        if let Some((at, counts)) = &*last
            && at.elapsed() < Self::FRESH
        {
            return counts.clone();
        }
        let counts = ledger.counts().await.ok();
        *last = Some((Instant::now(), counts.clone()));
        counts
    }
}
