//! Reads the words of a refusal whose code says too little.
//!
//! Code 4 is "validation error", but relays use it for their own troubles. Only refusals are read this way: words never
//! make an acceptance.

use crate::lifecycle::FailureClass;

use super::class_of_failure;

/// What the words of a refusal say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenor {
    /// A relay lost the answer of the upstream behind it, which may have taken the job.
    MaybeTaken,
    /// A relay had trouble of its own before it sent anything.
    NotSent,
    /// The account may not submit any more: quota, daily limit, ban.
    Barred,
    /// The upstream is full or busy.
    Saturated,
    /// The prompt was refused.
    Banned,
}

/// What new-api, and other servers between mjq and the upstream, answer once their own request has left: it may have
/// made a task.
const MAYBE_TAKEN: &[&str] = &[
    "do_request_failed",
    "close_request_body_failed",
    "read_response_body_failed",
    "close_response_body_failed",
    "unmarshal_response_body_failed",
    "copy_response_body_failed",
    "empty_response_body",
    "bad_response_status_code",
    "insert_midjourney_task_failed",
    "do request failed",
    "bad_response_body",
    "fail_to_fetch_task",
    "fail_to_fetch_midjourney",
    // A fork of one-api, after its upstream has taken the job.
    "insert midjourneytask failed",
    "io copy error",
    "close bodyreader error",
    // one-hub, for any error of its own request.
    "请求上游地址失败",
    "error while sending",
    "upstream request timeout",
    "timeout exceeded while awaiting",
    "connection reset",
    "broken pipe",
    "unexpected eof",
    ": eof",
    "deadline exceeded",
    "context canceled",
    "context cancelled",
    "request canceled",
    "request cancelled",
    "client closed request",
    "network error",
    "网络异常",
    "网络错误",
    "可能已提交",
];

/// These mean the same, unless the text only says how long to wait, or that a wait for room was too long.
const TIMED_OUT: &[&str] = &["timeout", "超时"];

/// Words on the pages of proxies whose request has left, some of them with status 503: Varnish, Fastly, Heroku.
const LOST_PAGES: &[&str] = &[
    "upstream request timeout",
    "backend fetch failed",
    "first byte timeout",
    "backend read error",
    "backend write error",
    "between bytes timeout",
    "application error",
    "do_request_failed",
    "context canceled",
    "client closed request",
];

const BARRED: &[&str] = &[
    "quota_not_enough",
    "quota not enough",
    "quota is not enough",
    "insufficient_quota",
    "insufficient quota",
    "insufficient_user_quota",
    "insufficient user quota",
    "pre_consume_token_quota_failed",
    "quota exceeded",
    "quota exhausted",
    "exceeded your current quota",
    "insufficient balance",
    "insufficient_balance",
    "balance not enough",
    "balance is not enough",
    "balance_not_enough",
    "not enough balance",
    "insufficient credit",
    "not enough credit",
    "余额不足",
    "额度不足",
    "额度已用尽",
    "额度已用完",
    "配额不足",
    "次数已达上限",
    "次数已用完",
    "临时封锁",
    "账号被封",
    "账号已被封",
    "账号已封",
    "账户已被封",
    "account banned",
    "account is banned",
    "account has been banned",
    "account has been disabled",
    "account has been suspended",
    "account suspended",
    "banned from midjourney",
    "user_banned",
    "user has been banned",
    "user is banned",
    "user has been disabled",
    "ip has been banned",
    "用户已被封",
    "invalid api key",
    "token expired",
    "token_expired",
    "token has expired",
    "user_quota",
    "欠费",
    "无效的令牌",
    "令牌已过期",
    "令牌状态不可用",
    "剩余额度",
    "时长已用完",
    "价格未配置",
    "价格或倍率未配置",
    "price not configured",
    "model price not found",
];

/// The upstream is full: these words alone are a refusal.
const FULL: &[&str] = &[
    "queue full",
    "queue is full",
    "queue_full",
    "队列已满",
    "排队已满",
    "已饱和",
    "saturated",
    "too many requests",
    "rate limit",
    "rate_limit",
    "请求过于频繁",
    "并发数",
    "队列数已达上限",
    "concurrency limit",
    "too many concurrent",
    "too fast",
    "slow down",
    "操作太频繁",
    "访问过于频繁",
    "频率过快",
    "任务数量过多",
    "任务数已满",
];

/// No account is available to send anything: an account may have been waited for.
const NO_ACCOUNT: &[&str] = &["无可用", "没有可用", "no available"];

