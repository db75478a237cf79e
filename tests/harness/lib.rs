//! The base of the specification, the demo, the chaos run and the benchmark: real processes, seen from outside.
//!
//! Nothing here imports a type of the worker. A test gets a real Redis, the simulated upstream and workers as separate
//! processes. It uses only the interfaces that users have: streams, HTTP and signals.
//!
//! In reading order: [`RedisServer`] finds or starts a Redis, [`RedisProcess`] is a Redis that a test may kill,
//! [`mjq()`] is the freshly built program, [`WorkerProcess`] runs it, and [`Stack`] combines all of these for one test.
//! [`Wire`] speaks the public streams by hand, without the producer library.

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
