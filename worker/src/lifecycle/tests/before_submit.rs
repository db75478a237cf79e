//! Cases in which a submit is not sent.

use super::*;

#[test]
fn a_submit_that_cannot_be_made_tells_nothing_of_the_upstream() {
    let unsendable = Observation::Unsendable { code: Code::ParentGone, reason: "its parent failed".to_owned() };
    let mut job = an_imagine_job();

    let after = job.step(&unsendable);

    assert_eq!(after.next, failed(Code::ParentGone));
    assert_eq!(after.pressure, job.unsent(), "no breaker closes for it");
    assert_eq!(after.record.reason, "its parent failed");
}

#[test]
fn an_action_waits_for_its_parent_from_when_it_was_first_missed() {
    let mut job = an_imagine_job();
    // The action lay in the stream while no worker was running.
    job.now_ms += 120_000;
    let first_ms = job.now_ms;

    while job.record.parent_may_come(job.now_ms) {
        let after = job.step(&Observation::ParentNotKnown);
        assert_eq!(after.record.phase, Phase::Queued);
    }

    let waited = Duration::from_millis(job.now_ms - first_ms);
    assert!((S(30)..S(30) + job.policy.poll_max).contains(&waited), "{waited:?}");
    assert_eq!(job.record.parent_missed_ms, first_ms);

    job.step(&Observation::ParentPending);
    assert!(job.record.parent_may_come(job.now_ms), "it was found; should Redis lose it, it may come again");
}

#[test]
fn a_large_job_that_gets_no_memory_leaves_its_turn_to_others_for_longer_and_longer() {
    let mut job = an_imagine_job();

    let first = job.step(&Observation::NoMemory);
    assert_eq!((first.record.phase, first.pressure, first.next), (Phase::Queued, job.unsent(), Next::Submit(S(2))));
    for (waits, then) in [(78, 10), (600, 15)] {
        job.pass(S(waits));
        assert_eq!(job.step(&Observation::NoMemory).next, Next::Submit(S(then)));
    }

    assert_eq!((job.record.attempts, job.record.refusals, job.record.timeline.len()), (0, 0, 1));
}

#[test]
fn a_task_that_a_hook_told_of_is_looked_for_until_it_counts_as_lost() {
    let mut job = an_imagine_job();
    job.step(&refused(Busy::Saturated));
    let mut polls = 0;

    while !job.policy.is_lost(&job.record, job.now_ms) {
        let after = job.step(&Observation::Missing);
        assert_eq!((after.record.phase, after.pressure), (Phase::Queued, job.unsent()));
        assert_eq!(after.record.attempts, 0);
        polls += 1;
    }

    let (enough, over) = job.policy.lost_after;
    assert!(polls >= enough && job.now_ms >= START_MS + over.as_millis() as u64, "{polls} polls");
    assert!(job.left() > S(600), "there is time left for the submit");
    job.step(&accepted(0));
    assert_eq!(job.record.missing, None, "the new task is another one");
}

#[test]
fn a_task_that_shows_late_is_taken_for_what_it_is() {
    let mut job = an_imagine_job();
    job.step(&refused(Busy::Saturated));
    job.step(&Observation::Missing);

    let after = job.step(&found());

    assert_eq!((after.record.phase, after.record.attempts), (Phase::Polling, 1));
    assert_eq!(after.record.missing, None);
}

#[test]
fn an_input_that_was_queued_without_an_id_is_not_given_again() {
    let mut job = an_accepted_job();
    job.step(&waits_for_input());
    job.step(&Observation::InputGiven(1));

    let after = job.step(&refused(Busy::WithoutId));

    assert_eq!((after.record.phase, after.record.is_answering), (Phase::Polling, false));
    assert_eq!(after.next, Next::Poll(job.policy.poll_min), "the task is known, and will tell");
}
