//! What the specification, the demo, the chaos run and the benchmark stand on: real processes, seen from outside.
//!
//! Nothing here imports a type of the worker. A test gets a real Redis, the simulated upstream and workers that are
//! processes of their own, and talks to them only as a user could: by streams, by HTTP, by signals.
//!
//! In reading order: [`RedisServer`] finds or starts a Redis for whoever needs one, [`RedisProcess`] is one that a test
//! may kill, [`mjq()`] is the freshly built program, [`WorkerProcess`] runs it, and [`Stack`] puts all of it together for
//! one test. [`Wire`] speaks the public streams by hand, without the producer library.

mod captured_lines;
mod child_process;
mod event;
mod fault_proxy;
mod free_port;
mod package_manager;
mod queue_name;
mod reaper;
mod redis_container;
mod redis_options;

mod binaries;
mod cargo;
mod eventually;
mod redis_process;
mod redis_server;
mod stack;
mod wire;
mod worker_process;

pub use binaries::{mjq, mjq_with};
pub use cargo::cargo;
pub use event::Event;
pub use eventually::{PATIENCE, eventually, eventually_within};
pub use fault_proxy::{FaultProxy, Network};
pub use free_port::free_port;
pub use queue_name::unique_queue;
pub use redis_options::RedisOptions;
pub use redis_process::RedisProcess;
pub use redis_server::{RedisServer, shared_redis};
pub use stack::{Stack, StackBuilder};
pub use wire::Wire;
pub use worker_process::{Exit, WorkerBuilder, WorkerProcess};
