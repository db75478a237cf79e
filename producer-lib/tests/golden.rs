//! The golden vectors, byte for byte: `golden/*.json` is the wire for those who do not read Rust.

use std::{collections::HashSet, fs, path::Path};

use mjq_producer::contract::{Code, Command, Entry, Event, EventType, Job, JobId, Malformed, QueueName};
use serde::{Deserialize, de::DeserializeOwned};

const MAX_BYTES: usize = 10 << 20;

#[derive(Deserialize)]
struct ValidEntries {
    jobs: Vec<ValidEntry<ExpectedJob>>,
    commands: Vec<ValidEntry<ExpectedCommand>>,
}

#[derive(Deserialize)]
struct ValidEntry<T> {
    name: String,
    v: String,
    job: String,
    expect: T,
    /// How this library writes it; when absent, as it is in `job`.
    written: Option<String>,
}

#[derive(Deserialize)]
struct ExpectedJob {
    id: Option<String>,
    kind: String,
    state: Option<String>,
}

#[derive(Deserialize)]
struct ExpectedCommand {
    command: String,
    job: String,
}

#[derive(Deserialize)]
struct MalformedEntries {
    entries: Vec<MalformedEntry>,
}

#[derive(Deserialize)]
struct MalformedEntry {
    name: String,
    v: String,
    job: String,
    expect: ExpectedMalformed,
}

#[derive(Deserialize)]
struct ExpectedMalformed {
    /// A part of the words.
    reason: String,
    id: Option<String>,
    id_is_absent: bool,
    kind: Option<String>,
    state: Option<String>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<GoldenEvent>,
}

#[derive(Deserialize)]
struct GoldenEvent {
    name: String,
    fields: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Keys {
    queues: Vec<QueueKeys>,
    bad_queues: Vec<String>,
    job_ids: Vec<String>,
    bad_job_ids: Vec<String>,
    follow_ups: Vec<FollowUpId>,
}

#[derive(Deserialize)]
struct QueueKeys {
    queue: String,
    jobs: String,
    events: String,
}

#[derive(Deserialize)]
struct FollowUpId {
    job: String,
    position: usize,
    id: String,
}

#[test]
fn each_valid_job_is_read_and_written_byte_for_byte() {
    for golden in read::<ValidEntries>("jobs-valid.json").jobs {
        let name = &golden.name;
        let job = match entry(&golden.v, &golden.job) {
            Ok(Entry::Job(job)) => job,
            other => panic!("{name}: {other:?}"),
        };

        assert_eq!(job.id.as_ref().map(JobId::as_str), golden.expect.id.as_deref(), "{name}");
        assert_eq!(job.kind.as_str(), golden.expect.kind, "{name}");
        assert_eq!(job.request.state(), golden.expect.state, "{name}");
        assert!(golden.job.contains(job.request.as_json()), "{name}: the request is kept verbatim");
        assert_eq!(serde_json::to_string(&*job).unwrap(), golden.written.unwrap_or(golden.job), "{name}");
    }
}

#[test]
fn what_is_written_differently_is_the_same_job() {
    for golden in read::<ValidEntries>("jobs-valid.json").jobs {
        let job: Job = serde_json::from_str(&golden.job).unwrap();
        let written: Job = serde_json::from_str(&golden.written.unwrap_or(golden.job)).unwrap();

        assert_eq!(job.digest(), written.digest(), "{}", golden.name);
    }
}

#[test]
fn each_command_is_read_and_written_byte_for_byte() {
    for golden in read::<ValidEntries>("jobs-valid.json").commands {
        let name = &golden.name;
        let command = match entry(&golden.v, &golden.job) {
            Ok(Entry::Command(command)) => command,
            other => panic!("{name}: {other:?}"),
        };

        let verb = match &command {
            Command::Cancel(_) => "cancel",
            Command::Modal(_) => "modal",
        };
        assert_eq!((verb, command.job().as_str()), (&*golden.expect.command, &*golden.expect.job), "{name}");
        assert_eq!(serde_json::to_string(&command).unwrap(), golden.job, "{name}");
    }
}

#[test]
fn each_malformed_entry_says_why_and_what_could_be_read() {
    for MalformedEntry { name, v, job, expect } in read::<MalformedEntries>("jobs-malformed.json").entries {
        let malformed = entry(&v, &job).expect_err(&name);

        assert!(malformed.reason.contains(&expect.reason), "{name}: {}", malformed.reason);
        assert_eq!(malformed.id, expect.id, "{name}");
        assert_eq!(malformed.id_is_absent, expect.id_is_absent, "{name}");
        assert_eq!(malformed.kind.map(|kind| kind.as_str().to_owned()), expect.kind, "{name}");
        assert_eq!(malformed.state, expect.state, "{name}");
    }
}

#[test]
fn each_event_is_read_and_written_byte_for_byte() {
    for GoldenEvent { name, fields } in read::<Events>("events.json").events {
        let event = Event::read(fields.iter().cloned().collect()).expect(&name);

        let written = event.fields().map(|(name, value)| (name.to_owned(), value));
        assert_eq!(written.as_slice(), fields, "{name}");
    }
}

#[test]
fn the_events_show_each_type_and_each_code() {
    let mut seen = HashSet::new();
    for GoldenEvent { fields, .. } in read::<Events>("events.json").events {
        seen.extend(fields.into_iter().filter(|(name, _)| name == "type" || name == "code").map(|(_, value)| value));
    }

    for wanted in EventType::ALL.iter().map(|it| it.as_str()).chain(Code::ALL.iter().map(|it| it.as_str())) {
        assert!(seen.contains(wanted), "{wanted}");
    }
}

#[test]
fn keys_and_ids_are_those_that_other_languages_use() {
    let keys: Keys = read("keys.json");

    for QueueKeys { queue, jobs, events } in keys.queues {
        let queue = QueueName::new(&queue).expect(&queue);
        assert_eq!((queue.jobs_stream(), queue.events_stream()), (jobs, events));
    }
    for FollowUpId { job, position, id } in keys.follow_ups {
        assert_eq!(JobId::new(&job).expect(&job).follow_up(position).as_str(), id);
    }
    assert!(keys.bad_queues.iter().all(|name| QueueName::new(name).is_err()));
    assert!(keys.job_ids.iter().all(|id| JobId::new(id).is_ok()));
    assert!(keys.bad_job_ids.iter().all(|id| JobId::new(id).is_err()));
}

fn entry(version: &str, job: &str) -> Result<Entry, Malformed> {
    Entry::read(Some(version.as_bytes()), Some(job.as_bytes()), MAX_BYTES)
}

fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}
