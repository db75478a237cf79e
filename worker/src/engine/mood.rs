//! The mood: says in the log when the upstream stops taking jobs, why, and when it takes them again.
//!
//! Limits and breaker are in Redis, and show as metrics. Whoever has none reads it here, on the pod that met it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::lifecycle::Pressure;

/// What this pod has lately heard of the upstream as a whole.
#[derive(Debug, Default)]
pub(super) struct Mood(Mutex<Option<Trouble>>);

/// Trouble since the last good answer: a job was taken, or refused for what it is.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    /// When it was last told, and as what.
    told: Option<(Instant, &'static str)>,
    /// Submits whose answer was lost.
    lost: u32,
}

impl Mood {
    /// While it goes on it is told again so often.
    const AGAIN: Duration = Duration::from_secs(60);
    /// At its limit an upstream refuses some and takes others all the time: only what lasts is worth a word.
    const LASTING: Duration = Duration::from_secs(30);
    /// Relays lose an answer now and then.
    const MANY_LOST: u32 = 10;

    /// Takes note of what a step told, for this `reason`.
    pub(super) fn note(&self, pressure: Pressure, reason: &str) {
        let mut mood = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, patience) = match pressure {
            Pressure::None | Pressure::Unsent(_) | Pressure::Throttled(_) => return,
            Pressure::Accepted | Pressure::Up => {
                if let Some(Trouble { since, told: Some((_, what)), .. }) = mood.take() {
                    let seconds = since.elapsed().as_secs();
                    info!(seconds, "the upstream, which {what}, answers as it should again after {seconds} s");
                }
                return;
            }
            Pressure::Down => ("does not let us in", Duration::ZERO),
            Pressure::Away => ("cannot be reached", Duration::ZERO),
            Pressure::Lost => ("leaves submits unanswered", Duration::ZERO),
            Pressure::Saturated(_) => ("takes no more", Self::LASTING),
        };
        let trouble = mood.get_or_insert_with(|| Trouble { since: Instant::now(), told: None, lost: 0 });
        trouble.lost += u32::from(pressure == Pressure::Lost);
        let is_much = pressure != Pressure::Lost || trouble.lost >= Self::MANY_LOST;
        let is_news = trouble.told.is_none_or(|(at, _)| at.elapsed() >= Self::AGAIN);
        if is_much && is_news && trouble.since.elapsed() >= patience {
            trouble.told = Some((Instant::now(), what));
            warn!("the upstream {what}; submits wait, and some are tried: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was last told.
    fn told(mood: &Mood) -> Option<&'static str> {
        mood.0.lock().unwrap().as_ref()?.told.map(|(_, what)| what)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_told_at_once_and_forgotten_when_a_job_is_taken() {
        let mood = Mood::default();

        mood.note(Pressure::Down, "HTTP 401");
        assert_eq!(told(&mood), Some("does not let us in"));

        mood.note(Pressure::Unsent(1), "");
        assert_eq!(told(&mood), Some("does not let us in"), "that says nothing of it");
        mood.note(Pressure::Accepted, "");
        assert_eq!(told(&mood), None);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_told_only_where_nothing_is_taken_for_long() {
        let mood = Mood::default();
        for _ in 0..100 {
            mood.note(Pressure::Saturated(Duration::ZERO), "code 23");
            mood.note(Pressure::Accepted, "");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        mood.note(Pressure::Saturated(Duration::ZERO), "code 23");
        assert_eq!(told(&mood), None);

        tokio::time::advance(Mood::LASTING).await;
        mood.note(Pressure::Saturated(Duration::ZERO), "code 23");

        assert_eq!(told(&mood), Some("takes no more"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_is_told_with_its_job_and_many_are_told_of_the_upstream() {
        let mood = Mood::default();

        for lost in 1..=Mood::MANY_LOST {
            assert_eq!(told(&mood), None, "{lost}");
            mood.note(Pressure::Lost, "no answer in time");
        }

        assert_eq!(told(&mood), Some("leaves submits unanswered"));
    }
}
