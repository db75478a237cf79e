//! How each member of the family words the same facts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    ids::{IdStyle, id_json},
    script::Outcome,
    task::{PROGRESS, Phase, Task},
    wire::{JSON, TEXT, Wire},
};

/// A member of the midjourney-proxy family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Dialect {
    /// api.agicto.cn: ids are integers.
    #[default]
    Agicto,
    /// novicezk/midjourney-proxy: ids are strings, an unknown one gives 200 and nothing.
    Java,
    /// trueai-org/midjourney-proxy: an unknown id gives 204, a full pool code 3, a long state code 4.
    CSharp,
    /// The relay: `""` and 0 for null, 22 becomes 1, text/plain, errors over HTTP 400 and 429, no hooks.
    NewApi,
}

/// A business answer to a submit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) code: i64,
    pub(crate) description: String,
    pub(crate) id: Option<String>,
    pub(crate) properties: Option<Value>,
}

/// Why a submit is turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Neither a slot nor a place in line.
    Full,
    /// The parent does not exist, has not succeeded or has no such button.
    NoParent,
    /// The request is wrong, in these words.
    Invalid(String),
    /// The prompt holds this word.
    Banned(String),
    /// The body is larger than the service takes.
    TooLarge,
    /// There is no such kind of submit.
    NoSuchAction,
    /// The body is no JSON object.
    NotJson,
}

impl Refusal {
    /// How statistics name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Full => "refused: full",
            Self::NoParent => "refused: no parent",
            Self::Invalid(_) => "refused: invalid",
            Self::Banned(_) => "refused: banned",
            Self::TooLarge => "refused: too large",
            Self::NoSuchAction => "refused: no such action",
            Self::NotJson => "refused: not json",
        }
    }
}

impl Reply {
    pub(crate) fn new(code: i64, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), id: None, properties: None }
    }

    pub(crate) fn with_id(self, id: String) -> Self {
        Self { id: Some(id), ..self }
    }

    pub(crate) fn with_properties(self, properties: Value) -> Self {
        Self { properties: Some(properties), ..self }
    }
}

/// The usual words for a code.
pub(crate) fn usual_words(code: i64) -> &'static str {
    match code {
        1 => "提交成功",
        3 => "关联任务不存在或已失效",
        4 => "参数校验失败",
        21 => "任务已存在",
        22 => "排队中，前面还有1个任务",
        23 => "队列已满，请稍后尝试",
        24 => "可能包含敏感词",
        30 => " 当前分组负载已饱和，请稍后再试，或升级账户以提升服务质量。",
        _ => "提交失败，系统异常",
    }
}

impl Dialect {
    pub(crate) fn usual_id_style(self) -> IdStyle {
        match self {
            Self::Agicto => IdStyle::Integer,
            Self::Java | Self::CSharp | Self::NewApi => IdStyle::Digits16,
        }
    }

    /// Whether a callback address in a request is honoured.
    pub(crate) fn has_hooks(self) -> bool {
        self != Self::NewApi
    }

    /// Whether tasks can be listed and cancelled by anyone who has the key.
    pub(crate) fn has_list_and_cancel(self) -> bool {
        self != Self::NewApi
    }

    /// Whether a banned word turns the submit down; else the task fails.
    pub(crate) fn refuses_banned_words(self) -> bool {
        self != Self::CSharp
    }

    /// The longest `state` that is taken, in characters.
    pub(crate) fn longest_state(self) -> Option<usize> {
        (self == Self::CSharp).then_some(255)
    }

    /// An answer to a submit, with its code as it is.
    pub(crate) fn reply(self, reply: &Reply) -> Wire {
        let result = reply.id.as_ref().map_or(Value::Null, |id| id_json(id, self == Self::Agicto));
        let body = json!({
            "code": reply.code,
            "description": reply.description,
            "result": result,
            "properties": reply.properties,
        });
        self.ok(&body)
    }

    /// An acceptance: the relay hides that the task has to wait.
    pub(crate) fn accept(self, reply: Reply) -> Wire {
        match self {
            Self::NewApi if reply.code == 22 => self.reply(&Reply { code: 1, ..reply }),
            _ => self.reply(&reply),
        }
    }

