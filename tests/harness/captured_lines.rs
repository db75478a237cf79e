//! What a child process prints, kept for whoever has to explain a failure.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines of one or more pipes, in the order of their arrival.
#[derive(Default)]
pub(crate) struct CapturedLines(Arc<Mutex<Vec<String>>>);

impl CapturedLines {
    /// Reads a pipe to its end on a thread of its own, so that no child blocks because a test is busy.
    ///
    /// With a name, each line is also printed behind it, into the output of the test that called this.
    pub(crate) fn collect(&self, pipe: Option<impl Read + Send + 'static>, name: Option<&str>) {
        let Some(pipe) = pipe else { return };
        let lines = Arc::clone(&self.0);
        let name = name.map(str::to_owned);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(name) = &name {
                    // The test runner's capture is inherited by threads, so this shows only when the test fails.
                    eprintln!("{name}| {line}");
                }
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    /// Waits until the pipes are read to their ends, which is soon after the death of the child.
    pub(crate) async fn complete(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        // Each reader holds a clone; ours is the one that remains. A grandchild could keep a pipe open for ever.
        while Arc::strong_count(&self.0) > 1 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
