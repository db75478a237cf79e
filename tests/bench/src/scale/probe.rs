//! The probe: each act of the ledger by itself, many times, with Redis's CPU read before and after.
//!
//! The calls are those that the engine makes. What differs is that each kind of act has its own stretch of time, so
//! that its share of Redis's CPU can be told.

use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_producer::{
    RedisLink,
    contract::{QueueName, TaskId},
};
use mjq_simulator::Knobs;
use mjq_worker::{
    ledger::{ClaimLimits, Intake, Ledger, Settlement, Step},
    lifecycle::{Circumstances, Next, Observation, Policy, TaskReport, event_of, next},
};
use redis::streams::StreamReadReply;
use serde_json::{json, value::to_raw_value};
use tokio_util::sync::CancellationToken;

use crate::{
    contestant::Contestant,
    figures::Figures,
    peers::ledger::{admission, no_limits},
    stage::{Durability, Stage},
    stream::{EVENTS, QUEUE},
};

/// How many go together where many do.
pub(super) const MANY: usize = 64;
const POD: &str = "probe";

/// What acts cost that go alone, and what they cost among many.
pub(super) async fn costs() -> anyhow::Result<Figures> {
    let (alone, many) = (Probe::set(1_000, 1).await?.run().await?, Probe::set(6_400, MANY).await?.run().await?);
    Ok(Figures::default()
        .lower("enqueue µs", alone.enqueue)
        .lower("admit µs, alone", alone.admit)
        .lower("admit µs, among many", many.admit)
        .lower("claim of a submit µs, alone", alone.claim_submit)
        .lower("claim of a submit µs, among many", many.claim_submit)
        .lower("claim of a look µs, alone", alone.claim_look)
        .lower("claim of a look µs, among many", many.claim_look)
        .lower("claim that finds nothing µs", alone.claim_nothing)
        .lower("settle of a submit µs, alone", alone.settle_submit)
        .lower("settle of a submit µs, among many", many.settle_submit)
        .lower("settle of a look µs, alone", alone.settle_look)
        .lower("settle of a look µs, among many", many.settle_look)
        .lower("end with its event µs, alone", alone.end)
        .lower("end with its event µs, among many", many.end)
        .lower("event read and acknowledged µs", many.read_event)
        .lower("record and event swept µs", many.forget)
        .plain("bytes per waiting job", many.bytes_waiting)
        .plain("bytes per open job", many.bytes_open))
}

/// Microseconds of Redis per act, and bytes per job.
#[derive(Default)]
struct Spent {
    enqueue: f64,
    admit: f64,
    claim_submit: f64,
    settle_submit: f64,
    claim_look: f64,
    claim_nothing: f64,
    settle_look: f64,
    end: f64,
    read_event: f64,
    forget: f64,
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
}

impl Probe {
    async fn set(jobs: usize, batch: usize) -> anyhow::Result<Self> {
        let stage = Stage::set(&Knobs::default(), Durability::EverySecond).await?;
        let ledger = ledger(&stage, Duration::from_secs(24 * 3600))?;
        let intake = Intake::new(RedisLink::open(&stage.redis_url())?, &ledger, POD);
        // Makes the group.
        ledger.read_intake(&intake, batch).await?;
        Ok(Self { stage, ledger, intake, policy: Policy::default(), jobs, batch, serial: 0, since: 0.0 })
    }

    async fn run(mut self) -> anyhow::Result<Spent> {
        let mut spent = Spent::default();
        let jobs = self.jobs as f64;
        let empty = self.stage.redis_info("used_memory").await?;
        let mut client = Contestant::Mjq.client(&self.stage).await?;
        self.begin().await?;
        for number in 0..self.jobs {
            client.enqueue(number).await?;
        }
        spent.enqueue = self.micros_each().await?;
        spent.bytes_waiting = (self.stage.redis_info("used_memory").await? - empty) / jobs;
        self.begin().await?;
        self.admit().await?;
        spent.admit = self.micros_each().await?;

        let steps = self.claim().await?;
        spent.claim_submit = self.micros_each().await?;
        self.settle(steps, Self::accepted).await?;
        spent.settle_submit = self.micros_each().await?;
        spent.bytes_open = (self.stage.redis_info("used_memory").await? - empty) / jobs;

        self.begin().await?;
        let steps = self.claim().await?;
        spent.claim_look = self.micros_each().await?;
        for _ in 0..self.jobs {
            self.claim_once(self.batch).await?;
        }
        spent.claim_nothing = self.micros_each().await?;
        self.settle(steps, Self::running).await?;
        spent.settle_look = self.micros_each().await?;

        let steps = self.claim().await?;
        self.begin().await?;
        self.settle(steps, Self::ended).await?;
        spent.end = self.micros_each().await?;
        self.read_events().await?;
        spent.read_event = self.micros_each().await?;

        // What has ended has done so long ago, by a ledger that keeps nothing.
        let forgetful = ledger(&self.stage, Duration::from_millis(1))?;
        self.begin().await?;
        while forgetful.sweep().await? > 0 {}
        spent.forget = self.micros_each().await?;
        Ok(spent)
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        self.since = self.stage.redis_cpu_s().await?;
        Ok(())
    }

