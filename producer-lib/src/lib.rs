//! Enqueue jobs for mjq and read their events.
//!
//! Read in this order:
//!
//! 1. [`contract`]: the wire, version 1. Plain types; no Redis, no async. `CONTRACT.md` is its document.
//! 2. [`ImagineJob`] and [`ActionJob`]: builders that refuse a bad job before it is sent.
//! 3. [`Producer`]: puts jobs into the queue.
//! 4. [`EventReader`]: takes events out of it, as a member of a consumer group.
//! 5. [`FakeProducer`]: stands in for a producer in the unit tests of a service that is written against [`Enqueue`].
//! 6. [`RedisLink`]: the connection beneath both, for a plain, TLS, Sentinel or Cluster URL.
//!
//! What it promises: a job that [`Producer::enqueue`] returned an id for is in Redis. What it does
//! not promise: that the id is new. The same id with the same body is the same job, so
//! enqueueing again after a lost answer is always safe when the caller chose the id.

pub mod contract;

mod builders;
mod events;
mod fake;
mod link;
mod producer;
mod redis_url;

pub use builders::{ActionJob, ImagineJob, InvalidJob};
pub use events::{Delivery, EventReader, ReadError, Unreadable};
pub use fake::FakeProducer;
pub use link::RedisLink;
pub use producer::{Enqueue, EnqueueError, Producer};
pub use redis_url::{LinkError, RedisTopology};
