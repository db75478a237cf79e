//! A job: what a producer asks for.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{JobId, Options, Request, RequestError, digest::canonical_digest, strict::Object};
use crate::closed_set;

/// The largest job that a worker takes, in bytes of JSON, unless the worker's `MJQ_MAX_JOB_BYTES` sets another limit.
pub const MAX_JOB_BYTES: usize = 10 << 20;

/// The most follow-ups of a job. A result has about ten buttons.
const MAX_FOLLOW_UPS: usize = 100;
/// The most bytes of `state` and `trace` that a job may copy into all its follow-ups, which are enqueued at once.
const MAX_HANDED_ON_BYTES: usize = 16 * 1024 * 1024;

/// One job, as it stands in the field `job` of a stream entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::schema::rules_of_a_job))]
pub struct Job {
    /// The caller's id; when absent, the stream entry's id becomes the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// What is asked for. It names the upstream's submit endpoint.
    pub kind: Kind,
    /// The upstream's own JSON body, kept verbatim.
    pub request: Request,
    /// How the worker treats the job.
    #[serde(default, deserialize_with = "object_or_absent", skip_serializing_if = "Options::is_default")]
    #[cfg_attr(test, schemars(with = "Option<Options>"))]
    pub options: Options,
    /// Actions that follow when this job has completed, in order.
    #[serde(default, deserialize_with = "objects_or_absent", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Option<Vec<FollowUp>>", length(max = MAX_FOLLOW_UPS)))]
    pub then: Vec<FollowUp>,
    /// The caller's trace context, W3C style: `{"traceparent": "…"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub trace: Option<Box<RawValue>>,
}

impl Job {
    /// Checks what the types cannot express: the fields that each kind needs, and the ranges of the options.
    ///
    /// # Errors
    /// [`RequestError`] names the field and the expected value.
    pub fn validate(&self) -> Result<(), RequestError> {
        self.request.validate(self.kind)?;
        if self.kind == Kind::Action && self.request.parent_button().is_some_and(|wanted| self.id == Some(wanted.job)) {
            return Err(RequestError::new("request.job", "another job"));
        }
        if self.then.iter().any(|follow_up| follow_up.button.trim().is_empty()) {
            return Err(RequestError::new("then.button", "a button's label, emoji or custom id"));
        }
        if self.then.len() > MAX_FOLLOW_UPS {
            return Err(RequestError::new("then", "at most 100 follow-ups"));
        }
        let traces = self.trace.as_ref().map_or(0, |trace| trace.get().len()) * self.then.len();
        if traces > MAX_HANDED_ON_BYTES {
            return Err(RequestError::new("trace", "at most 16 MiB in all for its follow-ups"));
        }
        let heirs = self.then.iter().filter(|follow_up| follow_up.state.is_none()).count();
        let left = MAX_HANDED_ON_BYTES - traces;
        if heirs > 0 && self.request.state().is_some_and(|state| state.len() > left / heirs) {
            return Err(RequestError::new("request.state", "at most 16 MiB in all, with `trace`, for its follow-ups"));
        }
        self.options.validate()
    }

    /// The `traceparent` of the caller's trace context; empty when it is absent or cannot be read.
    #[must_use]
    pub fn traceparent(&self) -> String {
        /// A `traceparent` of today's W3C version has 55 characters; later versions may be longer.
        const LONGEST: usize = 128;
        #[derive(Deserialize)]
        struct Trace {
            traceparent: String,
        }
        let trace = self.trace.as_ref().and_then(|trace| serde_json::from_str::<Trace>(trace.get()).ok());
        trace.map(|trace| trace.traceparent).filter(|text| text.len() <= LONGEST).unwrap_or_default()
    }

    /// Tells two bodies with the same id apart: the first 16 bytes of the SHA-256 of kind, request, options and
    /// follow-ups, as 32 hex digits.
    ///
    /// The order of keys and white space do not count, so a client may serialise the job again. `trace` does not count
    /// either.
    #[must_use]
    pub fn digest(&self) -> String {
        let options = serde_json::to_value(&self.options);
        let then = serde_json::to_value(&self.then);
        let parts = [Ok(self.request.to_value()), options, then];
        canonical_digest(self.kind.as_str(), parts.into_iter().flatten())
    }
}

