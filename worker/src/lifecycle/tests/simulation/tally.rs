//! The tally: counts what happened, so that a simulation in which nothing happens is noticed.

use std::collections::BTreeMap;

/// How often each thing happened.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(super) fn count(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(times) => *times += 1,
            None => drop(self.0.insert(what.to_owned(), 1)),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub(super) fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}
