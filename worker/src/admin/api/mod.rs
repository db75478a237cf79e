//! The JSON API, version 1: the dashboard's data for programs, and the acts of operators.

mod act;
mod asked;
mod error;
mod operator;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use mjq_producer::contract::JobId;
use serde::Deserialize;
use serde_json::{Value, json};

use self::{asked::Asked, error::ApiError};
use super::Admin;
use crate::{
    ledger::{JobLine, Standing},
    shown::{JobBody, LineBody},
};

/// Routes below `/api/v1`.
pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/queue", get(queue))
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/cancel", post(act::cancel))
        .route("/jobs/{id}/retry", post(act::retry))
        .route("/pause", post(act::pause))
        .route("/resume", post(act::resume))
        .route("/workers", get(workers))
        .route("/rejected", get(rejected))
        .fallback(async || ApiError::NoSuchPath)
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
}

/// The answer for a path that the API does not have.
pub(super) fn nothing_here() -> Response {
    ApiError::NoSuchPath.into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// How many jobs, in digits.
    limit: Option<String>,
}

impl Page {
    const DEFAULT: usize = 20;
    const MAX: usize = 200;

    /// The requested number. A number above the limit is refused: a caller that got fewer would take them for all.
    fn limit(&self) -> Result<usize, ApiError> {
        let limit = match &self.limit {
            None => return Ok(Self::DEFAULT),
            Some(text) => text.parse().map_err(|_| ApiError::Limit)?,
        };
        if (1..=Self::MAX).contains(&limit) { Ok(limit) } else { Err(ApiError::Limit) }
    }
}

async fn queue(State(admin): State<Admin>) -> Result<Json<Value>, ApiError> {
    let counts = admin.counts().await.ok_or(ApiError::RedisAway)?;
    let age = counts.oldest_waiting_seconds();
    Ok(Json(json!({ "queue": admin.ledger.queue().as_str(), "counts": counts, "oldest_waiting_seconds": age })))
}

async fn jobs(State(admin): State<Admin>, Asked(page): Asked<Page>) -> Result<Json<Value>, ApiError> {
    let limit = page.limit()?;
    let latest = admin.ledger.latest(limit).await?;
    let (failures, held, unknown) = tokio::try_join!(
        admin.ledger.failures(limit),
        admin.ledger.standing(Standing::Held, limit),
        admin.ledger.standing(Standing::Unknown, limit),
    )?;
    Ok(Json(json!({
        "open": bodies(&latest.open),
        "held": bodies(&held),
        "unknown": bodies(&unknown),
        "ended": bodies(&latest.ended),
        "failures": bodies(&failures),
    })))
}

fn bodies(lines: &[JobLine]) -> Vec<LineBody<'_>> {
    lines.iter().map(LineBody::of).collect()
}

async fn job(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<JobBody>, ApiError> {
    let id = JobId::new(&id).map_err(|_| ApiError::NotKnown)?;
    let view = admin.ledger.job(&id).await?.ok_or(ApiError::NotKnown)?;
    Ok(Json(JobBody::of(view)))
}

async fn workers(State(admin): State<Admin>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "workers": admin.ledger.workers().await? })))
}

async fn rejected(State(admin): State<Admin>, Asked(page): Asked<Page>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "rejected": admin.ledger.rejected(page.limit()?).await? })))
}
