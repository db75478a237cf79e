//! What is seen of a submit, and what keeps one from being sent.

use std::time::Duration;

use mjq_producer::contract::{Code, TaskId};

use super::{Decision, Next, Pressure};
use crate::lifecycle::{Phase, observation::Busy};

/// How notes begin that tell what became of an input.
pub(super) const INPUT_REFUSED: &str = "the upstream refused the input";
pub(super) const INPUT_LOST: &str = "the answer to the input was lost";

impl Decision<'_> {
    /// The longest delay while the upstream cannot be reached.
    const AWAY: Duration = Duration::from_secs(5);

    pub(super) fn accepted(&mut self, task: &TaskId, queue_position: u32) -> Next {
        self.pressure = Pressure::Accepted;
        if !std::mem::take(&mut self.record.is_answering) {
            self.count_attempt();
        }
        self.record.queue_position = queue_position;
        self.begin_polling(task);
        Next::Poll(self.at.policy.first_poll(&self.record, self.outlook()))
    }

    pub(super) fn refused(&mut self, busy: Busy, retry_after: Option<Duration>, reason: &str) -> Next {
        if busy == Busy::WithoutId && self.record.is_answering {
            // It took the input of a task that is known.
            return self.left_unknown(reason);
        }
        reason.clone_into(&mut self.record.reason);
        let mut delay = self.at.policy.after_refusal(self.record.refusals, retry_after, self.at.jitter);
        self.pressure = self.pressure_of(busy, retry_after);
        self.record.refusals += 1;
        self.record.refused_ms = self.at.now_ms;
        match busy {
            Busy::Saturated | Busy::WithoutId | Busy::Barred => {}
            Busy::Unreachable | Busy::Misaddressed => {
                // The breaker sees to it that there are few; this one is not to be late when the upstream is back.
                delay = delay.min(Self::AWAY.max(retry_after.unwrap_or_default()));
            }
            Busy::Fault => {
                delay = self.at.policy.after_fault(self.record.faults, retry_after, self.at.jitter);
                self.record.faults += 1;
                if self.record.attempts + self.record.faults >= self.record.max_attempts {
                    return self.end(Phase::Failed, Code::AttemptsExhausted);
                }
            }
        }
        self.enter(Phase::Queued);
        Next::Submit(delay)
    }

    /// What a refusal tells about the upstream as a whole. A refusal that is about the job must not stop the others; a
    /// pause that the upstream asks for is kept all the same, within reason.
    fn pressure_of(&self, busy: Busy, retry_after: Option<Duration>) -> Pressure {
        /// One answer must not stop everybody for longer. The job that it was given to waits for as long as it says.
        const LONGEST: Duration = Duration::from_secs(600);
        match busy {
            _ if self.takes_others(busy) && retry_after.is_none() => Pressure::None,
            Busy::Saturated | Busy::WithoutId | Busy::Fault => {
                Pressure::Saturated(retry_after.unwrap_or_default().min(LONGEST))
            }
            Busy::Barred => Pressure::Down { claimed_ms: self.at.claimed_ms },
            Busy::Unreachable => Pressure::Away { claimed_ms: self.at.claimed_ms },
            Busy::Misaddressed => Pressure::Misaddressed { claimed_ms: self.at.claimed_ms },
        }
    }

    /// Whether the refusal is about the job: the upstream has taken another one since it last refused this job or, at the
    /// first refusal, since this submit was claimed.
    fn takes_others(&self, busy: Busy) -> bool {
        let since_ms = match (self.record.refused_ms, busy) {
            // A full upstream refuses some submits of a burst while its acceptances of others are on their way.
            (0, Busy::Saturated | Busy::WithoutId) => return false,
            (0, Busy::Barred | Busy::Unreachable | Busy::Misaddressed | Busy::Fault) => self.at.claimed_ms,
            (refused_ms, _) => refused_ms,
        };
        self.at.last_accepted_ms > since_ms
    }

    pub(super) fn denied(&mut self, code: Code, reason: &str) -> Next {
        self.pressure = Pressure::Up;
        self.hopeless(code, reason)
    }

    pub(super) fn unsendable(&mut self, code: Code, reason: &str) -> Next {
        self.pressure = self.unsent();
        self.hopeless(code, reason)
    }

    /// To submit the same again would come to the same.
    fn hopeless(&mut self, code: Code, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if self.record.is_answering && code != Code::ParentGone {
            // The input was wrong, not the task: it still waits for a better one.
            self.record.is_answering = false;
            self.record.note(self.at.now_ms, &format!("{INPUT_REFUSED}: {reason}"));
            self.enter(Phase::Held);
            return Next::Poll(self.at.policy.poll_max);
        }
        self.end(Phase::Failed, code)
    }

    pub(super) fn parent_pending(&mut self) -> Next {
        /// Until it is looked whether the parent's end was missed: Redis may have lost who waits for it.
        const LONGEST: Duration = Duration::from_secs(60);
        self.pressure = self.unsent();
        self.record.parent_missed_ms = 0;
        self.enter(Phase::Queued);
        Next::AfterParent(LONGEST)
    }

    pub(super) fn parent_not_known(&mut self) -> Next {
        self.pressure = self.unsent();
        self.enter(Phase::Queued);
        // Not from when it was enqueued: the action may have been read long after that, and before its parent.
        if self.record.parent_missed_ms == 0 {
            self.record.parent_missed_ms = self.at.now_ms;
        }
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.parent_missed_ms));
        Next::Submit((waited / 8).clamp(self.at.policy.poll_min, self.at.policy.poll_max))
    }

    /// Not at once, as the first of the lane again: many large jobs would keep all others from being submitted.
    pub(super) fn no_memory(&mut self) -> Next {
        self.pressure = self.unsent();
        self.enter(Phase::Queued);
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.enqueued_ms));
        Next::Submit(self.at.policy.after_no_memory(waited, self.at.jitter))
    }

    pub(super) fn not_begun(&mut self) -> Next {
        // A job that was claimed for its end took no place under the rate, and has none to give back.
        if self.record.phase == Phase::Submitting {
            self.pressure = self.unsent();
        }
        self.enter(Phase::Queued);
        Next::Submit(Duration::ZERO)
    }

    pub(super) fn input_given(&mut self, inputs: u32) -> Next {
        self.record.inputs_used = inputs;
        self.record.is_answering = true;
        self.enter(Phase::Queued);
        Next::Submit(Duration::ZERO)
    }

    pub(super) fn unanswered(&mut self, reason: &str, lead: Option<&TaskId>) -> Next {
        self.pressure = Pressure::Lost { claimed_ms: self.at.claimed_ms };
        // Not a task that this job has had, and has left.
        self.record.lead = lead.filter(|task| !self.record.earlier_tasks.contains(task)).cloned();
        self.left_unknown(reason)
    }

    pub(super) fn left_unknown(&mut self, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if std::mem::take(&mut self.record.is_answering) {
            // The task is known: whether it got its input, a look at it will tell.
            self.record.note(self.at.now_ms, &format!("{INPUT_LOST}: {reason}"));
            self.enter(Phase::Polling);
            return Next::Poll(self.at.policy.poll_min);
        }
        self.count_attempt();
        self.record.unknown_ms = self.at.now_ms;
        self.enter(Phase::Unknown);
        self.still_unknown()
    }

    /// A submit that was refused, or given up, has made a task all the same: a hook told which, and the upstream shows it.
    pub(super) fn found_before_submit(&mut self, task: &TaskId) -> Next {
        self.pressure = self.unsent();
        if self.record.unknown_ms == 0 {
            // A refusal was none, so that the others may have made tasks, too.
            self.record.possible_duplicate |= self.record.refusals > 1;
            self.count_attempt();
        }
        self.found(task)
    }

    /// A hook told of a task, and a look at it told nothing: to submit now might pay twice.
    pub(super) fn not_told_before_submit(&mut self, reason: &str, retry_after: Option<Duration>) -> Next {
        self.pressure = self.unsent();
        reason.clone_into(&mut self.record.reason);
        let delay = self.at.policy.after_refusal(self.record.refusals, retry_after, self.at.jitter);
        self.record.refusals += 1;
        self.enter(Phase::Queued);
        Next::Submit(delay)
    }

    /// A hook told of a task that the upstream does not show, or not yet: to submit now might pay twice. Once the task
    /// counts as lost, the job is submitted.
    pub(super) fn missing_before_submit(&mut self) -> Next {
        self.pressure = self.unsent();
        self.count_missing();
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_missing(self.at.jitter))
    }
}
