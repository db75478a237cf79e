//! The check: the model beside a real run of the same, to know how far off it is.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mjq_simulator::{Knobs, Span};
use mjq_worker::lifecycle::Policy;

use super::{
    SEED,
    costs::Costs,
    dice::Dice,
    model::Model,
    plan::{Class, Plan, Weather},
    polls,
};
use crate::{
    contestant::{Contestant, Settings, Work, Worker},
    figures::{Figures, Rounds},
    stage::{Durability, Stage},
    stream::completed,
    table::Table,
};

const JOBS: u32 = 2_000;
const SPAN_MS: (u64, u64) = (3_000, 9_000);
const MAX_OPEN: u64 = 400;
const SETTINGS: Settings = &[("MJQ_UPSTREAM_MAX_OPEN", "400")];
/// What is printed of both.
const WALL: &str = "until the last event s";
const POLLS: &str = "polls per job";
const REDIS: &str = "Redis CPU ms in all";
const CLAIMS: &str = "claims in all";
/// From the engine's side: a step that is due waits for its claim, and its end for its settlement.
const STEP_MS: u64 = 20;

/// Does it for real, on so many pods.
pub(super) async fn run(pods: usize) -> anyhow::Result<Figures> {
    let duration = Span::between(Duration::from_millis(SPAN_MS.0), Duration::from_millis(SPAN_MS.1));
    let knobs = Knobs { slots: MAX_OPEN as usize, queue: JOBS as usize, duration, ..Knobs::default() };
    let stage = Stage::set(&knobs, Durability::EverySecond).await?;
    let mut workers = Vec::with_capacity(pods);
    for _ in 0..pods {
        workers.push(Contestant::Mjq.start(&stage, Work::Pipeline, SETTINGS).await?);
    }
    let cpu_s = || workers.iter().map(Worker::cpu_s).sum::<anyhow::Result<f64>>();
    let (claims, worker, bytes) = (claims(&workers).await?, cpu_s()?, stage.redis_info("used_memory").await?);
    let (redis, began) = (stage.redis_cpu_s().await?, Instant::now());
    Contestant::Mjq.client(&stage).await?.enqueue_many(0, JOBS as usize).await?;
    // Seldom: the question costs Redis something, too.
    while Contestant::Mjq.done(&stage.redis).await? < u64::from(JOBS) {
        ensure!(began.elapsed() < Duration::from_secs(300), "not all events came");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (wall_s, redis) = (began.elapsed().as_secs_f64(), stage.redis_cpu_s().await? - redis);
    let (claims, worker) = (self::claims(&workers).await? - claims, cpu_s()? - worker);
    ensure!(completed(&stage.redis).await? == JOBS as usize, "not all jobs completed");
    let (seen, jobs) = (stage.upstream.seen().await?, f64::from(JOBS));
    // Buffers of clients shrink within two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bytes = stage.redis_info("used_memory").await? - bytes;
    Ok(Figures::default()
        .lower(WALL, wall_s)
        .plain(POLLS, seen.polls as f64 / jobs)
        .lower(REDIS, redis * 1e3)
        .plain(CLAIMS, claims)
        .lower("worker CPU µs per step", worker * 1e6 / (jobs + seen.polls as f64))
        .plain("bytes per ended job and its event", bytes / jobs))
}

/// How often all workers have claimed so far.
async fn claims(workers: &[Worker]) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for worker in workers {
        let Worker::Mjq(worker) = worker else { continue };
        let (_, metrics) = worker.get("/metrics").await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix("mjq_claim_seconds_count"));
        sum += count.and_then(|line| line.split_whitespace().last()).map_or(Ok(0.0), str::parse)?;
    }
    Ok(sum)
}

/// What the model says of the same, on the costs of acts that were measured one by one.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    wall_s: f64,
    polls: f64,
    redis_ms: f64,
    claims: f64,
}

/// Both beside each other.
pub(super) fn table(costs: &Costs, measured: &[Rounds]) -> anyhow::Result<Table> {
    let mut table = Table::new(
        format!("The model beside the real run of {JOBS} jobs"),
        &["pods", "what", "model", "measured", "model / measured"],
    );
    for (pods, rounds) in [(1_u64, 3), (4, 4)] {
        let rounds = measured.get(rounds).context("no real run")?;
        let said = say(costs, pods as f64)?;
        for (name, model) in [(WALL, said.wall_s), (POLLS, said.polls), (REDIS, said.redis_ms), (CLAIMS, said.claims)] {
            let real = rounds.median(Contestant::Mjq, name).with_context(|| format!("{name:?} was not measured"))?;
            table.row(vec![pods.into(), name.into(), model.into(), real.into(), (model / real).into()]);
        }
    }
    Ok(table)
}

fn say(costs: &Costs, pods: f64) -> anyhow::Result<Said> {
    const TICK_S: f64 = 0.1;
    // The first wave is submitted before anything is known of such tasks.
    let first_wave = MAX_OPEN as f64 / f64::from(JOBS);
    let (mut classes, mut polls_each) = (Vec::new(), 0.0);
    for (is_known, share) in [(false, first_wave), (true, 1.0 - first_wave)] {
        let mut plays = polls::plays(SPAN_MS, is_known, 2_000, &Policy::default(), &mut Dice::new(SEED))?;
        plays.iter_mut().for_each(|play| play.seen_ms += STEP_MS * u64::from(play.polls + 1));
        polls_each += share * polls::averages(&plays).0;
        classes.push(Class { share, plays, deadline_ticks: 36_000 });
    }
    // Nobody reads the events of the real run, and a pod has the machine to itself.
    let mut costs = *costs;
    (costs.calm.read_event, costs.busy.read_event) = (0.0, 0.0);
    let pod_steps = 1e6 / costs.worker_step.max(1.0);
    let plan = Plan { costs, tick_s: TICK_S, max_open: MAX_OPEN, pod_steps, retention_ticks: 36_000, classes };
    let mut model = Model::new(plan, SEED);
    let mut said = Said { polls: polls_each, ..Said::default() };
    let mut arrivals = JOBS;
    while model.jobs().done < u64::from(JOBS) {
        let tick = model.tick(std::mem::take(&mut arrivals), Weather { pods, redis: true, upstream: true });
        said.wall_s += TICK_S;
        said.redis_ms += tick.redis * TICK_S * 1e3;
        said.claims += tick.claims * TICK_S;
        ensure!(said.wall_s < 3_600.0, "the model does not come to an end: {:?}", model.jobs());
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_the_run_takes_as_long_as_the_limit_makes_it() -> anyhow::Result<()> {
        let said = say(&super::super::tests::COSTS, 1.0)?;

        // 2,000 jobs of 6 s and a bit, 400 at a time, and the last of them alone.
        assert!((30.0..50.0).contains(&said.wall_s), "{said:?}");
        assert!(said.redis_ms > 0.0 && said.claims > said.wall_s);
        Ok(())
    }
}
