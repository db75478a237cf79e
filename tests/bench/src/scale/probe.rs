//! The probe: each act of the ledger by itself, many times, with Redis's CPU read before and after.
//!
//! The calls are those that the engine makes. What differs is that each kind of act has its own stretch of time, so
//! that its share of Redis's CPU can be told.

use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_producer::{RedisLink, contract::QueueName};
use mjq_simulator::Knobs;
use mjq_worker::{
    ledger::{ClaimLimits, Intake, Ledger, Settlement, Step},
    lifecycle::Policy,
};
use redis::streams::StreamReadReply;
use tokio_util::sync::CancellationToken;

use super::{
    act::{Act, Pace},
    outcome,
};
use crate::{
    contestant::Contestant,
    figures::Figures,
    peers::ledger::{admission, at_most, no_limits},
    stage::{Durability, Stage},
    stream::{EVENTS, QUEUE},
};

const POD: &str = "probe";

/// What acts cost at one pace, alone and among many.
pub(super) async fn costs(pace: Pace) -> anyhow::Result<Figures> {
    let (few, many) = match pace {
        Pace::Calm => (250, 1_600),
        Pace::Busy => (1_000, 6_400),
    };
    let alone = Probe::set(few, 1, pace).await?.run().await?;
    let among = Probe::set(many, pace.many(), pace).await?.run().await?;
    let mut figures = Figures::default();
    for (act, micros) in &alone.micros {
        if !matches!(act, Act::ReadEvent | Act::Forget) {
            figures = figures.lower(act.name(pace, false), *micros);
        }
    }
    for (act, micros) in &among.micros {
        if !matches!(act, Act::Enqueue | Act::ClaimNothing) {
            figures = figures.lower(act.name(pace, true), *micros);
        }
    }
    if pace == Pace::Busy {
        // More jobs: what Redis needs anyway is a smaller part of it.
        figures = figures.plain("bytes per waiting job", among.bytes_waiting);
        figures = figures.plain("bytes per open job", among.bytes_open);
    }
    Ok(figures)
}

#[derive(Default)]
struct Spent {
    /// Of Redis, per act.
    micros: Vec<(Act, f64)>,
    bytes_waiting: f64,
    bytes_open: f64,
}

struct Probe {
    stage: Stage,
    ledger: Ledger,
    intake: Intake,
    policy: Policy,
    jobs: usize,
    batch: usize,
    serial: u64,
    /// CPU of Redis when the stretch of time began.
    since: f64,
    pace: Pace,
    micros: Vec<(Act, f64)>,
}

impl Probe {
    async fn set(jobs: usize, batch: usize, pace: Pace) -> anyhow::Result<Self> {
        let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
        let ledger = ledger(&stage, Duration::from_secs(24 * 3600))?;
        let intake = Intake::new(RedisLink::open(&stage.redis_url())?, &ledger);
        // Makes the group.
        ledger.read_intake(&intake, batch).await?;
        let (policy, micros) = (Policy::default(), Vec::new());
        Ok(Self { stage, ledger, intake, policy, jobs, batch, serial: 0, since: 0.0, pace, micros })
    }

    async fn run(mut self) -> anyhow::Result<Spent> {
        let mut bytes = [0.0; 3];
        bytes[0] = self.stage.redis_info("used_memory").await?;
        let mut client = Contestant::Mjq.client(&self.stage).await?;
        self.begin().await?;
        for number in 0..self.jobs {
            client.enqueue(number).await?;
            if self.batch == 1 {
                self.pause().await;
            }
        }
        self.note(Act::Enqueue).await?;
        bytes[1] = self.stage.redis_info("used_memory").await?;
        self.begin().await?;
        self.admit().await?;
        self.note(Act::Admit).await?;
        let steps = self.claim().await?;
        self.note(Act::ClaimSubmit).await?;
        self.settle(steps, outcome::accepted).await?;
        self.note(Act::SettleSubmit).await?;
        bytes[2] = self.stage.redis_info("used_memory").await?;

        self.begin().await?;
        let steps = self.claim().await?;
        self.note(Act::ClaimPoll).await?;
        if self.batch == 1 {
            for _ in 0..self.jobs {
                self.claim_once(1).await?;
                self.pause().await;
            }
        }
        self.note(Act::ClaimNothing).await?;
        self.settle(steps, outcome::running).await?;
        self.note(Act::SettlePoll).await?;
        let steps = self.claim().await?;
        self.begin().await?;
        self.settle(steps, outcome::ended).await?;
        self.note(Act::End).await?;
        self.read_events().await?;
        self.note(Act::ReadEvent).await?;

        // What has ended has done so long ago, by a ledger that keeps nothing.
        let forgetful = ledger(&self.stage, Duration::from_millis(1))?;
        self.begin().await?;
        while forgetful.sweep().await? > 0 {}
        self.note(Act::Forget).await?;
        let per_job = |at: usize| (bytes[at] - bytes[0]) / self.jobs as f64;
        Ok(Spent { bytes_waiting: per_job(1), bytes_open: per_job(2), micros: self.micros })
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        self.since = self.stage.redis_cpu_s().await?;
        Ok(())
    }

