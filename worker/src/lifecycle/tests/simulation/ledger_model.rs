//! The model of the ledger: the behaviour of the Lua scripts in plain Rust, with the time as an argument.
//!
//! `against_redis` plays the same operations on this model and on the scripts, so that neither drifts from the other.
//! The model leaves out rates, revisits, retention and a full memory, which have tests of their own.

use std::collections::{BTreeMap, BTreeSet};

use mjq_producer::contract::{Event, JobId, TaskId};

use super::{lane::Lane, reassertion::Reassertion, sabotage::Sabotage};
use crate::lifecycle::{Flags, Next, Phase, Pressure, Record, Transition};

/// One queue's ledger.
#[derive(Debug, Default, Clone)]
pub(super) struct LedgerModel {
    pub(super) jobs: BTreeMap<JobId, Row>,
    pub(super) submit: Lane,
    pub(super) later: Lane,
    pub(super) poll: Lane,
    /// The leases of claims, under the names that [`lease_of`] gives.
    pub(super) leases: Lane,
    pub(super) deadlines: Lane,
    /// For each parent, the jobs that wait for its end.
    children: BTreeMap<JobId, BTreeSet<JobId>>,
    pub(super) upstream: Shared,
    /// Each pod's last claim.
    memos: BTreeMap<String, Memo>,
    /// The published events, in order.
    pub(super) events: Vec<Event>,
    pub(super) restored: u32,
    pub(super) reassertion: Reassertion,
    pub(super) sabotage: Option<Sabotage>,
}

/// A claim that a pod may ask for again.
#[derive(Debug, Clone)]
struct Memo {
    request: u64,
    granted_ms: u64,
    given: Vec<(JobId, u64)>,
}

/// The ledger's data of one job.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The fence of the last claim.
    pub(super) fence: u64,
    /// The fence of the last claim that came to its end: settled, or taken back.
    pub(super) last: u64,
    pub(super) phase: Phase,
    pub(super) record: Record,
    pub(super) digest: String,
    pub(super) reclaims: u32,
    reclaim_fence: u64,
    pub(super) is_cancelled: bool,
    pub(super) hint: Option<TaskId>,
    pub(super) is_end_told: bool,
    pub(super) inputs: u32,
    /// The stream entries that brought the inputs; each entry counts once.
    input_entries: BTreeSet<String>,
    /// Whether an input came before the ledger knew that the task waits for one.
    has_early_input: bool,
    /// The pod that claimed the job last.
    pub(super) holder: String,
}

/// The state of the upstream that all pods share.
#[derive(Debug, Default, Clone)]
pub(super) struct Shared {
    pub(super) is_paused: bool,
    pub(super) are_submits_paused: bool,
    pub(super) gate_ms: u64,
    pub(super) polls_gate_ms: u64,
    pub(super) limit: f64,
    pub(super) lowered_ms: u64,
    /// When a submit was last allowed to exceed the number of open tasks.
    pub(super) tried_ms: u64,
    pub(super) down: u32,
    pub(super) down_until_ms: u64,
    /// When the breaker opened.
    opened_ms: u64,
    /// When the probe under way was claimed.
    pub(super) probing: Option<u64>,
    /// Submits in a row whose answer was lost.
    pub(super) lost: u32,
    /// Moments in a row at which even one more task was too many.
    pub(super) full: u32,
    /// What opened the breaker.
    pub(super) cause: Option<Cause>,
}

/// What opens the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Down,
    Away,
    Misaddressed,
    Lost,
}

impl Shared {
    /// How many lost answers in a row open the breaker.
    const RUN: u32 = 20;

    /// The adaptive limit, which is one higher after a quiet while; and whether one submit may exceed the number of
    /// open tasks even if that number is larger.
    fn cap_of_open(&self, now_ms: u64) -> (Option<usize>, bool) {
        let while_ms = (10_000 << self.full.min(4)).min(60_000);
        let is_quiet = now_ms >= self.lowered_ms + while_ms;
        let cap = (self.limit > 0.0).then(|| (self.limit as usize).max(1) + usize::from(is_quiet));
        (cap, cap.is_some() && is_quiet && now_ms >= self.tried_ms + while_ms)
    }

