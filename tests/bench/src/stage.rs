//! The stage: the Redis and the upstream of one measurement, fresh each time, and the processes of the benchmark itself.

use std::process::Stdio;

use anyhow::{Context, ensure};
use mjq_harness::{RedisOptions, RedisProcess};
use mjq_simulator::Knobs;
use redis::aio::MultiplexedConnection;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

use crate::upstream::UpstreamProcess;

/// What the contestants of one measurement run on. All of it ends when it is dropped.
pub(crate) struct Stage {
    pub(crate) upstream: UpstreamProcess,
    pub(crate) redis: MultiplexedConnection,
    server: RedisProcess,
}

/// How safe Redis keeps what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing is written to disk.
    Off,
    /// Written at once, forced to disk every second. What mjq's promise asks for, and the default here.
    EverySecond,
    /// Forced to disk before each answer.
    Always,
}

impl Stage {
    pub(crate) async fn set(knobs: &Knobs, durability: Durability) -> anyhow::Result<Self> {
        let server = RedisProcess::spawn(durability.options()).await?;
        let redis = connect(&server.url()).await?;
        Ok(Self { upstream: UpstreamProcess::start(knobs).await?, redis, server })
    }

    pub(crate) fn redis_url(&self) -> String {
        self.server.url()
    }

    /// A line of `INFO`.
    pub(crate) async fn redis_info(&self, name: &str) -> anyhow::Result<f64> {
        let info: redis::InfoDict = redis::cmd("INFO").query_async(&mut self.redis.clone()).await?;
        info.get(name).with_context(|| format!("no {name} in INFO"))
    }

    /// CPU seconds of Redis so far, its background threads included.
    pub(crate) async fn redis_cpu_s(&self) -> anyhow::Result<f64> {
        Ok(self.redis_info("used_cpu_user").await? + self.redis_info("used_cpu_sys").await?)
    }
}

impl Durability {
    fn options(self) -> RedisOptions {
        let options = RedisOptions::default();
        match self {
            Self::Off => options,
            Self::EverySecond => options.append_only().set("appendfsync", "everysec"),
            Self::Always => options.append_only().set("appendfsync", "always"),
        }
    }
}

/// A connection that waits as long as it takes: a peer's scripts may hold Redis for seconds.
pub(crate) async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// This program again, in another role. It ends when this is dropped, or when this process dies.
pub(crate) struct OwnProcess {
    child: Child,
    _stdin: ChildStdin,
}

impl OwnProcess {
    /// Starts it; the answer is the line that it says when it is ready.
    pub(crate) async fn start(args: &[&str]) -> anyhow::Result<(Self, String)> {
        let own = std::env::current_exe().context("the running program has no path")?;
        let mut command = Command::new(own);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("could not start {args:?}"))?;
        let stdin = child.stdin.take().context("no standard input")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line).await?;
        ensure!(!line.is_empty(), "{args:?} ended before it was ready");
        Ok((Self { child, _stdin: stdin }, line.trim().to_owned()))
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the process has ended")
    }

    pub(crate) async fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("could not kill the process")
    }
}

/// Waits until whoever started this process lets go of it, or dies.
pub(crate) async fn until_abandoned() {
    let mut nothing = [0; 1];
    while tokio::io::stdin().read(&mut nothing).await.is_ok_and(|bytes| bytes > 0) {}
}
