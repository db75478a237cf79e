//! The handler of the peers: one job from its submit to its event.

use std::time::Duration;

use anyhow::{Context, bail};
use redis::aio::ConnectionManager;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{stream::EVENTS, upstream::http_client};

pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What a handler needs. Clones share the connections.
#[derive(Clone)]
pub(super) struct Handler {
    upstream_url: String,
    http: reqwest::Client,
    redis: ConnectionManager,
}

#[derive(Deserialize)]
struct Submitted {
    code: i64,
    result: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(default)]
    status: String,
    image_url: Option<String>,
}

impl Handler {
    pub(super) async fn new(redis_url: &str, upstream_url: &str) -> anyhow::Result<Self> {
        let redis = redis::Client::open(redis_url)?.get_connection_manager().await?;
        Ok(Self { upstream_url: upstream_url.to_owned(), http: http_client()?, redis })
    }

    /// Submits, polls each second until the task has ended, and adds the event.
    pub(super) async fn perform(&self, job: &Value) -> anyhow::Result<()> {
        let task_id = self.submit(&job["request"]).await?;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if self.poll(job, &task_id).await? {
                return Ok(());
            }
        }
    }

    /// Polls a task once, and says whether it has ended; then its event is added.
    pub(super) async fn poll(&self, job: &Value, task_id: &str) -> anyhow::Result<bool> {
        let url = format!("{}/mj/task/{task_id}/fetch", self.upstream_url);
        let body = self.http.get(&url).send().await?.bytes().await?;
        let raw: &RawValue = serde_json::from_slice(&body)?;
        let task: Task = serde_json::from_str(raw.get())?;
        let has_ended = task.status == "SUCCESS" || task.status == "FAILURE";
        if has_ended {
            self.publish(job, task_id, &task, raw).await?;
        }
        Ok(has_ended)
    }

    /// Submits a request, and returns the new task's id.
    pub(super) async fn submit(&self, request: &Value) -> anyhow::Result<String> {
        let url = format!("{}/mj/submit/imagine", self.upstream_url);
        let body = serde_json::to_vec(request)?;
        let answer = self.http.post(url).header("Content-Type", "application/json").body(body).send().await?;
        let submitted: Submitted = serde_json::from_slice(&answer.bytes().await?)?;
        match (submitted.code, submitted.result) {
            (1 | 22, Some(Value::String(id))) => Ok(id),
            (1 | 22, Some(Value::Number(id))) => Ok(id.to_string()),
            (code, _) => bail!("refused with {code}"),
        }
    }

    async fn publish(&self, job: &Value, task_id: &str, task: &Task, raw: &RawValue) -> anyhow::Result<()> {
        let outcome = if task.status == "SUCCESS" { "completed" } else { "failed" };
        let data = format!(r#"{{"task":{raw}}}"#);
        let mut command = redis::cmd("XADD");
        command.arg(EVENTS).arg("*").arg("v").arg(1).arg("type").arg(outcome);
        command.arg("job").arg(job["id"].as_str().context("a job without an id")?);
        command.arg("kind").arg("imagine").arg("state").arg(job["request"]["state"].as_str().unwrap_or_default());
        command.arg("task").arg(task_id).arg("status").arg(&task.status);
        command.arg("code").arg(if outcome == "completed" { "ok" } else { "upstream_failed" });
        command.arg("image_url").arg(task.image_url.as_deref().unwrap_or_default()).arg("data").arg(data);
        Ok(command.exec_async(&mut self.redis.clone()).await?)
    }
}
