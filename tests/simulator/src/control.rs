//! The control paths under `/sim`: books, knobs and scripts for other processes. They need no key.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{oracle::Creation, script::Script, upstream::Upstream};

type Shared = State<Arc<Upstream>>;

/// The control paths.
pub(crate) fn routes() -> Router<Arc<Upstream>> {
    Router::new()
        .route("/ledger", get(ledger))
        .route("/stats", get(stats))
        .route("/arrivals", get(arrivals))
        .route("/tasks/{id}", get(task))
        .route("/knobs", get(knobs).put(turn))
        .route("/scripts", post(attach))
        .route("/reset", post(reset))
}

#[derive(Deserialize)]
struct LedgerFilter {
    prompt: Option<String>,
    state: Option<String>,
    /// How many of the first entries are left out.
    #[serde(default)]
    from: usize,
}

impl LedgerFilter {
    fn wants(&self, creation: &Creation) -> bool {
        self.prompt.as_ref().is_none_or(|prompt| *prompt == creation.prompt)
            && self.state.as_ref().is_none_or(|state| Some(state) == creation.state.as_ref())
    }
}

async fn ledger(State(upstream): Shared, Query(filter): Query<LedgerFilter>) -> Json<Value> {
    upstream.with(|world, _| {
        let ledger = world.oracle.ledger();
        let created: Vec<_> = ledger.iter().skip(filter.from).filter(|creation| filter.wants(creation)).collect();
        Json(json!({
            "total": ledger.len(),
            "created": created,
            "created_again": world.oracle.created_again(),
        }))
    })
}

async fn stats(State(upstream): Shared) -> Response {
    Json(upstream.with(|world, now_ms| world.stats(now_ms))).into_response()
}

async fn arrivals(State(upstream): Shared) -> Response {
    Json(upstream.with(|world, _| world.oracle.arrivals())).into_response()
}

async fn task(State(upstream): Shared, Path(id): Path<String>) -> Response {
    let task = upstream.with(|world, now_ms| {
        let task = world.task(&id)?;
        let seen = world.knobs().dialect.task(task, &task.base_url, now_ms);
        Some(json!({"polls": task.polls, "polls_after_end": task.polls_after_end, "task": seen}))
    });
    match task {
        Some(task) => Json(task).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn knobs(State(upstream): Shared) -> Response {
    Json(upstream.with(|world, _| world.knobs().clone())).into_response()
}

async fn turn(State(upstream): Shared, Json(change): Json<Value>) -> Response {
    let turned = upstream.with(|world, now_ms| {
        let knobs = world.knobs().merged(change)?;
        world.turn(knobs.clone(), now_ms);
        anyhow::Ok(knobs)
    });
    match turned {
        Ok(knobs) => Json(knobs).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why:#}\n")).into_response(),
    }
}

/// `{"when": "part of a prompt", "script": {…}}`, or with a marker's words:
/// `{"when": "…", "words": "status=429 times=2"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attachment {
    when: String,
    script: Option<Script>,
    words: Option<String>,
}

impl Attachment {
    fn script(&self) -> Result<Script, String> {
        match (&self.script, &self.words) {
            (Some(script), None) => Ok(script.clone()),
            (None, Some(words)) => words.parse(),
            _ => Err("expected either script or words".to_owned()),
        }
    }
}

async fn attach(State(upstream): Shared, Json(attachment): Json<Attachment>) -> Response {
    match attachment.script() {
        Ok(script) => {
            upstream.with(|world, _| world.playbook.attach(&attachment.when, script.clone()));
            Json(script).into_response()
        }
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    }
}

async fn reset(State(upstream): Shared) -> StatusCode {
    upstream.with(|world, _| world.reset());
    StatusCode::NO_CONTENT
}
