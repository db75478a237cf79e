//! Ports for servers that have to know theirs before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

// Below the range from which systems take ports for outgoing connections (from 32768 on Linux), so that no client's
// connection sits on the port of a server that a test has just killed and wants to start again.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port on 127.0.0.1 that was free a moment ago and that this process gives out only once in 12,000 calls.
///
/// Each process begins somewhere else, so that test binaries that run at the same time rarely meet. They can: who
/// starts a server on it should be ready to try another one.
///
/// # Errors
/// When nothing in the range can be bound.
pub fn free_port() -> anyhow::Result<u16> {
    let start = std::process::id().wrapping_mul(7919) % COUNT;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| anyhow::anyhow!("no free port between {FIRST} and {}", FIRST + COUNT))
}
