//! A child process that does not outlive its owner, and to which tests can send signals.

use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::reaper::Reaper;

const GLANCE: Duration = Duration::from_millis(5);

/// A running (or ended) child. It is killed when dropped, and also when this process is killed itself.
pub(crate) struct ChildProcess {
    child: Child,
    reaper: Option<Reaper>,
}

impl ChildProcess {
    /// Starts `command`. If `dir` is given, it is removed together with the child if this process dies by a signal.
    pub(crate) fn spawn(command: &mut Command, dir: Option<&OsStr>) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("could not start {}", program.display()))?;
        let reaper = Reaper::of_process(child.id(), dir).inspect_err(|_| {
            let _ = child.kill();
        })?;
        Ok(Self { child, reaper: Some(reaper) })
    }

    /// The child's handle, from which callers take the pipes.
    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended, or `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.child.try_wait().context("could not ask after a child process")?;
        if status.is_some()
            && let Some(reaper) = self.reaper.take()
        {
            reaper.dismiss();
        }
        Ok(status)
    }

    /// Waits until the child has ended by itself. Fails after `patience`.
    pub(crate) async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < deadline, "process {} still runs after {patience:?}", self.pid());
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Sends a signal, unless the child has ended already.
    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.exit_status()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("could not send {signal:?} to process {pid}"))
    }

    /// Kills the child as `kill -9` does, and waits until it has ended.
    pub(crate) fn kill9(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait().context("could not wait for a killed process")?;
        self.exit_status().map(drop)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // A destructor cannot report an error. If this fails, the reaper still kills the child.
        let _ = self.kill9();
    }
}
