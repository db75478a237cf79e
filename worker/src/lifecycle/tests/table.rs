//! The table: the effect of each observation on a job in each phase.
//!
//! A cell says the phase after the observation and what is next: a submit, a poll, or the code of the end; `-` is an
//! impossible pair. A new observation does not compile until it has a line among the samples, and its tests fail until
//! it has a row in the tables.

use super::*;

/// In the middle of a job's life, with `on_unknown: fail` and a hook that may report a lost task.
const BEFORE_THE_DEADLINE: &str = "
                       | queued               | submitting                | polling                 | unknown                | held                    | completed | failed | cancelled
accepted               | -                    | polling, poll             | -                       | -                      | -                       | - | - | -
accepted and queued    | -                    | polling, poll             | -                       | -                      | -                       | - | - | -
refused: saturated     | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
refused: barred        | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
refused: unreachable   | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
refused: misaddressed  | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
refused: without id    | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
refused: fault         | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
denied                 | -                    | failed, too_large         | -                       | -                      | -                       | - | - | -
unsendable             | -                    | failed, parent_gone       | -                       | -                      | -                       | - | - | -
unanswered             | -                    | unknown, poll             | -                       | -                      | -                       | - | - | -
worker died            | -                    | unknown, poll             | -                       | -                      | -                       | - | - | -
parent pending         | -                    | queued, after parent      | -                       | -                      | -                       | - | - | -
parent not known       | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
no memory              | -                    | queued, submit            | -                       | -                      | -                       | - | - | -
running                | -                    | -                         | polling, poll           | -                      | polling, poll           | - | - | -
succeeded              | -                    | -                         | completed, ok           | -                      | completed, ok           | - | - | -
succeeded: no image    | -                    | -                         | polling, poll           | -                      | polling, poll           | - | - | -
task failed: banned    | -                    | -                         | failed, banned_prompt   | -                      | failed, banned_prompt   | - | - | -
task failed: invalid   | -                    | -                         | failed, invalid_request | -                      | failed, invalid_request | - | - | -
task failed: capacity  | -                    | -                         | failed, upstream_failed | -                      | failed, upstream_failed | - | - | -
task failed: upstream  | -                    | -                         | failed, upstream_failed | -                      | failed, upstream_failed | - | - | -
waits for input        | -                    | -                         | held, poll              | -                      | held, poll              | - | - | -
missing                | -                    | queued, submit            | polling, poll           | -                      | held, poll              | - | - | -
no verdict             | -                    | queued, submit            | polling, poll           | unknown, poll          | held, poll              | - | - | -
stranger               | -                    | -                         | polling, poll           | -                      | held, poll              | - | - | -
found                  | -                    | polling, poll             | -                       | polling, poll          | -                       | - | - | -
not found              | -                    | -                         | -                       | unknown, poll          | -                       | - | - | -
not begun              | queued, submit       | queued, submit            | polling, poll           | unknown, poll          | held, poll              | - | - | -
deadline passed        | failed, deadline_exceeded | failed, deadline_exceeded | failed, deadline_exceeded | failed, submit_unknown | failed, needs_input  | - | - | -
too late               | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
cancel requested       | cancelled, cancelled | cancelled, cancelled      | cancelled, cancelled    | cancelled, cancelled   | cancelled, cancelled    | - | - | -
input given            | -                    | -                         | -                       | -                      | queued, submit          | - | - | -
poisoned               | failed, poison       | failed, poison            | failed, poison          | failed, submit_unknown | failed, poison          | - | - | -
";

/// The same job at its deadline: any observation ends the job, except that a task that was only just found, or was not
/// polled, gets a last poll.
const AT_THE_DEADLINE: &str = "
                       | queued               | submitting                | polling                 | unknown                | held                    | completed | failed | cancelled
