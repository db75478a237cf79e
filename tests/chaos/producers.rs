//! Producers: all kinds of jobs, twice-sent ones, cancels, and entries that nobody could read.

use std::sync::Arc;
use std::time::Duration;

use mjq_harness::Wire;
use mjq_producer::contract::{Job, QueueName};
use mjq_producer::{Producer, RedisLink};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::books::Books;
use crate::dice::Dice;
use crate::history::{Asked, Bounds, prompt_of};
use crate::plan::{Load, Plan};

/// The deadline of jobs that have none of their own, as the worker's settings have it.
const USUAL_DEADLINE_MS: u64 = 15 * 60 * 1000;

/// Enqueues into one queue: by plain XADD, and by the producer library.
pub(crate) struct Enqueuer {
    wire: Wire,
    typed: Producer,
    dice: Dice,
    books: Arc<Books>,
    serial: u64,
}

impl Enqueuer {
    /// Makes one. Nothing is sent yet.
    pub(crate) fn new(redis_url: &str, wire: Wire, dice: Dice, books: Arc<Books>) -> anyhow::Result<Self> {
        let typed = Producer::new(RedisLink::open(redis_url)?, &QueueName::new(wire.queue())?);
        Ok(Self { wire, typed, dice, books, serial: 0 })
    }

    /// Enqueues as the plan has it, until it is told to stop or all is there.
    pub(crate) async fn run(mut self, plan: &Plan, stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
        match plan.load {
            Load::AtOnce(count) => {
                for _ in 0..count {
                    let job = self.picture(false);
                    self.enqueue(job).await;
                }
            }
            Load::PerSecond(count) => {
                let mut due = Instant::now();
                while !*stopping.borrow() {
                    self.something().await;
                    due += Duration::from_secs(1) / u32::try_from(count.max(1))?;
                    tokio::time::sleep_until(due).await;
                }
            }
        }
        Ok(())
    }

    async fn something(&mut self) {
        let (ended, completed) = {
            let mut pages = self.books.open();
            let parent = pages.completed.pop();
            let known = pages.jobs.len();
            let pick = self.dice.roll() as usize % known.max(1);
            let ended = pages.ended.iter().nth(pick % pages.ended.len().max(1)).cloned();
            (ended, parent)
        };
        match self.dice.between(0, 99) {
            0..=11 => {
                // Of a job that has ended, or of one that is still under way.
                let parent = completed.or_else(|| self.latest());
                if let Some(parent) = parent {
                    let job = self.button(&parent);
                    self.enqueue(job).await;
                }
            }
            12..=15 => self.malformed().await,
            16..=18 => {
                if let Some(job) = ended {
                    self.conflicting(&job).await;
                }
            }
            19..=22 => {
                let job = self.picture(true);
                let id = job["id"].as_str().unwrap_or_default().to_owned();
                self.enqueue(job).await;
                tokio::time::sleep(Duration::from_millis(self.dice.between(0, 20))).await;
                let _ = self.wire.xadd_job(&json!({"cancel": id})).await;
            }
            23..=27 => {
                let job = self.picture(true);
                self.enqueue(job.clone()).await;
                // As a client does that has not heard the answer.
                self.enqueue(job).await;
            }
            _ => {
                let job = self.picture(true);
                self.enqueue(job).await;
            }
        }
    }

