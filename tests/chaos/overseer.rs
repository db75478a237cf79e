//! The overseer: watches, while things break, what must hold at any time, and stops the run as soon as it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::books::Books;
use crate::checker::{Violation, check_online};
use crate::collect;
use crate::history::History;
use crate::world::World;

/// How often it looks.
const GLANCE: Duration = Duration::from_secs(1);
/// How many of the events that no consumer has dealt with are looked for in the stream at once.
const OLDEST: usize = 50;

/// Watches until the run stops, or stops it and says why.
pub(crate) async fn watch(world: Arc<World>, books: Arc<Books>, stop: watch::Sender<bool>) -> Vec<Violation> {
    let mut stopping = stop.subscribe();
    let mut history = History::default();
    while tokio::time::timeout(GLANCE, stopping.wait_for(|stop| *stop)).await.is_err() {
        // Redis is away now and then: the next glance sees what this one missed.
        let glance = tokio::time::timeout(Duration::from_secs(5), look(&world, &books, &mut history)).await;
        if let Ok(Ok(())) = glance {
            let violations = check_online(&history);
            if !violations.is_empty() {
                stop.send_replace(true);
                return violations;
            }
        }
    }
    Vec::new()
}

/// Brings the history up to date as far as it can be while jobs are under way.
async fn look(world: &World, books: &Books, history: &mut History) -> anyhow::Result<()> {
    let last = history.events.last().map(|event| event.entry.clone());
    for event in world.wire.events_after(last.as_deref()).await? {
        history.events.push(collect::told(&event)?);
    }
    history.creations = world.simulator.lock().await.ledger();
    let billed = history.creations_by_job().into_values().filter(|billed| billed.len() > 1).flatten();
    for task in billed.map(|creation| creation.task.clone()).collect::<Vec<_>>() {
        history.tasks.insert(task.clone(), collect::task(world, &task).await?);
    }
    {
        let pages = books.open();
        history.jobs.clone_from(&pages.jobs);
        history.received.clone_from(&pages.received);
    }
    find_vanished(world, books, history).await
}

/// Looks for the oldest events that no consumer has dealt with: they have to be in the stream.
async fn find_vanished(world: &World, books: &Books, history: &mut History) -> anyhow::Result<()> {
    let unread = history.events.iter().filter(|event| !history.received.contains_key(&event.entry)).take(OLDEST);
    let unread: Vec<_> = unread.map(|event| (event.entry.clone(), event.job.clone())).collect();
    let mut pipe = redis::pipe();
    for (entry, _) in &unread {
        pipe.cmd("XRANGE").arg(world.wire.key("events")).arg(entry).arg(entry);
    }
    if unread.is_empty() {
        return Ok(());
    }
    let found: Vec<Vec<redis::Value>> = pipe.query_async(&mut world.wire.redis().await?).await?;
    let vanished = unread.into_iter().zip(found).filter(|(_, found)| found.is_empty()).map(|(event, _)| event);
    history.vanished.extend(vanished);
    books.open().vanished.clone_from(&history.vanished);
    Ok(())
}
