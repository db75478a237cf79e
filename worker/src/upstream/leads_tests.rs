//! The leads in answers that show a task but are no readable acceptance.

use mjq_producer::contract::{Kind, TaskId};

use super::{
    Answer,
    classify_submit::{Sent, classify_submit},
};
use crate::lifecycle::Observation;

const TASK: &str = "1748339029401828";

/// The lead in an answer to a submit of this kind; the answer must be classified as unanswered.
fn lead(kind: Kind, answer: Answer) -> Option<String> {
    let body = answer.text().into_owned();
    match classify_submit(kind, &Sent::default(), &Ok(answer)) {
        Observation::Unanswered { lead, .. } => lead.map(|task| task.as_str().to_owned()),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn an_answer_that_says_too_little_may_have_a_lead() {
    for (body, wanted) in [
        (r#"{"success":true,"data":{"taskId":"task-170"}}"#, Some("task-170")),
        (r#"{"code":0,"message":"ok","data":{"id":12463258}}"#, Some("12463258")),
        (r#"{"code":200,"result":"task-170"}"#, Some("task-170")),
        (r#"{"task_id":"task-170"}"#, Some("task-170")),
        (r#"{"Code":1,"Result":"task-170"}"#, Some("task-170")),
        (r#"{"code":1,"id":"task-170"}"#, Some("task-170")),
        (r#"{"code":1,"result":{"task":{"id":"task-170"}}}"#, Some("task-170")),
        (r#"{"id":"request-9","data":{"task":{"task_id":"task-170"}}}"#, Some("task-170")),
        (r#"{"code":9,"description":"提交失败","result":"12463258"}"#, Some("12463258")),
        (r#"{"code":1,"data":{"tasks":[{"id":"task-170"}]}}"#, Some("task-170")),
        (r#"{"code":1,"data":{"ids":["task-170"]}}"#, Some("task-170")),
        (r#"{"code":0,"job":{"job_id":"task-170"}}"#, Some("task-170")),
        (r#"{"code":0,"data":{"mjTaskId":"task-170"}}"#, Some("task-170")),
        (r#"{"code":1,"result":{"list":[{"id":"task-170"}]}}"#, Some("task-170")),
        (r#"{"code":1,"data":{"info":{"taskId":"task-170"}}}"#, Some("task-170")),
        (r#"{"code":0,"data":{"id":5}}"#, None),
        (r#"{"code":0,"result":"no"}"#, None),
        (r#"{"success":true}"#, None),
    ] {
        assert_eq!(lead(Kind::Imagine, Answer::of(200, body)).as_deref(), wanted, "{body}");
    }
}

#[test]
fn a_word_in_the_place_of_an_id_hides_none() {
    for body in [
        r#"{"code":200,"msg":"ok","result":"success","data":{"taskId":"1748339029401828"}}"#,
        r#"{"success":true,"result":"submitted","task":{"id":"1748339029401828"}}"#,
        r#"{"code":0,"data":"success","id":"1748339029401828"}"#,
        r#"{"code":200,"result":"操作成功，请稍后查询","data":{"id":"1748339029401828"}}"#,
        r#"{"code":1,"description":"ok","result":"submit success","id":"1748339029401828"}"#,
        r#"{"code":1,"result":"任务已提交 1748339029401828"}"#,
        r#"{"code":1,"result":"http://relay/mj/task/1748339029401828/fetch"}"#,
        r#"{"code":1,"result":"{\"taskId\":\"1748339029401828\"}"}"#,
        r#"{"code":1,"description":"提交成功，任务ID：1748339029401828","result":null}"#,
    ] {
        assert_eq!(lead(Kind::Imagine, Answer::of(200, body)).as_deref(), Some(TASK), "{body}");
    }
}

#[test]
fn what_is_no_json_may_have_a_lead() {
    for body in [
        r#"{"code":1,"result":"1748339029401828"}{"error":{"type":"new_api_panic"}}"#,
        "Warning: something on line 3\n{\"code\":1,\"result\":\"1748339029401828\"}",
        "data: {\"code\":1,\"result\":\"1748339029401828\"}\n\n",
        r#""{\"code\":1,\"result\":\"1748339029401828\"}""#,
        r#"[{"code":1,"result":"1748339029401828"}]"#,
        r#"{"code":1,"result":"1748339029401828",}"#,
        "{'code': 1, 'result': '1748339029401828'}",
    ] {
        assert_eq!(lead(Kind::Imagine, Answer::of(200, body)).as_deref(), Some(TASK), "{body}");
    }
    assert_eq!(lead(Kind::Imagine, Answer::of(200, "<p>1748339029401828</p>")), None, "a page has numbers of its own");
    assert_eq!(
        lead(Kind::Action, Answer::of(200, r#"{"code":0,"msg":"re: 1748339029401828"}"#)),
        None,
        "it may be the parent's"
    );
}

#[test]
fn a_body_that_broke_off_is_an_answer_if_it_is_all_there() {
    let broken = |body: &str| Answer { flaw: Some("the answer broke off".into()), ..Answer::of(200, body) }.forgiven();

    let whole = broken(r#"{"code":1,"result":"1748339029401828"}"#);
    assert!(matches!(
        classify_submit(Kind::Imagine, &Sent::default(), &Ok(whole)),
        Observation::Accepted { task, .. } if task.as_str() == TASK
    ));
    let cut = broken(r#"{"code":1,"result":"1748339029401828","prop"#);
    assert_eq!(lead(Kind::Imagine, cut).as_deref(), Some(TASK));
    assert_eq!(lead(Kind::Imagine, broken(r#"{"code":1,"result":"17483390294"#)), None);
}

#[test]
fn the_task_that_an_action_acts_upon_is_not_the_new_one() {
    let sent = Sent::in_body(r#"{"taskId":1748339029401828,"customId":"x"}"#);
    for (kind, wanted) in [(Kind::Action, None), (Kind::Modal, Some(TASK))] {
        for (status, body) in [
            (500, r#"{"message":"internal error","taskId":"1748339029401828"}"#),
            (400, r#"{"code":5,"description":"do_request_failed","data":{"task_id":"1748339029401828"}}"#),
            (200, r#"{"code":9,"description":"系统异常 timeout","result":"1748339029401828"}"#),
        ] {
            let Observation::Unanswered { lead, .. } = classify_submit(kind, &sent, &Ok(Answer::of(status, body)))
            else {
                panic!("{body}")
            };
            assert_eq!(lead.as_ref().map(TaskId::as_str), wanted, "{body}");
        }
    }
}
