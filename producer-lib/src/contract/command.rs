//! Commands: they travel the same way as jobs, and act on a job that is already there.

use serde::{Deserialize, Deserializer, Serialize};

use super::{JobId, strict::Object};

/// A command about one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Ends the job with `cancelled`: `{"cancel": "<job id>"}`.
    Cancel(JobId),
    /// Answers a task that waits for input: `{"modal": {"job": "…", "prompt": "…", "maskBase64": "…"}}`.
    #[serde(deserialize_with = "object")]
    Modal(ModalInput),
}

/// What a task in status MODAL waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModalInput {
    /// The job whose task waits.
    pub job: JobId,
    /// The prompt; when absent, the upstream uses the parent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A PNG in Base64, white where the picture is to be painted anew.
    #[serde(default, rename = "maskBase64", skip_serializing_if = "Option::is_none")]
    pub mask_base64: Option<String>,
}

impl Command {
    /// The job that the command is about.
    #[must_use]
    pub fn job(&self) -> &JobId {
        match self {
            Self::Cancel(job) | Self::Modal(ModalInput { job, .. }) => job,
        }
    }
}

fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}
