//! One worker pod as a process: `mjq worker`, watched and steered from outside.

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

/// A running worker; killed when dropped.
///
/// Its lines are printed as they come, which the test runner shows only for a test that fails.
pub struct WorkerProcess {
    name: String,
    admin_url: String,
    http: reqwest::Client,
    child: ChildProcess,
    lines: CapturedLines,
}

/// How a worker ended after it was asked to.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Its exit status.
    pub status: ExitStatus,
    /// The time from the signal to the end of the process.
    pub took: Duration,
}

impl WorkerProcess {
    /// Begins a worker on this Redis, with no settings of the environment taken over.
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

    /// The base URL of its health, metrics, API and dashboard.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// All lines that it has printed so far, standard output and error in one, in the order of their arrival.
    #[must_use]
    pub fn logs(&self) -> String {
        self.lines.text()
    }

    /// Gets a path of its admin server; the answer's status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.admin_url)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Errors
    /// When the worker ends or is not ready in time; then with its logs.
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
    /// When the system does not say.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.exit_status()?.is_none())
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill9()
    }

    /// Asks it to stop by SIGTERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; then with its logs.
    pub async fn terminate(&mut self) -> anyhow::Result<Exit> {
        let asked = Instant::now();
        self.child.signal(Signal::TERM)?;
        let status = self.child.exited(PATIENCE).await;
        let status = status.with_context(|| format!("{} ignored SIGTERM:\n{}", self.name, self.logs()))?;
        let took = asked.elapsed();
        self.lines.complete().await;
        Ok(Exit { status, took })
    }

    /// Waits for its end without asking for it.
    ///
    /// # Errors
    /// When it does not end within `patience`; then with its logs.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let status = self.child.exited(patience).await;
        let status = status.with_context(|| format!("{} goes on:\n{}", self.name, self.logs()))?;
        self.lines.complete().await;
        Ok(status)
    }

    /// Freezes it by SIGSTOP: its connections stay open, its leases run out.
    ///
    /// # Errors
    /// When the system refuses the signal.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.child.signal(Signal::STOP)
    }

    /// Thaws it by SIGCONT.
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

    /// The upstream's base URL, with a key that any simulator takes.
    #[must_use]
    pub fn upstream(self, url: &str) -> Self {
        self.set("MJQ_UPSTREAM_URL", url).set("MJQ_UPSTREAM_KEY", "key-of-the-tests")
    }

    /// The name in front of its printed lines.
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

    /// Keeps its lines to [`WorkerProcess::logs`] instead of printing them too.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.echoes = false;
        self
    }

    /// Leaves its pipes unread, as a log collector that hangs does.
    #[must_use]
    pub fn unread(mut self) -> Self {
        self.is_read = false;
        self
    }

    /// Starts it; it may not be ready yet.
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
        // The developer's own settings must not decide whether a test passes.
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
        // The variable wins over our port when a test wants a certain one.
        let address = self.settings.get("MJQ_ADMIN_ADDR").cloned().unwrap_or_else(|| format!("127.0.0.1:{port}"));
        let http = http_client()?;
        Ok(WorkerProcess { name: self.name, admin_url: format!("http://{address}"), http, child, lines })
    }
}

fn http_client() -> anyhow::Result<reqwest::Client> {
    // Some provider must be there even for plain HTTP; that another one was installed before is fine.
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
