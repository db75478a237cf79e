//! Strict reading: accepts objects only where objects are expected, and says plainly what is wrong.
//!
//! Each message names the field and the expected value. It never repeats the sender's text, because messages go into
//! logs.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Reads a value, or says which field is wrong and what was expected there.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| complaint(&error.path().to_string(), &error.inner().to_string()))
}

/// Turns serde's message into one about `path`; the top level has the path `.`.
fn complaint(path: &str, words: &str) -> String {
    let words = words.rsplit_once(" at line ").map_or(words, |(words, _)| words);
    if words.contains("hex escape") || words.contains("surrogate") || words.contains("unicode code point") {
        return format!("{path} must be a string of whole characters");
    }
    // Takes the last match, because the sender's own text may stand before it.
    match words.rsplit_once("expected ").map(|(_, expected)| expected) {
        Some(expected) => format!("{path} must be {}", plain(expected)),
        None if path == "." => words.to_owned(),
        None => format!("{path}: {words}"),
    }
}

/// Translates serde's expectation into JSON's terms.
fn plain(expected: &str) -> &str {
    match expected {
        "u64" | "u32" => "a whole number",
        // serde's words for an enum, whose values are strings.
        "value" | "string or map" => "a string",
        "a sequence" => "an array",
        other => other.strip_prefix("struct ").map_or(other, |_| "an object"),
    }
}

/// A value that is read only from a JSON object. (A struct's own reader accepts an array, too.)
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Command, Job};

    #[test]
    fn what_is_wrong_is_said_in_terms_of_the_fields() {
        let job = |rest: &str| format!(r#"{{"id":"a","kind":"imagine","request":{{"prompt":"cat"}},{rest}}}"#);
        for (json, said) in [
            (job(r#""options":{"deadline_s":"secret"}"#), "options.deadline_s must be a whole number"),
            (
                job(r#""options":{"deadline_s":"expected secret at line 1"}"#),
                "options.deadline_s must be a whole number",
            ),
            (
                job(r#""options":{"priority":"expected secret"}"#),
                "options.priority must be one of `high`, `normal`, `low`",
            ),
            (job(r#""options":{"max_attempts":1.5}"#), "options.max_attempts must be a whole number"),
            (job(r#""options":{"run_at_ms":-1}"#), "options.run_at_ms must be a whole number"),
            (job(r#""options":{"priority":"secret"}"#), "options.priority must be one of `high`, `normal`, `low`"),
            (job(r#""options":{"on_unknown":{}}"#), "options.on_unknown must be a string"),
            (job(r#""options":["high",2]"#), "options must be an object"),
            (job(r#""options":"secret""#), "options must be an object"),
            (job(r#""then":{"button":"U1"}"#), "then must be an array"),
            (job(r#""then":[null]"#), "then[0] must be an object"),
            (job(r#""then":[{"button":"U1"},["U2"]]"#), "then[1] must be an object"),
            (job(r#""then":[{"state":"s"}]"#), "then[0]: missing field `button`"),
            (job(r#""then":[{"button":"U1","state":"\ud83d"}]"#), "then[0].state must be a string of whole characters"),
            (job(r#""then":[{"button":7}]"#), "then[0].button must be a string"),
            (r#"{"kind":null,"request":{}}"#.to_owned(), "kind must be a string"),
            (r#"{"kind":7,"request":{}}"#.to_owned(), "kind must be a string"),
            (r#"{"request":{}}"#.to_owned(), "missing field `kind`"),
            (r#"{"id":7,"kind":"imagine","request":{}}"#.to_owned(), "id must be a string"),
        ] {
            let complaint = read::<Job>(&json).unwrap_err();

            assert!(complaint.starts_with(said), "{json}: {complaint}");
            assert!(!complaint.contains("secret"), "{complaint}");
        }
        for (json, said) in [
            (r#"{"cancel":7}"#, "cancel must be a string"),
            (r#"{"modal":["a"]}"#, "modal must be an object"),
            (r#"{"modal":{}}"#, "modal: missing field `job`"),
            (r#"{"modal":{"job":"a","prompt":7}}"#, "modal.prompt must be a string"),
        ] {
            assert_eq!(read::<Command>(json).unwrap_err(), said, "{json}");
        }
    }
}
