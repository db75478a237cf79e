//! The wire, version 1: what goes into the job stream and what comes out of the event stream.
//!
//! Everything here is data and pure functions, so that any tool can use it without a Redis client
//! or an async runtime. For other languages, `CONTRACT.md` in this crate's folder says the same in
//! words, `schema/*.json` as JSON Schemas that are generated from these types, and `golden/*.json` as test vectors.

mod command;
mod entry;
mod event;
mod ids;
mod job;
mod request;
#[cfg(test)]
mod schema;
mod strict;
mod surrogates;

pub use command::{Command, ModalInput};
pub use entry::{Entry, Malformed};
pub use event::{Code, Event, EventData, EventType, MissingField, Timings};
pub use ids::{InvalidJobId, InvalidQueueName, JobId, QueueName, TaskId};
pub use job::{FollowUp, Job, Kind, MAX_DEADLINE_S, MAX_JOB_BYTES, OnCapacity, OnUnknown, Options, Priority};
pub use request::{ParentButton, Request, RequestError};

/// The version of the wire, the value of every entry's field `v`.
pub const VERSION: &str = "1";
