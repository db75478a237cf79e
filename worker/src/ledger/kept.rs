//! What the ledger keeps of a job, as two texts: the job itself, which changes with each step, and its request, which
//! never changes.
//!
//! Scripts read and write many of these texts with one command, and parse only their beginnings.

use std::fmt;

use mjq_producer::contract::Job;

use crate::lifecycle::{Phase, Record};

/// The text of `job:<id>`: `<fence> <phase> <record>`. Once the job has ended, a second line names the entry of its
/// event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptJob<'a> {
    /// The fence of the claim that is under way, or else of the next one.
    pub(super) fence: u64,
    pub(super) phase: Phase,
    record: &'a str,
    /// The entry of the event stream that told its end.
    pub(super) event: Option<&'a str>,
}

/// The text of `request:<id>`: `<digest> <submit score> <bytes of the state> <place> <state><job>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptRequest<'a> {
    /// The caller's `state`, verbatim.
    pub(super) state: &'a str,
    /// The job as it was enqueued; `None` when it is large, and kept apart.
    pub(super) job: Option<&'a str>,
}

/// Where the ledger keeps a job as it was enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptAt {
    /// In its request.
    Inline,
    /// In `large:<id>`.
    Large,
    /// In `large:<id>`, and a version without pictures in `shown:<id>`.
    LargeAndShown,
}

impl<'a> KeptJob<'a> {
    /// Reads a text that [`kept_job`] or a script wrote; `None` for any other text.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (text, event) = text.split_once('\n').map_or((text, None), |(text, event)| (text, Some(event)));
        let mut words = text.splitn(3, ' ');
        let (fence, phase) = (words.next()?.parse().ok()?, Phase::read(words.next()?)?);
        Some(Self { fence, phase, record: words.next()?, event })
    }

    /// The fence of the last claim that was settled; 0 if there was none.
    pub(super) fn last_fence(&self) -> u64 {
        self.fence.saturating_sub(1)
    }

    /// The record.
    pub(super) fn record(&self) -> Option<Record> {
        Record::read(self.phase, self.record)
    }
}

/// The text of a job: `fence` is the one of its next claim.
pub(super) fn kept_job(fence: u64, record: &Record) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{fence} {} {}", record.phase, record.to_text()))
}

impl<'a> KeptRequest<'a> {
    /// Reads a text that [`kept_request`] wrote; `None` for any other text.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let (_digest, _score) = (words.next()?, words.next()?);
        let length: usize = words.next()?.parse().ok()?;
        let is_inline = words.next()? == KeptAt::Inline.as_str();
        let (state, job) = words.next()?.split_at_checked(length)?;
        Some(Self { state, job: is_inline.then_some(job) })
    }

    /// Reads the beginning of a text, and returns the length of the whole state in bytes. If the text ends within the
    /// state, the state is cut there, and there is no job.
    pub(super) fn read_beginning(text: &'a [u8]) -> Option<(Self, u64)> {
        let text = match str::from_utf8(text) {
            Ok(text) => text,
            // The text was cut within a character.
            Err(error) => str::from_utf8(&text[..error.valid_up_to()]).ok()?,
        };
        let mut words = text.splitn(5, ' ');
        let length: u64 = words.nth(2)?.parse().ok()?;
        let rest = words.nth(1)?;
        let whole = Self::read(text);
        Some((whole.unwrap_or(Self { state: rest, job: None }), length))
    }
}

/// The text of a request.
pub(super) fn kept_request(job: &Job, record: &Record, state: &str, place: KeptAt, json: &str) -> String {
    let (digest, score, length) = (job.digest(), record.submit_score(), state.len());
    let json = if place == KeptAt::Inline { json } else { "" };
    format!("{digest} {score} {length} {} {state}{json}", place.as_str())
}

impl KeptAt {
    fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "=",
            Self::Large => "L",
            Self::LargeAndShown => "S",
        }
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::Entry;

    use super::*;
    use crate::lifecycle::Policy;

    fn a_job() -> (Job, Record) {
        let json = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        let record = Record::admit(&job, 1_700_000_000_000, &Policy::default());
        (*job, record)
    }

    #[test]
    fn a_job_reads_back_as_it_was_written_with_the_event_that_a_script_adds() {
        let (_, record) = a_job();
        let text = kept_job(7, &record).to_string();

        let open = KeptJob::read(&text).unwrap();
        assert_eq!((open.fence, open.last_fence(), open.phase, open.event), (7, 6, Phase::Queued, None));
        assert_eq!(open.record(), Some(record.clone()));

        let text = format!("{}\n1700000000000-3", text.replacen("queued", "submitting", 1));
        let ended = KeptJob::read(&text).unwrap();
        assert_eq!((ended.phase, ended.event), (Phase::Submitting, Some("1700000000000-3")));
        assert_eq!(ended.record().unwrap().phase, Phase::Submitting, "what stands in front counts");

        for odd in ["", "7", "7 queued", "x queued {}", "7 exploded {}"] {
            assert_eq!(KeptJob::read(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_request_keeps_its_state_byte_for_byte() {
        let (job, record) = a_job();
        for state in ["", "customer 7", " a  b ", "\n\0\u{1f600}", "{\"a\":1}"] {
            let small = kept_request(&job, &record, state, KeptAt::Inline, "{\n}");
            let large = kept_request(&job, &record, state, KeptAt::Large, "{\n}");

            assert_eq!(KeptRequest::read(&small), Some(KeptRequest { state, job: Some("{\n}") }));
            assert_eq!(KeptRequest::read(&large), Some(KeptRequest { state, job: None }));
        }
        assert_eq!(KeptRequest::read("8b154889 1"), None);
    }

    #[test]
    fn the_beginning_of_a_request_shows_what_there_is_of_its_state() {
        let (job, record) = a_job();
        let text = kept_request(&job, &record, "customer é", KeptAt::Inline, "{}");
        let head = text.find("customer").unwrap();
        let read = |bytes: usize| {
            KeptRequest::read_beginning(&text.as_bytes()[..bytes])
                .map(|(request, length)| (request.state, request.job, length))
        };

        assert_eq!(read(text.len()), Some(("customer é", Some("{}"), 11)));
        assert_eq!(read(head + 8), Some(("customer", None, 11)));
        assert_eq!(read(head + 10), Some(("customer ", None, 11)), "cut within a character");
        assert_eq!(read(head - 3), None);
        assert_eq!(read(0), None);
    }
}
