//! The matrix: each crash point with each kind of lost answer under each policy, one by one and without chance.
//!
//! [`expected`] is the table that ARCHITECTURE.md quotes; a run shows that the worker keeps to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_harness::{PATIENCE, RedisOptions, RedisProcess, Wire, WorkerBuilder, WorkerProcess};
use mjq_simulator::{Fault, Knobs, Script, Simulator, SubmitStep};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::history::prompt_of;

/// How many cells are tried at the same time.
const AT_ONCE: usize = 10;
/// Longer than the worker waits before it dies in the middle of an exchange.
const LATE: Duration = Duration::from_millis(700);

/// What becomes of a submit whose fate nobody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    /// It fails, and the task cannot be found.
    Fail,
    /// It is made again, and the task cannot be found.
    Resubmit,
    /// The task is searched for by its `state`; if there is none, it fails.
    Lookup,
}

/// How the first submit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// As usual: the task is created, and its id comes back.
    Given,
    /// Not at all, or in no useful way; nothing was created.
    LostBefore(usize),
    /// The same, and the task was created.
    LostAfter(usize),
}

/// The end of a job as everybody can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    code: String,
    billed: usize,
    attempts: u64,
    possible_duplicate: bool,
    adopted: bool,
}

/// The points at which the worker can die, in the order in which it comes by them; `None` is that it does not.
const CRASH_POINTS: [Option<&str>; 7] = [
    None,
    Some("after_claim"),
    Some("before_post"),
    Some("after_post"),
    Some("after_answer"),
    Some("before_settle"),
    Some("after_settle"),
];

/// The kinds of lost answers by name.
const LOST: [&str; 10] = ["close", "reset", "empty", "half", "broken", "html", "500", "502", "504", "hang"];

fn fault(kind: usize) -> Fault {
    let status = |status| Fault::Status { status, retry_after: None, html: true };
    match LOST[kind] {
        "close" => Fault::Close,
        "reset" => Fault::Reset,
        "empty" => Fault::Empty,
        "half" => Fault::Half,
        "broken" => Fault::Broken,
        "html" => Fault::Html,
        "500" => status(500),
        "502" => status(502),
        "504" => status(504),
        _ => Fault::Hang,
    }
}

/// What has to come of it.
fn expected(policy: Policy, crash: Option<&str>, answer: Answer) -> Outcome {
    let creates = |answer| usize::from(!matches!(answer, Answer::LostBefore(_)));
    let never_sent = matches!(crash, Some("after_claim" | "before_post"));
    let was_written = matches!(crash, None | Some("after_settle"));
    let billed = if never_sent { 0 } else { creates(answer) };
    let completed = |billed, attempts, possible_duplicate, adopted| Outcome {
        code: "ok".to_owned(),
        billed,
        attempts,
        possible_duplicate,
        adopted,
    };
    if answer == Answer::Given && was_written {
        return completed(1, 1, false, false);
    }
    // From here on nobody knows: the intent is written down, and an answer is not.
    match policy {
        Policy::Lookup if billed == 1 => completed(1, 1, false, true),
        Policy::Fail | Policy::Lookup => Outcome {
            code: "submit_unknown".to_owned(),
            billed,
            attempts: 1,
            possible_duplicate: false,
            adopted: false,
        },
        // What was never sent could not lose its answer: the second submit does.
        Policy::Resubmit if never_sent && answer != Answer::Given => completed(creates(answer) + 1, 3, true, false),
        Policy::Resubmit => completed(billed + 1, 2, true, false),
    }
}

/// Tries all cells with workers of this program; prints the table; says whether all were as expected.
pub(crate) async fn run(program: &Path) -> anyhow::Result<bool> {
    let redis = RedisProcess::spawn(RedisOptions::default()).await?;
    let ms = Duration::from_millis;
    let knobs = Knobs { slots: 1000, duration: ms(200).into(), ..Knobs::default() };
    let stage = Arc::new(Stage {
        redis_url: redis.url(),
        simulator: Simulator::start(knobs).await?,
        program: program.to_owned(),
        turns: Semaphore::new(AT_ONCE),
    });
    let mut cells = JoinSet::new();
    for policy in [Policy::Fail, Policy::Resubmit, Policy::Lookup] {
        for (number, crash) in CRASH_POINTS.into_iter().enumerate() {
            for answer in answers() {
                let stage = Arc::clone(&stage);
                cells.spawn(async move {
                    let seen = stage.try_cell(policy, crash, answer).await;
                    (policy, number, answer, seen)
                });
            }
        }
    }
    let mut table = BTreeMap::new();
    let all = cells.len();
    while let Some(cell) = cells.join_next().await {
        let (policy, number, answer, seen) = cell.context("a cell broke down")?;
        table.insert((policy, number, answer), seen);
        if table.len() % 40 == 0 {
            println!("{} of {all} cells", table.len());
        }
    }
    Ok(print(&table))
}

fn answers() -> Vec<Answer> {
    let lost = 0..LOST.len();
    let lost = lost.flat_map(|kind| [Answer::LostBefore(kind), Answer::LostAfter(kind)]);
    [Answer::Given].into_iter().chain(lost).collect()
}

/// What all cells share. Each has a queue of its own.
struct Stage {
    redis_url: String,
    simulator: Simulator,
    program: PathBuf,
    turns: Semaphore,
}

