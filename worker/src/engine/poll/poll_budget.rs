//! The poll budget, for polls by lists: tells which requests have a place under the rate.
//!
//! A claim asks for one place for each list that its polls would fill. The polls seldom fit so well: some come too late
//! for the list, some have to be made alone. Each request beyond the planned ones asks for a place of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::Place;
use crate::ledger::{Ledger, Rate, RateKind};

/// The unspent places of this pod's poll requests. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct PollBudget {
    ledger: Ledger,
    rate: Rate,
    prepaid: Arc<Mutex<VecDeque<Instant>>>,
}

impl PollBudget {
    /// Makes a budget without any places.
    pub(crate) fn new(ledger: Ledger, rate: Rate) -> Self {
        Self { ledger, rate, prepaid: Arc::default() }
    }

    /// Adds the places that a claim was granted, which last until `until`.
    pub(crate) fn prepay(&self, requests: usize, until: Instant) {
        self.prepaid().extend(std::iter::repeat_n(until, requests));
    }

    /// Spends a place for one request, or waits for a new place; says whether the request may go out.
    pub(crate) async fn spend(&self) -> bool {
        let has_place = self.rate.count == 0 || self.prepaid().pop_front().is_some();
        // Boxed: the wait is rare, and unboxed every poll would have to keep room for it.
        has_place || Box::pin(Place::default().renew(&self.ledger, RateKind::Poll, self.rate)).await
    }

    /// The places that have not expired.
    fn prepaid(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        let mut prepaid = self.prepaid.lock().unwrap_or_else(PoisonError::into_inner);
        prepaid.retain(|until| Instant::now() < *until);
        prepaid
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::RedisLink;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const RATE: f64 = 5.0;

    /// A budget whose Redis is away and is not waited for: it has only the places that it is given.
    fn a_budget_alone(rate: f64) -> PollBudget {
        let link = RedisLink::open("redis://127.0.0.1:1/").unwrap();
        let abandon = CancellationToken::new();
        abandon.cancel();
        let ledger = Ledger::new(link, "default".parse().unwrap(), Duration::from_secs(60), abandon);
        PollBudget::new(ledger, Rate::per_second(rate))
    }

    async fn a_budget_with_redis() -> anyhow::Result<PollBudget> {
        let redis = mjq_harness::shared_redis().await?;
        let (link, queue) = (RedisLink::open(redis.url())?, mjq_harness::unique_queue().parse()?);
        let ledger = Ledger::new(link, queue, Duration::from_secs(60), CancellationToken::new());
        Ok(PollBudget::new(ledger, Rate::per_second(RATE)))
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_every_request_may_go_out() {
        let budget = a_budget_alone(0.0);

        assert!(budget.spend().await && budget.spend().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_a_claim_was_granted_is_spent_once() {
        let budget = a_budget_alone(RATE);

        budget.prepay(2, Instant::now() + Rate::FRESH);

        assert!(budget.spend().await && budget.clone().spend().await, "clones share the places");
        assert!(!budget.spend().await, "both are spent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_lost_when_its_request_would_come_too_late() {
        let budget = a_budget_alone(RATE);
        budget.prepay(1, Instant::now() + Rate::FRESH);
        tokio::time::advance(Rate::FRESH / 2).await;
        budget.prepay(1, Instant::now() + Rate::FRESH);

        tokio::time::advance(Rate::FRESH / 2 + Duration::from_millis(1)).await;

        assert!(budget.spend().await, "the later one is fresh");
        assert!(!budget.spend().await, "the earlier one may be somebody else's by now");
    }

    #[tokio::test]
    async fn requests_that_no_claim_has_planned_get_no_more_places_than_the_rate_has() -> anyhow::Result<()> {
        let budget = a_budget_with_redis().await?;
        let began = Instant::now();

        let mut spending = tokio::task::JoinSet::new();
        for _ in 0..2 * RATE as usize {
            let budget = budget.clone();
            spending.spawn(async move { (budget.spend().await, began.elapsed()) });
        }
        let spent = spending.join_all().await;

        let at_once = spent.iter().filter(|(may, after)| *may && *after < Rate::per_second(RATE).window).count();
        assert_eq!(at_once, RATE as usize, "{spent:?}");
        assert!(spent.iter().any(|(may, _)| !may), "none waits for longer than a second: {spent:?}");
        Ok(())
    }
}
