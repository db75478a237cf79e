//! The whole state of the upstream, and its decisions. Nothing here waits, and nothing reads a clock.

mod hooks;
mod order;
mod poll;
mod submit;

use std::{collections::HashMap, sync::Arc};

pub(crate) use self::{hooks::Callback, order::Submit};
use self::{hooks::HookBook, order::Order};
use crate::{
    dice::{self, Dice},
    ids::IdSource,
    image::Picture,
    knobs::Knobs,
    oracle::{Creation, Oracle, Stats},
    playbook::Playbook,
    schedule::{Booking, Schedule},
    script::{Outcome, Script},
    task::{Phase, Task},
    wire::{Plan, Wire},
};

/// Reasons for which real tasks fail.
const REASONS: [&str; 4] =
    ["Job Timeout", "[Internal error] Something went wrong", "任务超时", "Failed to process your command :c"];

/// One upstream.
#[derive(Debug)]
pub(crate) struct World {
    knobs: Knobs,
    pub(crate) oracle: Oracle,
    pub(crate) playbook: Playbook,
    schedule: Schedule,
    tasks: Vec<Task>,
    by_id: HashMap<String, usize>,
    /// The newest task of each subject.
    by_subject: HashMap<String, usize>,
    ids: IdSource,
    dice: Dice,
    hooks: HookBook,
}

impl World {
    pub(crate) fn new(knobs: Knobs, oracle: Oracle, now_ms: u64) -> Self {
        Self {
            schedule: Schedule::new(knobs.slots),
            dice: Dice::seeded(knobs.seed),
            knobs,
            oracle,
            playbook: Playbook::default(),
            tasks: Vec::new(),
            by_id: HashMap::new(),
            by_subject: HashMap::new(),
            ids: IdSource::start(now_ms),
            hooks: HookBook::default(),
        }
    }

    pub(crate) fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Changes the knobs. If the number of slots changes, waiting tasks move.
    pub(crate) fn turn(&mut self, knobs: Knobs, now_ms: u64) {
        if knobs.seed != self.knobs.seed {
            self.dice = Dice::seeded(knobs.seed);
        }
        if knobs.slots != self.knobs.slots {
            let moved = self.schedule.resize(knobs.slots, now_ms);
            self.rebook(moved);
        }
        self.knobs = knobs;
    }

    /// Forgets all tasks, scripts and figures. The knobs stay, and old ids are not given out again.
    pub(crate) fn reset(&mut self) {
        self.schedule = Schedule::new(self.knobs.slots);
        self.dice = Dice::seeded(self.knobs.seed);
        self.playbook = Playbook::default();
        self.tasks.clear();
        self.by_id.clear();
        self.by_subject.clear();
        self.hooks = HookBook::default();
        self.oracle.reset();
    }

    pub(crate) fn task(&self, id: &str) -> Option<&Task> {
        self.number(id).map(|number| &self.tasks[number])
    }

    /// The figures, including those that only the schedule knows.
    pub(crate) fn stats(&mut self, now_ms: u64) -> Stats {
        let mut stats = self.oracle.stats.clone();
        stats.waiting = self.schedule.waiting(now_ms) as u64;
        stats.running = self.schedule.running(now_ms) as u64;
        stats
    }

    /// The picture behind `<id>` or, while the task runs, `<id>-<step>`.
    pub(crate) fn picture(&mut self, name: &str) -> Option<Picture> {
        self.oracle.request("image");
        let (task, step) = match self.task(name) {
            Some(task) => (task, None),
            None => {
                let (id, step) = name.rsplit_once('-')?;
                (self.task(id)?, Some(step.parse().ok()?))
            }
        };
        Some(Picture { seed: dice::hash(&task.prompt), variant: task.seed, picked: task.picked, step })
    }

    /// The due callbacks, and when the next one is due.
    pub(crate) fn due_callbacks(&mut self, now_ms: u64) -> (Vec<Callback>, Option<u64>) {
        self.hooks.due(&mut self.tasks, &self.knobs, &mut self.dice, &mut self.oracle.stats, now_ms)
    }

    /// Whether the line of callbacks has changed since the last call of this function.
    pub(crate) fn has_new_callbacks(&mut self) -> bool {
        self.hooks.take_changed()
    }

