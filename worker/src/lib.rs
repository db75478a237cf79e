//! The worker of mjq: a durable job queue for Midjourney-style image APIs.

pub mod admin;
pub mod cli;
pub mod engine;
pub mod ledger;
pub mod lifecycle;
pub mod settings;
pub mod telemetry;
pub mod upstream;

mod metric_handles;
mod planted_bug;
mod root_cause;
mod shown;
mod waits;
