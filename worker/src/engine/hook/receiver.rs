//! The receiver: takes the upstream's callbacks, checks the addresses that they were sent to, and passes their hints
//! on.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use futures_util::StreamExt;
use mjq_producer::contract::JobId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::{
    address::{Addressed, HookAddress},
    hinter::HinterHandle,
};
use crate::{
    engine::alarm::Alarm,
    ledger::{Hinted, TaskHint},
    upstream::{BodyMemory, Hint},
    waits::Waits,
};

/// The parts that the receiver works with.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) hinter: HinterHandle,
    /// Unset until Redis has told the secret, and when hooks are off.
    pub(crate) address: Arc<OnceLock<HookAddress>>,
    pub(crate) alarm: Alarm,
    pub(crate) revisits: Alarm,
    pub(crate) room: HookRoom,
}

/// The resources of a pod that hooks may use. They are bounded because hooks come from outside, and wait while Redis is
/// away. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct HookRoom {
    bodies: Arc<BodyMemory>,
    /// One place per hook, held until the ledger has taken the hook.
    places: Arc<Semaphore>,
}

impl HookRoom {
    /// The most bytes that the bodies under way may hold together, beyond what each has for itself.
    const BODIES: usize = 64 * 1024 * 1024;
    /// The most hooks that may wait until the ledger takes them.
    const PLACES: usize = 8192;

    fn of(bodies: usize, places: usize) -> Self {
        Self { bodies: Arc::new(BodyMemory::of(bodies)), places: Arc::new(Semaphore::new(places)) }
    }
}

impl Default for HookRoom {
    fn default() -> Self {
        Self::of(Self::BODIES, Self::PLACES)
    }
}

impl Hooks {
    /// The largest body of a hook, in bytes. It is a whole task object, which repeats its prompt.
    const MAX_BODY: usize = 16 * 1024 * 1024;

    /// The receiver's routes.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/hooks/{job}/{attempt}/{enqueued_ms}/{signature}", post(receive))
            .route("/hooks/{job}/{attempt}/{signature}", post(receive_at_old_address))
            .with_state(self)
    }

    /// Reads a hook, and reserves its place.
    async fn read(&self, body: Body) -> Result<(OwnedSemaphorePermit, Hint), Unread> {
        let place = Arc::clone(&self.room.places).try_acquire_owned().map_err(|_| Unread::NoRoom)?;
        let mut share = BodyMemory::share(Some(&self.room.bodies));
        let (mut text, mut chunks) = (Vec::new(), body.into_data_stream());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Unread::BrokenOffOrTooLarge)?;
            if text.len() + chunk.len() > Self::MAX_BODY {
                return Err(Unread::BrokenOffOrTooLarge);
            }
            if !share.grow_to(text.len() + chunk.len()) {
                return Err(Unread::NoRoom);
            }
            text.extend_from_slice(&chunk);
        }
        Ok((place, Hint::read(&text)))
    }

    /// Passes a hint on. If a step of its job is under way, that step may just have missed the news, and the next step
    /// may be far away. So the hint is given again, after some 50 ms, 100 ms and so on, for half a minute.
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

    /// Answers before the ledger has taken the hint: some upstreams have few threads for hooks, and call only once.
    async fn take(self, named: (String, u32, Option<u64>), signature: &str, body: Body) -> StatusCode {
        let (job, attempt, enqueued_ms) = named;
        let Ok(job) = JobId::new(&job) else { return StatusCode::NOT_FOUND };
        let addressed = Addressed { job: &job, attempt, enqueued_ms };
        if !self.address.get().is_some_and(|address| address.is_genuine(addressed, signature)) {
            metrics::counter!("mjq_hooks_total", "answer" => "forged").increment(1);
            return StatusCode::NOT_FOUND;
        }
        // The body is read only after the signature is checked.
        let (place, Hint { task, goes_on }) = match self.read(body).await {
            Ok(read) => read,
            Err(Unread::NoRoom) => {
                metrics::counter!("mjq_hooks_total", "answer" => "refused").increment(1);
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            Err(Unread::BrokenOffOrTooLarge) => {
                warn!(job.id = %job, "a hook about job {job} broke off, or is larger than {} bytes", Hooks::MAX_BODY);
                return StatusCode::PAYLOAD_TOO_LARGE;
            }
        };
        tokio::spawn(async move {
            let _place = place;
            debug!(job.id = %job, "a hook about job {job} came");
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

/// Why a hook was not read.
enum Unread {
    NoRoom,
    BrokenOffOrTooLarge,
}

/// Receives a hook at the address of one attempt of one job.
async fn receive(
    State(hooks): State<Hooks>,
    Path((job, attempt, enqueued_ms, signature)): Path<(String, u32, u64, String)>,
    body: Body,
) -> StatusCode {
    hooks.take((job, attempt, Some(enqueued_ms)), &signature, body).await
}

/// Receives a hook at an address without the time when the job came, as mjq made them before 2026-11-28.
async fn receive_at_old_address(
    State(hooks): State<Hooks>,
    Path((job, attempt, signature)): Path<(String, u32, String)>,
    body: Body,
) -> StatusCode {
    hooks.take((job, attempt, None), &signature, body).await
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::engine::hook::hinter::Hinter;

    #[tokio::test]
    async fn a_hook_that_finds_no_room_is_refused_so_that_the_upstream_may_send_it_again() -> anyhow::Result<()> {
        // Nothing takes the hints, as when Redis is away.
        let (_hints, hinter) = Hinter::new();
        let address = HookAddress::new("http://pod", "secret").unwrap();

        let url = address.url(&JobId::new("order-1842")?, 1, 1);
        let alarm = Alarm::new(Duration::from_secs(1));
        let (address, revisits, room) = (Arc::new(OnceLock::from(address)), alarm.clone(), HookRoom::of(64 << 10, 3));
        let routes = Hooks { hinter, address, alarm, revisits, room }.router();
        let send = async |body: String| {
            let answer = routes.clone().oneshot(Request::post(&url).body(Body::from(body))?).await?;
            anyhow::Ok(answer.status().as_u16())
        };

        assert_eq!(send(" ".repeat(Hooks::MAX_BODY + 1)).await?, 413);
        assert_eq!(send(" ".repeat(1 << 20)).await?, 503, "there is no memory for it");
        for _ in 0..3 {
            assert_eq!(send("{}".to_owned()).await?, 200);
        }
        assert_eq!(send("{}".to_owned()).await?, 503, "three wait already");
        Ok(())
    }
}
