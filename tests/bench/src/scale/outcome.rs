//! What the probe makes of the steps that it has claimed, by the real state machine.

use std::time::Duration;

use mjq_producer::contract::TaskId;
use mjq_worker::{
    ledger::{JobEnd, Settlement, Step},
    lifecycle::{Next, Observation, Policy, Ran, TaskReport, event_of, next},
};
use serde_json::json;

use crate::peers::ledger::at_once;

/// The upstream took it.
pub(super) fn accepted(step: Step, policy: &Policy) -> anyhow::Result<Settlement> {
    let task = TaskId::new("1730621826053455");
    settlement(step, &Observation::Accepted { task, queue_position: 0 }, policy)
}

/// Its task goes on.
pub(super) fn running(step: Step, policy: &Policy) -> anyhow::Result<Settlement> {
    let report = TaskReport { status: "IN_PROGRESS".to_owned(), progress: Some(46), ..TaskReport::default() };
    settlement(step, &Observation::Running(report), policy)
}

/// Its task has its picture.
pub(super) fn ended(step: Step, policy: &Policy) -> anyhow::Result<Settlement> {
    let image_url = "http://127.0.0.1/image/1730621826053455.png".to_owned();
    let prompt = "a lighthouse in a storm, oil on canvas, no. 1000 --ar 3:2";
    let button = json!({"customId": "MJ::JOB::upsample::1::0123456789abcdef", "emoji": "", "label": "U1", "type": 2});
    let raw = json!({
        "id": "1730621826053455", "action": "IMAGINE", "status": "SUCCESS", "prompt": prompt, "promptEn": prompt,
        "description": format!("/imagine {prompt}"), "progress": "100%", "imageUrl": image_url, "failReason": null,
        "buttons": vec![button; 9],
    })
    .to_string();
    let status = "SUCCESS".to_owned();
    settlement(
        step,
        &Observation::Succeeded(TaskReport {
            status,
            image_url,
            raw: Some(raw.into_boxed_str()),
            ..TaskReport::default()
        }),
        policy,
    )
}

/// What comes of the step; a next one is due at once.
fn settlement(step: Step, seen: &Observation, policy: &Policy) -> anyhow::Result<Settlement> {
    let Step { job, fence, record, claimed_ms: now_ms, .. } = step;
    let mut transition = next(&record, seen, at_once(now_ms, fence, policy))?;
    let mut end = None;
    match transition.next {
        Next::End(ending) => {
            let event = event_of(&job, &transition.record, ending, seen, now_ms, Vec::new());
            let ran = Some(Ran { ms: 2_000, told: None });
            end = Some(Box::new(JobEnd { event, ran, revisit_after: None, follow_ups: Vec::new() }));
        }
        _ => transition.next = Next::Poll(Duration::ZERO),
    }
    Ok(Settlement { job, fence, kept_until_ms: u64::MAX, transition, progress: None, end, job_json: None })
}
