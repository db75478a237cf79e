//! What each answer to a submit means: the table, row by row.

use std::time::Duration;

use mjq_producer::contract::Kind;

use super::{
    Answer, Failure,
    classify_submit::{Sent, classify_submit},
};
use crate::lifecycle::Observation;

/// An observation in a word or two.
fn gist(kind: Kind, status: u16, body: &str) -> String {
    let answer = Answer { retry_after: Some(Duration::from_secs(7)), ..Answer::of(status, body) };
    gist_of(&classify_submit(kind, &Sent::default(), &Ok(answer)))
}

fn gist_of(observation: &Observation) -> String {
    match observation {
        Observation::Accepted { task, queue_position } => format!("accepted {task} {queue_position}"),
        Observation::Refused { busy, .. } => format!("{busy:?}"),
        Observation::Denied { code, .. } => format!("denied {code}"),
        other => other.name().to_owned(),
    }
}

#[test]
fn each_row_of_the_table_has_its_meaning() {
    for (body, wanted) in [
        // Accepted.
        (
            r#"{"code":1,"description":"Submit success","result":"1748339029401828","properties":{"discordInstanceId":"164"}}"#,
            "accepted 1748339029401828 0",
        ),
        (r#"{"code":1,"description":"提交成功","result":12463258,"properties":{}}"#, "accepted 12463258 0"),
        (r#"{"code":1,"result":14001934816969359}"#, "accepted 14001934816969359 0"),
        (r#"{"code":1.0,"result":1.2463258E7}"#, "accepted 12463258 0"),
        (r#"{"code":1,"result":1.748339029401828e15}"#, "accepted 1748339029401828 0"),
        (r#"{"code":1,"result":98765432109876543210}"#, "accepted 98765432109876543210 0"),
        (r#"{"code":1,"result":"0741798445574458"}"#, "accepted 0741798445574458 0"),
        (r#"{"code":"1","result":"a"}"#, "accepted a 0"),
        (r#"{"code":1.0,"result":["a","b"]}"#, "accepted a 0"),
        (r#"{"code":1,"result":"a,b"}"#, "accepted a 0"),
        (r#"{"code":1,"description":"队列已满 failed error","result":"a"}"#, "accepted a 0"),
        (r#"{"code":1,"result":{"taskId":5}}"#, "accepted 5 0"),
        (r#"{"code":1,"data":"a"}"#, "accepted a 0"),
        (
            r#"{"code":22,"description":"排队中，前面还有1个任务","result":"a","properties":{"numberOfQueues":3}}"#,
            "accepted a 3",
        ),
        (r#"{"code":22,"description":"In queue","result":"a","properties":{"numberOfQueues":"4"}}"#, "accepted a 4"),
        (r#"{"code":22,"description":"排队中，前面还有12个任务","result":"a"}"#, "accepted a 12"),
        (r#"{"code":22,"description":"排队中","result":12463258,"properties":null}"#, "accepted 12463258 1"),
        (
            r#"{"code":21,"description":"任务已存在","result":"a","properties":{"status":"SUCCESS","imageUrl":"u"}}"#,
            "accepted a 0",
        ),
        (
            r#"{"code":21,"description":"Waiting for window confirm","result":"17381923542354"}"#,
            "accepted 17381923542354 0",
        ),
        (r#"{"code":21,"description":"x","result":null,"properties":{"taskId":"a"}}"#, "accepted a 0"),
        // A foreign shape.
        (r#"{"id":"a","status":"SUBMITTED"}"#, "accepted a 0"),
        (r#"{"data":{"task_id":7,"status":"pending"}}"#, "accepted 7 0"),
        (r#"{"id":"a"}"#, "unanswered"),
        (r#"{"status":"SUBMITTED"}"#, "unanswered"),
        // The id stands beside a word, the request's id or a row's number.
        (r#"{"code":1,"result":"submitted","data":{"taskId":"task-170"}}"#, "accepted task-170 0"),
        (r#"{"code":1,"result":"提交成功","properties":{"taskId":"170"}}"#, "accepted 170 0"),
        (r#"{"code":1,"result":1,"data":{"taskId":"12463258"}}"#, "accepted 12463258 0"),
        (r#"{"code":1,"data":{"id":17,"mj_id":"12463258"}}"#, "accepted 12463258 0"),
        (r#"{"id":17,"mj_id":"12463258","status":"SUBMITTED"}"#, "accepted 12463258 0"),
        (r#"{"status":"success","id":"req-123456","data":{"taskId":"12463258"}}"#, "accepted 12463258 0"),
        (r#"{"status":"submitted","id":"req-123456","task_id":"12463258"}"#, "accepted 12463258 0"),
        (r#"{"id":"12463259","taskId":"12463258","status":"SUBMITTED"}"#, "accepted 12463259 0"),
        (r#"{"code":1,"result":174833901000.0}"#, "accepted 174833901000 0"),
        (r#"{"code":1,"result":"submitted"}"#, "unanswered"),
        (r#"{"code":22,"result":"queued"}"#, "unanswered"),
        // The codes that accept, without an id.
        (r#"{"code":1,"description":"提交成功","result":null}"#, "unanswered"),
        (r#"{"code":1,"result":""}"#, "unanswered"),
        (r#"{"code":1,"result":0}"#, "unanswered"),
        (r#"{"code":1,"result":"null"}"#, "unanswered"),
        (r#"{"code":1,"result":[]}"#, "unanswered"),
        (r#"{"code":1,"result":1.3e15}"#, "unanswered"),
        (r#"{"code":22,"description":"排队中，前面还有1个任务","result":""}"#, "WithoutId"),
        (
            r#"{"code":22,"description":"排队中","result":null,"properties":{"numberOfQueues":1,"discordInstanceId":"1118"}}"#,
            "WithoutId",
        ),
        (r#"{"code":22,"result":0}"#, "WithoutId"),
        (r#"{"code":22,"result":[],"data":{}}"#, "WithoutId"),
        (r#"{"code":22,"data":{"result":"170"}}"#, "accepted 170 1"),
        // An id is there: although it cannot be read, mjq must not ask for another task.
        (r#"{"code":22,"id":"170"}"#, "unanswered"),
        (r#"{"code":22,"result":-5}"#, "unanswered"),
        (r#"{"code":22,"result":1.5}"#, "unanswered"),
        (r#"{"code":22,"result":".."}"#, "unanswered"),
        (r#"{"code":22,"result":"a\nb"}"#, "unanswered"),
        (r#"{"code":22,"results":["170"]}"#, "unanswered"),
        (r#"{"code":22,"Result":"170"}"#, "unanswered"),
        (r#"{"code":22,"data":{"jobId":"170"}}"#, "unanswered"),
        (r#"{"code":21,"description":"任务已存在","result":null}"#, "unanswered"),
        (
            r#"{"code":21,"description":"Waiting for window confirm","result":null,"properties":{"remix":true}}"#,
            "unanswered",
        ),
        // Refused.
        (r#"{"code":23,"description":"队列已满，请稍后尝试","result":null}"#, "Saturated"),
        (r#"{"code":23,"description":"队列已满","result":"14001929738841620"}"#, "Saturated"),
        (r#"{"code":30,"description":" 当前分组负载已饱和","type":"upstream_error"}"#, "Saturated"),
        (r#"{"code":3,"description":"无可用的账号实例"}"#, "Saturated"),
        (r#"{"code":3,"description":"账号不可用: 123"}"#, "Saturated"),
        (r#"{"code":3,"description":"not found"}"#, "Saturated"),
        (r#"{"code":9,"description":"提交失败，队列已满，请稍后重试"}"#, "Saturated"),
        (r#"{"code":9,"description":"The queue is full"}"#, "Saturated"),
        (r#"{"code":9,"description":"提交失败，系统异常"}"#, "Fault"),
        (r#"{"code":9,"description":"upload failed"}"#, "Fault"),
        (r#"{"code":9}"#, "Fault"),
        (r#"{"code":9,"description":"do_request_failed"}"#, "unanswered"),
        (r#"{"code":4,"description":"quota_not_enough"}"#, "Barred"),
        (r#"{"code":4,"description":"Insufficient balance"}"#, "Barred"),
        (r#"{"code":4,"description":"今日绘图次数已达上限"}"#, "Barred"),
        (r#"{"code":4,"description":"账号处于临时封锁"}"#, "Barred"),
        (r#"{"code":4,"description":"get_channel_info_failed"}"#, "Saturated"),
        (r#"{"code":4,"description":"no available channel for mj_imagine"}"#, "Saturated"),
        // Denied.
        (
            r#"{"code":24,"description":"可能包含敏感词","properties":{"promptEn":"nude body","bannedWord":"nude"}}"#,
            "denied banned_prompt",
        ),
        (r#"{"code":24,"result":"7"}"#, "denied banned_prompt"),
        (r#"{"code":4,"description":"可能包含敏感词"}"#, "denied banned_prompt"),
        (r#"{"code":4,"description":"prompt不能为空"}"#, "denied invalid_request"),
        (r#"{"code":4}"#, "denied invalid_request"),
        // A relay that lost the answer of the server behind it.
        (r#"{"code":4,"description":"do_request_failed ","type":"upstream_error"}"#, "unanswered"),
        (r#"{"code":5,"description":"do_request_failed"}"#, "unanswered"),
        (r#"{"code":5,"description":"unmarshal_response_body_failed"}"#, "unanswered"),
        (r#"{"code":4,"description":"insert_midjourney_task_failed"}"#, "unanswered"),
        (r#"{"code":5,"description":"something"}"#, "unanswered"),
        (r#"{"code":5,"description":"marshal_request_body_failed"}"#, "Fault"),
        // Unknown codes.
        (r#"{"code":77,"description":"?"}"#, "unanswered"),
        (r#"{"code":-1,"msg":"timeout"}"#, "unanswered"),
        (r#"{"code":1024,"description":"提交成功，正在绘制","result":null}"#, "unanswered"),
        (r#"{"code":9,"description":"提交超时，任务可能已提交"}"#, "unanswered"),
        (r#"{"code":-1,"description":"insufficient quota"}"#, "Barred"),
        (r#"{"code":77,"result":"a"}"#, "unanswered"),
        (r#"{"code":0,"description":"ok"}"#, "unanswered"),
        (r#"{"code":200,"data":{"id":"a","status":"PENDING"}}"#, "unanswered"),
        (r#"{"code":401,"message":"no key"}"#, "Barred"),
        (r#"{"code":429,"message":"slow down"}"#, "Saturated"),
        (r#"{"code":500,"message":"oops"}"#, "unanswered"),
        // No code at all.
        (r#"{"code":"success","data":"a"}"#, "unanswered"),
        (r#"{"code":null,"description":"queue full"}"#, "unanswered"),
        ("{}", "unanswered"),
        ("", "unanswered"),
        ("null", "unanswered"),
        ("[]", "unanswered"),
        ("<html><body>Just a moment...</body></html>", "unanswered"),
        (r#"{"code":1,"result":"17"#, "unanswered"),
        (r#"{"code":23,"descr"#, "unanswered"),
    ] {
        assert_eq!(gist(Kind::Imagine, 200, body), wanted, "{body}");
    }
}

#[test]
fn each_http_status_has_its_meaning_whatever_the_page_in_it() {
    for (statuses, wanted) in [
        (&[521, 523, 525, 526, 530][..], "Unreachable"),
        (&[300, 301, 304, 307, 308], "Misaddressed"),
        (&[302, 303, 408, 409, 424, 500, 501, 502, 504, 507, 520, 522, 524, 599, 600, 199], "unanswered"),
        (&[401, 402, 403, 407], "Barred"),
        (&[404, 405, 410, 421, 426], "Misaddressed"),
        (&[413], "denied too_large"),
        (&[423, 425, 429, 499, 503], "Saturated"),
        (&[400, 406, 415, 418, 422, 431, 451], "denied invalid_request"),
        (&[200, 201, 202, 204], "unanswered"),
    ] {
        for status in statuses {
            // A page with another error is a gateway's: see below.
            let page = if wanted == "denied invalid_request" { "no" } else { "<html>no</html>" };
            for body in ["", page, "no", r#"{"message":"no"}"#, r#"{"cod"#, "\u{fffd}"] {
                assert_eq!(gist(Kind::Imagine, *status, body), wanted, "{status} {body}");
            }
        }
    }
}

#[test]
fn a_relay_wraps_the_family_s_codes_in_http_errors() {
    for (status, body, wanted) in [
        (400, r#"{"description":"quota_not_enough ","type":"upstream_error","code":4}"#, "Barred"),
        (400, r#"{"description":"do_request_failed ","type":"upstream_error","code":4}"#, "unanswered"),
        (400, r#"{"description":"do_request_failed ","type":"upstream_error","code":5}"#, "unanswered"),
        (400, r#"{"description":"prompt_is_required ","type":"upstream_error","code":4}"#, "denied invalid_request"),
        (400, r#"{"code":23}"#, "Saturated"),
        (422, r#"{"code":24}"#, "denied banned_prompt"),
        (422, r#"{"code":422,"message":"prompt required"}"#, "denied invalid_request"),
        (400, r#"{"error":{"message":"Insufficient quota"}}"#, "Barred"),
        (400, r#"{"code":400,"message":"do_request_failed"}"#, "unanswered"),
        (404, r#"{"code":3,"description":"无可用的账号实例"}"#, "Saturated"),
        (404, r#"{"code":404,"message":"no route"}"#, "Misaddressed"),
        (404, r#"{"error":{"message":"Invalid URL (POST /v1/mj/submit/imagine)"}}"#, "Misaddressed"),
        (429, r#"{"description":" 当前分组负载已饱和","type":"upstream_error","code":30}"#, "Saturated"),
        (403, r#"{"error":{"message":"用户额度不足"}}"#, "Barred"),
        (403, r#"{"code":24}"#, "denied banned_prompt"),
        (403, r#"{"error":{"code":"prompt_blocked","message":"blocked"}}"#, "denied banned_prompt"),
        (400, r#"{"error":{"code":"read_response_body_failed","message":"x"}}"#, "unanswered"),
        (400, r#"{"code":"do_request_failed","message":"upstream","data":null}"#, "unanswered"),
        (500, r#"{"code":23}"#, "unanswered"),
        (500, r#"{"code":23,"description":"队列已满"}"#, "Saturated"),
        (504, r#"{"code":23,"description":"queue full"}"#, "Saturated"),
        (500, r#"{"code":4,"description":"quota_not_enough"}"#, "Barred"),
        (500, r#"{"code":4,"description":"bad"}"#, "unanswered"),
        (503, r#"{"error":{"message":"无可用渠道"}}"#, "Saturated"),
        (201, r#"{"code":1,"result":"a"}"#, "accepted a 0"),
        // An id counts beside any status: to lose it would be to lose the task.
        (500, r#"{"code":1,"result":"a"}"#, "accepted a 0"),
        (429, r#"{"code":22,"result":"a"}"#, "accepted a 1"),
        (500, r#"{"id":"a","status":"SUBMITTED"}"#, "unanswered"),
    ] {
        assert_eq!(gist(Kind::Imagine, status, body), wanted, "{status} {body}");
    }
}

#[test]
fn an_action_whose_parent_is_gone_is_told_from_a_full_upstream() {
    for (status, body, wanted) in [
        (200, r#"{"code":3,"description":"关联任务不存在或已失效"}"#, "denied parent_gone"),
        (404, r#"{"code":3,"description":"目标任务不存在"}"#, "denied parent_gone"),
        (200, r#"{"code":3,"description":"Task not found"}"#, "denied parent_gone"),
        (200, r#"{"code":3,"description":"账号不可用，关联任务已失效"}"#, "denied parent_gone"),
        (200, r#"{"code":9,"description":"关联任务不存在或已失效"}"#, "denied parent_gone"),
        (200, r#"{"code":4,"description":"任务已过期"}"#, "denied parent_gone"),
        (410, "", "denied parent_gone"),
        (400, r#"{"code":4,"description":"task_not_found "}"#, "denied parent_gone"),
        (200, r#"{"code":3,"description":"无可用的账号实例"}"#, "Saturated"),
        (200, r#"{"code":3,"description":"No available account for this task"}"#, "Saturated"),
        (200, r#"{"code":3}"#, "Saturated"),
        (200, r#"{"code":4,"description":"关联任务状态错误"}"#, "denied invalid_request"),
    ] {
        assert_eq!(gist(Kind::Action, status, body), wanted, "{body}");
        assert_eq!(gist(Kind::Modal, status, body), wanted, "{body}");
    }
}

#[test]
fn a_new_task_never_ends_for_a_code_3() {
    for kind in [Kind::Imagine, Kind::Blend, Kind::Describe, Kind::Shorten] {
        assert_eq!(gist(kind, 200, r#"{"code":3,"description":"任务不存在"}"#), "Saturated");
    }
}

#[test]
fn what_never_left_is_refused_and_what_left_is_unanswered() {
    let not_sent =
        classify_submit(Kind::Imagine, &Sent::default(), &Err(Failure::NotSent("connection refused".into())));
    let lost = classify_submit(Kind::Imagine, &Sent::default(), &Err(Failure::Lost("reset".into())));

    assert_eq!(gist_of(&not_sent), "Unreachable");
    assert!(matches!(lost, Observation::Unanswered { reason, .. } if reason == "reset"));
}

#[test]
fn a_body_that_broke_off_leaves_only_what_the_status_says() {
    for (status, wanted) in
        [(200, "unanswered"), (400, "unanswered"), (429, "Saturated"), (401, "Barred"), (413, "denied too_large")]
    {
        let answer = Answer { flaw: Some("the body broke off".into()), ..Answer::of(status, "") };

        assert_eq!(gist_of(&classify_submit(Kind::Imagine, &Sent::default(), &Ok(answer))), wanted, "{status}");
    }
}

#[test]
fn a_refusal_carries_how_long_to_wait_and_why() {
    let answer =
        |status, body: &str| Ok(Answer { retry_after: Some(Duration::from_secs(7)), ..Answer::of(status, body) });

    let Observation::Refused { retry_after, reason, .. } = classify_submit(
        Kind::Imagine,
        &Sent::default(),
        &answer(429, r#"{"code":30,"description":"full\n\u0000now"}"#),
    ) else {
        panic!("refused")
    };
    assert_eq!((retry_after, reason.as_str()), (Some(Duration::from_secs(7)), "HTTP 429, code 30: full now"));

    let Observation::Denied { reason, .. } = classify_submit(
        Kind::Imagine,
        &Sent::default(),
        &answer(200, r#"{"code":24,"description":"可能包含敏感词","properties":{"bannedWord":"nude"}}"#),
    ) else {
        panic!("denied")
    };
    assert_eq!(reason, "code 24: 可能包含敏感词 (nude)");

    let long = format!(r#"{{"code":4,"description":"{}"}}"#, "长".repeat(5000));
    let Observation::Denied { reason, .. } = classify_submit(Kind::Imagine, &Sent::default(), &answer(200, &long))
    else {
        panic!("denied")
    };
    assert_eq!(reason.chars().count(), 300);
}

#[test]
fn a_relay_that_lost_the_answer_has_refused_nothing_whatever_it_calls_it() {
    for (status, body) in [
        (503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
        (503, "<html><title>503 Backend fetch failed</title></html>"),
        (503, "<html>first byte timeout</html>"),
        (503, "<html><title>Application Error</title></html>"),
        (503, r#"{"error":{"message":"do_request_failed"}}"#),
        (429, r#"{"message":"net/http: Client.Timeout exceeded while awaiting headers"}"#),
        (404, r#"{"error":{"message":"do_request_failed"}}"#),
        (200, r#"{"code":503,"message":"upstream request timeout"}"#),
        (200, r#"{"code":429,"message":"connection reset by peer"}"#),
        (200, r#"{"code":3,"description":"任务提交超时，可能已提交"}"#),
        (200, r#"{"code":23,"description":"context deadline exceeded"}"#),
        (499, r#"{"code":1,"message":"context canceled","details":[]}"#),
        (499, r#"{"message":"client closed request"}"#),
        (200, r#"{"code":499,"message":"context canceled"}"#),
        (400, r#"{"code":4,"description":"context canceled"}"#),
        (503, "upstream connect error or disconnect/reset before headers. reset reason: protocol error"),
        (503, "upstream connect error or disconnect/reset before headers"),
        (503, r#"{"code":14,"message":"upstream connect error or disconnect/reset before headers"}"#),
        (400, r#"{"code":4,"description":"upstream connect error or disconnect/reset before headers"}"#),
        (200, r#"{"code":4,"description":"网络异常，请稍后重试"}"#),
        (200, r#"{"code":4,"description":"服务器开小差了，请稍后再试"}"#),
        (200, r#"{"code":4,"description":"请求失败，请重试"}"#),
        (503, r#"{"message":"服务暂时不可用，请求超时"}"#),
        (409, r#"{"message":"request is already being processed"}"#),
    ] {
        assert_eq!(gist(Kind::Imagine, status, body), "unanswered", "{status} {body}");
    }
    for reason in ["connection failure", "remote connection failure, transport failure reason: x", "overflow"] {
        let never_left = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        assert_eq!(gist(Kind::Imagine, 503, &never_left), "Saturated");
    }
}

#[test]
fn a_refusal_that_speaks_of_time_is_a_refusal() {
    for (status, body, wanted) in [
        (401, r#"{"code":401,"message":"登录超时，请重新登录"}"#, "Barred"),
        (401, "session timed out, please log in again", "Barred"),
        (200, r#"{"code":401,"message":"session timed out"}"#, "Barred"),
        (429, r#"{"message":"Rate limit exceeded: too many requests, timeout for 20 s"}"#, "Saturated"),
        (429, r#"{"message":"timeout for 20 s"}"#, "Saturated"),
        (200, r#"{"code":23,"description":"队列已满，排队等待超时，请稍后再试"}"#, "Saturated"),
        (503, r#"{"message":"当前分组负载已饱和 (request timed out in queue)"}"#, "Saturated"),
        (200, r#"{"code":4,"description":"Invalid parameter: --timeout"}"#, "denied invalid_request"),
        (200, r#"{"code":4,"description":"不支持的参数 --超时"}"#, "denied invalid_request"),
    ] {
        assert_eq!(gist(Kind::Imagine, status, body), wanted, "{status} {body}");
    }
}

#[test]
fn what_may_be_well_in_a_while_is_tried_again() {
    for (body, wanted) in [
        (r#"{"code":4,"description":"服务繁忙"}"#, "Saturated"),
        (r#"{"code":4,"description":"server busy, try again"}"#, "Saturated"),
        (r#"{"code":4,"description":"Temporarily unavailable"}"#, "Saturated"),
        (r#"{"code":4,"description":"提示词违规，请修改后重试"}"#, "denied banned_prompt"),
        (r#"{"code":4,"description":"请求失败：可能包含敏感词"}"#, "denied banned_prompt"),
        // The trouble, whatever it was, may have come after the task was made.
        (r#"{"code":5,"description":"please try again later"}"#, "unanswered"),
        (r#"{"code":-1,"description":"please try again later"}"#, "unanswered"),
        (r#"{"code":9,"description":"提交失败，请稍后重试"}"#, "Fault"),
        (r#"{"code":4,"description":"Banned prompt detected, please try again"}"#, "denied banned_prompt"),
    ] {
        assert_eq!(gist(Kind::Imagine, 200, body), wanted, "{body}");
    }
}

#[test]
fn a_limit_of_the_account_s_own_is_no_fault_of_the_job() {
    for body in [
        r#"{"code":4,"description":"并发数已达上限","result":null,"properties":{}}"#,
        r#"{"code":4,"description":"队列数已达上限"}"#,
        r#"{"success":false,"code":-1,"message":"并发数已达上限","timestamp":"638"}"#,
        r#"{"code":4,"description":"服务暂不可用，请联系管理员"}"#,
        r#"{"success":false,"code":-1,"message":"服务暂不可用，请联系管理员"}"#,
    ] {
        assert_eq!(gist(Kind::Imagine, 200, body), "Saturated", "{body}");
    }
    let channel_is_off = r#"{"description":"该任务所属渠道已被禁用 ","type":"upstream_error","code":4}"#;
    assert_eq!(gist(Kind::Action, 400, channel_is_off), "Saturated");
}

#[test]
fn an_exception_that_c_sharp_tells_in_words_is_a_refusal() {
    for (body, wanted) in [
        (r#"{"success":false,"code":-1,"message":"The JSON value could not be converted"}"#, "denied invalid_request"),
        (r#"{"success":false,"code":-1,"message":"操作失败"}"#, "unanswered"),
        (r#"{"success":false,"code":-1,"message":""}"#, "unanswered"),
        (r#"{"success":false,"code":-1,"message":"x","data":{"taskId":"12463258"}}"#, "unanswered"),
        (r#"{"code":-1,"message":"The JSON value could not be converted"}"#, "unanswered"),
        (r#"{"code":4,"description":"提交Imagine任务异常"}"#, "unanswered"),
    ] {
        assert_eq!(gist(Kind::Imagine, 200, body), wanted, "{body}");
    }
}

#[test]
fn a_relay_s_trouble_of_its_own_is_told_from_a_lost_answer() {
    let database = r#"{"error":{"message":"Database error, please try again later","type":"new_api_error","code":""}}"#;
    for (status, body, wanted) in [
        (400, r#"{"description":"无法获取provider:该渠道已被禁用 ","type":"internal_error","code":5}"#, "Fault"),
        (500, database, "Fault"),
        (500, r#"{"error":{"message":"database error","type":"x"}}"#, "unanswered"),
        (500, r#"{"error":{"message":"当前分组上游负载已饱和","type":"new_api_error"}}"#, "Saturated"),
        (500, r#"{"error":{"message":"当前分组上游负载已饱和","type":"x"}}"#, "unanswered"),
        (500, r#"{"error":{"message":"panic detected","type":"new_api_panic"}}"#, "unanswered"),
        (400, r#"{"code":0,"description":" ","type":"upstream_error"}"#, "unanswered"),
    ] {
        assert_eq!(gist(Kind::Imagine, status, body), wanted, "{status} {body}");
    }
}

#[test]
fn an_error_without_a_code_is_a_refusal_if_its_words_are_one() {
    for (body, wanted) in [
        (r#"{"success":false,"message":"Too many requests, please slow down"}"#, "Saturated"),
        (r#"{"error":{"message":"insufficient quota","code":"insufficient_quota"}}"#, "Barred"),
        (r#"{"error":{"code":429,"message":"rate limited"}}"#, "Saturated"),
        (r#"{"status":"FAILED","message":"quota exhausted","data":null}"#, "Barred"),
        (r#"{"detail":"Rate limit exceeded"}"#, "Saturated"),
        (r#"{"error":"可能包含敏感词"}"#, "denied banned_prompt"),
        (r#"{"success":false,"message":"failed"}"#, "unanswered"),
        (r#"{"error":false,"message":"no rate limit"}"#, "unanswered"),
        (r#"{"error":"rate limited","taskId":"task-170"}"#, "unanswered"),
        (r#"{"message":"Too many requests before yours: it is in the queue"}"#, "unanswered"),
    ] {
        assert_eq!(gist(Kind::Imagine, 200, body), wanted, "{body}");
    }
}

#[test]
fn a_relay_that_had_sent_nothing_is_asked_again() {
    for (words, wanted) in [
        ("database is locked (5) (SQLITE_BUSY)", "Fault"),
        ("Error 1040: Too many connections", "Fault"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "Fault"),
        ("dial tcp: lookup up: i/o timeout", "Fault"),
        ("Failed to get user quota", "Fault"),
        ("channel#3: no enabled keys", "Saturated"),
        ("模型 mj_imagine 价格未配置", "Barred"),
        ("fail_to_fetch_midjourney[ status_code: 502]", "unanswered"),
        ("Insert midjourneyTask failed Error", "unanswered"),
        ("请求上游地址失败", "unanswered"),
    ] {
        let body = format!(r#"{{"description":"{words} ","type":"upstream_error","code":4}}"#);

        assert_eq!(gist(Kind::Imagine, 400, &body), wanted, "{words}");
    }
    assert_eq!(gist(Kind::Imagine, 500, r#"{"code":4,"description":"prompt_is_required "}"#), "denied invalid_request");
}

#[test]
fn the_family_s_answer_in_an_envelope_is_read_like_any_other() {
    for (inner, wanted) in [
        (r#"{"code":1,"description":"提交成功","result":"1748339029401828"}"#, "accepted 1748339029401828 0"),
        (r#"{"code":23,"description":"队列已满"}"#, "Saturated"),
        (r#"{"code":24,"description":"可能包含敏感词"}"#, "denied banned_prompt"),
        (r#"{"code":3,"description":"无可用的账号实例"}"#, "Saturated"),
    ] {
        for envelope in [
            format!(r#"{{"code":0,"message":"","data":{inner}}}"#),
            format!(r#"{{"code":200,"msg":"ok","result":{inner}}}"#),
        ] {
            assert_eq!(gist(Kind::Imagine, 200, &envelope), wanted, "{envelope}");
        }
    }
}

#[test]
fn who_is_banned_is_told_from_what_is_banned() {
    let error = |words: &str| format!(r#"{{"error":{{"message":"{words}","type":"new_api_error","code":""}}}}"#);
    for (words, wanted) in [
        ("User has been banned (request id: 2026)", "Barred"),
        ("auth.user_banned", "Barred"),
        ("用户已被封禁", "Barred"),
        ("This token has no access to model mj_blend", "denied invalid_request"),
        ("该令牌无权访问模型 mj_blend", "denied invalid_request"),
        ("This token has no access to any models", "Barred"),
    ] {
        assert_eq!(gist(Kind::Blend, 403, &error(words)), wanted, "{words}");
    }
}

#[test]
fn a_page_with_an_error_is_a_gateway_s_and_no_verdict_on_the_job() {
    for status in [400, 406, 415, 418, 422, 451] {
        let page = "<html><center>The plain HTTP request was sent to HTTPS port</center></html>";
        assert_eq!(gist(Kind::Imagine, status, page), "Misaddressed", "{status}");
    }
}

#[test]
fn a_503_that_comes_late_and_says_nothing_is_a_time_out() {
    let late = |body: &str| Answer { took: Duration::from_secs(10), ..Answer::of(503, body) };
    let gist = |answer: Answer| gist_of(&classify_submit(Kind::Imagine, &Sent::default(), &Ok(answer)));

    assert_eq!(gist(late("")), "unanswered");
    assert_eq!(gist(late("<html>503</html>")), "unanswered");
    assert_eq!(gist(late(r#"{"message":"no"}"#)), "unanswered");
    assert_eq!(gist(late(r#"{"message":"queue full"}"#)), "Saturated");
    assert_eq!(gist(late(r#"{"message":"please try again later"}"#)), "Saturated");
    assert_eq!(gist(Answer { retry_after: Some(Duration::from_secs(1)), ..late("") }), "Saturated");
    assert_eq!(gist(Answer { took: Duration::from_secs(9), ..late("") }), "Saturated");
}

#[test]
fn the_prompt_in_an_answer_says_nothing_of_what_became_of_the_job() {
    let sent = |prompt: &str| Sent { prompt: Some(prompt.to_owned()), parent: None };
    for (prompt, wanted) in [
        ("超时空要塞", "denied invalid_request"),
        ("a banker with insufficient balance --ar 1:1", "denied invalid_request"),
        ("an old clock that timed out", "denied invalid_request"),
        ("a rate limit sign on a road", "denied invalid_request"),
    ] {
        let body = format!(r#"{{"code":4,"description":"unknown parameter in: {prompt}"}}"#);
        let answer = || Ok(Answer::of(200, &body));

        assert_eq!(gist_of(&classify_submit(Kind::Imagine, &sent(prompt), &answer())), wanted, "{prompt}");
        assert_ne!(gist_of(&classify_submit(Kind::Imagine, &Sent::default(), &answer())), wanted, "{prompt}");
        let reason = classify_submit(Kind::Imagine, &sent(prompt), &answer()).reason().to_owned();
        assert_eq!(reason, "code 4: unknown parameter in: …", "a log is not for prompts");
    }
}

#[test]
fn a_line_break_between_quotes_and_a_number_that_is_none_hide_no_acceptance() {
    let body = "{\"code\":1,\"description\":\"submit\nsuccess\",\"cost\":NaN,\"result\":\"1748339029401828\"}";

    assert_eq!(gist(Kind::Imagine, 200, body), "accepted 1748339029401828 0");
    assert_eq!(gist(Kind::Imagine, 200, "[NaN]"), "unanswered");
}
