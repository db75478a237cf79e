//! Whether the upstream lists tasks, as far as its answers tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tracing::warn;

use crate::lifecycle::Observation;

/// Whether polls are made by lists at present; the claimer spends the poll budget accordingly.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListSupport(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    are_made: AtomicBool,
    /// Lists in a row that failed where a look at one of their tasks did not.
    failures: AtomicU32,
    /// Ends without buttons in a row of which no look has told more than the list: it told nothing new, is under way, or was
    /// left out.
    no_news: AtomicU32,
}

impl ListSupport {
    /// Polls that one request carries. The family sets no limit; relays ask for all that are open.
    pub(crate) const BATCH: u32 = 100;

    /// How long single polls are made after lists turned out not to work.
    const TRY_AGAIN: Duration = Duration::from_secs(300);
    /// As many lists in a row that fail where looks at single tasks do not, and lists do not work here.
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

    /// Whether an end that a list shows without its buttons or its reason is worth a look of its own. Some lists are
    /// slimmer than what they are a list of; and some upstreams have no buttons at all.
    pub(crate) fn may_be_slim(&self, seen: &Observation) -> bool {
        /// After so many looks in vain, only one in as many is made.
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

    /// Takes note of what a list showed, once it is decided whether to look at it alone.
    pub(crate) fn listed(&self, seen: &Observation) {
        if lacks_buttons(seen) {
            self.0.no_news.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes note that what a list showed could not be looked at alone after all.
    pub(crate) fn not_looked_at(&self, seen: &Observation) {
        if lacks_buttons(seen) {
            // Another look may have told more since.
            let less = |in_vain: u32| in_vain.checked_sub(1);
            let _ = self.0.no_news.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Takes note that a look at an ended task told more than the list had.
    pub(crate) fn was_slim(&self) {
        self.0.no_news.store(0, Ordering::Relaxed);
    }

    /// Takes note that a list worked.
    pub(crate) fn worked(&self) {
        self.0.failures.store(0, Ordering::Relaxed);
    }

    /// Takes note that a list failed where a look at one of its tasks did not.
    pub(crate) fn failed(&self, reason: &str) {
        if self.0.failures.fetch_add(1, Ordering::Relaxed) + 1 >= Self::MAX_FAILURES {
            self.give_up(reason);
        }
    }

    /// Makes single polls for a while.
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

        let looks = (0..100).filter(|_| {
            let is_worth_a_look = lists.may_be_slim(&seen);
            lists.listed(&seen);
            is_worth_a_look
        });

        let looks = looks.count();
        assert!((8..=20).contains(&looks), "{looks}");
    }

    #[test]
    fn a_look_that_was_not_made_is_not_in_vain() {
        let (lists, seen) = (ListSupport::new(true), without_buttons());

        for _ in 0..100 {
            assert!(lists.may_be_slim(&seen));
            lists.listed(&seen);
            lists.not_looked_at(&seen);
        }
        lists.listed(&seen);
        lists.was_slim();
        lists.not_looked_at(&seen);

        assert!(lists.may_be_slim(&seen));
    }
}
