//! A run: how long the task of a completed job took, and whether a hook told its end.

use std::{fmt, num::ParseIntError, str::FromStr};

use super::{Record, Span, TaskReport};

/// Other tasks of the class are judged by this. The ledger keeps the latest runs as text: `41230`, with `+` or `-`
/// after it if a hook of ours could have told the task's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// How long the task ran, in milliseconds.
    pub ms: u64,
    /// Whether a hook told the end before a poll found it. `None` for a task without a hook of ours, or if the poll
    /// came so soon after the end that the hook may still be on its way.
    pub told: Option<bool>,
}

impl Ran {
    /// How long the task of a job that has just completed ran; `None` if this is not known. `span` is what the polls of
    /// the running task had shown.
    ///
    /// If the upstream tells both start and end, its clock alone counts; else the times at which mjq saw them, which
    /// are later. Times that do not agree with what the polls showed are not believed.
    #[must_use]
    pub fn of(
        record: &Record,
        span: Option<Span>,
        report: &TaskReport,
        told: Option<bool>,
        now_ms: u64,
    ) -> Option<Self> {
        /// Clocks differ a little, and a task may begin a moment before mjq hears of its acceptance.
        const SLACK_MS: u64 = 10_000;
        /// How long a hook may take.
        const ON_ITS_WAY_MS: u64 = 300;
        let told_ms = report.finished_ms.saturating_sub(report.started_ms);
        let longest_ms = now_ms.saturating_sub(record.accepted_ms.min(record.started_ms)).saturating_add(SLACK_MS);
        let elapsed_ms = (record.started_ms > 0).then(|| now_ms.saturating_sub(record.started_ms));
        // The task was seen running for that long, or for a part of it if its progress jumped.
        let shortest_ms = span.map_or(1, |span| (span.0 / 2).max(1));
        if report.started_ms == 0 || !(shortest_ms..=longest_ms).contains(&told_ms) {
            return elapsed_ms.map(|ms| Self { ms, told });
        }
        let since_end_ms = elapsed_ms.and_then(|elapsed_ms| elapsed_ms.checked_sub(told_ms));
        let is_on_its_way = told == Some(false) && since_end_ms.is_some_and(|since_ms| since_ms < ON_ITS_WAY_MS);
        Some(Self { ms: told_ms, told: told.filter(|_| !is_on_its_way) })
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
    use mjq_producer::contract::Entry;

    use super::*;
    use crate::lifecycle::Policy;

    fn a_record() -> Record {
        let json = br#"{"kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        Record::admit(&job, 1, &Policy::default())
    }

    /// The run of a task that mjq saw begin after 1 s, and saw ended after 41 s.
    fn seen_after_40_s(started_ms: u64, finished_ms: u64, told: Option<bool>) -> Option<Ran> {
        let record = Record { accepted_ms: 1_000, started_ms: 1_000, ..a_record() };
        let report = TaskReport { started_ms, finished_ms, ..TaskReport::default() };
        Ran::of(&record, None, &report, told, 41_000)
    }

    #[test]
    fn an_upstream_that_tells_no_real_times_is_not_believed() {
        let seen_in = |started_ms, finished_ms| seen_after_40_s(started_ms, finished_ms, None).map(|ran| ran.ms);

        assert_eq!(seen_in(5, 30_005), Some(30_000));
        let hours_off = 8 * 3_600_000;
        for (started_ms, finished_ms) in [(0, 0), (0, 30_000), (30_000, 5), (5, u64::MAX), (5, hours_off)] {
            assert_eq!(seen_in(started_ms, finished_ms), Some(40_000), "{started_ms} to {finished_ms}");
        }
    }

    #[test]
    fn a_run_that_was_shorter_than_the_polls_showed_is_not_believed() {
        let record = Record { accepted_ms: 1_000, started_ms: 1_000, ..a_record() };
        let ran = |finished_ms| {
            let report = TaskReport { started_ms: 1_000, finished_ms, ..TaskReport::default() };
            Ran::of(&record, Some(Span(30_000, 45_000)), &report, None, 41_000).map(|ran| ran.ms)
        };

        assert_eq!((ran(2_000), ran(38_000)), (Some(40_000), Some(37_000)));
    }

    #[test]
    fn a_hook_that_may_still_be_on_its_way_is_not_taken_for_lost() {
        let told_of = |ms: u64, told| seen_after_40_s(5, 5 + ms, told).and_then(|ran| ran.told);

        assert_eq!(told_of(39_800, Some(false)), None, "the poll came 0.2 s after the end");
        assert_eq!(told_of(39_800, Some(true)), Some(true));
        assert_eq!(told_of(39_700, Some(false)), Some(false));
        assert_eq!(told_of(40_100, Some(false)), Some(false), "by times that cannot be");
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
