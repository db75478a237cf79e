//! What a poll of a task means for the job.

use std::time::Duration;

use mjq_producer::contract::{Code, OnCapacity, TaskId};

use super::{Decision, Next};
use crate::lifecycle::{
    Alias, Phase, Span,
    observation::{FailureClass, TaskReport},
};

/// How long the rest of an end may take: relays show data that is up to 15 s old, and some show an end bit by bit.
const REST_MAY_COME_MS: u64 = 20_000;

impl Decision<'_> {
    pub(super) fn running(&mut self, task: &TaskReport) -> Next {
        self.saw(task);
        // Until the deadline, this is the only hint at what delays the task.
        self.record.reason.clone_from(&task.fail_reason);
        if let Some(next) = task.seems_failed.and_then(|class| self.seems_failed(task, class)) {
            return next;
        }
        self.narrow_down(task);
        self.enter(Phase::Polling);
        self.poll_again(|job| job.at.policy.next_poll(&job.record, task.progress, job.at.now_ms, job.outlook()))
    }

    /// Treats a task as failed if each poll for a while has shown it as failed in all but its status. A single poll
    /// might meet an upstream between two tries.
    fn seems_failed(&mut self, task: &TaskReport, class: FailureClass) -> Option<Next> {
        let since_ms = *self.record.seems_failed_ms.get_or_insert(self.at.now_ms);
        let waited_ms = self.at.now_ms.saturating_sub(since_ms);
        if waited_ms >= REST_MAY_COME_MS {
            return Some(self.task_failed(task, class));
        }
        if self.is_overdue() {
            return None;
        }
        self.enter(Phase::Polling);
        Some(self.until_the_rest_comes(waited_ms))
    }

    /// Polls again soon, and less often the longer it takes.
    fn until_the_rest_comes(&self, waited_ms: u64) -> Next {
        Next::Poll(Duration::from_millis(waited_ms / 2).clamp(self.at.policy.poll_min, self.at.policy.poll_max))
    }

    /// Narrows down how long the task will take, by its progress.
    fn narrow_down(&mut self, task: &TaskReport) {
        let record = &mut self.record;
        let elapsed_ms = self.at.now_ms.saturating_sub(record.started_ms);
        let seen = task.progress.filter(|_| record.started_ms > 0).and_then(|percent| Span::of(elapsed_ms, percent));
        if let Some(seen) = seen {
            record.span = Some(record.span.map_or(seen, |known| known.then(seen)));
        }
    }

    pub(super) fn succeeded(&mut self, task: &TaskReport) -> Next {
        self.saw(task);
        // Some relays say SUCCESS before they have the picture and its buttons.
        let lacks_image = task.image_url.is_empty() && self.record.kind.gives_image();
        // The follow-ups press the buttons.
        let lacks_buttons = task.buttons.is_none() && self.record.has_follow_ups;
        if (lacks_image || lacks_buttons) && !self.is_overdue() {
            let since_ms = *self.record.incomplete_ms.get_or_insert(self.at.now_ms);
            let waited_ms = self.at.now_ms.saturating_sub(since_ms);
            if waited_ms < REST_MAY_COME_MS {
                // A held task that has succeeded no longer waits for input.
                self.enter(Phase::Polling);
                return self.until_the_rest_comes(waited_ms);
            }
        }
        self.end(Phase::Completed, Code::Ok)
    }

    pub(super) fn task_failed(&mut self, task: &TaskReport, class: FailureClass) -> Next {
        self.saw(task);
        self.record.reason.clone_from(&task.fail_reason);
        let code = match class {
            FailureClass::Banned => Code::BannedPrompt,
            FailureClass::Invalid => Code::InvalidRequest,
            FailureClass::Capacity if self.record.on_capacity == OnCapacity::Resubmit && !self.is_overdue() => {
                if self.record.attempts + self.record.faults < self.record.max_attempts {
                    return self.ask_for_another_task();
                }
                Code::AttemptsExhausted
            }
            FailureClass::Capacity | FailureClass::Upstream => Code::UpstreamFailed,
        };
        self.end(Phase::Failed, code)
    }

    fn ask_for_another_task(&mut self) -> Next {
        let record = &mut self.record;
        let task = record.task.as_ref().map(ToString::to_string).unwrap_or_default();
        let words = format!("task {task} failed for want of capacity ({}): another one is asked for", record.reason);
        record.note(self.at.now_ms, &words);
        record.leave_task();
        // The inputs that the task before got are for the next task, too.
        record.inputs_used = 0;
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_refusal(self.record.attempts, None, self.at.jitter))
    }

    pub(super) fn waits_for_input(&mut self, task: &TaskReport) -> Next {
        self.saw(task);
        self.enter(Phase::Held);
        // Nothing moves until somebody answers; a modal command brings the next poll forward.
        self.poll_again(|job| job.at.policy.poll_max)
    }

    pub(super) fn missing(&mut self) -> Next {
        self.record.polls += 1;
        self.count_missing();
        if self.at.policy.is_lost(&self.record, self.at.now_ms) {
            "the upstream no longer knows the task".clone_into(&mut self.record.reason);
            return self.end(Phase::Failed, Code::UpstreamLost);
        }
        self.poll_again(|job| job.at.policy.after_missing(job.at.jitter))
    }

    /// No limit may keep a job from ending: an overdue job waits for its last poll, but not for long.
    pub(super) fn not_polled(&mut self) -> Next {
        if self.may_wait_for_last_poll() { Next::Poll(Duration::ZERO) } else { self.end_at_deadline() }
    }

    pub(super) fn no_verdict(&mut self, reason: &str, retry_after: Option<Duration>) -> Next {
        reason.clone_into(&mut self.record.reason);
        self.leave_alone(retry_after);
        self.record.polls += 1;
        let blind_polls = self.record.blind_polls;
        self.record.blind_polls += 1;
        self.poll_again(|job| job.at.policy.after_blind_poll(blind_polls, retry_after, job.at.jitter))
    }

    /// The next polls will show whether the other id names this job's task.
    pub(super) fn stranger(&mut self, id: &TaskId, reason: &str) -> Next {
        self.record.alias = Some(Alias::shown(self.record.alias.take(), id, self.at.now_ms));
        self.no_verdict(reason, None)
    }

    fn saw(&mut self, task: &TaskReport) {
        let record = &mut self.record;
        record.polls += 1;
        record.blind_polls = 0;
        record.polls_refused_ms = 0;
        record.missing = None;
        if task.seems_failed.is_none() {
            record.seems_failed_ms = None;
        }
        record.reason.clear();
        task.status.clone_into(&mut record.status);
        if let Some(progress) = task.progress {
            record.progress = progress;
        }
        if record.started_ms == 0 && (record.progress > 0 || task.started_ms > 0) {
            // The upstream's clock counts only if it agrees with what mjq saw. A task may well have begun a moment
            // before mjq learnt of its acceptance.
            let may_be_true = (record.enqueued_ms..=self.at.now_ms).contains(&task.started_ms);
            record.started_ms = if may_be_true { task.started_ms.max(record.accepted_ms) } else { self.at.now_ms };
        }
    }
}
