//! The request of a job: the upstream's own JSON body, kept verbatim.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{JobId, Kind, surrogates};

/// The upstream's JSON body as the caller wrote it, byte for byte, unknown fields included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Request(Box<RawValue>);

/// A button of an earlier job: `{"job": "order-1842", "button": "U2"}` in an action's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentButton {
    /// The earlier job.
    pub job: JobId,
    /// The button's label, emoji or custom id.
    pub button: String,
}

impl Request {
    /// The fields that must be strings where they are present, in a job of any kind.
    pub(super) const TEXT_FIELDS: [&str; 6] = ["state", "notifyHook", "prompt", "customId", "job", "button"];

    /// Takes a JSON object as the request.
    ///
    /// # Errors
    /// [`RequestError`] if the text is not a JSON object.
    pub fn from_json(json: String) -> Result<Self, RequestError> {
        let raw = RawValue::from_string(json).map_err(|_| RequestError::new("request", "a JSON object"))?;
        let request = Self(raw);
        request.fields()?;
        Ok(request)
    }

    /// The body as the caller wrote it.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The caller's `state`; `None` when absent or null.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        self.text_field("state")
    }

    /// The text in `field`; `None` when the field is absent, null or not a string.
    #[must_use]
    pub fn text_field(&self, field: &str) -> Option<String> {
        let [text] = self.text_fields([field]);
        text
    }

    /// The texts in `fields`, read in one pass; each is `None` when the field is absent, null or not a string.
    #[must_use]
    pub fn text_fields<const N: usize>(&self, fields: [&str; N]) -> [Option<String>; N] {
        let read = self.fields().ok();
        fields.map(|field| read.as_ref()?.text(field))
    }

    /// The button of an earlier job that this action presses, if the action names one.
    #[must_use]
    pub fn parent_button(&self) -> Option<ParentButton> {
        let fields = self.fields().ok()?;
        Some(ParentButton { job: JobId::new(&fields.text("job")?).ok()?, button: fields.text("button")? })
    }

    /// The same body with `changes` made to its top level: a value replaces or adds a field, `None` removes one.
    ///
    /// All other fields keep their bytes and their order. Without an effective change, the body is
    /// returned as it is.
    #[must_use]
    pub fn with(&self, changes: &[(&str, Option<Value>)]) -> String {
        let Ok(Fields(mut fields)) = self.fields() else {
            return self.as_json().to_owned();
        };
        if changes.iter().all(|(name, value)| value.is_none() && !fields.iter().any(|(key, _)| key == name)) {
            return self.as_json().to_owned();
        }
        let raw = |value: &Value| serde_json::value::to_raw_value(value).ok();
        let values: Vec<_> = changes.iter().map(|(_, value)| value.as_ref().and_then(raw)).collect();
        for ((name, _), value) in changes.iter().zip(&values) {
            let place = fields.iter().position(|(key, _)| key == name);
            fields.retain(|(key, _)| key != name);
            if let Some(value) = value {
                fields.insert(place.unwrap_or(fields.len()).min(fields.len()), (Cow::from(*name), value));
            }
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_ref()), value.get())).collect();
        format!("{{{}}}", fields.join(","))
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::from_str(self.as_json()).unwrap_or_else(|_| Value::from(self.as_json()))
    }

    pub(super) fn validate(&self, kind: Kind) -> Result<(), RequestError> {
        let fields = self.fields()?;
        for name in Self::TEXT_FIELDS {
            fields.text_or_absent(name)?;
        }
        if fields.get("state").is_some_and(|state| serde_json::from_str::<String>(state.get()).is_err()) {
            return Err(RequestError::new("request.state", "a string of whole characters"));
        }
        match kind {
            Kind::Imagine => fields.required("prompt"),
            Kind::Action if fields.get("job").is_some() || fields.get("button").is_some() => {
                fields.required("job").and_then(|()| fields.required("button"))?;
                JobId::new(&fields.text("job").unwrap_or_default())
                    .map(|_| ())
                    .map_err(|_| RequestError::new("request.job", "a job id"))
            }
            Kind::Action => fields.required_task_id().and_then(|()| fields.required("customId")),
            Kind::Modal => fields.required_task_id(),
            Kind::Blend | Kind::Describe | Kind::Shorten => Ok(()),
        }
    }

    fn fields(&self) -> Result<Fields<'_>, RequestError> {
        serde_json::from_str(self.as_json()).map_err(|_| RequestError::new("request", "a JSON object"))
    }
}

