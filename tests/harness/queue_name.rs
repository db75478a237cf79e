//! Queue names that no other test uses.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A queue name that was never used before, not even by an earlier run on the same Redis.
#[must_use]
pub fn unique_queue() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let born_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
    format!("test-{born_ms}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
