//! The poller: polls tasks, one by one, or many at once if the upstream lists them.

use std::sync::Arc;

use mjq_producer::contract::TaskId;
use tokio::sync::{mpsc, oneshot};

use super::{
    list_support::ListSupport,
    lister::{Ask, Lister},
    poll_budget::PollBudget,
    strangers::Strangers,
};
use crate::{lifecycle::Observation, upstream::Upstream};

/// Takes requests for polls. Clones share the batches.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    upstream: Upstream,
    asks: Option<mpsc::UnboundedSender<Ask>>,
    lists: ListSupport,
    budget: PollBudget,
    strangers: Arc<Strangers>,
}

impl Poller {
    /// Makes a poller, and the lister that it uses if the upstream lists tasks.
    pub(crate) fn new(upstream: Upstream, has_lists: bool, budget: PollBudget) -> (Self, Option<Lister>) {
        let (lists, strangers) = (ListSupport::new(has_lists), Arc::default());
        if !has_lists {
            return (Self { upstream, asks: None, lists, budget, strangers }, None);
        }
        let (sender, asks) = mpsc::unbounded_channel();
        let lister = Lister { upstream: upstream.clone(), asks, lists: lists.clone(), budget: budget.clone() };
        (Self { upstream, asks: Some(sender), lists, budget, strangers }, Some(lister))
    }

    /// Tells whether polls are made by lists at present.
    pub(crate) fn lists(&self) -> ListSupport {
        self.lists.clone()
    }

    /// The budget that polls spend.
    pub(crate) fn budget(&self) -> &PollBudget {
        &self.budget
    }

    /// Whether a single poll may be made now: it has a place under the rate, or has just got one. `has_place` says that
    /// its claim brought a place; if polls are made by lists, however, that place is shared by many polls and does not
    /// count.
    pub(crate) async fn may_poll_alone(&self, has_place: bool) -> bool {
        (has_place && self.lists.polls_per_request() == 1) || self.budget.spend().await
    }

    /// Polls one task. `alone` asks for a single poll instead of a list.
    ///
    /// Returns [`Observation::NotBegun`] when the poll rate has no room, or when lists have just turned out not to
    /// work: made one by one, all these polls at once would exceed the rate.
    pub(crate) async fn poll(&self, task: &TaskId, alone: bool, has_place: bool) -> Observation {
        self.strangers.sift(task, self.seen(task, alone, has_place).await)
    }

    async fn seen(&self, task: &TaskId, alone: bool, has_place: bool) -> Observation {
        let asks = self.asks.as_ref().filter(|_| !alone && self.lists.are_made());
        let Some(asks) = asks else {
            if !self.may_poll_alone(has_place).await {
                return Observation::NotBegun;
            }
            // Boxed, so that steps whose polls go through lists need no room for an exchange.
            return Box::pin(self.upstream.fetch(task)).await;
        };
        let (answer, answered) = oneshot::channel();
        if asks.send((task.clone(), answer)).is_err() {
            return Observation::NotBegun;
        }
        answered.await.unwrap_or(Observation::NotBegun)
    }
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

    /// A poller without a rate, of an upstream that answers lists with `list` and each task with `task`.
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
    async fn lists_that_fail_where_single_polls_do_not_are_given_up() -> anyhow::Result<()> {
        for status in [500, 401, 403, 429] {
            let poller = a_poller(StatusCode::from_u16(status)?, r#"{"status":"IN_PROGRESS"}"#).await?;

            for poll in 0..ListSupport::MAX_FAILURES {
                assert!(poller.lists().are_made(), "{status}: given up after {poll}");
                let seen = poller.poll(&TaskId::new("7"), false, true).await;
                assert!(matches!(seen, Observation::Running(_)), "{status}: the poll is made all the same: {seen:?}");
            }

            assert!(!poller.lists().are_made(), "{status}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn lists_of_an_upstream_that_is_down_are_not_given_up() -> anyhow::Result<()> {
        let poller = a_poller(StatusCode::BAD_GATEWAY, "<html>").await?;

        for _ in 0..2 * ListSupport::MAX_FAILURES {
            let seen = poller.poll(&TaskId::new("7"), false, true).await;
            assert!(matches!(seen, Observation::NoVerdict { .. }), "{seen:?}");
        }

        assert!(poller.lists().are_made());
        Ok(())
    }

    #[tokio::test]
    async fn what_a_slim_list_leaves_out_of_an_end_is_found_by_a_single_poll() -> anyhow::Result<()> {
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

            let seen = poller.poll(&TaskId::new("7"), false, true).await;

            let (Observation::Succeeded(report) | Observation::TaskFailed(report, _)) = &seen else {
                panic!("{listed}: {seen:?}")
            };
            assert_eq!(report.buttons.is_some() || !report.fail_reason.is_empty(), told, "{listed}");
        }
        Ok(())
    }
}
