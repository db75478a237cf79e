//! The model against the scripts: the same random operations on both must leave the same queue behind.
//!
//! A test cannot set a real Redis's clock. So every wait here is an hour, and an hour passes for some jobs at a time:
//! their scores are set to the past on both sides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mjq_harness::{shared_redis, unique_queue};
use mjq_producer::{
    RedisLink,
    contract::{Code, Entry, EventType, Job, JobId, ModalInput, TaskId},
};
use redis::{FromRedisValue, streams::StreamRangeReply};
use tokio_util::sync::CancellationToken;

use super::{
    dice::Dice,
    ledger_model::{Admittance, Answer, Claim, ClaimedStep, LedgerModel, Outcome},
    number,
};
use crate::{
    ledger::{
        Admission, Admitted, Asserted, ClaimLimits, Gate, Holding, JobEnd, Ledger, Paused, Progress, Rate, Settled,
        Settlement, Step, TaskHint, UnreadableStep, Wanted,
    },
    lifecycle::{Ending, Flags, Moment, Next, Observation, Phase, Policy, Pressure, Record, Transition, event_of},
};

const HOUR: Duration = Duration::from_secs(3600);
/// No pause of polls is longer than this.
const PAUSE: Duration = Duration::from_secs(120);
/// The time between two acts, so that their scores differ in Redis as they do in the model.
const MOMENT: Duration = Duration::from_millis(2);
const PODS: [&str; 2] = ["pod-a", "pod-b"];
const LANES: [&str; 5] = ["due:submit", "due:later", "due:poll", "leases", "deadlines"];

/// Both ledgers, and the claims that the pods hold.
struct Both {
    dice: Dice,
    real: Ledger,
    model: LedgerModel,
    /// The model's clock, which advances by one with each act.
    now_ms: u64,
    requests: u64,
    /// Claimed steps, including the settled ones.
    steps: Vec<ClaimedStep>,
    /// When Redis granted each step, by its own clock.
    granted_ms: BTreeMap<(JobId, u64), u64>,
    last_claim: Option<Claim>,
    last_outcomes: Vec<Outcome>,
    /// Inputs, each with the stream entry that brought it.
    inputs: Vec<(JobId, String)>,
    story: String,
}

#[tokio::test]
async fn the_scripts_do_what_the_model_promises() -> anyhow::Result<()> {
    let seeds = match number("MJQ_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..12,
    };
    for seed in seeds {
        let mut both = Both::start(seed).await?;
        for act in 0..100 {
            both.act().await?;
            let (real, model) = (both.real_state().await?, both.model_state());
            assert_eq!(real, model, "after act {act}: MJQ_SIM_SEED={seed}\n{}", both.story);
        }
    }
    Ok(())
}

impl Both {
    async fn start(seed: u64) -> anyhow::Result<Self> {
        let link = RedisLink::open(shared_redis().await?.url())?;
        let real = Ledger::new(link, unique_queue().parse()?, HOUR, CancellationToken::new());
        Ok(Self {
            dice: Dice::seeded(seed),
            real,
            model: LedgerModel::default(),
            // Late enough that an earlier saturation no longer counts.
            now_ms: 1_000_000,
            requests: 0,
            steps: Vec::new(),
            granted_ms: BTreeMap::new(),
            last_claim: None,
            last_outcomes: Vec::new(),
            inputs: Vec::new(),
            story: String::new(),
        })
    }

    async fn act(&mut self) -> anyhow::Result<()> {
        self.let_a_moment_pass().await;
        match self.dice.below(26) {
            0..4 => self.admit().await,
            4..8 => self.claim().await,
            8 => self.claim_again().await,
            9..13 => self.settle().await,
            13 => self.settle_again().await,
            14 => self.renew().await,
            15 => self.cancel().await,
            16 => self.hint().await,
            17 => self.give_input().await,
            18 => self.steer().await,
            19 => self.reassert().await,
            20 => self.release().await,
            _ => self.let_time_pass().await,
        }
    }

    async fn let_a_moment_pass(&mut self) {
        tokio::time::sleep(MOMENT).await;
        self.now_ms += 1;
    }

