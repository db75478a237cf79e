//! One look at one job, by the worker's JSON API.

use mjq_harness::WorkerProcess;
use serde::Deserialize;

/// What the API says about a job; it says more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Look {
    phase: String,
    is_ended: bool,
    /// The upstream's last status.
    status: String,
    /// Percent, 0 to 100.
    pub(crate) progress_percent: u64,
    /// The place in the upstream's line that came with code 22; 0 when there was none.
    queue_position: u32,
    /// The job whose result this one waits for.
    follows: Option<String>,
}

/// How a job is getting on; `None` while the worker has not heard of it, or is too busy to say.
pub(crate) async fn look(worker: &WorkerProcess, job: &str) -> Option<Look> {
    let (status, body) = worker.get(&format!("/api/v1/jobs/{job}")).await.ok()?;
    if status != 200 {
        return None;
    }
    serde_json::from_str(&body).ok()
}

impl Look {
    /// Where the job stands, in few words that change only when something happens.
    pub(crate) fn words(&self) -> String {
        let has_begun = self.progress_percent > 0 || matches!(self.status.as_str(), "SUBMITTED" | "IN_PROGRESS");
        match (self.phase.as_str(), &self.follows) {
            ("queued", Some(parent)) => format!("queued      waits for {parent}"),
            ("polling", _) if self.queue_position > 0 && !has_begun => {
                format!("polling     code 22: place {} in the API's line", self.queue_position)
            }
            ("polling", _) => "polling     in progress".to_owned(),
            (phase, _) => phase.to_owned(),
        }
    }

    /// Whether this is not worth a line of its own: it is over in a moment, or the event says it better.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_ended || self.phase == "submitting"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_look() -> Look {
        Look { phase: "polling".to_owned(), queue_position: 4, ..Look::default() }
    }

    #[test]
    fn the_place_in_line_is_told_until_the_task_has_begun() {
        let waiting = a_look();
        let running = Look { status: "IN_PROGRESS".to_owned(), ..a_look() };

        assert_eq!(waiting.words(), "polling     code 22: place 4 in the API's line");
        assert_eq!(running.words(), "polling     in progress");
    }
}
