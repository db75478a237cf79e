//! The program `mjq`: read the command line and the settings, start logging, do it, exit with its code.

use std::process::ExitCode;

use mjq_worker::{
    cli::{Cli, Failure},
    settings::{self, Invalid},
    telemetry,
};

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let loaded = match settings::load(cli.given()) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            eprintln!("mjq: {invalid}");
            return ExitCode::from(Invalid::EXIT_CODE);
        }
    };
    telemetry::start(&loaded.settings);
    let traces = telemetry::traces::start();
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));

    let result = run(|| cli.run(loaded));
    if let Some(traces) = traces {
        traces.stop();
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.message().iter().for_each(|message| eprintln!("mjq: {message}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

#[tokio::main]
async fn run<F: Future<Output = Result<(), Failure>>>(command: impl FnOnce() -> F) -> Result<(), Failure> {
    command().await
}
