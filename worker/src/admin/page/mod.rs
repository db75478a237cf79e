//! The dashboard: pages for people, rendered by the server, without external files.
//!
//! The pages work without scripts: such a browser reloads them every two seconds, or every ten where a job has ended. A
//! browser with scripts replaces only the part below the head, so a refresh does not interrupt somebody who types into
//! the search box.

mod button;
mod job;
mod layout;
mod overview;
mod parts;
mod pretty_json;

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use maud::html;
use mjq_producer::contract::JobId;
use serde::Deserialize;

use self::{layout::Layout, overview::Overview};
use super::Admin;
use crate::ledger::{Standing, ViewError};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("favicon.svg");

/// How many jobs each list shows.
const LINES: usize = 12;

/// The pages' routes.
pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/", get(overview))
        .route("/jobs", get(find))
        .route("/jobs/{id}", get(job))
        .route("/favicon.svg", get(async || ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)))
}

async fn overview(State(admin): State<Admin>) -> Response {
    let layout = Layout::of(&admin);
    let overview = async {
        let counts = admin.counts().await.ok_or(ViewError::Late)?;
        let (latest, held, unknown, failures, pods, rejected) = tokio::try_join!(
            admin.ledger.latest(LINES),
            admin.ledger.standing(Standing::Held, LINES),
            admin.ledger.standing(Standing::Unknown, LINES),
            admin.ledger.failures(LINES),
            admin.ledger.workers(),
            admin.ledger.rejected(5),
        )?;
        let standing = [held, unknown].concat();
        Ok::<_, ViewError>(Overview { counts, latest, standing, failures, pods, rejected })
    };
    match overview.await {
        Ok(overview) => layout.live("overview", overview.show()).into_response(),
        Err(error) => redis_is_away(&layout, &error),
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    id: String,
}

/// The target of the search box.
async fn find(State(admin): State<Admin>, Query(search): Query<Search>) -> Response {
    match JobId::new(search.id.trim()) {
        // These two ids have no address of their own: a browser takes `.` and `..` for parts of the path.
        Ok(id) if id.as_str() == "." || id.as_str() == ".." => show_job(&admin, &id).await,
        Ok(id) => Redirect::to(&parts::job_href(&id)).into_response(),
        Err(_) if search.id.trim().is_empty() => Redirect::to("/").into_response(),
        Err(error) => not_found(&Layout::of(&admin), "This is not a job's id", &format!("{error}.")),
    }
}

async fn job(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    match JobId::new(&id) {
        Ok(id) => show_job(&admin, &id).await,
        Err(error) => not_found(&Layout::of(&admin), "This is not a job's id", &format!("{error}.")),
    }
}

async fn show_job(admin: &Admin, id: &JobId) -> Response {
    let layout = Layout::of(admin);
    match admin.ledger.job(id).await {
        Ok(Some(view)) if view.phase.is_terminal() => layout.calm(id.as_str(), job::show(&view)).into_response(),
        Ok(Some(view)) => layout.live(id.as_str(), job::show(&view)).into_response(),
        Ok(None) => {
            let words = html! {
                "The ledger does not know " b { (id) } ". It is not admitted yet, was never enqueued, "
                "or ended longer ago than the retention."
            };
            let page = layout.live("not known", layout::message("No such job", words));
            (StatusCode::NOT_FOUND, page).into_response()
        }
        Err(error) => redis_is_away(&layout, &error),
    }
}

/// The page for an unknown address.
pub(super) fn nothing_here(admin: &Admin) -> Response {
    not_found(&Layout::of(admin), "There is nothing here", "The overview is behind the name in the upper left.")
}

fn not_found(layout: &Layout, title: &str, words: &str) -> Response {
    (StatusCode::NOT_FOUND, layout.still(title, layout::message(title, html! { (words) }))).into_response()
}

fn redis_is_away(layout: &Layout, error: &ViewError) -> Response {
    let words = match error {
        ViewError::Late => "It did not answer in time. Jobs are safe there; this page goes on when it is back.",
        ViewError::Redis(_) => "It cannot be asked. Jobs are safe there; this page goes on when it is back.",
    };
    let banner = html! { div .banner.bad { b { "Redis does not answer." } (words) } };
    (StatusCode::SERVICE_UNAVAILABLE, layout.live("Redis does not answer", banner)).into_response()
}
