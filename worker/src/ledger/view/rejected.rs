//! The entries that never became jobs.

use redis::streams::StreamRangeReply;
use serde::Serialize;

use super::{Ledger, ViewError, hide_images};
use crate::ledger::EntryId;

/// An entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedEntry {
    /// The id that it had in the job stream.
    pub entry: String,
    /// When it was rejected, Unix milliseconds by Redis's clock.
    pub rejected_ms: u64,
    /// What is wrong, in words.
    pub reason: String,
    /// The beginning of the entry's text, with pictures hidden.
    pub text: String,
}

impl RejectedEntry {
    /// How much of the text is shown, in characters.
    const MAX_SHOWN: usize = 1000;
}

impl Ledger {
    /// Reads the latest `limit` rejected entries, newest first.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn rejected(&self, limit: usize) -> Result<Vec<RejectedEntry>, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("XREVRANGE").arg(self.key("rejected")).arg("+").arg("-").arg("COUNT").arg(limit);
        let (entries,): (StreamRangeReply,) = self.read(&commands).await?;
        let read = |entry: redis::streams::StreamId| {
            let field = |name: &str| entry.get::<Vec<u8>>(name).unwrap_or_default();
            let text = |name: &str| String::from_utf8_lossy(&field(name)).into_owned();
            RejectedEntry {
                entry: text("entry"),
                rejected_ms: EntryId::read(&entry.id).ms,
                reason: text("reason"),
                text: hide_images(&text("job")).chars().take(RejectedEntry::MAX_SHOWN).collect(),
            }
        };
        Ok(entries.ids.into_iter().map(read).collect())
    }
}
