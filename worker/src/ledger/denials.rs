//! What Redis refuses at present: calls, as long as somebody waits for them, and submits, as long as its memory is
//! full.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What Redis refuses at present.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    calls: BTreeMap<String, Refusal>,
    is_full: bool,
}

/// The calls of one name that are refused.
#[derive(Debug)]
struct Refusal {
    /// How many of these calls somebody waits for.
    calls: usize,
    /// What Redis said last.
    words: String,
}

/// A call that somebody waits for. Dropping it ends its denial: the call was answered, or nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    denials: &'a Denials,
    call: &'a str,
    is_denied: bool,
}

impl Denials {
    /// Registers that somebody waits for a call of this name.
    pub(super) fn wait_for<'a>(&'a self, call: &'a str) -> Waiting<'a> {
        Waiting { denials: self, call, is_denied: false }
    }

    /// Notes whether Redis lacks memory for the writes that precede a submit. Returns whether the memory has just
    /// become full.
    pub(super) fn set_full(&self, is_full: bool) -> bool {
        let was_full = std::mem::replace(&mut self.refused().is_full, is_full);
        is_full && !was_full
    }

    /// Each denial with Redis's words.
    pub(super) fn all(&self) -> Vec<String> {
        let refused = self.refused();
        let calls = refused.calls.iter().map(|(call, Refusal { words, .. })| format!("{call}: {words}"));
        let memory = refused.is_full.then(|| "submit: redis has reached its maxmemory".to_owned());
        calls.chain(memory).collect()
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// Notes that Redis refuses the call.
    pub(super) fn denied(&mut self, words: String) {
        let mut refused = self.denials.refused();
        let refusal = refused.calls.entry(self.call.to_owned()).or_insert(Refusal { calls: 0, words: String::new() });
        refusal.words = words;
        refusal.calls += usize::from(!self.is_denied);
        self.is_denied = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_denied {
            return;
        }
        let mut refused = self.denials.refused();
        if let Some(refusal) = refused.calls.get_mut(self.call) {
            refusal.calls -= 1;
            if refusal.calls == 0 {
                refused.calls.remove(self.call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_nobody_waits_for_is_no_denial() {
        let denials = Denials::default();
        let mut waiting = denials.wait_for("cancel");

        waiting.denied("WRONGTYPE: no string".to_owned());
        waiting.denied("NOPERM: no right".to_owned());
        assert_eq!(denials.all(), ["cancel: NOPERM: no right"]);
        drop(waiting);

        assert_eq!(denials.all(), [""; 0]);
    }

    #[test]
    fn a_call_that_is_answered_hides_no_other_of_its_name() {
        let denials = Denials::default();
        let (mut stuck, mut recovered, answered) =
            (denials.wait_for("settle"), denials.wait_for("settle"), denials.wait_for("settle"));
        stuck.denied("WRONGTYPE: no string".to_owned());
        recovered.denied("WRONGTYPE: no string".to_owned());

        drop(answered);
        drop(recovered);

        assert_eq!(denials.all(), ["settle: WRONGTYPE: no string"]);
        drop(stuck);
        assert_eq!(denials.all(), [""; 0]);
    }

    #[test]
    fn a_full_redis_refuses_submits() {
        let denials = Denials::default();

        assert!(denials.set_full(true) && !denials.set_full(true), "it is news once");
        assert_eq!(denials.all(), ["submit: redis has reached its maxmemory"]);
        assert!(!denials.set_full(false));

        assert_eq!(denials.all(), [""; 0]);
    }
}
