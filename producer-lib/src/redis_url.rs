//! The URL of a Redis: which server or servers, and how they are deployed.

use std::time::Duration;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, TlsMode,
    cluster::{ClusterClient, ClusterClientBuilder},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use crate::RedisLink;

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

/// Makes connections to one kind of deployment.
pub(crate) enum Source {
    Single(Box<Client>),
    /// With the addresses of the Sentinels.
    Sentinel(Box<Mutex<SentinelClient>>, String),
    /// With the addresses of the nodes that the URL names.
    Cluster(Box<ClusterClient>, String),
}

impl Source {
    /// Reads the URL, without connecting.
    pub(crate) fn read(url: &str, response_timeout: Duration) -> Result<Self, LinkError> {
        let (scheme, rest) = url.split_once("://").ok_or(LinkError::Scheme)?;
        match scheme.replace('-', "+").as_str() {
            "redis" | "rediss" | "valkey" | "valkeys" => {
                Client::open(url).map(|client| Self::Single(Box::new(client))).map_err(LinkError::Url)
            }
            "redis+sentinel" => Nodes::read(rest, "redis")?.behind_sentinels(),
            "rediss+sentinel" => Nodes::read(rest, "rediss")?.behind_sentinels(),
            "redis+cluster" => Nodes::read(rest, "redis")?.in_a_cluster(response_timeout),
            "rediss+cluster" => Nodes::read(rest, "rediss")?.in_a_cluster(response_timeout),
            _ => Err(LinkError::Scheme),
        }
    }

    /// The addresses as `host:port`, without the user and the password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Single(client) => client.get_connection_info().addr().to_string(),
            Self::Sentinel(_, nodes) | Self::Cluster(_, nodes) => nodes.clone(),
        }
    }
}

/// The part of a URL with several hosts that follows the scheme.
struct Nodes<'a> {
    nodes: Vec<ConnectionInfo>,
    has_tls: bool,
    /// The path behind the hosts.
    path: &'a str,
}

impl<'a> Nodes<'a> {
    /// Reads `user:password@host:port,host:port/path`.
    fn read(rest: &'a str, scheme: &str) -> Result<Self, LinkError> {
        let (user_info, places) = rest.rsplit_once('@').map_or(("", rest), |(user, places)| (user, places));
        let (hosts, path) = places.split_once('/').unwrap_or((places, ""));
        let at = if user_info.is_empty() { "" } else { "@" };
        let node = |host: &str| format!("{scheme}://{user_info}{at}{host}").into_connection_info();
        let nodes = hosts.split(',').map(node).collect::<RedisResult<Vec<_>>>().map_err(LinkError::Url)?;
        Ok(Self { nodes, has_tls: scheme == "rediss", path })
    }

    fn places(&self) -> String {
        self.nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(",")
    }

    fn in_a_cluster(self, response_timeout: Duration) -> Result<Source, LinkError> {
        let places = self.places();
        let builder = ClusterClientBuilder::new(self.nodes)
            .connection_timeout(RedisLink::CONNECT_TIMEOUT)
            .response_timeout(response_timeout);
        builder.build().map(|client| Source::Cluster(Box::new(client), places)).map_err(LinkError::Url)
    }

    /// Makes a source for Sentinels. The path names the master, and perhaps the number of a database.
    fn behind_sentinels(self) -> Result<Source, LinkError> {
        let (master, db) = self.path.split_once('/').unwrap_or((self.path, "0"));
        if master.is_empty() {
            return Err(LinkError::MasterName);
        }
        let places = self.places();
        let redis = self.nodes[0].redis_settings();
        let (username, password) = (redis.username().map(str::to_owned), redis.password().map(str::to_owned));
        let addresses: Vec<ConnectionAddr> = self.nodes.iter().map(|node| node.addr().clone()).collect();
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)
            .map_err(LinkError::Url)?
            .set_client_to_redis_db(db.parse().unwrap_or(0));
        if let Some(username) = username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_redis_password(password);
        }
        if self.has_tls {
            builder =
                builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        builder.build().map(|client| Source::Sentinel(Box::new(Mutex::new(client)), places)).map_err(LinkError::Url)
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