    fn open_breaker(&mut self, seen: Cause, claimed_ms: u64, now_ms: u64) {
        if self.down == 0 {
            self.opened_ms = now_ms;
        } else if self.probing == Some(claimed_ms) {
            self.probing = None;
        } else if claimed_ms <= self.opened_ms {
            return;
        }
        // When a probe's answer is lost, the breaker keeps the pauses of the cause that opened it.
        let cause = self.cause.filter(|_| self.down > 0 && seen == Cause::Lost).unwrap_or(seen);
        self.down = if self.cause == Some(cause) { self.down + 1 } else { 1 };
        self.cause = Some(cause);
        let (first_ms, longest_ms) = match cause {
            Cause::Down => (2000, 30_000),
            Cause::Away | Cause::Misaddressed => (1000, 5000),
            Cause::Lost => (1000, 10_000),
        };
        self.down_until_ms = now_ms + (first_ms << (self.down - 1).min(5)).min(longest_ms);
    }
}

/// A pod's request for a claim.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) pod: String,
    /// Names the claim: the same request gets the same answer again.
    pub(super) request: u64,
    pub(super) limit: usize,
    /// How many of the steps may be submits.
    pub(super) submits: usize,
    pub(super) lease_ms: u64,
    pub(super) max_open: usize,
    pub(super) polls_per_request: usize,
}

/// A claimed step.
#[derive(Debug, Clone)]
pub(super) struct ClaimedStep {
    pub(super) job: JobId,
    pub(super) fence: u64,
    /// The record, in the phase after the claim.
    pub(super) record: Record,
    pub(super) flags: Flags,
    pub(super) claimed_ms: u64,
}

/// The outcome of a step.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) job: JobId,
    pub(super) fence: u64,
    pub(super) is_recent: bool,
    pub(super) transition: Transition,
    pub(super) event: Option<Event>,
}

/// The ledger's answer to an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Written,
    WrittenBefore,
    Stale,
    Restored,
}

/// The ledger's answer to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admittance {
    New,
    Known,
    Conflict,
}

/// The name of a claim's lease.
pub(super) fn lease_of(job: &JobId, fence: u64) -> JobId {
    JobId::new(&format!("{fence}:{job}")).unwrap()
}

/// The job of a lease.
fn job_of(lease: &JobId) -> JobId {
    JobId::new(lease.as_str().split_once(':').unwrap().1).unwrap()
}

impl LedgerModel {
    /// All ended jobs.
    pub(super) fn ended(&self) -> impl Iterator<Item = &str> {
        self.jobs.iter().filter(|(_, row)| row.phase.is_terminal()).map(|(job, _)| job.as_str())
    }

    pub(super) fn with(sabotage: Option<Sabotage>) -> Self {
        Self { sabotage, ..Self::default() }
    }

    pub(super) fn admit(
        &mut self,
        job: &JobId,
        digest: &str,
        record: Record,
        run_at_ms: u64,
        now_ms: u64,
    ) -> Admittance {
        if let Some(row) = self.jobs.get_mut(job) {
            if row.digest.is_empty() {
                // A pod has restored the record that Redis had lost, but not the request.
                digest.clone_into(&mut row.digest);
            }
            return if row.digest == digest { Admittance::Known } else { Admittance::Conflict };
        }
        if run_at_ms > now_ms {
            self.later.add(job, run_at_ms);
        } else {
            self.submit.add(job, record.submit_score());
        }
        self.deadlines.add(job, record.deadline_ms);
        self.jobs.insert(job.clone(), Row::new(record, digest));
        Admittance::New
    }

