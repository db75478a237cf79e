//! An event: one terminal fact, one entry of the event stream.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{JobId, VERSION};
use crate::closed_set;

/// One entry of the event stream. On the wire each field is a string.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::schema::rules_of_an_event))]
pub struct Event {
    /// What happened.
    #[cfg_attr(test, schemars(rename = "type"))]
    pub event_type: EventType,
    /// The job's id; empty when a rejected entry had none that can be read.
    pub job: String,
    /// The job's kind; empty when a rejected entry had none that can be read.
    pub kind: String,
    /// The request's `state`, verbatim; empty when there was none.
    pub state: String,
    /// The upstream's task id; empty when there is none.
    pub task: String,
    /// The upstream's last status (`SUCCESS`, `FAILURE` …); empty when there is none.
    pub status: String,
    /// `ok`, or why not.
    pub code: Code,
    /// The picture; empty when there is none.
    pub image_url: String,
    /// Everything else.
    #[cfg_attr(test, schemars(with = "String"))]
    pub data: EventData,
}

impl Event {
    /// The entry's fields in the order of the contract, ready for `XADD`.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, String); 10] {
        [
            ("v", VERSION.to_owned()),
            ("type", self.event_type.as_str().to_owned()),
            ("job", self.job.clone()),
            ("kind", self.kind.clone()),
            ("state", self.state.clone()),
            ("task", self.task.clone()),
            ("status", self.status.clone()),
            ("code", self.code.as_str().to_owned()),
            ("image_url", self.image_url.clone()),
            ("data", self.data.to_json()),
        ]
    }

    /// Reads an entry's fields.
    ///
    /// # Errors
    /// [`MissingField`] if `type`, `code` or `data` is absent or not of this version.
    pub fn read(mut fields: HashMap<String, String>) -> Result<Self, MissingField> {
        let mut text = |name: &str| fields.remove(name).unwrap_or_default();
        let event_type = EventType::read(&text("type")).ok_or(MissingField("type"))?;
        let code = Code::read(&text("code")).ok_or(MissingField("code"))?;
        let data = serde_json::from_str(&text("data")).map_err(|_| MissingField("data"))?;
        Ok(Self {
            event_type,
            job: text("job"),
            kind: text("kind"),
            state: text("state"),
            task: text("task"),
            status: text("status"),
            code,
            image_url: text("image_url"),
            data,
        })
    }
}

/// An entry of the event stream lacks a field, or has one that this version cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event's field `{0}` is missing or cannot be read")]
pub struct MissingField(&'static str);

closed_set! {
    /// What happened to a job.
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum EventType {
        /// It has its result.
        Completed = "completed",
        /// It ended without one.
        Failed = "failed",
        /// It was cancelled on request.
        Cancelled = "cancelled",
        /// The entry never became a job.
        Rejected = "rejected",
    }
}

closed_set! {
    /// How a job ended. Each has a cause and a cure.
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum Code {
        /// The task succeeded.
        Ok = "ok",
        /// The upstream's task failed. Cure: read `data.reason`; a new job is a new charge.
        UpstreamFailed = "upstream_failed",
        /// The upstream refuses the prompt. Cure: another prompt; the same one risks a ban.
        BannedPrompt = "banned_prompt",
        /// The upstream refuses the request. Cure: correct it as `data.reason` says.
        InvalidRequest = "invalid_request",
        /// The task or job that an action refers to is gone. Cure: make the picture anew.
        ParentGone = "parent_gone",
        /// The upstream refuses the request's size. Cure: smaller pictures.
        TooLarge = "too_large",
        /// Nobody can know whether the upstream took the job. Cure: look it up there before paying again.
        SubmitUnknown = "submit_unknown",
        /// The upstream no longer knows the task. Cure: ask the upstream; a new job is a new charge.
        UpstreamLost = "upstream_lost",
        /// The task waited for input until the deadline. Cure: send a `modal` command in time.
        NeedsInput = "needs_input",
        /// The deadline came first. Cure: a longer `deadline_s`; `data.task` may still finish upstream.
        DeadlineExceeded = "deadline_exceeded",
        /// Each allowed attempt failed. Cure: read `data.reason`.
        AttemptsExhausted = "attempts_exhausted",
        /// Workers died on this job again and again. Cure: read their logs, then retry the job.
        Poison = "poison",
        /// Cancelled on request.
        Cancelled = "cancelled",
        /// The entry cannot be read. Cure: correct it as `data.reason` says.
        Malformed = "malformed",
        /// The id belongs to a job with another body. Cure: another id.
        Conflict = "conflict",
    }
}

/// The event's field `data`: a JSON object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventData {
    /// The upstream's task object, verbatim; null when it never showed one.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Map<String, serde_json::Value>>"))]
    pub task: Option<Box<RawValue>>,
    /// The buttons below the result, verbatim as the upstream lists them.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<serde_json::Value>>"))]
    pub buttons: Option<Box<RawValue>>,
    /// What went wrong, in words; empty when nothing did.
    #[serde(default)]
    pub reason: String,
    /// Submits that the upstream took or may have taken. A refusal never counts.
    #[serde(default)]
    pub attempts: u32,
    /// How often the task was polled.
    #[serde(default)]
    pub polls: u32,
    /// Times that a worker died holding the job and another took it over.
    #[serde(default)]
    pub reclaims: u32,
    /// Whether the task was found again after its submit's answer was lost.
    #[serde(default)]
    pub adopted: bool,
    /// Whether the upstream may have made (and billed) more than one task for this job.
    #[serde(default)]
    pub possible_duplicate: bool,
    /// The tasks before this one, which failed or were given up; each may have been billed. Absent when there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_tasks: Vec<String>,
    /// When it happened.
    #[serde(default)]
    pub timings: Timings,
    /// The job whose button this one presses, as a follow-up does.
    #[serde(default)]
    pub follows: Option<JobId>,
    /// The follow-ups that were enqueued together with this event.
    #[serde(default)]
    pub then: Vec<JobId>,
}

impl EventData {
    /// The JSON text of the field.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The fields are strings, numbers and JSON that was read before, and serde_json refuses none of these.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Unix times in milliseconds by Redis's clock; 0 when it did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Timings {
    /// The entry came into the job stream.
    pub enqueued_ms: u64,
    /// The upstream accepted the job.
    pub accepted_ms: u64,
    /// A worker saw the end.
    pub finished_ms: u64,
    /// The event was made.
    pub published_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let event = Event {
            event_type: EventType::Completed,
            job: "a".into(),
            kind: "imagine".into(),
            state: "s\0\u{1f600}".into(),
            task: "0741798445574458".into(),
            status: "SUCCESS".into(),
            code: Code::Ok,
            image_url: "https://example.org/a.png".into(),
            data: EventData { attempts: 1, ..EventData::default() },
        };

        let fields: HashMap<String, String> =
            event.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let read = Event::read(fields).unwrap();

        assert_eq!(read.fields(), event.fields());
    }

    #[test]
    fn an_event_of_another_version_is_named() {
        let error = Event::read(HashMap::from([("type".to_owned(), "exploded".to_owned())])).unwrap_err();

        assert_eq!(error, MissingField("type"));
    }
}