    /// Cancels a task that has not ended.
    pub(crate) fn cancel(&mut self, id: &str, now_ms: u64) -> Plan {
        self.oracle.request("cancel");
        let dialect = self.knobs.dialect;
        if !dialect.has_list_and_cancel() {
            return self.plan(Wire::body(404, crate::wire::TEXT, "404 page not found"), 0);
        }
        if self.oracle.stats.requests.get("cancel").is_some_and(|asked| *asked <= self.knobs.cancel_refusals) {
            return self.plan(Wire::body(503, crate::wire::TEXT, "try again"), 0);
        }
        let Some(number) = self.number(id) else { return self.plan(dialect.unknown_task(), 0) };
        if self.tasks[number].phase(now_ms) != Phase::Ended {
            self.tasks[number].cancelled_ms = Some(now_ms);
            self.hooks.expect(number, &self.tasks[number], now_ms);
            let moved = self.schedule.cancel(number, now_ms);
            self.rebook(moved);
        }
        self.plan(dialect.cancelled(id), 0)
    }

    fn number(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    fn is_modal(&self, number: usize, now_ms: u64) -> bool {
        self.tasks[number].phase(now_ms) == Phase::Modal
    }

    fn plan(&mut self, wire: Wire, delay_ms: u64) -> Plan {
        let latency_ms = self.knobs.latency.pick_ms(self.dice.roll());
        Plan { wire, delay: std::time::Duration::from_millis(latency_ms + delay_ms) }
    }

    /// Creates the task for an order, or continues the task that the order continues.
    ///
    /// The caller has checked the capacity, or wants to ignore it.
    fn create(&mut self, order: &Order, script: Option<&Arc<Script>>, now_ms: u64) -> usize {
        if let Some(number) = order.continues {
            order.prompt.clone_into(&mut self.tasks[number].prompt);
            self.start(number, now_ms);
            return number;
        }

        let number = self.tasks.len();
        let id = self.ids.next(self.knobs.id_style(), now_ms);
        let outcome = self.outcome(order, script);
        let waits_for_window = order.opens_window || outcome == Outcome::Modal;
        self.oracle.created(Creation {
            task: id.clone(),
            prompt: order.prompt.clone(),
            state: order.state.clone(),
            action: order.kind.clone(),
            at_ms: now_ms,
            parent: order.parent.map(|parent| self.tasks[parent].id.clone()),
            custom_id: order.custom_id.clone(),
        });
        self.by_id.insert(id.clone(), number);
        self.by_subject.insert(order.subject().to_owned(), number);
        self.tasks.push(Task {
            seed: dice::scramble(dice::hash(&id) ^ self.knobs.seed),
            id,
            kind: order.kind.clone(),
            prompt: order.prompt.clone(),
            state: order.state.clone(),
            bot_type: order.bot_type.clone(),
            speed: order.speed.clone(),
            hook: order.hook.clone().filter(|_| self.knobs.hooks && self.knobs.dialect.has_hooks()),
            picked: order.picked,
            base_url: order.base_url.clone(),
            submitted_ms: now_ms,
            booking: None,
            cancelled_ms: None,
            outcome,
            script: script.cloned(),
            polls: 0,
            polls_after_end: 0,
            is_end_reported: false,
            hooked: None,
        });
        if waits_for_window {
            self.hooks.expect(number, &self.tasks[number], now_ms);
        } else {
            self.start(number, now_ms);
        }
        number
    }

    /// Gives a task its place in the schedule.
    fn start(&mut self, number: usize, now_ms: u64) {
        let task = &self.tasks[number];
        let scripted = task.script.as_ref().and_then(|script| script.duration);
        let span = scripted.unwrap_or_else(|| self.knobs.duration_of(&task.kind, &task.speed));
        // The roll depends on the task's number, so that other requests do not change the task's duration.
        let duration_ms = span.pick_ms(dice::scramble(self.knobs.seed ^ dice::scramble(number as u64)));
        let booking = self.schedule.book(number, duration_ms, now_ms);
        self.tasks[number].booking = Some(booking);
        self.hooks.expect(number, &self.tasks[number], now_ms);
        let open = self.schedule.waiting(now_ms) + self.schedule.running(now_ms);
        self.oracle.saw_open(open);
    }

    fn outcome(&mut self, order: &Order, script: Option<&Arc<Script>>) -> Outcome {
        if let Some(outcome) = script.and_then(|script| script.outcome.clone()) {
            return outcome;
        }
        if order.banned_word(self).is_some() {
            return Outcome::Failure("可能包含敏感词".to_owned());
        }
        if self.dice.says(self.knobs.failure_rate) {
            let reason = REASONS[(self.dice.roll() % REASONS.len() as u64) as usize];
            return Outcome::Failure(reason.to_owned());
        }
        Outcome::Success
    }

    fn rebook(&mut self, moved: Vec<(usize, Booking)>) {
        for (number, booking) in moved {
            self.tasks[number].booking = Some(booking);
            self.hooks.expect(number, &self.tasks[number], booking.start_ms);
        }
    }
}