    /// The claimed steps, and the ms until there may be more; `None` when nothing waits.
    pub(super) fn claim(&mut self, claim: &Claim, now_ms: u64) -> (Vec<ClaimedStep>, Option<u64>) {
        let memo = self.memos.get(&claim.pod).filter(|memo| memo.request == claim.request);
        if let Some(memo) = memo.filter(|_| self.sabotage != Some(Sabotage::NoMemo)).cloned() {
            return (self.give_again(&memo, claim, now_ms), Some(0));
        }
        let server_gate_ms = self.server_gate(now_ms);
        if server_gate_ms > now_ms {
            return (Vec::new(), Some(server_gate_ms - now_ms));
        }
        let mut taking = Taking { claim: claim.clone(), now_ms, steps: Vec::new(), more_after: None };
        for lease in self.leases.due(now_ms, claim.limit) {
            self.leases.remove(&lease);
            self.take(&mut taking, &job_of(&lease), true, false);
        }
        for job in self.deadlines.due(now_ms, taking.free()) {
            let is_taken = taking.steps.iter().any(|step| step.job == job);
            if is_taken || self.is_leased(&job, self.jobs[&job].fence) {
                self.deadlines.add(&job, now_ms + claim.lease_ms / 16);
            } else {
                self.deadlines.add(&job, now_ms + claim.lease_ms.min(5_000));
                self.leave_lanes(&job);
                self.take(&mut taking, &job, false, false);
            }
        }
        for job in self.later.due(now_ms, 256) {
            self.later.remove(&job);
            self.submit.add(&job, self.jobs[&job].record.submit_score());
        }
        if !self.upstream.is_paused {
            let are_polls_cut = self.take_polls(&mut taking);
            self.take_submits(&mut taking);
            if are_polls_cut && taking.free() > 0 {
                taking.wake_in(0);
            }
        }
        let Taking { steps, mut more_after, .. } = taking;
        if !steps.is_empty() {
            let given = steps.iter().map(|step| (step.job.clone(), step.fence)).collect();
            steps.iter().for_each(|step| self.leases.add(&lease_of(&step.job, step.fence), now_ms + claim.lease_ms));
            let memo = Memo { request: claim.request, granted_ms: now_ms, given };
            self.memos.insert(claim.pod.clone(), memo);
        }
        if steps.len() >= claim.limit {
            return (steps, Some(0));
        }
        for lane in [&self.poll, &self.later, &self.leases, &self.deadlines] {
            if let Some(first) = lane.first_score().filter(|first| *first > now_ms) {
                more_after = Some(more_after.unwrap_or(u64::MAX).min(first - now_ms));
            }
        }
        (steps, more_after)
    }

    /// The answers to the outcomes, in order. Lanes are read before all outcomes are written and changed after that.
    pub(super) fn settle(&mut self, outcomes: &[Outcome], now_ms: u64) -> Vec<Answer> {
        let held: Vec<bool> = outcomes.iter().map(|outcome| self.is_leased(&outcome.job, outcome.fence)).collect();
        let mut answers = Vec::new();
        let mut places = Vec::new();
        let mut refused = 0;
        let mut written = BTreeSet::new();
        for (outcome, is_held) in outcomes.iter().zip(held) {
            if written.contains(&outcome.job) {
                answers.push(Answer::Stale);
                continue;
            }
            let (answer, lease) = self.judge(outcome, is_held);
            if matches!(answer, Answer::Written | Answer::Restored) {
                let pressure = outcome.transition.pressure;
                refused += usize::from(matches!(pressure, Pressure::Saturated(_)));
                self.press(pressure, refused, now_ms);
                written.insert(&outcome.job);
                places.push((outcome, lease, self.write(outcome, now_ms)));
            }
            answers.push(answer);
        }
        let mut ended = Vec::new();
        for (outcome, lease, place) in places {
            self.leases.remove(&lease);
            match place {
                Place::Submit(score) => self.submit.add(&outcome.job, score),
                Place::Later(at_ms) => self.later.add(&outcome.job, at_ms),
                Place::Poll(at_ms) => self.poll.add(&outcome.job, at_ms),
                Place::Ended => {
                    self.deadlines.remove(&outcome.job);
                    ended.push(&outcome.job);
                }
            }
        }
        for parent in ended {
            self.call_children(parent);
        }
        answers
    }