/// A field of a job that is missing or has the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {expected}")]
pub struct RequestError {
    field: String,
    expected: &'static str,
}

impl RequestError {
    pub(super) fn new(field: &str, expected: &'static str) -> Self {
        Self { field: field.to_owned(), expected }
    }
}

/// The top level of a JSON object, in order. Each value is kept as the bytes that the caller wrote.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    // If a key occurs twice, the last value counts, as in most JSON readers.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        (value.get() != "null").then_some(value)
    }

    fn text(&self, name: &str) -> Option<String> {
        let json = self.get(name)?.get();
        serde_json::from_str(json).or_else(|_| serde_json::from_str(&surrogates::mend(json))).ok()
    }

    // AGICTO answers a submit with an integer, and callers send that integer unchanged.
    fn required_task_id(&self) -> Result<(), RequestError> {
        let is_integer = |value: &RawValue| value.get().bytes().all(|byte| byte.is_ascii_digit());
        if self.get("taskId").is_some_and(is_integer) {
            return Ok(());
        }
        self.required("taskId")
            .map_err(|_| RequestError::new("request.taskId", "a string that is not empty, or a whole number"))
    }

    fn text_or_absent(&self, name: &str) -> Result<(), RequestError> {
        if self.get(name).is_some() && self.text(name).is_none() {
            return Err(RequestError::new(&format!("request.{name}"), "a string"));
        }
        Ok(())
    }

    fn required(&self, name: &str) -> Result<(), RequestError> {
        match self.text(name) {
            Some(text) if !text.trim().is_empty() => Ok(()),
            _ => Err(RequestError::new(&format!("request.{name}"), "a string that is not empty")),
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                /// A key, borrowed where it has no escapes.
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Request {
        Request::from_json(json.to_owned()).unwrap()
    }

    #[test]
    fn a_change_touches_only_its_own_field() {
        let body = request(r#"{"n": 1.50,"state":"s", "prompt":"\u0041"}"#);

        assert_eq!(body.with(&[("state", Some("t".into()))]), r#"{"n":1.50,"state":"t","prompt":"\u0041"}"#);
        assert_eq!(body.with(&[("state", None)]), r#"{"n":1.50,"prompt":"\u0041"}"#);
        assert_eq!(body.with(&[("x", Some(1.into()))]), r#"{"n":1.50,"state":"s","prompt":"\u0041","x":1}"#);
        assert_eq!(body.with(&[("absent", None)]), body.as_json());
    }

    #[test]
    fn state_is_read_with_its_escapes() {
        assert_eq!(request(r#"{"state":"a\u0000\n\"é\ud83d\ude00"}"#).state().unwrap(), "a\0\n\"é😀");
        assert_eq!(request(r#"{"state":null}"#).state(), None);
    }

    #[test]
    fn each_kind_says_what_it_lacks() {
        for (kind, json, wanted) in [
            (Kind::Imagine, "{}", "request.prompt"),
            (Kind::Imagine, r#"{"prompt":7}"#, "request.prompt"),
            (Kind::Imagine, r#"{"prompt":" "}"#, "request.prompt"),
            (Kind::Imagine, r#"{"prompt":"cat","state":7}"#, "request.state"),
            (Kind::Action, r#"{"taskId":"1"}"#, "request.customId"),
            (Kind::Action, r#"{"job":"a"}"#, "request.button"),
            (Kind::Action, r#"{"job":"a b","button":"U1"}"#, "request.job"),
            (Kind::Modal, "{}", "request.taskId"),
        ] {
            let error = request(json).validate(kind).unwrap_err().to_string();

            assert!(error.starts_with(wanted), "{kind:?} {json}: {error}");
        }
        assert!(Request::from_json("[]".into()).is_err());
    }
}