accepted               | -                    | polling, poll             | -                       | -                      | -                       | - | - | -
accepted and queued    | -                    | polling, poll             | -                       | -                      | -                       | - | - | -
refused: saturated     | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
refused: barred        | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
refused: unreachable   | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
refused: misaddressed  | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
refused: without id    | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
refused: fault         | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
denied                 | -                    | failed, too_large         | -                       | -                      | -                       | - | - | -
unsendable             | -                    | failed, parent_gone       | -                       | -                      | -                       | - | - | -
unanswered             | -                    | failed, submit_unknown    | -                       | -                      | -                       | - | - | -
worker died            | -                    | failed, submit_unknown    | -                       | -                      | -                       | - | - | -
parent pending         | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
parent not known       | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
no memory              | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
running                | -                    | -                         | failed, deadline_exceeded | -                    | failed, deadline_exceeded | - | - | -
succeeded              | -                    | -                         | completed, ok           | -                      | completed, ok           | - | - | -
succeeded: no image    | -                    | -                         | completed, ok           | -                      | completed, ok           | - | - | -
task failed: banned    | -                    | -                         | failed, banned_prompt   | -                      | failed, banned_prompt   | - | - | -
task failed: invalid   | -                    | -                         | failed, invalid_request | -                      | failed, invalid_request | - | - | -
task failed: capacity  | -                    | -                         | failed, upstream_failed | -                      | failed, upstream_failed | - | - | -
task failed: upstream  | -                    | -                         | failed, upstream_failed | -                      | failed, upstream_failed | - | - | -
waits for input        | -                    | -                         | failed, needs_input     | -                      | failed, needs_input     | - | - | -
missing                | -                    | failed, deadline_exceeded | failed, deadline_exceeded | -                    | failed, needs_input     | - | - | -
no verdict             | -                    | failed, deadline_exceeded | failed, deadline_exceeded | failed, submit_unknown | failed, needs_input   | - | - | -
stranger               | -                    | -                         | failed, deadline_exceeded | -                      | failed, needs_input   | - | - | -
found                  | -                    | polling, poll             | -                       | polling, poll          | -                       | - | - | -
not found              | -                    | -                         | -                       | failed, submit_unknown | -                       | - | - | -
not begun              | failed, deadline_exceeded | failed, deadline_exceeded | polling, poll      | unknown, poll          | held, poll              | - | - | -
deadline passed        | failed, deadline_exceeded | failed, deadline_exceeded | failed, deadline_exceeded | failed, submit_unknown | failed, needs_input  | - | - | -
too late               | -                    | failed, deadline_exceeded | -                       | -                      | -                       | - | - | -
cancel requested       | cancelled, cancelled | cancelled, cancelled      | cancelled, cancelled    | cancelled, cancelled   | cancelled, cancelled    | - | - | -
input given            | -                    | -                         | -                       | -                      | failed, deadline_exceeded | - | - | -
poisoned               | failed, poison       | failed, poison            | failed, poison          | failed, submit_unknown | failed, poison          | - | - | -
";

/// Ten seconds later the job no longer waits for that poll: a limit or the upstream itself does not allow it.
const LONG_AFTER_THE_DEADLINE: &str = "
                       | queued                    | submitting                | polling                   | unknown                | held
not begun              | failed, deadline_exceeded | failed, deadline_exceeded | failed, deadline_exceeded | failed, submit_unknown | failed, needs_input
";

/// Where no route finds a lost task, `on_unknown: resubmit` decides at once; the rest is as above.
const WITHOUT_ADOPTION_UNDER_RESUBMIT: &str = "
                       | submitting             | unknown
unanswered             | queued, submit         | -
worker died            | queued, submit         | -
found                  | polling, poll          | polling, poll
not found              | -                      | queued, submit
no verdict             | queued, submit         | queued, submit
not begun              | queued, submit         | unknown, poll
cancel requested       | cancelled, cancelled   | cancelled, cancelled
poisoned               | failed, poison         | failed, submit_unknown
";

/// As the table above, but after the last attempt that the job is allowed.
const AFTER_THE_LAST_ATTEMPT: &str = "
                       | submitting             | unknown
unanswered             | failed, submit_unknown | -
worker died            | failed, submit_unknown | -
found                  | polling, poll          | polling, poll
not found              | -                      | failed, submit_unknown
no verdict             | queued, submit         | failed, submit_unknown
";

/// With `on_capacity: resubmit`; the rest is as above.
const UNDER_ON_CAPACITY_RESUBMIT: &str = "
                       | polling                 | held
task failed: banned    | failed, banned_prompt   | failed, banned_prompt
task failed: invalid   | failed, invalid_request | failed, invalid_request
task failed: capacity  | queued, submit          | queued, submit
task failed: upstream  | failed, upstream_failed | failed, upstream_failed
";

/// As the table above, but after the last attempt that the job is allowed.
const AFTER_THE_LAST_TASK: &str = "
                       | polling                    | held
task failed: capacity  | failed, attempts_exhausted | failed, attempts_exhausted
task failed: upstream  | failed, upstream_failed    | failed, upstream_failed
";

#[test]
fn each_observation_has_its_meaning_in_each_phase() {
    check_whole(BEFORE_THE_DEADLINE, a_job_in);
}

