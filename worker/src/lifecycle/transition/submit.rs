//! What the result of a submit means for the job, and what keeps a submit from being sent.

use std::time::Duration;

use mjq_producer::contract::{Code, TaskId};

use super::{Decision, Next, Pressure};
use crate::lifecycle::{Phase, observation::Busy};

/// The beginnings of notes that tell what became of an input.
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
            // The upstream took the input for a known task.
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
                // The breaker keeps such submits few. This one must not be late when the upstream is back.
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

    /// What a refusal tells about the upstream as a whole. A refusal that concerns only this job must not stop the
    /// others. But a pause that the upstream asks for is kept, up to a limit.
    fn pressure_of(&self, busy: Busy, retry_after: Option<Duration>) -> Pressure {
        /// One answer must not stop all submits for longer. The refused job itself waits for the full time.
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

    /// Whether the refusal concerns only this job: the upstream has taken another job since it last refused this one
    /// or, at the first refusal, since this submit was claimed.
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

    /// Ends the job, or rejects the input: the same submit would have the same result again.
    fn hopeless(&mut self, code: Code, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if self.record.is_answering && code != Code::ParentGone {
            // The input was wrong, not the task: the task still waits for a better input.
            self.record.is_answering = false;
            self.record.note(self.at.now_ms, &format!("{INPUT_REFUSED}: {reason}"));
            self.enter(Phase::Held);
            return Next::Poll(self.at.policy.poll_max);
        }
        self.end(Phase::Failed, code)
    }

    pub(super) fn parent_pending(&mut self) -> Next {
        /// The time until the parent is looked up again: Redis may have lost the list of jobs that wait for it.
        const LONGEST: Duration = Duration::from_secs(60);
        self.pressure = self.unsent();
        self.record.parent_missed_ms = 0;
        self.enter(Phase::Queued);
        Next::AfterParent(LONGEST)
    }

    pub(super) fn parent_not_known(&mut self) -> Next {
        self.pressure = self.unsent();
        self.enter(Phase::Queued);
        // Counted from the first lookup, not from the enqueuing: the action may have been read long after that, and
        // before its parent.
        if self.record.parent_missed_ms == 0 {
            self.record.parent_missed_ms = self.at.now_ms;
        }
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.parent_missed_ms));
        Next::Submit((waited / 8).clamp(self.at.policy.poll_min, self.at.policy.poll_max))
    }

    /// Waits, instead of being the first of the lane again: otherwise many large jobs would keep all others from being
    /// submitted.
    pub(super) fn no_memory(&mut self) -> Next {
        self.pressure = self.unsent();
        self.enter(Phase::Queued);
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.enqueued_ms));
        Next::Submit(self.at.policy.after_no_memory(waited, self.at.jitter))
    }

    /// Ends the job before its deadline: its task would be paid for in vain.
    pub(super) fn too_late(&mut self) -> Next {
        self.pressure = self.unsent();
        let usual_s = self.at.pace.map_or(0, |pace| pace.usual_ms().div_ceil(1000));
        let left_s = self.record.deadline_ms.saturating_sub(self.at.now_ms) / 1000;
        self.record.reason =
            format!("not submitted: the deadline is in {left_s} s, and such tasks lately took up to {usual_s} s");
        self.end(Phase::Failed, Code::DeadlineExceeded)
    }

    pub(super) fn not_begun(&mut self) -> Next {
        // A job that was claimed to end took no place under the rate, so it gives none back.
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
        // A task that this job has already left is no lead.
        self.record.lead = lead.filter(|task| !self.record.earlier_tasks.contains(task)).cloned();
        self.left_unknown(reason)
    }

    pub(super) fn left_unknown(&mut self, reason: &str) -> Next {
        reason.clone_into(&mut self.record.reason);
        if std::mem::take(&mut self.record.is_answering) {
            // The task is known, and a poll will tell whether it got its input.
            self.record.note(self.at.now_ms, &format!("{INPUT_LOST}: {reason}"));
            self.enter(Phase::Polling);
            return Next::Poll(self.at.policy.poll_min);
        }
        self.count_attempt();
        self.record.unknown_ms = self.at.now_ms;
        self.enter(Phase::Unknown);
        self.still_unknown()
    }

    /// A submit that was refused or given up has made a task after all: a hook named it, and the upstream shows it.
    pub(super) fn found_before_submit(&mut self, task: &TaskId) -> Next {
        self.pressure = self.unsent();
        if self.record.unknown_ms == 0 {
            // One refusal was false, so the others may have made tasks, too.
            self.record.possible_duplicate |= self.record.refusals > 1;
            self.count_attempt();
        }
        self.found(task)
    }

    /// A hook named a task, and a poll of it told nothing: a submit now might be paid twice.
    pub(super) fn not_told_before_submit(&mut self, reason: &str, retry_after: Option<Duration>) -> Next {
        self.pressure = self.unsent();
        reason.clone_into(&mut self.record.reason);
        let delay = self.at.policy.after_refusal(self.record.refusals, retry_after, self.at.jitter);
        self.record.refusals += 1;
        self.enter(Phase::Queued);
        Next::Submit(delay)
    }

    /// A hook named a task that the upstream does not show, or not yet: a submit now might be paid twice. Once the task
    /// counts as lost, the job is submitted.
    pub(super) fn missing_before_submit(&mut self) -> Next {
        self.pressure = self.unsent();
        self.count_missing();
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_missing(self.at.jitter))
    }
}
