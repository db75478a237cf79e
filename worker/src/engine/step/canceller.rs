//! The canceller: asks the upstream to cancel the tasks of jobs that were cancelled.
//!
//! By then the job has ended and its event is out, so nothing waits for the answer, which is noted in the job's
//! timeline. The cancel is a courtesy that saves money if the upstream obliges. Some tasks may stay uncancelled: when
//! the pod dies or drains, or when too many wait.

use std::time::Duration;

use mjq_producer::contract::{JobId, TaskId};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    engine::loops::{all_ended, note_panic},
    ledger::Ledger,
    lifecycle::Record,
    upstream::Upstream,
};

/// Takes tasks that are to be cancelled. Clones hand in to the same canceller.
#[derive(Debug, Clone)]
pub(crate) struct CancellerHandle(Option<mpsc::Sender<Cancelled>>);

/// A cancelled job: its id, the fence under which it ended, and its record.
type Cancelled = (JobId, u64, Record);

/// Asks the upstream to cancel tasks, until all handles are gone.
#[derive(Debug)]
pub(crate) struct Canceller {
    handed: mpsc::Receiver<Cancelled>,
    ledger: Ledger,
    upstream: Upstream,
}

impl CancellerHandle {
    /// Hands a cancelled job in, if the upstream can cancel and has a task for it.
    pub(crate) fn hand_in(&self, job: &JobId, fence: u64, record: &Record) {
        if let (Some(sender), Some(_)) = (&self.0, &record.task) {
            // A closed channel needs no warning: the pod is ending.
            if let Err(TrySendError::Full(_)) = sender.try_send((job.clone(), fence, record.clone())) {
                warn!(job.id = %job, "job {job} was cancelled, and its task goes on: too many wait to be cancelled");
            }
        }
    }
}

impl Canceller {
    /// How many cancels are under way at once: a mass cancel must not look like an attack.
    const AT_ONCE: usize = 4;
    /// The name of one cancel in the log.
    const WHAT: &str = "cancel at the upstream";
    /// The most tasks that may wait to be cancelled.
    const MOST: usize = 10_000;
    /// The waits between the tries.
    const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

    /// Makes a canceller and the handle to it; no canceller if the upstream cannot cancel.
    pub(crate) fn new(ledger: &Ledger, upstream: &Upstream) -> (Option<Self>, CancellerHandle) {
        if !upstream.can_cancel() {
            return (None, CancellerHandle(None));
        }
        let (sender, handed) = mpsc::channel(Self::MOST);
        let canceller = Self { handed, ledger: ledger.clone(), upstream: upstream.clone() };
        (Some(canceller), CancellerHandle(Some(sender)))
    }

    /// Asks the upstream to cancel the tasks that are handed in, until all handles are gone.
    pub(crate) async fn run(mut self) {
        let mut asked = JoinSet::new();
        while let Some((job, fence, record)) = self.handed.recv().await {
            while asked.len() >= Self::AT_ONCE {
                asked.join_next().await.into_iter().for_each(|ended| note_panic(ended, Self::WHAT));
            }
            asked.spawn(cancel(self.ledger.clone(), self.upstream.clone(), job, fence, record));
        }
        all_ended(asked, Self::WHAT).await;
    }
}

async fn cancel(ledger: Ledger, upstream: Upstream, job: JobId, fence: u64, mut record: Record) {
    let Some(task) = record.task.clone() else { return };
    let agrees = ask(&upstream, &task).await;
    let answer = if agrees { "the upstream cancels" } else { "the upstream does not cancel" };
    info!(job.id = %job, agrees, "job {job} was cancelled: {answer} its task");
    record.note(ledger.clock().now_ms(), &format!("{answer} task {task}"));
    // If the pod has to leave now, the answer is at least in the log.
    let _ = ledger.annotate(&job, fence, Some(&record), None).await;
}

async fn ask(upstream: &Upstream, task: &TaskId) -> bool {
    for wait in Canceller::WAITS {
        if upstream.cancel(task).await {
            return true;
        }
        tokio::time::sleep(wait).await;
    }
    upstream.cancel(task).await
}
