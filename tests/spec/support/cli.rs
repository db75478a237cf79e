//! The program on a command line of its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use mjq_harness::{Stack, mjq};
use tokio::process::{Child, Command};

/// A call of `mjq` that has not been made yet.
pub(crate) struct Cli {
    command: Command,
    words: String,
}

/// What a call of `mjq` came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// `mjq` with these words, and no settings but the ones that follow.
    pub(crate) fn new(words: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(mjq()?);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        // The developer's own settings must not decide whether a test passes.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MJQ_") {
                command.env_remove(variable);
            }
        }
        Ok(Self { command, words: words.join(" ") })
    }

    /// The same on the queue of this stack.
    pub(crate) fn on(stack: &Stack, words: &[&str]) -> anyhow::Result<Self> {
        Ok(Self::new(words)?.set("MJQ_REDIS_URL", stack.redis_url()).set("MJQ_QUEUE", stack.wire.queue()))
    }

    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Makes the call. It is killed when the child is dropped.
    pub(crate) fn start(mut self) -> anyhow::Result<Child> {
        Ok(self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Makes the call and waits for its end.
    pub(crate) async fn run(mut self) -> anyhow::Result<Run> {
        let output = tokio::time::timeout(Duration::from_secs(30), self.command.output());
        let output = output.await.with_context(|| format!("mjq {} does not end", self.words))??;
        Ok(Run {
            code: output.status.code().context("mjq was killed")?,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }
}
