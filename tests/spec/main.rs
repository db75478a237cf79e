//! The specification: what mjq promises, seen from outside.
//!
//! Read the names of the tests top to bottom. Each test starts real workers on a real Redis against a simulated
//! upstream that keeps books of what it billed; nothing here knows a type of the worker. What is promised to callers
//! comes first, then what holds when things break, then what operators see.

mod support;

mod enqueue;

mod completion;

mod code_22;

mod rejects;

mod actions;

mod ids_and_state;

mod upstream_answers;

mod capacity;

mod limits;

mod adoption;

mod hooks;

mod late;
mod modal;

mod backlog;

mod breaker;

mod crash;

mod redis_restart;

mod redis_rights;

mod redis_strangers;

mod distant_redis;

mod redis_rollback;

mod drain;

mod producer_library;

mod deployments;

mod cli;

mod pause;

mod retry;

mod admin;
