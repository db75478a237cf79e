//! The pods that report, by their beats, that they work on this queue.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Ledger, ViewError};

/// One worker pod, as its last heartbeat told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's name.
    #[serde(default)]
    pub name: String,
    /// Whether it was seen lately.
    #[serde(default)]
    pub is_live: bool,
    /// The time of its last heartbeat, Unix milliseconds by Redis's clock.
    #[serde(default)]
    pub seen_ms: u64,
    /// The time of its start, Unix milliseconds by Redis's clock.
    #[serde(default)]
    pub started_ms: u64,
    /// How many steps it can perform at once.
    #[serde(default)]
    pub slots: u64,
    /// How many steps it performs at this moment.
    #[serde(default)]
    pub busy: u64,
    /// Its version of mjq.
    #[serde(default)]
    pub version: String,
    /// The machine that it runs on.
    #[serde(default)]
    pub host: String,
}

impl Pod {
    /// A pod that was not seen for this long counts as dead.
    pub const LIVE_FOR: Duration = Duration::from_secs(15);

    fn read(name: String, beat: &str, now_ms: u64) -> Self {
        // A pod of another version may write a beat that this one cannot read, but the pod exists all the same.
        let pod: Self = serde_json::from_str(beat).unwrap_or_default();
        let is_live = u128::from(now_ms.saturating_sub(pod.seen_ms)) < Self::LIVE_FOR.as_millis();
        Self { name, is_live, ..pod }
    }
}

impl Ledger {
    /// Reads the pods of this queue by name: first the live ones, then the dead ones that did not sign off.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn workers(&self) -> Result<Vec<Pod>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("HGETALL").arg(self.key("workers"));
        let (beats,): (HashMap<String, String>,) = self.read(&commands).await?;
        let now_ms = self.clock().now_ms();
        let mut pods: Vec<Pod> = beats.into_iter().map(|(name, beat)| Pod::read(name, &beat, now_ms)).collect();
        pods.sort_by(|a, b| b.is_live.cmp(&a.is_live).then_with(|| a.name.cmp(&b.name)));
        Ok(pods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_live_for_15_seconds_after_its_last_beat() {
        let beat = r#"{"seen_ms":1000,"started_ms":500,"slots":256,"busy":3,"version":"0.1.0","host":"a"}"#;

        assert!(Pod::read("p".into(), beat, 15_999).is_live);
        assert!(!Pod::read("p".into(), beat, 16_000).is_live);
        assert_eq!(Pod::read("p".into(), beat, 16_000).slots, 256);
    }

    #[test]
    fn a_beat_that_cannot_be_read_still_names_its_pod() {
        let pod = Pod::read("p".into(), "?", 1_000_000);

        assert_eq!((pod.name.as_str(), pod.is_live), ("p", false));
    }
}