    /// The answer to a submit that is turned down.
    pub(crate) fn refuse(self, refusal: &Refusal) -> Wire {
        let reply = match refusal {
            Refusal::Full => match self {
                Self::NewApi => return self.relay_error(429, 30, usual_words(30)),
                Self::CSharp => Reply::new(3, "无可用的账号实例"),
                Self::Agicto | Self::Java => Reply::new(23, usual_words(23)),
            },
            Refusal::NoParent => match self {
                Self::NewApi => return self.relay_error(400, 4, "task_no_found "),
                Self::CSharp => {
                    let body = json!({"code": 3, "description": usual_words(3), "result": null, "properties": null});
                    return Wire::body(404, JSON, body.to_string());
                }
                Self::Agicto | Self::Java => Reply::new(3, usual_words(3)),
            },
            Refusal::Invalid(why) => Reply::new(4, why.clone()),
            Refusal::Banned(word) => Reply::new(24, usual_words(24))
                .with_properties(json!({"promptEn": format!("{word} body"), "bannedWord": word})),
            Refusal::TooLarge => return Wire::body(413, TEXT, "Payload Too Large"),
            Refusal::NoSuchAction => return Wire::body(404, TEXT, "404 page not found"),
            Refusal::NotJson => {
                let body = json!({"status": 400, "error": "Bad Request", "message": "the body is no JSON object"});
                return Wire::body(400, JSON, body.to_string());
            }
        };
        self.reply(&reply)
    }

    /// The answer to a poll for an id that nobody knows.
    pub(crate) fn unknown_task(self) -> Wire {
        match self {
            Self::Agicto | Self::Java => Wire::body(200, JSON, ""),
            Self::CSharp => Wire::body(204, JSON, ""),
            Self::NewApi => self.relay_error(400, 4, "task_no_found "),
        }
    }

    /// The answer to a request without the key.
    pub(crate) fn unauthorized(self) -> Wire {
        match self {
            Self::Java => Wire::body(401, TEXT, ""),
            Self::CSharp => Wire::body(401, TEXT, "Authorization header missing."),
            Self::Agicto | Self::NewApi => {
                let body =
                    json!({"error": {"message": "无效的令牌", "type": "new_api_error", "code": "invalid_token"}});
                Wire::body(401, JSON, body.to_string())
            }
        }
    }

    /// The answer to a cancel.
    pub(crate) fn cancelled(self, id: &str) -> Wire {
        match self {
            Self::CSharp => Wire::body(200, JSON, ""),
            Self::Agicto | Self::Java | Self::NewApi => self.reply(&Reply::new(1, "成功").with_id(id.to_owned())),
        }
    }

    /// JSON over 200, as this dialect labels it.
    pub(crate) fn ok(self, body: &Value) -> Wire {
        match self {
            Self::NewApi => Wire::body(200, TEXT, body.to_string()),
            Self::Agicto | Self::Java | Self::CSharp => Wire::json(body),
        }
    }

    /// The task object.
    pub(crate) fn task(self, task: &Task, base_url: &str, now_ms: u64) -> Value {
        let seen = self.seen(task, base_url, now_ms);
        let mut body = json!({
            "id": id_json(&task.id, self == Self::Agicto),
            "action": task.kind,
            "status": seen.status,
            "prompt": task.prompt,
            "promptEn": task.prompt,
            "description": format!("/{} {}", task.kind.to_lowercase(), task.prompt),
            "state": task.state,
            "submitTime": task.submitted_ms,
            "startTime": seen.start_ms,
            "finishTime": seen.finish_ms,
            "imageUrl": seen.image_url,
            "progress": seen.progress,
            "failReason": seen.fail_reason,
            "botType": task.bot_type,
            "properties": self.properties(task, &seen),
        });
        if let Value::Object(body) = &mut body {
            let buttons = if seen.is_success { json!(task.buttons()) } else { json!([]) };
            match self {
                // The Java original has no buttons; what offers actions adds them.
                Self::Agicto | Self::Java => drop(body.insert("buttons".to_owned(), buttons)),
                Self::CSharp => {
                    body.insert("buttons".to_owned(), buttons);
                    let size = if seen.is_success { json!(2048) } else { Value::Null };
                    body.insert("imageWidth".to_owned(), size.clone());
                    body.insert("imageHeight".to_owned(), size);
                }
                Self::NewApi => relayed(body, task, buttons, seen.is_success, now_ms),
            }
        }
        body
    }

