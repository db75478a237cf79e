//! Handles: the counters and histograms of one metric, each looked up once.
//!
//! A look-up makes a key of the metric's name and labels, hashes it and searches the recorder's tables, which takes far
//! longer than to count. So code that counts several times in a step keeps its handles. They stay valid: the recorder
//! is installed once, before there is an engine, and forgets nothing.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

/// The handles `H` of one metric, by the values `L` of its labels.
#[derive(Debug)]
pub(crate) struct Handles<L, H>(RwLock<HashMap<L, H>>);

impl<L: Eq + Hash, H: Clone> Handles<L, H> {
    /// The handle for these labels; the first call for them looks it up with `look_up`.
    pub(crate) fn of(&self, labels: L, look_up: impl FnOnce() -> H) -> H {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels).cloned();
        known.unwrap_or_else(|| {
            let handle = look_up();
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(labels, handle.clone());
            handle
        })
    }
}

impl<L, H> Default for Handles<L, H> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_handle_is_looked_up_once() {
        let (handles, mut look_ups) = (Handles::default(), 0);

        for labels in [("poll", "running"), ("submit", "accepted"), ("poll", "running")] {
            let handle = handles.of(labels, || {
                look_ups += 1;
                labels.1
            });
            assert_eq!(handle, labels.1);
        }

        assert_eq!(look_ups, 2);
    }
}
