//! A private Redis: a server process that a test may kill, stop and start again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rustix::process::Signal;

use crate::child_process::ChildProcess;
use crate::free_port;
use crate::redis_options::RedisOptions;

/// Loading a big append-only file takes a while on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const PORT_ATTEMPTS: u32 = 5;

/// A private `redis-server` (or `valkey-server`) from the PATH. When dropped, it leaves no trace.
pub struct RedisProcess {
    program: PathBuf,
    options: RedisOptions,
    port: u16,
    dir: PathBuf,
    owns_dir: bool,
    child: ChildProcess,
}

impl RedisProcess {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When there is no server on the PATH, or the server ends before it answers. The error then has its last log
    /// lines.
    pub async fn spawn(options: RedisOptions) -> anyhow::Result<Self> {
        let program = server_on_path().context("neither redis-server nor valkey-server is on the PATH")?;
        let mut attempts_left = PORT_ATTEMPTS;
        loop {
            let mut server = Self::launch(&program, &options)?;
            attempts_left -= 1;
            match server.wait_until_it_answers().await {
                // Another process may have taken the free port meanwhile.
                Err(error) if options.port.is_none() && attempts_left > 0 && error.to_string().contains("in use") => {}
                outcome => return outcome.map(|()| server),
            }
        }
    }

    fn launch(program: &Path, options: &RedisOptions) -> anyhow::Result<Self> {
        let port = options.port.map_or_else(free_port, Ok)?;
        let owns_dir = options.dir.is_none();
        let dir = options.dir.clone().map_or_else(private_dir, Ok)?;
        let child = launch(program, options, port, &dir, owns_dir)?;
        Ok(Self { program: program.to_owned(), options: options.clone(), port, dir, owns_dir, child })
    }

    /// The URL of the server; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The directory of the server's files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id. It changes with each restart.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Kills the server as `kill -9` does. Data that it has not written yet is lost.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill9()
    }

    /// Starts the server again on the same port and files. A running server is first stopped in good order.
    ///
    /// # Errors
    /// As [`RedisProcess::spawn`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        // A paused server would not receive the request to stop.
        self.resume()?;
        self.child.signal(Signal::TERM)?;
        self.child.exited(STOP_PATIENCE).await?;
        self.child = launch(&self.program, &self.options, self.port, &self.dir, self.owns_dir)?;
        self.wait_until_it_answers().await
    }

    /// Freezes the server: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.child.signal(Signal::STOP)
    }

    /// Thaws a paused server.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.child.signal(Signal::CONT)
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = self.child.exit_status()? {
                bail!("redis-server ended with {status} before it answered:\n{}", self.last_log_lines());
            }
            // While our server fails to bind the port, another server may answer there.
            if process_id(&self.url()).await.is_ok_and(|pid| pid == self.pid()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("redis-server did not answer within {START_PATIENCE:?}:\n{}", self.last_log_lines());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(self.dir.join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        let _ = self.child.kill9();
        if self.owns_dir {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

const LOG: &str = "redis.log";

/// The first of `redis-server` and `valkey-server` on the PATH.
pub(crate) fn server_on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|file| file.is_file())
}

/// Connects with a time limit on every wait, so that no test hangs on a stopped Redis.
pub(crate) async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    let client = Client::open(url).with_context(|| format!("{url} is no Redis URL"))?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

async fn process_id(url: &str) -> anyhow::Result<u32> {
    // Redis answers INFO while it is still loading its data, but no reads. So a read comes first.
    let mut redis = connect(url).await?;
    redis::cmd("EXISTS").arg("mjq:probe").exec_async(&mut redis).await?;
    let info: redis::InfoDict = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
    info.get("process_id").context("no process_id in INFO")
}

fn launch(
    program: &Path,
    options: &RedisOptions,
    port: u16,
    dir: &Path,
    owns_dir: bool,
) -> anyhow::Result<ChildProcess> {
    let log = File::options().create(true).append(true).open(dir.join(LOG)).context("could not open the log")?;
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
        .arg(dir)
        .args(options.arguments())
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("could not share the log")?)
        .stderr(log);
    ChildProcess::spawn(&mut command, owns_dir.then_some(dir.as_os_str()))
}

fn private_dir() -> anyhow::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = OsString::from("mjq-redis-");
    name.push(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let dir = std::env::temp_dir().join(name);
    // Removes what a process with the same id left behind when the machine lost power.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).with_context(|| format!("could not create {}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use redis::AsyncCommands;

    use super::*;

    #[tokio::test]
    async fn a_killed_server_finds_its_data_again_when_it_keeps_an_append_only_file() -> anyhow::Result<()> {
        let mut server =
            RedisProcess::spawn(RedisOptions::default().append_only().set("appendfsync", "always")).await?;
        let url = server.url();
        let _: () = connect(&url).await?.set("order", 1842).await?;

        server.kill9()?;
        assert!(connect(&url).await.is_err());
        server.restart().await?;

        assert_eq!(connect(&server.url()).await?.get::<_, u32>("order").await?, 1842);
        assert_eq!(server.url(), url);
        Ok(())
    }

    #[tokio::test]
    async fn a_server_without_an_append_only_file_forgets_on_restart() -> anyhow::Result<()> {
        let mut server = RedisProcess::spawn(RedisOptions::default()).await?;
        let _: () = connect(&server.url()).await?.set("order", 1842).await?;

        server.restart().await?;

        assert_eq!(connect(&server.url()).await?.get::<_, Option<u32>>("order").await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn a_paused_server_answers_only_after_it_was_resumed() -> anyhow::Result<()> {
        let mut server = RedisProcess::spawn(RedisOptions::default()).await?;
        let mut redis = connect(&server.url()).await?;

        server.pause()?;
        let asked = tokio::spawn(async move { redis.ping::<String>().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!asked.is_finished());
        server.resume()?;

        assert_eq!(asked.await??, "PONG");
        Ok(())
    }

    #[tokio::test]
    async fn a_dropped_server_leaves_neither_a_process_nor_files() -> anyhow::Result<()> {
        let server = RedisProcess::spawn(RedisOptions::default().append_only()).await?;
        let (url, dir) = (server.url(), server.dir().to_owned());
        assert!(dir.exists());

        drop(server);

        assert!(connect(&url).await.is_err());
        assert!(!dir.exists());
        Ok(())
    }

    #[tokio::test]
    async fn a_server_that_cannot_start_says_why() -> anyhow::Result<()> {
        let outcome = RedisProcess::spawn(RedisOptions::default().set("maxmemory", "a lot")).await;

        let error = outcome.err().context("it started")?.to_string();
        assert!(error.contains("maxmemory"), "{error}");
        Ok(())
    }
}
