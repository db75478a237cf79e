//! The specification of the state machine: its table, its stories, and the rules that hold on every path.
//!
//! This file has the builders. A [`Life`] plays the engine and the ledger for one job: it waits until the next step is
//! due, claims the step, and writes down the result.

mod aliases;
mod before_submit;
mod held;
mod polls;
mod properties;
mod revisits;
mod scenarios;
mod seems_failed;
mod simulation;
mod table;
mod whole;

use std::time::Duration;

use mjq_producer::contract::{Code, EventType, Job, JobId, Kind, OnCapacity, OnUnknown, Options, Request, TaskId};
use serde_json::value::RawValue;

use super::*;

/// The time at which the jobs of these tests enter the stream.
const START_MS: u64 = 1_700_000_000_000;

const S: fn(u64) -> Duration = Duration::from_secs;

const IMAGE: &str = "https://example.org/a.png";

/// One job, its clock and its settings.
struct Life {
    policy: Policy,
    record: Record,
    now_ms: u64,
    fence: u64,
    reclaims: u32,
    jitter: f64,
    /// When the upstream last took another job.
    accepted_ms: u64,
    /// When the upstream last showed another task.
    shown_ms: u64,
    /// The planned next step.
    next: Next,
}

impl Life {
    fn of(job: &Job, policy: Policy) -> Self {
        let record = Record::admit(job, START_MS, &policy);
        let next = Next::Submit(Duration::ZERO);
        Self { policy, record, now_ms: START_MS, fence: 0, reclaims: 0, jitter: 0.5, accepted_ms: 0, shown_ms: 0, next }
    }

    /// Waits until the next step is due, claims it, and makes the observation `seen`.
    fn step(&mut self, seen: &Observation) -> Transition {
        if let Next::Submit(delay) | Next::AfterParent(delay) | Next::Poll(delay) = self.next {
            self.pass(delay);
        }
        self.claim();
        self.observe(seen)
    }

    fn pass(&mut self, time: Duration) {
        self.now_ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// Moves the clock to the job's deadline.
    fn pass_to_deadline(&mut self) {
        self.now_ms = self.now_ms.max(self.record.deadline_ms);
    }

    /// Claims the step as the ledger does: the claim writes the intent to submit into the phase, but not into the
    /// timeline.
    fn claim(&mut self) {
        self.fence += 1;
        assert!(self.fence < 10_000, "it goes on for ever: {:?}", self.record);
        if self.record.phase == Phase::Queued {
            self.record.phase = Phase::Submitting;
        }
    }

    /// Makes the observation `seen` at once.
    fn observe(&mut self, seen: &Observation) -> Transition {
        let transition = self.would(seen).unwrap();
        self.record = transition.record.clone();
        self.next = transition.next.clone();
        transition
    }

    /// The transition that the observation `seen` would cause.
    fn would(&self, seen: &Observation) -> Result<Transition, Illegal> {
        let Self { now_ms, jitter, fence, reclaims, ref policy, .. } = *self;
        next(
            &self.record,
            seen,
            Circumstances {
                now_ms,
                claimed_ms: now_ms,
                place_ms: now_ms,
                jitter,
                fence,
                reclaims,
                pace: None,
                last_accepted_ms: self.accepted_ms,
                last_shown_ms: self.shown_ms,
                polls_late: Duration::ZERO,
                policy,
            },
        )
    }

    /// The pressure of a submit that was claimed now and was not sent.
    fn unsent(&self) -> Pressure {
        Pressure::Unsent { claimed_ms: self.now_ms, place_ms: self.now_ms }
    }

    fn left(&self) -> Duration {
        Duration::from_millis(self.record.deadline_ms.saturating_sub(self.now_ms))
    }
}

fn an_imagine_job() -> Life {
    Life::of(&a_job(Kind::Imagine, Options::default()), Policy::default())
}

/// An imagine job that the upstream has taken.
fn an_accepted_job() -> Life {
    let mut job = an_imagine_job();
    job.step(&accepted(0));
    job
}

/// An imagine job whose submit's answer was lost. A hook may still report its task.
fn a_job_of_unknown_fate() -> Life {
    let mut job = an_imagine_job();
    job.policy.adoption.hook = true;
    job.step(&unanswered());
    job
}

fn a_job(kind: Kind, options: Options) -> Job {
    let request = Request::from_json(r#"{"prompt":"cat"}"#.to_owned()).unwrap();
    Job { id: None, kind, request, options, then: Vec::new(), trace: None }
}

fn ended(event_type: EventType, code: Code) -> Next {
    Next::End(Ending { event_type, code })
}

fn failed(code: Code) -> Next {
    ended(EventType::Failed, code)
}

fn accepted(queue_position: u32) -> Observation {
    Observation::Accepted { task: TaskId::new("0741798445574458"), queue_position }
}

fn refused(busy: Busy) -> Observation {
    Observation::Refused { busy, retry_after: None, reason: "queue full".to_owned() }
}

fn unanswered() -> Observation {
    Observation::Unanswered { reason: "reset after the request left".to_owned(), lead: None }
}

fn no_verdict() -> Observation {
    Observation::NoVerdict { reason: "502".to_owned(), retry_after: None }
}

fn stranger(id: &str, seen: Observation) -> Observation {
    Observation::Stranger { id: TaskId::new(id), state: String::new(), seen: Box::new(seen) }
}

fn found() -> Observation {
    Observation::Found(TaskId::new("0741798445574458"))
}

fn running(progress: u8) -> Observation {
    Observation::Running(TaskReport { progress: Some(progress), ..report("IN_PROGRESS") })
}

fn succeeded(image_url: &str) -> Observation {
    let buttons = RawValue::from_string(r#"[{"label":"U1"}]"#.to_owned()).ok();
    Observation::Succeeded(TaskReport { image_url: image_url.to_owned(), buttons, ..report("SUCCESS") })
}

fn task_failed(class: FailureClass) -> Observation {
    Observation::TaskFailed(TaskReport { fail_reason: "no".to_owned(), ..report("FAILURE") }, class)
}

fn waits_for_input() -> Observation {
    Observation::WaitsForInput(report("MODAL"))
}

fn report(status: &str) -> TaskReport {
    let raw = Some(format!(r#"{{"status":"{status}"}}"#).into());
    TaskReport {
        status: status.to_owned(),
        image_url: "https://example.org/preview.png".to_owned(),
        raw,
        ..TaskReport::default()
    }
}
