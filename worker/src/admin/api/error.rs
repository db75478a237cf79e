//! The errors of the API.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::ledger::ViewError;

/// Why a request fails.
#[derive(Debug, Clone)]
pub(super) enum ApiError {
    /// The job does not exist, or no longer exists.
    NotKnown,
    /// The path does not exist.
    NoSuchPath,
    /// The path does not take this method.
    WrongMethod,
    /// The job has ended: there is nothing to cancel.
    Ended,
    /// Only a job that failed or was cancelled can be retried.
    NotRetryable,
    /// No token is configured, so nobody may change anything.
    ReadOnly,
    /// The request has a wrong token, or none.
    WrongToken,
    /// The limit is not a number, or is too small or too large.
    Limit,
    /// A parameter does not exist or occurs twice. The text says so, and names the existing parameters.
    Parameter(String),
    /// The scope of a pause is neither everything nor submits.
    Scope,
    /// Redis did not answer in time.
    RedisAway,
}

impl From<ViewError> for ApiError {
    fn from(_: ViewError) -> Self {
        Self::RedisAway
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error, message) = match self {
            Self::NotKnown => (
                StatusCode::NOT_FOUND,
                "not_known",
                "no such job: it is not admitted yet, was never enqueued, or ended longer ago than the retention",
            ),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path"),
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path takes another method: GET shows, POST acts")
            }
            Self::Ended => (StatusCode::CONFLICT, "ended", "the job has ended already"),
            Self::NotRetryable => (
                StatusCode::CONFLICT,
                "not_retryable",
                "only a job that failed or was cancelled can be retried; look at it again",
            ),
            Self::ReadOnly => {
                (StatusCode::FORBIDDEN, "read_only", "nothing can be changed here unless MJQ_ADMIN_TOKEN is set")
            }
            Self::WrongToken => {
                (StatusCode::UNAUTHORIZED, "wrong_token", "changes need Authorization: Bearer with MJQ_ADMIN_TOKEN")
            }
            Self::Limit => (StatusCode::BAD_REQUEST, "bad_limit", "limit must be a number from 1 to 200"),
            Self::Parameter(words) => {
                let words = json!({ "error": "bad_parameter", "message": words });
                return (StatusCode::BAD_REQUEST, Json(words)).into_response();
            }
            Self::Scope => (StatusCode::BAD_REQUEST, "bad_scope", "submits must be true or false"),
            Self::RedisAway => (StatusCode::SERVICE_UNAVAILABLE, "redis_away", "redis did not answer in time"),
        };
        (status, Json(json!({ "error": error, "message": message }))).into_response()
    }
}
