//! Places under a rate, for requests whose claim was granted none, or too long ago.

use std::time::{Duration, Instant};

use crate::ledger::{Grant, Ledger, Rate, RateKind};

/// How long a request may wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for a place until there is one; `false` when there is none in time.
pub(crate) async fn ask(ledger: &Ledger, kind: RateKind, rate: Rate) -> bool {
    let latest = Instant::now() + PATIENCE;
    loop {
        match ledger.grant(kind, rate).await {
            // A place that was long in coming may be somebody else's by now.
            Ok(Grant::Until(until)) => return Instant::now() < until,
            Ok(Grant::After(wait)) if Instant::now() + wait < latest => tokio::time::sleep(wait).await,
            Ok(Grant::After(_)) | Err(_) => return false,
        }
    }
}
