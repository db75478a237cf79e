//! The reaper: removes what a test leaves behind when its process is killed.
//!
//! Destructors do not run when a signal ends a process, and never run for statics. So a tiny shell watches each thing
//! that could outlive this process, and waits for the end of its own standard input. When this process dies, for
//! whatever reason, the kernel closes that pipe, and the shell cleans up.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A watch over one thing outside of this process. If it is dropped without [`Reaper::dismiss`], it removes the thing.
pub(crate) struct Reaper {
    shell: Child,
}

impl Reaper {
    /// Watches a process and, if given, the process's directory.
    pub(crate) fn of_process(pid: u32, dir: Option<&OsStr>) -> anyhow::Result<Self> {
        // A line on the pipe means dismissal. The end of the pipe without a line means that this process has died.
        let script = r#"read -r _ || { kill -9 "$1"; [ -z "$2" ] || { sleep 0.2; rm -rf "$2"; }; }"#;
        Self::watch(script, &[OsStr::new(&pid.to_string()), dir.unwrap_or_default()])
    }

    /// Watches the container of this name, which may not exist yet.
    pub(crate) fn of_container(name: &str) -> anyhow::Result<Self> {
        // Tried three times: the daemon may still be carrying out a command that this process sent before it died.
        let script = r#"read -r _ || for wait in 0 1 4; do sleep $wait; docker rm --force --volumes "$1"; done"#;
        Self::watch(script, &[OsStr::new(name)])
    }

    fn watch(script: &str, arguments: &[&OsStr]) -> anyhow::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", script, "mjq-reaper"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own process group: otherwise Ctrl-C on the terminal would end the reaper, too.
            .process_group(0)
            .spawn()
            .context("could not start a shell for cleaning up")?;
        Ok(Self { shell })
    }

    /// Ends the watch, because the thing is gone already, and its process id may soon belong to another process.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut stdin) = self.shell.stdin.take() {
            // If the shell has ended already, it needs no dismissal.
            let _ = stdin.write_all(b"dismissed\n");
        }
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn a_sleeper() -> std::io::Result<Child> {
        Command::new("sleep").arg("60").spawn()
    }

    #[test]
    fn a_process_is_killed_when_its_reaper_loses_its_owner() -> anyhow::Result<()> {
        let mut sleeper = a_sleeper()?;
        let reaper = Reaper::of_process(sleeper.id(), None)?;

        // Dropping the reaper closes the pipe, as the kernel does when this process is killed.
        drop(reaper);

        assert_eq!(sleeper.wait()?.signal(), Some(9));
        Ok(())
    }

    #[test]
    fn a_dismissed_reaper_harms_nobody() -> anyhow::Result<()> {
        let mut sleeper = a_sleeper()?;

        Reaper::of_process(sleeper.id(), None)?.dismiss();

        assert!(sleeper.try_wait()?.is_none());
        sleeper.kill()?;
        sleeper.wait()?;
        Ok(())
    }
}
