//! Sweeping: deletes what is older than the retention. An event is deleted only after every consumer group has read it.

use super::{Abandoned, EntryId, EventGroup, Ledger, arg, scripts};

impl Ledger {
    /// Sweeps up to some 2,000 jobs and about 1,000 events, and returns how many were deleted.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn sweep(&self) -> Result<u64, Abandoned> {
        let needed = self.oldest_needed_event().await?;
        let args = [arg(self.0.retention.as_millis()), needed.unwrap_or_default().into_bytes()];
        self.call(&scripts::SWEEP, &args).await
    }

    /// The oldest event that some consumer group still needs; see [`EventGroup::oldest_needed`].
    async fn oldest_needed_event(&self) -> Result<Option<String>, Abandoned> {
        let groups = self.until_answered("read_groups", || self.event_groups()).await?;
        Ok(groups.into_iter().map(EventGroup::oldest_needed).min_by_key(|id| EntryId::read(id)))
    }
}
