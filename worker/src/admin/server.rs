//! The server: its routes, and a stop that no client can hold up.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Health, api, connections::Connections, counted::Counted, gauges, headers, metrics, page, probes};
use crate::{
    ledger::{Counts, Ledger},
    lifecycle::Policy,
};

/// The admin server of one pod.
#[derive(Debug, Clone)]
pub struct Admin {
    pub(super) ledger: Ledger,
    pub(super) health: Health,
    /// The token that callers must send to change anything; with `None`, nobody may.
    pub(super) token: Option<SecretString>,
    /// The policy for jobs that an operator retries.
    pub(super) policy: Arc<Policy>,
    metrics: PrometheusHandle,
    counted: Counted,
}

impl Admin {
    /// How long answers under way may take after the server was told to stop.
    const GRACE: Duration = Duration::from_millis(500);

    /// Makes a server that is read-only until it [takes a token](Self::acting_for). [`metrics::install`] gives the
    /// handle.
    #[must_use]
    pub fn new(ledger: Ledger, health: Health, metrics: PrometheusHandle) -> Self {
        Self { ledger, health, token: None, policy: Arc::default(), metrics, counted: Counted::default() }
    }

    /// Lets callers who send `token` cancel, retry, pause and resume. With `None`, nobody may.
    #[must_use]
    pub fn acting_for(self, token: Option<SecretString>, policy: Policy) -> Self {
        Self { token, policy: Arc::new(policy), ..self }
    }

    /// All routes of the server.
    pub fn router(self) -> Router {
        Router::new()
            .route("/livez", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .route("/metrics", get(show_metrics))
            .nest("/api/v1", api::router())
            .merge(page::router())
            .fallback(nothing_here)
            .layer(middleware::from_fn(headers::add))
            .with_state(self)
    }

    /// Serves until `shutdown`, together with the routes of `extra`.
    pub async fn serve(self, listener: TcpListener, extra: Option<Router>, shutdown: CancellationToken) {
        let metrics = self.metrics.clone();
        let routes = self.router().merge(extra.unwrap_or_default());
        let serving = Connections::default().serve(listener, routes, &shutdown);
        let over = async {
            shutdown.cancelled().await;
            tokio::time::sleep(Self::GRACE).await;
        };
        tokio::select! {
            () = serving => {}
            // A browser that keeps its connection open, or reads slowly, must not keep the pod from ending.
            () = over => {}
            () = keep_up(metrics) => {}
        }
    }

    /// The counts of the last second; `None` when Redis did not answer.
    pub(super) async fn counts(&self) -> Option<Counts> {
        self.counted.counts(&self.ledger).await
    }
}

/// Answers requests for unknown paths, in the form that callers of such paths expect.
async fn nothing_here(State(admin): State<Admin>, uri: Uri) -> Response {
    let is_below =
        |path: &str| uri.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_below("/hooks") {
        // This path may be public: the answer reveals neither the program nor its version.
        StatusCode::NOT_FOUND.into_response()
    } else if is_below("/api") {
        api::nothing_here()
    } else {
        page::nothing_here(&admin)
    }
}

async fn show_metrics(State(admin): State<Admin>) -> impl IntoResponse {
    gauges::set(admin.counts().await.as_ref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render())
}

/// Folds the samples of histograms into buckets. Scrapes do so, too, but without scrapes the samples would pile up.
async fn keep_up(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(metrics::UPKEEP);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}
