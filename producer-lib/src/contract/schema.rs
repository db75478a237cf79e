//! The JSON Schemas in `schema/`, generated from the types of the wire. Only tests compile this module, so other builds
//! do not need its generator.
//!
//! The rules below add what the types cannot express; they mirror [`Request::validate`]. Tests check that schemas and
//! reader give the same verdict on the golden vectors and on variations of them.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::RecursiveTransform,
};
use serde_json::{Value, json};

use super::{Code, Entry, Event, EventData, EventType, JobId, Request, VERSION};

/// Each schema, with the name of its file.
fn schemas() -> [(&'static str, Schema); 3] {
    let read = SchemaSettings::draft2020_12();
    // A worker always writes every member that is not optional.
    let written = read.clone().for_serialize();
    [
        ("job.json", generate::<Entry>(read, "The field `job` of an entry of the job stream, version 1")),
        ("event.json", generate::<Event>(written.clone(), "An entry of the event stream, version 1")),
        ("event-data.json", generate::<EventData>(written, "The field `data` of an event, version 1")),
    ]
}

fn generate<T: JsonSchema>(settings: SchemaSettings, title: &str) -> Schema {
    // `uint64` is not a format of JSON Schema, and strict validators refuse unknown formats.
    let plain = RecursiveTransform(|schema: &mut Schema| {
        schema.remove("format");
        // The default of a member that is always present tells nothing.
        schema.remove("default");
    });
    let mut schema = settings.with_transform(plain).into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema
}

impl JsonSchema for JobId {
    fn schema_name() -> Cow<'static, str> {
        "JobId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The caller's name for a job, and its idempotency key.",
            "type": "string",
            "pattern": format!("^[A-Za-z0-9._:-]{{1,{}}}$", Self::MAX_LEN),
        })
    }
}

impl JsonSchema for Request {
    fn schema_name() -> Cow<'static, str> {
        "Request".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text_or_null = json!({ "type": ["string", "null"] });
        let properties: serde_json::Map<_, _> =
            Self::TEXT_FIELDS.iter().map(|name| ((*name).to_owned(), text_or_null.clone())).collect();
        json_schema!({
            "description": "The upstream's own JSON body, kept verbatim, with whatever other members it takes.",
            "type": "object",
            "properties": properties,
        })
    }
}

/// Adds the fields that each kind needs in its request.
pub(super) fn rules_of_a_job(schema: &mut Schema) {
    let text = json!({ "type": "string", "pattern": r"\S" });
    let task_id = json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, text] });
    let by_button = json!({
        "required": ["job", "button"],
        "properties": { "job": { "$ref": "#/$defs/JobId" }, "button": text },
    });
    let by_ids = json!({
        "required": ["taskId", "customId"],
        "properties": { "taskId": task_id, "customId": text, "job": { "type": "null" }, "button": { "type": "null" } },
    });
    let rules = [
        rule("imagine", json!({ "required": ["prompt"], "properties": { "prompt": text } })),
        rule("action", json!({ "anyOf": [by_button, by_ids] })),
        rule("modal", json!({ "required": ["taskId"], "properties": { "taskId": task_id } })),
    ];
    schema.insert("allOf".to_owned(), rules.into());
    // An object with one of these names is a command.
    schema.insert("not".to_owned(), json!({ "anyOf": [{ "required": ["cancel"] }, { "required": ["modal"] }] }));
}

fn rule(kind: &str, request: Value) -> Value {
    json!({
        "if": { "required": ["kind"], "properties": { "kind": { "const": kind } } },
        "then": { "properties": { "request": request } },
    })
}

/// Adds what an event has beside the fields of [`Event`], and what its `data` holds.
pub(super) fn rules_of_an_event(schema: &mut Schema) {
    schema.ensure_object()["required"].as_array_mut().unwrap().insert(0, "v".into());
    schema.ensure_object()["properties"]["v"] = json!({ "description": "The wire's version.", "const": VERSION });
    let data = &mut schema.ensure_object()["properties"]["data"];
    data["description"] = "Everything else: a JSON object in a string. See event-data.json.".into();
    data["contentMediaType"] = "application/json".into();
    data["contentSchema"] = json!({ "$ref": "event-data.json" });
    let pair = |it: EventType, code: Value| json!({ "properties": { "type": { "const": it }, "code": code } });
    let elsewhere = [Code::Ok, Code::Cancelled, Code::Malformed, Code::Conflict];
    let pairs = [
        pair(EventType::Completed, json!({ "const": Code::Ok })),
        pair(EventType::Failed, json!({ "not": { "enum": elsewhere } })),
        pair(EventType::Cancelled, json!({ "const": Code::Cancelled })),
        pair(EventType::Rejected, json!({ "enum": [Code::Malformed, Code::Conflict] })),
    ];
    schema.insert("oneOf".to_owned(), pairs.into());
}

mod tests {
    use std::{env, fs, path::Path};

    use jsonschema::Validator;

    use super::{super::surrogates, *};

    const MAX_BYTES: usize = 10 << 20;

    /// Malformed entries whose mistake no schema of the field `job` can express.
    const BEYOND_THE_SCHEMA: &[&str] = &[
        // The entry's field `v` is 2.
        "another version",
        "an action on itself",
    ];

