//! What is paused now.

use super::{Ledger, Upstream, ViewError};
use crate::ledger::Paused;

/// The two marks of pauses, if they are set.
pub(super) type PauseMarks = (Option<String>, Option<String>);

/// The fields of the hash `upstream` that [`PauseMarks`] come from.
pub(super) const PAUSE_FIELDS: [&str; 2] = ["paused", "submits_paused"];

impl Ledger {
    /// Reads what is paused; `None` if nothing is.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn paused(&self) -> Result<Option<Paused>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(self.key("upstream")).arg(&PAUSE_FIELDS);
        let (marks,): (PauseMarks,) = self.read(&commands).await?;
        Ok(read_pause(&marks))
    }
}

impl Upstream {
    /// What an operator has paused.
    #[must_use]
    pub fn paused(&self) -> Option<Paused> {
        pause_of(self.is_paused, self.are_submits_paused)
    }
}

pub(super) fn read_pause((all, submits): &PauseMarks) -> Option<Paused> {
    let is_set = |mark: &Option<String>| mark.as_deref() == Some("1");
    pause_of(is_set(all), is_set(submits))
}

/// A pause of everything includes submits.
fn pause_of(all: bool, submits: bool) -> Option<Paused> {
    match (all, submits) {
        (true, _) => Some(Paused::All),
        (false, true) => Some(Paused::Submits),
        (false, false) => None,
    }
}