closed_set! {
    /// What a job asks for; the last segment of the upstream's submit path.
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum Kind {
        /// Four pictures from a prompt.
        Imagine = "imagine",
        /// A button below an earlier result: upscale, vary, reroll.
        Action = "action",
        /// One picture from two to five.
        Blend = "blend",
        /// Prompts from a picture.
        Describe = "describe",
        /// A shorter prompt from a prompt.
        Shorten = "shorten",
        /// The answer to a task that waits for input.
        Modal = "modal",
    }
}

impl Kind {
    /// Whether a finished task of this kind has a picture. Describe and shorten give text.
    #[must_use]
    pub fn gives_image(self) -> bool {
        !matches!(self, Self::Describe | Self::Shorten)
    }
}

/// An action that follows a completed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FollowUp {
    /// The button to press: its label (`U1`), its emoji (`🔄`) or its custom id.
    #[cfg_attr(test, schemars(regex(pattern = r"\S")))]
    pub button: String,
    /// The follow-up's own `state`; when absent, the parent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

fn object_or_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value).unwrap_or_default())
}

fn objects_or_absent<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(json: &str) -> Job {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_body_that_was_serialised_anew_is_the_same_body() {
        let one = job(r#"{"id":"a","kind":"imagine","request":{"prompt":"cat","state":"s"}}"#);
        let same = job(r#"{"kind":"imagine","id":"a","request":{ "state":"s", "prompt":"cat"},"trace":{}}"#);
        let other = job(r#"{"id":"a","kind":"imagine","request":{"prompt":"cat","state":"t"}}"#);

        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn the_request_is_kept_byte_for_byte() {
        let text = r#"{"prompt" : "cat","seed":12345678901234567890123,"x":1.0e5}"#;

        let job = job(&format!(r#"{{"kind":"imagine","request":{text}}}"#));

        assert_eq!(job.request.as_json(), text);
        assert!(serde_json::to_string(&job).unwrap().contains(text));
    }

    #[test]
    fn follow_ups_are_bounded_in_number_and_in_what_they_inherit() {
        let with = |follow_ups: usize, state_bytes: usize, own: &str| {
            let request = format!(r#"{{"prompt":"cat","state":"{}"}}"#, "s".repeat(state_bytes));
            let then = vec![format!(r#"{{"button":"U1"{own}}}"#); follow_ups].join(",");
            job(&format!(r#"{{"kind":"imagine","request":{request},"then":[{then}]}}"#)).validate()
        };
        let wrong = |job: Result<(), RequestError>| job.map_or_else(|error| error.to_string(), |()| String::new());

        assert_eq!(wrong(with(100, 1000, "")), "");
        assert!(wrong(with(101, 0, "")).contains("then"));
        assert_eq!(wrong(with(0, 5 << 20, "")), "");
        assert_eq!(wrong(with(3, 5 << 20, "")), "");
        assert!(wrong(with(4, 5 << 20, "")).contains("request.state"));
        assert_eq!(wrong(with(4, 5 << 20, r#","state":"its own""#)), "");
    }

    #[test]
    fn the_trace_counts_with_the_state_for_each_follow_up() {
        let with = |follow_ups: usize, trace_bytes: usize, state_bytes: usize| {
            let request = format!(r#"{{"prompt":"cat","state":"{}"}}"#, "s".repeat(state_bytes));
            let then = vec![r#"{"button":"U1"}"#; follow_ups].join(",");
            let trace = format!(r#"{{"traceparent":"{}"}}"#, "t".repeat(trace_bytes));
            job(&format!(r#"{{"kind":"imagine","request":{request},"then":[{then}],"trace":{trace}}}"#)).validate()
        };
        let wrong = |job: Result<(), RequestError>| job.map_or_else(|error| error.to_string(), |()| String::new());

        assert_eq!(wrong(with(100, 1000, 1000)), "");
        assert_eq!(wrong(with(0, 9 << 20, 0)), "");
        assert!(wrong(with(100, 9 << 20, 0)).contains("trace"));
        assert_eq!(wrong(with(3, 2 << 20, 3 << 20)), "");
        assert!(wrong(with(3, 2 << 20, 4 << 20)).contains("request.state"));
    }
}
