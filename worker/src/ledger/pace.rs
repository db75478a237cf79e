//! The pace: how long tasks of each class lately ran, learnt from all pods.

use redis::{RedisResult, pipe};

use super::Ledger;
use crate::lifecycle::{Pace, PaceClass};

impl Ledger {
    /// Reads what is known of each class. Not repeated: it is asked for again soon.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn paces(&self) -> RedisResult<Vec<(PaceClass, Pace)>> {
        let mut pipeline = pipe();
        let classes = PaceClass::all();
        for class in &classes {
            pipeline.lrange(self.key(&format!("pace:{class}")), 0, Pace::MAX_SAMPLES as isize - 1);
        }
        let samples: Vec<Vec<u64>> = self.link().pipeline(&pipeline).await?;
        Ok(classes.into_iter().zip(samples).filter_map(|(class, ms)| Some((class, Pace::learn(ms)?))).collect())
    }
}
