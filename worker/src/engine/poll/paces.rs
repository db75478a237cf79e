//! The pacer: keeps this pod's knowledge of how tasks lately ran, and of how late looks are made.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{Ledger, PollsAtLarge},
    lifecycle::{Pace, PaceClass, Record},
};

/// What is known of each class, and of the lane of looks. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paces(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    paces: HashMap<PaceClass, Arc<Pace>>,
    late: Duration,
}

impl Paces {
    /// How often the ledger is asked: it learns from all pods.
    const PERIOD: Duration = Duration::from_secs(3);

    /// How long tasks like this job's lately took.
    pub(crate) fn of(&self, record: &Record) -> Option<Arc<Pace>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).paces.get(&PaceClass::of(record)).cloned()
    }

    /// How late looks are made at present, over all pods.
    pub(crate) fn late(&self) -> Duration {
        self.0.read().unwrap_or_else(PoisonError::into_inner).late
    }

    /// Learns until `draining`. Without an answer, what was known stays.
    pub(crate) async fn learn(self, ledger: Ledger, draining: CancellationToken) {
        while draining.run_until_cancelled(tokio::time::sleep(Self::PERIOD)).await.is_some() {
            if let Ok(PollsAtLarge { paces, late }) = ledger.polls_at_large().await {
                let paces = paces.into_iter().map(|(class, pace)| (class, Arc::new(pace))).collect();
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known { paces, late };
            }
        }
    }
}
