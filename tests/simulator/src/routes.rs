//! The public paths, under `/mj`, `/mj-fast/mj`, `/mj-relax/mj`, `/mj-turbo/mj`, each with and without `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{OriginalUri, Path, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{
    control,
    upstream::Upstream,
    wire::{Plan, TEXT, Wire},
    world::Submit,
};

type Shared = State<Arc<Upstream>>;

/// All paths of the simulator.
pub(crate) fn all(upstream: Arc<Upstream>) -> Router {
    let mj = Router::new()
        .route("/submit/{action}", post(submit))
        .route("/task/{id}/fetch", get(fetch))
        .route("/task/list-by-condition", post(fetch_many))
        .route("/task/list", get(list))
        .route("/task/{id}/cancel", post(cancel))
        .layer(middleware::from_fn_with_state(upstream.clone(), check_key));
    let mut all =
        Router::new().route("/", get(welcome)).route("/image/{name}", get(image)).nest("/sim", control::routes());
    for version in ["", "/v1"] {
        // In the family, the speed stands before `/mj`. Some clients write it in place of `/mj`.
        for speed in ["/mj", "/mj-fast/mj", "/mj-relax/mj", "/mj-turbo/mj", "/mj-fast", "/mj-relax", "/mj-turbo"] {
            all = all.nest(&format!("{version}{speed}"), mj.clone());
        }
    }
    all.with_state(upstream)
}

async fn welcome() -> impl IntoResponse {
    "mjq-simulator, a Midjourney-style API\n\n\
     POST /mj/submit/imagine         GET /mj/task/{id}/fetch      POST /mj/task/list-by-condition\n\
     GET  /sim/ledger                GET /sim/stats               GET  /sim/knobs\n\
     PUT  /sim/knobs                 POST /sim/scripts            POST /sim/reset\n"
}

async fn submit(
    State(upstream): Shared,
    Path(action): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match read(&upstream, body).await {
        Ok(body) => body,
        Err(wire) => return wire.send().await,
    };
    let base_url = base_url(&headers);
    let submit = Submit { action: &action, speed: speed(&uri), body: &body, base_url: &base_url };
    let plan = upstream.with(|world, now_ms| world.submit(submit, now_ms));
    answer(plan).await
}

async fn fetch(State(upstream): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let base_url = base_url(&headers);
    answer(upstream.with(|world, now_ms| world.fetch(&id, &base_url, now_ms))).await
}

async fn fetch_many(State(upstream): Shared, headers: HeaderMap, body: Body) -> Response {
    let body = match read(&upstream, body).await {
        Ok(body) => body,
        Err(wire) => return wire.send().await,
    };
    let base_url = base_url(&headers);
    answer(upstream.with(|world, now_ms| world.fetch_many(&body, &base_url, now_ms))).await
}

async fn list(State(upstream): Shared, headers: HeaderMap) -> Response {
    let base_url = base_url(&headers);
    answer(upstream.with(|world, now_ms| world.list(&base_url, now_ms))).await
}

async fn cancel(State(upstream): Shared, Path(id): Path<String>) -> Response {
    answer(upstream.with(|world, now_ms| world.cancel(&id, now_ms))).await
}

async fn image(State(upstream): Shared, Path(name): Path<String>) -> Response {
    let name = name.strip_suffix(".png").unwrap_or(&name);
    let picture = upstream.with(|world, _| world.picture(name));
    match picture.map(|picture| picture.png()) {
        Some(Ok(png)) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Sends the planned answer at the planned time.
async fn answer(plan: Plan) -> Response {
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    plan.wire.send().await
}

/// Lets in requests with the key, or all requests if no key is set.
async fn check_key(State(upstream): Shared, request: Request, next: Next) -> Response {
    let refusal = upstream.with(|world, _| {
        let knobs = world.knobs();
        let is_let_in = knobs.key.as_deref().is_none_or(|key| has_key(request.headers(), key));
        if is_let_in {
            return None;
        }
        let refusal = knobs.dialect.unauthorized();
        world.oracle.request("unauthorized");
        Some(refusal)
    });
    match refusal {
        None => next.run(request).await,
        Some(wire) => wire.send().await,
    }
}

fn has_key(headers: &HeaderMap, key: &str) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = said("authorization").map(|value| value.strip_prefix("Bearer ").unwrap_or(value));
    bearer == Some(key) || said("mj-api-secret") == Some(key)
}

/// Reads the body. A body that is larger than the limit gets 413.
async fn read(upstream: &Upstream, body: Body) -> Result<Bytes, Wire> {
    let limit = upstream.with(|world, _| world.knobs().max_body_bytes);
    to_bytes(body, limit).await.map_err(|_| {
        upstream.with(|world, _| {
            world.oracle.request("submit");
            world.oracle.answered("refused: too large");
        });
        Wire::body(413, TEXT, "Payload Too Large")
    })
}

fn base_url(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

fn speed(uri: &Uri) -> Option<&'static str> {
    ["fast", "relax", "turbo"].into_iter().find(|speed| uri.path().contains(&format!("/mj-{speed}/")))
}
