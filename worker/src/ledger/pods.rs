//! Pods: which workers live.

use std::time::Duration;

use redis::RedisResult;

use super::{Abandoned, Ledger, arg, scripts};

impl Ledger {
    /// Shows this pod on the list of live workers, and returns how many there are. Not repeated: the next beat comes
    /// soon.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn show_worker(&self, pod: &str, beat: &str) -> RedisResult<usize> {
        let args: &[Vec<u8>] = &[arg(pod), arg(beat)];
        scripts::BEAT.run(self.link(), &self.0.prefix, &args).await
    }

    /// Takes pods off the list of live workers.
    ///
    /// # Errors
    /// Whatever Redis or the network says.
    pub async fn hide_worker(&self, pod: &str) -> RedisResult<()> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.key("workers")).arg(pod);
        self.link().query::<u64>(&command).await.map(|_| ())
    }

    /// Forgets the pods that have been gone for `long`, and returns how many.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn forget_pods(&self, long: Duration) -> Result<u64, Abandoned> {
        self.call(&scripts::FORGET, &[arg(long.as_millis())]).await
    }
}
