//! One figure out of a worker's metrics.

use anyhow::Context;
use mjq_harness::WorkerProcess;

/// The sum of all samples of the metric `name` whose labels contain `labels`; 0 when there is none.
pub(crate) async fn metric(worker: &WorkerProcess, name: &str, labels: &str) -> anyhow::Result<f64> {
    let (_, text) = worker.get("/metrics").await?;
    let mut sum = 0.0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').context("a line of the metrics has no value")?;
        let (metric, its_labels) = series.split_once('{').unwrap_or((series, ""));
        if metric == name && its_labels.contains(labels) {
            sum += value.parse::<f64>().with_context(|| format!("{line:?} has no number"))?;
        }
    }
    Ok(sum)
}
