//! One task: what was asked for, and what can be seen of it at any moment.
//!
//! Progress is a function of the clock and the booking, so no timer has to move a task along.

use std::sync::Arc;

use crate::{
    buttons::{self, Button},
    schedule::Booking,
    script::{Outcome, Script},
};

/// The progress steps that Discord reports.
pub(crate) const PROGRESS: [&str; 7] = ["0%", "15%", "31%", "46%", "62%", "78%", "93%"];

/// The equal parts of a run: one as SUBMITTED, and one for each step of [`PROGRESS`].
const PARTS: u64 = 1 + PROGRESS.len() as u64;

/// One task of the upstream.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// `IMAGINE`, `UPSCALE` …
    pub(crate) kind: String,
    pub(crate) prompt: String,
    pub(crate) state: Option<String>,
    pub(crate) bot_type: String,
    /// `fast`, `relax` or `turbo`.
    pub(crate) speed: String,
    pub(crate) hook: Option<String>,
    /// Which one of four images the task shows, if it shows a single one.
    pub(crate) picked: Option<u8>,
    /// The base of the task's image URLs in callbacks.
    pub(crate) base_url: String,
    pub(crate) submitted_ms: u64,
    /// `None` for a task that waits for a modal, and for a cancelled task.
    pub(crate) booking: Option<Booking>,
    pub(crate) cancelled_ms: Option<u64>,
    pub(crate) outcome: Outcome,
    pub(crate) script: Option<Arc<Script>>,
    /// The seed of the task's colours and hashes.
    pub(crate) seed: u64,
    pub(crate) polls: u32,
    pub(crate) polls_after_end: u32,
    pub(crate) is_end_reported: bool,
    /// The last phase that the hook was called for.
    pub(crate) hooked: Option<Phase>,
}

/// The phases of a task, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The task needs submit/modal to go on.
    Modal,
    /// The task waits for a slot.
    Waiting,
    /// The task has a slot, but shows no progress yet.
    Submitted,
    /// The task is at this step of [`PROGRESS`].
    Running(usize),
    /// The task has ended in any way.
    Ended,
}

impl Task {
    /// The task's phase now, as far as the upstream shows it.
    pub(crate) fn phase(&self, now_ms: u64) -> Phase {
        let phase = self.true_phase(now_ms);
        match self.stuck_at() {
            Some(stuck) if self.cancelled_ms.is_none() => phase.min(stuck),
            _ => phase,
        }
    }

    /// When the phase changes next; `None` if the task waits for an act of a client.
    pub(crate) fn next_change_ms(&self, now_ms: u64) -> Option<u64> {
        let booking = self.booking?;
        let duration = booking.finish_ms - booking.start_ms;
        let boundary = |part: u64| booking.start_ms + (duration * part).div_ceil(PARTS);
        match self.true_phase(now_ms) {
            Phase::Modal | Phase::Ended => None,
            Phase::Waiting => Some(booking.start_ms),
            Phase::Submitted => Some(boundary(1)),
            Phase::Running(step) => Some(boundary(step as u64 + 2)),
        }
    }

    /// Whether the task can be the parent of an action.
    pub(crate) fn has_succeeded(&self, now_ms: u64) -> bool {
        self.phase(now_ms) == Phase::Ended
            && self.cancelled_ms.is_none()
            && matches!(self.outcome, Outcome::Success | Outcome::NoImage)
    }

    /// The buttons below the finished image.
    pub(crate) fn buttons(&self) -> Vec<Button> {
        if matches!(self.kind.as_str(), "DESCRIBE" | "SHORTEN") {
            return Vec::new();
        }
        buttons::below(self.picked.is_some(), &self.message_hash())
    }

    /// The hash that Midjourney gives an image, in a UUID's form.
    pub(crate) fn message_hash(&self) -> String {
        let (a, b) = (self.seed, crate::dice::scramble(self.seed));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    }

    fn true_phase(&self, now_ms: u64) -> Phase {
        if self.cancelled_ms.is_some() {
            return Phase::Ended;
        }
        let Some(booking) = self.booking else { return Phase::Modal };
        if now_ms < booking.start_ms {
            return Phase::Waiting;
        }
        if now_ms >= booking.finish_ms {
            return Phase::Ended;
        }
        let duration = booking.finish_ms - booking.start_ms;
        match (now_ms - booking.start_ms) * PARTS / duration {
            0 => Phase::Submitted,
            part => Phase::Running(part as usize - 1),
        }
    }

    fn stuck_at(&self) -> Option<Phase> {
        match self.script.as_ref()?.stuck.as_deref()? {
            "NOT_START" => Some(Phase::Waiting),
            "SUBMITTED" => Some(Phase::Submitted),
            progress => PROGRESS.iter().position(|step| *step == progress).map(Phase::Running),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A task that runs from 1000 to 1800.
    pub(crate) fn a_task() -> Task {
        Task {
            id: "1730621826053455".to_owned(),
            kind: "IMAGINE".to_owned(),
            prompt: "a fox".to_owned(),
            state: Some("order 1".to_owned()),
            bot_type: "MID_JOURNEY".to_owned(),
            speed: "fast".to_owned(),
            hook: None,
            picked: None,
            base_url: "http://sim".to_owned(),
            submitted_ms: 900,
            booking: Some(Booking { start_ms: 1000, finish_ms: 1800 }),
            cancelled_ms: None,
            outcome: Outcome::Success,
            script: None,
            seed: 42,
            polls: 0,
            polls_after_end: 0,
            is_end_reported: false,
            hooked: None,
        }
    }

    #[test]
    fn a_task_goes_through_all_its_phases_by_the_clock_alone() {
        let task = a_task();

        let seen: Vec<_> = (900..2000).step_by(100).map(|now| task.phase(now)).collect();

        let running = (0..7).map(Phase::Running);
        let wanted: Vec<_> =
            [Phase::Waiting, Phase::Submitted].into_iter().chain(running).chain([Phase::Ended; 2]).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn the_next_change_is_the_first_moment_of_the_next_phase() {
        let mut task = a_task();
        task.booking = Some(Booking { start_ms: 1000, finish_ms: 1777 });

        let mut now = 900;
        while let Some(next) = task.next_change_ms(now) {
            assert!(task.phase(next) > task.phase(now));
            assert_eq!(task.phase(next - 1), task.phase(now));
            now = next;
        }

        assert_eq!(now, 1777);
    }

    #[test]
    fn a_stuck_task_never_gets_further() {
        let mut task = a_task();
        task.script = Some(Arc::new("stuck=46%".parse().unwrap()));

        assert_eq!(task.phase(1_000_000), Phase::Running(3));
        assert!(!task.has_succeeded(1_000_000));
    }
}
