//! The worker of mjq: a durable job queue for Midjourney-style image APIs.

pub mod lifecycle;
