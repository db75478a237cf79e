//! The names on the wire: job ids, task ids and queue names.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The caller's name for a job, and its idempotency key: 1 to 128 of `[A-Za-z0-9._:-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Arc<str>);

impl JobId {
    /// The longest job id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Reads a job id.
    ///
    /// # Errors
    /// [`InvalidJobId`] if it is empty, too long, or has another character than `[A-Za-z0-9._:-]`.
    pub fn new(id: &str) -> Result<Self, InvalidJobId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if id.is_empty() || id.len() > Self::MAX_LEN || !id.bytes().all(allowed) {
            return Err(InvalidJobId);
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the follow-up that stands at `position` in this job's `then`.
    ///
    /// The same parent and position always give the same id, so a follow-up cannot be made twice.
    #[must_use]
    pub fn follow_up(&self, position: usize) -> Self {
        let suffix = format!(".then.{position}");
        if self.0.len() + suffix.len() <= Self::MAX_LEN {
            return Self(format!("{}{suffix}", self.0).into());
        }
        // A parent id near the limit leaves no room for the suffix, so its digest takes its place.
        Self(format!("{}{suffix}", super::digest::hex_digest(self.0.as_bytes())).into())
    }
}

/// A job id was empty, longer than 128 characters, or had a character outside `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job id must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -")]
pub struct InvalidJobId;

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(&id)
    }
}

impl std::str::FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for JobId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The upstream's handle of a task: opaque text, unique only within one upstream.
///
/// Upstreams send integers of up to 17 digits (beyond 2^53), text with a leading zero and text with
/// a prefix, so it is never a number here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// Takes an upstream's handle as it is.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The handle as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a queue, part of each of its keys: 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Reads a queue's name.
    ///
    /// # Errors
    /// [`InvalidQueueName`] if it is empty, longer than 64 characters, or has another character than `[A-Za-z0-9._-]`.
    pub fn new(name: &str) -> Result<Self, InvalidQueueName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(InvalidQueueName);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of each of this queue's keys. The braces put all of the keys into one Cluster slot.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("mjq:{{{}}}:", self.0)
    }

    /// The stream for jobs and commands (in).
    #[must_use]
    pub fn jobs_stream(&self) -> String {
        format!("{}jobs", self.prefix())
    }

    /// The stream for events (out).
    #[must_use]
    pub fn events_stream(&self) -> String {
        format!("{}events", self.prefix())
    }

    /// The stream that progress comes out of, where workers publish it.
    #[must_use]
    pub fn progress_stream(&self) -> String {
        format!("{}progress", self.prefix())
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// A queue's name was empty, longer than 64 characters, or had a character outside `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue name must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct InvalidQueueName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_has_only_its_characters_and_at_most_128_of_them() {
        for good in ["a", "order-1842", "1700000000000-0", "a.b_c:d-e", &"x".repeat(128)] {
            assert!(JobId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", "a\n", &"x".repeat(129)] {
            assert_eq!(JobId::new(bad), Err(InvalidJobId), "{bad:?}");
        }
    }

    #[test]
    fn a_follow_up_of_the_longest_id_is_still_an_id() {
        let parent = JobId::new(&"x".repeat(128)).unwrap();

        let child = parent.follow_up(3);

        assert_eq!(JobId::new(child.as_str()), Ok(child.clone()));
        assert_eq!(child, parent.follow_up(3));
        assert_ne!(child, parent.follow_up(4));
    }

    #[test]
    fn the_keys_of_a_queue_share_one_hash_tag() {
        assert_eq!(QueueName::default().jobs_stream(), "mjq:{default}:jobs");
        assert_eq!(QueueName::default().events_stream(), "mjq:{default}:events");
        assert_eq!(QueueName::default().progress_stream(), "mjq:{default}:progress");
    }
}
