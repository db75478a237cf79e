//! A TCP proxy that imitates the faults of networks.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::free_port;

/// The state of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Carries everything.
    Fine,
    /// Carries everything, delayed by this much in both directions.
    Slow(Duration),
    /// Resets all current and all new connections.
    Resets,
    /// Resets all current connections. New connections are fine.
    Breaks,
    /// Accepts everything and delivers nothing. New connections are accepted, too.
    BlackHole,
    /// Current connections never carry anything again, not even in a later state, and no end is told. New connections
    /// are fine.
    HalfOpen,
    /// Closes each connection after this many bytes from the target to the client.
    CutsAfter(usize),
    /// Refuses new connections, and resets the current ones.
    Refuses,
}

/// A proxy in front of one target. It stops when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    target: watch::Sender<SocketAddr>,
    server: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy on a port of 127.0.0.1 that stays the same.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn before(target: SocketAddr) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let listener = TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))?;
        let network = watch::Sender::new(Network::Fine);
        let target = watch::Sender::new(target);
        let server = tokio::spawn(serve(listener, address, network.subscribe(), target.subscribe()));
        Ok(Self { address, network, target, server })
    }

    /// The address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the state of the network from now on.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Leads new connections to another target.
    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    mut network: watch::Receiver<Network>,
    target: watch::Receiver<SocketAddr>,
) {
    let mut listener = Some(listener);
    let mut lines = JoinSet::new();
    loop {
        if *network.borrow_and_update() == Network::Refuses {
            listener = None;
        } else if listener.is_none() {
            // If the port is taken, the next round tries again. That is rare: the port lies outside the range of
            // outgoing connections.
            listener = TcpListener::bind(address).await.ok();
        }
        tokio::select! {
            changed = network.changed() => if changed.is_err() { return },
            Some(client) = accept(listener.as_ref()) => {
                let target = *target.borrow();
                lines.spawn(carry(client, target, network.clone()));
            }
            Some(_) = lines.join_next(), if !lines.is_empty() => {}
            () = tokio::time::sleep(Duration::from_millis(100)), if listener.is_none() => {}
        }
    }
}

/// The next client. Waits for ever when the proxy does not listen.
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut network: watch::Receiver<Network>) {
    // These states apply only to connections that were open when they began, and this one is newer.
    let is_new = matches!(*network.borrow_and_update(), Network::HalfOpen | Network::Breaks);
    let Ok(server) = TcpStream::connect(target).await else { return reset(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = copy(from_client, to_server, network.clone(), is_new, false);
    let down = copy(from_server, to_client, network, is_new, true);
    let (up, down) = (tokio::spawn(up), tokio::spawn(down));
    let (up, down) = (up.await.ok(), down.await.ok());
    let (Some((from_client, to_server, one)), Some((from_server, to_client, other))) = (up, down) else { return };
    if one == End::Reset || other == End::Reset {
        for (read, write) in [(from_client, to_client), (from_server, to_server)] {
            if let Ok(stream) = read.reunite(write) {
                reset(&stream);
            }
        }
    }
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// Carries one direction until its end. Returns the halves, so that both directions can be reset.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    is_new: bool,
    is_way_back: bool,
) -> (OwnedReadHalf, OwnedWriteHalf, End) {
    let mut buffer = vec![0; 16 * 1024];
    let mut carried = 0;
    let mut is_dead = false;
    // Delayed data, with the times of its arrival.
    let mut late: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let end = loop {
        let now = *network.borrow_and_update();
        is_dead |= now == Network::HalfOpen && !is_new;
        match now {
            Network::Resets | Network::Refuses if !is_dead => break End::Reset,
            Network::Breaks if !is_new && !is_dead => break End::Reset,
            Network::CutsAfter(bytes) if is_way_back && carried >= bytes && !is_dead => break End::Closed,
            _ => {}
        }
        let count = tokio::select! {
            changed = network.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break End::Closed,
            },
            chunk = next_arrival(&mut late), if !is_dead => match to.write_all(&chunk).await {
                Ok(()) => continue,
                Err(_) => break End::Closed,
            },
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break End::Closed,
                Ok(count) => count,
            },
        };
        let chunk = match now {
            _ if is_dead => continue,
            Network::BlackHole => continue,
            Network::Slow(delay) => {
                late.push_back((Instant::now() + delay, buffer[..count].to_vec()));
                continue;
            }
            _ if !late.is_empty() => {
                late.push_back((Instant::now(), buffer[..count].to_vec()));
                continue;
            }
            Network::CutsAfter(bytes) if is_way_back => &buffer[..count.min(bytes.saturating_sub(carried))],
            _ => &buffer[..count],
        };
        carried += chunk.len();
        if to.write_all(chunk).await.is_err() {
            break End::Closed;
        }
    };
    while end == End::Closed && !is_dead && !late.is_empty() {
        let chunk = next_arrival(&mut late).await;
        let _ = to.write_all(&chunk).await;
    }
    let _ = to.shutdown().await;
    (from, to, end)
}

