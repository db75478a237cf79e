//! A job as the API shows it.

use anyhow::ensure;
use mjq_harness::{Stack, WorkerProcess};
use serde_json::Value;

/// What `/api/v1/jobs/<job>` of this worker says.
pub(crate) async fn job_view(worker: &WorkerProcess, job: &str) -> anyhow::Result<Value> {
    let (status, body) = worker.get(&format!("/api/v1/jobs/{job}")).await?;
    ensure!(status == 200, "job {job}: {status} {body}");
    Ok(serde_json::from_str(&body)?)
}

/// Waits until the first worker shows `job` in `phase`.
pub(crate) async fn wait_for_phase(stack: &Stack, job: &str, phase: &str) -> anyhow::Result<()> {
    let is_there = async |stack: &Stack| {
        // The admitter may not have come by yet.
        Ok(job_view(&stack.workers[0], job).await.is_ok_and(|view| view["phase"] == phase))
    };
    stack.eventually(&format!("{job} is {phase}"), is_there).await
}
