//! Stacks and jobs in a few words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mjq_harness::{Stack, StackBuilder, free_port};
use serde_json::{Value, json};

/// A stack whose upstream has room for everybody and needs 100 ms for a picture.
pub(crate) fn a_stack() -> StackBuilder {
    Stack::start().knobs(|knobs| {
        knobs.slots = 1_000;
        knobs.queue = 100_000;
        knobs.duration = Duration::from_millis(100).into();
    })
}

/// The same with one worker that the upstream's hooks reach.
pub(crate) fn a_stack_with_hooks() -> anyhow::Result<StackBuilder> {
    let address = format!("127.0.0.1:{}", free_port()?);
    Ok(a_stack().set("MJQ_ADMIN_ADDR", &address).set("MJQ_HOOK_URL", format!("http://{address}")))
}

/// An imagine job.
pub(crate) fn imagine(id: &str, prompt: &str) -> Value {
    json!({"id": id, "kind": "imagine", "request": {"prompt": prompt}})
}

/// So many imagine jobs: `job-0` wants `fox 0`, and so on.
pub(crate) fn foxes(count: usize) -> Vec<Value> {
    (0..count).map(|n| imagine(&format!("job-{n}"), &format!("fox {n}"))).collect()
}

/// A job that presses a button of another job's result.
pub(crate) fn action(id: &str, parent: &str, button: &str) -> Value {
    json!({"id": id, "kind": "action", "request": {"job": parent, "button": button}})
}

/// The same job with another value at `pointer` (`/options/deadline_s`), whose parents are made as needed.
pub(crate) fn with(mut job: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let place = pointer.split('/').skip(1).fold(&mut job, |value, name| &mut value[name]);
    *place = value.into();
    job
}

/// This machine's clock, which is Redis's too.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64)
}
