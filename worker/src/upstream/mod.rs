//! The HTTP edge: asks the upstream API, and says what its answers mean.
//!
//! Each call makes one HTTP exchange, never two, and returns an [`Observation`](crate::lifecycle::Observation): nothing
//! here retries, waits, stores or decides what becomes of a job. Pure functions read the answers; only `client`, `http`
//! and `key` do I/O.
//!
//! The edge promises that an answer counts as a refusal only when it says that no task was made. When that cannot be
//! known, the answer is [`Unanswered`](crate::lifecycle::Observation::Unanswered), so that nobody pays twice by
//! mistake. The answer to a poll is a verdict only when it shows the very task that was asked for.
//!
//! Reading order: `settings`, `answer`, `classify_submit`, `classify_poll`, `client`.

mod settings;

mod answer;
mod classify_list;
mod classify_poll;
mod classify_submit;
mod failure_class;
mod hint;
mod refusal_text;
mod retry_after;

mod fail_reason;
mod json;
mod picture;
mod said;
mod salvage;
mod task_object;
mod task_status;
mod task_values;
mod tidy;

mod address;
mod body_memory;
mod client;
mod decode;
mod http;
mod key;
mod mend;
mod metering;

pub use answer::{Answer, Exchange, Failure};
pub use classify_list::{Batch, TaskList};
pub use classify_poll::classify_poll;
pub use classify_submit::{Sent, classify_submit};
pub use client::{Upstream, UpstreamError};
pub use failure_class::class_of_failure;
pub use hint::Hint;
pub use metering::{AnswerClass, EndpointClass};
pub use retry_after::read_retry_after;
pub use settings::UpstreamSettings;

pub(crate) use body_memory::BodyMemory;

#[cfg(test)]
mod classify_submit_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod dialect_tests;
#[cfg(test)]
mod leads_tests;