    fn seen(self, task: &Task, base_url: &str, now_ms: u64) -> Seen {
        let phase = task.phase(now_ms);
        let mut seen = Seen { start_ms: start_ms(task, phase), ..Seen::default() };
        match phase {
            Phase::Modal => seen.say("MODAL", Some("0%")),
            Phase::Waiting => seen.say("NOT_START", None),
            Phase::Submitted => seen.say("SUBMITTED", Some("0%")),
            Phase::Running(step) => {
                let word = task.script.as_ref().and_then(|script| script.running_status.as_deref());
                seen.say(word.unwrap_or("IN_PROGRESS"), Some(PROGRESS[step]));
                seen.image_url = (step > 0).then(|| format!("{base_url}/image/{}-{step}.png", task.id));
            }
            Phase::Ended => {
                seen.finish_ms = task.cancelled_ms.or(task.booking.map(|booking| booking.finish_ms));
                self.end(task, base_url, &mut seen);
            }
        }
        seen
    }

    fn end(self, task: &Task, base_url: &str, seen: &mut Seen) {
        if task.cancelled_ms.is_some() {
            return match self {
                Self::CSharp => seen.fail("取消任务", Some("")),
                Self::Agicto | Self::Java | Self::NewApi => seen.say("CANCEL", Some("")),
            };
        }
        match &task.outcome {
            // A modal that was answered goes on like any other.
            Outcome::Success | Outcome::Modal | Outcome::NoImage => {
                seen.say("SUCCESS", Some("100%"));
                seen.is_success = true;
                if task.outcome != Outcome::NoImage && task.kind != "DESCRIBE" && task.kind != "SHORTEN" {
                    seen.image_url = Some(format!("{base_url}/image/{}.png", task.id));
                }
            }
            Outcome::Failure(reason) => {
                // So that nobody takes "100%" for a success.
                let progress = if self == Self::NewApi { "100%" } else { "" };
                seen.fail(reason, Some(progress));
            }
            Outcome::Cancel => seen.say("CANCEL", Some("")),
        }
    }

    fn properties(self, task: &Task, seen: &Seen) -> Value {
        let final_prompt = if seen.is_success { format!("{} --v 7.0", task.prompt) } else { task.prompt.clone() };
        if self == Self::NewApi {
            return json!({"finalPrompt": if seen.is_success { final_prompt } else { String::new() }, "finalZhPrompt": ""});
        }
        json!({
            "notifyHook": task.hook,
            "finalPrompt": final_prompt,
            "messageId": seen.is_success.then(|| (task.seed >> 4).to_string()),
            "messageHash": seen.is_success.then(|| task.message_hash()),
            "flags": 0,
            "nonce": (task.seed >> 3).to_string(),
            "botType": task.bot_type,
            "discordInstanceId": "1118138338562560102",
        })
    }

    fn relay_error(self, status: u16, code: i64, description: &str) -> Wire {
        let body = json!({"description": description, "type": "upstream_error", "code": code});
        Wire::body(status, JSON, body.to_string())
    }
}

#[derive(Default)]
struct Seen {
    status: String,
    progress: Option<&'static str>,
    start_ms: Option<u64>,
    finish_ms: Option<u64>,
    image_url: Option<String>,
    fail_reason: Option<String>,
    is_success: bool,
}

impl Seen {
    fn say(&mut self, status: &str, progress: Option<&'static str>) {
        status.clone_into(&mut self.status);
        self.progress = progress;
    }

    fn fail(&mut self, reason: &str, progress: Option<&'static str>) {
        self.say("FAILURE", progress);
        self.fail_reason = Some(reason.to_owned());
    }
}

fn start_ms(task: &Task, phase: Phase) -> Option<u64> {
    if phase <= Phase::Waiting {
        return None;
    }
    let start_ms = task.booking?.start_ms;
    task.cancelled_ms.is_none_or(|cancelled_ms| start_ms <= cancelled_ms).then_some(start_ms)
}

