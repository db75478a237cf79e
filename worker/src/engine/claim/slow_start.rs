//! The slow start: limits how many submits this pod leaves unanswered at once.
//!
//! When an upstream begins to lose answers, each submit that is under way may be a charge without a result. So a pod
//! that has heard nothing for a while sends a few submits and waits. Each answer, even a refusal, allows one more, so
//! that each round trip doubles their number; each lost answer allows one less. Answers that open the breaker change
//! nothing here: the breaker, which all pods share, then stops the submits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use crate::{engine::alarm::Alarm, lifecycle::Pressure};

/// The submits of this pod that have no answer yet, and how many of them there may be. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SlowStart {
    state: Arc<Mutex<State>>,
    /// The claimer's alarm.
    alarm: Alarm,
}

#[derive(Debug)]
struct State {
    /// How many unanswered submits there may be now.
    window: usize,
    /// How many unanswered submits there are.
    unanswered: usize,
    /// When a submit was last answered.
    heard: Instant,
    /// The largest window: the number of slots.
    most: usize,
    /// Whether further submits may have had to wait, so that an answer is worth a claim.
    is_full: bool,
}

/// A submit without an answer yet. Dropped when the answer is here, or will never come.
#[derive(Debug)]
pub(crate) struct Unanswered(SlowStart);

impl SlowStart {
    /// The window that a pod begins with.
    const FIRST: usize = 16;
    /// The smallest window: one submit that hangs must not hold up all others.
    const LEAST: usize = 4;
    /// After so long without an answer, a larger window counts as outdated and shrinks to `FIRST`.
    const FORGOTTEN: Duration = Duration::from_secs(60);

    /// The slow start of a pod with this many `slots`; answers may wake the claimer through `alarm`.
    pub(crate) fn new(slots: usize, alarm: Alarm) -> Self {
        let window = Self::FIRST.min(slots);
        let state = State { window, unanswered: 0, heard: Instant::now(), most: slots, is_full: false };
        Self { state: Arc::new(Mutex::new(state)), alarm }
    }

    /// How many more submits may begin now.
    pub(crate) fn room(&self) -> usize {
        let mut state = self.state();
        if state.heard.elapsed() > Self::FORGOTTEN {
            state.window = state.window.min(Self::FIRST);
        }
        let room = state.window.saturating_sub(state.unanswered);
        state.is_full = room == 0;
        room
    }

    /// Notes that a submit begins.
    pub(crate) fn begin(&self) -> Unanswered {
        let mut state = self.state();
        state.unanswered += 1;
        state.is_full = state.unanswered >= state.window;
        Unanswered(self.clone())
    }

    /// Adjusts the window by what a step showed of the upstream.
    pub(crate) fn note(&self, pressure: Pressure) {
        let mut state = self.state();
        match pressure {
            Pressure::Accepted | Pressure::Up | Pressure::Found | Pressure::Saturated(_) => {
                state.window = (state.window + 1).min(state.most);
                state.heard = Instant::now();
            }
            Pressure::Lost { .. } => state.window = state.window.saturating_sub(1).max(Self::LEAST.min(state.most)),
            // No submit was sent, or the upstream is not there, or the breaker opens at once.
            Pressure::None
            | Pressure::Unsent { .. }
            | Pressure::Throttled(_)
            | Pressure::Down { .. }
            | Pressure::Away { .. }
            | Pressure::Misaddressed { .. } => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unanswered -= 1;
        if state.is_full {
            self.0.alarm.ring_within(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Pressure = Pressure::Lost { claimed_ms: 1 };

    fn slow_start() -> SlowStart {
        SlowStart::new(1000, Alarm::new(Duration::from_secs(1)))
    }

    /// Sends as many submits as are allowed, all with the result `pressure`. Returns how many.
    fn round_trip(slow_start: &SlowStart, pressure: Pressure) -> usize {
        let sent: Vec<_> = (0..slow_start.room()).map(|_| slow_start.begin()).collect();
        assert_eq!(slow_start.room(), 0);
        sent.iter().for_each(|_| slow_start.note(pressure));
        sent.len()
    }

    #[tokio::test(start_paused = true)]
    async fn each_round_trip_of_answers_doubles_what_is_sent() {
        let slow_start = slow_start();

        let sent: Vec<usize> = (0..5).map(|_| round_trip(&slow_start, Pressure::Accepted)).collect();

        assert_eq!(sent, [16, 32, 64, 128, 256]);
        assert_eq!(round_trip(&slow_start, Pressure::Saturated(Duration::ZERO)), 512, "a refusal is an answer");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_answers_nothing_gets_few() {
        let slow_start = slow_start();

        let sent: Vec<usize> = (0..4).map(|_| round_trip(&slow_start, LOST)).collect();

        assert_eq!(sent, [16, 4, 4, 4]);
        round_trip(&slow_start, Pressure::Accepted);
        assert_eq!(round_trip(&slow_start, Pressure::Accepted), 8, "it is trusted again as it answers");
    }

    #[tokio::test(start_paused = true)]
    async fn a_third_of_lost_answers_slows_nobody_down() {
        let slow_start = slow_start();
        for pressure in [LOST, Pressure::Accepted, Pressure::Accepted].into_iter().cycle().take(900) {
            slow_start.note(pressure);
        }

        assert!(slow_start.room() > 256, "{}", slow_start.room());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_silence_it_begins_anew() {
        let slow_start = slow_start();
        (0..1000).for_each(|_| slow_start.note(Pressure::Accepted));
        assert_eq!(slow_start.room(), 1000, "never more than the slots");

        tokio::time::advance(SlowStart::FORGOTTEN * 2).await;

        assert_eq!(slow_start.room(), SlowStart::FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_brings_the_claimer_back_only_where_submits_may_wait_for_it() {
        let alarm = Alarm::new(Duration::from_secs(1));
        let slow_start = SlowStart::new(1000, alarm.clone());
        let rings_after = async |submits: usize| {
            let sent: Vec<_> = (0..submits).map(|_| slow_start.begin()).collect();
            alarm.wind();
            drop(sent);
            let began = Instant::now();
            alarm.rung().await;
            began.elapsed()
        };

        assert!(rings_after(SlowStart::FIRST - 1).await >= Duration::from_secs(1));
        assert!(rings_after(SlowStart::FIRST).await < Duration::from_millis(100));
    }
}
