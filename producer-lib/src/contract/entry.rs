//! An entry of the job stream, read strictly, with a clear message when something is wrong.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Command, Job, VERSION,
    malformed::{Malformed, fields},
    strict, surrogates,
};

/// What one stream entry asks for.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
pub enum Entry {
    /// A new job, or one that is known already.
    Job(Box<Job>),
    /// A command about a job.
    Command(Command),
}

impl Entry {
    /// Reads the entry's fields `v` (1 when absent) and `job`, of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong in words, and carries the parts of the entry that could be read.
    pub fn read(version: Option<&[u8]>, job: Option<&[u8]>, max_bytes: usize) -> Result<Self, Malformed> {
        let Some(job) = job else {
            return Err(Malformed::because("the entry has no field `job`"));
        };
        if job.len() > max_bytes {
            let reason = format!("the job has {} bytes; at most {max_bytes} are taken", job.len());
            // The id of a huge body is not looked for: a sender could otherwise make the worker read huge bodies only
            // to refuse them.
            return Err(Malformed { reason, ..Malformed::default() });
        }
        let text = std::str::from_utf8(job).map_err(|_| Malformed::because("the job is not UTF-8"))?;
        if version.is_some_and(|version| version != VERSION.as_bytes()) {
            return Err(Malformed::of(text, "the field `v` must be 1"));
        }
        // Nearly all entries are valid jobs, so this fast path comes first. The slower path below reads all others.
        if text.trim_start().starts_with('{')
            && !names_a_command(text)
            && let Ok(job) = serde_json::from_str::<Job>(text)
            && job.validate().is_ok()
        {
            return Ok(Self::Job(Box::new(job)));
        }
        let mended = surrogates::mend(text);
        let is_mended = matches!(mended, Cow::Owned(_));
        let json: &RawValue = serde_json::from_str(&mended)
            .map_err(|error| Malformed::because(&format!("the job is not JSON: {error}")))?;
        let fields = fields(json).ok_or_else(|| Malformed::because("the job is not a JSON object"))?;
        let malformed = |reason: &str| Malformed::of_fields(&fields, reason).with_a_whole_state(is_mended);
        if fields.contains_key("cancel") || fields.contains_key("modal") {
            if fields.len() > 1 {
                return Err(malformed("a command must have exactly one member"));
            }
            return strict::read(&mended).map(Self::Command).map_err(|complaint| malformed(&complaint));
        }
        let job: Job = strict::read(text).map_err(|complaint| malformed(&complaint))?;
        job.validate().map_err(|error| malformed(&error.to_string()))?;
        Ok(Self::Job(Box::new(job)))
    }
}

/// Whether the text may be a command. A sender that escapes characters in a command's name does not want a command.
fn names_a_command(text: &str) -> bool {
    text.contains("\"cancel\"") || text.contains("\"modal\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Kind;

    fn read(job: &str) -> Result<Entry, Malformed> {
        Entry::read(Some(b"1"), Some(job.as_bytes()), 1000)
    }

    #[test]
    fn a_job_and_both_commands_are_read() {
        let job = read(r#"{"kind":"imagine","request":{"prompt":"cat"},"later":true}"#).unwrap();
        assert!(matches!(job, Entry::Job(job) if job.id.is_none() && job.kind == Kind::Imagine));
        assert!(matches!(read(r#"{"cancel":"a"}"#).unwrap(), Entry::Command(Command::Cancel(_))));
        assert!(matches!(read(r#"{"modal":{"job":"a"}}"#).unwrap(), Entry::Command(Command::Modal(_))));
    }

    #[test]
    fn a_text_that_was_cut_within_an_emoji_harms_nobody() {
        let json = r#"{"id":"a","kind":"imagine","request":{"prompt":"cat \ud83d","state":"s"}}"#;
        let Entry::Job(job) = read(json).unwrap() else { panic!("a job") };
        assert!(json.contains(job.request.as_json()), "what is forwarded is what was written");
        assert_eq!(job.request.text_field("prompt").as_deref(), Some("cat \u{fffd}"));

        let Entry::Command(Command::Modal(input)) = read(r#"{"modal":{"job":"a","prompt":"\ud83d"}}"#).unwrap() else {
            panic!("a command")
        };
        assert_eq!(input.prompt.as_deref(), Some("\u{fffd}"));

        // But a text that cannot be sent back unchanged is refused.
        let cut = read(r#"{"id":"a","kind":"imagine","request":{"prompt":"cat","state":"s\ud83d"}}"#).unwrap_err();
        assert_eq!((cut.id.as_deref(), cut.state), (Some("a"), None), "{}", cut.reason);
    }

    #[test]
    fn what_is_malformed_says_why_and_what_could_be_read() {
        for (json, reason, id, state) in [
            ("nonsense", "not JSON", None, None),
            ("[1]", "not a JSON object", None, None),
            (r#"["a","imagine",{"prompt":"cat"}]"#, "not a JSON object", None, None),
            (r#"{"id":"a"}"#, "missing field `kind`", Some("a"), None),
            (
                r#"{"id":"a","kind":"dream","request":{"state":"s"}}"#,
                "kind must be one of `imagine`",
                Some("a"),
                Some("s"),
            ),
            (r#"{"id":"a b","kind":"imagine","request":{"prompt":"x","state":"s"}}"#, "job id", Some("a b"), Some("s")),
            (
                r#"{"id":7,"kind":"imagine","request":{"prompt":"x","state":"s"}}"#,
                "id must be a string",
                None,
                Some("s"),
            ),
            (r#"{"id":"a","kind":"imagine","request":{"prompt":1}}"#, "request.prompt", Some("a"), None),
            (r#"{"id":"a","kind":"imagine","request":[]}"#, "request must be", Some("a"), None),
            (r#"{"cancel":"a b"}"#, "cancel: a job id must be", None, None),
            (r#"{"cancel":"a","kind":"imagine"}"#, "exactly one member", None, None),
            (r#"{"id":"a","cancel":null}"#, "exactly one member", Some("a"), None),
        ] {
            let malformed = read(json).unwrap_err();

            assert!(malformed.reason.contains(reason), "{json}: {}", malformed.reason);
            assert_eq!((malformed.id.as_deref(), malformed.state.as_deref()), (id, state), "{json}");
        }
    }

    #[test]
    fn however_deeply_something_in_it_is_nested_the_id_and_the_state_are_found() {
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        let json =
            format!(r#"{{"id":"a","kind":"imagine","request":{{"prompt":"x","state":"s","y":{deep}}},"z":{deep}}}"#);
        assert!(Entry::read(None, Some(json.as_bytes()), 10_000).is_ok());

        let malformed = Entry::read(None, Some(json.replace("prompt", "text").as_bytes()), 10_000).unwrap_err();

        assert!(malformed.reason.contains("request.prompt"), "{}", malformed.reason);
        assert_eq!((malformed.id.as_deref(), malformed.state.as_deref()), (Some("a"), Some("s")));
    }

    #[test]
    fn other_versions_other_bytes_and_other_sizes_are_refused() {
        let job = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;

        assert!(Entry::read(None, Some(job), 1000).is_ok());
        assert_eq!(Entry::read(Some(b"2"), Some(job), 1000).unwrap_err().id.as_deref(), Some("a"));
        assert!(Entry::read(Some(b"1"), None, 1000).is_err());
        assert!(Entry::read(Some(b"1"), Some(b"\xff"), 1000).unwrap_err().reason.contains("UTF-8"));
        assert!(Entry::read(Some(b"1"), Some(job), 10).unwrap_err().reason.contains("at most 10"));
    }
}