#[test]
fn at_the_deadline_whatever_is_seen_ends_the_job_or_gives_its_task_a_last_poll() {
    check_whole(AT_THE_DEADLINE, |phase| {
        let mut job = a_job_in(phase);
        job.pass_to_deadline();
        job
    });
}

#[test]
fn a_last_poll_that_is_not_made_does_not_keep_a_job_from_its_end() {
    check(LONG_AFTER_THE_DEADLINE, |phase| {
        let mut job = a_job_in(phase);
        job.pass_to_deadline();
        job.pass(S(10));
        job
    });
}

#[test]
fn a_lost_submit_is_made_again_only_under_resubmit() {
    let resubmitting = |phase| {
        let mut job = a_job_in(phase);
        job.policy.adoption = AdoptionRoutes::default();
        job.record.on_unknown = OnUnknown::Resubmit;
        job
    };

    check(WITHOUT_ADOPTION_UNDER_RESUBMIT, resubmitting);
    check(AFTER_THE_LAST_ATTEMPT, |phase| {
        let mut job = resubmitting(phase);
        job.record.attempts = job.record.max_attempts - u32::from(phase == Phase::Submitting);
        job
    });
}

#[test]
fn another_task_is_asked_for_only_for_want_of_capacity_and_only_as_often_as_allowed() {
    let resubmitting = |phase| {
        let mut job = a_job_in(phase);
        job.record.on_capacity = OnCapacity::Resubmit;
        job
    };

    check(UNDER_ON_CAPACITY_RESUBMIT, resubmitting);
    check(AFTER_THE_LAST_TASK, |phase| {
        let mut job = resubmitting(phase);
        job.record.attempts = job.record.max_attempts;
        job
    });
}

#[test]
fn a_refusal_for_good_ends_the_job_with_its_own_code() {
    for code in Code::ALL {
        let mut job = an_imagine_job();

        let after = job.step(&Observation::Denied { code, reason: "no".to_owned() });

        assert_eq!(after.next, failed(code));
        assert_eq!(after.record.reason, "no");
    }
}

macro_rules! observations {
    ($($label:literal: $seen:pat $(if $guard:expr)? => $sample:expr,)+) => {
        /// The name of an observation's row.
        fn row_of(seen: &Observation) -> &'static str {
            match seen {
                $($seen $(if $guard)? => $label,)+
            }
        }

        /// A sample of each observation and its sub-cases.
        pub(super) fn every_observation() -> Vec<Observation> {
            vec![$($sample,)+]
        }
    };
}

observations! {
    "accepted": Observation::Accepted { queue_position: 0, .. } => accepted(0),
    "accepted and queued": Observation::Accepted { .. } => accepted(3),
    "refused: saturated": Observation::Refused { busy: Busy::Saturated, .. } => refused(Busy::Saturated),
    "refused: barred": Observation::Refused { busy: Busy::Barred, .. } => refused(Busy::Barred),
    "refused: unreachable": Observation::Refused { busy: Busy::Unreachable, .. } => refused(Busy::Unreachable),
    "refused: misaddressed": Observation::Refused { busy: Busy::Misaddressed, .. } => refused(Busy::Misaddressed),
    "refused: without id": Observation::Refused { busy: Busy::WithoutId, .. } => refused(Busy::WithoutId),
    "refused: fault": Observation::Refused { busy: Busy::Fault, .. } => refused(Busy::Fault),
    "denied": Observation::Denied { .. } => Observation::Denied { code: Code::TooLarge, reason: "413".to_owned() },
    "unsendable": Observation::Unsendable { .. } => Observation::Unsendable { code: Code::ParentGone, reason: "b".to_owned() },
    "unanswered": Observation::Unanswered { .. } => unanswered(),
    "worker died": Observation::WorkerDied => Observation::WorkerDied,
    "parent pending": Observation::ParentPending => Observation::ParentPending,
    "parent not known": Observation::ParentNotKnown => Observation::ParentNotKnown,
    "no memory": Observation::NoMemory => Observation::NoMemory,
    "running": Observation::Running(_) => running(40),
    "succeeded: no image": Observation::Succeeded(task) if task.image_url.is_empty() => succeeded(""),
    "succeeded": Observation::Succeeded(_) => succeeded("https://example.org/a.png"),
    "task failed: banned": Observation::TaskFailed(_, FailureClass::Banned) => task_failed(FailureClass::Banned),
    "task failed: invalid": Observation::TaskFailed(_, FailureClass::Invalid) => task_failed(FailureClass::Invalid),
    "task failed: capacity": Observation::TaskFailed(_, FailureClass::Capacity) => task_failed(FailureClass::Capacity),
    "task failed: upstream": Observation::TaskFailed(_, FailureClass::Upstream) => task_failed(FailureClass::Upstream),
    "waits for input": Observation::WaitsForInput(_) => waits_for_input(),
    "missing": Observation::Missing => Observation::Missing,
    "no verdict": Observation::NoVerdict { .. } => no_verdict(),
    "stranger": Observation::Stranger { .. } => stranger("1748339029401828", succeeded(IMAGE)),
    "found": Observation::Found(_) => found(),
    "not found": Observation::NotFound => Observation::NotFound,
    "not begun": Observation::NotBegun => Observation::NotBegun,
    "deadline passed": Observation::DeadlinePassed => Observation::DeadlinePassed,
    "too late": Observation::TooLate => Observation::TooLate,
    "cancel requested": Observation::CancelRequested => Observation::CancelRequested,
    "input given": Observation::InputGiven(_) => Observation::InputGiven(1),
    "poisoned": Observation::Poisoned => Observation::Poisoned,
}

