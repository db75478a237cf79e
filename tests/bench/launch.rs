//! `cargo bench`: starts the benchmark, which is a package of its own so that nobody else compiles its peers.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    // What cargo adds for the benches of the standard library is not for us.
    let args = env::args_os().skip(1).filter(|arg| arg != "--bench");
    let mut command = mjq_harness::cargo();
    command.args(["run", "--quiet", "--release", "--package", "mjq-bench", "--"]).args(args);
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("could not start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