impl Stage {
    async fn try_cell(&self, policy: Policy, crash: Option<&str>, answer: Answer) -> anyhow::Result<Outcome> {
        let _turn = self.turns.acquire().await?;
        let name = format!("{policy:?}-{}-{answer:?}", crash.unwrap_or("none")).replace(['(', ')'], "-");
        let wire = Wire::new(&self.redis_url, &name);
        let prompt = prompt_of(&name);
        let step = match answer {
            Answer::Given => SubmitStep::default(),
            Answer::LostBefore(kind) => SubmitStep::fault(fault(kind)),
            Answer::LostAfter(kind) => SubmitStep::fault(fault(kind)).after_creation(),
        };
        let step = if crash == Some("after_post") { step.delayed(LATE) } else { step };
        self.simulator.script(&prompt, Script::submits([step]));
        let on_unknown = if policy == Policy::Resubmit { "resubmit" } else { "fail" };
        let options = json!({ "on_unknown": on_unknown });
        let request = json!({ "prompt": prompt, "state": name });
        wire.xadd_job(&json!({"id": name, "kind": "imagine", "request": request, "options": options})).await?;

        let mut worker = self.worker(policy, &name);
        if let Some(point) = crash {
            let mut victim = worker.clone().set("MJQ_CRASH_POINT", point).start()?;
            let status = victim.exited(PATIENCE).await?;
            ensure!(!status.success() && victim.logs().contains("crash point"), "it did not die at {point}: {status}");
            worker = worker.named("heir");
        }
        let _worker = worker.start()?;
        let event = wire.event_of(&name).await?;
        let told = wire.events().await?.len();
        ensure!(told == 1, "{told} events");
        let data = event.data()?;
        Ok(Outcome {
            code: event.code().to_owned(),
            billed: self.simulator.created(&prompt),
            attempts: data["attempts"].as_u64().unwrap_or(0),
            possible_duplicate: data["possible_duplicate"] == true,
            adopted: data["adopted"] == true,
        })
    }

    fn worker(&self, policy: Policy, queue: &str) -> WorkerBuilder {
        let worker = WorkerProcess::on(&self.redis_url)
            .queue(queue)
            .upstream(&self.simulator.url())
            .program(&self.program)
            .quiet()
            .set("MJQ_LEASE_MS", 1500)
            .set("MJQ_POLL_MIN_MS", 50)
            .set("MJQ_POLL_MAX_MS", 300)
            .set("MJQ_UPSTREAM_POLL_RATE", 0)
            .set("MJQ_UPSTREAM_TIMEOUT_MS", 1500)
            .set("MJQ_UNKNOWN_GRACE_MS", 3000);
        if policy != Policy::Lookup {
            return worker;
        }
        worker.set("MJQ_UPSTREAM_STATE", "token").set("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list")
    }
}

type Table = BTreeMap<(Policy, usize, Answer), anyhow::Result<Outcome>>;

/// Prints what was expected, and how many of the kinds of lost answers kept to it; then what did not.
fn print(table: &Table) -> bool {
    println!(
        "\n{:<9} {:<14} {:<44} {:<44} answer lost after the task was created",
        "unknown", "dies", "answered", "answer lost before a task was created"
    );
    for policy in [Policy::Fail, Policy::Resubmit, Policy::Lookup] {
        for (number, crash) in CRASH_POINTS.into_iter().enumerate() {
            let cell = |is_in: fn(&Answer) -> bool| {
                let row = table.iter().filter(|((p, n, answer), _)| *p == policy && *n == number && is_in(answer));
                let all: Vec<_> = row.collect();
                let answer = all.first().map_or(Answer::Given, |((_, _, answer), _)| *answer);
                let wanted = expected(policy, crash, answer);
                let good = all.iter().filter(|(_, seen)| seen.as_ref().is_ok_and(|seen| *seen == wanted)).count();
                format!("{} ({good}/{})", words(&wanted), all.len())
            };
            let given = cell(|answer| *answer == Answer::Given);
            let before = cell(|answer| matches!(answer, Answer::LostBefore(_)));
            let after = cell(|answer| matches!(answer, Answer::LostAfter(_)));
            let policy = format!("{policy:?}").to_lowercase();
            println!("{policy:<9} {:<14} {given:<44} {before:<44} {after}", crash.unwrap_or("not"));
        }
    }
    let mut is_good = true;
    for ((policy, number, answer), seen) in table {
        let (crash, wanted) = (CRASH_POINTS[*number], expected(*policy, CRASH_POINTS[*number], *answer));
        let what = match answer {
            Answer::Given => "answered".to_owned(),
            Answer::LostBefore(kind) => format!("{} before", LOST[*kind]),
            Answer::LostAfter(kind) => format!("{} after", LOST[*kind]),
        };
        let crash = crash.unwrap_or("no crash");
        match seen {
            Ok(seen) if *seen == wanted => continue,
            Ok(seen) => println!("BROKEN {policy:?}, {crash}, {what}: {}, not {}", words(seen), words(&wanted)),
            Err(error) => println!("BROKEN {policy:?}, {crash}, {what}: {error:#}"),
        }
        is_good = false;
    }
    println!("\n{} cells, {}", table.len(), if is_good { "all as expected" } else { "not all as expected" });
    is_good
}

fn words(outcome: &Outcome) -> String {
    let Outcome { code, billed, attempts, possible_duplicate, adopted } = outcome;
    let duplicate = if *possible_duplicate { " dup?" } else { "" };
    let adopted = if *adopted { " adopted" } else { "" };
    format!("{code}, billed {billed}, attempts {attempts}{duplicate}{adopted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_billed_twice_unless_the_policy_allows_it_and_the_event_says_so() {
        for policy in [Policy::Fail, Policy::Resubmit, Policy::Lookup] {
            for crash in CRASH_POINTS {
                for answer in answers() {
                    let outcome = expected(policy, crash, answer);

                    assert!(outcome.billed <= 1 || (policy == Policy::Resubmit && outcome.possible_duplicate));
                    assert!(outcome.billed as u64 <= outcome.attempts);
                }
            }
        }
    }
}
