//! What the tests share: a quick stack, jobs in a few words, and questions to the simulator's books.

mod books;
mod cli;
mod far_redis;
mod job_view;
mod jobs;
mod metrics;
mod recorder;
mod redis_deployment;
mod verdicts;

pub(crate) use books::{creation_of, turned_away};
pub(crate) use cli::Cli;
pub(crate) use far_redis::FarRedis;
pub(crate) use job_view::{job_view, wait_for_phase};
pub(crate) use jobs::{a_stack, a_stack_with_hooks, action, foxes, imagine, now_ms, with};
pub(crate) use metrics::metric;
pub(crate) use recorder::Recorder;
pub(crate) use redis_deployment::{ClusterNode, SentinelPair, TlsRedis};
pub(crate) use verdicts::{one_event_for_each, submitted_once};
