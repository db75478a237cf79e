//! The matrix: each crash point with each kind of lost answer under each policy, one by one and without chance.
//!
//! The [`outcome_table`](crate::outcome_table) says what has to come of each; a run shows that the worker keeps to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_harness::{PATIENCE, RedisOptions, RedisProcess, Wire, WorkerBuilder, WorkerProcess, free_port};
use mjq_simulator::{Fault, Knobs, Script, Simulator, SubmitStep};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::history::prompt_of;
use crate::outcome_table::{Answer, CRASH_POINTS, LOST, Outcome, POLICIES, Policy, answers, expected, words};

/// How many cells are tried at the same time.
const AT_ONCE: usize = 10;
/// Longer than the worker waits before it dies in the middle of an exchange.
const LATE: Duration = Duration::from_millis(700);
/// How long a task runs whose end is told by a callback.
const OUTLASTS: Duration = Duration::from_secs(4);

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
    for policy in POLICIES {
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
        let script = Script::submits([step]);
        // What a callback tells while nobody is there is lost: the task has to outlast the way from one worker to the next.
        let script = if policy == Policy::Hook { script.lasting(OUTLASTS) } else { script };
        self.simulator.script(&prompt, script);
        let on_unknown = if policy == Policy::Resubmit { "resubmit" } else { "fail" };
        let options = json!({ "on_unknown": on_unknown });
        let request = json!({ "prompt": prompt, "state": name });
        wire.xadd_job(&json!({"id": name, "kind": "imagine", "request": request, "options": options})).await?;

        let mut worker = self.worker(policy, &name)?;
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

    fn worker(&self, policy: Policy, queue: &str) -> anyhow::Result<WorkerBuilder> {
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
        Ok(match policy {
            Policy::Fail | Policy::Resubmit => worker,
            Policy::Lookup => {
                worker.set("MJQ_UPSTREAM_STATE", "token").set("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list")
            }
            Policy::Hook => {
                // The heir listens where its predecessor did, as behind a service's address.
                let admin = format!("127.0.0.1:{}", free_port()?);
                let worker = worker.set("MJQ_HOOK_URL", format!("http://{admin}")).set("MJQ_ADMIN_ADDR", admin);
                worker.set("MJQ_UNKNOWN_GRACE_MS", OUTLASTS.as_millis() * 2)
            }
        })
    }
}

type Table = BTreeMap<(Policy, usize, Answer), anyhow::Result<Outcome>>;

/// Prints what was expected, and how many of the kinds of lost answers kept to it; then what did not.
fn print(table: &Table) -> bool {
    println!(
        "\n{:<9} {:<14} {:<44} {:<44} answer lost after the task was created",
        "unknown", "dies", "answered", "answer lost before a task was created"
    );
    for policy in POLICIES {
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
