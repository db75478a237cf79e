//! The stories: what a job goes through, in terms of the upstream's answers.

use mjq_producer::contract::Priority;

use super::*;

#[test]
fn a_task_that_the_upstream_queued_is_accepted_and_first_polled_later() {
    let delays = [0, 4, 20, 10_000].map(|position| {
        let mut job = an_imagine_job();
        let after = job.step(&accepted(position));
        assert_eq!((after.record.phase, after.record.attempts), (Phase::Polling, 1));
        assert_eq!((after.record.queue_position, after.pressure), (position, Pressure::Accepted));
        let Next::Poll(delay) = after.next else { panic!("{:?}", after.next) };
        delay
    });

    assert_eq!(delays.map(|delay| delay.as_millis()), [2020, 3030, 7070, 15_000]);
}

#[test]
fn a_full_upstream_burns_no_attempt_however_often_it_refuses() {
    let mut job = an_imagine_job();
    job.record.deadline_ms += 24 * 3_600_000;

    for refusals in 1..=100 {
        let after = job.step(&refused(Busy::Saturated));
        assert!(matches!(after.next, Next::Submit(delay) if delay > Duration::ZERO));
        assert_eq!((after.record.refusals, after.record.attempts), (refusals, 0));
        assert_eq!(after.pressure, Pressure::Saturated(Duration::ZERO));
    }
    job.step(&accepted(0));

    assert_eq!(job.record.attempts, 1);
}

#[test]
fn a_429_is_answered_with_the_pause_that_it_asks_for_by_the_job_and_by_the_whole_upstream() {
    let mut job = an_imagine_job();

    let after =
        job.step(&Observation::Refused { busy: Busy::Saturated, retry_after: Some(S(90)), reason: "429".to_owned() });

    assert_eq!((after.next, after.pressure), (Next::Submit(S(90)), Pressure::Saturated(S(90))));
    assert_eq!(after.record.attempts, 0);
}

#[test]
fn an_upstream_that_bars_us_or_is_not_there_is_stopped_and_the_job_goes_on() {
    let claimed_ms = START_MS;
    for (busy, pressure) in [
        (Busy::Barred, Pressure::Down { claimed_ms }),
        (Busy::Unreachable, Pressure::Away { claimed_ms }),
        (Busy::Misaddressed, Pressure::Misaddressed { claimed_ms }),
    ] {
        let mut job = an_imagine_job();

        let after = job.step(&refused(busy));

        assert!(matches!(after.next, Next::Submit(_)));
        assert_eq!((after.pressure, after.record.attempts), (pressure, 0));
    }
}

#[test]
fn a_job_that_is_refused_while_others_are_taken_stops_nobody() {
    for busy in [Busy::Saturated, Busy::Barred, Busy::Unreachable, Busy::Misaddressed, Busy::WithoutId, Busy::Fault] {
        let mut job = an_imagine_job();
        assert_ne!(
            job.step(&refused(busy)).pressure,
            Pressure::None,
            "{busy:?}: the first time, it may be the upstream"
        );
        assert_ne!(job.step(&refused(busy)).pressure, Pressure::None, "{busy:?}: nothing was taken since");

        job.accepted_ms = job.now_ms + 1;
        assert_eq!(job.step(&refused(busy)).pressure, Pressure::None, "{busy:?}: it has taken another");
        assert_ne!(job.step(&refused(busy)).pressure, Pressure::None, "{busy:?}: but none since");
    }
}

#[test]
fn a_first_refusal_that_is_not_for_want_of_room_stops_nobody_if_another_job_was_taken_during_the_submit() {
    for (busy, counts_first) in [
        (Busy::Barred, false),
        (Busy::Unreachable, false),
        (Busy::Misaddressed, false),
        (Busy::Fault, false),
        (Busy::Saturated, true),
        (Busy::WithoutId, true),
    ] {
        let mut job = an_imagine_job();
        job.accepted_ms = job.now_ms + 1;
        job.claim();
        assert_eq!(job.would(&refused(busy)).unwrap().pressure != Pressure::None, counts_first, "{busy:?}");

        job.accepted_ms = job.now_ms;
        assert_ne!(job.would(&refused(busy)).unwrap().pressure, Pressure::None, "{busy:?}: taken before the claim");
    }
}

#[test]
fn a_pause_that_the_upstream_asks_for_is_kept_whoever_it_is_told() {
    let mut job = an_imagine_job();
    job.step(&refused(Busy::Saturated));
    job.accepted_ms = job.now_ms + 1;
    let pause = Observation::Refused { busy: Busy::Saturated, retry_after: Some(S(9)), reason: String::new() };

    assert_eq!(job.step(&pause).pressure, Pressure::Saturated(S(9)));
}

