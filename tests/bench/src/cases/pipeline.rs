//! The pipeline: jobs enqueued, submitted, polled until their task is done, and their events written.

use std::time::Duration;

use anyhow::ensure;
use mjq_simulator::{Knobs, Odds, Span, SubmitStep};

use super::Variant;
use crate::{
    contestant::{ALL, ALL_STYLES, Contestant, EVERYBODY, ONLY_MJQ, PEERS, Settings, Work},
    figures::{Figures, quantile},
    meter::Meter,
    stage::{Durability, Stage},
    stream::{completed, latencies_ms, until_events},
};

/// One run of the pipeline.
#[derive(Clone, Copy)]
pub(super) struct Pipeline {
    pub(super) jobs: usize,
    /// The shortest and the longest task, in ms.
    pub(super) span_ms: (u64, u64),
    pub(super) durability: Durability,
    /// Settings of mjq beside the usual ones; the peers have none that help.
    pub(super) settings: Settings,
}

pub(super) const TWO_SECONDS: Pipeline =
    Pipeline { jobs: 2_000, span_ms: (2_000, 2_000), durability: Durability::EverySecond, settings: &[] };

pub(super) fn variants() -> Vec<Variant> {
    vec![
        Variant::new("2,000 jobs, tasks of 2 s", EVERYBODY, |who| TWO_SECONDS.run(who)),
        Variant::new("2,000 jobs, tasks of 1.5 to 3.5 s", ALL_STYLES, |who| {
            Pipeline { span_ms: (1_500, 3_500), ..TWO_SECONDS }.run(who)
        }),
    ]
}

/// The same with Redis keeping nothing, and with Redis keeping everything at once.
pub(super) fn durability() -> Vec<Variant> {
    vec![
        Variant::new("2,000 jobs, tasks of 2 s, AOF off", ALL, |who| {
            Pipeline { durability: Durability::Off, ..TWO_SECONDS }.run(who)
        }),
        Variant::new("2,000 jobs, tasks of 2 s, AOF always", ALL, |who| {
            Pipeline { durability: Durability::Always, ..TWO_SECONDS }.run(who)
        }),
    ]
}

/// mjq's three ways to learn of a finish.
pub(super) fn latency() -> Vec<Variant> {
    const MIXED: Pipeline = Pipeline { jobs: 1_000, span_ms: (1_500, 3_500), ..TWO_SECONDS };
    const LONG: Pipeline = Pipeline { jobs: 500, span_ms: (25_000, 60_000), ..TWO_SECONDS };
    const EAGER: Settings = &[("MJQ_POLL_MIN_MS", "100")];
    const LISTS: Settings = &[("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition")];
    const HOOKS: Settings = &[("MJQ_HOOK_URL", "http://{admin}")];
    vec![
        Variant::new("1,000 jobs, tasks of 1.5 to 3.5 s, single polls", ONLY_MJQ, |who| MIXED.run(who)),
        Variant::new("1,000 jobs, tasks of 1.5 to 3.5 s, single polls, MJQ_POLL_MIN_MS=100", ONLY_MJQ, |who| {
            Pipeline { settings: EAGER, ..MIXED }.run(who)
        }),
        Variant::new("1,000 jobs, tasks of 1.5 to 3.5 s, polls in lists", ONLY_MJQ, |who| {
            Pipeline { settings: LISTS, ..MIXED }.run(who)
        }),
        Variant::new("1,000 jobs, tasks of 1.5 to 3.5 s, hooks", ONLY_MJQ, |who| {
            Pipeline { settings: HOOKS, ..MIXED }.run(who)
        }),
        Variant::new("500 jobs, tasks of 25 to 60 s, single polls", ONLY_MJQ, |who| LONG.run(who)).once(),
    ]
}

const MANY_OPEN: Pipeline = Pipeline { jobs: 10_000, span_ms: (60_000, 60_000), ..TWO_SECONDS };

/// Many tasks that all wait.
pub(super) fn open() -> Vec<Variant> {
    vec![Variant::new("10,000 open tasks of 60 s", ONLY_MJQ, |who| MANY_OPEN.run(who)).once()]
}

/// The same for the peers, of which not all survive.
pub(super) fn open_peers() -> Vec<Variant> {
    vec![Variant::new("10,000 open tasks of 60 s", PEERS, |who| MANY_OPEN.run(who)).once()]
}

impl Pipeline {
    pub(super) async fn run(self, who: Contestant) -> anyhow::Result<Figures> {
        let stage = Stage::set(&self.knobs(), self.durability).await?;
        let worker = who.start(&stage, Work::Pipeline, self.settings).await?;
        let mut client = who.client(&stage).await?;
        let meter = Meter::start(&stage, &worker).await?;
        let reads = stage.redis_info("total_reads_processed").await?;

        client.enqueue_many(0, self.jobs).await?;
        let patience = Duration::from_millis(self.span_ms.1 * 2) + Duration::from_secs(30);
        let ended = until_events(&stage.redis, self.jobs as u64, patience).await;
        let spent = meter.read().await?;
        if let Err(error) = ended {
            return Err(error.context(worker.logs()));
        }

        let per_thousand = 1_000.0 / self.jobs as f64;
        let reads = stage.redis_info("total_reads_processed").await? - reads;
        let seen = stage.upstream.seen().await?;
        let jobs = self.jobs as f64;
        ensure!(seen.created == self.jobs as u64, "{} jobs, but {} tasks", self.jobs, seen.created);
        ensure!(completed(&stage.redis).await? == self.jobs, "not all jobs completed");
        let latencies = latencies_ms(&stage.redis).await?;
        let latency = |q| quantile(latencies.clone(), q).unwrap_or(f64::NAN);
        Ok(Figures::default()
            .lower("wall s", spent.seconds)
            .lower("CPU s per 1,000 jobs, worker + Redis", (spent.worker + spent.redis) * per_thousand)
            .lower("… of the worker", spent.worker * per_thousand)
            .lower("… of Redis", spent.redis * per_thousand)
            .plain("CPU s in all, worker", spent.worker)
            .lower("peak RSS MiB", worker.peak_rss_mib()?)
            .lower("finish to event p50 ms", latency(0.5))
            .lower("finish to event p99 ms", latency(0.99))
            .plain("polls per job", seen.polls as f64 / jobs)
            .plain("requests per job", seen.total() as f64 / jobs)
            .plain("reads by Redis per job (round trips)", reads / jobs))
    }

    /// Room for every job, and every second answer says that it has to wait (code 22), which is an acceptance too.
    fn knobs(self) -> Knobs {
        let ms = Duration::from_millis;
        Knobs {
            slots: self.jobs,
            queue: self.jobs,
            duration: Span::between(ms(self.span_ms.0), ms(self.span_ms.1)),
            submit_faults: vec![Odds { rate: 0.5, step: SubmitStep::code(22) }],
            ..Knobs::default()
        }
    }
}
