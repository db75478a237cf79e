//! Tasks that wait for input.

use super::*;

#[test]
fn a_held_task_goes_on_when_it_gets_its_input() {
    let mut job = an_accepted_job();

    job.step(&waits_for_input());
    let after = job.step(&running(10));

    assert_eq!(after.record.phase, Phase::Polling);
    assert_eq!(job.step(&succeeded(IMAGE)).next, ended(EventType::Completed, Code::Ok));
}

#[test]
fn a_held_task_ends_as_needs_input_at_its_deadline() {
    let mut job = an_accepted_job();
    let mut after = job.step(&waits_for_input());

    while let Next::Poll(delay) = after.next {
        assert!(delay <= job.left());
        after = job.step(&waits_for_input());
    }

    assert_eq!(after.next, failed(Code::NeedsInput));
    assert_eq!(job.now_ms, job.record.deadline_ms);
}

#[test]
fn what_became_of_its_last_input_is_told_with_the_end_of_a_held_task() {
    let refused = Observation::Denied { code: Code::BannedPrompt, reason: "code 24: nude".to_owned() };
    let inputs = [
        (refused, "; the upstream refused the input: code 24: nude"),
        (unanswered(), "; the answer to the input was lost: reset after the request left"),
    ];
    for (answer, told) in inputs {
        let mut job = an_accepted_job();
        job.step(&waits_for_input());
        job.step(&Observation::InputGiven(1));
        job.record.phase = Phase::Submitting;
        job.step(&answer);

        job.step(&waits_for_input());
        job.pass_to_deadline();
        let after = job.step(&waits_for_input());

        assert_eq!(after.next, failed(Code::NeedsInput));
        assert_eq!(after.record.reason, format!("the task waited for input until the deadline{told}"));
    }
}