#[test]
fn a_task_that_is_not_shown_while_others_are_stops_no_poll_but_its_own() {
    let throttled = Observation::NoVerdict { reason: "HTTP 403".to_owned(), retry_after: Some(S(5)) };
    for mut job in [an_accepted_job(), a_job_of_unknown_fate()] {
        job.shown_ms = job.now_ms;
        assert_eq!(job.step(&throttled).pressure, Pressure::Throttled(S(5)), "the first time, it may be all polls");
        assert_eq!(job.step(&throttled).pressure, Pressure::Throttled(S(5)), "no task was shown since");

        job.shown_ms = job.now_ms + 1;
        for _ in 0..3 {
            assert_eq!(job.step(&throttled).pressure, Pressure::None, "another task was shown");
        }
    }
    let mut job = an_accepted_job();
    job.step(&throttled);
    job.step(&running(40));
    job.shown_ms = job.now_ms;

    let after = job.step(&throttled);

    assert_eq!(after.pressure, Pressure::Throttled(S(5)), "it was shown in between");
    assert!(matches!(after.next, Next::Poll(delay) if delay >= S(5)), "its own poll waits: {:?}", after.next);
}

#[test]
fn a_22_without_an_id_is_submitted_again_and_burns_no_attempt() {
    let mut job = an_imagine_job();

    let after = job.step(&refused(Busy::WithoutId));

    assert_eq!(after.next, Next::Submit(S(1)));
    assert_eq!((after.record.phase, after.record.attempts), (Phase::Queued, 0));
    assert!(!after.record.possible_duplicate);
}

#[test]
fn faults_inside_the_upstream_are_limited_like_attempts_without_being_counted_as_such() {
    let mut job = an_imagine_job();

    for _ in 1..job.record.max_attempts {
        assert!(matches!(job.step(&refused(Busy::Fault)).next, Next::Submit(_)));
    }
    let after = job.step(&refused(Busy::Fault));

    assert_eq!(after.next, failed(Code::AttemptsExhausted));
    assert_eq!(after.record.attempts, 0);
}

#[test]
fn a_job_that_cannot_be_submitted_until_its_deadline_says_why() {
    let mut job = an_imagine_job();

    let last = loop {
        let after = job.step(&refused(Busy::Saturated));
        if matches!(after.next, Next::End(_)) {
            break after;
        }
    };

    assert_eq!(last.next, failed(Code::DeadlineExceeded));
    assert_eq!(last.record.reason, "the deadline passed before the upstream took the job: queue full");
    assert_eq!(job.now_ms, job.record.deadline_ms);
}

#[test]
fn a_job_whose_turn_does_not_come_before_its_deadline_says_that_it_was_never_submitted() {
    let mut waiting = an_imagine_job();
    waiting.pass_to_deadline();
    let mut taken = an_accepted_job();
    taken.pass_to_deadline();

    let (waiting, taken) = (waiting.observe(&Observation::DeadlinePassed), taken.observe(&Observation::DeadlinePassed));

    assert_eq!((&waiting.next, &taken.next), (&failed(Code::DeadlineExceeded), &failed(Code::DeadlineExceeded)));
    assert_eq!(waiting.record.reason, "the deadline passed before the job was submitted");
    assert_eq!(taken.record.reason, "the deadline passed");
}

#[test]
fn a_queued_task_runs_since_the_upstream_says_so_where_that_can_be_true_and_else_since_it_is_seen_to_run() {
    // The job was enqueued 1 s before the upstream accepted it.
    for (began_ms, since_acceptance) in [(-13, 0), (400, 400), (-9_000, 2_000), (9_000, 2_000)] {
        let mut job = an_imagine_job();
        job.pass(S(1));
        job.step(&accepted(1));
        job.next = Next::Poll(S(2));
        let accepted_ms = job.record.accepted_ms;
        let started_ms = accepted_ms.saturating_add_signed(began_ms);
        let report = TaskReport { progress: Some(31), started_ms, ..report("IN_PROGRESS") };

        job.step(&Observation::Running(report));

        assert_eq!(job.record.started_ms, accepted_ms + since_acceptance, "began at {began_ms} ms");
    }
}

