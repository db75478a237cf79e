//! Stalls: when this process has to wait for the machine, the oracle within it sees late what came in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::books::{Books, now_ms};

const TICK: Duration = Duration::from_millis(10);
/// A tick that is later than this counts: rates are kept to within a tenth of a second.
const LATE: Duration = Duration::from_millis(25);
/// What has piled up is seen this soon afterwards.
const CATCHING_UP_MS: u64 = 30;

/// Notes each stall until it is told to stop.
pub(crate) async fn watch(books: Arc<Books>, stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        let (began, began_ms) = (Instant::now(), now_ms());
        tokio::time::sleep(TICK).await;
        if began.elapsed() > TICK + LATE {
            books.open().untimed_ms.push((began_ms, now_ms() + CATCHING_UP_MS));
        }
    }
}
