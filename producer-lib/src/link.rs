//! The connection to Redis: one URL, four ways to be deployed.
//!
//! A [`RedisLink`] connects when it is first used and again after each failure, and no call on it
//! can hang: every command has a deadline. It does not retry a command, because only the caller
//! knows whether doing it twice is harmless.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    RedisResult, TlsMode,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

/// How a Redis is deployed, as its URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server: `redis://` or, with TLS, `rediss://`.
    Single,
    /// A master that Sentinels name: `redis+sentinel://host:port,host:port/master-name`.
    Sentinel,
    /// A Cluster: `redis+cluster://host:port,host:port`.
    Cluster,
}

/// A shared connection to Redis that mends itself. Clones share it.
#[derive(Clone)]
pub struct RedisLink(Arc<Link>);

struct Link {
    source: Source,
    response_timeout: Duration,
    current: Mutex<Current>,
}

/// The connection in use, if there is one.
struct Current {
    // The number tells a connection that failed from the one that has replaced it since.
    generation: u64,
    begun: Instant,
    connection: Option<Connection>,
}

enum Source {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A Redis URL that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The URL has none of the known schemes.
    #[error(
        "expected redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"
    )]
    Scheme,
    /// A Sentinel URL does not name the master.
    #[error("expected redis+sentinel://host:port,host:port/master-name")]
    MasterName,
    /// The rest of the URL cannot be read.
    #[error("expected a Redis URL such as redis://user:password@host:6379/0")]
    Url(#[source] RedisError),
}

impl RedisLink {
    /// How long one command may take, unless said otherwise.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// After a failover all pods have to be back within the time that the workers wait for each other
    /// (`scripts/prelude/server.lua` in the worker), also one that has just begun to connect to the host that died.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
        Ok(Self(Arc::new(Link { source, response_timeout, current })))
    }

    /// How the Redis behind this link is deployed.
    #[must_use]
    pub fn topology(&self) -> RedisTopology {
        match self.0.source {
            Source::Single(_) => RedisTopology::Single,
            Source::Sentinel(_) => RedisTopology::Sentinel,
            Source::Cluster(_) => RedisTopology::Cluster,
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
        let result = match tokio::time::timeout(limit, answer).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        if result.as_ref().is_err_and(spoils_the_connection) {
            self.forget(generation).await;
        }
        result
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        // Whoever holds it may be connecting. To go on after that fails would be to connect anew, one after the other.
        let Ok(mut current) = tokio::time::timeout(Self::CONNECT_TIMEOUT, self.0.current.lock()).await else {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        };
        if let Some(connection) = &current.connection {
            return Ok((current.generation, connection.clone()));
        }
        let connection = self.0.source.connect(self.0.response_timeout).await?;
        let generation = current.generation + 1;
        *current = Current { generation, begun: Instant::now(), connection: Some(connection.clone()) };
        Ok((generation, connection))
    }

    async fn forget(&self, generation: u64) {
        let mut current = self.0.current.lock().await;
        if current.generation == generation {
            current.connection = None;
        }
    }
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").field("topology", &self.topology()).finish_non_exhaustive()
    }
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
    fn read(url: &str, response_timeout: Duration) -> Result<Self, LinkError> {
        let (scheme, rest) = url.split_once("://").ok_or(LinkError::Scheme)?;
        let (tls, flavour) = match scheme.replace('-', "+").as_str() {
            "redis" | "rediss" | "valkey" | "valkeys" => {
                return Client::open(url).map(|client| Self::Single(Box::new(client))).map_err(LinkError::Url);
            }
            "redis+sentinel" => (false, RedisTopology::Sentinel),
            "rediss+sentinel" => (true, RedisTopology::Sentinel),
            "redis+cluster" => (false, RedisTopology::Cluster),
            "rediss+cluster" => (true, RedisTopology::Cluster),
            _ => return Err(LinkError::Scheme),
        };
        let (user_info, places) = rest.rsplit_once('@').map_or(("", rest), |(user, places)| (user, places));
        let (hosts, path) = places.split_once('/').unwrap_or((places, ""));
        let node_url = |host: &str| {
            let scheme = if tls { "rediss" } else { "redis" };
            let at = if user_info.is_empty() { "" } else { "@" };
            format!("{scheme}://{user_info}{at}{host}")
        };
        let nodes = hosts
            .split(',')
            .map(|host| node_url(host).into_connection_info())
            .collect::<RedisResult<Vec<_>>>()
            .map_err(LinkError::Url)?;
        if flavour == RedisTopology::Cluster {
            return ClusterClientBuilder::new(nodes)
                .connection_timeout(RedisLink::CONNECT_TIMEOUT)
                .response_timeout(response_timeout)
                .build()
                .map(|client| Self::Cluster(Box::new(client)))
                .map_err(LinkError::Url);
        }
        let (master, db) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err(LinkError::MasterName);
        }
        let redis = nodes[0].redis_settings();
        let (username, password) = (redis.username().map(str::to_owned), redis.password().map(str::to_owned));
        let addresses: Vec<ConnectionAddr> = nodes.iter().map(|node| node.addr().clone()).collect();
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)
            .map_err(LinkError::Url)?
            .set_client_to_redis_db(db.parse().unwrap_or(0));
        if let Some(username) = username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_redis_password(password);
        }
        if tls {
            builder =
                builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        let client = builder.build().map_err(LinkError::Url)?;
        Ok(Self::Sentinel(Box::new(Mutex::new(client))))
    }

    async fn connect(&self, response_timeout: Duration) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RedisLink::CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let connecting = async {
            match self {
                Self::Single(client) => {
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Sentinel(client) => {
                    client.lock().await.get_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            }
        };
        // Sentinels and Cluster nodes are asked one after the other, each with its own time-out.
        match tokio::time::timeout(RedisLink::CONNECT_TIMEOUT * 3, connecting).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_deploy_has_its_url() {
        for (url, topology) in [
            ("redis://127.0.0.1:6379", RedisTopology::Single),
            ("rediss://user:secret@redis.example:6380/1", RedisTopology::Single),
            ("redis+sentinel://a:26379,b:26379/main", RedisTopology::Sentinel),
            ("rediss+sentinel://user:secret@a:26379/main/2", RedisTopology::Sentinel),
            ("redis+cluster://a:7000,b:7001", RedisTopology::Cluster),
            ("redis-cluster://a:7000", RedisTopology::Cluster),
        ] {
            assert_eq!(RedisLink::open(url).unwrap().topology(), topology, "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_explained_without_repeating_it() {
        for url in ["secret", "http://secret", "redis+sentinel://secret:26379", "redis://secret:notaport"] {
            let error = RedisLink::open(url).unwrap_err().to_string();

            assert!(error.starts_with("expected redis") || error.starts_with("expected a Redis"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
