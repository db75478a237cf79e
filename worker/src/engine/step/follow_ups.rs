//! Follow-ups: the jobs that a completed job asks for, each of which presses a button of its result.

use mjq_producer::contract::{FollowUp, Job, JobId, Kind, Options, Request};
use serde_json::json;
use tracing::error;

use super::memory_budget::MemoryBudget;
use crate::ledger::{Abandoned, Ledger};

/// Reads the completed job `parent`, and makes the jobs that follow it. Only those jobs stay in memory: the parent may
/// have large pictures, and is read only when `memory` has room for it.
pub(super) async fn read_follow_ups(
    ledger: &Ledger,
    memory: &MemoryBudget,
    parent: &JobId,
) -> Result<Vec<Job>, Abandoned> {
    // The job's lease is renewed while the step waits for room.
    let _room = memory.room_for(ledger.job_bytes(parent).await?).await;
    let json = ledger.job_json(parent).await?;
    let Some(job) = json.and_then(|json| serde_json::from_str::<Job>(&json).ok()) else {
        error!(job.id = %parent, "redis has lost what was to follow job {parent}: it completes alone");
        return Ok(Vec::new());
    };
    Ok(follow_ups(parent, &job))
}

/// The jobs that follow the job `parent`, in the order of its `then`. A follow-up without a `state` of its own has its
/// parent's.
fn follow_ups(parent: &JobId, job: &Job) -> Vec<Job> {
    let state = job.request.state();
    let child = |(position, follow_up): (usize, &FollowUp)| {
        let mut request = json!({ "job": parent, "button": follow_up.button });
        if let Some(state) = follow_up.state.as_ref().or(state.as_ref()) {
            request["state"] = state.as_str().into();
        }
        Some(Job {
            id: Some(parent.follow_up(position)),
            kind: Kind::Action,
            request: Request::from_json(request.to_string()).ok()?,
            options: Options { run_at_ms: 0, ..job.options.clone() },
            then: Vec::new(),
            trace: job.trace.clone(),
        })
    };
    job.then.iter().enumerate().filter_map(child).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mjq_producer::RedisLink;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_large_job_is_read_for_its_follow_ups_only_when_there_is_memory_for_it() -> anyhow::Result<()> {
        let redis = mjq_harness::shared_redis().await?;
        let (link, queue) = (RedisLink::open(redis.url())?, mjq_harness::unique_queue().parse()?);
        let ledger = Ledger::new(link, queue, Duration::from_secs(60), CancellationToken::new());
        let (parent, picture) = (JobId::new("order-1842")?, "A".repeat(1 << 20));
        let request = json!({ "prompt": "a red fox", "base64Array": [picture] });
        let job = json!({ "id": parent, "kind": "imagine", "request": request, "then": [{ "button": "U1" }] });
        let mut set = redis::cmd("SET");
        set.arg(ledger.key("large:order-1842")).arg(job.to_string());
        ledger.link().query::<String>(&set).await?;
        let memory = MemoryBudget::new();
        let others = memory.room_for(16 << 20).await;

        let reading = read_follow_ups(&ledger, &memory, &parent);
        tokio::pin!(reading);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut reading).await;
        assert!(early.is_err(), "it is read although there is no memory");
        drop(others);

        let follow_ups = reading.await?;
        assert_eq!(follow_ups.len(), 1);
        assert_eq!(follow_ups[0].request.as_json(), r#"{"button":"U1","job":"order-1842"}"#);
        assert!(memory.room_within(16 << 20, Duration::ZERO).await.is_some(), "the room is free again");
        Ok(())
    }
}
