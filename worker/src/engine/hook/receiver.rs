//! The receiver: takes the upstream's callbacks, checks where they were sent to, and passes on what they tell.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use mjq_producer::contract::JobId;
use tracing::{debug, warn};

use super::{
    address::{Addressed, HookAddress},
    hinter::HinterHandle,
};
use crate::{
    engine::alarm::Alarm,
    ledger::{Hinted, TaskHint},
    upstream::Hint,
    waits::Waits,
};

/// What the receiver needs.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) hinter: HinterHandle,
    /// Not set before Redis has told the secret, and when there are no hooks.
    pub(crate) address: Arc<OnceLock<HookAddress>>,
    pub(crate) alarm: Alarm,
    pub(crate) revisits: Alarm,
}

impl Hooks {
    /// The most that a hook's body may have: a whole task object, which tells its prompt more than once.
    const MAX_BODY: usize = 16 * 1024 * 1024;

    /// The receiver's routes.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/hooks/{job}/{attempt}/{enqueued_ms}/{signature}", post(receive))
            .route("/hooks/{job}/{attempt}/{signature}", post(receive_at_old_address))
            .with_state(self)
    }

    /// Passes a hint on. If it comes while a step is under way, that step may just have missed what it tells,
    /// and the next may be far away: the hint is given again, after some 50 ms, 100 ms and so on, for half a minute.
    async fn pass_on(&self, hint: TaskHint) -> Hinted {
        let mut waits = Waits::of_a_hook();
        loop {
            let hinted = self.hinter.hint(hint.clone()).await;
            match waits.next() {
                Some(wait) if hinted == Hinted::UnderWay => tokio::time::sleep(wait).await,
                _ => return hinted,
            }
        }
    }

    /// Answers at once: some upstreams have few threads for their hooks, and one attempt.
    async fn take(self, named: (String, u32, Option<u64>), signature: &str, body: Body) -> StatusCode {
        let (job, attempt, enqueued_ms) = named;
        let Ok(job) = JobId::new(&job) else { return StatusCode::NOT_FOUND };
        let addressed = Addressed { job: &job, attempt, enqueued_ms };
        if !self.address.get().is_some_and(|address| address.is_genuine(addressed, signature)) {
            metrics::counter!("mjq_hooks_total", "answer" => "forged").increment(1);
            return StatusCode::NOT_FOUND;
        }
        // Not read for anybody else.
        let Ok(body) = to_bytes(body, Hooks::MAX_BODY).await else {
            warn!(job.id = %job, "a hook about job {job} broke off, or is larger than {} bytes", Hooks::MAX_BODY);
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        tokio::spawn(async move {
            debug!(job.id = %job, "a hook about job {job} came");
            let Hint { task, goes_on } = Hint::read(&body);
            let answer = match self.pass_on(TaskHint { job, task, goes_on, enqueued_ms }).await {
                Hinted::Moved => {
                    self.alarm.ring_within(Duration::ZERO);
                    "moved"
                }
                Hinted::RevisitMoved => {
                    self.revisits.ring_within(Duration::ZERO);
                    "moved"
                }
                Hinted::Nothing | Hinted::UnderWay => "late",
            };
            metrics::counter!("mjq_hooks_total", "answer" => answer).increment(1);
        });
        StatusCode::OK
    }
}

/// Receives at the address of one attempt of one job.
async fn receive(
    State(hooks): State<Hooks>,
    Path((job, attempt, enqueued_ms, signature)): Path<(String, u32, u64, String)>,
    body: Body,
) -> StatusCode {
    hooks.take((job, attempt, Some(enqueued_ms)), &signature, body).await
}

/// Receives at an address without the time when the job came, as mjq made them before 2026-11-28.
async fn receive_at_old_address(
    State(hooks): State<Hooks>,
    Path((job, attempt, signature)): Path<(String, u32, String)>,
    body: Body,
) -> StatusCode {
    hooks.take((job, attempt, None), &signature, body).await
}
