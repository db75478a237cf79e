//! How each member of the family expresses the same facts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ids::{IdStyle, id_json},
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

/// Why a submit is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is neither a free slot nor a place in the queue.
    Full,
    /// The parent does not exist, has not succeeded or has no such button.
    NoParent,
    /// The request is invalid, for this reason.
    Invalid(String),
    /// The prompt contains this banned word.
    Banned(String),
    /// The body is larger than the service takes.
    TooLarge,
    /// There is no such kind of submit.
    NoSuchAction,
    /// The body is not a JSON object.
    NotJson,
}

impl Refusal {
    /// The refusal's name in the statistics.
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

    /// Whether the upstream honours a callback address in a request.
    pub(crate) fn has_hooks(self) -> bool {
        self != Self::NewApi
    }

    /// Whether any client with the key can list and cancel tasks.
    pub(crate) fn has_list_and_cancel(self) -> bool {
        self != Self::NewApi
    }

    /// Whether the upstream refuses a submit with a banned word. If not, the task fails.
    pub(crate) fn refuses_banned_words(self) -> bool {
        self != Self::CSharp
    }

    /// The longest `state` that the upstream accepts, in characters.
    pub(crate) fn longest_state(self) -> Option<usize> {
        (self == Self::CSharp).then_some(255)
    }

    /// An answer to a submit, with its code unchanged.
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

    /// An acceptance. The relay hides that the task has to wait.
    pub(crate) fn accept(self, reply: Reply) -> Wire {
        match self {
            Self::NewApi if reply.code == 22 => self.reply(&Reply { code: 1, ..reply }),
            _ => self.reply(&reply),
        }
    }

    /// The answer to a refused submit.
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

    /// The answer to a poll for an unknown id.
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

    /// JSON over HTTP 200, with this dialect's content type.
    pub(crate) fn ok(self, body: &Value) -> Wire {
        match self {
            Self::NewApi => Wire::body(200, TEXT, body.to_string()),
            Self::Agicto | Self::Java | Self::CSharp => Wire::json(body),
        }
    }

    fn relay_error(self, status: u16, code: i64, description: &str) -> Wire {
        let body = json!({"description": description, "type": "upstream_error", "code": code});
        Wire::body(status, JSON, body.to_string())
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
}
