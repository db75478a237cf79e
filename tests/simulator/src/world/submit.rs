//! How a submit is answered: by its script, else by chance, else by capacity.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    World,
    order::{Order, Submit},
};
use crate::{
    dialect::{Dialect, Refusal, Reply, usual_words},
    script::{Answer, Coded, Fault, Script, SubmitStep, WithId},
    wire::{Plan, Wire},
};

/// An answer, and its name in the statistics.
type Named = (Wire, String);

impl World {
    /// Handles a submit. When this returns, a created task exists, and is in the books.
    pub(crate) fn submit(&mut self, submit: Submit<'_>, now_ms: u64) -> Plan {
        let order = Order::read(self, submit, now_ms);
        self.oracle.submitted(order.subject(), now_ms);
        let (script, step) = match self.playbook.take(order.cue()) {
            Some((script, position)) => {
                let step = script.submit_step(position).cloned();
                (Some(script), step)
            }
            None => (None, self.random_step()),
        };
        let step = step.unwrap_or_default();
        let (wire, name) = self.answer(&order, script.as_ref(), &step, now_ms);
        self.oracle.answered(&name);
        self.plan(wire, step.delay_ms)
    }

    fn random_step(&mut self) -> Option<SubmitStep> {
        self.knobs.submit_faults.iter().find(|odds| self.dice.says(odds.rate)).map(|odds| odds.step.clone())
    }

    fn answer(&mut self, order: &Order, script: Option<&Arc<Script>>, step: &SubmitStep, now_ms: u64) -> Named {
        match &step.answer {
            Answer::Usual => self.usual(order, script, now_ms),
            Answer::Code(coded) => self.coded(order, script, coded, step.after, now_ms),
            Answer::Fault(fault) if step.after => {
                let (wire, name) = self.usual(order, script, now_ms);
                (wire.damaged(fault), format!("{} after {name}", fault_name(fault)))
            }
            Answer::Fault(fault) => {
                let wire = self.knobs.dialect.reply(&Reply::new(1, usual_words(1)));
                (wire.damaged(fault), format!("{} before", fault_name(fault)))
            }
        }
    }

    fn usual(&mut self, order: &Order, script: Option<&Arc<Script>>, now_ms: u64) -> Named {
        if let Some(refusal) = &order.refusal {
            return self.refused(refusal);
        }
        if let Some(reply) = self.remembered(order, now_ms) {
            return self.accepted(reply);
        }
        if order.opens_window {
            let number = self.create(order, script, now_ms);
            let properties = json!({"finalPrompt": order.prompt, "remix": true});
            return self.accepted(self.reply_with(21, number).with_properties(properties));
        }

        let has_free_slot = self.schedule.has_free_slot(now_ms);
        if !has_free_slot && self.schedule.waiting(now_ms) >= self.knobs.queue {
            return self.refused(&Refusal::Full);
        }
        let number = self.create(order, script, now_ms);
        if self.is_modal(number, now_ms) {
            let properties = json!({"finalPrompt": order.prompt, "remix": true});
            return self.accepted(self.reply_with(21, number).with_properties(properties));
        }
        let reply = if has_free_slot { self.reply_with(1, number) } else { self.queued(number, now_ms) };
        self.accepted(reply)
    }

    /// An earlier task for the same upscale: the old `change` of the Java original finds it again.
    fn remembered(&self, order: &Order, now_ms: u64) -> Option<Reply> {
        if !order.is_change || order.kind != "UPSCALE" || self.knobs.dialect != Dialect::Java {
            return None;
        }
        let number = *self.by_subject.get(order.subject())?;
        Some(self.existing(number, now_ms))
    }

    fn coded(
        &mut self,
        order: &Order,
        script: Option<&Arc<Script>>,
        coded: &Coded,
        is_created: bool,
        now_ms: u64,
    ) -> Named {
        let with_id = match coded.id {
            WithId::Usual if matches!(coded.code, 1 | 21 | 22) => WithId::New,
            WithId::Usual => WithId::No,
            chosen => chosen,
        };
        let known = self.by_subject.get(order.subject()).copied();
        let can_create = order.refusal.is_none();
        let mut reply = match (with_id, known) {
            (WithId::Existing, Some(number)) => self.existing(number, now_ms),
            (WithId::New | WithId::Existing, _) if can_create => {
                let number = self.create(order, script, now_ms);
                if coded.code == 22 { self.queued(number, now_ms) } else { self.reply_with(coded.code, number) }
            }
            _ => {
                if is_created && can_create {
                    self.create(order, script, now_ms);
                }
                without_id(coded.code, order)
            }
        };
        reply.code = coded.code;
        if let Some(description) = &coded.description {
            description.clone_into(&mut reply.description);
        }
        if let Some(properties) = &coded.properties {
            reply.properties = Some(properties.clone());
        }
        (self.knobs.dialect.reply(&reply), coded.code.to_string())
    }

