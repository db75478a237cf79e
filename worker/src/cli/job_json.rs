//! Jobs for machines: the fields have the names that the admin API gives them.

use mjq_producer::contract::Event;
use serde_json::{Map, Value, json};

use crate::{
    ledger::{JobLine, JobView, Place},
    lifecycle::{Phase, Record},
};

/// A job in a list.
pub(super) fn of_line(line: &JobLine) -> Value {
    let mut fields = of_record(line.id.as_str(), line.phase, line.place, &line.record);
    if let Some(event) = &line.event {
        fields.insert("outcome".to_owned(), json!(event.event_type));
        fields.insert("code".to_owned(), json!(event.code));
        fields.insert("image_url".to_owned(), json!(event.image_url));
    }
    Value::Object(fields)
}

/// Everything about one job, with pictures hidden.
pub(super) fn of_view(view: &JobView) -> Value {
    let mut fields = of_record(view.id.as_str(), view.phase, view.place, &view.record);
    let more = json!({
        "now_ms": view.now_ms,
        "is_ended": view.phase.is_terminal(),
        "is_cancel_requested": view.is_cancel_requested,
        "mode": view.record.mode,
        "on_unknown": view.record.on_unknown,
        "on_capacity": view.record.on_capacity,
        "earlier_tasks": view.record.earlier_tasks,
        "queue_position": view.record.queue_position,
        "max_attempts": view.record.max_attempts,
        "refusals": view.record.refusals,
        "reclaims": view.reclaims,
        "fence": view.fence,
        "adopted": view.record.adopted,
        "possible_duplicate": view.record.possible_duplicate,
        "follows": view.record.follows,
        "timeline": view.record.history(),
        "late": view.record.late,
        "request": view.job.as_ref().map(|job| &job.request),
        "options": view.job.as_ref().map(|job| &job.options),
        "then": view.job.as_ref().map(|job| &job.then),
        "job_bytes": view.job_bytes,
        "state": view.state,
        "outcome": view.event.as_ref().map(|event| of_event(event, view.event_entry.as_deref())),
    });
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
}

fn of_record(id: &str, phase: Phase, place: Place, record: &Record) -> Map<String, Value> {
    let fields = json!({
        "id": id,
        "kind": record.kind,
        "phase": phase,
        "priority": record.priority,
        "task": record.task,
        "status": record.status,
        "progress_percent": record.progress,
        "attempts": record.attempts,
        "polls": record.polls,
        "reason": record.reason,
        "enqueued_ms": record.enqueued_ms,
        "accepted_ms": record.accepted_ms,
        "deadline_ms": record.deadline_ms,
        "next": place,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn of_event(event: &Event, entry: Option<&str>) -> Value {
    json!({
        "type": event.event_type,
        "code": event.code,
        "entry": entry,
        "image_url": event.image_url,
        "data": event.data,
    })
}
