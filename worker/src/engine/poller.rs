//! The poller: looks at tasks, one by one or, where the upstream lists them, many at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mjq_producer::contract::TaskId;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::poll_budget::PollBudget;
use crate::{
    lifecycle::Observation,
    upstream::{Batch, Upstream},
};

/// Where looks are asked for. Clones share the batches.
#[derive(Debug, Clone)]
pub(super) struct Poller {
    upstream: Upstream,
    asks: Option<mpsc::UnboundedSender<Ask>>,
    lists: ListSupport,
    budget: PollBudget,
}

/// Whether polls are made by lists at present; the claimer spends the poll budget accordingly.
#[derive(Debug, Clone, Default)]
pub(super) struct ListSupport(Arc<AtomicBool>);

/// Gathers asks and makes lists of them.
#[derive(Debug)]
pub(super) struct Lister {
    upstream: Upstream,
    asks: mpsc::UnboundedReceiver<Ask>,
    lists: ListSupport,
    budget: PollBudget,
}

type Ask = (TaskId, oneshot::Sender<Observation>);

impl ListSupport {
    /// Polls that one request carries. The family sets no limit; relays ask for all that are open.
    pub(super) const BATCH: u32 = 100;

    /// How many polls one request carries at present.
    pub(super) fn polls_per_request(&self) -> u32 {
        if self.0.load(Ordering::Relaxed) { Self::BATCH } else { 1 }
    }
}

impl Poller {
    /// Makes a poller, and the lister that it needs if the upstream lists tasks.
    pub(super) fn new(upstream: Upstream, has_lists: bool, budget: PollBudget) -> (Self, Option<Lister>) {
        let lists = ListSupport(Arc::new(AtomicBool::new(has_lists)));
        if !has_lists {
            return (Self { upstream, asks: None, lists, budget }, None);
        }
        let (sender, asks) = mpsc::unbounded_channel();
        let lister = Lister { upstream: upstream.clone(), asks, lists: lists.clone(), budget: budget.clone() };
        (Self { upstream, asks: Some(sender), lists, budget }, Some(lister))
    }

    /// Whether polls are made by lists at present.
    pub(super) fn lists(&self) -> ListSupport {
        self.lists.clone()
    }

    /// The budget that looks come out of.
    pub(super) fn budget(&self) -> &PollBudget {
        &self.budget
    }

    /// Whether a look that is made alone has its place under the rate, or has got one: by its claim it has one if it
    /// `has_place`, but where lists are the rule, that is for many looks.
    pub(super) async fn may_look_alone(&self, has_place: bool) -> bool {
        (has_place && self.lists.polls_per_request() == 1) || self.budget.spend().await
    }

    /// Looks at one task. `alone` asks for a look that no list can answer.
    ///
    /// [`Observation::NotBegun`] when the poll rate has no room, or when lists have just turned out not
    /// to work: one by one, all these looks at once would break the rate.
    pub(super) async fn look(&self, task: &TaskId, alone: bool, has_place: bool) -> Observation {
        let asks = self.asks.as_ref().filter(|_| !alone && self.lists.0.load(Ordering::Relaxed));
        let Some(asks) = asks else {
            if !self.may_look_alone(has_place).await {
                return Observation::NotBegun;
            }
            // Boxed: where lists are the rule, no step has to keep room for an exchange of its own.
            return Box::pin(self.upstream.fetch(task)).await;
        };
        let (answer, answered) = oneshot::channel();
        if asks.send((task.clone(), answer)).is_err() {
            return Observation::NotBegun;
        }
        answered.await.unwrap_or(Observation::NotBegun)
    }
}

impl Lister {
    /// Asks of one claim come within this time.
    const GATHER: Duration = Duration::from_millis(3);
    /// How long single polls are made after lists turned out not to work.
    const TRY_AGAIN: Duration = Duration::from_secs(300);

    /// Makes lists until nobody is left to ask.
    pub(super) async fn run(mut self) {
        let mut batch: Vec<Ask> = Vec::new();
        while self.asks.recv_many(&mut batch, ListSupport::BATCH as usize).await > 0 {
            tokio::time::sleep(Self::GATHER).await;
            while batch.len() < ListSupport::BATCH as usize {
                let Ok(ask) = self.asks.try_recv() else { break };
                batch.push(ask);
            }
            let asks = std::mem::take(&mut batch);
            tokio::spawn(list(self.upstream.clone(), self.lists.clone(), self.budget.clone(), asks));
        }
    }
}

async fn list(upstream: Upstream, lists: ListSupport, budget: PollBudget, mut asks: Vec<Ask>) {
    if !budget.spend().await {
        // Whose answer does not come has not been looked at.
        return;
    }
    let tasks: Vec<TaskId> = asks.iter().map(|(task, _)| task.clone()).collect();
    let mut batch = upstream.fetch_many(&tasks).await;
    if let Batch::Unsupported(reason) = &batch
        && lists.0.swap(false, Ordering::Relaxed)
    {
        warn!("the upstream does not list tasks ({reason}): polling one by one for five minutes");
        tokio::spawn(async move {
            tokio::time::sleep(Lister::TRY_AGAIN).await;
            lists.0.store(true, Ordering::Relaxed);
        });
    }
    while let Some((task, answer)) = asks.pop() {
        // Two jobs have one task where the upstream took the second for a repetition of the first (code 21).
        let is_asked_again = asks.iter().any(|(other, _)| *other == task);
        let seen = match &mut batch {
            // A task that the list leaves out is not known to it; the next look is made alone.
            Batch::Seen(seen) if is_asked_again => seen.get(&task).cloned().unwrap_or(Observation::Missing),
            Batch::Seen(seen) => seen.remove(&task).unwrap_or(Observation::Missing),
            Batch::Unsupported(_) => Observation::NotBegun,
            Batch::Failed(seen) => seen.clone(),
        };
        // A step that was timed out no longer waits.
        let _ = answer.send(seen);
    }
}