    fn accepted(&self, reply: Reply) -> Named {
        let name = reply.code.to_string();
        (self.knobs.dialect.accept(reply), name)
    }

    fn refused(&self, refusal: &Refusal) -> Named {
        (self.knobs.dialect.refuse(refusal), refusal.name().to_owned())
    }

    fn reply_with(&self, code: i64, number: usize) -> Reply {
        let task = &self.tasks[number];
        let words = match code {
            21 if task.booking.is_none() => "Waiting for window confirm",
            code => usual_words(code),
        };
        Reply::new(code, words)
            .with_id(task.id.clone())
            .with_properties(json!({"discordInstanceId": "1118138338562560102"}))
    }

    fn queued(&mut self, number: usize, now_ms: u64) -> Reply {
        let ahead = self.schedule.waiting(now_ms).max(1);
        let properties = json!({"numberOfQueues": ahead, "discordInstanceId": "1118138338562560102"});
        let mut reply = self.reply_with(22, number).with_properties(properties);
        reply.description = format!("排队中，前面还有{ahead}个任务");
        reply
    }

    fn existing(&self, number: usize, now_ms: u64) -> Reply {
        let task = &self.tasks[number];
        let seen = self.knobs.dialect.task(task, &task.base_url, now_ms);
        let properties = json!({"status": seen["status"], "imageUrl": seen["imageUrl"]});
        self.reply_with(21, number).with_properties(properties)
    }
}

fn without_id(code: i64, order: &Order) -> Reply {
    let reply = Reply::new(code, usual_words(code));
    match code {
        22 => reply.with_properties(json!({"numberOfQueues": 1})),
        24 => {
            let word = order.prompt.split_whitespace().next().map_or(Value::Null, Value::from);
            reply.with_properties(json!({"promptEn": order.prompt, "bannedWord": word}))
        }
        _ => reply,
    }
}

