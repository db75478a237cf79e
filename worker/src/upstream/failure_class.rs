//! Reads from the reason of a failed task whether trying again may help.
//!
//! The reasons are Midjourney's embeds and the proxies' own texts, in English and Chinese. They are matched in lower
//! case, the surest phrases first.

use crate::lifecycle::FailureClass;

/// The upstream's account is in trouble, even if the words sound like trouble with the prompt.
const ACCOUNT: &[&str] = &[
    "blocked from accessing",
    "account has been",
    "account is banned",
    "account banned",
    "banned account",
    "account was banned",
    "账号被",
    "账号已被",
    "账户被",
    "账户已被",
    "封号",
    "is banned from",
    "subscription",
    "invalid webhook",
    "invalid token",
    "invalid session",
];

/// The prompt or a picture was refused.
const BANNED: &[&str] = &[
    "banned",
    "敏感",
    "违禁",
    "违规",
    "不合规",
    "禁用词",
    "image denied",
    "image filter",
    "moderat",
    "content policy",
    "community guidelines",
    "inappropriate",
    "nsfw",
    "sensitive word",
    "sensitive_word",
    "sensitive content",
    "prompt_blocked",
    "prompt blocked",
    "content_policy",
    "safety system",
    "safety filter",
    "flagged as unsafe",
    "usage polic",
    "涉黄",
    "色情",
    "风控",
    "屏蔽词",
    "社区准则",
    "社区规范",
    "审核不通过",
    "审核未通过",
    "审核失败",
    "审核拒绝",
    "内容审核",
    "内容不安全",
    "安全检测未通过",
    "违法内容",
    "非法词",
    "prompt was rejected",
    "prohibited content",
    "unsafe content",
    "output filter",
];

/// A parameter or link was wrong.
const INVALID: &[&str] = &[
    "invalid parameter",
    "invalid link",
    "invalid prompt",
    "invalid value",
    "invalid request",
    "invalid image",
    "invalid url",
    "invalid argument",
    "unrecognized parameter",
    "unrecognised parameter",
    "unsupported parameter",
    "empty prompt",
    "prompt is too long",
    "prompt too long",
    "could not fetch image",
    "failed to fetch image",
    "not a valid",
    "无效的参数",
    "无效参数",
    "参数无效",
    "参数错误",
    "参数有误",
    "参数不正确",
    "无效的链接",
    "无效链接",
    "链接无效",
    "链接错误",
    "图片链接",
    "无效的图片",
    "提示词过长",
    "提示词为空",
];

/// The upstream had no capacity, or broke inside. Only phrases that are known to mean this are listed: a new task is a
/// new charge, and would be a useless one if the prompt was the cause.
const CAPACITY: &[&str] = &[
    "timeout",
    "timed out",
    "time out",
    "超时",
    "internal error",
    "internal server error",
    "something went wrong",
    "failed to process your command",
    "unknown integration",
    "unknown message",
    "rate limit",
    "too many requests",
    "overloaded",
    "over capacity",
    "at capacity",
    "out of capacity",
    "no capacity",
    "no available",
    "no account",
    "unavailable",
    "queue is full",
    "queue full",
    "server is busy",
    "system is busy",
    "bad gateway",
    "不可用",
    "无可用",
    "队列已满",
    "已饱和",
    "系统繁忙",
    "系统异常",
    "内部错误",
    "服务器错误",
];

/// Classifies the reason of a failed task by its text.
#[must_use]
pub fn class_of_failure(reason: &str) -> FailureClass {
    let reason = reason.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| reason.contains(phrase));
    // "Banned prompt detected … your account may be banned" is about the prompt.
    if has(&["banned prompt", "敏感词"]) {
        return FailureClass::Banned;
    }
    // A moderation service that is out of order has not judged the prompt.
    if has(&["moderation", "审核"]) && has(&["timed out", "timeout", "unavailable", "超时", "不可用", "繁忙"])
    {
        return FailureClass::Capacity;
    }
    if has(ACCOUNT) {
        return FailureClass::Upstream;
    }
    if has(BANNED) {
        return FailureClass::Banned;
    }
    if has(INVALID) {
        return FailureClass::Invalid;
    }
    if has(CAPACITY) {
        return FailureClass::Capacity;
    }
    FailureClass::Upstream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_seen_in_the_wild_have_their_class() {
        use FailureClass::{Banned, Capacity, Invalid, Upstream};
        for (reason, class) in [
            ("[Banned prompt detected] Sorry! Our AI moderator thinks this prompt is against the rules", Banned),
            ("Banned prompt detected. Using banned words may get your account banned", Banned),
            ("[Image denied] Request cancelled due to image filters", Banned),
            ("可能包含敏感词", Banned),
            ("提示词包含违禁内容", Banned),
            ("Sensitive content detected", Banned),
            ("违反社区准则", Banned),
            ("User is banned from Midjourney", Upstream),
            ("Request blocked by our content policy", Banned),
            ("[Invalid link!] Could not fetch", Invalid),
            ("[Invalid parameter] Invalid value provided for argument --ar", Invalid),
            ("[INVALID PARAMETER] x", Invalid),
            ("无效的参数: --foo", Invalid),
            ("图片链接无法访问", Invalid),
            ("[Blocked] You have been blocked from accessing Midjourney", Upstream),
            ("账号已被封禁", Upstream),
            ("Your account has been banned", Upstream),
            ("Job Timeout", Capacity),
            ("Failed to process your command :c", Capacity),
            ("[Internal error] Something went wrong", Capacity),
            ("[Internal Server Error] x", Capacity),
            ("Unknown Integration", Capacity),
            ("Unknown Message", Capacity),
            ("The resource is being rate limited.", Capacity),
            ("任务超时", Capacity),
            ("执行超时 5 分钟", Capacity),
            ("任务提交超时", Capacity),
            ("上游任务超时（超过1小时）", Capacity),
            ("实例不可用", Capacity),
            ("取消任务", Upstream),
            ("账号不可用", Capacity),
            ("[Invalid link!] Could not fetch image: timed out", Invalid),
            ("image moderation service timed out", Capacity),
            ("Content moderation system is unavailable", Capacity),
            ("The prompt was flagged as unsafe", Banned),
            ("图片涉黄", Banned),
            ("触发风控", Banned),
            ("审核失败", Banned),
            ("图片审核拒绝", Banned),
            ("生成内容不安全", Banned),
            ("内容安全检测未通过", Banned),
            ("包含违法内容", Banned),
            ("提示词包含非法词汇", Banned),
            ("Your prompt was rejected", Banned),
            ("[Denied] prompt contains prohibited content", Banned),
            ("Potentially unsafe content", Banned),
            ("Request cancelled due to output filters", Banned),
            ("[Request cancelled] output filters", Banned),
            ("内容审核服务超时", Capacity),
            ("审核失败：系统繁忙", Capacity),
            ("nobody has seen these words before", Upstream),
            ("", Upstream),
        ] {
            assert_eq!(class_of_failure(reason), class, "{reason}");
        }
    }
}
