//! The specification: what mjq promises, seen from outside.
//!
//! Read the names of the tests top to bottom. Each test starts real workers on a real Redis against a simulated
//! upstream that keeps books of what it billed; nothing here knows a type of the worker. What is promised to callers
//! comes first, then what holds when things break, then what operators see.

mod support;

// Jobs in, events out.
mod completion;
mod enqueue;
mod ids_and_state;
mod producer_library;
mod rejects;

// What a job may ask for.
mod actions;
mod cancel;
mod deadlines;
mod late;
mod modal;
mod order;
mod progress;

// What the upstream answers, and how much it is asked.
mod adoption;
mod backlog;
mod breaker;
mod capacity;
mod code_22;
mod hooks;
mod limits;
mod upstream_answers;

// Pods come and go.
mod crash;
mod drain;

// Redis in all its moods.
mod deployments;
mod distant_redis;
mod redis_restart;
mod redis_rights;
mod redis_rollback;
mod redis_strangers;

// What operators see and do.
mod admin;
mod cli;
mod pause;
mod retry;
