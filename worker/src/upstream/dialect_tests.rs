//! Polls of tasks of upstreams that are at most relatives of the family, in the shapes that they document.

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

#[test]
fn kie_s_flag_is_a_status() {
    let kie = |flag: u8, rest: &str| {
        format!(
            r#"{{"code":200,"msg":"success","data":{{"taskId":"7","paramJson":"{{}}","successFlag":{flag},{rest}}}}}"#
        )
    };
    let none = r#""resultInfoJson":null,"errorCode":null,"errorMessage":null"#;
    let urls = r#""resultInfoJson":{"resultUrls":[{"resultUrl":"https://t/0.jpeg"},{"resultUrl":"https://t/1.jpeg"}]}"#;

    assert_eq!(poll(&kie(0, none)).name(), "running");
    let report = succeeded(&kie(1, urls));
    assert_eq!((report.status.as_str(), report.image_url.as_str()), ("SUCCESS", "https://t/0.jpeg"));
    for flag in [2, 3] {
        let (report, class) = failed(&kie(flag, &format!(r#""errorCode":"500","errorMessage":"{BANNED}""#)));
        assert_eq!((report.fail_reason.as_str(), class), (BANNED, FailureClass::Banned));
    }
    assert_eq!(poll(&kie(4, none)).name(), "running");
}

#[test]
fn a_status_that_is_a_number_is_the_family_s_own_where_the_rest_agrees() {
    let begin = r#""id":"7","action":"IMAGINE","submitTime":1748339029401"#;
    let done = r#""finishTime":1748339072775,"progress":"100%","imageUrl":"http://a""#;
    let broke = r#""finishTime":1748339072775,"progress":"","failReason":"x""#;
    for (body, wanted) in [
        (format!(r#"{{{begin},"status":3,"progress":"3%"}}"#), "running"),
        (format!(r#"{{{begin},"status":5,{done}}}"#), "succeeded"),
        (format!(r#"{{{begin},"status":4,{broke}}}"#), "task_failed"),
        (format!(r#"{{{begin},"status":6}}"#), "waits_for_input"),
        // Numbers of another enumeration, or that the other fields contradict.
        (format!(r#"{{{begin},"status":5,"progress":"50%","imageUrl":"http://a"}}"#), "running"),
        (format!(r#"{{{begin},"status":5,{broke}}}"#), "running"),
        (format!(r#"{{{begin},"status":4,"progress":"50%"}}"#), "running"),
        (format!(r#"{{{begin},"status":2,{broke}}}"#), "running"),
        (r#"{"id":"7","status":5,"progress":"50%"}"#.to_owned(), "running"),
        (r#"{"id":"7","status":4,"failReason":"x","finishTime":1748339072775}"#.to_owned(), "running"),
    ] {
        assert_eq!(poll(&body).name(), wanted, "{body}");
    }
    assert_eq!(succeeded(&format!(r#"{{{begin},"status":5,{done}}}"#)).status, "SUCCESS");
}

#[test]
fn an_end_by_another_word_is_an_end_if_the_rest_is_one() {
    let done = r#""finishTime":1748339072775,"progress":"100%","imageUrl":"http://a""#;
    for (status, rest, wanted) in [
        ("OK", done, "succeeded"),
        ("ENDED", done, "succeeded"),
        ("", done, "succeeded"),
        ("完成", r#""progress":"100%""#, "succeeded"),
        ("OK", r#""progress":"100%","imageUrl":"http://a""#, "running"),
        ("OK", r#""finishTime":1748339072775,"progress":"100%""#, "running"),
        ("OK", r#""finishTime":1748339072775,"progress":"99%","imageUrl":"http://a""#, "running"),
        ("OK", r#""finishTime":1,"progress":"100%","imageUrl":"http://a","failReason":"x""#, "running"),
        ("IN_PROGRESS", done, "running"),
        ("FINISHED_ERROR", done, "running"),
        ("CALLBACK_EXCEPTION", done, "running"),
        ("审核失败了", done, "running"),
    ] {
        let body = format!(r#"{{"id":"7","status":"{status}",{rest}}}"#);
        assert_eq!(poll(&body).name(), wanted, "{body}");
    }
    for status in ["TIMED_OUT", "EXCEPTION", "STOPPED", "DENIED", "TERMINATED", "GENERATE_FAILED", "任务失败"] {
        let body = format!(r#"{{"id":"7","status":"{status}","progress":"50%"}}"#);
        assert_eq!(poll(&body).name(), "task_failed", "{body}");
    }
    for status in ["TIMED_OUT", "EXCEPTION", "DENIED"] {
        let body = format!(r#"{{"id":"7","status":"{status}","message":"the database is busy"}}"#);
        assert_eq!(poll(&body).name(), "no_verdict", "{body}");
    }
}

#[test]
fn a_task_that_failed_but_for_its_status_seems_to_have_failed() {
    let seems = |body: &str| {
        let Observation::Running(report) = poll(body) else { panic!("{body}") };
        report.seems_failed.map(|class| (report.fail_reason, class))
    };
    let failed = Some((BANNED.to_owned(), FailureClass::Banned));
    for (rest, wanted) in [
        (r#""status":"IN_PROGRESS","progress":"100%""#, &failed),
        (r#""status":"SUBMITTED","progress":"100%","finishTime":0,"imageUrl":"""#, &failed),
        (r#""status":"NEVER_HEARD_OF","finishTime":1748339072775"#, &failed),
        (r#""status":"","progress":"100%""#, &failed),
        (r#""status":"IN_PROGRESS","progress":"99%""#, &None),
        (r#""status":"IN_PROGRESS","progress":"100%","imageUrl":"http://preview""#, &None),
    ] {
        let body = format!(r#"{{"id":"7",{rest},"failReason":"{BANNED}"}}"#);
        assert_eq!(&seems(&body), wanted, "{body}");
    }
    assert_eq!(seems(r#"{"id":"7","status":"IN_PROGRESS","progress":"100%","message":"m"}"#), None);
    let error = Answer::of(500, r#"{"id":"7","status":"IN_PROGRESS","progress":"100%","failReason":"x"}"#);
    let Observation::Running(report) = classify_poll(&TaskId::new("7"), &Ok(error)) else { panic!("an error") };
    assert_eq!(report.seems_failed, None);
}
