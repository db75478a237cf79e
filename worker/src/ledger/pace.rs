//! The pace: how long tasks of each class lately ran, and how late polls are, learnt from all pods.

use std::time::Duration;

use redis::{RedisResult, pipe};

use super::Ledger;
use crate::lifecycle::{Pace, PaceClass, Ran};

/// What all pods together know about polls.
#[derive(Debug, Default)]
pub struct PollsAtLarge {
    /// The classes of tasks of which enough is known.
    pub paces: Vec<(PaceClass, Pace)>,
    /// How long the first poll in the lane has been due.
    pub late: Duration,
}

impl Ledger {
    /// Reads what is known about polls. A failed call is not repeated, because the next one comes soon.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn polls_at_large(&self) -> RedisResult<PollsAtLarge> {
        let mut pipeline = pipe();
        let classes = PaceClass::all();
        pipeline.zrange_withscores(self.key("due:poll"), 0, 0);
        for class in &classes {
            pipeline.lrange(self.key(&format!("pace:{class}")), 0, Pace::MAX_SAMPLES as isize - 1);
        }
        type First = Vec<(String, f64)>;
        let mut answers = self.link().pipeline::<Vec<redis::Value>>(&pipeline).await?.into_iter();
        let first: First = redis::from_redis_value(answers.next().unwrap_or(redis::Value::Nil))?;
        let late_ms = first.first().map_or(0, |(_, due_ms)| self.clock().now_ms().saturating_sub(*due_ms as u64));
        let mut paces = Vec::new();
        for (class, answer) in classes.into_iter().zip(answers) {
            let runs: Vec<String> = redis::from_redis_value(answer)?;
            let runs: Vec<Ran> = runs.iter().filter_map(|ran| ran.parse().ok()).collect();
            paces.extend(Pace::learn(&runs).map(|pace| (class, pace)));
        }
        Ok(PollsAtLarge { paces, late: Duration::from_millis(late_ms) })
    }
}
