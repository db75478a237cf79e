//! A run: load under faults, then everything is healed, then quiet, then the verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mjq_producer::contract::QueueName;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::Preset;
use crate::books::Books;
use crate::checker::{self, Violation};
use crate::collect;
use crate::consumers;
use crate::dice::Dice;
use crate::history::History;
use crate::nemesis::Nemesis;
use crate::overseer;
use crate::plan::Plan;
use crate::producers::Enqueuer;
use crate::report::Report;
use crate::stalls;
use crate::world::World;

/// How long a healed world may take until it is quiet: a backlog behind limits takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(360);
/// How long it is waited for when nothing ends any more. A job that was refused often waits for up to a minute.
const STANDSTILL: Duration = Duration::from_secs(90);
/// The preset "kills" promises that all is over so long after the last kill.
const KILLS_ARE_OVER_MS: u64 = 30_000;
/// A worker that is asked to stop may take so long, and one HTTP exchange.
const LONGEST_EXIT: Duration = Duration::from_secs(3);
const CONSUMERS: usize = 3;

/// Runs the plan with workers of this program, and judges what came of it.
pub(crate) async fn run(plan: Plan, program: &Path, dir: &Path) -> anyhow::Result<Report> {
    let began = Instant::now();
    let world = Arc::new(World::start(plan.clone(), program, dir).await?);
    let books = Arc::new(Books::default());
    let (stop_consuming, consuming) = watch::channel(false);
    let consumers = start_consumers(&world, &books, &consuming)?;
    tokio::spawn(stalls::watch(Arc::clone(&books), consuming.clone()));

    let caught = break_things_under_load(&world, &books, began).await?;
    let healed = Instant::now();
    world.heal().await?;
    let is_quiet = caught.is_empty() && quiet(&world, &books, began).await?;
    let settled_after = healed.elapsed();
    stop_consuming.send_replace(true);
    consumers.join_all().await;

    let mut history = collect::history(&world, &books).await?;
    promise(&plan, &books, &mut history);
    for pod in &world.pods {
        pod.lock().await.put_away();
    }
    // What was caught in the act stopped the run: nothing else is over, and the rest could not be judged.
    let violations = if caught.is_empty() {
        collect::census(&world, &mut history).await?;
        checker::check(&history)
    } else {
        caught
    };
    let mut report = Report::of(plan, &history, violations);
    report.is_quiet = is_quiet;
    report.seconds = began.elapsed().as_secs_f64();
    report.settled_after_seconds = settled_after.as_secs_f64();
    report.faults.clone_from(&books.open().faults);
    Ok(report)
}

fn start_consumers(
    world: &World,
    books: &Arc<Books>,
    consuming: &watch::Receiver<bool>,
) -> anyhow::Result<JoinSet<()>> {
    let queue = QueueName::new(world.wire.queue())?;
    let mut consumers = JoinSet::new();
    for number in 0..CONSUMERS {
        let dice = Dice::seeded(world.plan.seed).fork(&format!("consumer {number}"));
        let (url, books) = (world.redis_url.clone(), Arc::clone(books));
        consumers.spawn(consumers::consume(url, queue.clone(), number, dice, books, consuming.clone()));
    }
    Ok(consumers)
}

/// Enqueues and breaks, for as long as the plan says, or until the overseer has caught something.
async fn break_things_under_load(
    world: &Arc<World>,
    books: &Arc<Books>,
    began: Instant,
) -> anyhow::Result<Vec<Violation>> {
    let plan = &world.plan;
    let dice = Dice::seeded(plan.seed);
    let (stop, stopping) = watch::channel(false);
    let mut at_work = JoinSet::new();
    let enqueuer = Enqueuer::new(&world.redis_url, world.wire.clone(), dice.fork("producer"), Arc::clone(books))?;
    let enqueueing = {
        let (plan, stopping) = (plan.clone(), stopping.clone());
        async move { enqueuer.run(&plan, stopping).await }
    };
    at_work.spawn(enqueueing);
    let nemesis = |part: &str| Nemesis {
        world: Arc::clone(world),
        books: Arc::clone(books),
        dice: dice.fork(part),
        stopping: stopping.clone(),
    };
    match plan.what {
        Preset::All => {
            at_work.spawn(nemesis("processes").break_processes());
            at_work.spawn(nemesis("others").break_others());
        }
        Preset::Kills => drop(at_work.spawn(nemesis("processes").kill_workers())),
        Preset::Rolling => drop(at_work.spawn(nemesis("processes").replace_workers())),
    }
    let overseeing = tokio::spawn(overseer::watch(Arc::clone(world), Arc::clone(books), stop.clone()));
    let end = Instant::now() + plan.lasts;
    let mut stopped = stopping.clone();
    while Instant::now() < end && !*stopping.borrow() {
        let pause = end.min(Instant::now() + Duration::from_secs(3));
        let _ = tokio::time::timeout_at(pause, stopped.wait_for(|stop| *stop)).await;
        tell(books, began, "breaking");
    }
    stop.send_replace(true);
    while let Some(ended) = at_work.join_next().await {
        ended.context("a part of the run broke down")??;
    }
    overseeing.await.context("the overseer broke down")
}

/// Waits until all is over, and tells how it goes.
async fn quiet(world: &World, books: &Books, began: Instant) -> anyhow::Result<bool> {
    // What a planted bug has lost does not come, however long one waits.
    let standstill = if world.plan.planted_bug.is_some() { STANDSTILL / 6 } else { STANDSTILL };
    let deadline = Instant::now() + PATIENCE;
    let (mut ended, mut moved) = (0, Instant::now());
    while Instant::now() < deadline && moved.elapsed() < standstill {
        if collect::wait_until_quiet(world, books, Duration::from_secs(3)).await? {
            return Ok(true);
        }
        tell(books, began, "healed");
        let ended_now = books.open().ended.len();
        if ended_now > ended {
            (ended, moved) = (ended_now, Instant::now());
        }
    }
    Ok(false)
}

fn tell(books: &Books, began: Instant, what: &str) {
    let pages = books.open();
    let (asked, ended, faults) = (pages.jobs.len(), pages.ended.len(), pages.faults.values().sum::<u32>());
    println!(
        "{:>5.0} s  {what:<9} {asked:>6} jobs asked for {ended:>6} ended {faults:>5} faults",
        began.elapsed().as_secs_f64()
    );
}

/// What the preset promises beside the invariants.
fn promise(plan: &Plan, books: &Books, history: &mut History) {
    let promises = &mut history.promises;
    match plan.what {
        Preset::All => {}
        Preset::Kills => promises.finished_by_ms = books.open().last_kill_ms + KILLS_ARE_OVER_MS,
        Preset::Rolling => {
            promises.longest_exit_ms = (LONGEST_EXIT + plan.exchange).as_millis() as u64;
            promises.knows_everything = true;
        }
    }
}
