//! HTTP in: health, metrics, a JSON API and the dashboard of one pod.
//!
//! | path | what |
//! |---|---|
//! | `/livez`, `/readyz` | for whoever restarts pods and sends them work |
//! | `/metrics` | Prometheus: this pod's counters, and gauges of the whole queue |
//! | `/api/v1/…` | the queue and its jobs as JSON |
//! | `/`, `/jobs/{id}` | the same for people |
//!
//! What it promises: nothing here changes anything, holds up the engine, or shows a secret. Every
//! answer takes a bounded time and a bounded amount of Redis, also when Redis does not answer. What it
//! does not do: ask who is there. It listens on a private address, or behind something that asks.
//!
//! In reading order: [`Health`], [`metrics`], `gauges`, `counted`, `api`, `page`, `server`.

pub mod metrics;

mod api;
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
