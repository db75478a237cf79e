//! Questions to the simulator's books.

use anyhow::Context;
use mjq_harness::Stack;
use mjq_simulator::Creation;

/// The first task that was made for a prompt with these words.
pub(crate) fn creation_of(stack: &Stack, words: &str) -> anyhow::Result<Creation> {
    let creation = stack.simulator.ledger().into_iter().find(|creation| creation.prompt.contains(words));
    creation.with_context(|| format!("no task was made for {words:?}"))
}

/// How many requests the upstream turned away for their key.
pub(crate) fn turned_away(stack: &Stack) -> u64 {
    stack.simulator.stats().requests.get("unauthorized").copied().unwrap_or(0)
}
