//! Installs a Redis server with the machine's package manager, where that is allowed.

use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// A package manager: its program, and its commands that install a Redis server.
struct PackageManager {
    program: &'static str,
    commands: &'static [&'static [&'static str]],
    needs_root: bool,
}

const MANAGERS: [PackageManager; 5] = [
    PackageManager {
        program: "apt-get",
        commands: &[&["update", "-qq"], &["install", "-y", "-qq", "--no-install-recommends", "redis-server"]],
        needs_root: true,
    },
    PackageManager { program: "dnf", commands: &[&["install", "-y", "-q", "redis"]], needs_root: true },
    PackageManager { program: "apk", commands: &[&["add", "--quiet", "redis"]], needs_root: true },
    PackageManager { program: "pacman", commands: &[&["-Sy", "--noconfirm", "redis"]], needs_root: true },
    PackageManager { program: "brew", commands: &[&["install", "--quiet", "redis"]], needs_root: false },
];

/// Installs a Redis server, and announces it first. Never runs a command that would ask for a password.
///
/// `MJQ_INSTALL=never` forbids it.
pub(crate) fn install_redis() -> anyhow::Result<()> {
    let manager = MANAGERS.iter().find(|manager| is_on_path(manager.program)).context("no package manager found")?;
    ensure!(std::env::var_os("MJQ_INSTALL").is_none_or(|it| it != "never"), "MJQ_INSTALL=never forbids installing");
    let sudo = manager.needs_root && !rustix::process::geteuid().is_root();
    ensure!(!sudo || quietly("sudo", &["-n", "true"]), "installing needs root, and sudo asks for a password");
    for arguments in manager.commands {
        let mut command = Command::new(if sudo { "sudo" } else { manager.program });
        if sudo {
            command.args(["-n", manager.program]);
        }
        command.args(*arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        eprintln!("no Redis here, installing one: {} {}", manager.program, arguments.join(" "));
        let status = command.status().with_context(|| format!("could not start {}", manager.program))?;
        if !status.success() {
            bail!("{} {} ended with {status}", manager.program, arguments.join(" "));
        }
    }
    Ok(())
}

/// The command with which a person installs a Redis server on this machine.
pub(crate) fn install_command() -> String {
    let Some(manager) = MANAGERS.iter().find(|manager| is_on_path(manager.program)) else {
        return "install redis-server from https://redis.io/download".to_owned();
    };
    let sudo = if manager.needs_root { "sudo " } else { "" };
    let steps = manager.commands.iter().map(|arguments| format!("{sudo}{} {}", manager.program, arguments.join(" ")));
    steps.collect::<Vec<_>>().join(" && ")
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn quietly(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
