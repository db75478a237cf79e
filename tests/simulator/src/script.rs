//! A script for one job: how its submits are answered, what its polls see, how it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::span::Span;

/// A script for the jobs to which it is attached. Everything that it does not mention stays as usual.
///
/// A script can also be read from the words of a marker, see [`crate::marker`]:
/// `"status=429 retry=2 times=2".parse::<Script>()`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The only kind of request that the script serves: `imagine`, `action`, `upscale`, `modal` …
    pub on: Option<String>,
    /// How many submits the script serves in all; `None` means no limit.
    pub uses: Option<u32>,
    /// The answers to the first submits of each job, in order. Later submits get the usual answers.
    pub submit: Vec<SubmitStep>,
    /// What the first polls of each task see, in order. Later polls see the truth.
    pub fetch: Vec<FetchStep>,
    /// How long the task runs.
    pub duration: Option<Span>,
    /// How the task ends.
    pub outcome: Option<Outcome>,
    /// The point at which the task's progress stops for ever: `NOT_START`, `SUBMITTED` or a progress such as `46%`. The
    /// task's slot still becomes free when its duration is over.
    pub stuck: Option<String>,
    /// The status in place of `IN_PROGRESS`.
    pub running_status: Option<String>,
}

/// An answer to a submit, and how often it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubmitStep {
    /// The answer.
    pub answer: Answer,
    /// Whether the task is created, and billed, although the answer does not show it.
    pub after: bool,
    /// The delay before the answer, in milliseconds, in addition to the usual latency.
    pub delay_ms: u64,
    /// How many submits in a row get the answer; 0 means all.
    pub times: u32,
}

/// What a poll sees, and for how many polls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchStep {
    /// The answer.
    pub answer: Sight,
    /// The delay before the answer, in milliseconds, in addition to the usual latency.
    pub delay_ms: u64,
    /// How many polls in a row get the answer; 0 means all.
    pub times: u32,
}

/// How a submit is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// By capacity: 1, 22 or a refusal.
    #[default]
    Usual,
    /// With this code, over HTTP 200.
    Code(Coded),
    /// With a fault instead of an answer of the API.
    Fault(Fault),
}

/// An answer whose code the script chooses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coded {
    /// 1, 3, 4, 9, 21, 22, 23, 24, 30 or any other.
    pub code: i64,
    /// Replaces the usual description.
    pub description: Option<String>,
    /// Replaces the usual properties.
    pub properties: Option<Value>,
    /// The id in `result`.
    pub id: WithId,
}

/// The id in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithId {
    /// The id of a new task with codes 1, 21 and 22; no id with other codes.
    #[default]
    Usual,
    /// No id, and no task is created.
    No,
    /// The id of a new task, with any code.
    New,
    /// The id of the newest task that the same request has created, else of a new task.
    Existing,
}

/// What a poll sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// The task as it is.
    #[default]
    Truth,
    /// An answer that the task does not exist.
    Unknown,
    /// The task under another id, as from a relay that passes on its own upstream's answer.
    Renumbered,
    /// A fault instead of an answer of the API.
    Fault(Fault),
}

/// A fault of networks, proxies or crashing servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This HTTP status.
    Status {
        /// 401, 403, 413, 429, 500, 502, 503, 504 …
        status: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// Whether the body is a proxy's web page; else it is JSON.
        #[serde(default)]
        html: bool,
    },
    /// HTTP 200 with an empty body.
    Empty,
    /// HTTP 200 with JSON that stops in the middle.
    Broken,
    /// HTTP 200 with a web page.
    Html,
    /// HTTP 200, and the connection ends in the middle of the body.
    Half,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// No answer ever comes, and the connection stays open.
    Hang,
}

/// The two forms of the `Retry-After` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// As a number of seconds.
    Seconds(u64),
    /// As a date, this many seconds from now.
    Date(u64),
}

/// How a task ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// SUCCESS with an image.
    #[default]
    Success,
    /// FAILURE with this `failReason`.
    Failure(String),
    /// SUCCESS without an `imageUrl`.
    NoImage,
    /// CANCEL, as if somebody else had cancelled the task.
    Cancel,
    /// MODAL from the beginning: the task waits for submit/modal, and holds no slot until then.
    Modal,
}

