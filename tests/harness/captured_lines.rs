//! What a child process prints, kept for whoever has to explain a failure.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// The lines of one or more pipes, in the order of their arrival.
#[derive(Clone, Default)]
pub(crate) struct CapturedLines(Arc<Mutex<Vec<String>>>);

impl CapturedLines {
    /// Reads a pipe to its end on a thread of its own, so that no child blocks because a test is busy.
    ///
    /// With a name, each line is also printed behind it, into the output of the test that called this.
    pub(crate) fn collect(&self, pipe: Option<impl Read + Send + 'static>, name: Option<&str>) {
        let Some(pipe) = pipe else { return };
        let lines = self.clone();
        let name = name.map(str::to_owned);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(name) = &name {
                    // The test runner's capture is inherited by threads, so this shows only when the test fails.
                    eprintln!("{name}| {line}");
                }
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
