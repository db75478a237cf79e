//! The two verdicts that nearly every test ends with: nothing lost or told twice, nothing paid twice.

use std::collections::BTreeMap;

use anyhow::ensure;
use mjq_harness::{Event, Stack};

/// Waits until each of `count` jobs has its event, and checks that none has two; the events by job.
pub(crate) async fn one_event_for_each(stack: &Stack, count: usize) -> anyhow::Result<BTreeMap<String, Event>> {
    stack.wire.first_events(count).await?;
    let events = stack.events().await?;
    let by_job: BTreeMap<String, Event> = events.iter().map(|event| (event.job().to_owned(), event.clone())).collect();
    ensure!(by_job.len() == events.len(), "{} events for {} jobs", events.len(), by_job.len());
    ensure!(by_job.len() == count, "{} jobs have events, expected {count}", by_job.len());
    Ok(by_job)
}

/// Checks the upstream's books: `count` tasks, none made twice, none polled after its end was told.
pub(crate) fn submitted_once(stack: &Stack, count: usize) -> anyhow::Result<()> {
    let stats = stack.simulator.stats();
    ensure!(stats.created_again == 0, "{} jobs were created twice", stats.created_again);
    ensure!(stats.created == count as u64, "{} tasks were created, expected {count}", stats.created);
    ensure!(stats.polls_after_end == 0, "{} polls of tasks that had ended", stats.polls_after_end);
    Ok(())
}