impl Default for SubmitStep {
    fn default() -> Self {
        Self { answer: Answer::Usual, after: false, delay_ms: 0, times: 1 }
    }
}

impl Default for FetchStep {
    fn default() -> Self {
        Self { answer: Sight::Truth, delay_ms: 0, times: 1 }
    }
}

impl SubmitStep {
    /// Answers with this code.
    pub fn code(code: i64) -> Self {
        Self { answer: Answer::Code(Coded { code, ..Coded::default() }), ..Self::default() }
    }

    /// Answers with this HTTP status, without creating a task.
    pub fn status(status: u16) -> Self {
        Self::fault(Fault::Status { status, retry_after: None, html: false })
    }

    /// Fails with this fault before a task is created.
    pub fn fault(fault: Fault) -> Self {
        Self { answer: Answer::Fault(fault), ..Self::default() }
    }

    /// The same step, but the task has been created, and billed.
    pub fn after_creation(self) -> Self {
        Self { after: true, ..self }
    }

    /// The same step, with a delay.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), ..self }
    }

    /// The same step for this many submits; 0 means all.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

impl FetchStep {
    /// Answers a poll with this fault.
    pub fn fault(fault: Fault) -> Self {
        Self { answer: Sight::Fault(fault), ..Self::default() }
    }

    /// Answers a poll as if the task did not exist.
    pub fn unknown() -> Self {
        Self { answer: Sight::Unknown, ..Self::default() }
    }

    /// The same step for this many polls; 0 means all.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

impl Script {
    /// A script that answers the first submits with `steps`.
    pub fn submits(steps: impl IntoIterator<Item = SubmitStep>) -> Self {
        Self { submit: steps.into_iter().collect(), ..Self::default() }
    }

    /// A script that shows `steps` to the first polls.
    pub fn fetches(steps: impl IntoIterator<Item = FetchStep>) -> Self {
        Self { fetch: steps.into_iter().collect(), ..Self::default() }
    }

    /// A script under which the task ends with `outcome`.
    pub fn ends(outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..Self::default() }
    }

    /// The same script, with tasks that run this long.
    pub fn lasting(self, span: impl Into<Span>) -> Self {
        Self { duration: Some(span.into()), ..self }
    }

    /// The same script, for this kind of request only.
    pub fn on(self, kind: &str) -> Self {
        Self { on: Some(kind.to_owned()), ..self }
    }

    /// The same script, for this many submits only.
    pub fn uses(self, uses: u32) -> Self {
        Self { uses: Some(uses), ..self }
    }

    pub(crate) fn submit_step(&self, position: u32) -> Option<&SubmitStep> {
        at(&self.submit, position, |step| step.times)
    }

    pub(crate) fn fetch_step(&self, position: u32) -> Option<&FetchStep> {
        at(&self.fetch, position, |step| step.times)
    }
}

/// The step at the given position, if each step lasts for its `times`.
fn at<S>(steps: &[S], position: u32, times: impl Fn(&S) -> u32) -> Option<&S> {
    let mut left = position;
    for step in steps {
        match times(step) {
            0 => return Some(step),
            times if left < times => return Some(step),
            times => left -= times,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_and_then_step_aside() {
        let script = Script::submits([SubmitStep::status(429).times(2), SubmitStep::code(23)]);

        let seen: Vec<_> =
            (0..4).map(|position| script.submit_step(position).map(|step| step.answer.clone())).collect();

        let refused = Answer::Fault(Fault::Status { status: 429, retry_after: None, html: false });
        let full = Answer::Code(Coded { code: 23, ..Coded::default() });
        assert_eq!(seen, [Some(refused.clone()), Some(refused), Some(full), None]);
    }

    #[test]
    fn a_step_with_times_0_lasts_for_ever() {
        let script = Script::fetches([FetchStep::unknown().times(0)]);

        assert!(script.fetch_step(1_000_000).is_some());
    }
}
