//! The loops of a pod: starts them by name. If one panics, the pod drains and exits with an error.
//!
//! A loop that panics has a bug, and a pod without one of its loops does harm that nobody sees: without its reasserter,
//! a job may be paid for twice after a failover. So the panic is logged as an error, and the pod drains and ends with
//! an error, to be started anew.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::task::{JoinError, JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

/// The loops of one pod. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Loops {
    awaited: TaskTracker,
    draining: CancellationToken,
    /// The first loop that broke down.
    broken: Arc<OnceLock<&'static str>>,
}

impl Loops {
    /// How long `end` waits for the loops. They have nothing left to lose when the pod ends, so a heartbeat or a read
    /// that hangs on Redis is not waited for.
    const PATIENCE: Duration = Duration::from_millis(500);

    /// Makes an empty set of loops. A loop that breaks down cancels `draining`.
    pub(super) fn new(draining: CancellationToken) -> Self {
        Self { awaited: TaskTracker::new(), draining, broken: Arc::default() }
    }

    /// Starts a loop.
    pub(super) fn spawn(&self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        self.awaited.spawn(self.clone().watch(name, run));
    }

    /// Starts a loop that runs as long as it has users, which may be longer than the pod works.
    pub(super) fn spawn_unawaited(&self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.clone().watch(name, run));
    }

    /// Waits a moment for the loops to end.
    ///
    /// # Errors
    /// When one of them has broken down, now or before.
    pub(super) async fn end(&self) -> anyhow::Result<()> {
        self.awaited.close();
        let _ = tokio::time::timeout(Self::PATIENCE, self.awaited.wait()).await;
        self.broken.get().map_or(Ok(()), |name| Err(anyhow::anyhow!("the {name} broke down")))
    }

    /// Runs a loop as a separate Tokio task, so that its panic ends nothing but that task.
    async fn watch(self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        // A task may also fail because the runtime ends and cancels it; that is no panic.
        if let Err(error) = tokio::spawn(run).await
            && error.is_panic()
        {
            error!(error = %error, "the {name} broke down, and the pod drains to be started anew: {error}");
            // Only the first loop that broke down is reported.
            let _ = self.broken.set(name);
            self.draining.cancel();
        }
    }
}

/// Waits until all `tasks` have ended; `what` names one of them in the log. A task that panics does not end the others.
pub(super) async fn all_ended(mut tasks: JoinSet<()>, what: &str) {
    while let Some(ended) = tasks.join_next().await {
        note_panic(ended, what);
    }
}

/// Logs the panic of a task, if it ended with one; `what` names the task.
pub(super) fn note_panic(ended: Result<(), JoinError>, what: &str) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(error = %error, "a {what} broke down: {error}");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_drains_the_pod_which_ends_with_an_error() {
        let draining = CancellationToken::new();
        let loops = Loops::new(draining.clone());

        loops.spawn("reasserter", async { panic!("a bug") });
        tokio::time::timeout(Duration::from_secs(5), draining.cancelled()).await.unwrap();

        assert_eq!(loops.end().await.unwrap_err().to_string(), "the reasserter broke down");
    }

    #[tokio::test]
    async fn a_loop_that_is_not_awaited_is_missed_all_the_same() {
        let draining = CancellationToken::new();
        let loops = Loops::new(draining.clone());

        loops.spawn_unawaited("hinter", async { panic!("a bug") });
        tokio::time::timeout(Duration::from_secs(5), draining.cancelled()).await.unwrap();

        assert!(loops.end().await.is_err());
    }

    #[tokio::test]
    async fn loops_that_end_by_themselves_are_no_error() {
        let draining = CancellationToken::new();
        let loops = Loops::new(draining.clone());

        loops.spawn("sweeper", async {});
        loops.spawn_unawaited("hinter", std::future::pending());

        assert!(loops.end().await.is_ok() && !draining.is_cancelled());
    }

    #[tokio::test]
    async fn one_task_that_panics_ends_no_other() {
        let (done, mut all_done) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for task in 0..4 {
            let done = done.clone();
            tasks.spawn(async move {
                tokio::task::yield_now().await;
                assert_ne!(task, 1, "a bug");
                done.send(task).unwrap();
            });
        }

        all_ended(tasks, "poll").await;
        drop(done);

        let mut left = Vec::new();
        while all_done.recv_many(&mut left, 4).await > 0 {}
        left.sort_unstable();
        assert_eq!(left, [0, 2, 3]);
    }
}