    async fn admit(&mut self) -> anyhow::Result<()> {
        // With few ids and two bodies, known jobs and conflicts occur.
        let (id, body) = (self.some_job(), if self.dice.permille(100) { "other" } else { "cat" });
        let priority = *self.dice.pick(&["high", "normal", "low"]);
        let json = format!(
            r#"{{"id":"{id}","kind":"imagine","request":{{"prompt":"{body}"}},"options":{{"priority":"{priority}"}}}}"#
        );
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json.as_bytes()), 1 << 20) else { panic!("a valid job") };
        let mut job: Job = *job;
        if self.dice.permille(200) {
            job.options.run_at_ms = 9_000_000_000_000;
        }
        // A job's score comes from its priority and from the age that its entry tells, not from a clock.
        let record = Record { deadline_ms: 9_000_000_000_000, ..Record::admit(&job, self.now_ms, &Policy::default()) };
        writeln!(self.story, "admit {id} {body} {priority} at {}", job.options.run_at_ms)?;

        let mut command = redis::cmd("XADD");
        command.arg(self.real.queue().jobs_stream()).arg("*").arg("v").arg(1).arg("job").arg(&json);
        let entry: String = self.query(&command).await?;
        let digest = job.digest();
        let run_at_ms = job.options.run_at_ms;
        let admission = Admission { entry, id: id.clone(), json, job, record: record.clone() };
        let real = self.real.admit(&[admission], true).await?[0];
        let model = self.model.admit(&id, &digest, record, run_at_ms, self.now_ms);

        let told = match real {
            Admitted::New => Admittance::New,
            Admitted::Known => Admittance::Known,
            Admitted::Conflict => Admittance::Conflict,
            Admitted::Elsewhere => panic!("nobody else is here"),
        };
        assert_eq!(told, model, "{}", self.story);
        Ok(())
    }

    async fn claim(&mut self) -> anyhow::Result<()> {
        self.requests += 1;
        let claim = Claim {
            pod: (*self.dice.pick(&PODS)).to_owned(),
            request: self.requests,
            limit: *self.dice.pick(&[0, 1, 2, 4, 5, 8, 64]),
            submits: *self.dice.pick(&[0, 1, 2, 64, 64]),
            lease_ms: HOUR.as_millis() as u64,
            max_open: *self.dice.pick(&[0, 0, 1, 4]),
            polls_per_request: *self.dice.pick(&[1, 1, 50]),
        };
        self.last_claim = Some(claim.clone());
        self.claim_as(claim).await?;
        if self.dice.permille(300) {
            self.let_a_moment_pass().await;
            self.claim_again().await?;
        }
        Ok(())
    }

    /// Repeats the last claim, as after a lost answer.
    async fn claim_again(&mut self) -> anyhow::Result<()> {
        match self.last_claim.clone() {
            Some(claim) => self.claim_as(claim).await,
            None => Ok(()),
        }
    }

    async fn claim_as(&mut self, claim: Claim) -> anyhow::Result<()> {
        // Now and then one submit may exceed the open tasks. The test sets the time of the last one, because its own
        // pace is unknown.
        let tried_lately = self.dice.permille(500);
        self.model.upstream.tried_ms = if tried_lately { self.now_ms } else { 0 };
        self.set_upstream("tried_ms", if tried_lately { unix_ms()? } else { 0 }).await?;
        let no_limit = Rate::per_second(0.0);
        let limits = ClaimLimits {
            lease: Duration::from_millis(claim.lease_ms),
            max_open: u32::try_from(claim.max_open)?,
            submit_rate: no_limit,
            poll_rate: no_limit,
            probe: Duration::ZERO,
        };
        let polls_per_request = u32::try_from(claim.polls_per_request)?;
        let wanted = Wanted { steps: claim.limit, submits: claim.submits, polls_per_request };
        let real = self.real.claim(&claim.pod, &claim.request.to_string(), wanted, &limits).await?;
        let (steps, more_after) = self.model.claim(&claim, self.now_ms);
        writeln!(self.story, "{claim:?}\n  gives {:?}", steps.iter().map(told).collect::<Vec<_>>())?;

        let real_steps: Vec<_> = real.steps.iter().map(told_really).collect();
        assert_eq!(real_steps, steps.iter().map(told).collect::<Vec<_>>(), "{}", self.story);
        for (real, model) in real.steps.iter().zip(&steps) {
            assert_eq!(real.record, model.record, "{}", self.story);
            self.granted_ms.insert((real.job.clone(), real.fence), real.claimed_ms);
        }
        // The clocks differ, so only "at once", "later" and "never" are compared.
        let when = |ms: Option<u64>| ms.map(|ms| ms > 0);
        let real_more = when(real.more_after.map(|after| after.as_millis() as u64));
        assert_eq!(real_more, when(more_after), "when there is more: {}", self.story);
        self.steps.extend(steps);
        Ok(())
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        // A saturation within a second of another one is ignored, and the test's own pace is unknown.
        let lowered_ago = self.dice.permille(500);
        // With a time in the future, that second lasts almost two.
        let real_ms = if lowered_ago { 0 } else { unix_ms()? + 900 };
        self.model.upstream.lowered_ms = if lowered_ago { 0 } else { self.now_ms };
        self.set_upstream("lowered_ms", real_ms).await?;
        let mut outcomes: Vec<Outcome> = Vec::new();
        for _ in 0..=self.dice.below(3) {
            // Any step that was ever claimed, including stale and settled ones.
            let newest = self.steps.len().saturating_sub(6);
            let from = if self.dice.permille(700) { &self.steps[newest..] } else { &self.steps[..] };
            if from.is_empty() {
                return Ok(());
            }
            let step = self.dice.pick(from).clone();
            // Sometimes twice in one call, because a pod may get its own claim once more.
            if self.dice.permille(300) || !outcomes.iter().any(|outcome| outcome.job == step.job) {
                outcomes.push(self.outcome(&step));
            }
        }
        self.last_outcomes.clone_from(&outcomes);
        self.settle_as(&outcomes).await
    }

    /// Repeats the last settlements, as after a lost answer.
    async fn settle_again(&mut self) -> anyhow::Result<()> {
        let outcomes = self.last_outcomes.clone();
        // These pressures change limits at most once per second, so a repetition depends on the clock.
        let is_gauged =
            |outcome: &Outcome| matches!(outcome.transition.pressure, Pressure::Saturated(_) | Pressure::Throttled(_));
        if outcomes.is_empty() || outcomes.iter().any(is_gauged) {
            return Ok(());
        }
        self.settle_as(&outcomes).await
    }

    fn outcome(&mut self, step: &ClaimedStep) -> Outcome {
        let dice = &self.dice;
        let ends = [Phase::Completed, Phase::Failed, Phase::Cancelled];
        let goes_on = [Phase::Queued, Phase::Polling, Phase::Unknown, Phase::Held];
        let phase = *dice.pick(if dice.permille(120) { &ends[..] } else { &goes_on[..] });
        let delay = *dice.pick(&[Duration::ZERO, HOUR]);
        let next = match phase {
            Phase::Completed => ended(EventType::Completed, Code::Ok),
            Phase::Failed => ended(EventType::Failed, Code::UpstreamFailed),
            Phase::Cancelled => ended(EventType::Cancelled, Code::Cancelled),
            Phase::Queued if dice.permille(400) => Next::AfterParent(HOUR),
            Phase::Queued => Next::Submit(delay),
            _ => Next::Poll(delay),
        };
        let pressure = *dice.pick(&[
            Pressure::None,
            Pressure::None,
            Pressure::Unsent { claimed_ms: step.claimed_ms, place_ms: 0 },
            Pressure::Accepted,
            Pressure::Up,
            Pressure::Found,
            Pressure::Saturated(Duration::ZERO),
            Pressure::Saturated(PAUSE),
            Pressure::Throttled(PAUSE),
            Pressure::Down { claimed_ms: step.claimed_ms },
            Pressure::Away { claimed_ms: step.claimed_ms },
            Pressure::Misaddressed { claimed_ms: step.claimed_ms },
            Pressure::Lost { claimed_ms: step.claimed_ms },
            Pressure::Lost { claimed_ms: step.claimed_ms },
            Pressure::Lost { claimed_ms: step.claimed_ms },
        ]);
        let mut record = Record { phase, polls: step.record.polls + 1, ..step.record.clone() };
        // Each transition adds to the timeline, because the record's text tells the phase only there.
        record.timeline.push(Moment(self.now_ms, step.fence, phase));
        if matches!(next, Next::AfterParent(_)) {
            record.follows = Some(self.some_job());
        }
        let event = match next {
            Next::End(ending) => {
                let seen = Observation::NotBegun;
                Some(event_of(&step.job, &record, ending, &seen, self.now_ms, Vec::new()))
            }
            _ => None,
        };
        // Sometimes the pod knows of a claim that Redis has lost.
        let is_recent = dice.permille(300);
        let fence = step.fence + if is_recent && dice.permille(300) { 1 + dice.below(3) } else { 0 };
        let pressure = match pressure {
            Pressure::Unsent { .. }
            | Pressure::Down { .. }
            | Pressure::Away { .. }
            | Pressure::Misaddressed { .. }
            | Pressure::Lost { .. }
                if fence != step.fence =>
            {
                Pressure::None
            }
            pressure => pressure,
        };
        let transition = Transition { record, next, pressure };
        Outcome { job: step.job.clone(), fence, is_recent, transition, event }
    }

    async fn settle_as(&mut self, outcomes: &[Outcome]) -> anyhow::Result<()> {
        let settlements: Vec<Settlement> = outcomes.iter().map(|outcome| self.settlement(outcome)).collect();
        for outcome in outcomes {
            let Transition { record, next, pressure } = &outcome.transition;
            writeln!(
                self.story,
                "settle {} {} recent {}: {} {next:?} {pressure:?}",
                outcome.job, outcome.fence, outcome.is_recent, record.phase
            )?;
        }

        let real = self.real.settle(&settlements).await?;
        let model = self.model.settle(outcomes, self.now_ms);

        let told = real.into_iter().map(|settled| match settled {
            Settled::Written => Answer::Written,
            Settled::WrittenBefore => Answer::WrittenBefore,
            Settled::Stale => Answer::Stale,
            Settled::Restored => Answer::Restored,
            Settled::Gone => panic!("nothing goes"),
        });
        assert_eq!(told.collect::<Vec<_>>(), model, "{}", self.story);
        Ok(())
    }

    fn settlement(&self, outcome: &Outcome) -> Settlement {
        let Outcome { job, fence, is_recent, mut transition, event } = outcome.clone();
        if let Pressure::Unsent { claimed_ms, .. }
        | Pressure::Down { claimed_ms }
        | Pressure::Away { claimed_ms }
        | Pressure::Misaddressed { claimed_ms }
        | Pressure::Lost { claimed_ms } = &mut transition.pressure
        {
            *claimed_ms = self.granted_ms.get(&(job.clone(), fence)).copied().unwrap_or(0);
        }
        let kept_until_ms = kept_until_ms(is_recent);
        // The lanes are the same whether it is published or not.
        let progress = is_recent.then(|| Box::new(Progress { image_url: String::new(), keep: 10 }));
        let end = event.map(|event| Box::new(JobEnd { event, ran: None, revisit_after: None, follow_ups: Vec::new() }));
        Settlement { job, fence, kept_until_ms, transition, progress, end, job_json: None }
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        let held: Vec<(JobId, u64)> =
            self.steps.iter().rev().take(4).map(|step| (step.job.clone(), step.fence)).collect();
        let holdings: Vec<Holding> =
            held.iter().map(|(job, fence)| Holding { job: job.clone(), fence: *fence }).collect();
        writeln!(self.story, "renew {held:?}")?;

        let real = self.real.renew(&holdings, HOUR).await?;

        assert_eq!(real, self.model.renew(&held, HOUR.as_millis() as u64, self.now_ms), "{}", self.story);
        Ok(())
    }

    /// A pod has found Redis again, and reports the claims that it holds. Redis may have lost some of them.
    async fn reassert(&mut self) -> anyhow::Result<()> {
        let mut held: Vec<(ClaimedStep, bool)> = Vec::new();
        for step in self.steps.iter().rev().take(4) {
            let newer = if self.dice.permille(200) { 1 + self.dice.below(3) } else { 0 };
            held.push((ClaimedStep { fence: step.fence + newer, ..step.clone() }, self.dice.permille(500)));
        }
        let told: Vec<_> = held.iter().map(|(step, is_recent)| (&step.job, step.fence, is_recent)).collect();
        writeln!(self.story, "reassert {told:?}")?;
        let asserted: Vec<Asserted> = held.iter().map(asserted).collect();

        let (gate, real) = self.real.reassert(PODS[0], &asserted, HOUR, Gate::OPEN).await?;

        let model = self.model.reassert(PODS[0], &held, HOUR.as_millis() as u64, 0, self.now_ms);
        assert_eq!((gate == Gate::OPEN, real), (model.0 == 0, model.1), "{}", self.story);
        Ok(())
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        let job = self.some_job();
        writeln!(self.story, "cancel {job}")?;
        self.real.cancel(&job, None).await?;
        self.model.cancel(&job);
        Ok(())
    }

    async fn hint(&mut self) -> anyhow::Result<()> {
        let (job, task, goes_on) = (self.some_job(), TaskId::new("12463258"), self.dice.permille(500));
        let came_ms = self.model.jobs.get(&job).map(|row| row.record.enqueued_ms);
        let is_of_earlier_job = self.dice.permille(200);
        let enqueued_ms = if is_of_earlier_job { Some(1) } else { came_ms.filter(|_| self.dice.permille(500)) };
        writeln!(self.story, "hint {job} of {enqueued_ms:?}, goes on: {goes_on}")?;
        self.real.hint(&[TaskHint { job: job.clone(), task: Some(task.clone()), goes_on, enqueued_ms }]).await?;
        if !is_of_earlier_job {
            self.model.hint(&job, &task, goes_on, self.now_ms);
        }
        Ok(())
    }

    /// A pod cannot read what it has claimed. It releases the claim twice, as after a lost answer.
    async fn release(&mut self) -> anyhow::Result<()> {
        let newest = self.steps.len().saturating_sub(6);
        if newest == self.steps.len() {
            return Ok(());
        }
        let step = self.dice.pick(&self.steps[newest..]).clone();
        let claimed_ms = self.granted_ms[&(step.job.clone(), step.fence)];
        writeln!(self.story, "release {} under {}", step.job, step.fence)?;
        let unreadable = UnreadableStep { job: step.job.to_string(), fence: step.fence.to_string(), claimed_ms };
        for _ in 0..2 {
            self.real.release(std::slice::from_ref(&unreadable), HOUR).await?;
            self.model.release(&step, HOUR.as_millis() as u64, self.now_ms);
        }
        Ok(())
    }

    async fn give_input(&mut self) -> anyhow::Result<()> {
        if self.inputs.is_empty() || self.dice.permille(700) {
            let mut command = redis::cmd("XADD");
            command.arg(self.real.queue().jobs_stream()).arg("*").arg("v").arg(1).arg("job").arg("an input");
            let entry = self.query(&command).await?;
            self.inputs.push((self.some_job(), entry));
        }
        // Any known input is given, so that one that was given before is given again.
        let (job, entry) = self.dice.pick(&self.inputs).clone();
        writeln!(self.story, "input {entry} for {job}")?;
        let input = ModalInput { job: job.clone(), prompt: None, mask_base64: None };
        self.real.give_input(&entry, &input).await?;
        self.model.give_input(&job, &entry);
        Ok(())
    }

    /// An operator pauses or resumes the queue.
    async fn steer(&mut self) -> anyhow::Result<()> {
        let is_paused = self.dice.permille(300);
        writeln!(self.story, "paused: {is_paused}")?;
        match self.dice.permille(500) {
            true => {
                self.real.pause(Paused::All, is_paused).await?;
                self.model.upstream.is_paused = is_paused;
            }
            false => {
                self.real.pause(Paused::Submits, is_paused).await?;
                self.model.upstream.are_submits_paused = is_paused;
            }
        }
        Ok(())
    }

    /// An hour passes for one job in one place, for all jobs there, or for the upstream as a whole.
    async fn let_time_pass(&mut self) -> anyhow::Result<()> {
        if self.dice.permille(300) {
            writeln!(self.story, "the upstream's pause is over")?;
            (self.model.upstream.gate_ms, self.model.upstream.down_until_ms) = (0, 0);
            self.model.upstream.polls_gate_ms = 0;
            self.set_upstream("gate_ms", 0).await?;
            self.set_upstream("polls_gate_ms", 0).await?;
            return self.set_upstream("down_until_ms", 0).await;
        }
        let name = *self.dice.pick(&LANES[1..5]);
        let mut jobs: Vec<JobId> = self.lane(name).jobs().cloned().collect();
        if self.dice.permille(500) && !jobs.is_empty() {
            jobs = vec![self.dice.pick(&jobs).clone()];
        }
        for job in jobs {
            writeln!(self.story, "{job} is due in {name}")?;
            let score = 1 + self.dice.below(1000);
            let mut command = redis::cmd("ZADD");
            command.arg(self.real.key(name)).arg(score).arg(job.as_str());
            self.query::<u64>(&command).await?;
            self.lane_mut(name).add(&job, score);
        }
        Ok(())
    }

    fn some_job(&self) -> JobId {
        JobId::new(&format!("job-{}", self.dice.below(16))).unwrap()
    }

    fn lane(&self, name: &str) -> &super::lane::Lane {
        match name {
            "due:submit" => &self.model.submit,
            "due:later" => &self.model.later,
            "due:poll" => &self.model.poll,
            "leases" => &self.model.leases,
            _ => &self.model.deadlines,
        }
    }

    fn lane_mut(&mut self, name: &str) -> &mut super::lane::Lane {
        match name {
            "due:later" => &mut self.model.later,
            "due:poll" => &mut self.model.poll,
            "leases" => &mut self.model.leases,
            _ => &mut self.model.deadlines,
        }
    }

    async fn set_upstream(&self, field: &str, value: u64) -> anyhow::Result<()> {
        let mut command = redis::cmd("HSET");
        command.arg(self.real.key("upstream")).arg(field).arg(value);
        self.query::<u64>(&command).await.map(|_| ())
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> anyhow::Result<T> {
        Ok(self.real.link().query(command).await?)
    }

    /// The visible state of the real Redis, in lines.
    async fn real_state(&self) -> anyhow::Result<String> {
        let mut state = String::new();
        for name in LANES {
            let mut command = redis::cmd("ZRANGE");
            command.arg(self.real.key(name)).arg(0).arg(-1);
            writeln!(state, "{name}: {}", self.query::<Vec<String>>(&command).await?.join(" "))?;
        }
        for phase in [Phase::Held, Phase::Unknown] {
            let mut command = redis::cmd("ZRANGE");
            command.arg(self.real.key(&phase.to_string())).arg(0).arg(-1);
            let jobs: BTreeSet<String> = self.query::<Vec<String>>(&command).await?.into_iter().collect();
            writeln!(state, "{phase}: {jobs:?}")?;
        }
        let mut command = redis::cmd("XRANGE");
        command.arg(self.real.key("ended")).arg("-").arg("+");
        let listed: StreamRangeReply = self.query(&command).await?;
        let listed: Vec<String> = listed.ids.iter().filter_map(|entry| entry.get("jobs")).collect();
        let listed: BTreeSet<&str> = listed.iter().flat_map(|jobs| jobs.split(' ')).collect();
        // If a claim that Redis had lost has opened an ended job again, the job stays listed until it is swept.
        let ended: Vec<&str> = self.model.ended().filter(|job| listed.contains(job)).collect();
        writeln!(state, "ended: {}", ended.join(" "))?;
        for job in self.model.jobs.keys() {
            let mut command = redis::cmd("GET");
            command.arg(self.real.job_key("job", job));
            let text: String = self.query(&command).await?;
            let mut words = text.split(' ');
            // The record's text begins with the fence of the next claim.
            let fence = words.next().unwrap_or_default().parse::<u64>()? - 1;
            let phase = words.next().unwrap_or_default();
            type Fields = (Option<u32>, Option<u8>, Option<String>, Option<u32>);
            let mut command = redis::cmd("HMGET");
            command.arg(self.real.job_key("more", job)).arg(&["rc", "c", "hint", "mn"]);
            let (reclaims, cancelled, hint, inputs): Fields = self.query(&command).await?;
            let (reclaims, inputs) = (reclaims.unwrap_or(0), inputs.unwrap_or(0));
            let is_cancelled = cancelled.is_some();
            writeln!(state, "{job}: {fence} {phase} {reclaims} {is_cancelled} {hint:?} {inputs}")?;
        }
        let mut command = redis::cmd("XRANGE");
        command.arg(self.real.queue().events_stream()).arg("-").arg("+");
        let events: StreamRangeReply = self.query(&command).await?;
        for event in events.ids {
            let field = |name: &str| event.get::<String>(name).unwrap_or_default();
            // A conflict event comes from admission, not from the end of a job.
            if field("type") != "rejected" {
                writeln!(state, "event {} {} {}", field("job"), field("type"), field("code"))?;
            }
        }
        type Shared = (Option<f64>, Option<u32>, Option<u64>, Option<u32>, Option<String>, Option<u32>);
        let mut command = redis::cmd("HMGET");
        command.arg(self.real.key("upstream")).arg(&["limit", "down", "probing", "lost", "cause", "full"]);
        let (limit, down, probing, lost, cause, full): Shared = self.query(&command).await?;
        let (limit, down) = (limit.unwrap_or(0.0), down.unwrap_or(0));
        let (lost, cause) = (lost.unwrap_or(0), cause.unwrap_or_default());
        let (probing, full) = (probing.is_some(), full.unwrap_or(0));
        writeln!(state, "limit {limit:.2}, full {full}, down {down}, probing {probing}, lost {lost}, {cause}")?;
        Ok(state)
    }

    /// The same state of the model.
    fn model_state(&self) -> String {
        let mut state = String::new();
        for name in LANES {
            let jobs: Vec<&str> = self.lane(name).jobs().map(JobId::as_str).collect();
            let _ = writeln!(state, "{name}: {}", jobs.join(" "));
        }
        for phase in [Phase::Held, Phase::Unknown] {
            let jobs = self.model.jobs.iter().filter(|(_, row)| row.phase == phase).map(|(job, _)| job.to_string());
            let _ = writeln!(state, "{phase}: {:?}", jobs.collect::<BTreeSet<_>>());
        }
        let _ = writeln!(state, "ended: {}", self.model.ended().collect::<Vec<_>>().join(" "));
        for (job, row) in &self.model.jobs {
            let task = row.hint.as_ref().map(TaskId::as_str);
            // With the mark `+`, which precedes the task of a reported end.
            let hint = match row.is_end_told {
                true => Some(format!("+{}", task.unwrap_or_default())),
                false => task.map(str::to_owned),
            };
            let (fence, phase, reclaims, is_cancelled, inputs) =
                (row.last, row.phase, row.reclaims, row.is_cancelled, row.inputs);
            let _ = writeln!(state, "{job}: {fence} {phase} {reclaims} {is_cancelled} {hint:?} {inputs}");
        }
        for event in &self.model.events {
            let _ = writeln!(state, "event {} {} {}", event.job, event.event_type.as_str(), event.code.as_str());
        }
        let shared = &self.model.upstream;
        let (limit, full, down, probing) = (shared.limit, shared.full, shared.down, shared.probing.is_some());
        let (lost, cause) = (shared.lost, shared.cause.map(|cause| format!("{cause:?}").to_lowercase()));
        let cause = cause.unwrap_or_default();
        let _ = writeln!(state, "limit {limit:.2}, full {full}, down {down}, probing {probing}, lost {lost}, {cause}");
        state
    }
}

