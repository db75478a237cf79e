//! Memory for large answers: what all looks that are under way may hold of them together.
//!
//! Each answer has some memory of its own, which is enough for nearly all. A look whose answer finds no more memory fails
//! at once and is made again later. It does not wait: over HTTP/2 an unread answer keeps others on its connection from
//! being read.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory that answers share.
#[derive(Debug)]
pub(super) struct AnswerMemory(Semaphore);

/// What one answer holds of it, for as long as this exists.
#[derive(Debug)]
pub(super) struct Share<'a> {
    memory: Option<&'a AnswerMemory>,
    held: Option<SemaphorePermit<'a>>,
    /// Bytes that the answer may have.
    room: usize,
}

impl AnswerMemory {
    /// What each answer has for itself, in bytes.
    pub(super) const OWN: usize = 64 << 10;
    /// Memory is taken in steps of so many bytes.
    const STEP: usize = 64 << 10;

    /// Memory of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Semaphore::new(bytes / Self::STEP))
    }

    /// The share of an answer that has not begun; without `memory`, the answer may be as large as it likes.
    pub(super) fn share(memory: Option<&Self>) -> Share<'_> {
        Share { memory, held: None, room: Self::OWN }
    }
}

impl Share<'_> {
    /// Makes room for an answer of so many bytes, and says whether there is any.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(AnswerMemory(free)) = self.memory else { return true };
        let steps = bytes.saturating_sub(self.room).div_ceil(AnswerMemory::STEP);
        let Ok(more) = free.try_acquire_many(u32::try_from(steps).unwrap_or(u32::MAX)) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        self.room += steps * AnswerMemory::STEP;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_share_what_is_beyond_their_own() {
        let memory = AnswerMemory::of(3 * AnswerMemory::STEP);
        let (mut one, mut other) = (AnswerMemory::share(Some(&memory)), AnswerMemory::share(Some(&memory)));

        assert!(one.grow_to(AnswerMemory::OWN) && other.grow_to(AnswerMemory::OWN), "each has this for itself");
        assert!(one.grow_to(AnswerMemory::OWN + 1) && one.grow_to(AnswerMemory::OWN + 2 * AnswerMemory::STEP));
        assert!(!other.grow_to(AnswerMemory::OWN + 2 * AnswerMemory::STEP), "one step is left");
        assert!(other.grow_to(AnswerMemory::OWN + AnswerMemory::STEP));

        drop(one);
        assert!(other.grow_to(AnswerMemory::OWN + 3 * AnswerMemory::STEP));
        assert!(AnswerMemory::share(None).grow_to(usize::MAX));
    }
}