    fn latest(&self) -> Option<String> {
        self.books.open().jobs.iter().rev().find(|(_, asked)| asked.follows.is_none()).map(|(id, _)| id.clone())
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}-{:06}", self.serial)
    }

    fn state(&mut self, id: &str) -> String {
        let odd = self.dice.one_of(&["", "🦊", "\"quoted\"", "line\nbreak", "nul\u{0}", "\\u0000", "ünïcödé", "  "]);
        format!("{id} {odd} {:x}", self.dice.roll())
    }

    /// A picture, with all the options that `is_colourful` allows.
    fn picture(&mut self, is_colourful: bool) -> Value {
        let id = self.next_id("picture");
        let mut state = self.state(&id);
        let mut options = json!({});
        let mut then = json!([]);
        let mut asked = Asked { deadline_ms: USUAL_DEADLINE_MS, ..Asked::default() };
        if is_colourful {
            if self.dice.says(5) {
                // Longer than upstreams take: it comes back all the same.
                state.push_str(&"x".repeat(self.dice.between(300, 10_000) as usize));
            }
            if self.dice.says(30) {
                options["on_unknown"] = "resubmit".into();
                asked.may_resubmit = true;
            }
            if self.dice.says(5) {
                let deadline_s = self.dice.between(2, 8);
                options["deadline_s"] = deadline_s.into();
                asked.deadline_ms = deadline_s * 1000;
            }
            if self.dice.says(10) {
                options["priority"] = self.dice.one_of(&["high", "low"]).into();
            }
            if self.dice.says(10) {
                let child = format!("{id}.then.0");
                let child_state = self.state(&child);
                then = json!([{"button": self.dice.one_of(&["U1", "U2", "V3"]), "state": child_state}]);
                let follow_up = Asked { state: child_state, follows: Some(id.clone()), ..asked.clone() };
                self.books.open().jobs.insert(child, follow_up);
            }
        }
        let request = json!({"prompt": prompt_of(&id), "model": "mj-fast", "botType": "MID_JOURNEY", "state": state});
        self.books.open().jobs.insert(id.clone(), Asked { state, ..asked });
        json!({"id": id, "kind": "imagine", "request": request, "options": options, "then": then})
    }

    fn button(&mut self, parent: &str) -> Value {
        let id = self.next_id("button");
        let state = self.state(&id);
        let asked = Asked { state: state.clone(), deadline_ms: USUAL_DEADLINE_MS, ..Asked::default() };
        self.books.open().jobs.insert(id.clone(), asked);
        let button = self.dice.one_of(&["U1", "U2", "U3", "U4", "V1", "V2"]);
        json!({"id": id, "kind": "action", "request": {"job": parent, "button": button, "state": state}})
    }

    /// Enqueues until Redis says that it has the job. A job has an id: sending it again is harmless.
    async fn enqueue(&mut self, job: Value) {
        let id = job["id"].as_str().unwrap_or_default().to_owned();
        let by_library = self.dice.says(50).then(|| serde_json::from_value::<Job>(job.clone()).ok()).flatten();
        for _ in 0..100 {
            let is_taken = match &by_library {
                Some(job) => self.typed.enqueue(job).await.is_ok(),
                None => self.wire.xadd_job(&job).await.is_ok(),
            };
            if is_taken {
                if let Some(asked) = self.books.open().jobs.get_mut(&id) {
                    asked.is_certain = true;
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn malformed(&mut self) {
        let id = self.next_id("bad");
        let entry = match self.dice.between(0, 3) {
            0 => json!({"id": id, "kind": "paint", "request": {"prompt": "x", "state": id}}).to_string(),
            1 => json!({"id": id, "kind": "imagine", "request": "a string"}).to_string(),
            2 => json!({"id": id, "kind": "imagine", "request": {"prompt": ""}}).to_string(),
            _ => json!({"id": id, "kind": "imagine", "request": {"prompt": "x"}, "options": {"max_attempts": "many"}})
                .to_string(),
        };
        let answer = self.wire.xadd_fields(&[("v", b"1"), ("job", entry.as_bytes())]).await;
        self.books.open().rejections.insert((id, "malformed"), Bounds { least: answer.is_ok().into(), most: 1 });
    }

    /// The id of a job that has ended, with another body.
    async fn conflicting(&mut self, id: &str) {
        let body = json!({"id": id, "kind": "imagine", "request": {"prompt": format!("not {id}")}});
        let is_taken = self.wire.xadd_job(&body).await.is_ok();
        let mut pages = self.books.open();
        let bounds = pages.rejections.entry((id.to_owned(), "conflict")).or_default();
        bounds.least += u32::from(is_taken);
        bounds.most += 1;
    }
}
