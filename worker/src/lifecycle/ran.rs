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
        /// Clocks differ a little, and a task may have begun a moment before its acceptance was heard.
        const SLACK_MS: u64 = 10_000;
        let told_ms = report.finished_ms.saturating_sub(report.started_ms);
        let longest_ms = now_ms.saturating_sub(record.accepted_ms.min(record.started_ms)).saturating_add(SLACK_MS);
        let ms = if report.started_ms > 0 && (1..=longest_ms).contains(&told_ms) {
            told_ms
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
    fn an_upstream_that_tells_no_real_times_is_not_believed() {
        let Ok(mjq_producer::contract::Entry::Job(job)) =
            mjq_producer::contract::Entry::read(None, Some(br#"{"kind":"imagine","request":{"prompt":"cat"}}"#), 1000)
        else {
            panic!("a valid job")
        };
        let record = Record {
            accepted_ms: 1_000,
            started_ms: 1_000,
            ..Record::admit(&job, 1, &crate::lifecycle::Policy::default())
        };
        let seen_in = |started_ms, finished_ms| {
            let report = TaskReport { started_ms, finished_ms, ..TaskReport::default() };
            Ran::of(&record, &report, None, 41_000).map(|ran| ran.ms)
        };

        assert_eq!(seen_in(5, 30_005), Some(30_000));
        let hours_off = 8 * 3_600_000;
        for (started_ms, finished_ms) in [(0, 0), (0, 30_000), (30_000, 5), (5, u64::MAX), (5, hours_off)] {
            assert_eq!(seen_in(started_ms, finished_ms), Some(40_000), "{started_ms} to {finished_ms}");
        }
    }

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