/// Rewrites a task object as new-api stores it: never null, and nothing known before its first poll.
fn relayed(body: &mut Map<String, Value>, task: &Task, buttons: Value, is_success: bool, now_ms: u64) {
    if task.phase(now_ms) == Phase::Waiting {
        body.insert("status".to_owned(), json!(""));
        body.insert("state".to_owned(), json!(""));
        body.insert("progress".to_owned(), json!("0%"));
    }
    body.insert("buttons".to_owned(), if is_success { buttons } else { Value::Null });
    for always_empty in ["customId", "botType", "maskBase64"] {
        body.insert(always_empty.to_owned(), json!(""));
    }
    for (key, value) in body.iter_mut() {
        if value.is_null() && key != "buttons" {
            *value = if key.ends_with("Time") { json!(0) } else { json!("") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::tests::a_task;

    fn body(wire: Wire) -> (u16, &'static str, String) {
        match wire {
            Wire::Full { status, content_type, body, .. } => {
                (status, content_type, String::from_utf8_lossy(&body).into_owned())
            }
            other => panic!("{other:?} is no whole answer"),
        }
    }

    #[test]
    fn each_dialect_has_its_words_for_full() {
        let full = |dialect: Dialect| body(dialect.refuse(&Refusal::Full));

        assert!(full(Dialect::Agicto).2.contains("\"code\":23"));
        assert!(full(Dialect::CSharp).2.contains("无可用的账号实例"));
        assert_eq!(full(Dialect::NewApi).0, 429);
    }

    #[test]
    fn each_dialect_has_its_way_not_to_know_a_task() {
        let unknown = |dialect: Dialect| body(dialect.unknown_task());

        assert_eq!(unknown(Dialect::Java), (200, JSON, String::new()));
        assert_eq!(unknown(Dialect::CSharp).0, 204);
        assert_eq!(unknown(Dialect::NewApi).0, 400);
    }

    #[test]
    fn agicto_numbers_its_tasks_and_the_others_name_them() {
        let reply = || Reply::new(1, "ok").with_id("12463258".to_owned());

        assert!(body(Dialect::Agicto.reply(&reply())).2.contains(r#""result":12463258"#));
        assert!(body(Dialect::Java.reply(&reply())).2.contains(r#""result":"12463258""#));
    }

    #[test]
    fn the_relay_hides_that_a_task_waits_and_never_says_null() {
        let waiting = Reply::new(22, usual_words(22)).with_id("1".to_owned());
        let task = Dialect::NewApi.task(&a_task(), "http://sim", 950);

        assert!(body(Dialect::NewApi.accept(waiting)).2.contains("\"code\":1,"));
        assert_eq!(task["status"], "");
        assert_eq!(task["state"], "");
        assert_eq!(task["startTime"], 0);
        assert_eq!(task["imageUrl"], "");
    }

    #[test]
    fn a_running_task_shows_a_preview_and_a_finished_one_its_buttons() {
        let running = Dialect::Java.task(&a_task(), "http://sim", 1350);
        let finished = Dialect::Java.task(&a_task(), "http://sim", 1800);

        assert_eq!((&running["status"], &running["progress"]), (&json!("IN_PROGRESS"), &json!("31%")));
        assert_eq!(running["imageUrl"], "http://sim/image/1730621826053455-2.png");
        assert_eq!(running["finishTime"], Value::Null);
        assert_eq!((&finished["status"], &finished["progress"]), (&json!("SUCCESS"), &json!("100%")));
        assert_eq!(finished["imageUrl"], "http://sim/image/1730621826053455.png");
        assert_eq!(finished["finishTime"], 1800);
        assert_eq!(finished["buttons"][0]["label"], "U1");
        assert_eq!(finished["state"], "order 1");
    }

    #[test]
    fn a_failure_has_a_reason_and_no_progress_except_at_the_relay() {
        let mut task = a_task();
        task.outcome = Outcome::Failure("Job Timeout".to_owned());

        let java = Dialect::Java.task(&task, "", 1800);

        assert_eq!((&java["status"], &java["progress"]), (&json!("FAILURE"), &json!("")));
        assert_eq!(java["failReason"], "Job Timeout");
        assert_eq!(Dialect::NewApi.task(&task, "", 1800)["progress"], "100%");
    }
}
