//! A pod: it claims, performs and settles as the engine does, and can die between any two of its acts.
//!
//! The decisions are the real ones: [`Act::of`], [`next`], [`event_of`], the policy. This file models the order of acts
//! of the engine's `claimer`, `executor`, `settler`, `renewer` and `reasserter`.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use mjq_producer::contract::{JobId, TaskId};
use tokio::{task::JoinSet, time::sleep};

use super::{
    customers::report,
    ledger_model::{Answer, Claim, ClaimedStep, LedgerModel, Outcome},
    nemesis::DRAIN,
    sabotage::Sabotage,
    upstream::Reply,
    world::World,
};
use crate::lifecycle::{
    Act, Busy, Circumstances, Next, Observation, Phase, Pressure, event_of, next, policy::exponential,
};

pub(super) struct Pod {
    world: Rc<World>,
    name: String,
    number: u64,
    is_draining: Rc<Cell<bool>>,
    held: RefCell<BTreeMap<(JobId, u64), Lease>>,
    /// When the pod last saw the upstream take a job.
    accepted_ms: Cell<u64>,
    shown_ms: Cell<u64>,
    /// The outcomes of the pod's latest submits, with their times.
    submits: RefCell<Vec<(u64, Outcome)>>,
}

/// For each job, the pod that claimed it last, its phase, and its number of reclaims.
type Holders = BTreeMap<JobId, (String, Phase, u32)>;

#[derive(Clone)]
struct Lease {
    step: ClaimedStep,
    /// When the claim was asked for. `begun_ms` is when the lease was last renewed.
    claimed_ms: u64,
    begun_ms: u64,
    is_lost: bool,
}

impl Pod {
    const MAX_IDLE: Duration = Duration::from_secs(1);
    const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(4);

    pub(super) fn new(world: Rc<World>, name: String, number: u64, is_draining: Rc<Cell<bool>>) -> Self {
        Self {
            world,
            name,
            number,
            is_draining,
            held: RefCell::default(),
            accepted_ms: Cell::default(),
            shown_ms: Cell::default(),
            submits: RefCell::default(),
        }
    }

    /// Works until the pod drains. To drop this future is to kill the pod.
    pub(super) async fn run(self: Rc<Self>) {
        let mut steps = JoinSet::new();
        let mut renewer = JoinSet::new();
        renewer.spawn_local(self.clone().renew());
        renewer.spawn_local(self.clone().testify());
        self.world.ledger.borrow_mut().reassertion.pods.insert(self.name.clone());
        for request in 0.. {
            if self.is_draining.get() {
                break;
            }
            let (claimed, asked_ms, more_after) = self.claim(request).await;
            for step in claimed {
                self.hold(&step, asked_ms);
                steps.spawn_local(self.clone().perform(step));
            }
            while steps.try_join_next().is_some() {}
            let idle = more_after.map_or(Self::MAX_IDLE, Duration::from_millis);
            self.nap(idle.clamp(Duration::from_millis(4), Self::MAX_IDLE)).await;
            while self.held.borrow().len() >= self.world.weather.slots {
                self.nap(Duration::from_millis(20)).await;
            }
        }
        let _ =
            tokio::time::timeout(Self::UPSTREAM_TIMEOUT + DRAIN, async { while steps.join_next().await.is_some() {} })
                .await;
        self.world.ledger.borrow_mut().reassertion.pods.remove(&self.name);
        if !steps.is_empty() {
            // The pod ends without waiting for its steps, like a pod whose Redis hangs.
            self.world.troubled.borrow_mut().insert(self.name.clone());
            let held: Vec<JobId> = self.held.borrow().keys().map(|(job, _)| job.clone()).collect();
            self.world.ambiguous.borrow_mut().extend(held);
        }
    }

    async fn claim(&self, request: u64) -> (Vec<ClaimedStep>, u64, Option<u64>) {
        let weather = &self.world.weather;
        let claim = Claim {
            pod: self.name.clone(),
            request,
            limit: weather.slots - self.held.borrow().len().min(weather.slots),
            submits: usize::MAX,
            lease_ms: weather.lease_ms,
            max_open: weather.max_open,
            polls_per_request: 1,
        };
        let holders = |ledger: &LedgerModel| -> Holders {
            let rows = ledger.jobs.iter();
            rows.map(|(job, row)| (job.clone(), (row.holder.clone(), row.phase, row.reclaims))).collect()
        };
        let ((steps, more_after), asked_ms) = self
            .call(|ledger, now_ms| {
                let before = holders(ledger);
                let claimed = ledger.claim(&claim, now_ms);
                claimed.0.iter().for_each(|step| self.check_takeover(step, &before));
                claimed
            })
            .await;
        (steps, asked_ms, more_after)
    }

