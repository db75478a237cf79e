//! The drain: bounds the time that a pod takes to leave.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claim::Slots;
use crate::{ledger::Ledger, upstream::Upstream};

/// What a draining pod waits for.
pub(super) struct Drain {
    pub(super) draining: CancellationToken,
    pub(super) slots: Slots,
    pub(super) ledger: Ledger,
    pub(super) upstream: Upstream,
    /// The longest time that one exchange with the upstream takes.
    pub(super) exchange: Duration,
    pub(super) abandon: CancellationToken,
}

impl Drain {
    /// How long the pod waits for Redis when no exchange is under way. Together with what the loops and the admin need
    /// to end, this has to stay under the promised 3 s.
    const SPARE: Duration = Duration::from_millis(1500);
    const GLANCE: Duration = Duration::from_millis(20);

    /// Once the pod drains, ends the wait for a Redis that does not answer, soon after the last exchange with the
    /// upstream has ended. The exchange itself is waited for, because it may be a paid submit.
    ///
    /// Steps that are not written down by then are taken over by another pod when their leases run out.
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
