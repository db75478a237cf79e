//! The wire, version 1: what goes into the job stream and what comes out of the event stream.
//!
//! Everything here is data and pure functions, so that any tool can use it without a Redis client
//! or an async runtime. For other languages, `CONTRACT.md` in this crate's folder says the same in
//! words, `schema/*.json` as JSON Schemas that are generated from these types, and `golden/*.json` as test vectors.

mod button;
mod closed_set;
mod command;
mod digest;
mod entry;
mod event;
mod ids;
mod job;
mod malformed;
mod options;
mod request;
#[cfg(test)]
mod schema;
mod strict;
mod surrogates;

pub use button::Button;
pub use closed_set::NotInSet;
pub use command::{Command, ModalInput};
pub use entry::Entry;
pub use event::{Code, Event, EventData, EventType, MissingField, Timings};
pub use ids::{InvalidJobId, InvalidQueueName, JobId, QueueName, TaskId};
pub use job::{FollowUp, Job, Kind, MAX_JOB_BYTES};
pub use malformed::Malformed;
pub use options::{MAX_DEADLINE_S, OnCapacity, OnUnknown, Options, Priority};
pub use request::{ParentButton, Request, RequestError};

/// The version of the wire: the value of field `v` in every entry.
pub const VERSION: &str = "1";
