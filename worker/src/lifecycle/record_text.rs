//! The record's text: how the ledger keeps a record.
//!
//! The text is written with each step of each job, goes through Lua, into the append-only file and to each replica, and
//! stays until the retention is over. So it is JSON with short names. Times are distances from the time at which the
//! job came, and the timeline is one string.

use super::{Moment, Phase, Record};

impl Record {
    /// The record as the ledger keeps it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let origin = self.enqueued_ms;
        let mut short = self.clone();
        for time in short.times() {
            *time = distance(origin, *time);
        }
        if short.phase == Phase::Completed && (&*short.status, short.progress) == usual::END {
            short.status.clear();
            short.progress = 0;
        }
        let mut last = origin;
        for Moment(at, ..) in &mut short.timeline {
            (last, *at) = (*at, zigzag(at.wrapping_sub(last)));
        }
        // A record consists of strings and numbers, which serde_json always accepts.
        serde_json::to_string(&short).unwrap_or_default()
    }

    /// Reads a text that [`Record::to_text`] wrote of a job in `phase`; `None` for any other text.
    #[must_use]
    pub fn read(phase: Phase, text: &str) -> Option<Self> {
        let mut record: Self = serde_json::from_str(text).ok()?;
        record.phase = phase;
        let origin = record.enqueued_ms;
        for time in record.times() {
            *time = time_at(origin, *time);
        }
        // A completed job has its task's status and progress. If both are missing, `to_text` left out the usual ones.
        if phase == Phase::Completed && (&*record.status, record.progress) == ("", 0) {
            (record.status, record.progress) = (usual::END.0.to_owned(), usual::END.1);
        }
        let mut last = origin;
        for Moment(at, ..) in &mut record.timeline {
            last = last.wrapping_add(zagzig(*at));
            *at = last;
        }
        Some(record)
    }

    /// The times that most records have, except `enqueued_ms`, from which they are counted.
    fn times(&mut self) -> [&mut u64; 3] {
        [&mut self.deadline_ms, &mut self.accepted_ms, &mut self.started_ms]
    }
}

/// 0 is "no time" in both forms.
fn distance(origin: u64, time: u64) -> u64 {
    if time == 0 { 0 } else { zigzag(time.wrapping_sub(origin)).wrapping_add(1) }
}

fn time_at(origin: u64, distance: u64) -> u64 {
    if distance == 0 { 0 } else { origin.wrapping_add(zagzig(distance - 1)) }
}

/// Turns small differences, also negative ones, into small numbers: 0, -1, 1, -2 … become 0, 1, 2, 3 …
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ 0_u64.wrapping_sub(difference >> 63)
}

fn zagzig(number: u64) -> u64 {
    (number >> 1) ^ 0_u64.wrapping_sub(number & 1)
}

const LETTERS: [(char, Phase); 8] = [
    ('q', Phase::Queued),
    ('s', Phase::Submitting),
    ('p', Phase::Polling),
    ('u', Phase::Unknown),
    ('h', Phase::Held),
    ('c', Phase::Completed),
    ('f', Phase::Failed),
    ('x', Phase::Cancelled),
];

fn letter(phase: Phase) -> char {
    LETTERS.iter().find(|(_, it)| *it == phase).map_or('?', |(letter, _)| *letter)
}

fn phase(letter: char) -> Option<Phase> {
    LETTERS.iter().find(|(it, _)| *it == letter).map(|(_, phase)| *phase)
}

/// The values that most records have, and leave out. They must never change, because existing records rely on them.
pub(super) mod usual {
    use mjq_producer::contract::Kind;

    const ATTEMPTS: u32 = 5;
    /// Status and progress of a completed job's task.
    pub(super) const END: (&str, u8) = ("SUCCESS", 100);

    pub(in super::super) fn kind() -> Kind {
        Kind::Imagine
    }

    pub(in super::super) fn is_kind(kind: &Kind) -> bool {
        *kind == Kind::Imagine
    }

    pub(in super::super) fn attempts() -> u32 {
        ATTEMPTS
    }

    pub(in super::super) fn is_attempts(attempts: &u32) -> bool {
        *attempts == ATTEMPTS
    }
}

