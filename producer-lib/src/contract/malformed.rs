//! An entry that never becomes a job: what is wrong with it, and which of its parts can be read.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Kind, surrogates};

/// An entry that never becomes a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// What is wrong, in words.
    pub reason: String,
    /// The `id` as the sender wrote it, valid or not; `None` when there is none that can be read.
    pub id: Option<String>,
    /// Whether the entry is a JSON object without an `id`. The stream entry's id is then the job's id.
    pub id_is_absent: bool,
    /// The `kind`, if it is a known one.
    pub kind: Option<Kind>,
    /// The request's `state`, if it can be read.
    pub state: Option<String>,
}

impl Malformed {
    /// The longest invalid id that an event repeats, in bytes.
    const MAX_ECHO: usize = 512;

    /// The longest reason, in characters. Parts of a reason may be the sender's own text.
    const MAX_REASON: usize = 500;

    pub(super) fn because(reason: &str) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Self { reason: reason.chars().take(Self::MAX_REASON).map(printable).collect(), ..Self::default() }
    }

    pub(super) fn of(text: &str, reason: &str) -> Self {
        let mended = surrogates::mend(text);
        match serde_json::from_str(&mended).ok().and_then(fields) {
            Some(fields) => Self::of_fields(&fields, reason).with_a_whole_state(matches!(mended, Cow::Owned(_))),
            None => Self::because(reason),
        }
    }

    pub(super) fn of_fields(fields: &BTreeMap<String, &RawValue>, reason: &str) -> Self {
        let state = fields.get("request").and_then(|request| member(&self::fields(request)?, "state"));
        Self {
            id: member(fields, "id").filter(|id: &String| id.len() <= Self::MAX_ECHO),
            id_is_absent: fields.get("id").is_none_or(|id| id.get() == "null"),
            kind: member(fields, "kind"),
            state,
            ..Self::because(reason)
        }
    }

    /// Drops the state if it had to be mended: an event repeats the caller's own state or none.
    pub(super) fn with_a_whole_state(mut self, is_mended: bool) -> Self {
        self.state = self.state.filter(|state| !is_mended || !state.contains(char::REPLACEMENT_CHARACTER));
        self
    }
}

/// The members of a JSON object, however deeply its values are nested; `None` for any other JSON value.
pub(super) fn fields(json: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json.get()).ok()
}

/// The member `name`, if it has type `T`.
fn member<'a, T: Deserialize<'a>>(fields: &BTreeMap<String, &'a RawValue>, name: &str) -> Option<T> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}
