//! The pacer: keeps this pod's knowledge of how long tasks lately took.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    ledger::Ledger,
    lifecycle::{Pace, PaceClass, Record},
};

/// What is known of each class. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Paces(Arc<RwLock<HashMap<PaceClass, Arc<Pace>>>>);

impl Paces {
    /// How often the ledger is asked: it learns from all pods.
    const PERIOD: Duration = Duration::from_secs(3);

    /// How long tasks like this job's lately took.
    pub(super) fn of(&self, record: &Record) -> Option<Arc<Pace>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&PaceClass::of(record)).cloned()
    }

    /// Learns until `draining`. Without an answer, what was known stays.
    pub(super) async fn learn(self, ledger: Ledger, draining: CancellationToken) {
        while draining.run_until_cancelled(tokio::time::sleep(Self::PERIOD)).await.is_some() {
            if let Ok(paces) = ledger.paces().await {
                let paces = paces.into_iter().map(|(class, pace)| (class, Arc::new(pace))).collect();
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = paces;
            }
        }
    }
}
