//! The books of a run: what producers asked for and what consumers were told, as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::history::{Asked, Bounds};

/// Shared by all who enqueue, consume or watch.
#[derive(Default)]
pub(crate) struct Books(Mutex<Pages>);

/// What the books hold.
#[derive(Default)]
pub(crate) struct Pages {
    /// Each job that was asked for, by id.
    pub(crate) jobs: BTreeMap<String, Asked>,
    /// What has to be rejected, by id and code.
    pub(crate) rejections: BTreeMap<(String, &'static str), Bounds>,
    /// What consumers dealt with: the job, by stream entry.
    pub(crate) received: BTreeMap<String, String>,
    /// Jobs that have ended, as far as consumers were told.
    pub(crate) ended: BTreeSet<String>,
    /// Jobs that have ended with a result.
    pub(crate) completed: Vec<String>,
    /// How often each fault was made.
    pub(crate) faults: BTreeMap<&'static str, u32>,
    /// When the last worker was killed, Unix milliseconds.
    pub(crate) last_kill_ms: u64,
    /// When arrivals upstream could not be timed, from and to, Unix milliseconds.
    pub(crate) untimed_ms: Vec<(u64, u64)>,
    /// Events that left the stream before they reached a consumer, and whom they were about.
    pub(crate) vanished: BTreeMap<String, String>,
    /// How long workers took to end when they were asked to.
    pub(crate) exits_ms: Vec<u64>,
}

impl Books {
    /// Opens the books for a moment.
    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a fault was made.
    pub(crate) fn note_fault(&self, name: &'static str) {
        *self.open().faults.entry(name).or_default() += 1;
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
