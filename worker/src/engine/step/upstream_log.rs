//! The upstream log: says when and why the upstream stops taking jobs or showing tasks, and when it is well again.
//!
//! Limits and breaker are in Redis and show as metrics. This log is for operators without metrics.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::lifecycle::{Observation, Pressure};

/// The troubles of the upstream as a whole, as this pod sees them.
#[derive(Debug, Default)]
pub(crate) struct UpstreamLog {
    submits: Mutex<Option<Trouble>>,
    polls: Mutex<Option<Trouble>>,
}

/// Trouble since the last good answer. A good answer took a job, refused it for its content, or showed a task.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    /// When the trouble was last logged, and as what.
    told: Option<(Instant, &'static str)>,
    /// The number of submits whose answer was lost.
    lost: u32,
}

impl UpstreamLog {
    /// Lasting trouble is logged again after this time.
    const AGAIN: Duration = Duration::from_secs(60);
    /// An upstream at its limit refuses some submits and takes others all the time, so only lasting refusals are
    /// logged.
    const LASTING: Duration = Duration::from_secs(30);
    /// Lost answers are logged from this number on: relays lose an answer now and then.
    const MANY_LOST: u32 = 10;
    /// Polls that tell nothing are logged after this time: each such poll is made again anyway.
    const BLIND: Duration = Duration::from_secs(10);

    /// Notes what a step showed of the upstream's submits; `reason` explains it.
    pub(crate) fn note(&self, pressure: Pressure, reason: &str) {
        let mut trouble = self.submits.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, patience) = match pressure {
            Pressure::None | Pressure::Unsent { .. } | Pressure::Throttled(_) => return,
            Pressure::Accepted | Pressure::Up | Pressure::Found => return Trouble::end(&mut trouble),
            Pressure::Down { .. } => ("does not let us in", Duration::ZERO),
            Pressure::Away { .. } => ("cannot be reached", Duration::ZERO),
            Pressure::Misaddressed { .. } => ("has no such address", Duration::ZERO),
            Pressure::Lost { .. } => ("leaves submits unanswered", Duration::ZERO),
            Pressure::Saturated(_) => ("takes no more", Self::LASTING),
        };
        let trouble = Trouble::go_on(&mut trouble);
        let is_lost = matches!(pressure, Pressure::Lost { .. });
        trouble.lost += u32::from(is_lost);
        let is_much = !is_lost || trouble.lost >= Self::MANY_LOST;
        if is_much && trouble.is_news(what, patience) {
            warn!("the upstream {what}; submits wait, and some are tried: {reason}");
        }
    }

    /// Notes what a poll saw.
    pub(crate) fn note_poll(&self, seen: &Observation) {
        let mut trouble = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = match seen {
            Observation::NoVerdict { .. } | Observation::Stranger { .. } => seen.reason(),
            seen if seen.shows_the_task() || matches!(seen, Observation::Missing) => return Trouble::end(&mut trouble),
            _ => return,
        };
        let what = "tells nothing of its tasks";
        if Trouble::go_on(&mut trouble).is_news(what, Self::BLIND) {
            warn!("the upstream {what}, which are polled again and again: {reason}");
        }
    }
}

impl Trouble {
    fn go_on(trouble: &mut Option<Self>) -> &mut Self {
        trouble.get_or_insert_with(|| Self { since: Instant::now(), told: None, lost: 0 })
    }

    fn end(trouble: &mut Option<Self>) {
        if let Some(Self { since, told: Some((_, what)), .. }) = trouble.take() {
            let seconds = since.elapsed().as_secs();
            info!(seconds, "the upstream, which {what}, answers as it should again after {seconds} s");
        }
    }

    /// Whether the trouble is to be logged now, as `what`: it lasts, and was not logged a moment ago.
    fn is_news(&mut self, what: &'static str, patience: Duration) -> bool {
        let is_news =
            self.told.is_none_or(|(at, _)| at.elapsed() >= UpstreamLog::AGAIN) && self.since.elapsed() >= patience;
        if is_news {
            self.told = Some((Instant::now(), what));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was last logged about submits.
    fn told(upstream_log: &UpstreamLog) -> Option<&'static str> {
        what(&upstream_log.submits)
    }

    fn what(trouble: &Mutex<Option<Trouble>>) -> Option<&'static str> {
        trouble.lock().unwrap().as_ref()?.told.map(|(_, what)| what)
    }

    #[tokio::test(start_paused = true)]
    async fn polls_that_tell_nothing_for_a_while_are_told_until_one_tells_something() {
        let upstream_log = UpstreamLog::default();
        let blind = Observation::NoVerdict { reason: "HTTP 401".to_owned(), retry_after: None };

        upstream_log.note_poll(&blind);
        assert_eq!(what(&upstream_log.polls), None, "one may be a relay's hiccup");
        tokio::time::advance(UpstreamLog::BLIND).await;
        upstream_log.note_poll(&Observation::NotBegun);
        assert_eq!(what(&upstream_log.polls), None, "that was no poll");
        upstream_log.note_poll(&blind);
        assert_eq!(what(&upstream_log.polls), Some("tells nothing of its tasks"));

        upstream_log.note_poll(&Observation::Missing);
        assert_eq!(what(&upstream_log.polls), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_told_at_once_and_forgotten_when_a_job_is_taken() {
        let upstream_log = UpstreamLog::default();

        upstream_log.note(Pressure::Down { claimed_ms: 1 }, "HTTP 401");
        assert_eq!(told(&upstream_log), Some("does not let us in"));

        upstream_log.note(Pressure::Unsent { claimed_ms: 1, place_ms: 1 }, "");
        assert_eq!(told(&upstream_log), Some("does not let us in"), "that says nothing of it");
        upstream_log.note(Pressure::Accepted, "");
        assert_eq!(told(&upstream_log), None);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_told_only_where_nothing_is_taken_for_long() {
        let upstream_log = UpstreamLog::default();
        for _ in 0..100 {
            upstream_log.note(Pressure::Saturated(Duration::ZERO), "code 23");
            upstream_log.note(Pressure::Accepted, "");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        upstream_log.note(Pressure::Saturated(Duration::ZERO), "code 23");
        assert_eq!(told(&upstream_log), None);

        tokio::time::advance(UpstreamLog::LASTING).await;
        upstream_log.note(Pressure::Saturated(Duration::ZERO), "code 23");

        assert_eq!(told(&upstream_log), Some("takes no more"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_is_told_with_its_job_and_many_are_told_of_the_upstream() {
        let upstream_log = UpstreamLog::default();

        for lost in 1..=UpstreamLog::MANY_LOST {
            assert_eq!(told(&upstream_log), None, "{lost}");
            upstream_log.note(Pressure::Lost { claimed_ms: 1 }, "no answer in time");
        }

        assert_eq!(told(&upstream_log), Some("leaves submits unanswered"));
    }
}
