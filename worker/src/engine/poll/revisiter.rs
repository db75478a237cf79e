//! The revisiter: polls the tasks of jobs that have ended without them.
//!
//! Revisits are not steps: no job waits for them, and they hold no slot. They share the poll budget.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::poller::Poller;
use crate::{
    engine::{alarm::Alarm, loops::all_ended, step::RequestMaker},
    ledger::{DueRevisit, Ledger, Rate},
    lifecycle::{Policy, Revisited, revisit},
};

/// Makes revisits until the pod drains. Clones share everything.
#[derive(Clone)]
pub(crate) struct Revisiter {
    pub(crate) ledger: Ledger,
    pub(crate) poller: Poller,
    /// Tells whose task is shown.
    pub(crate) requests: RequestMaker,
    pub(crate) policy: Arc<Policy>,
    pub(crate) poll_rate: Rate,
    /// How long a revisit may take, including what comes before and after it.
    pub(crate) patience: Duration,
    /// Brought forward when this pod ends a job whose task goes on, or when a hook about such a task comes.
    pub(crate) alarm: Alarm,
}

impl Revisiter {
    /// The longest time between rounds: another pod may have ended a job without this pod hearing of it, and died.
    pub(crate) const MAX_IDLE: Duration = Duration::from_secs(5);
    /// The number of revisits that one pod makes at once. It is small because no job waits for them.
    const AT_ONCE: usize = 16;

    /// Revisits until `draining`. Revisits that are under way then are left to other pods.
    pub(crate) async fn run(self, draining: CancellationToken) {
        draining.run_until_cancelled(self.keep_revisiting()).await;
    }

    async fn keep_revisiting(&self) {
        loop {
            self.alarm.wind();
            let polls_per_request = self.poller.lists().polls_per_request();
            let due = self.ledger.due_revisits(Self::AT_ONCE, self.patience, self.poll_rate, polls_per_request);
            let Ok(due) = due.await else { return };
            if let Some(more_after) = due.more_after {
                self.alarm.ring_within(more_after);
            }
            if polls_per_request > 1 {
                let requests = due.revisits.len().div_ceil(polls_per_request as usize);
                self.poller.budget().prepay(requests, due.place_until.into());
            }
            let mut under_way = JoinSet::new();
            for due_revisit in due.revisits {
                let this = self.clone();
                under_way.spawn(async move { this.poll(due_revisit, due.place_until).await });
            }
            all_ended(under_way, "revisit").await;
            self.alarm.rung().await;
        }
    }

    async fn poll(&self, DueRevisit { job, fence, record }: DueRevisit, place_until: Instant) {
        let Some(task) = &record.task else { return };
        let seen = self.poller.poll(task, false, Instant::now() < place_until).await;
        metrics::counter!("mjq_revisits_total", "observation" => seen.name()).increment(1);
        let now_ms = self.ledger.clock().now_ms();
        let seen = self.requests.recognise(seen, &job, &record, now_ms);
        let Revisited { record, again_after } = revisit(&record, &seen, now_ms, &self.policy);
        // If the pod has to leave now, another one polls again.
        let Ok(true) = self.ledger.annotate(&job, fence, record.as_ref(), again_after).await else { return };
        if record.is_some_and(|record| record.late.is_some()) {
            info!(job.id = %job, "the task of job {job} succeeded after the job had ended without it");
        }
    }
}
