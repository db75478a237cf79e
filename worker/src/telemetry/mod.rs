//! Telemetry: log lines on stderr, for people or for machines; and traces.
//!
//! Results go to stdout, so that a pipe never sees a log line.

pub mod traces;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{LogFormat, Settings};

/// Starts logging as `MJQ_LOG` and `MJQ_LOG_FORMAT` say. Only the first call counts.
///
/// Lines are written by a thread of their own, and thrown away while nobody reads them: a full pipe must not stop a worker.
/// What is returned is kept until the end, which then waits a moment for what is not written yet.
pub fn start(settings: &Settings) -> WorkerGuard {
    const LINES: usize = 8192;
    let (stderr, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(io::stderr());
    // The settings took this text only because it can be read.
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_else(|_| EnvFilter::new("info"));
    // A stderr that nobody reads any more must not end the loop that has something to say.
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

/// Whether stderr is a terminal, and nobody asked for plain text (see no-color.org).
fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
