//! Telemetry: log lines on stderr, for people or for machines, and traces.
//!
//! Results of commands go to stdout, so that a pipe never sees a log line.

pub mod traces;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{LogFormat, Settings};

/// Starts logging as `MJQ_LOG` and `MJQ_LOG_FORMAT` say. Only the first call counts.
///
/// A separate thread writes the lines, and drops them while nobody reads stderr: a full pipe must not stop a worker.
/// The caller keeps the returned guard until the end; when dropped, the guard waits a moment until the remaining lines
/// are written.
pub fn start(settings: &Settings) -> WorkerGuard {
    const LINES: usize = 8192;
    let (stderr, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(io::stderr());
    // The text is valid, because the settings have checked it.
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_else(|_| EnvFilter::new("info"));
    // An error on stderr must not end the loop that logs.
    let lines = fmt().with_env_filter(filter).with_writer(stderr).log_internal_errors(false);
    let started = match settings.log_format {
        LogFormat::Text => lines.compact().with_ansi(wants_colour()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    guard
}

/// Whether stderr is a terminal, and `NO_COLOR` is not set (see no-color.org).
fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
