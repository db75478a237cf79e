//! Redis in the other ways in which people run it: a Cluster, behind a Sentinel, behind TLS.
//!
//! [`RedisProcess`] does for a plain server; these need more than options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mjq_harness::{RedisOptions, RedisProcess, eventually, free_port, unique_queue};

/// A Cluster of one node that has all the slots.
pub(crate) struct ClusterNode {
    server: RedisProcess,
    _dir: Dir,
}

/// A master and the Sentinel that knows it as `main`.
pub(crate) struct SentinelPair {
    _master: RedisProcess,
    sentinel: Server,
}

/// A server that speaks TLS only, with a certificate of its own making.
pub(crate) struct TlsRedis {
    port: u16,
    server: Server,
}

impl ClusterNode {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(RedisOptions::default()).await
    }

    /// Starts one whose clients come by a proxy on `port`.
    pub(crate) async fn start_behind(port: u16) -> anyhow::Result<Self> {
        Self::start_with(RedisOptions::default().set("cluster-announce-port", &port.to_string())).await
    }

    async fn start_with(options: RedisOptions) -> anyhow::Result<Self> {
        let dir = Dir::new()?;
        let (port, bus) = (free_port()?, free_port()?);
        // With its slots in the file of nodes it is whole from the beginning.
        let id = "0123456789abcdef0123456789abcdef01234567";
        let nodes = format!(
            "{id} 127.0.0.1:{port}@{bus} myself,master - 0 0 1 connected 0-16383\nvars currentEpoch 1 lastVoteEpoch 0\n"
        );
        fs::write(dir.path().join("nodes.conf"), nodes)?;
        let options = options.port(port).dir(dir.path()).set("cluster-enabled", "yes");
        let options = options.set("cluster-port", &bus.to_string()).set("cluster-config-file", "nodes.conf");
        Ok(Self { server: RedisProcess::spawn(options).await?, _dir: dir })
    }

    pub(crate) fn url(&self) -> String {
        self.server_url().replace("redis://", "redis+cluster://")
    }

    /// The same node as a plain server, past any proxy.
    pub(crate) fn server_url(&self) -> String {
        self.server.url().to_owned()
    }
}

impl SentinelPair {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let master = RedisProcess::spawn(RedisOptions::default()).await?;
        let master_port = master.url().trim_end_matches('/').rsplit(':').next().unwrap_or_default().to_owned();
        let sentinel = Server::start(|port, dir| {
            let config = dir.join("sentinel.conf");
            fs::write(&config, format!("port {port}\nsentinel monitor main 127.0.0.1 {master_port} 1\n"))?;
            Ok(vec![config.display().to_string(), "--sentinel".to_owned()])
        })
        .await?;
        eventually("the sentinel answers", async || {
            let client = redis::Client::open(format!("redis://127.0.0.1:{}/", sentinel.port))?;
            let Ok(mut sentinel) = client.get_multiplexed_async_connection().await else { return Ok(false) };
            let mut ask = redis::cmd("SENTINEL");
            let address = ask.arg(&["get-master-addr-by-name", "main"]).query_async::<Vec<String>>(&mut sentinel);
            Ok(address.await.is_ok_and(|address| address.len() == 2))
        })
        .await?;
        Ok(Self { _master: master, sentinel })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port)
    }
}

impl TlsRedis {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = Server::start(|port, dir| {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"])
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .current_dir(dir)
                .stderr(Stdio::null())
                .status()
                .context("could not start openssl")?;
            ensure!(made.success(), "openssl made no certificate");
            let words = format!(
                "--port 0 --tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem --tls-auth-clients no"
            );
            Ok(words.split(' ').map(str::to_owned).collect())
        })
        .await?;
        Ok(Self { port: server.port, server })
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://localhost:{}/", self.port)
    }

    /// The certificate, which whoever connects has to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.server.dir.path().join("cert.pem")
    }
}

/// A `redis-server` with arguments of one's own; killed when dropped.
struct Server {
    child: tokio::process::Child,
    port: u16,
    dir: Dir,
}

impl Server {
    async fn start(arguments: impl FnOnce(u16, &Path) -> anyhow::Result<Vec<String>>) -> anyhow::Result<Self> {
        let (dir, port) = (Dir::new()?, free_port()?);
        let child = tokio::process::Command::new("redis-server")
            .args(arguments(port, dir.path())?)
            .args(["--bind", "127.0.0.1", "--save", ""])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.path().join("redis.log"))?)
            .kill_on_drop(true)
            .spawn()
            .context("could not start redis-server")?;
        let mut server = Self { child, port, dir };
        server.wait_until_it_listens().await?;
        Ok(server)
    }

    async fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let (port, child) = (self.port, &mut self.child);
        let log = self.dir.path().join("redis.log");
        eventually("redis-server listens", async || {
            if let Some(status) = child.try_wait()? {
                bail!("redis-server ended with {status}:\n{}", fs::read_to_string(&log)?);
            }
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok())
        })
        .await
    }
}

/// A directory that is gone when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("mjq-spec-{}", unique_queue()));
        fs::create_dir(&dir).with_context(|| format!("could not create {}", dir.display()))?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A server that was told to die may still write; what it leaves lies where the system clears up.
        std::thread::sleep(Duration::from_millis(20));
        let _ = fs::remove_dir_all(&self.0);
    }
}
