//! A job's options: how the worker treats it.

use serde::{Deserialize, Deserializer, Serialize};

use super::RequestError;
use crate::closed_set;

/// The longest deadline that a job may ask for, in seconds: seven days.
pub const MAX_DEADLINE_S: u64 = 7 * 24 * 3600;
/// 2^53: Redis keeps scores as doubles. A time beyond the year 287396 is a mistake.
const MAX_RUN_AT_MS: u64 = 1 << 53;

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
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the ranges, which the types cannot express.
    pub(super) fn validate(&self) -> Result<(), RequestError> {
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

closed_set! {
    /// Which jobs are submitted first; within a priority, the oldest.
    #[derive(Default)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum Priority {
        /// Before all others.
        High = "high",
        /// The usual.
        #[default]
        Normal = "normal",
        /// After all others.
        Low = "low",
    }
}

impl Priority {
    /// The place in the order of submits: 0 is first, 2 is last.
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

closed_set! {
    /// What happens when nobody can know whether the upstream took (and billed) a job.
    #[derive(Default)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum OnUnknown {
        /// The job ends with `submit_unknown`: it is never paid twice.
        #[default]
        Fail = "fail",
        /// The job is submitted again and its event says `possible_duplicate`: it may be paid twice.
        Resubmit = "resubmit",
    }
}

closed_set! {
    /// What happens when the upstream took a job and its task failed for want of capacity: a time-out or an
    /// internal error there, no account that is free.
    #[derive(Default)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum OnCapacity {
        /// The job ends with `upstream_failed`.
        #[default]
        Fail = "fail",
        /// A new task is asked for, which is a new charge, as long as `max_attempts` allows.
        Resubmit = "resubmit",
    }
}

/// Some languages write `null` for an absent value.
fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        for (options, field) in [
            (r#"{"deadline_s":0}"#, "options.deadline_s"),
            (r#"{"deadline_s":604801}"#, "options.deadline_s"),
            (r#"{"max_attempts":0}"#, "options.max_attempts"),
            (r#"{"run_at_ms":9007199254740993}"#, "options.run_at_ms"),
        ] {
            let read: Options = serde_json::from_str(options).unwrap();

            assert!(read.validate().unwrap_err().to_string().contains(field), "{options}");
        }
    }
}
