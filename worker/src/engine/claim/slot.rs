//! Slots: how many steps a pod performs at once, and which steps it holds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mjq_producer::contract::JobId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::slow_start::Unanswered;
use crate::{
    engine::poll::Place,
    ledger::{Asserted, Holding, Step},
};

/// The slots of this pod. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    held: Arc<Mutex<HashMap<Holding, Arc<Lease>>>>,
}

/// A claimed step with the slot that it occupies. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct HeldStep {
    /// The step.
    pub(crate) step: Arc<Step>,
    /// Keeps the step's lease alive while it exists.
    pub(crate) hold: Hold,
    /// Only for a submit.
    pub(crate) unanswered: Option<Unanswered>,
    _permit: OwnedSemaphorePermit,
}

/// Says that this pod works on a job under a fence, and whether it still may.
#[derive(Debug)]
pub(crate) struct Hold {
    holding: Holding,
    lease: Arc<Lease>,
    /// Used only by submits.
    place: Place,
    slots: Slots,
}

/// What this pod knows of its lease on a job.
#[derive(Debug)]
struct Lease {
    step: Arc<Step>,
    is_lost: AtomicBool,
    /// When the lease began or was last renewed, at the latest.
    begun: Mutex<Instant>,
}

impl Slots {
    /// Makes `total` slots, all free.
    pub(crate) fn new(total: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(total)), total, held: Arc::default() }
    }

    /// How many slots there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many slots are occupied.
    pub(crate) fn busy(&self) -> usize {
        self.total - self.free()
    }

    /// Waits until a slot is free.
    pub(crate) async fn wait_for_one(&self) {
        // The semaphore is never closed.
        drop(self.free.acquire().await);
    }

    /// Puts a step into a slot. Returns `None` when no slot is free; the step's lease then runs out.
    pub(crate) fn hold(&self, step: Step) -> Option<HeldStep> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let holding = Holding { job: step.job.clone(), fence: step.fence };
        let (begun, step) = (Mutex::new(step.claimed_at), Arc::new(step));
        let lease = Arc::new(Lease { step: Arc::clone(&step), is_lost: AtomicBool::new(false), begun });
        self.held().insert(holding.clone(), Arc::clone(&lease));
        let hold = Hold { holding, lease, place: Place::of(step.claimed_ms), slots: self.clone() };
        Some(HeldStep { step, hold, unanswered: None, _permit: permit })
    }

    /// The jobs and fences that this pod holds now.
    pub(crate) fn holdings(&self) -> Vec<Holding> {
        self.held().keys().cloned().collect()
    }

    /// The steps that are under way now, at `now_ms` by Redis's clock. They include steps whose lease a renewal has
    /// found lost, because Redis may have lost the lease.
    pub(crate) fn under_way(&self, retention: Duration, now_ms: u64) -> Vec<Asserted> {
        let held = self.held();
        let asserted = |lease: &Arc<Lease>| Asserted {
            step: Arc::clone(&lease.step),
            kept_until_ms: lease.kept_until_ms(retention, now_ms),
        };
        held.values().map(asserted).collect()
    }

    /// Marks the leases on `job` among `holdings` as lost: Redis no longer has them. Returns whether one of them must
    /// have run out, because it is older than `lasts`. A younger lease was ended by a settlement of this pod whose
    /// answer is on its way, or Redis has lost it.
    pub(crate) fn lose(&self, job: &JobId, holdings: &[Holding], lasts: Duration) -> bool {
        let held = self.held();
        // Only the holdings that Redis was asked about: this pod may have claimed the job anew since.
        let lost = holdings.iter().filter(|holding| holding.job == *job).filter_map(|holding| held.get(holding));
        let ran_out = lost.filter(|lease| {
            lease.is_lost.store(true, Ordering::Relaxed);
            lease.age() >= lasts
        });
        ran_out.count() > 0
    }

    /// Notes that the leases of `holdings` were renewed at `asked` or later, except those that were lost.
    pub(crate) fn renewed(&self, holdings: &[Holding], asked: Instant) {
        let held = self.held();
        let leases = holdings.iter().filter_map(|holding| held.get(holding));
        for lease in leases.filter(|lease| !lease.is_lost.load(Ordering::Relaxed)) {
            *lease.begun.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Holding, Arc<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Whether Redis no longer has this lease: another pod may have taken the job over.
    pub(crate) fn is_lost(&self) -> bool {
        self.lease.is_lost.load(Ordering::Relaxed)
    }

    /// The place under the rate of submits that came with the claim, or the one exchanged for it.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the claim is fresh enough to send anything; `lasts` is the length of a lease.
    pub(crate) fn is_fresh(&self, lasts: Duration) -> bool {
        // After half its lease, a claim may be gone before the answer is here: a frozen pod would submit a job that
        // another pod has submitted since.
        !self.is_lost() && self.lease.step.claimed_at.elapsed() < lasts / 2
    }

    /// The time until which the job's record must exist, by Redis's clock, which says `now_ms`. The job had not ended
    /// when the claim was made or renewed, and the record of an ended job is kept for `retention`.
    pub(crate) fn kept_until_ms(&self, retention: Duration, now_ms: u64) -> u64 {
        self.lease.kept_until_ms(retention, now_ms)
    }
}

impl Lease {
    fn kept_until_ms(&self, retention: Duration, now_ms: u64) -> u64 {
        // Half the retention is spared for clocks that disagree.
        let left = (retention / 2).saturating_sub(self.age());
        now_ms.saturating_add(left.as_millis() as u64)
    }

    /// How long ago the lease began, or was last renewed.
    fn age(&self) -> Duration {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.slots.held();
        // If Redis had forgotten this claim, the pod may have received the same claim a second time.
        if held.get(&self.holding).is_some_and(|lease| Arc::ptr_eq(lease, &self.lease)) {
            held.remove(&self.holding);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mjq_producer::contract::Entry;

    use super::*;
    use crate::lifecycle::{Flags, Policy, Record};

    const LASTS: Duration = Duration::from_secs(15);

    /// A step of a job that was enqueued at `enqueued_ms`, claimed now.
    pub(crate) fn step(fence: u64, enqueued_ms: u64) -> Step {
        let json = br#"{"id":"order-1842","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        let record = Record::admit(&job, enqueued_ms, &Policy::default());
        let job = JobId::new("order-1842").unwrap();
        let claimed_at = Instant::now();
        let (flags, place_until) = (Flags::default(), claimed_at);
        Step { job, fence, record, flags, job_json: None, claimed_ms: 0, claimed_at, place_until }
    }

    fn old_step() -> Step {
        Step { claimed_at: Instant::now().checked_sub(LASTS * 2).unwrap(), ..step(1, 1) }
    }

    #[test]
    fn what_was_lost_is_not_renewed() {
        let slots = Slots::new(1);
        let held = slots.hold(old_step()).unwrap();
        let asked = slots.holdings();

        assert!(slots.lose(&held.step.job, &asked, LASTS), "it ran out");
        slots.renewed(&asked, Instant::now());

        assert!(held.hold.is_lost() && held.hold.kept_until_ms(LASTS * 2, 1_000) == 1_000);
    }

    #[test]
    fn a_young_lease_that_is_gone_has_not_run_out() {
        let slots = Slots::new(1);
        let held = slots.hold(step(1, 1)).unwrap();

        assert!(!slots.lose(&held.step.job, &slots.holdings(), LASTS));
        assert!(held.hold.is_lost());
    }

    #[test]
    fn a_claim_that_came_twice_is_held_until_the_second_ends() {
        let slots = Slots::new(3);
        let (first, second) = (slots.hold(step(7, 1)).unwrap(), slots.hold(step(7, 1)).unwrap());

        drop(first);
        assert_eq!((slots.holdings().len(), slots.busy()), (1, 1));
        drop(second);

        assert_eq!((slots.holdings().len(), slots.busy()), (0, 0));
    }

    #[test]
    fn no_more_is_held_than_there_are_slots() {
        let slots = Slots::new(1);
        let _held = slots.hold(step(1, 1)).unwrap();

        assert!(slots.hold(step(2, 1)).is_none());
    }
}
