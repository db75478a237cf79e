//! Polls of a task after the deadline of its job.

use super::*;

const IMAGE: &str = "https://example.org/a.png";

/// A job whose task still ran when its deadline came.
fn an_overdue_job() -> (Life, Duration) {
    let mut job = an_accepted_job();
    job.pass_to_deadline();
    let Next::End(ending) = job.step(&running(46)).next else { panic!("{:?}", job.next) };
    let first = first_revisit(&job.record, ending, &job.policy).unwrap();
    (job, first)
}

#[test]
fn a_late_success_is_written_on_the_job_which_stays_ended() {
    let (mut job, first) = an_overdue_job();
    job.pass(first);

    let Revisited { record, again_after } = revisit(&job.record, &succeeded(IMAGE), job.now_ms, &job.policy);

    let record = record.unwrap();
    let late = record.late.clone().unwrap();
    assert_eq!((late.status.as_str(), late.image_url.as_str(), late.at_ms), ("SUCCESS", IMAGE, job.now_ms));
    assert_eq!((record.phase, Some(late.task), again_after), (Phase::Failed, record.task.clone(), None));
    let history = record.history();
    let last = history.last().unwrap();
    assert_eq!((last.at_ms, last.phase), (job.now_ms, Phase::Failed));
    assert!(last.note.starts_with("late success of task") && last.note.contains(IMAGE), "{last:?}");
}

#[test]
fn a_task_that_goes_on_is_polled_a_bounded_number_of_times_at_widening_distances() {
    for seen in [running(46), no_verdict(), Observation::Missing, waits_for_input(), succeeded("")] {
        let (mut job, first) = an_overdue_job();
        let mut distances = vec![first];

        job.pass(first);
        while let Some(distance) = revisit(&job.record, &seen, job.now_ms, &job.policy).again_after {
            distances.push(distance);
            job.pass(distance);
        }

        assert_eq!(first, S(30));
        assert!(distances.is_sorted() && distances.len() < 10, "{}: {distances:?}", seen.name());
        let after_deadline = Duration::from_millis(job.now_ms - job.record.deadline_ms);
        assert!((S(1800)..=S(3600)).contains(&after_deadline), "{after_deadline:?}");
    }
}

#[test]
fn a_late_failure_ends_the_revisits_with_a_note() {
    let (job, _) = an_overdue_job();

    let after = revisit(&job.record, &task_failed(FailureClass::Upstream), job.now_ms, &job.policy);

    let record = after.record.unwrap();
    assert_eq!((after.again_after, record.late), (None, None));
    assert_eq!(record.notes.len(), 1);
}

#[test]
fn a_job_with_a_short_deadline_is_revisited_soon_and_none_after_its_retention() {
    let options = Options { deadline_s: Some(2), ..Options::default() };
    let mut job = Life::of(&a_job(Kind::Imagine, options), Policy::default());
    job.step(&accepted(0));
    job.pass_to_deadline();
    let Next::End(ending) = job.step(&running(46)).next else { panic!("{:?}", job.next) };

    assert_eq!(first_revisit(&job.record, ending, &job.policy), Some(S(2)));
    job.policy.revisit_for = S(1);
    assert_eq!(first_revisit(&job.record, ending, &job.policy), None);
    assert_eq!(revisit(&job.record, &running(46), job.now_ms, &job.policy).again_after, None);
}

#[test]
fn a_task_that_the_upstream_no_longer_knew_is_polled_for_an_hour_more() {
    let mut job = an_accepted_job();
    while let Next::Poll(_) = job.step(&Observation::Missing).next {}
    let Next::End(ending) = job.next.clone() else { panic!("{:?}", job.next) };
    assert_eq!((ending.code, first_revisit(&job.record, ending, &job.policy)), (Code::UpstreamLost, Some(S(30))));
    let ended_ms = job.now_ms;

    job.pass(S(30));
    while let Some(distance) = revisit(&job.record, &Observation::Missing, job.now_ms, &job.policy).again_after {
        job.pass(distance);
    }

    let polled_for = Duration::from_millis(job.now_ms - ended_ms);
    assert!((S(1800)..=S(3600)).contains(&polled_for), "{polled_for:?}");
}

#[test]
fn only_an_end_without_the_task_s_own_asks_for_revisits() {
    let mut cancelled = an_accepted_job();
    cancelled.observe(&Observation::CancelRequested);
    let mut failed = an_accepted_job();
    failed.observe(&task_failed(FailureClass::Upstream));
    let mut unsubmitted = an_imagine_job();
    unsubmitted.observe(&Observation::DeadlinePassed);

    for job in [cancelled, failed, unsubmitted] {
        let Next::End(ending) = job.next else { panic!("{:?}", job.next) };

        assert_eq!(first_revisit(&job.record, ending, &job.policy), None, "{ending:?}");
    }
}

#[test]
fn a_retried_job_has_its_history_and_no_late_success_any_more() {
    let (job, _) = an_overdue_job();
    let late = revisit(&job.record, &succeeded(IMAGE), job.now_ms, &job.policy).record.unwrap();

    let revived = late.revive(job.now_ms, job.fence + 1, &job.policy);

    assert_eq!((revived.late.clone(), revived.notes.len()), (None, 1));
    assert_eq!(revisit(&revived, &succeeded(IMAGE), job.now_ms, &job.policy).record, None);
}

#[test]
fn notes_are_bounded_and_stand_where_they_belong_in_time() {
    let mut job = an_accepted_job();
    for n in 0..100 {
        job.record.note(START_MS + 1, &format!("{n} {}", "x".repeat(1000)));
    }
    job.pass(S(5));
    job.observe(&waits_for_input());

    let history = job.record.history();

    assert_eq!(job.record.notes.len(), 16);
    assert!(job.record.notes.iter().all(|note| note.1.len() <= 500));
    assert!(history.iter().map(|line| line.at_ms).is_sorted());
    assert_eq!(history.last().map(|line| line.phase), Some(Phase::Held));
}
