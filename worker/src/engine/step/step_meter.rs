//! The metrics of steps: how many there were, by act and observation, and how long they took.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::metric_handles::Handles;

/// Counts steps.
#[derive(Debug, Default)]
pub(crate) struct StepMeter {
    steps: Handles<(&'static str, &'static str), Counter>,
    seconds: Handles<&'static str, Histogram>,
}

impl StepMeter {
    pub(crate) fn record(&self, act: &'static str, observation: &'static str, took: Duration) {
        let steps = || counter!("mjq_steps_total", "act" => act, "observation" => observation);
        self.steps.of((act, observation), steps).increment(1);
        self.seconds.of(act, || histogram!("mjq_step_seconds", "act" => act)).record(took);
    }
}