fn ended(event_type: EventType, code: Code) -> Next {
    Next::End(Ending { event_type, code })
}

fn asserted((step, is_recent): &(ClaimedStep, bool)) -> Asserted {
    let ClaimedStep { job, fence, record, flags, claimed_ms } = step.clone();
    let now = Instant::now();
    let step = Step { job, fence, record, flags, job_json: None, claimed_ms, claimed_at: now, place_until: now };
    Asserted { step: Arc::new(step), kept_until_ms: kept_until_ms(*is_recent) }
}

/// No record of this test is ever swept.
fn kept_until_ms(is_recent: bool) -> u64 {
    if is_recent { u64::MAX >> 11 } else { 0 }
}

type Told = (String, u64, Phase, bool, bool, u32, u32, Option<TaskId>, bool);

fn told(step: &ClaimedStep) -> Told {
    tell(&step.job, step.fence, step.record.phase, &step.flags)
}

fn told_really(step: &Step) -> Told {
    tell(&step.job, step.fence, step.record.phase, &step.flags)
}

fn tell(job: &JobId, fence: u64, phase: Phase, flags: &Flags) -> Told {
    let Flags { is_reclaimed, is_cancelled, inputs, reclaims, is_end_told, .. } = *flags;
    (
        job.to_string(),
        fence,
        phase,
        is_reclaimed,
        is_cancelled,
        inputs,
        reclaims,
        flags.hinted_task.clone(),
        is_end_told,
    )
}

fn unix_ms() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}
