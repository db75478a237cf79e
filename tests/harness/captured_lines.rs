//! Captures what a child process prints, for messages about failures.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines of one or more pipes, in the order of their arrival.
#[derive(Default)]
pub(crate) struct CapturedLines(Arc<Mutex<Vec<String>>>);

impl CapturedLines {
    /// Reads a pipe to its end on a separate thread, so that no child blocks because a test is busy.
    ///
    /// With a name, each line is also printed with the name in front, into the output of the calling test.
    pub(crate) fn collect(&self, pipe: Option<impl Read + Send + 'static>, name: Option<&str>) {
        let Some(pipe) = pipe else { return };
        let lines = Arc::clone(&self.0);
        let name = name.map(str::to_owned);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(name) = &name {
                    // Threads inherit the test runner's capture, so the line is shown only when the test fails.
                    eprintln!("{name}| {line}");
                }
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    /// Waits until the pipes have been read to their ends, which happens soon after the child's death.
    pub(crate) async fn complete(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        // Each reader holds a clone, and ours is the last one. The wait is limited, because a grandchild could keep a
        // pipe open.
        while Arc::strong_count(&self.0) > 1 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
