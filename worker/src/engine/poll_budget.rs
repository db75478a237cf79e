//! The poll budget, where lists are the rule: which requests have their place under the rate.
//!
//! A claim asks for one place for each list that its looks fill. They seldom fill it so well: some come too late
//! for the list, some have to be made alone. What goes out beside the plan asks for a place of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::ledger::{Ledger, Rate};

/// The places that this pod's poll requests have. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct PollBudget {
    ledger: Ledger,
    rate: Rate,
    prepaid: Arc<Mutex<VecDeque<Instant>>>,
}

impl PollBudget {
    /// How long a request may wait for its place.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Makes a budget without any place yet.
    pub(super) fn new(ledger: Ledger, rate: Rate) -> Self {
        Self { ledger, rate, prepaid: Arc::default() }
    }

    /// Takes note of the places that a claim was granted at `granted_at`.
    pub(super) fn prepay(&self, requests: usize, granted_at: Instant) {
        let mut prepaid = self.prepaid.lock().unwrap_or_else(PoisonError::into_inner);
        prepaid.retain(|granted_at| granted_at.elapsed() < Rate::FRESH);
        prepaid.extend(std::iter::repeat_n(granted_at, requests));
    }

    /// Spends the place of one request, or waits for another; says whether the request may go out.
    pub(super) async fn spend(&self) -> bool {
        if self.rate.count == 0 || self.spend_prepaid() {
            return true;
        }
        let latest = Instant::now() + Self::PATIENCE;
        while Instant::now() < latest {
            let asked = Instant::now();
            match self.ledger.grant_poll(self.rate).await {
                // A place that was long in coming may be somebody else's by now.
                Ok(None) => return asked.elapsed() < Rate::FRESH,
                Ok(Some(wait)) => tokio::time::sleep(wait.min(Self::PATIENCE)).await,
                Err(_) => return false,
            }
        }
        false
    }

    fn spend_prepaid(&self) -> bool {
        let mut prepaid = self.prepaid.lock().unwrap_or_else(PoisonError::into_inner);
        prepaid.retain(|granted_at| granted_at.elapsed() < Rate::FRESH);
        prepaid.pop_front().is_some()
    }
}
