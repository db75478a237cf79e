//! The poller: looks at tasks, one by one or, where the upstream lists them, many at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use mjq_producer::contract::TaskId;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::{gather::gather, poll_budget::PollBudget, strangers::Strangers};
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
    strangers: Arc<Strangers>,
}

/// Whether polls are made by lists at present; the claimer spends the poll budget accordingly.
#[derive(Debug, Clone, Default)]
pub(super) struct ListSupport(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    are_made: AtomicBool,
    /// Lists in a row that failed where a look at one of their tasks did not.
    failures: AtomicU32,
    /// Ends in a row of which a look at the task told no more than the list had.
    no_news: AtomicU32,
}

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

    /// How long single polls are made after lists turned out not to work.
    const TRY_AGAIN: Duration = Duration::from_secs(300);
    /// As many lists in a row that fail where looks at single tasks do not, and lists do not work here.
    const MAX_FAILURES: u32 = 3;

    fn new(are_made: bool) -> Self {
        Self(Arc::new(Lists { are_made: AtomicBool::new(are_made), ..Lists::default() }))
    }

    fn are_made(&self) -> bool {
        self.0.are_made.load(Ordering::Relaxed)
    }

    /// How many polls one request carries at present.
    pub(super) fn polls_per_request(&self) -> u32 {
        if self.are_made() { Self::BATCH } else { 1 }
    }

    /// Whether an end that a list shows without its buttons or its reason is worth a look of its own. Some lists are
    /// slimmer than what they are a list of; and some upstreams have no buttons at all.
    fn may_be_slim(&self, seen: &Observation) -> bool {
        /// After so many looks in vain, only one in as many is made.
        const ENOUGH: u32 = 8;
        match seen {
            Observation::TaskFailed(report, _) => report.fail_reason.is_empty(),
            Observation::Succeeded(report) if report.buttons.is_none() => {
                let in_vain = self.0.no_news.fetch_add(1, Ordering::Relaxed);
                in_vain < ENOUGH || in_vain.is_multiple_of(ENOUGH)
            }
            _ => false,
        }
    }

    /// Takes note that a look at an ended task told more than the list had.
    fn was_slim(&self) {
        self.0.no_news.store(0, Ordering::Relaxed);
    }

    /// Takes note that a list worked.
    fn worked(&self) {
        self.0.failures.store(0, Ordering::Relaxed);
    }

    /// Takes note that a list failed where a look at one of its tasks did not.
    fn failed(&self, reason: &str) {
        if self.0.failures.fetch_add(1, Ordering::Relaxed) + 1 >= Self::MAX_FAILURES {
            self.give_up(reason);
        }
    }

    /// Makes single polls for a while.
    fn give_up(&self, reason: &str) {
        self.worked();
        if self.0.are_made.swap(false, Ordering::Relaxed) {
            warn!("the upstream does not list tasks ({reason}): polling one by one for five minutes");
            let lists = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Self::TRY_AGAIN).await;
                lists.0.are_made.store(true, Ordering::Relaxed);
            });
        }
    }
}

impl Poller {
    /// Makes a poller, and the lister that it needs if the upstream lists tasks.
    pub(super) fn new(upstream: Upstream, has_lists: bool, budget: PollBudget) -> (Self, Option<Lister>) {
        let (lists, strangers) = (ListSupport::new(has_lists), Arc::default());
        if !has_lists {
            return (Self { upstream, asks: None, lists, budget, strangers }, None);
        }
        let (sender, asks) = mpsc::unbounded_channel();
        let lister = Lister { upstream: upstream.clone(), asks, lists: lists.clone(), budget: budget.clone() };
        (Self { upstream, asks: Some(sender), lists, budget, strangers }, Some(lister))
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
        self.strangers.sift(task, self.seen(task, alone, has_place).await)
    }

