//! Waiting for a fact instead of for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long tests wait for something that should happen at once; generous, since only failures pay for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

const GLANCE: Duration = Duration::from_millis(20);

/// Waits until `fact` holds, or fails after [`PATIENCE`] with the name of what never came.
///
/// # Errors
/// When it does not hold in time, or `fact` itself fails.
pub async fn eventually(name: &str, fact: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    eventually_within(PATIENCE, name, fact).await
}

/// As [`eventually`], with a patience of one's own.
///
/// # Errors
/// When it does not hold in time, or `fact` itself fails.
pub async fn eventually_within(
    patience: Duration,
    name: &str,
    mut fact: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        if fact().await? {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain: {name}");
        }
        tokio::time::sleep(GLANCE).await;
    }
}
