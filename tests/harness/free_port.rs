//! Ports for servers that must know their port before they start.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpSocket;

// Below the range from which systems take ports for outgoing connections (from 32768 on Linux). So no client's
// connection occupies the port of a server that a test has just killed and wants to start again.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port on 127.0.0.1 that was free a moment ago. This process gives it out only once in 12,000 calls.
///
/// Each process begins at another port, so that test binaries that run at the same time rarely get the same one. It can
/// happen, so a caller that starts a server should be ready to try another port.
///
/// # Errors
/// When nothing in the range can be bound.
pub fn free_port() -> anyhow::Result<u16> {
    let start = std::process::id().wrapping_mul(7919) % COUNT;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| can_be_bound(*port))
        .ok_or_else(|| anyhow::anyhow!("no free port between {FIRST} and {}", FIRST + COUNT))
}

/// Whether the port is free. The probing socket binds the port without listening: a program that another thread starts
/// at this moment holds a copy of the socket for a while, and a listening copy would keep the caller's server from the
/// port.
fn can_be_bound(port: u16) -> bool {
    let is_bound = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    TcpSocket::new_v4().and_then(is_bound).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_port_can_be_listened_on_while_other_threads_start_programs() -> anyhow::Result<()> {
        let starts = || (0..200).try_for_each(|_| Command::new("true").status().map(drop));
        let starters = [(); 3].map(|()| std::thread::spawn(starts));

        while starters.iter().any(|starter| !starter.is_finished()) {
            TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?))?;
        }

        for starter in starters {
            starter.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_given_out() -> anyhow::Result<()> {
        let port = free_port()?;
        assert!(can_be_bound(port));

        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;

        assert!(!can_be_bound(port));
        Ok(())
    }
}
