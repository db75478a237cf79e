//! What the answer to a poll of a task means.
//!
//! Only an answer that shows the task is a verdict. "I do not know it" is [`Observation::Missing`], which counts only
//! after several polls. Any other answer tells nothing, and the next poll decides.

use std::time::Duration;

use mjq_producer::contract::TaskId;

use super::{
    Answer, Exchange, class_of_failure,
    json::{Document, Json},
    refusal_text::{says_address_is_unknown, says_task_is_unknown, speaks_of_capacity},
    said::{Said, reason_of},
    salvage::object_in,
    task_object::TaskObject,
    task_status::Status,
    tidy::tidy,
};
use crate::lifecycle::{FailureClass, Observation, TaskReport};

/// Says what the answer to a poll of the task `asked` means.
#[must_use]
pub fn classify_poll(asked: &TaskId, exchange: &Exchange) -> Observation {
    match exchange {
        Ok(answer) => of_answer(asked, answer),
        Err(failure) => Observation::NoVerdict { reason: tidy(failure.reason()), retry_after: None },
    }
}

fn of_answer(asked: &TaskId, answer: &Answer) -> Observation {
    if answer.flaw.is_some() {
        return no_verdict(answer);
    }
    let text = answer.text();
    if let Some(seen) = shown_in_an_error(asked, answer, &text) {
        return seen;
    }
    match answer.status {
        200..=299 => match Document::read(&text) {
            None if text.is_empty() => Observation::Missing,
            None => match answer.mended() {
                Some(mended) => of_answer(asked, &mended),
                None => in_the_midst(asked, &text).unwrap_or_else(|| no_verdict(answer)),
            },
            Some(document) => {
                // JSON that was written into a JSON string.
                let inner = || text.starts_with('"').then(|| in_the_midst(asked, &text))?;
                inner().unwrap_or_else(|| of_document(asked, answer, document))
            }
        },
        // new-api answers an unknown task with these words and 400.
        400 | 422 if Said::read(&text).is_some_and(|said| says_task_is_unknown(&said.words)) => Observation::Missing,
        404 if speaks_of_the_task(&text) => Observation::Missing,
        410 => Observation::Missing,
        _ => no_verdict(answer),
    }
}

/// Reads from an error that the requested task goes on, or its picture.
fn shown_in_an_error(asked: &TaskId, answer: &Answer, text: &str) -> Option<Observation> {
    let may_show_it = matches!(answer.status, 400 | 402 | 404..=428 | 430..=599);
    let task = may_show_it.then(|| TaskObject::find(Document::read(text)?, asked))??;
    match of_task(asked, &task) {
        // A server in trouble is not trusted when it shows an end without a result.
        Observation::Running(report) if task.is(asked) && task.has_marks() => {
            Some(Observation::Running(TaskReport { seems_failed: None, ..report }))
        }
        Observation::Succeeded(report) if task.is(asked) && !report.image_url.is_empty() => {
            Some(Observation::Succeeded(report))
        }
        _ => None,
    }
}

/// Reads the requested task from an object in a text that is not JSON as a whole.
fn in_the_midst(asked: &TaskId, text: &str) -> Option<Observation> {
    let object = object_in(text)?;
    let task = TaskObject::find(Document::read(&object)?, asked)?;
    task.is(asked).then(|| of_task(asked, &task))
}

fn of_document(asked: &TaskId, answer: &Answer, document: Document<'_>) -> Observation {
    let json = document.json;
    if let Some(task) = TaskObject::find(document, asked) {
        let seen = of_task(asked, &task);
        return if is_of_another(asked, &task) { of_stranger(answer).unwrap_or(seen) } else { seen };
    }
    match Said::read(&answer.text()) {
        Some(said) if says_task_is_unknown(&said.words) => Observation::Missing,
        // C#'s word for "full" is also its word for "not found".
        Some(said) if said.code == Some(3) && speaks_of_capacity(&said.words) => no_verdict(answer),
        // A success with content that mjq cannot read: it may be the task.
        Some(Said { code: Some(1), .. }) if holds_something(json) => no_verdict(answer),
        // A success without a task, or "not found".
        Some(Said { code: Some(1 | 3), .. }) => Observation::Missing,
        // Some trouble, reported with HTTP 200.
        Some(said) if said.code.is_some() || !said.words.is_empty() => no_verdict(answer),
        // `{}`, `{"data": null}`.
        Some(_) if says_nothing(json) => Observation::Missing,
        // An unknown shape: what it says of the task cannot be told.
        Some(_) => no_verdict(answer),
        // `null`, `[]`.
        None if json.is_blank() => Observation::Missing,
        // `"ok"`, `true`: these do not speak of a task.
        None => no_verdict(answer),
    }
}

