//! Looks at tasks of upstreams that are relatives of the family at most, in the shapes that they document.

use mjq_producer::contract::TaskId;

use super::{Answer, classify_poll};
use crate::lifecycle::{FailureClass, Observation, TaskReport};

const BANNED: &str = "[Banned prompt detected] x";

fn poll(body: &str) -> Observation {
    classify_poll(&TaskId::new("7"), &Ok(Answer::of(200, body)))
}

fn failed(body: &str) -> (TaskReport, FailureClass) {
    let Observation::TaskFailed(report, class) = poll(body) else { panic!("{body}: {:?}", poll(body)) };
    (report, class)
}

fn succeeded(body: &str) -> TaskReport {
    let Observation::Succeeded(report) = poll(body) else { panic!("{body}: {:?}", poll(body)) };
    report
}

#[test]
fn a_failure_around_the_inner_object_keeps_its_reason_its_status_and_the_task() {
    let ttapi = r#"{"status":"FAILED","jobId":"7","message":"BANNED","data":{"jobId":"7","progress":"0","prompt":"x",
        "cdnImage":"","components":[]}}"#;
    let legnext = r#"{"job_id":"7","model":"midjourney","task_type":"diffusion","status":"failed","config":{},"input":null,
        "output":{"image_url":"","image_urls":null},"error":{"code":10000,"raw_message":"","message":"BANNED"}}"#;
    let piapi = r#"{"task_id":"7","status":"failed","input":{},"output":{"image_url":"","progress":0},
        "error":{"code":10000,"raw_message":"raw","message":"BANNED"}}"#;
    for (body, whole) in [
        (ttapi.to_owned(), ttapi),
        (legnext.to_owned(), legnext),
        (format!(r#"{{"code":200,"data":{piapi},"message":"success"}}"#), piapi),
    ] {
        let (report, class) = failed(&body.replace("BANNED", BANNED));

        assert_eq!((report.fail_reason.as_str(), class), (BANNED, FailureClass::Banned), "{body}");
        assert_eq!(report.status, "FAILED", "{body}");
        assert_eq!(report.raw.as_deref(), Some(whole.replace("BANNED", BANNED).as_str()));
        let (report, class) = failed(&body.replace("BANNED", "Job Timeout"));
        assert_eq!((report.fail_reason.as_str(), class), ("Job Timeout", FailureClass::Capacity), "{body}");
    }
}

#[test]
fn a_success_around_the_inner_object_keeps_its_status_and_the_task() {
    let legnext = r#"{"job_id":"7","status":"completed","input":null,"output":{"image_url":"http://a","image_urls":null},
        "error":{"code":0,"message":""}}"#;
    let piapi = r#"{"task_id":"7","status":"completed","input":{},"output":{"image_url":"http://a","progress":100},
        "error":{"code":0,"message":""}}"#;
    for (body, whole) in [
        (legnext.to_owned(), legnext),
        (format!(r#"{{"code":200,"data":{piapi},"message":"success"}}"#), piapi),
        // The picture beside the id, too.
        (
            r#"{"task_id":"7","status":"completed","images":["http://a"],"data":{"prompt":"x"}}"#.to_owned(),
            r#"{"task_id":"7","status":"completed","images":["http://a"],"data":{"prompt":"x"}}"#,
        ),
    ] {
        let report = succeeded(&body);

        assert_eq!((report.status.as_str(), report.image_url.as_str()), ("COMPLETED", "http://a"), "{body}");
        assert_eq!(report.raw.as_deref(), Some(whole), "{body}");
        assert_eq!(report.fail_reason, "", "{body}");
    }
}

#[test]
fn the_reason_may_stand_beside_the_task_or_be_an_object() {
    let task = r#""id":"7","status":"FAILURE","progress":"0%""#;
    for body in [
        format!(r#"{{"code":1,"description":"ok","result":{{{task},"failReason":""}},"failReason":"{BANNED}"}}"#),
        format!(r#"{{{task},"failReason":{{"code":1,"message":"{BANNED}"}}}}"#),
        format!(r#"{{{task},"errors":[{{"msg":"{BANNED}"}}]}}"#),
    ] {
        let (report, class) = failed(&body);

        assert_eq!((report.fail_reason.as_str(), class), (BANNED, FailureClass::Banned), "{body}");
        assert_eq!(report.status, "FAILURE");
    }
}

#[test]
fn another_s_reason_is_not_the_task_s() {
    let task = r#"{"id":"7","status":"FAILURE","progress":""}"#;
    for body in [
        format!(r#"{{"code":1,"message":"success","data":{task}}}"#),
        format!(r#"{{"code":1,"message":"database is locked","data":{task}}}"#),
        format!(r#"{{"failReason":"x","task_id":"8","data":{task}}}"#),
        format!(r#"{{"failReason":"x","list":[{task},{{"id":"8","status":"FAILURE"}}]}}"#),
    ] {
        assert_eq!(failed(&body).0.fail_reason, "", "{body}");
    }
}

#[test]
fn an_envelope_s_success_is_not_that_of_a_task_under_way() {
    for data in [r#"{"progress":"50%","imageUrl":"http://preview"}"#, r#"{"progress":"50%"}"#, r#"{"prompt":"x"}"#] {
        let body = format!(r#"{{"task_id":"7","status":"success","message":"ok","data":{data}}}"#);
        let Observation::Running(report) = poll(&body) else { panic!("{body}") };
        assert_eq!((report.status.as_str(), report.fail_reason.as_str()), ("", ""), "{body}");
    }
}
