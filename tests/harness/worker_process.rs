//! One worker pod as a process: `mjq worker`, observed and controlled from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::binaries::mjq;
use crate::captured_lines::CapturedLines;
use crate::child_process::ChildProcess;
use crate::eventually::PATIENCE;
use crate::free_port;

/// Settings of a worker that is about to start.
#[derive(Clone, Debug)]
pub struct WorkerBuilder {
    name: String,
    program: Option<PathBuf>,
    settings: BTreeMap<String, String>,
    echoes: bool,
    is_read: bool,
}

/// A running worker. It is killed when dropped.
///
/// Its lines are printed as they come; the test runner shows them only for a failing test.
pub struct WorkerProcess {
    name: String,
    admin_url: String,
    http: reqwest::Client,
    child: ChildProcess,
    lines: CapturedLines,
}

/// The end of a worker that was asked to stop.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// The worker's exit status.
    pub status: ExitStatus,
    /// The time from the signal to the end of the process.
    pub took: Duration,
}

impl WorkerProcess {
    /// Begins a worker on this Redis. It takes over no settings from the environment.
    #[must_use]
    pub fn on(redis_url: &str) -> WorkerBuilder {
        let builder = WorkerBuilder {
            name: "worker".to_owned(),
            program: None,
            settings: BTreeMap::new(),
            echoes: true,
            is_read: true,
        };
        builder.set("MJQ_REDIS_URL", redis_url)
    }

    /// The base URL of the worker's health, metrics, API and dashboard.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// All lines printed so far, from standard output and standard error, in the order of their arrival.
    #[must_use]
    pub fn logs(&self) -> String {
        self.lines.text()
    }

    /// Gets a path of the admin server; returns the answer's status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.admin_url)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When the worker ends or is not ready in time. The error then has the worker's logs.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok((200, _)) = self.get("/readyz").await {
                return Ok(());
            }
            if let Some(status) = self.child.exit_status()? {
                self.lines.complete().await;
                bail!("{} ended with {status} before it was ready:\n{}", self.name, self.logs());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready within {PATIENCE:?}:\n{}", self.name, self.logs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.exit_status()?.is_none())
    }

    /// Kills the worker as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill9()
    }

    /// Asks the worker to stop (SIGTERM), and waits until it has ended.
    ///
    /// # Errors
    /// When the worker does not end in time. The error then has the worker's logs.
    pub async fn terminate(&mut self) -> anyhow::Result<Exit> {
        let asked = Instant::now();
        self.child.signal(Signal::TERM)?;
        let status = self.child.exited(PATIENCE).await;
        let status = status.with_context(|| format!("{} ignored SIGTERM:\n{}", self.name, self.logs()))?;
        let took = asked.elapsed();
        self.lines.complete().await;
        Ok(Exit { status, took })
    }

    /// Waits until the worker has ended, without asking for it.
    ///
    /// # Errors
    /// When the worker does not end within `patience`. The error then has the worker's logs.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let status = self.child.exited(patience).await;
        let status = status.with_context(|| format!("{} goes on:\n{}", self.name, self.logs()))?;
        self.lines.complete().await;
        Ok(status)
    }

    /// Freezes the worker (SIGSTOP): its connections stay open, its leases run out.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.child.signal(Signal::STOP)
    }

    /// Thaws the worker (SIGCONT).
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.child.signal(Signal::CONT)
    }
}

impl WorkerBuilder {
    /// Sets an environment variable of the worker.
    #[must_use]
    pub fn set(mut self, variable: &str, value: impl ToString) -> Self {
        self.settings.insert(variable.to_owned(), value.to_string());
        self
    }

    /// The queue to work on.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        self.set("MJQ_QUEUE", queue)
    }

    /// The upstream's base URL. The key is one that any simulator without a key of its own accepts.
    #[must_use]
    pub fn upstream(self, url: &str) -> Self {
        self.set("MJQ_UPSTREAM_URL", url).set("MJQ_UPSTREAM_KEY", "key-of-the-tests")
    }

    /// The name in front of the worker's printed lines.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Runs this program instead of the freshly built one; see [`crate::mjq_with`].
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Only keeps the worker's lines for [`WorkerProcess::logs`], without printing them.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.echoes = false;
        self
    }

    /// Leaves the worker's pipes unread, like a log collector that hangs.
    #[must_use]
    pub fn unread(mut self) -> Self {
        self.is_read = false;
        self
    }

    /// Starts the worker, which may not be ready yet.
    ///
    /// # Errors
    /// When the program does not compile or start.
    pub fn start(self) -> anyhow::Result<WorkerProcess> {
        let port = free_port()?;
        let program = match &self.program {
            Some(program) => program,
            None => mjq()?,
        };
        let mut command = Command::new(program);
        command.arg("worker").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Removed, because the developer's own settings must not decide whether a test passes.
        std::env::vars_os()
            .filter(|(variable, _)| variable.to_string_lossy().starts_with("MJQ_"))
            .for_each(|(variable, _)| _ = command.env_remove(variable));
        command.env("MJQ_ADMIN_ADDR", format!("127.0.0.1:{port}")).envs(&self.settings);
        let mut child = ChildProcess::spawn(&mut command, None)?;
        let lines = CapturedLines::default();
        let echo = self.echoes.then_some(self.name.as_str());
        if self.is_read {
            lines.collect(child.child_mut().stdout.take(), echo);
            lines.collect(child.child_mut().stderr.take(), echo);
        }
        // A test that wants a certain port sets this variable, which then takes precedence.
        let address = self.settings.get("MJQ_ADMIN_ADDR").cloned().unwrap_or_else(|| format!("127.0.0.1:{port}"));
        let http = http_client()?;
        Ok(WorkerProcess { name: self.name, admin_url: format!("http://{address}"), http, child, lines })
    }
}

fn http_client() -> anyhow::Result<reqwest::Client> {
    // rustls needs a provider even for plain HTTP. It does no harm if another one was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5));
    client.build().context("could not make an HTTP client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_does_not_get_ready_shows_its_own_words() -> anyhow::Result<()> {
        let builder = WorkerProcess::on("redis://127.0.0.1:1/").upstream("http://127.0.0.1:1");
        let mut worker = builder.set("MJQ_LEASE_MS", "soon").quiet().start()?;

        let error = worker.wait_ready().await.err().context("it got ready with a broken setting")?.to_string();

        assert!(error.contains("MJQ_LEASE_MS") && error.contains("soon"), "{error}");
        assert!(!worker.is_running()?);
        Ok(())
    }
}
