//! The upstream: makes tasks, keeps books of them, and answers like the real ones. Its books cannot be wrong.

use std::time::Duration;

use mjq_producer::contract::{Code, JobId, TaskId};

use super::{dice::Dice, weather::Weather};
use crate::lifecycle::{Busy, FailureClass, Observation, TaskReport};

/// The upstream's books.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub(super) tasks: Vec<Task>,
}

/// One task; it is billed.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) job: JobId,
    /// The attempt for which the task was made, by its request.
    pub(super) attempt: u32,
    pub(super) made_ms: u64,
    runs_ms: u64,
    fate: Fate,
    /// How many polls do not show the task yet.
    hidden: u32,
    pub(super) waits_for_input: bool,
    /// Whether an answer has told that the task failed.
    pub(super) failure_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Success,
    /// Success, but the picture appears some polls later.
    LatePicture(u32),
    Failure(FailureClass),
    Stuck,
    /// The upstream forgets the task after half of its time.
    Forgotten,
}

/// An answer to a submit.
pub(super) enum Reply {
    Told(Observation),
    /// An answer was lost. The pod cannot know the outcome, but the upstream's books do.
    Lost,
}

impl Upstream {
    /// Takes a submit for an attempt of `job`.
    pub(super) fn submit(&mut self, job: &JobId, attempt: u32, weather: &Weather, dice: &Dice, now_ms: u64) -> Reply {
        if dice.permille(weather.submit_loses) {
            if dice.permille(500) {
                self.make(job, attempt, weather, dice, now_ms);
            }
            return Reply::Lost;
        }
        if dice.permille(weather.refuses) {
            return Reply::Told(refusal(dice));
        }
        if dice.permille(weather.denies) {
            let code = *dice.pick(&[Code::BannedPrompt, Code::InvalidRequest, Code::ParentGone, Code::TooLarge]);
            return Reply::Told(Observation::Denied { code, reason: "denied".to_owned() });
        }
        let task = self.make(job, attempt, weather, dice, now_ms);
        // Codes 1, 22 and 21 with an id are all acceptances; 22 tells how many tasks are ahead.
        let queue_position = *dice.pick(&[0, 0, 1, 7]);
        Reply::Told(Observation::Accepted { task, queue_position })
    }

    /// Takes the input for a task that waits for it.
    pub(super) fn give_input(&mut self, id: &TaskId, weather: &Weather, dice: &Dice, now_ms: u64) -> Reply {
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == *id && task.waits_for_input) else {
            return Reply::Told(Observation::Denied {
                code: Code::InvalidRequest,
                reason: "it does not wait".to_owned(),
            });
        };
        if dice.permille(weather.refuses) {
            return Reply::Told(refusal(dice));
        }
        (task.waits_for_input, task.runs_ms) = (false, now_ms - task.made_ms + dice.below(5_000));
        if dice.permille(weather.submit_loses) {
            return Reply::Lost;
        }
        Reply::Told(Observation::Accepted { task: id.clone(), queue_position: 0 })
    }

    fn make(&mut self, job: &JobId, attempt: u32, weather: &Weather, dice: &Dice, now_ms: u64) -> TaskId {
        let id = TaskId::new(&(12_463_258 + self.tasks.len()).to_string());
        let is_odd = dice.permille(weather.odd_tasks);
        let odd_fates = [
            Fate::LatePicture(1),
            Fate::LatePicture(9),
            Fate::Failure(FailureClass::Banned),
            Fate::Failure(FailureClass::Upstream),
            Fate::Stuck,
            Fate::Forgotten,
            Fate::Success,
        ];
        self.tasks.push(Task {
            id: id.clone(),
            job: job.clone(),
            attempt,
            made_ms: now_ms,
            runs_ms: if is_odd && dice.permille(200) { 60_000 } else { 200 + dice.below(8_000) },
            fate: if is_odd { *dice.pick(&odd_fates) } else { Fate::Success },
            hidden: if is_odd { dice.below(3) as u32 } else { 0 },
            waits_for_input: is_odd && dice.permille(200),
            failure_told: false,
        });
        id
    }

    /// The answer to a poll of a task.
    pub(super) fn poll(&mut self, id: &TaskId, weather: &Weather, dice: &Dice, now_ms: u64) -> Observation {
        if dice.permille(weather.polls_lose) {
            let retry_after = dice.permille(200).then(|| Duration::from_secs(2));
            return Observation::NoVerdict { reason: "502".to_owned(), retry_after };
        }
        match self.tasks.iter_mut().find(|task| task.id == *id) {
            Some(task) => task.show(now_ms),
            None => Observation::Missing,
        }
    }

    /// Searches for the task of an attempt, as the list of tasks with their `state` does.
    pub(super) fn find(&self, job: &JobId, attempt: u32, weather: &Weather, dice: &Dice) -> Observation {
        if dice.permille(weather.polls_lose) {
            return Observation::NoVerdict { reason: "502".to_owned(), retry_after: None };
        }
        let task = self.tasks.iter().rfind(|task| task.job == *job && task.attempt == attempt);
        task.map_or(Observation::NotFound, |task| Observation::Found(task.id.clone()))
    }
}

