//! Pauses, for all pods.

use super::{Abandoned, Ledger, arg, scripts};

/// What is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Everything but the admission of jobs.
    All,
    /// Submits only: open tasks are still polled.
    Submits,
}

impl Ledger {
    /// Pauses or resumes the queue, for all pods. Returns whether this changed anything.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn pause(&self, what: Paused, is_paused: bool) -> Result<bool, Abandoned> {
        let what = match what {
            Paused::All => "all",
            Paused::Submits => "submits",
        };
        self.call(&scripts::PAUSE, &[arg(what), arg(u8::from(is_paused))]).await
    }
}