/// No account or server is available.
const BUSY: &[&str] = &[
    "get_channel",
    "no available",
    "not available channel",
    "无可用",
    "overloaded",
    "get_relay_info",
    "server is busy",
    "server busy",
    "system is busy",
    "maintenance",
    "繁忙",
    "维护中",
    "实例不可用",
    "账号不可用",
    "暂不可用",
    "渠道已被禁用",
    "没有可用",
    "未找到账号",
    "no enabled keys",
    "no keys available",
];

/// Trouble of a relay's own database or connection, before it sent anything: Go's drivers and `net`, SQLite, MySQL,
/// PostgreSQL.
const OWN_TROUBLE: &[&str] = &[
    "database error",
    "数据库错误",
    "database is locked",
    "database is closed",
    "too many connections",
    "too many clients",
    "driver: bad connection",
    "invalid connection",
    "deadlock found",
    "failed to get user quota",
    "dial tcp",
];

/// Reads the words of a refusal.
pub(super) fn tenor(words: &str) -> Option<Tenor> {
    let words = words.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    if says_relay_lost_it(&words) || says_time_ran_out(&words) {
        Some(Tenor::MaybeTaken)
    } else if says_it_sent_nothing(&words) {
        Some(Tenor::NotSent)
    } else if has(BARRED) {
        Some(Tenor::Barred)
    } else if has(FULL) || has(BUSY) {
        Some(Tenor::Saturated)
    } else if class_of_failure(&words) == FailureClass::Banned {
        Some(Tenor::Banned)
    } else {
        None
    }
}

/// Whether a server between mjq and the upstream says that its own request has left and its answer is lost.
pub(super) fn says_relay_lost_it(words: &str) -> bool {
    let words = words.to_lowercase();
    MAYBE_TAKEN.iter().any(|phrase| words.contains(phrase)) || says_proxy_lost_it(&words)
}

/// Whether a relay says what went wrong before its own request left: its database failed, or it got no connection.
fn says_it_sent_nothing(words: &str) -> bool {
    OWN_TROUBLE.iter().any(|phrase| words.contains(phrase))
}

/// Whether words that would otherwise mean a lost answer say that the request lacks a field.
pub(super) fn says_field_is_missing(words: &str) -> bool {
    words.trim().to_lowercase().ends_with("_is_required")
}

/// Whether the words say that a time ran out, and nothing that makes this harmless (full, not sent).
pub(super) fn says_time_ran_out(words: &str) -> bool {
    let words = words.to_lowercase();
    // A prompt's parameter may be called `--timeout`.
    let timed_out = |word: &str| !word.starts_with("--") && TIMED_OUT.iter().any(|phrase| word.contains(phrase));
    let waited_for_room = FULL.iter().chain(NO_ACCOUNT).any(|phrase| words.contains(phrase));
    !waited_for_room
        && !says_it_sent_nothing(&words)
        && (words.split_whitespace().any(timed_out) || ["timed out", "time out"].iter().any(|it| words.contains(it)))
}

/// Whether words that would otherwise be a final refusal say no more than that something went wrong.
///
/// C# catches any exception of a submit as "提交Imagine任务异常", even one thrown after the task was queued.
pub(super) fn says_something_failed(words: &str) -> bool {
    ["开小差", "请求失败", "任务异常", "系统异常"].iter().any(|phrase| words.contains(phrase))
}

