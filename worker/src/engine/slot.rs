//! Slots: how many steps a pod performs at once, and which it holds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use mjq_producer::contract::JobId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ledger::{Holding, Step};

/// The slots of this pod. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    held: Arc<Mutex<HashMap<Holding, Arc<AtomicBool>>>>,
}

/// A claimed step with the slot that it occupies. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct HeldStep {
    /// The step.
    pub(super) step: Step,
    /// Keeps the step's lease alive while it exists.
    pub(super) hold: Hold,
    _permit: OwnedSemaphorePermit,
}

/// Says that this pod works on a job under a fence, and whether it still may.
#[derive(Debug)]
pub(super) struct Hold {
    holding: Holding,
    is_lost: Arc<AtomicBool>,
    slots: Slots,
}

impl Slots {
    /// Makes `total` slots, all free.
    pub(super) fn new(total: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(total)), total, held: Arc::default() }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many are occupied.
    pub(super) fn busy(&self) -> usize {
        self.total - self.free()
    }

    /// Waits until a slot is free.
    pub(super) async fn wait_for_one(&self) {
        // The semaphore is never closed.
        drop(self.free.acquire().await);
    }

    /// Puts a step into a slot; `None` when no slot is free: the step's lease then runs out.
    pub(super) fn hold(&self, step: Step) -> Option<HeldStep> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let holding = Holding { job: step.job.clone(), fence: step.fence };
        let is_lost = Arc::new(AtomicBool::new(false));
        self.held().insert(holding.clone(), Arc::clone(&is_lost));
        Some(HeldStep { step, hold: Hold { holding, is_lost, slots: self.clone() }, _permit: permit })
    }

    /// What this pod holds now.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        self.held().keys().cloned().collect()
    }

    /// Says that another pod has taken `job` over. Returns whether this pod still worked on it.
    pub(super) fn lose(&self, job: &JobId, holdings: &[Holding]) -> bool {
        let held = self.held();
        // Only what was asked about: the job may have been claimed here anew since.
        let lost = holdings.iter().filter(|holding| holding.job == *job).filter_map(|holding| held.get(holding));
        lost.map(|is_lost| is_lost.store(true, Ordering::Relaxed)).count() > 0
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Holding, Arc<AtomicBool>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Whether another pod has taken the job over.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.slots.held().remove(&self.holding);
    }
}
