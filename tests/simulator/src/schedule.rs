//! The schedule: `slots` tasks run at once, the others wait in line, first come, first served.
//!
//! A task's duration is known when it is booked, so its start and finish are known, too. Nothing has to happen in
//! between: no timer, no thread. The bookings of waiting tasks change only when a task is cancelled or the number of
//! slots changes.

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

/// When a task holds its slot, in milliseconds: from `start_ms` until just before `finish_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) start_ms: u64,
    pub(crate) finish_ms: u64,
}

/// The line of tasks in front of the slots. The caller identifies each task by a number.
#[derive(Debug)]
pub(crate) struct Schedule {
    slots: usize,
    /// Waiting tasks in the order of their arrival, which is also the order of their starts.
    waiting: VecDeque<(usize, Booking)>,
    /// Running tasks, by their finish.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    /// When each occupied slot becomes free for the next new task, after all tasks that wait now.
    free_at: BinaryHeap<Reverse<u64>>,
}

impl Schedule {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: slots.max(1), waiting: VecDeque::new(), running: BinaryHeap::new(), free_at: BinaryHeap::new() }
    }

    /// Books the earliest slot for a task, behind all earlier tasks.
    pub(crate) fn book(&mut self, task: usize, duration_ms: u64, now_ms: u64) -> Booking {
        self.advance(now_ms);
        self.place(task, duration_ms, now_ms)
    }

    /// How many booked tasks have not started.
    pub(crate) fn waiting(&mut self, now_ms: u64) -> usize {
        self.advance(now_ms);
        self.waiting.len()
    }

    /// How many tasks hold a slot.
    pub(crate) fn running(&mut self, now_ms: u64) -> usize {
        self.advance(now_ms);
        self.running.len()
    }

    /// Whether a new task would start at once.
    pub(crate) fn has_free_slot(&mut self, now_ms: u64) -> bool {
        self.advance(now_ms);
        self.waiting.is_empty() && self.running.len() < self.slots
    }

    /// Removes a task. Returns the bookings that moved forward because of that.
    pub(crate) fn cancel(&mut self, task: usize, now_ms: u64) -> Vec<(usize, Booking)> {
        self.advance(now_ms);
        self.waiting.retain(|(other, _)| *other != task);
        self.running.retain(|Reverse((_, other))| *other != task);
        self.rebook(now_ms)
    }

    /// Changes the number of slots, and returns the bookings that moved. Running tasks keep their slots.
    pub(crate) fn resize(&mut self, slots: usize, now_ms: u64) -> Vec<(usize, Booking)> {
        self.advance(now_ms);
        self.slots = slots.max(1);
        self.rebook(now_ms)
    }

    fn place(&mut self, task: usize, duration_ms: u64, now_ms: u64) -> Booking {
        let start_ms = if self.free_at.len() < self.slots {
            now_ms
        } else {
            self.free_at.pop().map_or(now_ms, |Reverse(free_ms)| free_ms.max(now_ms))
        };
        let booking = Booking { start_ms, finish_ms: start_ms.saturating_add(duration_ms) };
        self.free_at.push(Reverse(booking.finish_ms));
        self.waiting.push_back((task, booking));
        self.advance(now_ms);
        booking
    }

    /// Moves the tasks on to the present time.
    fn advance(&mut self, now_ms: u64) {
        while let Some((task, booking)) = self.waiting.front().copied()
            && booking.start_ms <= now_ms
        {
            self.waiting.pop_front();
            self.running.push(Reverse((booking.finish_ms, task)));
        }
        while self.running.peek().is_some_and(|Reverse((finish_ms, _))| *finish_ms <= now_ms) {
            self.running.pop();
        }
        while self.free_at.peek().is_some_and(|Reverse(free_ms)| *free_ms <= now_ms) {
            self.free_at.pop();
        }
    }

    fn rebook(&mut self, now_ms: u64) -> Vec<(usize, Booking)> {
        let mut finishes: Vec<_> = self.running.iter().map(|Reverse((at, _))| *at).collect();
        finishes.sort_unstable();
        // With more running tasks than slots, a slot becomes free only after the surplus is gone. So the earliest
        // finishes free no slot.
        let surplus = finishes.len().saturating_sub(self.slots);
        self.free_at = finishes.into_iter().skip(surplus).map(Reverse).collect();

        let mut moved = Vec::new();
        for (task, old) in std::mem::take(&mut self.waiting) {
            let new = self.place(task, old.finish_ms - old.start_ms, now_ms);
            if new != old {
                moved.push((task, new));
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_free_slot_starts_at_once_and_a_taken_one_when_it_is_free() {
        let mut schedule = Schedule::new(2);

        let starts: Vec<_> = [100, 50, 10, 10].iter().map(|ms| schedule.book(0, *ms, 1000).start_ms).collect();

        assert_eq!(starts, [1000, 1000, 1050, 1060]);
        assert_eq!((schedule.running(1000), schedule.waiting(1000)), (2, 2));
        assert_eq!((schedule.running(1055), schedule.waiting(1055)), (2, 1));
        assert_eq!((schedule.running(1100), schedule.waiting(1100)), (0, 0));
    }

    #[test]
    fn a_cancelled_task_gives_its_slot_to_the_next() {
        let mut schedule = Schedule::new(1);
        schedule.book(1, 100, 0);
        schedule.book(2, 100, 0);
        schedule.book(3, 100, 0);

        let moved = schedule.cancel(1, 40);

        assert_eq!(moved[0], (2, Booking { start_ms: 40, finish_ms: 140 }));
        assert_eq!(moved[1], (3, Booking { start_ms: 140, finish_ms: 240 }));
    }

    #[test]
    fn fewer_slots_let_the_running_ones_finish() {
        let mut schedule = Schedule::new(3);
        for (task, ms) in [(1, 10), (2, 20), (3, 30), (4, 5)] {
            schedule.book(task, ms, 0);
        }

        let moved = schedule.resize(1, 0);

        assert_eq!(moved, [(4, Booking { start_ms: 30, finish_ms: 35 })]);
    }

    proptest! {
        #[test]
        fn no_more_than_the_slots_ever_run_and_nobody_waits_beside_a_free_one(
            slots in 1usize..5,
            arrivals in prop::collection::vec((0u64..30, 1u64..50), 1..60),
        ) {
            let mut schedule = Schedule::new(slots);
            let mut now = 0;
            let mut bookings = Vec::new();
            for (task, (gap, duration)) in arrivals.into_iter().enumerate() {
                now += gap;
                bookings.push((now, schedule.book(task, duration, now)));
            }

            for (came, booking) in &bookings {
                let running_at = |at: u64| {
                    bookings.iter().filter(|(_, b)| b.start_ms <= at && at < b.finish_ms).count()
                };
                prop_assert!(running_at(booking.start_ms) <= slots);
                if booking.start_ms > *came {
                    prop_assert!(running_at(booking.start_ms - 1) == slots);
                }
            }
        }
    }
}
