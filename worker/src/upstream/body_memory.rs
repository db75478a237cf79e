//! Memory for large bodies: limits what all bodies that are being read may hold together.
//!
//! Each body has some memory of its own, which is enough for nearly all. A body that finds no more memory is given up
//! at once, and comes again later. It does not wait: over HTTP/2, an unread body keeps others on its connection from
//! being read.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory that bodies share.
#[derive(Debug)]
pub(crate) struct BodyMemory(Semaphore);

/// The memory that one body holds, for as long as this exists.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    memory: Option<&'a BodyMemory>,
    held: Option<SemaphorePermit<'a>>,
    /// The bytes that the body may have now.
    room: usize,
}

impl BodyMemory {
    /// The bytes that each body has for itself.
    pub(crate) const OWN: usize = 64 << 10;
    /// The bytes by which a share grows at once.
    const STEP: usize = 64 << 10;

    /// Memory of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Semaphore::new(bytes / Self::STEP))
    }

    /// The share of a body that has not begun. Without `memory`, the body may have any size.
    pub(crate) fn share(memory: Option<&Self>) -> Share<'_> {
        Share { memory, held: None, room: Self::OWN }
    }
}

impl Share<'_> {
    /// Grows the share to this many bytes. Returns whether there was enough memory.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(BodyMemory(free)) = self.memory else { return true };
        let steps = bytes.saturating_sub(self.room).div_ceil(BodyMemory::STEP);
        let Ok(more) = free.try_acquire_many(u32::try_from(steps).unwrap_or(u32::MAX)) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        self.room += steps * BodyMemory::STEP;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_what_is_beyond_their_own() {
        let memory = BodyMemory::of(3 * BodyMemory::STEP);
        let (mut one, mut other) = (BodyMemory::share(Some(&memory)), BodyMemory::share(Some(&memory)));

        assert!(one.grow_to(BodyMemory::OWN) && other.grow_to(BodyMemory::OWN), "each has this for itself");
        assert!(one.grow_to(BodyMemory::OWN + 1) && one.grow_to(BodyMemory::OWN + 2 * BodyMemory::STEP));
        assert!(!other.grow_to(BodyMemory::OWN + 2 * BodyMemory::STEP), "one step is left");
        assert!(other.grow_to(BodyMemory::OWN + BodyMemory::STEP));

        drop(one);
        assert!(other.grow_to(BodyMemory::OWN + 3 * BodyMemory::STEP));
        assert!(BodyMemory::share(None).grow_to(usize::MAX));
    }
}
