//! Eviction: whether Redis throws jobs away when its memory is full.

use super::{Abandoned, Ledger};

impl Ledger {
    /// The `maxmemory-policy` of a Redis that evicts keys; `None` where it does not, or does not tell.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn evicting_policy(&self) -> Result<Option<String>, Abandoned> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy");
        // Who may not ask is told by `mjq doctor`.
        let answer = self.until_answered("read_policy", || async {
            match self.link().query::<Vec<String>>(&command).await {
                Err(error) if super::denial(&error).is_some() => Ok(Vec::new()),
                answer => answer,
            }
        });
        Ok(answer.await?.into_iter().nth(1).filter(|policy| policy != "noeviction"))
    }
}