#[test]
fn a_task_that_is_unknown_for_minutes_is_lost() {
    let mut job = an_accepted_job();
    let (polls, over) = job.policy.lost_after;
    let first_ms = job.now_ms;

    let mut made = 1;
    while let Next::Poll(_) = job.step(&Observation::Missing).next {
        made += 1;
    }

    assert_eq!(job.next, failed(Code::UpstreamLost));
    assert!(made >= polls, "{made}");
    assert!(Duration::from_millis(job.now_ms - first_ms) >= over);
}

#[test]
fn a_task_that_is_unknown_many_times_in_a_moment_is_not_lost_yet() {
    let mut job = an_accepted_job();

    for _ in 0..100 {
        assert!(matches!(job.observe(&Observation::Missing).next, Next::Poll(_)));
    }
}

#[test]
fn a_task_that_was_unknown_once_a_long_time_ago_is_not_lost() {
    let mut job = an_accepted_job();
    job.step(&Observation::Missing);
    job.pass(S(300));

    assert!(matches!(job.step(&Observation::Missing).next, Next::Poll(_)));
}

#[test]
fn a_task_that_shows_again_is_as_well_known_as_before() {
    let mut job = an_accepted_job();
    for _ in 0..4 {
        job.step(&Observation::Missing);
    }
    job.pass(S(180));

    job.step(&running(10));

    assert_eq!(job.record.missing, None);
    assert!(matches!(job.step(&Observation::Missing).next, Next::Poll(_)));
}

#[test]
fn a_task_that_is_unknown_for_a_moment_is_not_left_alone_for_longer_than_any_other() {
    let mut job = an_accepted_job();

    let after = job.step(&Observation::Missing);

    assert!(matches!(after.next, Next::Poll(delay) if delay <= job.policy.poll_max), "{:?}", after.next);
}

#[test]
fn a_lost_answer_whose_task_is_found_is_adopted_and_no_second_attempt() {
    let mut job = a_job_of_unknown_fate();
    job.step(&Observation::NotFound);

    let after = job.step(&found());

    assert_eq!(after.next, Next::Poll(Duration::ZERO));
    assert_eq!((after.record.phase, after.record.attempts), (Phase::Polling, 1));
    assert!(after.record.adopted && !after.record.possible_duplicate);
    assert_eq!(job.step(&succeeded(IMAGE)).next, ended(EventType::Completed, Code::Ok));
}

#[test]
fn a_lost_answer_is_looked_for_as_long_as_the_grace_and_ends_as_submit_unknown() {
    let mut job = a_job_of_unknown_fate();
    let lost_ms = job.now_ms;

    while let Next::Poll(_) = job.step(&Observation::NotFound).next {}

    assert_eq!(job.next, failed(Code::SubmitUnknown));
    assert_eq!(Duration::from_millis(job.now_ms - lost_ms), job.policy.unknown_grace);
}

#[test]
fn a_lost_answer_that_nothing_can_find_ends_at_once_as_submit_unknown() {
    for seen in [unanswered(), Observation::WorkerDied] {
        let mut job = an_imagine_job();

        let after = job.step(&seen);

        assert_eq!(after.next, failed(Code::SubmitUnknown));
        assert_eq!(after.record.attempts, 1);
        assert!(!after.record.reason.is_empty());
    }
}

#[test]
fn a_lost_answer_speaks_against_the_upstream_and_the_death_of_a_worker_does_not() {
    let lost = Pressure::Lost { claimed_ms: START_MS };
    for (seen, pressure) in [(unanswered(), lost), (Observation::WorkerDied, Pressure::None)] {
        let mut job = an_imagine_job();

        assert_eq!(job.step(&seen).pressure, pressure, "{}", seen.name());
    }
}

#[test]
fn a_lost_submit_whose_task_is_found_no_longer_speaks_against_the_upstream() {
    let mut job = a_job_of_unknown_fate();

    assert_eq!(job.step(&Observation::Found(TaskId::new("7"))).pressure, Pressure::Found);
}

#[test]
fn a_callers_own_hook_leaves_no_way_to_hear_of_a_lost_task() {
    let mut job = an_imagine_job();
    job.policy.adoption.hook = true;
    job.record.has_own_hook = true;

    assert_eq!(job.step(&unanswered()).next, failed(Code::SubmitUnknown));
}

