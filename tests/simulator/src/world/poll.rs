//! What polls see: one task, a batch, or the newest tasks.

use serde_json::{Value, json};

use super::{World, order::id_text};
use crate::{
    script::{FetchStep, Sight},
    task::Phase,
    wire::{Plan, TEXT, Wire},
};

/// How many tasks `GET /mj/task/list` shows.
const NEWEST: usize = 100;

impl World {
    /// `GET /mj/task/{id}/fetch`.
    pub(crate) fn fetch(&mut self, id: &str, base_url: &str, now_ms: u64) -> Plan {
        self.oracle.polled("fetch", now_ms);
        let Some(number) = self.known(id) else {
            let wire = self.knobs.dialect.unknown_task();
            return self.plan(wire, 0);
        };
        let step = self.count_poll(number).or_else(|| self.random_sight()).unwrap_or_default();
        let wire = match &step.answer {
            Sight::Truth => {
                let task = self.tell(number, base_url, now_ms);
                self.knobs.dialect.ok(&task)
            }
            Sight::Unknown => self.knobs.dialect.unknown_task(),
            Sight::Renumbered => {
                let mut task = self.tell(number, base_url, now_ms);
                task["id"] = json!(format!("1748{number:012}"));
                self.knobs.dialect.ok(&task)
            }
            Sight::Fault(fault) => self.knobs.dialect.ok(&self.show(number, base_url, now_ms)).damaged(fault),
        };
        self.plan(wire, step.delay_ms)
    }

    /// `POST /mj/task/list-by-condition`: the known tasks among the given ids, in no useful order.
    pub(crate) fn fetch_many(&mut self, body: &[u8], base_url: &str, now_ms: u64) -> Plan {
        if !self.knobs.list_by_condition {
            self.oracle.request("list-by-condition");
            return self.plan(Wire::body(404, TEXT, "404 page not found"), 0);
        }
        self.oracle.polled("list-by-condition", now_ms);
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let ids = body["ids"].as_array().map(Vec::as_slice).unwrap_or_default();

        let mut shown = Vec::new();
        let mut damage = None;
        let mut delay_ms = 0;
        // In reverse order, because clients must not rely on the order.
        for id in ids.iter().rev().filter_map(id_text) {
            let Some(number) = self.known(&id) else { continue };
            let step = self.count_poll(number).unwrap_or_default();
            delay_ms = delay_ms.max(step.delay_ms);
            match step.answer {
                Sight::Truth => shown.push(number),
                // The caller did not ask for a task with this other id.
                Sight::Unknown | Sight::Renumbered => {}
                Sight::Fault(fault) => damage = Some(fault),
            }
        }
        if let Some(FetchStep { answer: Sight::Fault(fault), .. }) = self.random_sight() {
            damage = Some(fault);
        }

        let wire = match damage {
            None => {
                let tasks: Vec<_> = shown.into_iter().map(|number| self.tell(number, base_url, now_ms)).collect();
                self.knobs.dialect.ok(&json!(tasks))
            }
            Some(fault) => {
                let tasks: Vec<_> = shown.into_iter().map(|number| self.show(number, base_url, now_ms)).collect();
                self.knobs.dialect.ok(&json!(tasks)).damaged(&fault)
            }
        };
        self.plan(wire, delay_ms)
    }

    /// `GET /mj/task/list`: the newest hundred tasks, newest first. This does not count as a poll.
    pub(crate) fn list(&mut self, base_url: &str, now_ms: u64) -> Plan {
        self.oracle.request("list");
        if !self.knobs.task_list || !self.knobs.dialect.has_list_and_cancel() {
            return self.plan(Wire::body(404, TEXT, "404 page not found"), 0);
        }
        let newest = (0..self.tasks.len()).rev().take(NEWEST);
        let tasks: Vec<_> = newest.map(|number| self.show(number, base_url, now_ms)).collect();
        self.plan(self.knobs.dialect.ok(&json!(tasks)), 0)
    }

    fn known(&mut self, id: &str) -> Option<usize> {
        self.oracle.stats.polls += 1;
        let number = self.number(id);
        if number.is_none() {
            self.oracle.stats.polls_of_unknown += 1;
        }
        number
    }

    /// Counts a poll of this task, and returns what the script shows to it.
    fn count_poll(&mut self, number: usize) -> Option<FetchStep> {
        let task = &mut self.tasks[number];
        let position = task.polls;
        task.polls += 1;
        if task.is_end_reported {
            task.polls_after_end += 1;
            self.oracle.stats.polls_after_end += 1;
        }
        task.script.as_ref().and_then(|script| script.fetch_step(position)).cloned()
    }

    fn random_sight(&mut self) -> Option<FetchStep> {
        self.knobs.fetch_faults.iter().find(|odds| self.dice.says(odds.rate)).map(|odds| odds.step.clone())
    }

    /// The task object. If the task has ended, its end counts as shown from now on.
    fn tell(&mut self, number: usize, base_url: &str, now_ms: u64) -> Value {
        if self.tasks[number].phase(now_ms) == Phase::Ended {
            self.tasks[number].is_end_reported = true;
        }
        self.show(number, base_url, now_ms)
    }

    fn show(&self, number: usize, base_url: &str, now_ms: u64) -> Value {
        let base_url = self.knobs.public_url.as_deref().unwrap_or(base_url);
        self.knobs.dialect.task(&self.tasks[number], base_url, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{knobs::Knobs, oracle::Oracle, world::Submit};

    fn world_with(prompts: &[&str]) -> (World, Vec<String>) {
        let mut world = World::new(Knobs::default(), Oracle::default(), 0);
        for prompt in prompts {
            let body = json!({"prompt": prompt}).to_string();
            world.submit(Submit { action: "imagine", speed: None, body: body.as_bytes(), base_url: "" }, 0);
        }
        let ids = world.oracle.ledger().iter().map(|creation| creation.task.clone()).collect();
        (world, ids)
    }

    fn text(plan: Plan) -> String {
        match plan.wire {
            Wire::Full { body, .. } => String::from_utf8_lossy(&body).into_owned(),
            other => panic!("{other:?} is no whole answer"),
        }
    }

    #[test]
    fn polls_after_the_end_was_told_are_counted() {
        let (mut world, ids) = world_with(&["fox"]);

        for now_ms in [10, 5000, 5001, 5002] {
            world.fetch(&ids[0], "", now_ms);
        }

        assert_eq!((world.oracle.stats.polls, world.oracle.stats.polls_after_end), (4, 2));
        assert_eq!(world.task(&ids[0]).unwrap().polls_after_end, 2);
    }

    #[test]
    fn an_end_that_was_lost_on_the_way_has_not_been_told() {
        let (mut world, ids) = world_with(&["fox [sim: fetch=close]"]);

        world.fetch(&ids[0], "", 5000);
        world.fetch(&ids[0], "", 5001);

        assert_eq!(world.oracle.stats.polls_after_end, 0);
    }

    #[test]
    fn a_batch_leaves_unknown_tasks_out() {
        let (mut world, ids) = world_with(&["fox", "cat [sim: fetch=unknown]"]);
        let body = json!({"ids": [ids[0], "999", ids[1]]}).to_string();

        let first: Vec<Value> = serde_json::from_str(&text(world.fetch_many(body.as_bytes(), "", 1))).unwrap();
        let second: Vec<Value> = serde_json::from_str(&text(world.fetch_many(body.as_bytes(), "", 1))).unwrap();

        assert_eq!(first.len(), 1);
        assert_eq!(second.len(), 2);
        assert_eq!(world.oracle.stats.polls_of_unknown, 2);
    }
}