    /// Microseconds per job since the last time, and begins anew.
    async fn micros_each(&mut self) -> anyhow::Result<f64> {
        let before = self.since;
        self.begin().await?;
        Ok((self.since - before) * 1e6 / self.jobs as f64)
    }

    async fn admit(&self) -> anyhow::Result<()> {
        let mut admitted = 0;
        while admitted < self.jobs {
            let entries = self.ledger.read_intake(&self.intake, self.batch).await?;
            ensure!(!entries.is_empty(), "{admitted} of {} jobs are in the stream", self.jobs);
            let admissions: Vec<_> = entries.into_iter().filter_map(|entry| admission(entry, &self.policy)).collect();
            admitted += self.ledger.admit(&admissions).await?.len();
        }
        Ok(())
    }

    async fn claim_once(&mut self, limit: usize) -> anyhow::Result<Vec<Step>> {
        self.serial += 1;
        let limits = ClaimLimits { lease: Duration::from_secs(600), ..no_limits() };
        Ok(self.ledger.claim(POD, &self.serial.to_string(), limit, &limits, 1).await?.steps)
    }

    async fn claim(&mut self) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(self.jobs);
        while steps.len() < self.jobs {
            let more = self.claim_once(self.batch).await?;
            ensure!(!more.is_empty(), "{} of {} steps are due", steps.len(), self.jobs);
            steps.extend(more);
        }
        Ok(steps)
    }

    async fn settle(
        &self,
        steps: Vec<Step>,
        settlement: impl Fn(&Self, Step) -> anyhow::Result<Settlement>,
    ) -> anyhow::Result<()> {
        let all: Vec<_> = steps.into_iter().map(|step| settlement(self, step)).collect::<anyhow::Result<_>>()?;
        for batch in all.chunks(self.batch) {
            self.ledger.settle(batch).await?;
        }
        Ok(())
    }

    fn accepted(&self, step: Step) -> anyhow::Result<Settlement> {
        let task = TaskId::new("1730621826053455");
        self.settlement(step, &Observation::Accepted { task, queue_position: 0 })
    }

    fn running(&self, step: Step) -> anyhow::Result<Settlement> {
        let report = TaskReport { status: "IN_PROGRESS".to_owned(), progress: Some(46), ..TaskReport::default() };
        self.settlement(step, &Observation::Running(report))
    }

    fn ended(&self, step: Step) -> anyhow::Result<Settlement> {
        let image_url = "http://127.0.0.1/image/1730621826053455.png".to_owned();
        let prompt = "a lighthouse in a storm, oil on canvas, no. 1000 --ar 3:2";
        let button =
            json!({"customId": "MJ::JOB::upsample::1::0123456789abcdef", "emoji": "", "label": "U1", "type": 2});
        let raw = to_raw_value(&json!({
            "id": "1730621826053455", "action": "IMAGINE", "status": "SUCCESS", "prompt": prompt, "promptEn": prompt,
            "description": format!("/imagine {prompt}"), "progress": "100%", "imageUrl": image_url, "failReason": null,
            "buttons": vec![button; 9],
        }))?;
        let status = "SUCCESS".to_owned();
        self.settlement(
            step,
            &Observation::Succeeded(TaskReport { status, image_url, raw: Some(raw), ..TaskReport::default() }),
        )
    }

    /// What comes of the step; a next one is due at once.
    fn settlement(&self, step: Step, seen: &Observation) -> anyhow::Result<Settlement> {
        let Step { job, fence, record, claimed_ms, .. } = step;
        let (now_ms, policy) = (claimed_ms, &self.policy);
        let at = Circumstances { now_ms, claimed_ms, jitter: 0.5, fence, reclaims: 0, pace: None, policy };
        let mut transition = next(&record, seen, at)?;
        let mut event = None;
        match transition.next {
            Next::End(ending) => event = Some(event_of(&job, &transition.record, ending, seen, now_ms, Vec::new())),
            _ => transition.next = Next::Poll(Duration::ZERO),
        }
        let ran_ms = event.as_ref().map(|_| 2_000);
        let (revisit_after, follow_ups) = (None, Vec::new());
        Ok(Settlement { job, fence, is_certain: true, transition, ran_ms, revisit_after, event, follow_ups })
    }

    async fn read_events(&self) -> anyhow::Result<()> {
        let mut redis = self.stage.redis.clone();
        let () = redis::cmd("XGROUP").arg(&["CREATE", EVENTS, "probe", "0"]).query_async(&mut redis).await?;
        loop {
            let mut read = redis::cmd("XREADGROUP");
            read.arg(&["GROUP", "probe", POD, "COUNT"]).arg(MANY).arg(&["STREAMS", EVENTS, ">"]);
            let reply: Option<StreamReadReply> = read.query_async(&mut redis).await?;
            let ids: Vec<String> =
                reply.unwrap_or_default().keys.into_iter().flat_map(|key| key.ids).map(|entry| entry.id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let () = redis::cmd("XACK").arg(EVENTS).arg("probe").arg(&ids).query_async(&mut redis).await?;
        }
    }
}

fn ledger(stage: &Stage, retention: Duration) -> anyhow::Result<Ledger> {
    let queue = QueueName::new(QUEUE).context("a bad queue name")?;
    Ok(Ledger::new(RedisLink::open(&stage.redis_url())?, queue, retention, CancellationToken::new()))
}