    /// Checks that only jobs of pods that had trouble are taken over.
    fn check_takeover(&self, step: &ClaimedStep, before: &Holders) {
        let (holder, phase, reclaims) = &before[&step.job];
        let told = || format!("{} {} claims it, fence {}, {phase}, {:?}", step.job, self.name, step.fence, step.flags);
        self.world.note(told);
        if step.flags.reclaims == *reclaims {
            return;
        }
        self.world.tally.borrow_mut().count("reclaimed");
        if !self.world.troubled.borrow().contains(holder) {
            self.world.problem(format!("{} was taken over from {holder}, which was well", step.job));
        }
        if *phase == Phase::Submitting {
            self.world.ambiguous.borrow_mut().insert(step.job.clone());
        }
    }

    fn hold(&self, step: &ClaimedStep, asked_ms: u64) {
        let lease = Lease { step: step.clone(), claimed_ms: asked_ms, begun_ms: asked_ms, is_lost: false };
        self.held.borrow_mut().insert((step.job.clone(), step.fence), lease);
    }

    async fn renew(self: Rc<Self>) {
        let lease_ms = self.world.weather.lease_ms;
        loop {
            self.nap(Duration::from_millis(lease_ms / 3)).await;
            let held: Vec<(JobId, u64)> = self.held.borrow().keys().cloned().collect();
            if held.is_empty() || self.world.sabotage == Some(Sabotage::NoRenewal) {
                continue;
            }
            let (lost, asked_ms) = self.call(|ledger, now_ms| ledger.renew(&held, lease_ms, now_ms)).await;
            let mut leases = self.held.borrow_mut();
            for key in &held {
                let Some(lease) = leases.get_mut(key) else { continue };
                match lost.contains(&key.0) {
                    true => lease.is_lost = true,
                    false => lease.begun_ms = asked_ms,
                }
            }
        }
    }

    /// Reports to each new server the pod's claims and submits, as the reasserter does.
    async fn testify(self: Rc<Self>) {
        const REACH_MS: u64 = 600_000;
        let (world, lease_ms) = (&self.world, self.world.weather.lease_ms);
        let mut server = None;
        loop {
            while server == Some(world.server()) {
                self.nap(Duration::from_millis(100)).await;
            }
            let away_ms = world.now_ms();
            server = Some(world.server());
            if world.sabotage == Some(Sabotage::SaysNothing) {
                continue;
            }
            // The pod learns of the new server with its next call.
            self.nap(world.dice.ms(0, 900)).await;
            let ask = |ledger: &mut LedgerModel, now_ms| ledger.reassert(&self.name, &[], lease_ms, 0, now_ms);
            let ((mut gate, _), _) = self.call(ask).await;
            loop {
                self.tell_all(away_ms.saturating_sub(REACH_MS)).await;
                let told = gate;
                let tell = |ledger: &mut LedgerModel, now_ms| ledger.reassert(&self.name, &[], lease_ms, told, now_ms);
                (gate, _) = self.call(tell).await.0;
                if gate == told || gate == 0 {
                    break;
                }
            }
        }
    }

    async fn tell_all(&self, since_ms: u64) {
        let lease_ms = self.world.weather.lease_ms;
        let held: Vec<(ClaimedStep, bool)> = {
            let held = self.held.borrow();
            held.values().map(|lease| (lease.step.clone(), true)).collect()
        };
        let ((_, restored), _) =
            self.call(|ledger, now_ms| ledger.reassert(&self.name, &held, lease_ms, 0, now_ms)).await;
        self.count_restored(restored.into_iter().filter(|restored| *restored).count());
        let submits: Vec<Outcome> = {
            let submits = self.submits.borrow();
            submits.iter().filter(|(at, _)| *at > since_ms).map(|(_, outcome)| outcome.clone()).collect()
        };
        for outcome in submits {
            let outcome = [outcome];
            let (answers, _) = self.call(|ledger, now_ms| ledger.settle(&outcome, now_ms)).await;
            self.count_restored(usize::from(answers[0] == Answer::Restored));
        }
    }

    fn count_restored(&self, count: usize) {
        for _ in 0..count {
            self.world.note(|| format!("{} restores a claim", self.name));
            self.world.tally.borrow_mut().count("restored");
        }
    }

    async fn perform(self: Rc<Self>, step: ClaimedStep) {
        // The step waits in the channel until the runtime has a place for it.
        self.nap(self.world.dice.ms(0, 3)).await;
        let act = Act::of(&step.record, &step.flags, self.world.weather.policy.max_reclaims);
        let seen = match self.is_draining.get() {
            true if self.world.sabotage == Some(Sabotage::HandsBackTheDead) => Observation::NotBegun,
            true => act.unbegun(),
            false => self.act(&step, act).await,
        };
        self.settle(&step, &seen).await;
        self.held.borrow_mut().remove(&(step.job, step.fence));
    }

