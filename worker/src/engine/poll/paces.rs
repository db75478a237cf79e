//! The pacer: keeps this pod's knowledge of how long recent tasks took, and of how late polls are made.

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

/// The pace of each class of tasks, and the lateness of polls. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paces(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    paces: HashMap<PaceClass, Arc<Pace>>,
    late: Duration,
}

impl Paces {
    /// How often this pod asks the ledger, which learns from all pods.
    const PERIOD: Duration = Duration::from_secs(3);

    /// How long recent tasks like this job's took.
    pub(crate) fn of(&self, record: &Record) -> Option<Arc<Pace>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).paces.get(&PaceClass::of(record)).cloned()
    }

    /// How late polls are made at present, over all pods.
    pub(crate) fn late(&self) -> Duration {
        self.0.read().unwrap_or_else(PoisonError::into_inner).late
    }

    /// Learns until `draining`. If Redis does not answer, the earlier knowledge stays.
    pub(crate) async fn learn(self, ledger: Ledger, draining: CancellationToken) {
        while draining.run_until_cancelled(tokio::time::sleep(Self::PERIOD)).await.is_some() {
            if let Ok(PollsAtLarge { paces, late }) = ledger.polls_at_large().await {
                let paces = paces.into_iter().map(|(class, pace)| (class, Arc::new(pace))).collect();
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known { paces, late };
            }
        }
    }
}
