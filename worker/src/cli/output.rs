//! stdout, which the reader may close at any time.

use std::io::{self, Write};

use super::Failure;

/// Prints one line.
///
/// `println!` would panic where `mjq events | head` has seen enough.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::Output)
}
