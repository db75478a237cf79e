//! The reaper: clears up what a test leaves behind when its process is killed.
//!
//! A destructor does not run when a process dies by a signal, nor for a static. So each thing that would outlive us is
//! watched by a tiny shell that waits for the end of its standard input. The kernel closes that pipe when we die,
//! however we die, and the shell then clears up.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A watch over one thing outside of this process; clears it up when dropped without having been dismissed.
pub(crate) struct Reaper {
    shell: Child,
}

impl Reaper {
    /// Watches a process and, when given, a directory that goes with it.
    pub(crate) fn of_process(pid: u32, dir: Option<&OsStr>) -> anyhow::Result<Self> {
        // A line on the pipe is a dismissal, its end without one is our death.
        let script = r#"read -r _ || { kill -9 "$1"; [ -z "$2" ] || { sleep 0.2; rm -rf "$2"; }; }"#;
        Self::watch(script, &[OsStr::new(&pid.to_string()), dir.unwrap_or_default()])
    }

    /// Watches the container of this name, which may not exist yet.
    pub(crate) fn of_container(name: &str) -> anyhow::Result<Self> {
        // Once more after a while: the daemon may still be carrying out what we asked for before we died.
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
            // Its own group, or a Ctrl-C on the terminal would take the reaper together with us.
            .process_group(0)
            .spawn()
            .context("could not start a shell for cleaning up")?;
        Ok(Self { shell })
    }

    /// Ends the watch: the thing is gone already, and its number may soon belong to somebody else.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut stdin) = self.shell.stdin.take() {
            // A shell that is gone already needs no dismissal.
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

        // What the kernel does to the pipe when this process is killed.
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