/// A job that has reached this phase in the usual way. A new phase also goes into `Phase::ALL`.
fn a_job_in(phase: Phase) -> Life {
    let mut job = an_imagine_job();
    job.policy.adoption.hook = true;
    match phase {
        Phase::Queued => {}
        Phase::Submitting => job.claim(),
        Phase::Polling => drop(job.step(&accepted(0))),
        Phase::Unknown => drop(job.step(&unanswered())),
        Phase::Held => {
            job.step(&accepted(0));
            job.step(&waits_for_input());
        }
        Phase::Completed => {
            job.step(&accepted(0));
            job.step(&succeeded("https://example.org/a.png"));
        }
        Phase::Failed => drop(job.step(&Observation::DeadlinePassed)),
        Phase::Cancelled => drop(job.step(&Observation::CancelRequested)),
    }
    assert_eq!(job.record.phase, phase);
    job
}

/// Checks that the table has a row for each observation and a column for each phase, and checks each cell.
fn check_whole(table: &str, job_in: impl Fn(Phase) -> Life) {
    let (phases, rows) = read(table);
    let mut wanted: Vec<_> = every_observation().iter().map(row_of).collect();
    let mut listed: Vec<_> = rows.iter().map(|(row, _)| *row).collect();
    wanted.sort_unstable();
    listed.sort_unstable();

    assert_eq!(phases, Phase::ALL);
    assert_eq!(listed, wanted);
    check(table, job_in);
}

fn check(table: &str, job_in: impl Fn(Phase) -> Life) {
    let samples = every_observation();
    let (phases, rows) = read(table);
    let mut wrong = Vec::new();
    for (row, cells) in rows {
        let seen = samples.iter().find(|seen| row_of(seen) == row).unwrap();
        assert_eq!(cells.len(), phases.len(), "{row}");
        for (&phase, wanted) in phases.iter().zip(cells) {
            let got = cell(&job_in(phase), seen);
            if got != wanted {
                wrong.push(format!("{phase} × {row}: wanted {wanted}, got {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cell(job: &Life, seen: &Observation) -> String {
    match job.would(seen) {
        Err(illegal) => {
            assert_eq!(illegal, Illegal { phase: job.record.phase, observation: seen.name() });
            "-".to_owned()
        }
        Ok(Transition { record, next: Next::Submit(_), .. }) => format!("{}, submit", record.phase),
        Ok(Transition { record, next: Next::AfterParent(_), .. }) => format!("{}, after parent", record.phase),
        Ok(Transition { record, next: Next::Poll(_), .. }) => format!("{}, poll", record.phase),
        Ok(Transition { record, next: Next::End(ending), .. }) => {
            assert_eq!(ending.event_type.as_str(), record.phase.as_str());
            format!("{}, {}", record.phase, ending.code)
        }
    }
}

type Row<'a> = (&'a str, Vec<&'a str>);

fn read(table: &str) -> (Vec<Phase>, Vec<Row<'_>>) {
    let mut lines = table.trim_matches('\n').lines().map(|line| line.split('|').map(str::trim));
    let phases = lines.next().unwrap().skip(1).map(|name| Phase::read(name).unwrap()).collect();
    (phases, lines.map(|mut cells| (cells.next().unwrap(), cells.collect())).collect())
}
