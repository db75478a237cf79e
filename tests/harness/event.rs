//! One entry of the event stream, as a client in any language sees it.

use std::collections::BTreeMap;

use anyhow::Context;
use redis::streams::StreamId;
use serde_json::Value;

/// One terminal event: the entry's id and its fields, all of them strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id of the entry in the stream.
    pub entry: String,
    /// All fields by name, unknown ones too.
    pub fields: BTreeMap<String, String>,
}

impl Event {
    pub(crate) fn read(entry: &StreamId) -> anyhow::Result<Self> {
        let field = |(name, value): (&String, &redis::Value)| {
            let value = redis::from_redis_value_ref(value);
            let value = value.with_context(|| format!("event {}: the field {name} is no string", entry.id))?;
            Ok((name.clone(), value))
        };
        let fields = entry.map.iter().map(field).collect::<anyhow::Result<_>>()?;
        Ok(Self { entry: entry.id.clone(), fields })
    }

    /// A field's value; empty when the event has no such field.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The job's id.
    #[must_use]
    pub fn job(&self) -> &str {
        self.field("job")
    }

    /// `completed`, `failed`, `cancelled` or `rejected`.
    #[must_use]
    pub fn outcome(&self) -> &str {
        self.field("type")
    }

    /// `ok`, or why the job has no result.
    #[must_use]
    pub fn code(&self) -> &str {
        self.field("code")
    }

    /// The caller's state.
    #[must_use]
    pub fn state(&self) -> &str {
        self.field("state")
    }

    /// The JSON of the field `data`.
    ///
    /// # Errors
    /// When the field is not JSON.
    pub fn data(&self) -> anyhow::Result<Value> {
        let data = self.field("data");
        serde_json::from_str(data).with_context(|| format!("the data of event {} is no JSON: {data:?}", self.entry))
    }
}
