//! A job: what a producer asks for.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{JobId, Request, RequestError, strict::Object};

/// The largest job that a worker takes, in bytes of its JSON, unless its `MJQ_MAX_JOB_BYTES` says otherwise.
pub const MAX_JOB_BYTES: usize = 10 << 20;

/// The longest deadline that a job may ask for, in seconds: seven days.
pub const MAX_DEADLINE_S: u64 = 7 * 24 * 3600;
/// 2^53: Redis keeps scores as doubles, and a time beyond the year 287396 is a mistake.
const MAX_RUN_AT_MS: u64 = 1 << 53;
/// The most follow-ups of a job. A result has some ten buttons.
const MAX_FOLLOW_UPS: usize = 100;
/// The most bytes of its `state` that a job may hand on to all its follow-ups, which are enqueued at once.
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
    /// Checks what the types cannot: that the request has what its kind needs, and the options' ranges.
    ///
    /// # Errors
    /// [`RequestError`] names the field, and what was expected of it.
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
        let heirs = self.then.iter().filter(|follow_up| follow_up.state.is_none()).count();
        if heirs > 0 && self.request.state().is_some_and(|state| state.len() > MAX_HANDED_ON_BYTES / heirs) {
            return Err(RequestError::new("request.state", "at most 16 MiB in all for its follow-ups"));
        }
        self.options.validate()
    }

    /// The `traceparent` of the caller's trace context; empty when there is none that can be read.
    #[must_use]
    pub fn traceparent(&self) -> String {
        /// The W3C's are 55 characters long, and later versions may say more.
        const LONGEST: usize = 128;
        #[derive(Deserialize)]
        struct Trace {
            traceparent: String,
        }
        let trace = self.trace.as_ref().and_then(|trace| serde_json::from_str::<Trace>(trace.get()).ok());
        trace.map(|trace| trace.traceparent).filter(|text| text.len() <= LONGEST).unwrap_or_default()
    }

    /// Tells two bodies under one id apart: the first 16 bytes of the SHA-256 of kind, request, options and follow-ups, as 32
    /// hex digits.
    ///
    /// Order of keys and white space do not count, so a client may serialise anew; `trace` does not count.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = Vec::from(self.kind.as_str());
        write_canonically(&mut text, &self.request.to_value());
        for part in [serde_json::to_value(&self.options), serde_json::to_value(&self.then)].into_iter().flatten() {
            write_canonically(&mut text, &part);
        }
        hex_digest(&text)
    }
}

/// What a job asks for; the last segment of the upstream's submit path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Four pictures from a prompt.
    Imagine,
    /// A button below an earlier result: upscale, vary, reroll.
    Action,
    /// One picture from two to five.
    Blend,
    /// Prompts from a picture.
    Describe,
    /// A shorter prompt from a prompt.
    Shorten,
    /// The answer to a task that waits for input.
    Modal,
}

impl Kind {
    /// Each kind there is.
    pub const ALL: [Self; 6] = [Self::Imagine, Self::Action, Self::Blend, Self::Describe, Self::Shorten, Self::Modal];

    /// The kind as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imagine => "imagine",
            Self::Action => "action",
            Self::Blend => "blend",
            Self::Describe => "describe",
            Self::Shorten => "shorten",
            Self::Modal => "modal",
        }
    }

    /// Whether a finished task of this kind has a picture. Describe and shorten give text.
    #[must_use]
    pub fn gives_image(self) -> bool {
        !matches!(self, Self::Describe | Self::Shorten)
    }
}

/// How the worker treats a job. What is absent is the worker's own setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Options {
    /// Which jobs are submitted first.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Priority::is_normal")]
    #[cfg_attr(test, schemars(with = "Option<Priority>"))]
    pub priority: Priority,
    /// Seconds from enqueueing (or from `run_at_ms`) until the job ends with `deadline_exceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1, max = MAX_DEADLINE_S)))]
    pub deadline_s: Option<u64>,
    /// Unix time in milliseconds before which the job is not submitted; 0 is at once.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_zero")]
    #[cfg_attr(test, schemars(with = "Option<u64>", range(max = MAX_RUN_AT_MS)))]
    pub run_at_ms: u64,
    /// The most submits that the upstream took or may have taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1, max = u32::MAX)))]
    pub max_attempts: Option<u32>,
    /// What happens when nobody can know whether the upstream took the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
    /// What happens when a task failed because the upstream had no capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_capacity: Option<OnCapacity>,
}

impl Options {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self) -> Result<(), RequestError> {
        match self {
            Self { deadline_s: Some(0), .. } => Err(RequestError::new("options.deadline_s", "at least 1")),
            Self { deadline_s: Some(s), .. } if *s > MAX_DEADLINE_S => {
                Err(RequestError::new("options.deadline_s", "at most 604800, seven days"))
            }
            Self { max_attempts: Some(0), .. } => Err(RequestError::new("options.max_attempts", "at least 1")),
            Self { run_at_ms, .. } if *run_at_ms > MAX_RUN_AT_MS => {
                Err(RequestError::new("options.run_at_ms", "Unix time in milliseconds"))
            }
            _ => Ok(()),
        }
    }
}

/// Which jobs are submitted first; within a priority, the oldest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The usual.
    #[default]
    Normal,
    /// After all others.
    Low,
}

impl Priority {
    /// 0 for the first to be submitted, 2 for the last.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// What happens when nobody can know whether the upstream took (and billed) a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// The job ends with `submit_unknown`: it is never paid twice.
    #[default]
    Fail,
    /// The job is submitted again and its event says `possible_duplicate`: it may be paid twice.
    Resubmit,
}

/// What happens when the upstream took a job and its task failed for want of capacity: a time-out or an
/// internal error there, no account that is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnCapacity {
    /// The job ends with `upstream_failed`.
    #[default]
    Fail,
    /// A new task is asked for, which is a new charge, as long as `max_attempts` allows.
    Resubmit,
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

/// Some languages write `null` for what is not there.
fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn object_or_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value).unwrap_or_default())
}

fn objects_or_absent<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn write_canonically(text: &mut Vec<u8>, value: &serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            text.push(b'{');
            for key in keys {
                write_json(text, key);
                write_canonically(text, &map[key]);
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            items.iter().for_each(|item| write_canonically(text, item));
            text.push(b']');
        }
        scalar => {
            write_json(text, scalar);
            text.push(b',');
        }
    }
}

fn write_json(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Strings and numbers, into memory: there is nothing that serde_json refuses.
    let _ = serde_json::to_writer(text, value);
}

pub(super) fn hex_digest(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    Sha256::digest(bytes)[..16].iter().flat_map(digits).collect()
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
    fn options_out_of_range_are_named() {
        for (options, field) in [
            (r#"{"deadline_s":0}"#, "options.deadline_s"),
            (r#"{"deadline_s":604801}"#, "options.deadline_s"),
            (r#"{"max_attempts":0}"#, "options.max_attempts"),
            (r#"{"run_at_ms":9007199254740993}"#, "options.run_at_ms"),
        ] {
            let job = job(&format!(r#"{{"kind":"imagine","request":{{"prompt":"cat"}},"options":{options}}}"#));

            assert!(job.validate().unwrap_err().to_string().contains(field), "{options}");
        }
    }
}