    async fn seen(&self, task: &TaskId, alone: bool, has_place: bool) -> Observation {
        let asks = self.asks.as_ref().filter(|_| !alone && self.lists.are_made());
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

    /// Makes lists until nobody is left to ask.
    pub(super) async fn run(mut self) {
        loop {
            let asks = gather(&mut self.asks, ListSupport::BATCH as usize, Self::GATHER).await;
            if asks.is_empty() {
                break;
            }
            tokio::spawn(list(self.upstream.clone(), self.lists.clone(), self.budget.clone(), asks));
        }
    }
}

/// Looks at the last of the tasks alone, and says what was seen; `None` when the rate has no room for it.
async fn look_at_last(upstream: &Upstream, budget: &PollBudget, asks: &mut Vec<Ask>) -> Option<Observation> {
    if asks.is_empty() || !budget.spend().await {
        return None;
    }
    let (task, answer) = asks.pop()?;
    let seen = upstream.fetch(&task).await;
    // A step that was timed out no longer waits.
    let _ = answer.send(seen.clone());
    Some(seen)
}

async fn list(upstream: Upstream, lists: ListSupport, budget: PollBudget, mut asks: Vec<Ask>) {
    if !budget.spend().await {
        // Whose answer does not come has not been looked at.
        return;
    }
    let tasks: Vec<TaskId> = asks.iter().map(|(task, _)| task.clone()).collect();
    let mut batch = upstream.fetch_many(&tasks).await;
    match &batch {
        Batch::Seen(_) => lists.worked(),
        Batch::Unsupported(reason) => lists.give_up(reason),
        Batch::Failed(failure) => {
            // It may be the upstream that is down, or only its lists: one of the tasks will tell.
            let seen = look_at_last(&upstream, &budget, &mut asks).await;
            if seen.is_some_and(|seen| !matches!(seen.without_stranger(), Observation::NoVerdict { .. })) {
                lists.failed(failure.reason());
            }
        }
    }
    while let Some((task, answer)) = asks.pop() {
        // Two jobs have one task where the upstream took the second for a repetition of the first (code 21).
        let is_asked_again = asks.iter().any(|(other, _)| *other == task);
        let seen = match &mut batch {
            // What a list leaves out counts as missing once, so that the next look at it is made alone.
            Batch::Seen(seen) if is_asked_again => seen.get(&task).cloned().unwrap_or(Observation::Missing),
            Batch::Seen(seen) => seen.remove(&task).unwrap_or(Observation::Missing),
            Batch::Unsupported(_) => Observation::NotBegun,
            Batch::Failed(seen) => seen.clone(),
        };
        if lists.may_be_slim(&seen) {
            tokio::spawn(look_closer(upstream.clone(), lists.clone(), budget.clone(), (task, answer), seen));
            continue;
        }
        // A step that was timed out no longer waits.
        let _ = answer.send(seen);
    }
}

/// Looks once more, alone, at a task that a list has shown to have ended, for what the list may have left out.
async fn look_closer(upstream: Upstream, lists: ListSupport, budget: PollBudget, ask: Ask, listed: Observation) {
    let (task, answer) = ask;
    let seen = if budget.spend().await { Some(upstream.fetch(&task).await) } else { None };
    let seen = match seen {
        Some(Observation::Succeeded(report)) if report.buttons.is_some() => {
            lists.was_slim();
            Observation::Succeeded(report)
        }
        Some(seen @ Observation::TaskFailed(..)) => seen,
        _ => listed,
    };
    let _ = answer.send(seen);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, http::StatusCode, response::IntoResponse, routing};
    use mjq_producer::RedisLink;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        ledger::{Ledger, Rate},
        upstream::UpstreamSettings,
    };

    /// A poller of an upstream that answers lists with this, and each task with this text; no rate.
    async fn a_poller(
        list: impl IntoResponse + Clone + Send + Sync + 'static,
        task: &'static str,
    ) -> anyhow::Result<Poller> {
        let routes = Router::new()
            .route("/mj/task/list-by-condition", routing::post(move || async move { list }))
            .route("/mj/task/{id}/fetch", routing::get(move || async move { task }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?).parse()?;
        tokio::spawn(axum::serve(listener, routes).into_future());
        let list_path = Some("/mj/task/list-by-condition".to_owned());
        let upstream = Upstream::new(&UpstreamSettings { list_path, ..UpstreamSettings::new(base) })?;
        let link = RedisLink::open("redis://127.0.0.1:1/")?;
        let ledger = Ledger::new(link, "default".parse()?, Duration::from_secs(60), CancellationToken::new());
        let (poller, lister) = Poller::new(upstream, true, PollBudget::new(ledger, Rate::per_second(0.0)));
        tokio::spawn(lister.unwrap().run());
        Ok(poller)
    }

    #[tokio::test]
    async fn lists_that_fail_where_single_looks_do_not_are_given_up() -> anyhow::Result<()> {
        for status in [500, 401, 403, 429] {
            let poller = a_poller(StatusCode::from_u16(status)?, r#"{"status":"IN_PROGRESS"}"#).await?;

            for look in 0..ListSupport::MAX_FAILURES {
                assert!(poller.lists().are_made(), "{status}: given up after {look}");
                let seen = poller.look(&TaskId::new("7"), false, true).await;
                assert!(matches!(seen, Observation::Running(_)), "{status}: the look is made all the same: {seen:?}");
            }

            assert!(!poller.lists().are_made(), "{status}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn lists_of_an_upstream_that_is_down_are_not_given_up() -> anyhow::Result<()> {
        let poller = a_poller(StatusCode::BAD_GATEWAY, "<html>").await?;

        for _ in 0..2 * ListSupport::MAX_FAILURES {
            let seen = poller.look(&TaskId::new("7"), false, true).await;
            assert!(matches!(seen, Observation::NoVerdict { .. }), "{seen:?}");
        }

        assert!(poller.lists().are_made());
        Ok(())
    }

    #[tokio::test]
    async fn what_a_slim_list_leaves_out_of_an_end_is_looked_up() -> anyhow::Result<()> {
        for (listed, task, told) in [
            (
                r#"[{"id":"7","status":"SUCCESS","imageUrl":"u"}]"#,
                r#"{"id":"7","status":"SUCCESS","imageUrl":"u","buttons":[{"customId":"x"}]}"#,
                true,
            ),
            (
                r#"[{"id":"7","status":"FAILURE","progress":""}]"#,
                r#"{"id":"7","status":"FAILURE","failReason":"banned"}"#,
                true,
            ),
            (r#"[{"id":"7","status":"SUCCESS","imageUrl":"u"}]"#, r#"{"id":"7","status":"IN_PROGRESS"}"#, false),
            (r#"[{"id":"7","status":"FAILURE","progress":""}]"#, "<html>", false),
        ] {
            let poller = a_poller(listed, task).await?;

            let seen = poller.look(&TaskId::new("7"), false, true).await;

            let (Observation::Succeeded(report) | Observation::TaskFailed(report, _)) = &seen else {
                panic!("{listed}: {seen:?}")
            };
            assert_eq!(report.buttons.is_some() || !report.fail_reason.is_empty(), told, "{listed}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_upstream_without_buttons_is_seldom_asked_for_them() -> anyhow::Result<()> {
        let lists = ListSupport::new(true);
        let seen = Observation::Succeeded(crate::lifecycle::TaskReport::default());

        let looks = (0..100).filter(|_| lists.may_be_slim(&seen)).count();

        assert!((8..=20).contains(&looks), "{looks}");
        Ok(())
    }
}
