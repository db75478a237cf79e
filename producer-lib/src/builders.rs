//! Builders of jobs: they refuse what the worker or the upstream would refuse.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::contract::{
    FollowUp, InvalidJobId, Job, JobId, Kind, OnCapacity, OnUnknown, Options, Priority, Request, RequestError,
};

/// A job that was not built, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJob {
    /// The id has a character that ids cannot have, or is too long.
    #[error("{0}")]
    Id(#[from] InvalidJobId),
    /// A field is missing or out of its range.
    #[error("{0}")]
    Field(#[from] RequestError),
}

/// Builds an imagine job: four pictures from a prompt.
///
/// ```
/// use mjq_producer::ImagineJob;
///
/// let job = ImagineJob::new("a lighthouse in a storm --ar 3:2").id("order-1842").state("customer 7").build()?;
/// assert_eq!(job.request.as_json(), r#"{"prompt":"a lighthouse in a storm --ar 3:2","state":"customer 7"}"#);
/// # Ok::<(), mjq_producer::InvalidJob>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ImagineJob(Draft);

/// Builds an action job: a button below an earlier result.
///
/// ```
/// use mjq_producer::ActionJob;
///
/// let upscale = ActionJob::button_of("order-1842", "U1").build()?;
/// let by_custom_id = ActionJob::custom_id("1748339029401828", "MJ::JOB::upsample::1::0ddb").build()?;
/// # Ok::<(), mjq_producer::InvalidJob>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ActionJob(Draft);

#[derive(Debug, Clone)]
struct Draft {
    id: Option<String>,
    kind: Kind,
    request: Map<String, Value>,
    options: Options,
    then: Vec<FollowUp>,
}

impl ImagineJob {
    /// Starts with the prompt, which must not be empty.
    pub fn new(prompt: &str) -> Self {
        Self(Draft::new(Kind::Imagine, &[("prompt", prompt)]))
    }

    /// Sets the upstream's model, such as `mj-fast` or `mj-relax`.
    pub fn model(self, model: &str) -> Self {
        self.field("model", model)
    }

    /// Sets the bot: `MID_JOURNEY` or `NIJI_JOURNEY`.
    pub fn bot_type(self, bot_type: &str) -> Self {
        self.field("botType", bot_type)
    }

    /// Adds a picture to start from, as a data URL: `data:image/png;base64,…`.
    pub fn image(mut self, data_url: &str) -> Self {
        let images = self.0.request.entry("base64Array").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(images) = images {
            images.push(data_url.into());
        }
        self
    }
}

impl ActionJob {
    /// Presses a button (label, emoji or custom id) of an earlier job's result. The worker waits for that result if
    /// need be.
    pub fn button_of(job: &str, button: &str) -> Self {
        Self(Draft::new(Kind::Action, &[("job", job), ("button", button)]))
    }

    /// Presses a button by the upstream's own ids.
    pub fn custom_id(task_id: &str, custom_id: &str) -> Self {
        Self(Draft::new(Kind::Action, &[("taskId", task_id), ("customId", custom_id)]))
    }
}

macro_rules! shared_setters {
    ($($builder:ident)+) => {$(
        impl $builder {
            /// Sets the job's id, its idempotency key: 1 to 128 of `[A-Za-z0-9._:-]`.
            pub fn id(mut self, id: &str) -> Self {
                self.0.id = Some(id.to_owned());
                self
            }

            /// Sets the text that comes back, byte for byte, in the job's event.
            pub fn state(self, state: &str) -> Self {
                self.field("state", state)
            }

            /// Sets any other field of the upstream's body.
            pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
                self.0.request.insert(name.to_owned(), value.into());
                self
            }

            /// Sets which jobs are submitted first.
            pub fn priority(mut self, priority: Priority) -> Self {
                self.0.options.priority = priority;
                self
            }

            /// Sets how long the job may take, in whole seconds: 1 s to 7 days.
            pub fn deadline(mut self, deadline: Duration) -> Self {
                self.0.options.deadline_s = Some(deadline.as_secs());
                self
            }

            /// Sets the Unix time in milliseconds before which the job is not submitted.
            pub fn run_at_ms(mut self, run_at_ms: u64) -> Self {
                self.0.options.run_at_ms = run_at_ms;
                self
            }

            /// Sets the most submits that the upstream took or may have taken.
            pub fn max_attempts(mut self, max_attempts: u32) -> Self {
                self.0.options.max_attempts = Some(max_attempts);
                self
            }

            /// Sets what happens when the worker cannot know whether the upstream took the job.
            pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
                self.0.options.on_unknown = Some(on_unknown);
                self
            }

            /// Sets what happens when a task failed because the upstream had no capacity.
            pub fn on_capacity(mut self, on_capacity: OnCapacity) -> Self {
                self.0.options.on_capacity = Some(on_capacity);
                self
            }

            /// Adds a button that is pressed as soon as this job has completed.
            pub fn then_button(mut self, button: &str) -> Self {
                self.0.then.push(FollowUp { button: button.to_owned(), state: None });
                self
            }

            /// Checks the job as the worker would.
            ///
            /// # Errors
            /// [`InvalidJob`] names the field and what was expected.
            pub fn build(self) -> Result<Job, InvalidJob> {
                self.0.build()
            }
        }
    )+};
}

shared_setters!(ImagineJob ActionJob);

impl Draft {
    fn new(kind: Kind, fields: &[(&str, &str)]) -> Self {
        let request = fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        Self { id: None, kind, request, options: Options::default(), then: Vec::new() }
    }

    fn build(self) -> Result<Job, InvalidJob> {
        let job = Job {
            id: self.id.as_deref().map(JobId::new).transpose()?,
            kind: self.kind,
            request: Request::from_json(Value::Object(self.request).to_string())?,
            options: self.options,
            then: self.then,
            trace: None,
        };
        job.validate()?;
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_before_anything_is_sent() {
        for (job, reason) in [
            (ImagineJob::new(" ").build(), "request.prompt must be a string that is not empty"),
            (ImagineJob::new("cat").id("a b").build(), "a job id must be"),
            (ImagineJob::new("cat").max_attempts(0).build(), "options.max_attempts must be at least 1"),
            (ImagineJob::new("cat").deadline(Duration::ZERO).build(), "options.deadline_s must be at least 1"),
            (ActionJob::button_of("a b", "U1").build(), "request.job must be a job id"),
            (ActionJob::custom_id("1", "").build(), "request.customId must be"),
        ] {
            assert!(job.unwrap_err().to_string().starts_with(reason), "{reason}");
        }
    }
}
