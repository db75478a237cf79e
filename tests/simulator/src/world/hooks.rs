//! The due callbacks: one entry for each task with a hook, at the time of the task's next change.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    dice::Dice,
    knobs::Knobs,
    oracle::Stats,
    task::{Phase, Task},
};

/// A callback that is to be sent now.
#[derive(Debug)]
pub(crate) struct Callback {
    pub(crate) url: String,
    /// The whole task object.
    pub(crate) body: String,
}

/// The tasks with hooks, ordered by their next change.
#[derive(Debug, Default)]
pub(super) struct HookBook {
    line: BinaryHeap<Reverse<(u64, usize)>>,
    has_changed: bool,
}

impl HookBook {
    /// Plans to check this task again at the given time. Too many checks do no harm.
    pub(super) fn expect(&mut self, number: usize, task: &Task, at_ms: u64) {
        if task.hook.is_some() {
            self.line.push(Reverse((at_ms, number)));
            self.has_changed = true;
        }
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    pub(super) fn due(
        &mut self,
        tasks: &mut [Task],
        knobs: &Knobs,
        dice: &mut Dice,
        stats: &mut Stats,
        now_ms: u64,
    ) -> (Vec<Callback>, Option<u64>) {
        let mut callbacks = Vec::new();
        while let Some(Reverse((at_ms, number))) = self.line.peek().copied()
            && at_ms <= now_ms
        {
            self.line.pop();
            let task = &mut tasks[number];
            if let Some(next_ms) = task.next_change_ms(now_ms) {
                self.line.push(Reverse((next_ms, number)));
            }
            let phase = task.phase(now_ms);
            if task.hooked.is_some_and(|told| phase <= told) {
                continue;
            }
            task.hooked = Some(phase);
            if knobs.hook_only_terminal && phase != Phase::Ended {
                continue;
            }
            if dice.says(knobs.hook_loss) {
                stats.hooks_lost += 1;
                continue;
            }
            let base_url = knobs.public_url.as_deref().unwrap_or(&task.base_url);
            let body = knobs.dialect.task(task, base_url, now_ms).to_string();
            callbacks.extend(task.hook.clone().map(|url| Callback { url, body }));
        }
        (callbacks, self.line.peek().map(|Reverse((at_ms, _))| *at_ms))
    }
}
