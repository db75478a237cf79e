//! The probes for Kubernetes and load balancers.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::json;

use super::Admin;

/// `/livez`: 503 only when a restart of the process would help.
pub(super) async fn livez(State(admin): State<Admin>) -> impl IntoResponse {
    let stuck = admin.health.stuck_loops();
    let is_alive = stuck.is_empty();
    (status(is_alive), Json(json!({ "is_alive": is_alive, "stuck_loops": stuck })))
}

/// `/readyz`: 503 while the pod cannot work, with the reason.
pub(super) async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let readiness = admin.health.readiness().await;
    (status(readiness.is_ready), Json(readiness))
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
