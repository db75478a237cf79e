//! The act: what a claimed step has to do.

use mjq_producer::contract::TaskId;

use super::{Observation, Pace, Phase, Policy, Record};

/// What the claim found besides the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The lease of the worker that had claimed the job before ran out.
    pub is_reclaimed: bool,
    /// The deadline has passed.
    pub is_overdue: bool,
    /// Someone asked to cancel the job.
    pub is_cancelled: bool,
    /// How many inputs (modal commands) were given for this job.
    pub inputs: u32,
    /// The task id that a hook told, if the job does not know its task.
    pub hinted_task: Option<TaskId>,
    /// Whether a hook has told that the task has ended.
    pub is_end_told: bool,
    /// How often a lease of this job ran out.
    pub reclaims: u32,
}

impl Flags {
    /// The task that a hook told, unless the job has left that task: late hooks may still tell of it.
    #[must_use]
    pub fn new_task(&self, record: &Record) -> Option<&TaskId> {
        self.hinted_task.as_ref().filter(|task| !record.earlier_tasks.contains(task))
    }
}

/// What to do with a claimed step.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Submit the job. The ledger has the intent.
    Submit,
    /// Poll the task.
    Poll(TaskId),
    /// Look for the task of a lost answer; a hook or the answer itself may have named it.
    Adopt(Option<TaskId>),
    /// Nothing to do upstream: the claim itself is the observation.
    Conclude(Conclusion),
}

/// An observation that the claim itself makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// See [`Observation::NotBegun`].
    NotBegun,
    /// See [`Observation::WorkerDied`].
    WorkerDied,
    /// See [`Observation::DeadlinePassed`].
    DeadlinePassed,
    /// See [`Observation::TooLate`].
    TooLate,
    /// See [`Observation::CancelRequested`].
    CancelRequested,
    /// See [`Observation::InputGiven`].
    InputGiven(u32),
    /// See [`Observation::Poisoned`].
    Poisoned,
}

impl Act {
    /// Decides what to do with a step that was just claimed.
    ///
    /// `record.phase` is the phase after the claim: `submitting` for a step of the submit lane.
    #[must_use]
    pub fn of(record: &Record, flags: &Flags, max_reclaims: u32) -> Self {
        let died_submitting = flags.is_reclaimed && record.phase == Phase::Submitting;
        // A lost submit must be recorded as such before anything else may end the job.
        if died_submitting {
            return Self::Conclude(Conclusion::WorkerDied);
        }
        if flags.reclaims.saturating_sub(record.survived_reclaims) > max_reclaims {
            return Self::Conclude(Conclusion::Poisoned);
        }
        if flags.is_cancelled {
            return Self::Conclude(Conclusion::CancelRequested);
        }
        if flags.is_overdue && matches!(record.phase, Phase::Queued | Phase::Submitting) {
            return Self::Conclude(Conclusion::DeadlinePassed);
        }
        if record.phase == Phase::Held && flags.inputs > record.inputs_used && !flags.is_overdue {
            return Self::Conclude(Conclusion::InputGiven(flags.inputs));
        }
        match (record.phase, &record.task) {
            (Phase::Submitting, _) => Self::Submit,
            // An overdue task gets one last poll: it may have finished.
            (Phase::Polling | Phase::Held, Some(task)) => Self::Poll(task.clone()),
            (Phase::Unknown, _) => Self::Adopt(flags.new_task(record).or(record.lead.as_ref()).cloned()),
            // The job was queued again since the ledger marked it, or lacks its task's id: it goes back to its lane.
            _ => Self::Conclude(Conclusion::NotBegun),
        }
    }

    /// Makes no submit that comes too late; see [`Policy::is_too_late`].
    #[must_use]
    pub fn in_time(self, record: &Record, pace: Option<&Pace>, policy: &Policy, now_ms: u64) -> Self {
        match self {
            Self::Submit if pace.is_some_and(|pace| policy.is_too_late(record, pace, now_ms)) => {
                Self::Conclude(Conclusion::TooLate)
            }
            act => act,
        }
    }

    /// The observation for a step that is handed back: it was not begun, unless the claim tells more.
    ///
    /// A submit whose worker died may have left. To put it back into its lane would submit it again.
    #[must_use]
    pub fn unbegun(&self) -> Observation {
        match self {
            Self::Submit | Self::Poll(_) | Self::Adopt(_) => Observation::NotBegun,
            Self::Conclude(conclusion) => (*conclusion).into(),
        }
    }
}

