//! A run: how long the task of a completed job took, and how its end came to be known.

use std::{fmt, num::ParseIntError, str::FromStr};

use super::{Record, TaskReport};

/// What others of its class are judged by. The ledger keeps the latest as text: `41230`, and `+` or `-` after it
/// for a task whose end a hook of ours could have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// How long it ran, milliseconds.
    pub ms: u64,
    /// Whether a hook told its end before a look found it; `None` for a task without a hook of ours.
    pub told: Option<bool>,
}

impl Ran {
    /// How long the task of a job that has just completed ran; `None` when nobody knows.
    ///
    /// By the upstream's clock alone where it tells both ends; else by what was seen, which is later.
    #[must_use]
    pub fn of(record: &Record, report: &TaskReport, told: Option<bool>, now_ms: u64) -> Option<Self> {
        let ms = if report.started_ms > 0 && report.finished_ms > report.started_ms {
            report.finished_ms - report.started_ms
        } else if record.started_ms > 0 {
            now_ms.saturating_sub(record.started_ms)
        } else {
            return None;
        };
        Some(Self { ms, told })
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self.told {
            None => "",
            Some(true) => "+",
            Some(false) => "-",
        };
        write!(f, "{}{told}", self.ms)
    }
}

impl FromStr for Ran {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let told = match text.as_bytes().last() {
            Some(b'+') => Some(true),
            Some(b'-') => Some(false),
            _ => None,
        };
        Ok(Self { ms: text.trim_end_matches(['+', '-']).parse()?, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_as_it_was_written() {
        for (told, text) in [(None, "41230"), (Some(true), "41230+"), (Some(false), "41230-")] {
            let ran = Ran { ms: 41_230, told };

            assert_eq!(ran.to_string(), text);
            assert_eq!(text.parse(), Ok(ran));
        }
        assert!("soon".parse::<Ran>().is_err());
    }
}