/// Whether words that would otherwise be a final refusal say that a later try may succeed.
pub(super) fn says_try_again(words: &str) -> bool {
    let words = words.to_lowercase();
    ["try again", "try later", "retry later", "temporarily", "稍后再试", "稍后重试", "稍后尝试", "请重试"]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Whether a page (not JSON, in lower case) says that a proxy has passed the request on and lost the answer.
pub(super) fn says_answer_was_lost(page: &str) -> bool {
    LOST_PAGES.iter().any(|phrase| page.contains(phrase)) || says_proxy_lost_it(page)
}

/// Whether Envoy, whose words these are, may have passed the request on. Only a few of its reasons say that it has not.
fn says_proxy_lost_it(words: &str) -> bool {
    let never_left = ["connection failure", "connection timeout", "overflow"];
    words.contains("disconnect/reset before headers") && !never_left.iter().any(|reason| words.contains(reason))
}

/// Whether the words of a code 3 speak of accounts or room, and not of a task.
pub(super) fn speaks_of_capacity(words: &str) -> bool {
    let words = words.to_lowercase();
    ["无可用", "账号", "账户", "实例", "no available", "account", "instance", "busy", "capacity"]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Whether the words of a code 3, answered to an action, speak of the action's parent task.
pub(super) fn speaks_of_parent(words: &str) -> bool {
    let words = words.to_lowercase();
    ["任务", "失效", "关联", "not found", "not_found", "no_found", "not exist", "not_exist", "task"]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Whether the words say that a task is unknown, or no longer known.
pub(super) fn says_task_is_unknown(words: &str) -> bool {
    let words = words.to_lowercase().replace('_', " ");
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    let speaks_of_task = has(&["task", "任务", "job"]);
    let says_gone = has(&[
        "not found",
        "no found",
        "notfound",
        "not exist",
        "no such",
        "expired",
        "不存在",
        "未找到",
        "找不到",
        "失效",
        "过期",
    ]);
    // From forks of one-api that do not find the id among their own rows.
    (speaks_of_task && says_gone) || words.contains("get mj id failed")
}

/// Whether the words of a 404 say that the address is wrong, and not the task.
pub(super) fn says_address_is_unknown(words: &str) -> bool {
    let words = words.to_lowercase();
    [
        "invalid url",
        "route",
        "no static resource",
        "cannot get",
        "cannot post",
        "no handler",
        "page not found",
        "application not found",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
}

/// Whether the words of a 403 are about a model that this key may not use, and not about the key itself.
pub(super) fn says_model_is_barred(words: &str) -> bool {
    let words = words.to_lowercase();
    ["no access to model", "无权访问模型"].iter().any(|phrase| words.contains(phrase))
}

/// Whether the words of a code 9 say that the queue is full.
pub(super) fn says_queue_is_full(words: &str) -> bool {
    words.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == "full") || words.contains("已满")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_texts_have_their_hint() {
        for (words, wanted) in [
            ("do_request_failed", Some(Tenor::MaybeTaken)),
            ("unmarshal_response_body_failed", Some(Tenor::MaybeTaken)),
            ("insert_midjourney_task_failed", Some(Tenor::MaybeTaken)),
            ("quota_not_enough", Some(Tenor::Barred)),
            ("用户额度不足", Some(Tenor::Barred)),
            ("今日绘图次数已达上限", Some(Tenor::Barred)),
            ("账号处于临时封锁状态", Some(Tenor::Barred)),
            ("get_channel_info_failed", Some(Tenor::Saturated)),
            ("当前分组 default 下对于模型 mj_imagine 无可用渠道", Some(Tenor::Saturated)),
            (" 当前分组负载已饱和，请稍后再试", Some(Tenor::Saturated)),
            ("Queue Full", Some(Tenor::Saturated)),
            ("可能包含敏感词", Some(Tenor::Banned)),
            ("sensitive words detected prompt_blocked", Some(Tenor::Banned)),
            ("Your request was rejected by our safety system", Some(Tenor::Banned)),
            ("upstream request timeout", Some(Tenor::MaybeTaken)),
            ("Post \"http://up/mj/submit/imagine\": EOF", Some(Tenor::MaybeTaken)),
            ("read tcp 10.0.0.1:80: i/o timeout", Some(Tenor::MaybeTaken)),
            ("请求超时", Some(Tenor::MaybeTaken)),
            ("无可用的账号实例(等待超时)", Some(Tenor::Saturated)),
            ("fail_to_fetch_midjourney[ status_code: 502]", Some(Tenor::MaybeTaken)),
            (" Insert midjourneyTask failed Error", Some(Tenor::MaybeTaken)),
            ("请求上游地址失败", Some(Tenor::MaybeTaken)),
            ("database is locked", Some(Tenor::NotSent)),
            ("Error 1040: Too many connections", Some(Tenor::NotSent)),
            ("dial tcp 10.0.0.1:443: connect: connection refused", Some(Tenor::NotSent)),
            ("Post \"http://up/mj/submit/imagine\": dial tcp 10.0.0.1:443: i/o timeout", Some(Tenor::NotSent)),
            ("用户剩余额度: ＄0.01, 需要预扣费额度: ＄0.08", Some(Tenor::Barred)),
            ("快速时长已用完", Some(Tenor::Barred)),
            ("操作太频繁，请稍后再试", Some(Tenor::Saturated)),
            ("没有可用账号", Some(Tenor::Saturated)),
            ("channel: no enabled keys", Some(Tenor::Saturated)),
            ("账户已欠费", Some(Tenor::Barred)),
            ("实例不可用", Some(Tenor::Saturated)),
            ("prompt_is_required", None),
            ("关联任务状态错误", None),
            ("", None),
        ] {
            assert_eq!(tenor(words), wanted, "{words}");
        }
    }

    #[test]
    fn a_task_that_is_not_known_is_told_from_other_trouble() {
        for words in
            ["task_no_found ", "task_not_found", "任务不存在或已失效", "The task does not exist", "No such job"]
        {
            assert!(says_task_is_unknown(words), "{words}");
        }
        assert!(says_task_is_unknown("Get mj id failed Error"));
        for words in ["do_request_failed", "not found", "task failed", ""] {
            assert!(!says_task_is_unknown(words), "{words}");
        }
    }
}
