//! Acts: what operators change over HTTP, when they bear `MJQ_ADMIN_TOKEN`. Without that setting, nobody does.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
};
use mjq_producer::contract::JobId;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Admin,
    asked::{Asked, Nothing},
    error::ApiError,
};
use crate::ledger::{Abandoned, CommandAnswer, Paused, RetryError};

/// How long Redis has for an act. One that comes later may still be carried out; each may be asked for again.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    /// Whether it is about submits only, and not about polls.
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
    headers: HeaderMap,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let id = job_to_act_on(&admin, &headers, &id)?;
    match in_time(admin.ledger.cancel(&id)).await?? {
        CommandAnswer::Taken => Ok(Json(json!({ "job": id, "is_cancel_requested": true }))),
        CommandAnswer::Ended => Err(ApiError::Ended),
        CommandAnswer::NotKnown => Err(ApiError::NotKnown),
    }
}

pub(super) async fn retry(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let id = job_to_act_on(&admin, &headers, &id)?;
    match in_time(admin.ledger.retry(&id, &admin.policy)).await? {
        Ok(()) => Ok(Json(json!({ "job": id, "phase": "queued" }))),
        Err(RetryError::NotKnown) => Err(ApiError::NotKnown),
        Err(RetryError::NotEnded(_) | RetryError::Changed) => Err(ApiError::NotRetryable),
        Err(RetryError::Abandoned(_)) => Err(ApiError::RedisAway),
    }
}

pub(super) async fn pause(
    admin: State<Admin>,
    headers: HeaderMap,
    scope: Asked<Scope>,
) -> Result<Json<Value>, ApiError> {
    set_paused(admin, headers, scope, true).await
}

pub(super) async fn resume(
    admin: State<Admin>,
    headers: HeaderMap,
    scope: Asked<Scope>,
) -> Result<Json<Value>, ApiError> {
    set_paused(admin, headers, scope, false).await
}

async fn set_paused(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Asked(scope): Asked<Scope>,
    is_paused: bool,
) -> Result<Json<Value>, ApiError> {
    may_act(&admin, &headers)?;
    let what = scope.paused()?;
    let has_changed = in_time(admin.ledger.pause(what, is_paused)).await??;
    let submits_only = matches!(what, Paused::Submits);
    Ok(Json(json!({ "is_paused": is_paused, "submits_only": submits_only, "has_changed": has_changed })))
}

/// The job that is meant, once it is clear that whoever asks may change it.
fn job_to_act_on(admin: &Admin, headers: &HeaderMap, id: &str) -> Result<JobId, ApiError> {
    may_act(admin, headers)?;
    JobId::new(id).map_err(|_| ApiError::NotKnown)
}

/// Whether whoever sent `headers` may change anything. A browser sends no such header on behalf of another page.
fn may_act(admin: &Admin, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = admin.token.as_ref().ok_or(ApiError::ReadOnly)?;
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(b"Bearer ".len()));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer ")).map(|(_, token)| token);
    // Of digests, the time that a comparison takes tells nothing.
    let is_right = given.is_some_and(|given| Sha256::digest(given) == Sha256::digest(token.expose_secret().trim()));
    is_right.then_some(()).ok_or(ApiError::WrongToken)
}

async fn in_time<T>(act: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(PATIENCE, act).await.map_err(|_| ApiError::RedisAway)
}

impl From<Abandoned> for ApiError {
    fn from(_: Abandoned) -> Self {
        Self::RedisAway
    }
}