impl Task {
    /// When the task ends; `None` if it does not end by itself.
    pub(super) fn ends_ms(&self) -> Option<u64> {
        let ends = !matches!(self.fate, Fate::Stuck | Fate::Forgotten) && !self.waits_for_input;
        ends.then_some(self.made_ms + self.runs_ms)
    }

    pub(super) fn has_succeeded(&self, now_ms: u64) -> bool {
        matches!(self.fate, Fate::Success | Fate::LatePicture(_)) && self.ends_ms().is_some_and(|ends| ends <= now_ms)
    }

    fn show(&mut self, now_ms: u64) -> Observation {
        if self.hidden > 0 {
            self.hidden -= 1;
            return Observation::Missing;
        }
        if self.waits_for_input {
            return Observation::WaitsForInput(report("MODAL", 0, ""));
        }
        let ran = now_ms.saturating_sub(self.made_ms);
        if ran < self.runs_ms {
            if self.fate == Fate::Forgotten && ran * 2 > self.runs_ms {
                return Observation::Missing;
            }
            return Observation::Running(report("IN_PROGRESS", (ran * 100 / self.runs_ms) as u8, "preview"));
        }
        match &mut self.fate {
            Fate::LatePicture(polls @ 1..) => {
                *polls -= 1;
                Observation::Succeeded(report("SUCCESS", 100, ""))
            }
            Fate::Success | Fate::LatePicture(_) => Observation::Succeeded(report("SUCCESS", 100, "picture")),
            Fate::Failure(class) => {
                self.failure_told = true;
                Observation::TaskFailed(report("FAILURE", 0, ""), *class)
            }
            Fate::Stuck => Observation::Running(report("IN_PROGRESS", 46, "preview")),
            Fate::Forgotten => Observation::Missing,
        }
    }
}

/// A random refusal: the upstream does not take a job now.
fn refusal(dice: &Dice) -> Observation {
    let pause = dice.permille(300).then(|| dice.ms(500, 3_000));
    let (busy, retry_after) = *dice.pick(&[
        (Busy::Saturated, None),
        (Busy::Saturated, pause),
        (Busy::Barred, None),
        (Busy::Unreachable, None),
        (Busy::Misaddressed, None),
        (Busy::WithoutId, None),
        (Busy::Fault, None),
    ]);
    Observation::Refused { busy, retry_after, reason: "not now".to_owned() }
}

fn report(status: &str, progress: u8, image_url: &str) -> TaskReport {
    let (status, image_url) = (status.to_owned(), image_url.to_owned());
    TaskReport { status, progress: Some(progress), image_url, ..TaskReport::default() }
}
