//! Cargo, for programs that cargo itself runs.

use std::{env, process::Command};

/// The cargo that runs this program, to be run in the workspace's root.
///
/// The variables about this program's package are removed from the environment. Some build scripts (`ring`'s) ask cargo
/// to watch these variables. So each call would compile half of all packages again, and so would the developer's next
/// cargo command.
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