    fn call_children(&mut self, parent: &JobId) {
        for child in self.children.remove(parent).into_iter().flatten() {
            if self.later.score(&child).is_some() {
                self.later.remove(&child);
                self.submit.add(&child, self.jobs[&child].record.submit_score());
            }
        }
    }

    /// Renews leases. Returns the jobs whose claims no longer hold.
    pub(super) fn renew(&mut self, holdings: &[(JobId, u64)], lease_ms: u64, now_ms: u64) -> Vec<JobId> {
        let mut lost = Vec::new();
        for (job, fence) in holdings {
            match self.is_leased(job, *fence) {
                true => self.leases.add(&lease_of(job, *fence), now_ms + lease_ms),
                false => lost.push(job.clone()),
            }
        }
        lost
    }

    pub(super) fn cancel(&mut self, job: &JobId) {
        let Some(row) = self.jobs.get_mut(job).filter(|row| !row.phase.is_terminal()) else { return };
        row.is_cancelled = true;
        self.deadlines.add(job, 0);
    }

    pub(super) fn hint(&mut self, job: &JobId, task: &TaskId, goes_on: bool, now_ms: u64) {
        let Some(row) = self.jobs.get_mut(job) else { return };
        if matches!(row.phase, Phase::Unknown | Phase::Submitting | Phase::Queued) {
            row.hint = Some(task.clone());
            row.is_end_told = !goes_on;
        } else if row.phase == Phase::Polling && !goes_on {
            (row.hint, row.is_end_told) = (None, true);
        }
        if goes_on && row.phase != Phase::Unknown {
            return;
        }
        let front_ms = self.poll.first_score().map_or(now_ms, |first_ms| now_ms.min(first_ms.saturating_sub(1)));
        if self.poll.score(job).is_some_and(|due_ms| due_ms > front_ms) {
            self.poll.add(job, front_ms);
        }
    }

    /// Puts a claim back that its pod cannot read. A submit that another pod may have sent stays as it is.
    pub(super) fn release(&mut self, step: &ClaimedStep, delay_ms: u64, now_ms: u64) {
        let (lease, due_ms) = (lease_of(&step.job, step.fence), now_ms + delay_ms);
        let Some(row) = self.jobs.get_mut(&step.job) else { return };
        let may_be_sent = row.phase == Phase::Submitting && row.reclaim_fence == step.fence;
        if may_be_sent || row.fence != step.fence || self.leases.score(&lease).is_none() {
            return;
        }
        self.leases.remove(&lease);
        row.last = step.fence;
        let is_submit = row.phase == Phase::Submitting;
        if is_submit {
            row.phase = Phase::Queued;
        }
        match row.phase {
            Phase::Queued => self.later.add(&step.job, due_ms),
            _ => self.poll.add(&step.job, due_ms),
        }
        if is_submit {
            let claimed_ms = step.claimed_ms;
            self.press(Pressure::Unsent { claimed_ms, place_ms: claimed_ms }, 0, now_ms);
        }
    }

    pub(super) fn give_input(&mut self, job: &JobId, entry: &str) {
        let Some(row) = self.jobs.get_mut(job).filter(|row| !row.phase.is_terminal()) else { return };
        if !row.input_entries.insert(entry.to_owned()) {
            return;
        }
        row.inputs += 1;
        match self.poll.score(job) {
            Some(1..) if row.phase == Phase::Held => self.poll.add(job, 0),
            _ => row.has_early_input = true,
        }
    }

    pub(super) fn is_leased(&self, job: &JobId, fence: u64) -> bool {
        self.leases.score(&lease_of(job, fence)).is_some()
    }

