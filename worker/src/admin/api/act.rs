//! Acts: what operators may change over HTTP if they send `MJQ_ADMIN_TOKEN`. Without that setting, nobody may change
//! anything.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use mjq_producer::contract::JobId;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::info;

use super::{
    Admin,
    asked::{Asked, Nothing},
    error::ApiError,
    operator::Operator,
};
use crate::ledger::{Abandoned, CommandAnswer, Paused, RetryError};

/// How long an act waits for Redis. Redis may still carry out an act after that; each act may be asked for again.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    /// Whether the request is about submits only, and not about polls.
    submits: Option<String>,
}

impl Scope {
    fn paused(&self) -> Result<Paused, ApiError> {
        match self.submits.as_deref() {
            None | Some("false") => Ok(Paused::All),
            Some("true") => Ok(Paused::Submits),
            Some(_) => Err(ApiError::Scope),
        }
    }
}

pub(super) async fn cancel(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let id = job_to_act_on(&id)?;
    match in_time(admin.ledger.cancel(&id, None)).await?? {
        CommandAnswer::Taken | CommandAnswer::Before => {
            info!(job.id = %id, from = %operator, "job {id}: cancel is taken over HTTP, from {operator}");
            Ok(Json(json!({ "job": id, "is_cancel_requested": true })))
        }
        CommandAnswer::Ended => Err(ApiError::Ended),
        CommandAnswer::NotKnown => Err(ApiError::NotKnown),
    }
}

pub(super) async fn retry(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let id = job_to_act_on(&id)?;
    match in_time(admin.ledger.retry(&id, &admin.policy)).await? {
        Ok(()) => {
            info!(job.id = %id, from = %operator, "job {id}: retry is taken over HTTP, from {operator}");
            Ok(Json(json!({ "job": id, "phase": "queued" })))
        }
        Err(RetryError::NotKnown) => Err(ApiError::NotKnown),
        Err(RetryError::NotEnded(_) | RetryError::Changed) => Err(ApiError::NotRetryable),
        Err(RetryError::Abandoned(_)) => Err(ApiError::RedisAway),
    }
}

pub(super) async fn pause(
    admin: State<Admin>,
    operator: Operator,
    scope: Asked<Scope>,
) -> Result<Json<Value>, ApiError> {
    set_paused(admin, operator, scope, true).await
}

pub(super) async fn resume(
    admin: State<Admin>,
    operator: Operator,
    scope: Asked<Scope>,
) -> Result<Json<Value>, ApiError> {
    set_paused(admin, operator, scope, false).await
}

async fn set_paused(
    State(admin): State<Admin>,
    operator: Operator,
    Asked(scope): Asked<Scope>,
    is_paused: bool,
) -> Result<Json<Value>, ApiError> {
    let what = scope.paused()?;
    let has_changed = in_time(admin.ledger.pause(what, is_paused)).await??;
    let submits_only = matches!(what, Paused::Submits);
    let (act, whole) = (if is_paused { "pause" } else { "resume" }, if submits_only { "submits" } else { "the queue" });
    let already = if has_changed { "" } else { "; nothing changed" };
    info!(from = %operator, "{act} of {whole} is taken over HTTP, from {operator}{already}");
    Ok(Json(json!({ "is_paused": is_paused, "submits_only": submits_only, "has_changed": has_changed })))
}

/// Reads the job's id from the path. A text that is no valid id is answered like an unknown job.
fn job_to_act_on(id: &str) -> Result<JobId, ApiError> {
    JobId::new(id).map_err(|_| ApiError::NotKnown)
}

async fn in_time<T>(act: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(PATIENCE, act).await.map_err(|_| ApiError::RedisAway)
}

impl From<Abandoned> for ApiError {
    fn from(_: Abandoned) -> Self {
        Self::RedisAway
    }
}