fn fault_name(fault: &Fault) -> String {
    match fault {
        Fault::Status { status, .. } => format!("http {status}"),
        Fault::Empty => "empty".to_owned(),
        Fault::Broken => "broken".to_owned(),
        Fault::Html => "html".to_owned(),
        Fault::Half => "half".to_owned(),
        Fault::Close => "close".to_owned(),
        Fault::Reset => "reset".to_owned(),
        Fault::Hang => "hang".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{knobs::Knobs, oracle::Oracle};

    fn world(knobs: Knobs) -> World {
        World::new(knobs, Oracle::default(), 0)
    }

    fn submit(world: &mut World, action: &str, body: &Value, now_ms: u64) -> Value {
        let body = body.to_string();
        let submit = Submit { action, speed: None, body: body.as_bytes(), base_url: "http://sim" };
        match world.submit(submit, now_ms).wire {
            Wire::Full { body, .. } => serde_json::from_slice(&body).unwrap_or_default(),
            other => panic!("{other:?} is no whole answer"),
        }
    }

    fn imagine(world: &mut World, prompt: &str) -> Value {
        submit(world, "imagine", &json!({"prompt": prompt}), 0)
    }

    #[test]
    fn slots_are_filled_then_the_line_then_nobody_is_taken() {
        let mut world = world(Knobs { slots: 2, queue: 2, ..Knobs::default() });

        let answers: Vec<_> = (0..5).map(|n| imagine(&mut world, &format!("fox {n}"))).collect();

        let codes: Vec<_> = answers.iter().map(|answer| answer["code"].as_i64().unwrap()).collect();
        assert_eq!(codes, [1, 1, 22, 22, 23]);
        assert_eq!(answers[3]["properties"]["numberOfQueues"], 2);
        assert_eq!(answers[3]["description"], "排队中，前面还有2个任务");
        assert!(answers[3]["result"].is_u64());
        assert_eq!(answers[4]["result"], Value::Null);
        assert_eq!(world.oracle.ledger().len(), 4);
    }

    #[test]
    fn an_action_needs_a_finished_parent_that_has_the_button() {
        let mut world = world(Knobs::default());
        let id = imagine(&mut world, "fox")["result"].to_string();
        let button = world.task(&id).unwrap().buttons()[0].custom_id.clone();
        let mut press = |custom_id: &str, now_ms| {
            submit(&mut world, "action", &json!({"taskId": id, "customId": custom_id}), now_ms)["code"].clone()
        };

        assert_eq!(press(&button, 500), 3);
        assert_eq!(press("MJ::JOB::upsample::9::x", 1000), 3);
        assert_eq!(press(&button, 1000), 1);
        assert_eq!(world.oracle.times_created(&button), 1);
        assert_eq!(world.oracle.times_created("fox"), 1);
    }

    #[test]
    fn a_window_is_confirmed_by_a_modal_once() {
        let mut world = world(Knobs::default());
        let id = imagine(&mut world, "fox")["result"].to_string();
        let u1 = world.task(&id).unwrap().buttons()[0].custom_id.clone();
        let single = submit(&mut world, "action", &json!({"taskId": id, "customId": u1}), 1000)["result"].to_string();
        let zoom = world.task(&single).unwrap().buttons().into_iter().find(|b| b.label == "Custom Zoom").unwrap();

        let opened = submit(&mut world, "action", &json!({"taskId": single, "customId": zoom.custom_id}), 2000);
        let modal = json!({"taskId": opened["result"], "prompt": "a wide fox"});
        let confirmed = submit(&mut world, "modal", &modal, 9000);
        let again = submit(&mut world, "modal", &modal, 9001);

        assert_eq!((&opened["code"], &opened["description"]), (&json!(21), &json!("Waiting for window confirm")));
        assert_eq!((&confirmed["code"], &confirmed["result"]), (&json!(1), &opened["result"]));
        assert_eq!(again["code"], 3);
        let task = world.task(&opened["result"].to_string()).unwrap();
        assert_eq!(world.knobs.dialect.task(task, "", 10_000)["status"], "SUCCESS");
    }

    #[test]
    fn codes_can_be_scripted_with_and_without_a_task() {
        let mut world = world(Knobs::default());
        let mut code_and_id = |prompt: &str| {
            let answer = imagine(&mut world, prompt);
            (answer["code"].as_i64().unwrap(), !answer["result"].is_null())
        };

        assert_eq!(code_and_id("a [sim: code=24]"), (24, false));
        assert_eq!(code_and_id("b [sim: code=22]"), (22, true));
        assert_eq!(code_and_id("c [sim: code=22 id=no]"), (22, false));
        assert_eq!(code_and_id("d [sim: code=9 after]"), (9, false));
        assert_eq!(code_and_id("e [sim: modal]"), (21, true));
        assert_eq!(world.oracle.times_created("d [sim: code=9 after]"), 1);
        assert_eq!(world.oracle.times_created("c [sim: code=22 id=no]"), 0);
    }

    #[test]
    fn a_fault_after_the_creation_leaves_a_task_and_one_before_does_not() {
        let mut world = world(Knobs::default());
        for when in ["before", "after"] {
            let body = json!({"prompt": format!("[sim: reset={when}]")}).to_string();
            let submit = Submit { action: "imagine", speed: None, body: body.as_bytes(), base_url: "" };
            assert!(matches!(world.submit(submit, 0).wire, Wire::Cut(_)));
        }

        assert_eq!(world.oracle.times_created("[sim: reset=before]"), 0);
        assert_eq!(world.oracle.times_created("[sim: reset=after]"), 1);
    }

    #[test]
    fn a_cancelled_task_lets_the_next_one_start() {
        let mut world = world(Knobs { slots: 1, duration: Duration::from_secs(10).into(), ..Knobs::default() });
        let first = imagine(&mut world, "fox")["result"].to_string();
        let second = imagine(&mut world, "cat")["result"].to_string();

        world.cancel(&first, 100);

        let status = |id: &str, now_ms| world.knobs.dialect.task(world.task(id).unwrap(), "", now_ms)["status"].clone();
        assert_eq!(status(&first, 200), "CANCEL");
        assert_eq!(status(&second, 200), "SUBMITTED");
        assert_eq!(status(&second, 10_100), "SUCCESS");
    }
}