/// The next delayed data, at the time of its arrival. Waits for ever when there is none.
async fn next_arrival(late: &mut VecDeque<(Instant, Vec<u8>)>) -> Vec<u8> {
    let Some((arrives, _)) = late.front() else { return std::future::pending().await };
    tokio::time::sleep_until(*arrives).await;
    late.pop_front().map(|(_, chunk)| chunk).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers everything twice, and a proxy in front of it.
    async fn a_proxy() -> anyhow::Result<FaultProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let target = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = client.read(&mut buffer).await {
                        let twice = [&buffer[..count], &buffer[..count]].concat();
                        if client.write_all(&twice).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        FaultProxy::before(target).await
    }

    async fn say(line: &mut TcpStream, words: &str) -> std::io::Result<String> {
        line.write_all(words.as_bytes()).await?;
        let mut buffer = [0; 64];
        match tokio::time::timeout(Duration::from_millis(300), line.read(&mut buffer)).await {
            Ok(read) => Ok(String::from_utf8_lossy(&buffer[..read?]).into_owned()),
            Err(_) => Ok("(silence)".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_fine_network_carries_and_a_black_hole_does_not() -> anyhow::Result<()> {
        let proxy = a_proxy().await?;
        let mut line = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut line, "ab").await?, "abab");

        proxy.set(Network::BlackHole);
        assert_eq!(say(&mut line, "ab").await?, "(silence)");

        proxy.set(Network::Fine);
        assert_eq!(say(&mut line, "cd").await?, "cdcd");
        Ok(())
    }

    #[tokio::test]
    async fn a_slow_network_carries_everything_later_and_in_order() -> anyhow::Result<()> {
        let proxy = a_proxy().await?;
        proxy.set(Network::Slow(Duration::from_millis(100)));
        let mut line = TcpStream::connect(proxy.address()).await?;
        let began = Instant::now();

        line.write_all(b"ab").await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.write_all(b"cd").await?;
        let mut heard = [0; 4];
        line.read_exact(&mut heard).await?;
        assert_eq!((&heard, began.elapsed() >= Duration::from_millis(200)), (b"abab", true));
        proxy.set(Network::Fine);
        line.write_all(b"ef").await?;
        let mut heard = [0; 8];
        line.read_exact(&mut heard).await?;

        assert_eq!(&heard, b"cdcdefef");
        Ok(())
    }

    #[tokio::test]
    async fn a_half_open_connection_stays_silent_and_a_new_one_is_fine() -> anyhow::Result<()> {
        let proxy = a_proxy().await?;
        let mut old = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut old, "ab").await?, "abab");

        proxy.set(Network::HalfOpen);
        assert_eq!(say(&mut old, "ab").await?, "(silence)");
        let mut new = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut new, "ab").await?, "abab");

        proxy.set(Network::Fine);
        assert_eq!(say(&mut old, "ab").await?, "(silence)");
        assert_eq!(say(&mut new, "ab").await?, "abab");
        Ok(())
    }

    #[tokio::test]
    async fn a_broken_connection_is_reset_and_a_new_one_is_fine() -> anyhow::Result<()> {
        let proxy = a_proxy().await?;
        let mut old = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut old, "ab").await?, "abab");

        proxy.set(Network::Breaks);
        let mut new = TcpStream::connect(proxy.address()).await?;

        assert_eq!(say(&mut new, "ab").await?, "abab");
        assert_ne!(say(&mut old, "ab").await.unwrap_or_default(), "abab");
        Ok(())
    }

    #[tokio::test]
    async fn connections_are_reset_cut_and_refused() -> anyhow::Result<()> {
        let proxy = a_proxy().await?;
        let mut line = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut line, "ab").await?, "abab");

        proxy.set(Network::Resets);
        // The client may see the end of the connection before the reset.
        let mut is_reset = false;
        for _ in 0..100 {
            is_reset |= say(&mut line, "ab").await.is_err();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(is_reset);

        proxy.set(Network::CutsAfter(3));
        let mut line = TcpStream::connect(proxy.address()).await?;
        assert_eq!(say(&mut line, "ab").await?, "aba");

        proxy.set(Network::Refuses);
        let mut is_refused = false;
        for _ in 0..100 {
            is_refused |= TcpStream::connect(proxy.address()).await.is_err();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(is_refused);

        proxy.set(Network::Fine);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(say(&mut TcpStream::connect(proxy.address()).await?, "ab").await?, "abab");
        Ok(())
    }
}