    async fn act(&self, step: &ClaimedStep, act: Act) -> Observation {
        match act {
            Act::Submit => self.submit(step).await,
            Act::Poll(task) => self.poll(step, &task).await,
            Act::Adopt(hint) => self.adopt(step, hint).await,
            Act::Conclude(conclusion) => conclusion.into(),
        }
    }

    async fn submit(&self, step: &ClaimedStep) -> Observation {
        self.nap(self.world.dice.ms(0, 30)).await;
        if !self.may_begin(step) {
            return Observation::NotBegun;
        }
        let (record, world) = (&step.record, &self.world);
        self.exchange_begins().await;
        let reply = match (&record.task, record.is_answering) {
            (Some(task), true) => {
                world.upstream.borrow_mut().give_input(task, &world.weather, &world.dice, world.now_ms())
            }
            _ => self.post(step),
        };
        match reply {
            Reply::Told(seen) => {
                self.exchange_ends().await;
                match seen {
                    Observation::Accepted { queue_position: 1.., .. }
                        if world.sabotage == Some(Sabotage::Resubmits22) =>
                    {
                        Observation::Refused { busy: Busy::WithoutId, retry_after: None, reason: String::new() }
                    }
                    seen => seen,
                }
            }
            Reply::Lost => {
                world.ambiguous.borrow_mut().insert(step.job.clone());
                self.nap(if world.dice.permille(300) { Self::UPSTREAM_TIMEOUT } else { Duration::ZERO }).await;
                let reason = "reset".to_owned();
                match world.sabotage {
                    Some(Sabotage::ResubmitsLost) => {
                        Observation::Refused { busy: Busy::Unreachable, retry_after: None, reason }
                    }
                    _ => Observation::Unanswered { reason, lead: None },
                }
            }
        }
    }

    /// The request has arrived at the upstream. A task that it makes exists, even if the pod dies now.
    fn post(&self, step: &ClaimedStep) -> Reply {
        let world = &self.world;
        let attempt = step.record.attempts + 1;
        let fence = world.ledger.borrow().jobs.get(&step.job).map_or(0, |row| row.fence);
        // After Redis has lost its last writes, its fence may be lower.
        if fence > step.fence || fence < step.fence && world.server() == 0 {
            world.problem(format!("{} is submitted under fence {}, and has {fence}", step.job, step.fence));
        }
        let mut upstream = world.upstream.borrow_mut();
        let before = upstream.tasks.len();
        let reply = upstream.submit(&step.job, attempt, &world.weather, &world.dice, world.now_ms());
        let is_made = upstream.tasks.len() > before;
        world.note(|| format!("{} {} posts attempt {attempt}, a task is made: {is_made}", step.job, self.name));
        if is_made && world.weather.policy.adoption.hook && !step.record.has_own_hook {
            drop(tokio::task::spawn_local(report(world.clone(), before, attempt)));
        }
        reply
    }

    async fn poll(&self, step: &ClaimedStep, task: &TaskId) -> Observation {
        if !self.may_begin(step) {
            return Observation::NotBegun;
        }
        self.fetch(task).await
    }

    async fn adopt(&self, step: &ClaimedStep, hint: Option<TaskId>) -> Observation {
        let world = &self.world;
        if let Some(task) = hint {
            return match self.fetch(&task).await {
                Observation::Running(_)
                | Observation::Succeeded(_)
                | Observation::TaskFailed(..)
                | Observation::WaitsForInput(_) => Observation::Found(task),
                Observation::Missing => Observation::NotFound,
                other => other,
            };
        }
        if !world.weather.policy.adoption.lookup {
            return Observation::NotFound;
        }
        self.exchange_begins().await;
        let seen = world.upstream.borrow().find(&step.job, step.record.attempts, &world.weather, &world.dice);
        self.exchange_ends().await;
        seen
    }

    async fn fetch(&self, task: &TaskId) -> Observation {
        self.exchange_begins().await;
        let world = &self.world;
        let seen = world.upstream.borrow_mut().poll(task, &world.weather, &world.dice, world.now_ms());
        self.exchange_ends().await;
        seen
    }