#[test]
fn under_resubmit_a_lost_answer_is_looked_for_first_and_then_submitted_again_as_a_possible_duplicate() {
    let mut job = an_imagine_job();
    job.policy.adoption.lookup = true;
    job.record.on_unknown = OnUnknown::Resubmit;

    assert!(matches!(job.step(&unanswered()).next, Next::Poll(_)));
    while let Next::Poll(_) = job.step(&Observation::NotFound).next {}
    assert!(matches!(job.next, Next::Submit(_)));
    job.step(&accepted(0));
    job.step(&succeeded(IMAGE));

    assert_eq!(job.next, ended(EventType::Completed, Code::Ok));
    assert_eq!(job.record.attempts, 2);
    assert!(job.record.possible_duplicate);
}

#[test]
fn under_resubmit_no_more_submits_are_made_than_allowed() {
    let options = Options { max_attempts: Some(3), on_unknown: Some(OnUnknown::Resubmit), ..Options::default() };
    let mut job = Life::of(&a_job(Kind::Imagine, options), Policy::default());

    let mut submits = 1;
    while let Next::Submit(_) = job.step(&unanswered()).next {
        submits += 1;
    }

    assert_eq!((job.next, submits, job.record.attempts), (failed(Code::SubmitUnknown), 3, 3));
}

#[test]
fn each_task_that_fails_for_want_of_capacity_is_counted_and_kept_until_one_succeeds() {
    let options = Options { max_attempts: Some(3), on_capacity: Some(OnCapacity::Resubmit), ..Options::default() };
    let mut job = Life::of(&a_job(Kind::Imagine, options), Policy::default());
    let take = |job: &mut Life, task| {
        job.step(&Observation::Accepted { task: TaskId::new(task), queue_position: 0 });
    };

    for task in ["1", "2"] {
        take(&mut job, task);
        let after = job.step(&task_failed(FailureClass::Capacity));
        assert!(matches!(after.next, Next::Submit(delay) if delay >= S(1)), "{:?}", after.next);
        assert_eq!((after.record.task, after.record.status.as_str()), (None, ""));
    }
    take(&mut job, "3");
    let after = job.step(&succeeded(IMAGE));

    assert_eq!(after.next, ended(EventType::Completed, Code::Ok));
    assert_eq!((after.record.attempts, after.record.possible_duplicate), (3, false));
    assert_eq!(after.record.earlier_tasks, [TaskId::new("1"), TaskId::new("2")]);
    assert_eq!(after.record.notes.len(), 2);
    assert_eq!(after.record.reason, "");
}

#[test]
fn a_retried_job_keeps_the_id_of_its_task_before() {
    let mut job = an_accepted_job();
    job.step(&task_failed(FailureClass::Upstream));
    let task = job.record.task.clone();

    let revived = job.record.clone().revive(job.now_ms, job.fence + 1, &job.policy);

    assert_eq!((revived.task, revived.earlier_tasks), (None, task.into_iter().collect()));
}

#[test]
fn a_retried_job_has_as_long_as_before_even_if_the_operators_settings_give_less() {
    let hours = |hours: u64| Policy { fast_deadline: Duration::from_secs(hours * 3600), ..Policy::default() };
    let (workers, operators) = (hours(2), hours(1));
    let options = Options { run_at_ms: 3_600_000, ..Options::default() };
    let admitted = Record::admit(&a_job(Kind::Imagine, options), 1_000_000, &workers);
    assert_eq!(admitted.deadline_ms, 3 * 3_600_000);

    let once = admitted.revive(20_000_000, 2, &operators);
    let twice = once.clone().revive(90_000_000, 4, &operators);

    assert_eq!(once.deadline_ms, 20_000_000 + 2 * 3_600_000);
    assert_eq!(twice.deadline_ms, 90_000_000 + 2 * 3_600_000);
    let longer = twice.revive(100_000_000, 6, &hours(3));
    assert_eq!(longer.deadline_ms, 100_000_000 + 3 * 3_600_000, "settings that give more count");
}

#[test]
fn a_job_that_kills_its_workers_while_it_is_looked_for_is_not_submitted_again() {
    let mut job = a_job_of_unknown_fate();
    job.record.on_unknown = OnUnknown::Resubmit;

    assert_eq!(job.step(&Observation::Poisoned).next, failed(Code::SubmitUnknown));
}

#[test]
fn a_cancel_ends_a_job_wherever_it_stands_and_only_once() {
    let held = {
        let mut job = an_accepted_job();
        job.step(&waits_for_input());
        job
    };
    let submitting = {
        let mut job = an_imagine_job();
        job.claim();
        job
    };
    for mut job in [an_imagine_job(), submitting, an_accepted_job(), a_job_of_unknown_fate(), held] {
        let phase = job.record.phase;

        let after = job.observe(&Observation::CancelRequested);

        assert_eq!(after.next, ended(EventType::Cancelled, Code::Cancelled), "{phase}");
        assert_eq!(after.record.phase, Phase::Cancelled, "{phase}");
        assert!(job.would(&Observation::CancelRequested).is_err(), "{phase}");
    }
}

