//! The connection to Redis: one URL, four ways to be deployed.
//!
//! A [`RedisLink`] connects when it is first used and again after each failure, and no call on it
//! can hang: every command has a deadline. It does not retry a command, because only the caller
//! knows whether doing it twice is harmless. A Cluster's client, however, sends a command again by
//! itself after it has lost a connection: a command to a Cluster must be harmless to repeat.

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

/// A shared connection to Redis that mends itself. Clones share it.
#[derive(Clone)]
pub struct RedisLink(Arc<Link>);

struct Link {
    source: Source,
    response_timeout: Duration,
    current: Mutex<Current>,
    /// The latest generation that has failed. No lock: whoever connects holds that of `current` for seconds. All calls over
    /// its connection fail with it: each would otherwise wait for a dead host for as long as the first did.
    spoiled: watch::Sender<u64>,
}

/// The connection in use, if there is one.
struct Current {
    // The number tells a connection that failed from the one that has replaced it since.
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
    /// How long one command may take, unless said otherwise.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// After a failover all pods have to be back within the time that the workers wait for each other
    /// (`scripts/prelude/server.lua` in the worker), also one that has just begun to connect to the host that died.
    pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Reads the URL. It does not connect yet.
    ///
    /// # Errors
    /// [`LinkError`] says what was expected. It never repeats the URL, which may hold a password.
    pub fn open(url: &str) -> Result<Self, LinkError> {
        Self::open_with_timeout(url, Self::RESPONSE_TIMEOUT)
    }

    /// Reads the URL; each command may take `response_timeout`, which blocking reads must exceed.
    ///
    /// # Errors
    /// As [`RedisLink::open`].
    pub fn open_with_timeout(url: &str, response_timeout: Duration) -> Result<Self, LinkError> {
        // Both crates of ours that speak TLS use ring; whoever comes second finds it installed.
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
    /// Whatever Redis or the network says. After an error of the network the command may or may
    /// not have been carried out.
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

    /// Sends several commands in one round trip. They need not be carried out together.
    ///
    /// # Errors
    /// As [`RedisLink::query`]; the first error of any of them.
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
    /// For those who cannot wait until a silent connection turns out to be half-open.
    pub fn give_up_older_than(&self, moment: Instant) {
        // Whoever holds the lock is about to connect.
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
            // What has come counts, also when another call has failed.
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
        // Whoever holds it may be connecting. To go on after that fails would be to connect anew, one after the other.
        let Ok(mut current) = tokio::time::timeout(Self::CONNECT_TIMEOUT, self.0.current.lock()).await else {
            return Err(timed_out());
        };
        if current.generation <= *self.0.spoiled.borrow() {
            current.connection = None;
        }
        if let Some(connection) = &current.connection {
            return Ok((current.generation, connection.clone()));
        }
        // Boxed: it is large and rare, and every call would have to keep room for it.
        let connection = Box::pin(self.0.source.connect(self.0.response_timeout)).await?;
        let generation = current.generation + 1;
        *current = Current { generation, begun: Instant::now(), connection: Some(connection.clone()) };
        Ok((generation, connection))
    }

    /// Gives up a connection that has failed, at once, even while somebody connects.
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

/// Whether the next command should have a new connection.
///
/// A time-out counts: over a half-open connection nothing else would ever come. READONLY counts:
/// it is what a former master says after a failover.
fn spoils_the_connection(error: &RedisError) -> bool {
    // Before Redis 7, a script's error has its code in its words.
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
        // Sentinels and Cluster nodes are asked one after the other, each with its own time-out.
        match tokio::time::timeout(RedisLink::CONNECT_TIMEOUT * 3, connecting).await {
            Ok(result) => result,
            Err(_) => Err(timed_out()),
        }
        .map_err(|error| at_place(error, &self.place()))
    }
}

/// Names the server that the network did not lead to; what a server has said is not changed.
fn at_place(error: RedisError, place: &str) -> RedisError {
    if !error.is_io_error() {
        return error;
    }
    // The kind must stay: callers go by it.
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

    /// Answers all that a client asks when it connects.
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
