//! Cargo, called by a program that cargo runs.

use std::{env, process::Command};

/// The cargo that runs this program, for the workspace's root.
///
/// What it says of this program's package is taken out of the environment: some build scripts (`ring`'s) ask cargo to
/// watch these variables, and half of all packages would be compiled anew by each call, and once more by the next
/// person who calls cargo.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let is_of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}
