//! Finds or starts a Redis: one named by URL, a container, a server from the PATH, or a fresh installation.
//!
//! A caller gets a real Redis or an error that says what to do, never a silent skip. Each process prints once which
//! Redis it uses.

use std::io::Write;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, bail};
use tokio::sync::OnceCell;

use crate::package_manager;
use crate::redis_container::{RedisContainer, docker_answers};
use crate::redis_options::RedisOptions;
use crate::redis_process::{RedisProcess, connect, server_on_path};

/// A Redis that answers. If the harness started it, it ends when this is dropped.
pub struct RedisServer {
    url: String,
    origin: String,
    _backing: Backing,
}

enum Backing {
    Given,
    Container { _container: Box<RedisContainer> },
    Process { _process: Box<RedisProcess> },
}

/// The Redis that all tests of this process share. Each test uses its own queue.
///
/// It keeps nothing on disk. It ends with the process, even if the process is killed.
///
/// # Errors
/// As [`RedisServer::for_tests`].
pub async fn shared_redis() -> anyhow::Result<&'static RedisServer> {
    static SHARED: OnceCell<RedisServer> = OnceCell::const_new();
    SHARED.get_or_try_init(|| RedisServer::for_tests(RedisOptions::default())).await
}

impl RedisServer {
    /// A Redis for tests: `MJQ_TEST_REDIS_URL`, else a container, else a server from the PATH, else one is installed.
    ///
    /// `MJQ_TEST_REDIS_BACKEND=docker` or `=server` allows only that kind, so that a fallback cannot go unnoticed. The
    /// options have no effect on a Redis that is named by URL.
    ///
    /// # Errors
    /// When no Redis can be found or started. The message says how to provide one.
    pub async fn for_tests(options: RedisOptions) -> anyhow::Result<Self> {
        let server = Self::find_for_tests(options).await.context("the tests need a Redis")?;
        announce("tests", &server.origin);
        Ok(server)
    }

    async fn find_for_tests(options: RedisOptions) -> anyhow::Result<Self> {
        match std::env::var("MJQ_TEST_REDIS_BACKEND").as_deref().unwrap_or_default() {
            "docker" if docker_answers() => return Self::in_container(&options).await,
            "docker" => bail!("MJQ_TEST_REDIS_BACKEND=docker, but no Docker daemon answers (`docker info`)"),
            "server" => return Self::from_path_or_installed(options, "MJQ_TEST_REDIS_URL").await,
            "" => {}
            other => bail!("MJQ_TEST_REDIS_BACKEND is {other:?}, expected docker or server"),
        }
        if let Ok(url) = std::env::var("MJQ_TEST_REDIS_URL") {
            return Self::given(&url, "MJQ_TEST_REDIS_URL").await;
        }
        if docker_answers() {
            match Self::in_container(&options).await {
                Ok(server) => return Ok(server),
                Err(error) => say(&format!("no container for the tests, going on without: {error:#}")),
            }
        }
        Self::from_path_or_installed(options, "MJQ_TEST_REDIS_URL").await
    }

    /// A Redis for the demo: `MJQ_REDIS_URL`, else a server from the PATH, else a container, else one is installed.
    ///
    /// # Errors
    /// When no Redis can be found or started. The message says how to provide one.
    pub async fn for_demo() -> anyhow::Result<Self> {
        let server = Self::find_for_demo().await.context("the demo needs a Redis")?;
        announce("demo", &server.origin);
        Ok(server)
    }

    async fn find_for_demo() -> anyhow::Result<Self> {
        let options = RedisOptions::default();
        if let Ok(url) = std::env::var("MJQ_REDIS_URL") {
            return Self::given(&url, "MJQ_REDIS_URL").await;
        }
        if server_on_path().is_none() && docker_answers() {
            match Self::in_container(&options).await {
                Ok(server) => return Ok(server),
                Err(error) => say(&format!("no container for the demo, going on without: {error:#}")),
            }
        }
        Self::from_path_or_installed(options, "MJQ_REDIS_URL").await
    }

    /// The URL of the Redis, including the password if the given URL has one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The origin of the Redis, in words for people: the image, the program, or the variable that named it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    async fn given(url: &str, variable: &str) -> anyhow::Result<Self> {
        let ping = async { anyhow::Ok(redis::cmd("PING").exec_async(&mut connect(url).await?).await?) };
        ping.await.with_context(|| format!("the Redis of {variable} does not answer"))?;
        Ok(Self { url: url.to_owned(), origin: format!("the Redis of {variable}"), _backing: Backing::Given })
    }

    async fn in_container(options: &RedisOptions) -> anyhow::Result<Self> {
        let container = Box::new(RedisContainer::start(options).await?);
        let origin = format!("a container of {}", container.image());
        Ok(Self { url: container.url().to_owned(), origin, _backing: Backing::Container { _container: container } })
    }

    async fn from_path_or_installed(options: RedisOptions, variable: &str) -> anyhow::Result<Self> {
        if server_on_path().is_none() {
            package_manager::install_redis().map_err(|reason| no_way_to_a_redis(&reason, variable))?;
        }
        let process = Box::new(RedisProcess::spawn(options).await?);
        let origin = format!("a private {}", process.program().display());
        Ok(Self { url: process.url(), origin, _backing: Backing::Process { _process: process } })
    }
}

fn no_way_to_a_redis(reason: &anyhow::Error, variable: &str) -> anyhow::Error {
    anyhow!(
        "no redis-server or valkey-server on the PATH, no Docker daemon with a Redis image, and {reason:#}.\n\
         Do one of these and try again:\n  {}\n  start Docker\n  export {variable}=redis://host:6379/",
        package_manager::install_command()
    )
}

fn announce(whose: &str, origin: &str) {
    static ANNOUNCED: OnceLock<()> = OnceLock::new();
    ANNOUNCED.get_or_init(|| say(&format!("Redis for the {whose}: {origin}")));
}

fn say(line: &str) {
    // Not eprintln: the test runner would capture the line, but which Redis was used is part of a test's result.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue_name::unique_queue;

    #[tokio::test]
    async fn the_tests_find_a_redis_that_answers() -> anyhow::Result<()> {
        let server = shared_redis().await?;

        let answer: String = redis::cmd("PING").query_async(&mut connect(server.url()).await?).await?;

        assert_eq!(answer, "PONG");
        Ok(())
    }

    #[test]
    fn all_tests_of_a_process_share_one_redis_that_outlives_the_test_which_asked_for_it_first() -> anyhow::Result<()> {
        // As in each test, the runtime belongs to one call only, and ends with it.
        let run = |command: redis::Cmd| -> anyhow::Result<String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { Ok(command.query_async(&mut connect(shared_redis().await?.url()).await?).await?) })
        };
        let key = unique_queue();

        let one = run(redis::Cmd::set(&key, "one's"))?;
        let other = run(redis::Cmd::get_del(&key))?;

        assert_eq!((one.as_str(), other.as_str()), ("OK", "one's"));
        Ok(())
    }

    #[tokio::test]
    async fn a_named_redis_that_does_not_answer_is_an_error_not_a_fallback() {
        let outcome = RedisServer::given("redis://127.0.0.1:1/", "MJQ_TEST_REDIS_URL").await;

        let error = outcome.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the Redis of MJQ_TEST_REDIS_URL does not answer"));
    }
}
