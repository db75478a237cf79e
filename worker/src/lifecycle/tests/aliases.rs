//! Tasks that the upstream shows under another id than the one that it gave.

use super::*;

const OTHER: &str = "1748339029401828";

impl Life {
    /// Waits until the next poll is due, and sees a success under `id`. Returns the observation's name and what comes
    /// next.
    fn see_a_success_of(&mut self, id: &str) -> (&'static str, Next) {
        let Next::Poll(delay) = self.next else { panic!("{:?}", self.next) };
        let due_ms = self.now_ms + u64::try_from(delay.as_millis()).unwrap();
        let seen = self.record.recognise(stranger(id, succeeded(IMAGE)), due_ms);
        (seen.name(), self.step(&seen).next)
    }
}

#[test]
fn a_task_that_is_always_shown_under_the_same_other_id_is_the_job_s_own_after_half_a_minute() {
    let mut job = an_accepted_job();
    let (mut polls, began_ms) = (0, job.now_ms);

    let end = loop {
        polls += 1;
        match job.see_a_success_of(OTHER) {
            ("stranger", Next::Poll(_)) => {}
            (name, next) => break (name, next),
        }
    };

    assert_eq!(end, ("succeeded", ended(EventType::Completed, Code::Ok)));
    let took = Duration::from_millis(job.now_ms - began_ms);
    assert!(polls > 5 && (S(30)..S(60)).contains(&took), "{polls} polls, {took:?}");
}

#[test]
fn a_task_that_is_shown_under_ever_other_ids_is_not() {
    let mut job = an_accepted_job();

    for n in 0.. {
        match job.see_a_success_of(&format!("174833902940182{}", n % 2)) {
            ("stranger", Next::Poll(_)) => {}
            (name, next) => {
                assert_eq!((name, next), ("stranger", failed(Code::DeadlineExceeded)));
                break;
            }
        }
    }
}

#[test]
fn once_it_is_known_by_another_id_polls_are_as_telling_as_any() {
    let mut job = an_accepted_job();
    let poll = |job: &Life| job.record.recognise(stranger(OTHER, running(15)), job.now_ms + 15_000);

    while poll(&job).name() == "stranger" {
        job.step(&poll(&job));
    }
    job.step(&poll(&job));

    assert_eq!((job.record.progress, job.record.blind_polls), (15, 0));
    assert_eq!(poll(&job).name(), "running");
}

#[test]
fn a_new_task_has_no_alias_yet() {
    let mut job = an_accepted_job();
    job.record.on_capacity = OnCapacity::Resubmit;
    job.see_a_success_of(OTHER);
    assert!(job.record.alias.is_some());

    job.step(&task_failed(FailureClass::Capacity));

    assert_eq!(job.record.alias, None);
}
