//! What shall happen to one job: how its submits are answered, what its polls see, how it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::span::Span;

/// A script for the jobs that it is attached to. What it does not mention goes its usual way.
///
/// It can also be read from the text of a marker, see [`crate::marker`]:
/// `"status=429 retry=2 times=2".parse::<Script>()`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Only for this kind of request: `imagine`, `action`, `upscale`, `modal` …
    pub on: Option<String>,
    /// How many submits it serves in all before it steps aside; none serves for ever.
    pub uses: Option<u32>,
    /// Answers to the submits of one job, in order; afterwards the usual ones.
    pub submit: Vec<SubmitStep>,
    /// What the polls of one task see, in order; afterwards the truth.
    pub fetch: Vec<FetchStep>,
    /// How long the task runs.
    pub duration: Option<Span>,
    /// How the task ends.
    pub outcome: Option<Outcome>,
    /// Where the task's report stops for ever: `NOT_START`, `SUBMITTED` or a progress such as `46%`.
    /// Its slot is free again all the same when its duration is over.
    pub stuck: Option<String>,
    /// The word that stands in place of `IN_PROGRESS`.
    pub running_status: Option<String>,
}

/// An answer to a submit, and how often it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubmitStep {
    /// The answer.
    pub answer: Answer,
    /// Whether the task is created, and billed, although the answer does not tell.
    pub after: bool,
    /// Waited before the answer, in milliseconds, beside the usual latency.
    pub delay_ms: u64,
    /// For how many submits in a row; 0 is for ever.
    pub times: u32,
}

/// What a poll sees, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchStep {
    /// The answer.
    pub answer: Sight,
    /// Waited before the answer, in milliseconds, beside the usual latency.
    pub delay_ms: u64,
    /// For how many polls in a row; 0 is for ever.
    pub times: u32,
}

/// How a submit is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// As the capacity has it: 1, 22 or refused.
    #[default]
    Usual,
    /// With this code, over HTTP 200.
    Code(Coded),
    /// Not with an answer of the API's own.
    Fault(Fault),
}

/// An answer with a code of the script's choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coded {
    /// 1, 3, 4, 9, 21, 22, 23, 24, 30 or any other.
    pub code: i64,
    /// In place of the usual words.
    pub description: Option<String>,
    /// In place of the usual properties.
    pub properties: Option<Value>,
    /// Which id stands in `result`.
    pub id: WithId,
}

/// Which id an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithId {
    /// A new task's with 1, 21 and 22; else none.
    #[default]
    Usual,
    /// None, and no task is created.
    No,
    /// A new task's, whatever the code says.
    New,
    /// The newest task's that the same request created before (a new one's if there is none).
    Existing,
}

/// What a poll sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// The task.
    #[default]
    Truth,
    /// That there is no such task.
    Unknown,
    /// The task under another id: that of a relay's own upstream, whose answer it hands on.
    Renumbered,
    /// No answer of the API's own.
    Fault(Fault),
}

/// What networks, proxies and crashes do to answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This HTTP status.
    Status {
        /// 401, 403, 413, 429, 500, 502, 503, 504 …
        status: u16,
        /// For the `Retry-After` header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// Whether the body is a proxy's page; else it is JSON.
        #[serde(default)]
        html: bool,
    },
    /// 200 with nothing in it.
    Empty,
    /// 200 with JSON that stops in the middle.
    Broken,
    /// 200 with a web page.
    Html,
    /// 200, and the connection ends in the middle of the body.
    Half,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// No answer, ever; the connection stays open.
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
    /// SUCCESS, and no `imageUrl`.
    NoImage,
    /// CANCEL, by somebody else.
    Cancel,
    /// MODAL from the beginning: it waits for submit/modal and holds no slot.
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

    /// Answers with this HTTP status, and creates nothing.
    pub fn status(status: u16) -> Self {
        Self::fault(Fault::Status { status, retry_after: None, html: false })
    }

    /// Lets this fault happen before anything is created.
    pub fn fault(fault: Fault) -> Self {
        Self { answer: Answer::Fault(fault), ..Self::default() }
    }

    /// The same, but the task has been created, and billed.
    pub fn after_creation(self) -> Self {
        Self { after: true, ..self }
    }

    /// The same, later.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), ..self }
    }

    /// The same for this many submits; 0 is for ever.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

impl FetchStep {
    /// Lets this fault happen to a poll.
    pub fn fault(fault: Fault) -> Self {
        Self { answer: Sight::Fault(fault), ..Self::default() }
    }

    /// Denies that the task exists.
    pub fn unknown() -> Self {
        Self { answer: Sight::Unknown, ..Self::default() }
    }

    /// The same for this many polls; 0 is for ever.
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

    /// A script under which the task ends like this.
    pub fn ends(outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..Self::default() }
    }

    /// The same, with tasks that run this long.
    pub fn lasting(self, span: impl Into<Span>) -> Self {
        Self { duration: Some(span.into()), ..self }
    }

    /// The same, for this kind of request only.
    pub fn on(self, kind: &str) -> Self {
        Self { on: Some(kind.to_owned()), ..self }
    }

    /// The same, for this many submits only.
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

/// The step that covers the given position when each lasts for its `times`.
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
