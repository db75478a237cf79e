//! stdout, which the reader may close at any time.

use std::io::{self, Write};

use serde::Serialize;

use super::Failure;

/// Prints one line.
///
/// `println!` would panic when the reader closes the pipe, as in `mjq events | head`.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Prints one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?)
}