    pub(super) fn leave_lanes(&mut self, job: &JobId) {
        for lane in [&mut self.submit, &mut self.later, &mut self.poll] {
            lane.remove(job);
        }
    }

    fn give_again(&mut self, memo: &Memo, claim: &Claim, now_ms: u64) -> Vec<ClaimedStep> {
        let mut steps = Vec::new();
        for (job, fence) in &memo.given {
            if self.is_leased(job, *fence) {
                let row = &self.jobs[job];
                let step = row.step(job, row.reclaim_fence == *fence, now_ms);
                steps.push(ClaimedStep { claimed_ms: memo.granted_ms, ..step });
                self.leases.add(&lease_of(job, *fence), now_ms + claim.lease_ms);
            }
        }
        steps
    }

    fn take(&mut self, taking: &mut Taking, job: &JobId, is_reclaimed: bool, submits: bool) {
        let Some(row) = self.jobs.get_mut(job) else { return };
        if is_reclaimed {
            row.last = row.fence;
        }
        row.fence += 1;
        let is_told = is_reclaimed && self.sabotage != Some(Sabotage::SilentReclaim);
        if is_reclaimed {
            row.reclaims += 1;
            row.reclaim_fence = row.fence;
        } else if submits {
            row.phase = Phase::Submitting;
        }
        row.holder.clone_from(&taking.claim.pod);
        taking.steps.push(row.step(job, is_told, taking.now_ms));
    }

    /// Takes due polls. Returns whether more could be taken if no slots were kept for submits.
    fn take_polls(&mut self, taking: &mut Taking) -> bool {
        if self.upstream.polls_gate_ms > taking.now_ms {
            taking.wake_in(self.upstream.polls_gate_ms - taking.now_ms);
            return false;
        }
        let (free, per_request) = (taking.free(), taking.claim.polls_per_request);
        let fits = free.div_ceil(per_request) * per_request;
        // A quarter of the slots is kept for submits. With fewer than four slots, every fourth claim keeps one.
        let kept = if free < 4 && taking.claim.request.is_multiple_of(4) { 1 } else { free / 4 };
        let most = free.saturating_sub(kept.min(self.submit.len()).min(taking.claim.submits));
        let polls = self.poll.due(taking.now_ms, most.min(fits));
        for job in &polls {
            self.poll.remove(job);
            self.take(taking, job, false, false);
        }
        if fits <= polls.len() {
            taking.wake_in(0);
        }
        most < free && polls.len() >= most
    }

    fn take_submits(&mut self, taking: &mut Taking) {
        let waiting = self.submit.len();
        if self.upstream.are_submits_paused || waiting == 0 {
            return;
        }
        let mut wanted = taking.free().min(waiting).min(taking.claim.submits);
        let (limit, may_try) = self.upstream.cap_of_open(taking.now_ms);
        let most = taking.claim.max_open;
        let cap = match (most, limit) {
            (most, None) => most,
            (0, Some(cap)) => cap,
            (most, Some(cap)) => most.min(cap),
        };
        let open = self.poll.len() + self.leases.len() + taking.steps.len();
        let is_trial = cap > 0 && cap <= open && wanted > 0 && may_try && (most == 0 || open < most);
        if is_trial {
            wanted = 1;
        } else if cap > 0 {
            wanted = wanted.min(cap.saturating_sub(open));
        }
        let is_down = self.upstream.down > 0;
        let server_gate_ms = self.server_gate(taking.now_ms);
        let gate_ms =
            self.upstream.gate_ms.max(server_gate_ms).max(if is_down { self.upstream.down_until_ms } else { 0 });
        if gate_ms > taking.now_ms {
            taking.wake_in(gate_ms - taking.now_ms);
            return;
        }
        if is_down && wanted > 0 {
            self.upstream.down_until_ms = taking.now_ms + 5000;
            self.upstream.probing = Some(taking.now_ms);
            wanted = 1;
        }
        if is_trial {
            self.upstream.tried_ms = taking.now_ms;
        }
        // While the upstream takes nothing, each claim tries another job.
        let is_wary = is_down || self.upstream.full > 0;
        let from = if is_wary { taking.claim.request as usize % waiting.min(64) } else { 0 };
        let jobs: Vec<JobId> = self.submit.jobs().skip(from).take(wanted).cloned().collect();
        for job in jobs {
            self.submit.remove(&job);
            self.take(taking, &job, false, true);
        }
    }

