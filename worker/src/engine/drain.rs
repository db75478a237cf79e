//! The drain: a pod that has to leave does not wait for ever.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claim::Slots;
use crate::{ledger::Ledger, upstream::Upstream};

/// What is waited for once the pod drains.
pub(super) struct Drain {
    pub(super) draining: CancellationToken,
    pub(super) slots: Slots,
    pub(super) ledger: Ledger,
    pub(super) upstream: Upstream,
    /// The longest that one exchange with the upstream takes.
    pub(super) exchange: Duration,
    pub(super) abandon: CancellationToken,
}

impl Drain {
    /// How long Redis is waited for when nothing else is. With what the loops and the admin need to
    /// end, it has to stay under the promised 3 s.
    const SPARE: Duration = Duration::from_millis(1500);
    const GLANCE: Duration = Duration::from_millis(20);

    /// Once the pod drains, ends the wait for a Redis that does not answer, soon after the last
    /// exchange with the upstream has ended. An exchange itself is waited for: it may be a paid submit.
    ///
    /// What was not written down by then is taken over by another pod when its lease runs out.
    pub(super) async fn give_up_in_time(self) {
        self.draining.cancelled().await;
        self.ledger.hurry();
        let latest = Instant::now() + self.exchange;
        let mut end = Instant::now() + Self::SPARE;
        while Instant::now() < end {
            tokio::time::sleep(Self::GLANCE).await;
            if self.upstream.under_way() > 0 {
                end = latest.min(Instant::now()) + Self::SPARE;
            }
        }
        if self.slots.busy() > 0 {
            let busy = self.slots.busy();
            warn!(steps = busy, "{busy} steps could not be written down in time: other workers take them over");
        }
        self.abandon.cancel();
    }
}
