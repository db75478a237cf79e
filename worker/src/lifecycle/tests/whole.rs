//! Successes that are incomplete at first: the missing parts may come a moment later.

use super::*;

#[test]
fn a_success_without_its_image_is_polled_again_for_twenty_seconds() {
    let mut job = an_accepted_job();
    let first_ms = job.now_ms;
    let mut polls = 0;

    while let Next::Poll(delay) = job.step(&succeeded("")).next {
        assert!((S(1)..=S(10)).contains(&delay), "{delay:?}");
        polls += 1;
    }

    assert!((S(20)..S(31)).contains(&Duration::from_millis(job.now_ms - first_ms)) && polls < 10, "{polls} polls");
    assert_eq!(job.record.phase, Phase::Completed);
}

#[test]
fn a_success_whose_image_comes_a_moment_later_has_it_in_its_event() {
    let mut job = an_accepted_job();
    job.step(&succeeded(""));

    let seen = succeeded(IMAGE);
    let after = job.step(&seen);

    let Next::End(ending) = after.next else { panic!("{:?}", after.next) };
    let event = event_of(&JobId::new("a").unwrap(), &after.record, ending, &seen, job.now_ms, Vec::new());
    assert_eq!((event.image_url.as_str(), event.data.polls), (IMAGE, 2));
}

#[test]
fn a_held_task_that_has_succeeded_waits_for_its_image_and_no_longer_for_input() {
    let mut job = an_accepted_job();
    job.step(&waits_for_input());

    job.step(&succeeded(""));
    job.pass_to_deadline();

    assert_eq!(job.step(&no_verdict()).next, failed(Code::DeadlineExceeded));
}

#[test]
fn a_kind_that_gives_text_has_succeeded_without_an_image() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.gives_image()) {
        let mut job = Life::of(&a_job(kind, Options::default()), Policy::default());
        job.step(&accepted(0));

        assert_eq!(job.step(&succeeded("")).next, ended(EventType::Completed, Code::Ok));
    }
}

#[test]
fn a_success_is_polled_again_for_the_buttons_that_its_follow_ups_press() {
    let bare = Observation::Succeeded(TaskReport { image_url: IMAGE.to_owned(), ..report("SUCCESS") });
    for has_follow_ups in [false, true] {
        let mut job = an_accepted_job();
        job.record.has_follow_ups = has_follow_ups;

        let is_over = matches!(job.step(&bare).next, Next::End(_));

        assert_ne!(is_over, has_follow_ups);
        if has_follow_ups {
            assert_eq!(job.step(&succeeded(IMAGE)).next, ended(EventType::Completed, Code::Ok));
        }
    }
}
