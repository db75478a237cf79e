//! Tasks that look failed in everything but their status.

use super::*;

const REASON: &str = "[Banned prompt detected] x";

fn seems_failed(class: FailureClass) -> Observation {
    Observation::Running(TaskReport {
        progress: Some(100),
        fail_reason: REASON.to_owned(),
        seems_failed: Some(class),
        image_url: String::new(),
        ..report("IN_PROGRESS")
    })
}

#[test]
fn a_task_that_seems_failed_for_twenty_seconds_has_failed() {
    let mut job = an_accepted_job();
    let first_ms = job.now_ms;
    let mut polls = 0;

    while let Next::Poll(delay) = job.step(&seems_failed(FailureClass::Banned)).next {
        assert!((S(1)..=S(10)).contains(&delay), "{delay:?}");
        polls += 1;
    }

    assert!((S(20)..S(31)).contains(&Duration::from_millis(job.now_ms - first_ms)) && polls >= 2, "{polls} polls");
    assert_eq!(job.next, failed(Code::BannedPrompt));
    assert_eq!(job.record.reason, REASON);
}

#[test]
fn a_task_that_only_seemed_to_have_failed_goes_on() {
    let mut job = an_accepted_job();
    job.step(&seems_failed(FailureClass::Capacity));
    job.pass(S(30));
    job.step(&running(50));
    assert_eq!(job.record.reason, "");

    // The waiting time begins again.
    let after = job.step(&seems_failed(FailureClass::Capacity));

    assert!(matches!(after.next, Next::Poll(_)), "{:?}", after.next);
    assert_eq!(job.step(&succeeded(IMAGE)).next, ended(EventType::Completed, Code::Ok));
}

#[test]
fn a_job_that_ends_at_its_deadline_tells_the_reason_that_the_task_last_showed() {
    let odd = Observation::Running(TaskReport { fail_reason: REASON.to_owned(), ..report("NEVER_HEARD_OF") });
    for seen in [odd, seems_failed(FailureClass::Banned)] {
        for last in [&seen, &Observation::DeadlinePassed, &Observation::NotBegun] {
            let mut job = an_accepted_job();
            job.step(&seen);
            // The next poll counts as the first one that sees the task as failed.
            job.record.seems_failed_ms = None;
            job.pass_to_deadline();
            job.pass(S(20));

            let after = job.observe(last);

            assert_eq!(after.next, failed(Code::DeadlineExceeded), "{last:?}");
            assert_eq!(after.record.reason, REASON, "{last:?}");
        }
    }
}
