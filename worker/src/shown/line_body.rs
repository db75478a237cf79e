//! A job in a list, as JSON.

use mjq_producer::contract::{Code, EventType, JobId, Kind, Priority, TaskId};
use serde::Serialize;

use crate::{
    ledger::{JobLine, Place},
    lifecycle::Phase,
};

/// A job in a list. Times are Unix milliseconds; 0 is "not yet".
#[derive(Debug, Serialize)]
pub(crate) struct LineBody<'a> {
    id: &'a JobId,
    kind: Kind,
    phase: Phase,
    priority: Priority,
    task: Option<&'a TaskId>,
    status: &'a str,
    progress_percent: u8,
    attempts: u32,
    polls: u32,
    reason: &'a str,
    enqueued_ms: u64,
    accepted_ms: u64,
    deadline_ms: u64,
    next: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
}

impl<'a> LineBody<'a> {
    pub(crate) fn of(line: &'a JobLine) -> Self {
        let JobLine { id, phase, place, record, event } = line;
        let event = event.as_ref();
        Self {
            id,
            kind: record.kind,
            phase: *phase,
            priority: record.priority,
            task: record.task.as_ref(),
            status: &record.status,
            progress_percent: record.progress,
            attempts: record.attempts,
            polls: record.polls,
            reason: &record.reason,
            enqueued_ms: record.enqueued_ms,
            accepted_ms: record.accepted_ms,
            deadline_ms: record.deadline_ms,
            next: *place,
            outcome: event.map(|event| event.event_type),
            code: event.map(|event| event.code),
            image_url: event.map(|event| event.image_url.as_str()).filter(|url| !url.is_empty()),
        }
    }
}
