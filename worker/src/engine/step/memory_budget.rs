//! The memory budget: limits how much of large jobs the steps of one pod hold at once.
//!
//! Jobs may have pictures of several megabytes, and a pod has hundreds of slots. So a step that reads a large job first
//! reserves room for it. A job that is larger than the budget takes all of it.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Room for large jobs, which all steps of one kind share.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    /// The free KiB.
    free: Semaphore,
    /// The places of steps that wait for room, each of which holds its slot meanwhile.
    queue: Semaphore,
}

impl MemoryBudget {
    const TOTAL_KIB: usize = 16 * 1024;
    /// How many steps may wait. A longer queue would keep slots from other steps and gain nothing: a step that is
    /// turned away comes back in time.
    const QUEUE: usize = 1;

    /// Makes a budget, all of it free.
    pub(crate) fn new() -> Self {
        Self { free: Semaphore::new(Self::TOTAL_KIB), queue: Semaphore::new(Self::QUEUE) }
    }

    /// Takes room for so many bytes, until the permit is dropped. Waits up to `patience`, unless another step waits
    /// already; `None` if no room came.
    pub(crate) async fn room_within(&self, bytes: u64, patience: Duration) -> Option<SemaphorePermit<'_>> {
        let kib = Self::kib(bytes);
        if let Ok(room) = self.free.try_acquire_many(kib) {
            return Some(room);
        }
        let _place = self.queue.try_acquire().ok()?;
        tokio::time::timeout(patience, self.free.acquire_many(kib)).await.ok()?.ok()
    }

    /// Takes room for so many bytes, until the permit is dropped. Waits for as long as it takes.
    pub(crate) async fn room_for(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.free.acquire_many(Self::kib(bytes)).await.ok()
    }

    fn kib(bytes: u64) -> u32 {
        (bytes / 1024 + 1).min(Self::TOTAL_KIB as u64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_waits_for_room_and_only_one_waits() {
        let budget = MemoryBudget::new();
        let first = budget.room_within(9 * MIB, PATIENCE).await.unwrap();

        let waiting = budget.room_within(9 * MIB, PATIENCE);
        let others = async {
            tokio::task::yield_now().await;
            let refused = tokio::time::timeout(Duration::ZERO, budget.room_within(9 * MIB, PATIENCE)).await;
            assert!(refused.is_ok_and(|room| room.is_none()), "one waits already");
            drop(first);
        };

        let (room, ()) = tokio::join!(waiting, others);
        assert!(room.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_the_largest_goes_alone() {
        let budget = MemoryBudget::new();

        let largest = budget.room_within(900 * MIB, PATIENCE).await.unwrap();
        assert!(budget.room_within(1, PATIENCE).await.is_none());
        drop(largest);

        assert!(budget.room_within(1, PATIENCE).await.is_some());
    }
}