impl From<Conclusion> for Observation {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::NotBegun => Self::NotBegun,
            Conclusion::WorkerDied => Self::WorkerDied,
            Conclusion::DeadlinePassed => Self::DeadlinePassed,
            Conclusion::TooLate => Self::TooLate,
            Conclusion::CancelRequested => Self::CancelRequested,
            Conclusion::InputGiven(inputs) => Self::InputGiven(inputs),
            Conclusion::Poisoned => Self::Poisoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Entry, TaskId};

    use super::*;
    use crate::lifecycle::Ran;

    fn record(phase: Phase) -> Record {
        let json = br#"{"id":"a","kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        let task = matches!(phase, Phase::Polling | Phase::Held).then(|| TaskId::new("1"));
        Record { phase, task, ..Record::admit(&job, 1, &Policy::default()) }
    }

    #[test]
    fn a_submit_whose_worker_died_is_never_simply_submitted() {
        for reclaims in [1, 100] {
            for is_cancelled in [false, true] {
                let flags = Flags { is_reclaimed: true, is_overdue: true, is_cancelled, reclaims, ..Flags::default() };

                let act = Act::of(&record(Phase::Submitting), &flags, 5);

                assert_eq!(act, Act::Conclude(Conclusion::WorkerDied));
                assert!(matches!(act.unbegun(), Observation::WorkerDied), "a drain would submit it again");
            }
        }
    }

    #[test]
    fn what_was_not_begun_is_handed_back_as_that() {
        for phase in [Phase::Submitting, Phase::Polling, Phase::Unknown] {
            let act = Act::of(&record(phase), &Flags::default(), 5);

            assert!(matches!(act.unbegun(), Observation::NotBegun), "{phase}");
        }
    }

    #[test]
    fn an_overdue_task_gets_one_last_poll_and_an_overdue_submit_is_not_made() {
        let overdue = Flags { is_overdue: true, ..Flags::default() };

        assert_eq!(Act::of(&record(Phase::Polling), &overdue, 5), Act::Poll(TaskId::new("1")));
        for phase in [Phase::Queued, Phase::Submitting] {
            assert_eq!(Act::of(&record(phase), &overdue, 5), Act::Conclude(Conclusion::DeadlinePassed));
        }
    }

    #[test]
    fn a_submit_that_comes_too_late_is_not_made_and_a_job_that_has_not_waited_is_tried() {
        let policy = Policy::default();
        let ran = |ms| Ran { ms, told: None };
        let pace = Pace::learn(&(0..8).map(|_| ran(60_000)).collect::<Vec<_>>());
        let record = Record { deadline_ms: 100_001, ..record(Phase::Submitting) };
        let at = |now_ms, pace: Option<&Pace>| Act::Submit.in_time(&record, pace, &policy, now_ms);

        assert_eq!(at(35_000, pace.as_ref()), Act::Submit, "65 s are left");
        assert_eq!(at(37_000, pace.as_ref()), Act::Conclude(Conclusion::TooLate));
        assert_eq!(at(99_000, None), Act::Submit, "nothing is known");
        let short = Record { deadline_ms: 50_001, ..record.clone() };
        assert_eq!(Act::Submit.in_time(&short, pace.as_ref(), &policy, 12_000), Act::Submit, "it has hardly waited");
        assert_ne!(Act::Submit.in_time(&short, pace.as_ref(), &policy, 13_000), Act::Submit);
        let answering = Record { is_answering: true, ..record.clone() };
        assert_eq!(Act::Submit.in_time(&answering, pace.as_ref(), &policy, 90_000), Act::Submit, "it is paid for");
    }

    #[test]
    fn a_hook_about_an_earlier_task_does_not_stand_for_the_lost_one() {
        let flags = Flags { hinted_task: Some(TaskId::new("17")), ..Flags::default() };
        let first = record(Phase::Unknown);
        let second = Record { earlier_tasks: vec![TaskId::new("17")], ..first.clone() };

        assert_eq!(Act::of(&first, &flags, 5), Act::Adopt(Some(TaskId::new("17"))));
        assert_eq!(Act::of(&second, &flags, 5), Act::Adopt(None));
    }

    #[test]
    fn only_reclaims_in_a_row_make_a_job_poison() {
        let flags = Flags { is_reclaimed: true, reclaims: 8, ..Flags::default() };
        let survivor = Record { survived_reclaims: 7, ..record(Phase::Polling) };

        assert_eq!(Act::of(&record(Phase::Polling), &flags, 5), Act::Conclude(Conclusion::Poisoned));
        assert_eq!(Act::of(&survivor, &flags, 5), Act::Poll(TaskId::new("1")));
    }
}
