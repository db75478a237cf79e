//! HTTP in: health, metrics, a JSON API and the dashboard of one pod.
//!
//! | path | what |
//! |---|---|
//! | `/livez`, `/readyz` | for whoever restarts pods and sends them work |
//! | `/metrics` | Prometheus: this pod's counters, and gauges of the whole queue |
//! | `/api/v1/…` | the queue and its jobs as JSON |
//! | `/`, `/jobs/{id}` | the same for people |
//!
//! What it promises: nothing here holds up the engine or shows a secret, and nothing changes anything but a POST with
//! `MJQ_ADMIN_TOKEN` (`api/act.rs`). Every answer takes a bounded time and a bounded amount of Redis, also when Redis
//! does not answer. What it does not do: ask who looks. It listens on a private address, or behind something that asks.
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
