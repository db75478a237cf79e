//! The lister: gathers polls of tasks into lists, if the upstream can list tasks.

use std::time::Duration;

use mjq_producer::contract::TaskId;
use tokio::sync::{mpsc, oneshot};

use super::{list_support::ListSupport, poll_budget::PollBudget};
use crate::{
    engine::gather::gather,
    lifecycle::Observation,
    upstream::{Batch, Upstream},
};

/// A task to poll, and the channel for the result. A dropped channel means that the poll was not made.
pub(crate) type Ask = (TaskId, oneshot::Sender<Observation>);

/// Gathers asks and sends them as lists.
#[derive(Debug)]
pub(crate) struct Lister {
    pub(crate) upstream: Upstream,
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
    pub(crate) lists: ListSupport,
    pub(crate) budget: PollBudget,
}

impl Lister {
    /// The asks of one claim arrive within this time.
    const GATHER: Duration = Duration::from_millis(3);

    /// Sends lists until all askers are gone.
    pub(crate) async fn run(mut self) {
        loop {
            let asks = gather(&mut self.asks, ListSupport::BATCH as usize, Self::GATHER).await;
            if asks.is_empty() {
                break;
            }
            tokio::spawn(list(self.upstream.clone(), self.lists.clone(), self.budget.clone(), asks));
        }
    }
}

/// Polls the last of the tasks alone, answers its ask, and returns what was seen; `None` when the rate has no room.
async fn poll_last(upstream: &Upstream, budget: &PollBudget, asks: &mut Vec<Ask>) -> Option<Observation> {
    if asks.is_empty() || !budget.spend().await {
        return None;
    }
    let (task, answer) = asks.pop()?;
    let seen = upstream.fetch(&task).await;
    // A step that was timed out no longer waits for the answer.
    let _ = answer.send(seen.clone());
    Some(seen)
}

async fn list(upstream: Upstream, lists: ListSupport, budget: PollBudget, mut asks: Vec<Ask>) {
    if !budget.spend().await {
        // Dropping the asks tells the waiting steps that no poll was made.
        return;
    }
    let tasks: Vec<TaskId> = asks.iter().map(|(task, _)| task.clone()).collect();
    let mut batch = upstream.fetch_many(&tasks).await;
    match &batch {
        Batch::Seen(_) => lists.worked(),
        Batch::Unsupported(reason) => lists.give_up(reason),
        Batch::Failed(failure) => {
            // Either the upstream is down or only its lists fail: a poll of one of the tasks tells which.
            let seen = poll_last(&upstream, &budget, &mut asks).await;
            if seen.is_some_and(|seen| !matches!(seen.without_stranger(), Observation::NoVerdict { .. })) {
                lists.failed(failure.reason());
            }
        }
    }
    while let Some((task, answer)) = asks.pop() {
        // Two jobs share a task if the upstream took the second submit for a repetition of the first (code 21).
        let is_asked_again = asks.iter().any(|(other, _)| *other == task);
        let seen = match &mut batch {
            // A task that the list leaves out counts as missing once, so that the next poll of it is made alone.
            Batch::Seen(seen) if is_asked_again => seen.get(&task).cloned().unwrap_or(Observation::Missing),
            Batch::Seen(seen) => seen.remove(&task).unwrap_or(Observation::Missing),
            Batch::Unsupported(_) => Observation::NotBegun,
            Batch::Failed(seen) => seen.clone(),
        };
        let may_be_slim = lists.may_be_slim(&seen);
        lists.listed(&seen);
        if may_be_slim {
            tokio::spawn(poll_once_more(upstream.clone(), lists.clone(), budget.clone(), (task, answer), seen));
            continue;
        }
        // A step that was timed out no longer waits for the answer.
        let _ = answer.send(seen);
    }
}

/// Polls once more, alone, a task that a list has shown to have ended: the list may have left something out.
async fn poll_once_more(upstream: Upstream, lists: ListSupport, budget: PollBudget, ask: Ask, listed: Observation) {
    let (task, answer) = ask;
    if !budget.spend().await {
        lists.not_polled_alone(&listed);
        let _ = answer.send(listed);
        return;
    }
    let seen = match upstream.fetch(&task).await {
        Observation::Succeeded(report) if report.buttons.is_some() => {
            lists.was_slim();
            Observation::Succeeded(report)
        }
        seen @ Observation::TaskFailed(..) => seen,
        _ => listed,
    };
    let _ = answer.send(seen);
}