    /// Notes what the act has cost per job since the last time, and begins anew.
    async fn note(&mut self, act: Act) -> anyhow::Result<()> {
        let before = self.since;
        self.begin().await?;
        self.micros.push((act, (self.since - before) * 1e6 / self.jobs as f64));
        Ok(())
    }

    async fn pause(&self) {
        if self.pace == Pace::Calm {
            tokio::time::sleep(self.pace.pause()).await;
        }
    }

    async fn admit(&self) -> anyhow::Result<()> {
        let mut admitted = 0;
        while admitted < self.jobs {
            let entries = self.ledger.read_present_intake(&self.intake, self.batch).await?;
            ensure!(!entries.is_empty(), "{admitted} of {} jobs are in the stream", self.jobs);
            let admissions: Vec<_> = entries.into_iter().filter_map(|entry| admission(entry, &self.policy)).collect();
            admitted += self.ledger.admit(&admissions, true).await?.len();
            self.pause().await;
        }
        Ok(())
    }

    async fn claim_once(&mut self, limit: usize) -> anyhow::Result<Vec<Step>> {
        self.serial += 1;
        let limits = ClaimLimits { lease: Duration::from_secs(600), ..no_limits() };
        Ok(self.ledger.claim(POD, &self.serial.to_string(), at_most(limit), &limits).await?.steps)
    }

    async fn claim(&mut self) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(self.jobs);
        while steps.len() < self.jobs {
            let more = self.claim_once(self.batch).await?;
            ensure!(!more.is_empty(), "{} of {} steps are due", steps.len(), self.jobs);
            steps.extend(more);
            self.pause().await;
        }
        Ok(steps)
    }

    async fn settle(
        &self,
        steps: Vec<Step>,
        settlement: impl Fn(Step, &Policy) -> anyhow::Result<Settlement>,
    ) -> anyhow::Result<()> {
        let all: Vec<_> =
            steps.into_iter().map(|step| settlement(step, &self.policy)).collect::<anyhow::Result<_>>()?;
        for batch in all.chunks(self.batch) {
            self.ledger.settle(batch).await?;
            self.pause().await;
        }
        Ok(())
    }

    async fn read_events(&self) -> anyhow::Result<()> {
        let mut redis = self.stage.redis.clone();
        let () = redis::cmd("XGROUP").arg(&["CREATE", EVENTS, "probe", "0"]).query_async(&mut redis).await?;
        loop {
            let mut read = redis::cmd("XREADGROUP");
            read.arg(&["GROUP", "probe", POD, "COUNT"]).arg(self.batch).arg(&["STREAMS", EVENTS, ">"]);
            let reply: Option<StreamReadReply> = read.query_async(&mut redis).await?;
            let ids: Vec<String> =
                reply.unwrap_or_default().keys.into_iter().flat_map(|key| key.ids).map(|entry| entry.id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let () = redis::cmd("XACK").arg(EVENTS).arg("probe").arg(&ids).query_async(&mut redis).await?;
            self.pause().await;
        }
    }
}

fn ledger(stage: &Stage, retention: Duration) -> anyhow::Result<Ledger> {
    let queue = QueueName::new(QUEUE).context("a bad queue name")?;
    Ok(Ledger::new(RedisLink::open(&stage.redis_url())?, queue, retention, CancellationToken::new()))
}