    async fn settle(&self, step: &ClaimedStep, seen: &Observation) {
        let world = &self.world;
        let now_ms = world.now_ms();
        let at = Circumstances {
            now_ms,
            claimed_ms: step.claimed_ms,
            place_ms: step.claimed_ms,
            jitter: world.dice.fraction(),
            fence: step.fence,
            reclaims: step.flags.reclaims,
            pace: None,
            last_accepted_ms: self.accepted_ms.get(),
            last_shown_ms: self.shown_ms.get(),
            polls_late: Duration::ZERO,
            policy: &world.weather.policy,
        };
        let transition = match next(&step.record, seen, at) {
            Ok(transition) => transition,
            Err(illegal) => return world.problem(format!("{}: {illegal}", step.job)),
        };
        if transition.pressure == Pressure::Accepted {
            self.accepted_ms.set(now_ms);
        }
        if seen.shows_the_task() {
            self.shown_ms.set(now_ms);
        }
        let event = match &transition.next {
            Next::End(ending) => Some(event_of(&step.job, &transition.record, *ending, seen, now_ms, Vec::new())),
            _ => None,
        };
        let accepted = transition.record.task.clone().filter(|_| transition.pressure == Pressure::Accepted);
        let accepted = accepted.map(|task| (step.job.clone(), task));
        // Every outcome is recent, because nothing is swept in this world.
        let outcome = Outcome { job: step.job.clone(), fence: step.fence, is_recent: true, transition, event };
        // The settlement waits for its turn, with others.
        self.nap(world.dice.ms(0, 5)).await;
        let outcomes = [outcome];
        let (answers, _) = self
            .call(|ledger, now_ms| {
                let answers = ledger.settle(&outcomes, now_ms);
                world.note(|| format!("{} {} settles {}: {answers:?}", step.job, self.name, seen.name()));
                answers
            })
            .await;
        let name = match answers[0] {
            Answer::Written => "written",
            Answer::WrittenBefore => "written before",
            Answer::Stale => "stale",
            Answer::Restored if world.server() > 0 => "restored",
            Answer::Restored => return world.problem(format!("{}: redis has lost nothing", step.job)),
        };
        let [outcome] = outcomes;
        if outcome.transition.pressure.may_have_cost() && answers[0] != Answer::Stale {
            self.submits.borrow_mut().push((world.now_ms(), outcome));
        }
        world.tally.borrow_mut().count(name);
        if let (Some((job, task)), Answer::Stale) = (&accepted, answers[0]) {
            self.call(|ledger, now_ms| ledger.hint(job, task, true, now_ms)).await;
        }
    }

    /// Whether the claim is fresh enough to send a request.
    fn may_begin(&self, step: &ClaimedStep) -> bool {
        if self.world.sabotage == Some(Sabotage::SendsLate) {
            return true;
        }
        // The age counts from the claim, not from the last renewal of the lease, as in the executor.
        let age_ms = |lease: &Lease| self.world.now_ms() - lease.claimed_ms;
        self.lease_of(step).is_some_and(|lease| !lease.is_lost && age_ms(&lease) < self.world.weather.lease_ms / 2)
    }

    fn lease_of(&self, step: &ClaimedStep) -> Option<Lease> {
        self.held.borrow().get(&(step.job.clone(), step.fence)).cloned()
    }

    /// Repeats a call to Redis until it is answered. When an answer is lost, the act is done, and is asked for again.
    async fn call<T>(&self, mut act: impl FnMut(&mut LedgerModel, u64) -> T) -> (T, u64) {
        let world = &self.world;
        for tries in 0.. {
            let asked_ms = world.now_ms();
            let wait = exponential(Duration::from_millis(50), Duration::from_millis(500), 1.7, tries);
            sleep(world.dice.ms(0, 4)).await;
            while world.now_ms() < world.redis_away_until_ms.get() {
                sleep(wait).await;
            }
            let answer = act(&mut world.ledger.borrow_mut(), world.now_ms());
            let server = world.server();
            sleep(world.dice.ms(0, 4)).await;
            self.thaw().await;
            if !world.loses_answer() && server == world.server() {
                return (answer, asked_ms);
            }
            self.nap(wait).await;
        }
        unreachable!("it tries for ever")
    }

    async fn exchange_begins(&self) {
        sleep(self.world.dice.ms(1, 40)).await;
    }

    async fn exchange_ends(&self) {
        // Some answers are slow, so that the pod has to renew its leases meanwhile.
        let longest = if self.world.dice.permille(100) { 3_500 } else { 60 };
        sleep(self.world.dice.ms(1, longest)).await;
        self.thaw().await;
    }

    async fn nap(&self, time: Duration) {
        sleep(time).await;
        self.thaw().await;
    }

    /// Waits while the pod is frozen.
    async fn thaw(&self) {
        loop {
            let until_ms = self.world.frozen_until_ms.borrow().get(&self.number).copied().unwrap_or(0);
            let Some(left) = until_ms.checked_sub(self.world.now_ms()).filter(|left| *left > 0) else { return };
            sleep(Duration::from_millis(left)).await;
        }
    }
}