    /// The answer to an outcome, and the lease that ends if the outcome is written.
    fn judge(&mut self, outcome: &Outcome, is_held: bool) -> (Answer, JobId) {
        let lease = lease_of(&outcome.job, outcome.fence);
        if is_held {
            return (Answer::Written, lease);
        }
        if self.has_forgotten(&outcome.job, outcome.fence, outcome.is_recent) {
            let record = &outcome.transition.record;
            let row = self.jobs.entry(outcome.job.clone()).or_insert_with(|| Row::new(record.clone(), ""));
            let lost = lease_of(&outcome.job, row.last + 1);
            row.fence = outcome.fence;
            self.restored += 1;
            self.leave_lanes(&outcome.job);
            self.deadlines.add(&outcome.job, outcome.transition.record.deadline_ms);
            return (Answer::Restored, lost);
        }
        let Some(row) = self.jobs.get_mut(&outcome.job) else { return (Answer::Stale, lease) };
        let is_told_again = row.record == outcome.transition.record;
        let answer = if row.last == outcome.fence && row.reclaim_fence <= outcome.fence && is_told_again {
            if self.sabotage == Some(Sabotage::SettlesTwice) { Answer::Written } else { Answer::WrittenBefore }
        } else if self.sabotage == Some(Sabotage::NoFence) {
            Answer::Written
        } else {
            Answer::Stale
        };
        (answer, lease)
    }

    fn write(&mut self, outcome: &Outcome, now_ms: u64) -> Place {
        let Transition { record, next, .. } = &outcome.transition;
        self.events.extend(outcome.event.clone());
        let Some(row) = self.jobs.get_mut(&outcome.job) else { return Place::Ended };
        row.last = outcome.fence;
        row.phase = record.phase;
        row.record = record.clone();
        match next {
            Next::End(_) => Place::Ended,
            Next::Poll(_) if row.phase == Phase::Held && std::mem::take(&mut row.has_early_input) => {
                Place::Poll(now_ms)
            }
            Next::Poll(delay) => Place::Poll(now_ms + delay.as_millis() as u64),
            Next::Submit(delay) if delay.as_millis() > 0 => Place::Later(now_ms + delay.as_millis() as u64),
            Next::Submit(_) => Place::Submit(record.submit_score()),
            Next::AfterParent(delay) => match record.follows.clone() {
                Some(parent) if self.jobs.get(&parent).is_some_and(|row| !row.phase.is_terminal()) => {
                    self.children.entry(parent).or_default().insert(outcome.job.clone());
                    Place::Later(now_ms + delay.as_millis() as u64)
                }
                _ => Place::Submit(record.submit_score()),
            },
        }
    }

