//! The alarm: decides when a loop's next round begins. Any part of the engine may bring that time forward.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// The time of a loop's next round. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Alarm(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    at: Mutex<Instant>,
    max_idle: Duration,
    brought_forward: Notify,
}

impl Alarm {
    /// Makes an alarm that rings at once, and from then on at least once per `max_idle`: another pod may have made work
    /// without this pod hearing of it.
    pub(super) fn new(max_idle: Duration) -> Self {
        Self(Arc::new(Shared { at: Mutex::new(Instant::now()), max_idle, brought_forward: Notify::new() }))
    }

    /// Makes the alarm ring after `delay` at the latest.
    pub(super) fn ring_within(&self, delay: Duration) {
        let wanted = Instant::now() + delay.min(self.0.max_idle);
        let mut at = self.0.at.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted < *at {
            *at = wanted;
            self.0.brought_forward.notify_one();
        }
    }

    /// Resets the alarm to `max_idle`. Called before a round, so that work which comes up during the round rings the
    /// alarm again.
    pub(super) fn wind(&self) {
        *self.0.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.0.max_idle;
    }

    /// Waits until the alarm rings.
    pub(super) async fn rung(&self) {
        loop {
            let at = *self.0.at.lock().unwrap_or_else(PoisonError::into_inner);
            tokio::select! {
                () = tokio::time::sleep_until(at) => return,
                () = self.0.brought_forward.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_the_earliest_time_gets_it() {
        let alarm = Alarm::new(Duration::from_secs(1));
        alarm.wind();
        let began = Instant::now();
        alarm.ring_within(Duration::from_millis(700));
        alarm.ring_within(Duration::from_millis(300));
        alarm.ring_within(Duration::from_millis(500));

        alarm.rung().await;

        assert!((300..310).contains(&began.elapsed().as_millis()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_up_while_it_waits_brings_it_forward() {
        let alarm = Alarm::new(Duration::from_secs(1));
        alarm.wind();
        let began = Instant::now();
        let other = alarm.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.ring_within(Duration::from_millis(50));
        });

        alarm.rung().await;

        assert!((150..160).contains(&began.elapsed().as_millis()));
    }
}
