//! Waits for a fact instead of for a fixed time.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long tests wait for something that should happen at once. It is long, because only failing tests wait that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

const GLANCE: Duration = Duration::from_millis(20);

/// Waits until `fact` holds. Fails after [`PATIENCE`] with the name of the fact.
///
/// # Errors
/// When `fact` does not hold in time, or fails itself.
pub async fn eventually(name: &str, fact: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    eventually_within(PATIENCE, name, fact).await
}

/// As [`eventually`], with another patience.
///
/// # Errors
/// When `fact` does not hold in time, or fails itself.
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
