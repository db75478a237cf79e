//! The connection to Redis: one URL for a plain, TLS, Sentinel or Cluster deployment.
//!
//! A [`RedisLink`] connects at its first use and again after each failure. No call on it can hang, because every
//! command has a deadline. The link does not retry a command: only the caller knows whether a second execution is
//! harmless. A Cluster's client, however, sends a command again by itself after it has lost a connection, so a command
//! to a Cluster must be harmless to repeat.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
};
use tokio::sync::{Mutex, watch};

use crate::redis_url::{LinkError, RedisTopology, Source};

/// A shared connection to Redis that reconnects after failures. Clones share the connection.
#[derive(Clone)]
pub struct RedisLink(Arc<Link>);

struct Link {
    source: Source,
    response_timeout: Duration,
    current: Mutex<Current>,
    /// The latest generation that has failed. It is outside the lock, because a call that connects holds the lock of
    /// `current` for seconds. All calls over a failed connection fail together; otherwise each would wait for a dead
    /// host as long as the first did.
    spoiled: watch::Sender<u64>,
}

/// The connection in use, if there is one.
struct Current {
    // Tells a connection that failed from its replacement.
    generation: u64,
    begun: Instant,
    connection: Option<Connection>,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisLink {
    /// How long one command may take by default.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// After a failover, all pods have to be back within the time that the workers wait for each other
    /// (`scripts/prelude/server.lua` in the worker). This includes a pod that has just begun to connect to the dead
    /// host.
    pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Reads the URL. It does not connect yet.
    ///
    /// # Errors
    /// [`LinkError`] says what was expected. It never repeats the URL, because a URL may hold a password.
    pub fn open(url: &str) -> Result<Self, LinkError> {
        Self::open_with_timeout(url, Self::RESPONSE_TIMEOUT)
    }

    /// Reads the URL. Each command may take `response_timeout`, which must be longer than any blocking read.
    ///
    /// # Errors
    /// As [`RedisLink::open`].
    pub fn open_with_timeout(url: &str, response_timeout: Duration) -> Result<Self, LinkError> {
        // Both of our crates that use TLS install ring. The second installation fails, which is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let source = Source::read(url, response_timeout)?;
        let current = Mutex::new(Current { generation: 0, begun: Instant::now(), connection: None });
        Ok(Self(Arc::new(Link { source, response_timeout, current, spoiled: watch::channel(0).0 })))
    }

    /// How the Redis behind this link is deployed.
    #[must_use]
    pub fn topology(&self) -> RedisTopology {
        match self.0.source {
            Source::Single(_) => RedisTopology::Single,
            Source::Sentinel(..) => RedisTopology::Sentinel,
            Source::Cluster(..) => RedisTopology::Cluster,
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// Any error of Redis or of the network. After a network error the command may or may not have been carried out.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let (generation, connection) = self.connection().await?;
        let answer = async {
            match connection {
                Connection::Single(mut connection) => command.query_async(&mut connection).await,
                Connection::Cluster(mut connection) => command.query_async(&mut connection).await,
            }
        };
        self.bounded(generation, answer).await
    }

    /// Sends several commands in one round trip. Redis may run commands of other clients between them.
    ///
    /// # Errors
    /// As [`RedisLink::query`], with the first error of any of the commands.
    pub async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let (generation, connection) = self.connection().await?;
        let answer = async {
            match connection {
                Connection::Single(mut connection) => commands.query_async(&mut connection).await,
                Connection::Cluster(mut connection) => commands.query_async(&mut connection).await,
            }
        };
        self.bounded(generation, answer).await
    }

    /// Gives up the connection if it is older than `moment`: the next command makes a new one.
    ///
    /// For callers that cannot wait until a silent connection turns out to be half-open.
    pub fn give_up_older_than(&self, moment: Instant) {
        // If the lock is taken, another call is about to connect.
        if let Ok(mut current) = self.0.current.try_lock()
            && current.begun < moment
        {
            current.connection = None;
        }
    }

    async fn bounded<T>(&self, generation: u64, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        // The client has its own deadline; this one also covers a Cluster's redirections.
        let limit = self.0.response_timeout + Self::CONNECT_TIMEOUT;
        let mut spoiled = self.0.spoiled.subscribe();
        let result = tokio::select! {
            // An answer that has arrived counts, even if another call has failed.
            biased;
            result = tokio::time::timeout(limit, answer) => result.unwrap_or_else(|_| Err(timed_out())),
            _ = spoiled.wait_for(|spoiled| *spoiled >= generation) => Err(timed_out()),
        };
        if result.as_ref().is_err_and(spoils_the_connection) {
            self.forget(generation);
        }
        result
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        // Another call may hold the lock while it connects. If that call fails, waiting calls must not connect one
        // after the other.
        let Ok(mut current) = tokio::time::timeout(Self::CONNECT_TIMEOUT, self.0.current.lock()).await else {
            return Err(timed_out());
        };
        if current.generation <= *self.0.spoiled.borrow() {
            current.connection = None;
        }
        if let Some(connection) = &current.connection {
            return Ok((current.generation, connection.clone()));
        }
        // Boxed, because the future is large and rarely needed: every call would have to reserve room for it.
        let connection = Box::pin(self.0.source.connect(self.0.response_timeout)).await?;
        let generation = current.generation + 1;
        *current = Current { generation, begun: Instant::now(), connection: Some(connection.clone()) };
        Ok((generation, connection))
    }

    /// Gives up a failed connection at once, even while another call connects.
    fn forget(&self, generation: u64) {
        self.0.spoiled.send_if_modified(|spoiled| {
            let is_news = generation > *spoiled;
            *spoiled = generation.max(*spoiled);
            is_news
        });
    }
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").field("topology", &self.topology()).finish_non_exhaustive()
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Whether the next command needs a new connection.
///
/// A time-out counts, because a half-open connection would never deliver anything else. READONLY counts, because a
/// former master answers so after a failover.
fn spoils_the_connection(error: &RedisError) -> bool {
    // Before Redis 7, a script's error has its code only in its text.
    let is_read_only = || error.code() == Some("READONLY") || error.to_string().contains("READONLY");
    error.is_io_error() || error.is_unrecoverable_error() || is_read_only()
}

impl Source {
    async fn connect(&self, response_timeout: Duration) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RedisLink::CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let connecting = async {
            match self {
                Self::Single(client) => {
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Sentinel(client, _) => {
                    client.lock().await.get_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Cluster(client, _) => client.get_async_connection().await.map(Connection::Cluster),
            }
        };
        // The client asks Sentinels and Cluster nodes one after the other, each with its own time-out.
        match tokio::time::timeout(RedisLink::CONNECT_TIMEOUT * 3, connecting).await {
            Ok(result) => result,
            Err(_) => Err(timed_out()),
        }
        .map_err(|error| at_place(error, &self.place()))
    }
}

/// Adds the address to a network error. Errors that a server has sent stay as they are.
fn at_place(error: RedisError, place: &str) -> RedisError {
    if !error.is_io_error() {
        return error;
    }
    // The kind must stay, because callers decide by it.
    let kind = match () {
        () if error.is_connection_refusal() => std::io::ErrorKind::ConnectionRefused,
        () if error.is_timeout() => std::io::ErrorKind::TimedOut,
        () if error.is_connection_dropped() => std::io::ErrorKind::ConnectionReset,
        () => std::io::ErrorKind::Other,
    };
    std::io::Error::new(kind, format!("{place}: {error}")).into()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_command_that_failed_does_not_wait_for_whoever_connects() -> anyhow::Result<()> {
        let link = RedisLink::open("redis://127.0.0.1:1/")?;
        let _connecting = link.0.current.lock().await;

        let failed = async { Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()) };
        let answer = tokio::time::timeout(Duration::from_millis(200), link.bounded::<()>(1, failed)).await;

        assert!(answer?.is_err());
        Ok(())
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_without_its_password() -> anyhow::Result<()> {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let link = RedisLink::open(&format!("redis://user:secret@{free}/"))?;

        let error = link.query::<String>(&redis::cmd("PING")).await.unwrap_err();

        let words = error.to_string();
        assert!(words.starts_with(&format!("{free}: ")) && words.contains("refused"), "{words}");
        assert!(error.is_io_error() && error.is_connection_refusal() && !words.contains("secret"), "{words}");
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_that_failed_is_replaced_and_its_successor_is_not() -> anyhow::Result<()> {
        let redis = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let link = RedisLink::open(&format!("redis://{}/", redis.local_addr()?))?;
        tokio::spawn(async move {
            while let Ok((client, _)) = redis.accept().await {
                tokio::spawn(say_ok_to_everything(client));
            }
        });

        let (first, _) = link.connection().await?;
        link.forget(first);
        let (second, _) = link.connection().await?;
        link.forget(first);
        let (third, _) = link.connection().await?;

        assert_eq!((first, second, third), (1, 2, 2));
        Ok(())
    }

    #[tokio::test]
    async fn calls_fail_with_the_connection_that_they_are_made_over() -> anyhow::Result<()> {
        let link = RedisLink::open("redis://127.0.0.1:1/")?;

        let (over_the_first, other) = (link.clone(), link.clone());
        let waiting = tokio::spawn(async move { over_the_first.bounded::<()>(1, std::future::pending()).await });
        let going_on = tokio::spawn(async move { other.bounded::<()>(2, std::future::pending()).await });
        link.forget(1);

        assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await??.is_err());
        assert!(!going_on.is_finished());
        Ok(())
    }

    /// Answers every command that a client sends when it connects.
    async fn say_ok_to_everything(mut client: tokio::net::TcpStream) -> std::io::Result<()> {
        let mut asked = [0; 1024];
        loop {
            let bytes = client.read(&mut asked).await?;
            if bytes == 0 {
                return Ok(());
            }
            let commands = asked[..bytes].iter().filter(|byte| **byte == b'*').count();
            client.write_all("+OK\r\n".repeat(commands).as_bytes()).await?;
        }
    }
}
