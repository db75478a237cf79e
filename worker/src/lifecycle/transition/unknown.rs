//! What looks for the task of a lost answer mean for the job.

use std::time::Duration;

use mjq_producer::contract::{Code, OnUnknown, TaskId};

use super::{Decision, Next, Pressure};
use crate::lifecycle::Phase;

impl Decision<'_> {
    pub(super) fn still_unknown(&mut self) -> Next {
        let policy = self.at.policy;
        let waited = Duration::from_millis(self.at.now_ms.saturating_sub(self.record.unknown_ms));
        if policy.can_adopt(&self.record) && waited < policy.unknown_grace && !self.is_overdue() {
            return Next::Poll(policy.next_adoption(waited, self.at.jitter));
        }
        self.give_up_unknown()
    }

    pub(super) fn give_up_unknown(&mut self) -> Next {
        let may_resubmit = self.record.on_unknown == OnUnknown::Resubmit
            && self.record.attempts < self.record.max_attempts
            && !self.is_overdue();
        if !may_resubmit {
            return self.end(Phase::Failed, Code::SubmitUnknown);
        }
        self.enter(Phase::Queued);
        Next::Submit(self.at.policy.after_refusal(self.record.attempts, None, self.at.jitter))
    }

    pub(super) fn found_after_all(&mut self, task: &TaskId) -> Next {
        self.pressure = Pressure::Found;
        self.found(task)
    }

    pub(super) fn found(&mut self, task: &TaskId) -> Next {
        self.record.adopted = true;
        // The fate of the lost submit is known now.
        self.record.unknown_ms = 0;
        self.begin_polling(task);
        Next::Poll(Duration::ZERO)
    }

    pub(super) fn not_looked_for(&mut self) -> Next {
        if self.may_wait_for_last_poll() { Next::Poll(Duration::ZERO) } else { self.give_up_unknown() }
    }

    pub(super) fn not_told(&mut self, retry_after: Option<Duration>) -> Next {
        self.leave_alone(retry_after);
        self.still_unknown()
    }
}
