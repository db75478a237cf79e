//! The heartbeat: tells the dashboards that this pod lives, and what it does.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{
        claim::{Slots, Stagger},
        liveness::Liveness,
    },
    ledger::Ledger,
};

/// Beats until the pod has drained.
pub(crate) struct Heartbeat {
    pub(crate) ledger: Ledger,
    pub(crate) slots: Slots,
    pub(crate) pod: String,
    pub(crate) host: String,
    pub(crate) stagger: Stagger,
    pub(crate) liveness: Liveness,
}

#[derive(Serialize)]
struct Beat<'a> {
    seen_ms: u64,
    started_ms: u64,
    slots: usize,
    busy: usize,
    version: &'static str,
    host: &'a str,
}

impl Heartbeat {
    const PERIOD: Duration = Duration::from_secs(5);

    /// Beats until `stop`, then takes this pod off the list.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let started_ms = self.ledger.clock().now_ms();
        metrics::gauge!("mjq_slots").set(self.slots.total() as f64);
        loop {
            self.liveness.beat("heartbeat", Self::PERIOD);
            metrics::gauge!("mjq_slots_busy").set(self.slots.busy() as f64);
            let beat = Beat {
                seen_ms: self.ledger.clock().now_ms(),
                started_ms,
                slots: self.slots.total(),
                busy: self.slots.busy(),
                version: env!("CARGO_PKG_VERSION"),
                host: &self.host,
            };
            // If a beat does not arrive, the next one follows soon.
            if let Ok(pods) =
                self.ledger.show_worker(&self.pod, &serde_json::to_string(&beat).unwrap_or_default()).await
            {
                self.stagger.counted(pods);
            }
            if stop.run_until_cancelled(tokio::time::sleep(Self::PERIOD)).await.is_none() {
                break;
            }
        }
        self.liveness.rest("heartbeat");
        let _ = self.ledger.hide_worker(&self.pod).await;
    }
}