    /// Applies the pressure of one outcome. `refused` counts the refused submits of the same call, including this one.
    fn press(&mut self, pressure: Pressure, refused: usize, now_ms: u64) {
        let open = (self.poll.len() + self.leases.len()) as f64;
        let shared = &mut self.upstream;
        match pressure {
            Pressure::None => return,
            Pressure::Unsent { claimed_ms, .. } => {
                if shared.probing == Some(claimed_ms) {
                    (shared.probing, shared.down_until_ms) = (None, now_ms);
                }
                return;
            }
            Pressure::Throttled(pause) => {
                shared.polls_gate_ms = shared.polls_gate_ms.max(now_ms + pause.as_millis() as u64);
                return;
            }
            Pressure::Down { claimed_ms } => return shared.open_breaker(Cause::Down, claimed_ms, now_ms),
            Pressure::Away { claimed_ms } => return shared.open_breaker(Cause::Away, claimed_ms, now_ms),
            Pressure::Misaddressed { claimed_ms } => {
                return shared.open_breaker(Cause::Misaddressed, claimed_ms, now_ms);
            }
            Pressure::Lost { claimed_ms } => {
                shared.lost += 1;
                if shared.down > 0 || shared.lost >= Shared::RUN {
                    shared.open_breaker(Cause::Lost, claimed_ms, now_ms);
                }
                return;
            }
            Pressure::Found if shared.down > 0 && shared.cause == Some(Cause::Down) => return,
            Pressure::Accepted | Pressure::Up | Pressure::Found | Pressure::Saturated(_) => {}
        }
        if shared.down > 0 {
            (shared.down, shared.down_until_ms, shared.probing) = (0, 0, None);
            shared.cause = None;
        }
        shared.lost = 0;
        if pressure == Pressure::Accepted {
            shared.full = 0;
        }
        match pressure {
            Pressure::Accepted if shared.limit > 0.0 => {
                let is_recent = now_ms < shared.lowered_ms + 10_000;
                shared.limit = shared.limit.max(open);
                shared.limit += if is_recent { 1.0 / shared.limit } else { 2.0 };
                if shared.limit > 10_000.0 && shared.limit > 2.0 * open {
                    shared.limit = 0.0;
                }
            }
            Pressure::Saturated(pause) => {
                let open = open - refused as f64;
                if now_ms < shared.lowered_ms + 1000 {
                    shared.limit = shared.limit.min(open.max(1.0));
                } else {
                    shared.lowered_ms = now_ms;
                    if shared.limit > 0.0 && (shared.limit == 1.0 || open >= shared.limit.floor()) {
                        if open <= 0.0 {
                            shared.gate_ms = shared.gate_ms.max(now_ms + (1000 << shared.full.min(4)).min(10_000));
                        }
                        shared.full += 1;
                    } else {
                        let from = if shared.limit > 0.0 { shared.limit.min(open) } else { open };
                        shared.limit = (from * 0.8).max(1.0);
                    }
                }
                if !pause.is_zero() {
                    shared.gate_ms = shared.gate_ms.max(now_ms + pause.as_millis() as u64);
                }
            }
            _ => {}
        }
    }
}

/// Where a job goes after its step.
enum Place {
    Submit(u64),
    Later(u64),
    Poll(u64),
    Ended,
}

/// A claim under construction.
struct Taking {
    claim: Claim,
    now_ms: u64,
    steps: Vec<ClaimedStep>,
    more_after: Option<u64>,
}

impl Taking {
    fn free(&self) -> usize {
        self.claim.limit.saturating_sub(self.steps.len())
    }

    fn wake_in(&mut self, ms: u64) {
        self.more_after = Some(self.more_after.unwrap_or(u64::MAX).min(ms));
    }
}

impl Row {
    pub(super) fn new(record: Record, digest: &str) -> Self {
        Self {
            fence: 0,
            last: 0,
            phase: record.phase,
            record,
            digest: digest.to_owned(),
            reclaims: 0,
            reclaim_fence: 0,
            is_cancelled: false,
            hint: None,
            is_end_told: false,
            inputs: 0,
            input_entries: BTreeSet::new(),
            has_early_input: false,
            holder: String::new(),
        }
    }

    fn step(&self, job: &JobId, is_reclaimed: bool, now_ms: u64) -> ClaimedStep {
        let flags = Flags {
            is_reclaimed,
            is_overdue: now_ms >= self.record.deadline_ms,
            is_cancelled: self.is_cancelled,
            inputs: self.inputs,
            hinted_task: self.hint.clone(),
            is_end_told: self.is_end_told,
            reclaims: self.reclaims,
        };
        let record = Record { phase: self.phase, ..self.record.clone() };
        ClaimedStep { job: job.clone(), fence: self.fence, record, flags, claimed_ms: now_ms }
    }
}
