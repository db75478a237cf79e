//! The program under test, freshly built.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;

use crate::cargo;

/// The path of the `mjq` program. The first call builds it, with the profile and the target directory of the caller.
///
/// The build may take minutes, and blocks. If `MJQ_BIN` names a program, that program is used as it is.
///
/// # Errors
/// When the program does not compile; the compiler has then printed the reason on standard error.
pub fn mjq() -> anyhow::Result<&'static Path> {
    static MJQ: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let program = MJQ.get_or_init(|| named_or_built().map_err(|error| format!("{error:#}")));
    program.as_deref().map_err(|error| anyhow!("{error}"))
}

/// The path of a copy of `mjq` that was built with features that only tests may have, such as `crash-points`.
///
/// The copy lies in a folder of its own, so that no caller of [`mjq()`] gets it. `MJQ_BIN` counts here, too.
///
/// # Errors
/// When the program does not compile; the compiler has then printed the reason on standard error.
pub fn mjq_with(features: &[&str]) -> anyhow::Result<PathBuf> {
    if let Some(named) = named()? {
        return Ok(named);
    }
    let built = build("mjq-worker", "mjq", features)?;
    let dir = own_target_dir_and_profile()?.0.join("chaos");
    std::fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
    let copy = dir.join(format!("mjq-{}", features.join("-")));
    let draft = copy.with_extension(std::process::id().to_string());
    // The file of a running program cannot be written to, but it can be replaced.
    std::fs::copy(&built, &draft).and_then(|_| std::fs::rename(&draft, &copy)).context("could not copy mjq")?;
    // Cargo keeps only one program of that name, so the usual one is built again for all other callers.
    build("mjq-worker", "mjq", &[])?;
    Ok(copy)
}

fn named_or_built() -> anyhow::Result<PathBuf> {
    match named()? {
        Some(named) => Ok(named),
        None => build("mjq-worker", "mjq", &[]),
    }
}

fn named() -> anyhow::Result<Option<PathBuf>> {
    let Some(named) = std::env::var_os("MJQ_BIN") else { return Ok(None) };
    let path = PathBuf::from(named);
    ensure!(path.is_file(), "MJQ_BIN is {}, expected the path of a program", path.display());
    Ok(Some(path))
}

fn build(package: &str, program: &str, features: &[&str]) -> anyhow::Result<PathBuf> {
    let (target_dir, profile) = own_target_dir_and_profile()?;
    let output = cargo()
        .args(["build", "--quiet", "--package", package, "--bin", program, "--profile", &profile])
        .args(["--features", &features.join(",")])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target_dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo")?;
    ensure!(output.status.success(), "{program} does not compile");
    String::from_utf8(output.stdout)
        .context("cargo's messages are not UTF-8")?
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .find_map(|message| message.executable.filter(|_| message.target.is_some_and(|target| target.name == program)))
        .with_context(|| format!("cargo did not say where it put {program}"))
}

/// One line of `cargo build --message-format json`. Most lines have neither field.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Where the running program was built: tests lie in `<target>/<profile>/deps`, programs in `<target>/<profile>`.
fn own_target_dir_and_profile() -> anyhow::Result<(PathBuf, String)> {
    let own = std::env::current_exe().context("the running program has no path")?;
    let mut dirs = own.ancestors().skip(1);
    let profile_dir = dirs.find(|dir| !dir.ends_with("deps")).context("the running program has no folder")?;
    let profile = profile_dir.file_name().and_then(|name| name.to_str()).context("no profile in the program's path")?;
    let target_dir = profile_dir.parent().context("no target directory above the program")?;
    // `dev` is the only profile whose folder has another name.
    let profile = if profile == "debug" { "dev" } else { profile };
    Ok((target_dir.to_owned(), profile.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_that_of_the_running_program() -> anyhow::Result<()> {
        let (target_dir, profile) = own_target_dir_and_profile()?;

        assert_eq!(profile == "dev", cfg!(debug_assertions));
        assert!(std::env::current_exe()?.starts_with(target_dir));
        Ok(())
    }
}