/// A timeline as one string: fence, phase, time; fence, phase, time …
pub(super) mod timeline_text {
    use std::fmt::Write;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Moment, letter};

    pub(in super::super) fn serialize<S: Serializer>(timeline: &[Moment], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(8 * timeline.len());
        for Moment(at, fence, phase) in timeline {
            let space = if text.is_empty() { "" } else { " " };
            // A write to a string cannot fail.
            let _ = write!(text, "{space}{fence}{}{at}", letter(*phase));
        }
        serializer.serialize_str(&text)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Moment>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let moments = text.split_terminator(' ').map(read_moment).collect::<Option<_>>();
        moments.ok_or_else(|| D::Error::custom("the timeline cannot be read"))
    }

    fn read_moment(text: &str) -> Option<Moment> {
        let (fence, rest) = text.split_at_checked(text.find(|c: char| c.is_ascii_alphabetic())?)?;
        let mut letters = rest.chars();
        let phase = super::phase(letters.next()?)?;
        Some(Moment(letters.as_str().parse().ok()?, fence.parse().ok()?, phase))
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Entry, TaskId};

    use super::*;
    use crate::lifecycle::Policy;

    fn record() -> Record {
        let json = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        Record::admit(&job, 1_795_387_690_208, &Policy::default())
    }

    #[test]
    fn a_usual_record_is_short() {
        let record = Record {
            phase: Phase::Completed,
            attempts: 1,
            task: Some(TaskId::new("43877635")),
            accepted_ms: 1_795_387_690_372,
            status: "SUCCESS".into(),
            progress: 100,
            started_ms: 1_795_387_690_372,
            polls: 1,
            timeline: vec![
                Moment(1_795_387_690_208, 0, Phase::Queued),
                Moment(1_795_387_690_365, 1, Phase::Submitting),
                Moment(1_795_387_690_372, 1, Phase::Polling),
                Moment(1_795_387_691_514, 2, Phase::Completed),
            ],
            ..record()
        };

        let text = record.to_text();

        let wanted = r#"{"e":1795387690208,"d":1800001,"a":1,"t":"43877635","ac":329,"#;
        let wanted = format!(r#"{wanted}"sa":329,"n":1,"tl":"0q0 1s314 1p14 2c2284"}}"#);
        assert_eq!(text, wanted);
        assert_eq!(Record::read(Phase::Completed, &text), Some(record));
    }

    #[test]
    fn what_a_completed_jobs_task_said_reads_back_whatever_it_was() {
        for (status, progress) in [("SUCCESS", 100), ("SUCCESS", 0), ("success", 100), ("SUCCESS", 93)] {
            let record = Record { phase: Phase::Completed, status: status.into(), progress, ..record() };

            assert_eq!(Record::read(Phase::Completed, &record.to_text()), Some(record));
        }
        let polling = Record { phase: Phase::Polling, ..record() };
        assert_eq!(Record::read(Phase::Polling, &polling.to_text()), Some(polling), "it has said nothing yet");
    }

    #[test]
    fn times_that_no_clock_tells_survive_too() {
        // The producer may choose any entry id.
        for origin in [0, 1, 1_795_387_690_208, u64::MAX - 1, u64::MAX] {
            for time in [0, 1, origin.wrapping_sub(1), origin, origin.wrapping_add(1), 1_795_387_690_208, u64::MAX] {
                let timeline = vec![Moment(origin, 0, Phase::Queued), Moment(time, 1, Phase::Unknown)];
                let times = Record { enqueued_ms: origin, deadline_ms: time, accepted_ms: time, ..record() };
                let record = Record { started_ms: time, timeline, ..times };

                assert_eq!(Record::read(record.phase, &record.to_text()), Some(record), "{time} from {origin}");
            }
        }
    }

    #[test]
    fn each_phase_has_a_letter_of_its_own() {
        for it in Phase::ALL {
            assert_eq!(phase(letter(it)), Some(it));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in ["", "{}", r#"{"e":1,"d":1,"tl":"0q"}"#, r#"{"e":1,"d":1,"tl":"0?1"}"#, r#"{"e":1,"tl":""}"#] {
            assert_eq!(Record::read(Phase::Queued, text), None, "{text}");
        }
    }
}
