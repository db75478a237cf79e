//! Enqueue jobs for mjq and read their events.
//!
//! Read in this order:
//!
//! 1. [`contract`]: the wire, version 1. Plain types; no Redis, no async. `CONTRACT.md` describes it.
//! 2. [`ImagineJob`] and [`ActionJob`]: builders that refuse a bad job before it is sent.
//! 3. [`Producer`]: puts jobs into the queue.
//! 4. [`EventReader`]: takes events out of the queue, as a member of a consumer group.
//! 5. [`FakeProducer`]: stands in for a producer in the unit tests of a service that is written against [`Enqueue`].
//! 6. [`RedisLink`]: the connection beneath both, for a plain, TLS, Sentinel or Cluster URL.
//!
//! The crate promises that a job is in Redis once [`Producer::enqueue`] has returned its id. It does not promise that
//! the id is new: the same id with the same body is the same job. So it is always safe to enqueue a job again after a
//! lost answer if the caller chose the id.

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
