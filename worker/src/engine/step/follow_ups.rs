//! Follow-ups: the jobs that a completed one asks for, each of which presses a button of its result.

use mjq_producer::contract::{FollowUp, Job, JobId, Kind, Options, Request};
use serde_json::json;

/// The jobs that follow the job `parent`, in the order of its `then`. Each has its own `state`, or else its parent's.
pub(super) fn follow_ups(parent: &JobId, job: &Job) -> Vec<Job> {
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
