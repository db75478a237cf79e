//! Whether the upstream can list tasks, judged by its answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tracing::warn;

use crate::lifecycle::Observation;

/// Whether polls are made by lists at present; the claimer asks for places under the poll rate accordingly.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListSupport(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    are_made: AtomicBool,
    /// Lists in a row that failed although a poll of one of their tasks did not.
    failures: AtomicU32,
    /// Successes without buttons in a row for which no single poll has told more than the list. The poll told nothing
    /// new, is still under way, or was not made.
    no_news: AtomicU32,
}

impl ListSupport {
    /// How many polls one request carries. The family sets no limit; relays ask for all open tasks at once.
    pub(crate) const BATCH: u32 = 100;

    /// How long polls are made one by one after lists turned out not to work.
    const TRY_AGAIN: Duration = Duration::from_secs(300);
    /// After this many lists in a row that fail although single polls do not, the upstream counts as unable to list.
    pub(crate) const MAX_FAILURES: u32 = 3;

    pub(crate) fn new(are_made: bool) -> Self {
        Self(Arc::new(Lists { are_made: AtomicBool::new(are_made), ..Lists::default() }))
    }

    /// Whether polls are made by lists at present.
    pub(crate) fn are_made(&self) -> bool {
        self.0.are_made.load(Ordering::Relaxed)
    }

    /// How many polls one request carries at present.
    pub(crate) fn polls_per_request(&self) -> u32 {
        if self.are_made() { Self::BATCH } else { 1 }
    }

    /// Whether a task that a list shows as ended, without buttons or reason, is worth a single poll. Some lists show
    /// less of a task than a single poll; and some upstreams have no buttons at all.
    pub(crate) fn may_be_slim(&self, seen: &Observation) -> bool {
        /// After this many polls in vain, only one of this many is made.
        const ENOUGH: u32 = 8;
        match seen {
            Observation::TaskFailed(report, _) => report.fail_reason.is_empty(),
            seen if lacks_buttons(seen) => {
                let in_vain = self.0.no_news.load(Ordering::Relaxed);
                in_vain < ENOUGH || in_vain.is_multiple_of(ENOUGH)
            }
            _ => false,
        }
    }

    /// Notes what a list showed. Called after [`Self::may_be_slim`] has decided about a single poll.
    pub(crate) fn listed(&self, seen: &Observation) {
        if lacks_buttons(seen) {
            self.0.no_news.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the single poll of a listed task could not be made.
    pub(crate) fn not_polled_alone(&self, seen: &Observation) {
        if lacks_buttons(seen) {
            // The count may be 0 again, because another poll has told more meanwhile.
            let less = |in_vain: u32| in_vain.checked_sub(1);
            let _ = self.0.no_news.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Notes that a single poll of an ended task told more than the list.
    pub(crate) fn was_slim(&self) {
        self.0.no_news.store(0, Ordering::Relaxed);
    }

    /// Notes that a list worked.
    pub(crate) fn worked(&self) {
        self.0.failures.store(0, Ordering::Relaxed);
    }

    /// Notes that a list failed although a poll of one of its tasks did not.
    pub(crate) fn failed(&self, reason: &str) {
        if self.0.failures.fetch_add(1, Ordering::Relaxed) + 1 >= Self::MAX_FAILURES {
            self.give_up(reason);
        }
    }

    /// Polls one by one for a while.
    pub(crate) fn give_up(&self, reason: &str) {
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

fn lacks_buttons(seen: &Observation) -> bool {
    matches!(seen, Observation::Succeeded(report) if report.buttons.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_buttons() -> Observation {
        Observation::Succeeded(crate::lifecycle::TaskReport::default())
    }

    #[test]
    fn an_upstream_without_buttons_is_seldom_asked_for_them() {
        let lists = ListSupport::new(true);
        let seen = without_buttons();

        let polls = (0..100).filter(|_| {
            let is_worth_a_poll = lists.may_be_slim(&seen);
            lists.listed(&seen);
            is_worth_a_poll
        });

        let polls = polls.count();
        assert!((8..=20).contains(&polls), "{polls}");
    }

    #[test]
    fn a_poll_that_was_not_made_is_not_in_vain() {
        let (lists, seen) = (ListSupport::new(true), without_buttons());

        for _ in 0..100 {
            assert!(lists.may_be_slim(&seen));
            lists.listed(&seen);
            lists.not_polled_alone(&seen);
        }
        lists.listed(&seen);
        lists.was_slim();
        lists.not_polled_alone(&seen);

        assert!(lists.may_be_slim(&seen));
    }
}