    #[test]
    fn the_schemas_are_those_of_the_types() {
        for (file, schema) in schemas() {
            // To write the schemas again: UPDATE_SCHEMAS=1 cargo test -p mjq-producer the_schemas
            if env::var_os("UPDATE_SCHEMAS").is_some() {
                fs::write(path("schema", file), format!("{:#}\n", schema.as_value())).unwrap();
            }
            assert_eq!(&read("schema", file), schema.as_value(), "{file} is to be written anew: see this test");
        }
    }

    /// The JSON in a golden text, with lone surrogates mended, because a Rust string cannot hold them.
    fn whole(golden: &Value) -> Value {
        serde_json::from_str(&surrogates::mend(text(golden))).unwrap()
    }

    #[test]
    fn each_schema_is_a_schema() {
        for (file, schema) in schemas() {
            assert!(jsonschema::meta::is_valid(schema.as_value()), "{file}");
        }
    }

    #[test]
    fn valid_entries_pass_and_malformed_ones_do_not() {
        let schema = validator("job.json");

        let (valid, malformed) = (read("golden", "jobs-valid.json"), read("golden", "jobs-malformed.json"));
        for golden in ["jobs", "commands"].into_iter().flat_map(|list| items(&valid[list])) {
            let job = whole(&golden["job"]);
            if let Err(error) = schema.validate(&job) {
                panic!("{}: {error}", golden["name"]);
            }
        }
        for golden in items(&malformed["entries"]) {
            let Ok(job) = serde_json::from_str(text(&golden["job"])) else { continue };
            let name = text(&golden["name"]);
            assert_eq!(schema.is_valid(&job), BEYOND_THE_SCHEMA.contains(&name), "{name}");
        }
    }

    #[test]
    fn events_and_their_data_pass() {
        let (event, data) = (validator("event.json"), validator("event-data.json"));

        for golden in items(&read("golden", "events.json")["events"]) {
            let pair = |field: &Value| (text(&field[0]).to_owned(), field[1].clone());
            let fields: Value = items(&golden["fields"]).iter().map(pair).collect::<serde_json::Map<_, _>>().into();
            for (schema, value) in [(&event, &fields), (&data, &serde_json::from_str(text(&fields["data"])).unwrap())] {
                if let Err(error) = schema.validate(value) {
                    panic!("{}: {error}", golden["name"]);
                }
            }
            for (name, _) in fields.as_object().unwrap() {
                let mut others = fields.clone();
                others[name] = json!(7);
                assert!(!event.is_valid(&others), "{}: {name} is 7", golden["name"]);
                others.as_object_mut().unwrap().remove(name);
                assert!(!event.is_valid(&others), "{}: no {name}", golden["name"]);
            }
        }
        assert!(!data.is_valid(&json!({})), "a worker writes each member");
    }

    #[test]
    fn the_schema_takes_what_a_worker_takes_and_no_more() {
        let schema = validator("job.json");

        let golden = read("golden", "jobs-valid.json");
        for golden in ["jobs", "commands"].into_iter().flat_map(|list| items(&golden[list])) {
            for varied in variations(&whole(&golden["job"])) {
                let written = varied.to_string();
                let is_taken = Entry::read(None, Some(written.as_bytes()), MAX_BYTES).is_ok();
                assert_eq!(schema.is_valid(&varied), is_taken, "{written}");
            }
        }
    }

    /// Copies of the value in which one member at any depth is left out or replaced. No replacement is an array: the
    /// reader accepts an array as an object with its members in order, which the contract does not promise.
    fn variations(value: &Value) -> Vec<Value> {
        let others = [json!(null), json!(true), json!(0), json!(-1), json!(7.5), json!(604_801), json!(1_u64 << 54)];
        let others = others.into_iter().chain([json!(""), json!(" \n"), json!("a b"), json!("high"), json!({})]);
        let others: Vec<Value> = others.chain([json!({ "cancel": "a" })]).collect();
        let mut varied = others.clone();
        if let Value::Object(members) = value {
            for (name, member) in members {
                let mut without = members.clone();
                without.remove(name);
                varied.push(without.into());
                for other in variations(member) {
                    let mut with = members.clone();
                    with.insert(name.clone(), other);
                    varied.push(with.into());
                }
            }
            for name in ["cancel", "modal", "id", "job", "button", "taskId", "later"] {
                for other in &others {
                    let mut with = members.clone();
                    with.insert(name.to_owned(), other.clone());
                    varied.push(with.into());
                }
            }
        }
        varied
    }

    fn validator(file: &str) -> Validator {
        let registry = jsonschema::Registry::new();
        let registry = registry.add("json-schema:///event-data.json", read("schema", "event-data.json")).unwrap();
        let registry = registry.prepare().unwrap();
        jsonschema::options().with_registry(&registry).build(&read("schema", file)).unwrap()
    }

    fn path(folder: &str, file: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file)
    }

    fn read(folder: &str, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(path(folder, file)).unwrap()).unwrap()
    }

    fn items(list: &Value) -> &Vec<Value> {
        list.as_array().unwrap()
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }
}
