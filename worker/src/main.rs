//! The program `mjq`: read the command line and the settings, start logging, do it, exit with its code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use mimalloc::MiMalloc;
use mjq_worker::{
    cli::{Cli, Failure},
    settings::{self, Invalid},
    telemetry,
};

/// A step makes and drops many small objects, which took the system's allocator a fifth of a worker's CPU.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let loaded = match settings::load(cli.given()) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            complain(&invalid.to_string());
            return ExitCode::from(Invalid::EXIT_CODE);
        }
    };
    let logging = telemetry::start(&loaded.settings);
    let traces = telemetry::traces::start();
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));

    let result = run(loaded.settings.threads, || cli.run(loaded));
    if let Some(traces) = traces {
        traces.stop();
    }
    drop(logging);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.message().iter().for_each(|message| complain(message));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// If standard error cannot be written to, the exit code still tells of the failure.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "mjq: {message}");
}

/// Runs a command on this number of threads.
fn run<F: Future<Output = Result<(), Failure>>>(threads: usize, command: impl FnOnce() -> F) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::NotDone(format!("no threads can be started: {error}")))?;
    runtime.block_on(command())
}