#[test]
fn a_success_that_is_seen_after_the_deadline_is_still_a_success() {
    let mut job = an_accepted_job();
    job.pass_to_deadline();
    job.pass(S(60));

    assert_eq!(job.step(&succeeded(IMAGE)).next, ended(EventType::Completed, Code::Ok));
}

#[test]
fn a_poll_that_tells_nothing_is_never_a_verdict_before_the_deadline() {
    let mut job = an_accepted_job();

    while let Next::Poll(_) = job.step(&no_verdict()).next {}

    assert_eq!(job.next, failed(Code::DeadlineExceeded));
    assert_eq!(job.now_ms, job.record.deadline_ms);
    assert_eq!(job.record.reason, "502");
}

#[test]
fn a_timeline_keeps_its_beginning_and_its_latest_phases() {
    let mut job = an_accepted_job();

    for _ in 0..100 {
        job.observe(&waits_for_input());
        job.observe(&running(1));
    }

    let timeline = &job.record.timeline;
    assert_eq!(timeline.len(), 32);
    assert_eq!(timeline.first(), Some(&Moment(START_MS, 0, Phase::Queued)));
    assert_eq!(timeline.last().map(|last| last.2), Some(Phase::Polling));
}

#[test]
fn an_entry_from_a_clock_that_is_centuries_ahead_makes_an_ordinary_record() {
    let low = Options { priority: Priority::Low, ..Options::default() };

    let record = Record::admit(&a_job(Kind::Imagine, Options::default()), u64::MAX, &Policy::default());
    let behind = Record::admit(&a_job(Kind::Imagine, low), START_MS, &Policy::default());

    assert_eq!(record.deadline_ms, u64::MAX);
    assert!(record.submit_score() < behind.submit_score());
}

#[test]
fn a_job_whose_first_submit_may_have_been_taken_never_hides_it() {
    for (seen, wanted) in [
        (Observation::Denied { code: Code::BannedPrompt, reason: "no".to_owned() }, failed(Code::SubmitUnknown)),
        (Observation::DeadlinePassed, failed(Code::SubmitUnknown)),
        (Observation::CancelRequested, ended(EventType::Cancelled, Code::Cancelled)),
    ] {
        let mut job = an_imagine_job();
        job.record.on_unknown = OnUnknown::Resubmit;
        job.step(&unanswered());

        assert_eq!(job.step(&seen).next, wanted, "{}", seen.name());
        assert!(job.record.reason.ends_with("an earlier submit's answer was lost"), "{}", job.record.reason);
        assert!(!job.record.possible_duplicate);
    }
}

#[test]
fn an_id_in_an_answer_that_says_too_little_is_polled_although_nothing_else_could_find_the_task() {
    let lead = TaskId::new("task-170");
    let seen = Observation::Unanswered { reason: "code 0: ok".to_owned(), lead: Some(lead.clone()) };
    let mut job = an_imagine_job();

    job.step(&seen);

    assert_eq!((job.record.phase, job.record.attempts), (Phase::Unknown, 1));
    assert_eq!(Act::of(&job.record, &Flags::default(), 5), Act::Adopt(Some(lead.clone())));
    let hinted = Flags { hinted_task: Some(TaskId::new("7")), ..Flags::default() };
    assert_eq!(Act::of(&job.record, &hinted, 5), Act::Adopt(Some(TaskId::new("7"))), "a hook is signed");
    job.step(&Observation::NotFound);
    assert_eq!(job.record.phase, Phase::Unknown, "it may show later");
    job.step(&Observation::Found(lead.clone()));
    assert_eq!((job.record.task, job.record.lead, job.record.adopted), (Some(lead), None, true));
    assert!(!job.record.possible_duplicate);
}

#[test]
fn a_refusal_that_made_a_task_all_the_same_makes_the_others_doubtful() {
    for (refusals, is_doubtful) in [(1, false), (3, true)] {
        let mut job = an_imagine_job();
        (0..refusals).for_each(|_| drop(job.step(&refused(Busy::Saturated))));

        job.step(&Observation::Found(TaskId::new("7")));

        assert_eq!(job.record.possible_duplicate, is_doubtful, "{refusals} refusals");
    }
}