/// Whether the value is an object whose fields are all empty.
fn says_nothing(json: Json<'_>) -> bool {
    json.fields().is_some_and(|fields| fields.each().all(|(_, value)| value.is_blank()))
}

/// Whether a field holds an object or an array that is not empty.
fn holds_something(json: Json<'_>) -> bool {
    let is_filled = |value: Json<'_>| value.as_str().starts_with(['{', '[']) && !value.is_blank();
    json.fields().is_some_and(|fields| fields.each().any(|(_, value)| is_filled(value)))
}

fn is_of_another(asked: &TaskId, task: &TaskObject<'_>) -> bool {
    task.id().is_some() && !task.is_about(asked)
}

/// Reads the task from an answer about a single task that is not the requested one.
fn of_stranger(answer: &Answer) -> Option<Observation> {
    let text = answer.text();
    let task = TaskObject::the_only_one(Document::read(&text)?)?;
    let id = task.id()?;
    let (state, seen) = (task.state().unwrap_or_default(), Box::new(of_task(&id, &task)));
    Some(Observation::Stranger { id, state, seen })
}

/// Says what a task object means that came in answer to a poll of `asked`.
pub(super) fn of_task(asked: &TaskId, task: &TaskObject<'_>) -> Observation {
    let about_nobody = |reason: &str| Observation::NoVerdict { reason: reason.to_owned(), retry_after: None };
    if is_of_another(asked, task) {
        return about_nobody("the answer shows another task");
    }
    let mut report = task.report();
    match task.status() {
        Status::Succeeded | Status::Failed | Status::Cancelled if task.is_bare() => {
            about_nobody("the answer shows a status, but no task")
        }
        Status::Running => {
            report.seems_failed = task.seems_failed().then(|| class_of_failure(&report.fail_reason));
            Observation::Running(report)
        }
        Status::WaitsForInput => Observation::WaitsForInput(report),
        Status::Succeeded => Observation::Succeeded(report),
        Status::Failed => {
            let class = class_of_failure(&report.fail_reason);
            Observation::TaskFailed(report, class)
        }
        Status::Cancelled => {
            if report.fail_reason.is_empty() {
                "cancelled upstream".clone_into(&mut report.fail_reason);
            }
            Observation::TaskFailed(report, FailureClass::Upstream)
        }
    }
}

/// Whether a 404 is the upstream's word about the task, and not a web server's about the address.
fn speaks_of_the_task(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let is_about_address = |said: Said| said.is_framework_error || says_address_is_unknown(&said.words);
    Json::read(text).is_some() && !Said::read(text).is_some_and(is_about_address)
}

pub(super) fn no_verdict(answer: &Answer) -> Observation {
    let said = Said::read(&answer.text());
    // Polls at full pace may get mjq banned, whether or not the answer names a time.
    let pause = match answer.status {
        401 | 403 => Some(Duration::from_secs(5)),
        429 => Some(Duration::from_secs(2)),
        _ => None,
    };
    Observation::NoVerdict { reason: reason_of(answer, said.as_ref()), retry_after: answer.retry_after.or(pause) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Failure;

    fn poll(status: u16, body: &str) -> Observation {
        let answer = Answer { retry_after: Some(Duration::from_secs(7)), ..Answer::of(status, body) };
        classify_poll(&TaskId::new("7"), &Ok(answer))
    }

    #[test]
    fn each_status_has_its_meaning() {
        for (statuses, wanted) in [
            (
                &["NOT_START", "SUBMITTED", "IN_PROGRESS", "", "PENDING", "RUNNING", "submitted", "unknown", "STARTED"]
                    [..],
                "running",
            ),
            (&["SUCCESS", "success", " Success ", "SUCCEEDED", "COMPLETED", "finished"], "succeeded"),
            (&["FAILURE", "FAILED", "failed", "ERROR", "TIMEOUT", "CANCEL", "CANCELLED", "canceled"], "task_failed"),
            (&["MODAL"], "waits_for_input"),
        ] {
            for status in statuses {
                let body = format!(r#"{{"id":"7","status":"{status}","progress":"100%"}}"#);
                assert_eq!(poll(200, &body).name(), wanted, "{status}");
            }
        }
    }

    #[test]
    fn each_answer_that_shows_no_task_has_its_meaning() {
        for (status, body, wanted) in [
            // The upstream says that it does not know the task.
            (200, "", "missing"),
            (200, " \r\n", "missing"),
            (204, "", "missing"),
            (200, "null", "missing"),
            (200, "{}", "missing"),
            (200, r#""ok""#, "no_verdict"),
            (200, "true", "no_verdict"),
            (200, "5", "no_verdict"),
            (200, r#"{"\ud800":1,"id":"7"}"#, "no_verdict"),
            (200, r#"{"code":3,"description":"无可用的账号实例"}"#, "no_verdict"),
            (200, "[]", "missing"),
            (200, r#"{"data":null}"#, "missing"),
            (200, r#"{"code":1,"description":"成功","result":null}"#, "missing"),
            (200, r#"{"code":3,"description":"x"}"#, "missing"),
            (200, r#"{"code":4,"description":"task_no_found "}"#, "missing"),
            (200, r#"{"foo":1}"#, "no_verdict"),
            (200, r#"{"7":{"progress":"3%"}}"#, "no_verdict"),
            (200, r#"{"data":null,"result":{},"code":""}"#, "missing"),
            (200, r#"{"id":"7","status":"TIMEOUT","message":"upstream query timed out"}"#, "no_verdict"),
            (200, r#"{"status":"error","action":"fetch","message":"db busy"}"#, "no_verdict"),
            (200, r#"{"id":"7","task_status":"SUCCESS","imageUrl":["u"]}"#, "succeeded"),
            (200, r#"{"code":0,"output":{"id":"7","status":"IN_PROGRESS"}}"#, "running"),
            (200, r#"{"response":{"id":"7","status":"FAILURE"}}"#, "task_failed"),
            (400, r#"{"description":"task_no_found ","type":"upstream_error","code":4}"#, "missing"),
            (400, r#"{"description":"Get mj id failed Error ","type":"upstream_error","code":4}"#, "missing"),
            (400, r#"{"error":{"message":"Task not found"}}"#, "missing"),
            (404, "", "missing"),
            (404, r#"{"message":"task expired"}"#, "missing"),
            (404, r#"{"detail":"Not Found"}"#, "missing"),
            (404, r#"{"code":3,"description":"任务不存在"}"#, "missing"),
            (410, "<html>gone</html>", "missing"),
            // Another server answered, or none.
            (404, "<html>not found</html>", "no_verdict"),
            (404, "404 page not found", "no_verdict"),
            (
                404,
                r#"{"status":"error","code":404,"message":"Application not found","request_id":"1EKf"}"#,
                "no_verdict",
            ),
            (404, r#"{"error_msg":"404 Route Not Found"}"#, "no_verdict"),
            (404, r#"{"error":{"message":"Invalid URL (GET /v1/mj/task/7/fetch)"}}"#, "no_verdict"),
            (404, r#"{"timestamp":1,"status":404,"error":"Not Found","path":"/v1/mj"}"#, "no_verdict"),
            (400, r#"{"code":4,"description":"do_request_failed"}"#, "no_verdict"),
            (400, "", "no_verdict"),
            (200, r#"{"code":9,"description":"系统异常"}"#, "no_verdict"),
            (200, r#"{"error":"internal"}"#, "no_verdict"),
            (200, r#"{"status":500,"message":"oops"}"#, "no_verdict"),
            (200, r#"{"status":"error","message":"oops"}"#, "no_verdict"),
            (200, r#"{"status":"success","result":"ok"}"#, "no_verdict"),
            (200, "<html>Just a moment...</html>", "no_verdict"),
            (200, r#"{"id":"7","status":"SUCC"#, "no_verdict"),
            (200, "OK", "no_verdict"),
            (301, "", "no_verdict"),
            (401, "", "no_verdict"),
            (403, r#"{"message":"task not found"}"#, "no_verdict"),
            (408, "", "no_verdict"),
            (429, "", "no_verdict"),
            (500, r#"{"id":"7","status":"SUCCESS"}"#, "no_verdict"),
            (502, "<html>", "no_verdict"),
            (503, "", "no_verdict"),
            (504, "", "no_verdict"),
            (524, "", "no_verdict"),
        ] {
            assert_eq!(poll(status, body).name(), wanted, "{status} {body}");
        }
    }

    #[test]
    fn the_task_is_found_in_each_wrapping() {
        let task = r#"{"id":7,"status":"SUCCESS","imageUrl":"u"}"#;
        for wrapped in [
            task.to_owned(),
            format!("\u{feff} {task}\n"),
            format!("[{task}]"),
            format!(r#"[{{"id":"8","status":"FAILURE"}},{task}]"#),
            format!(r#"{{"data":{task}}}"#),
            format!(r#"{{"code":1,"description":"ok","result":{task}}}"#),
            format!(r#"{{"status":"success","task":{task}}}"#),
            format!(r#"{{"id":"request-1","status":"ok","data":[{task}]}}"#),
            format!(r#"{{"code":200,"data":{{"task":{task}}}}}"#),
        ] {
            let Observation::Succeeded(report) = poll(200, &wrapped) else { panic!("{wrapped}") };
            assert_eq!((report.image_url.as_str(), report.raw.as_deref()), ("u", Some(task)), "{wrapped}");
        }
    }

    #[test]
    fn a_status_beside_the_id_holds_for_what_is_around_it() {
        let answer = |status: &str, inner: &str| format!(r#"{{"status":"{status}","jobId":"7","data":{{{inner}}}}}"#);
        for (body, wanted) in [
            (answer("SUCCESS", r#""jobId":"7","progress":"100","cdnImage":"https://c/a.png""#), "succeeded"),
            (answer("SUCCESS", r#""progress":"30""#), "running"),
            (answer("FAILED", r#""progress":"30""#), "task_failed"),
            (answer("ON_QUEUE", r#""progress":"""#), "running"),
        ] {
            assert_eq!(poll(200, &body).name(), wanted, "{body}");
        }
    }

    #[test]
    fn the_status_of_a_wrapper_is_not_the_task_s() {
        let seen = poll(200, r#"{"status":"success","data":{"status":"IN_PROGRESS","progress":"15%"}}"#);

        assert!(matches!(seen, Observation::Running(report) if report.progress == Some(15)));
    }

    #[test]
    fn an_envelope_that_repeats_the_id_is_not_the_task() {
        let running = r#""status":"IN_PROGRESS","progress":"30%""#;
        let done = r#""status":"SUCCESS","imageUrl":"u""#;
        for (body, wanted) in [
            (format!(r#"{{"status":"success","task_id":"7","data":{{{running}}}}}"#), "running"),
            (format!(r#"{{"status":"success","id":"7","result":{{"id":"7",{running}}}}}"#), "running"),
            (r#"{"status":"success","task_id":"7","data":{"status":"IN_PROGRESS"}}"#.to_owned(), "running"),
            (format!(r#"{{"code":1,"task_id":"7","data":{{{done}}}}}"#), "succeeded"),
            (format!(r#"{{"code":1,"task_id":"7","data":{{"id":17,{done}}}}}"#), "succeeded"),
            (r#"{"code":1,"task_id":"7","data":{"status":"SUCCESS"}}"#.to_owned(), "succeeded"),
            (format!(r#"{{"id":"7","status":200,"output":{{{done}}}}}"#), "succeeded"),
            (format!(r#"{{"taskId":"7","status":"ok","data":{{"id":"7",{done}}}}}"#), "succeeded"),
            (format!(r#"{{"code":1,"list":[{{"id":"7",{done}}}]}}"#), "succeeded"),
            (format!(r#"{{"code":1,"data":{{"list":[{{"id":"7",{done}}}],"total":1}}}}"#), "succeeded"),
            (format!(r#"{{"code":1,"mjTask":{{"id":"7",{done}}}}}"#), "succeeded"),
            (format!(r#"{{"id":"7",{done},"result":{{"status":"running"}}}}"#), "succeeded"),
            (format!(r#"{{"id":"request-1","data":{{{done}}}}}"#), "succeeded"),
            (format!(r#"{{"task_id":"8","data":{{{done}}}}}"#), "no_verdict"),
            (format!(r#"{{"task_id":"8","data":{{"id":"9",{done}}}}}"#), "no_verdict"),
            (r#"{"code":1,"description":"ok","sheet":{"cells":[1]}}"#.to_owned(), "no_verdict"),
        ] {
            assert_eq!(poll(200, &body).name(), wanted, "{body}");
        }
    }

    #[test]
    fn an_error_that_shows_the_task_is_believed_as_far_as_it_does_no_harm() {
        for (status, body, wanted) in [
            (404, r#"{"id":"7","status":"SUCCESS","imageUrl":"u"}"#, "succeeded"),
            (500, r#"{"id":"7","status":"IN_PROGRESS","progress":"3%"}"#, "running"),
            (500, r#"{"id":"7","status":"FAILURE","failReason":"x"}"#, "no_verdict"),
            (404, r#"{"id":"7","status":"FAILURE","failReason":"task not found"}"#, "missing"),
            (404, r#"{"id":"8","status":"SUCCESS","imageUrl":"u"}"#, "missing"),
            (403, r#"{"id":"7","status":"SUCCESS","imageUrl":"u"}"#, "no_verdict"),
        ] {
            assert_eq!(poll(status, body).name(), wanted, "{status} {body}");
        }
    }

    #[test]
    fn a_single_task_under_another_id_is_shown_as_what_it_is() {
        let task = r#"{"id":"1748339029401828","status":"SUCCESS","imageUrl":"u","state":"s"}"#;
        for body in [task.to_owned(), format!("[{task}]"), format!(r#"{{"code":1,"data":{task}}}"#)] {
            let Observation::Stranger { id, state, seen } = poll(200, &body) else { panic!("{body}") };
            assert_eq!((id.as_str(), state.as_str(), seen.name()), ("1748339029401828", "s", "succeeded"));
        }
        for body in [
            format!("[{task},{task}]"),
            format!(r#"{{"task_id":"8","data":{task}}}"#),
            r#"{"id":"1748339029401828","status":"SUCCESS"}"#.to_owned(),
        ] {
            assert_eq!(poll(200, &body).name(), "no_verdict", "{body}");
        }
    }

    #[test]
    fn another_task_s_end_is_no_verdict() {
        for body in [
            r#"{"id":"8","status":"SUCCESS"}"#,
            r#"{"id":70,"status":"FAILURE"}"#,
            r#"{"id":"07","status":"SUCCESS"}"#,
            r#"[{"id":"8","status":"SUCCESS"},{"id":"9","status":"SUCCESS"}]"#,
        ] {
            assert_eq!(poll(200, body).name(), "no_verdict", "{body}");
        }
        // A relay may number its rows itself.
        assert_eq!(poll(200, r#"{"id":55,"mj_id":"7","status":"SUCCESS"}"#).name(), "succeeded");
        assert_eq!(poll(200, r#"{"status":"SUCCESS","imageUrl":"u"}"#).name(), "succeeded");
    }

    #[test]
    fn a_failed_task_tells_its_class_and_reason() {
        let failed = |reason: &str| {
            let body = format!(r#"{{"id":"7","status":"FAILURE","failReason":{reason},"progress":""}}"#);
            let Observation::TaskFailed(report, class) = poll(200, &body) else { panic!("{reason}") };
            (report.fail_reason, class)
        };

        assert_eq!(failed(r#""可能包含敏感词""#), ("可能包含敏感词".into(), FailureClass::Banned));
        assert_eq!(failed(r#""[Invalid parameter] x""#), ("[Invalid parameter] x".into(), FailureClass::Invalid));
        assert_eq!(failed("null"), (String::new(), FailureClass::Upstream));
        let Observation::TaskFailed(report, FailureClass::Upstream) = poll(200, r#"{"id":"7","status":"CANCEL"}"#)
        else {
            panic!("cancelled")
        };
        assert_eq!(report.fail_reason, "cancelled upstream");
    }

    #[test]
    fn a_line_break_between_quotes_hides_no_task() {
        let seen = poll(200, "{\"id\":\"7\",\"status\":\"SUCCESS\",\"prompt\":\"a\nb\",\"imageUrl\":\"u\"}");

        let Observation::Succeeded(report) = seen else { panic!("{seen:?}") };
        assert!(serde_json::from_str::<serde_json::Value>(report.raw.as_deref().unwrap()).is_ok());
    }

    #[test]
    fn the_real_capture_is_read_in_full() {
        let body = r#"{"id":"7","properties":{"botType":"MID_JOURNEY","notifyHook":null},"action":"IMAGINE","status":"SUCCESS",
            "submitTime":1748339029401,"startTime":1748339030665,"finishTime":1748339072775,"progress":"100%",
            "imageUrl":"https://cdn.example/a.png?ex=1&is=2&hm=3&","imageHeight":2048,"failReason":null,"state":null,
            "buttons":[{"customId":"MJ::JOB::upsample::1::u","emoji":"","label":"U1","type":2,"style":2}]}"#;

        let Observation::Succeeded(report) = poll(200, body) else { panic!("succeeded") };

        assert_eq!((report.status.as_str(), report.progress), ("SUCCESS", Some(100)));
        assert_eq!(report.image_url, "https://cdn.example/a.png?ex=1&is=2&hm=3&");
        assert_eq!(report.finished_ms, 1_748_339_072_775);
        assert_eq!(report.raw.as_deref(), Some(body));
        assert!(report.buttons.unwrap().get().contains("upsample::1"));
    }

    #[test]
    fn the_task_is_seen_although_something_stands_around_it() {
        for (id, wanted) in [("7", "succeeded"), ("8", "no_verdict")] {
            let task = format!(r#"{{"id":"{id}","status":"SUCCESS","imageUrl":"http://x/a.png"}}"#);
            for body in [
                format!(r#"{task}{{"error":{{"type":"new_api_panic"}}}}"#),
                format!("data: {task}\n\n"),
                serde_json::to_string(&task).unwrap(),
            ] {
                assert_eq!(poll(200, &body).name(), wanted, "{body}");
            }
        }
        let cut =
            Answer { flaw: Some("broke off".into()), ..Answer::of(200, r#"{"id":"7","status":"SUCC"#) }.forgiven();
        assert_eq!(classify_poll(&TaskId::new("7"), &Ok(cut)).name(), "no_verdict");
    }

    #[test]
    fn an_upstream_that_wants_to_be_left_alone_is_heard() {
        for status in [429, 503] {
            let Observation::NoVerdict { retry_after, reason } = poll(status, "") else { panic!("{status}") };
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
            assert_eq!(reason, format!("HTTP {status}: an empty body"));
        }
    }

    #[test]
    fn a_poll_without_an_answer_tells_nothing() {
        for failure in [Failure::NotSent("refused".into()), Failure::Lost("reset".into())] {
            assert_eq!(classify_poll(&TaskId::new("7"), &Err(failure)).name(), "no_verdict");
        }
        let broken = Answer { flaw: Some("broke off".into()), ..Answer::of(404, "") };
        assert_eq!(classify_poll(&TaskId::new("7"), &Ok(broken)).name(), "no_verdict");
    }
}
