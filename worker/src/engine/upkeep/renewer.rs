//! The renewer: keeps the leases of steps that are under way.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    engine::{claim::Slots, liveness::Liveness},
    ledger::Ledger,
    planted_bug::PlantedBug,
};

/// Renews every third of a lease, so that two renewals may fail.
pub(crate) struct Renewer {
    pub(crate) ledger: Ledger,
    pub(crate) slots: Slots,
    pub(crate) lease: Duration,
    pub(crate) liveness: Liveness,
}

impl Renewer {
    /// The most leases that one call renews: a script must not hold Redis for long.
    const BATCH: usize = 500;

    /// Renews until `stop`, which comes when no step is under way any more.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.lease / 3)).await.is_some() {
            self.liveness.beat("renewer", self.lease / 3);
            if PlantedBug::LeaseNotRenewed.is_planted() {
                continue;
            }
            let holdings = self.slots.holdings();
            for batch in holdings.chunks(Self::BATCH) {
                let asked = Instant::now();
                let Ok(lost) = self.ledger.renew(batch, self.lease).await else { return };
                for job in lost {
                    if self.slots.lose(&job, batch, self.lease) {
                        metrics::counter!("mjq_leases_lost_total").increment(1);
                        warn!(job.id = %job, "the lease of job {job} ran out while this worker worked on it");
                    }
                }
                self.slots.renewed(batch, asked);
            }
        }
    }
}
