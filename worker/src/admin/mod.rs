//! HTTP in: health, metrics, a JSON API and the dashboard of one pod.
//!
//! | path | what |
//! |---|---|
//! | `/livez`, `/readyz` | for whoever restarts pods and sends them work |
//! | `/metrics` | Prometheus: this pod's counters, and gauges of the whole queue |
//! | `/api/v1/…` | the queue and its jobs as JSON |
//! | `/`, `/jobs/{id}` | the same for people |
//!
//! The admin server promises: it holds up no part of the engine, shows no secret, and changes something only for a POST
//! with `MJQ_ADMIN_TOKEN` (`api/act.rs`). Every answer takes a bounded time and a bounded amount of Redis's work, even
//! when Redis does not answer. The server does not authenticate readers, so it must listen on a private address or
//! behind a proxy that authenticates them.
//!
//! In reading order: [`Health`], [`metrics`], `gauges`, `counted`, `api`, `page`, `server`, `connections`.

pub mod metrics;

mod api;
mod connections;
mod counted;
mod gauges;
mod headers;
mod health;
mod page;
mod probes;
mod server;

#[cfg(test)]
mod tests;

pub use health::{Health, Readiness};
pub use server::Admin;
